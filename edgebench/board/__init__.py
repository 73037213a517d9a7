"""The host's half of a board: connecting, the agent's commands, the lease, facts, preflight, power.

A Device goes in; a RemoteAgent, connected and complete, comes out (`connect_agent`, or `open_leased_agent` with the
board's lease), and with it facts of the board, files moved to it and the journals of runs.
"""

from __future__ import annotations

from edgebench.board.agent import RemoteAgent, connect_agent
from edgebench.board.archive import agent_archive
from edgebench.board.busy_retry import BusyRetry
from edgebench.board.device_config import add_device, remove_device, write_device
from edgebench.board.facts import BoardFacts, BoardProbe, BoardRun, RuntimeProbe, SensorReading, SystemFacts
from edgebench.board.format_choice import formats_on
from edgebench.board.installed_runtimes import InstalledRuntime
from edgebench.board.journal import Position, run_failure
from edgebench.board.kept_lease import use_lease
from edgebench.board.lease import (
    TRY_LATER,
    board_lease,
    give_back,
    open_leased_agent,
    own_name,
    renew_lease,
    take_lease,
)
from edgebench.board.lease_reply import Holder
from edgebench.board.power import AS_FOUND, BoardPower, PowerState, is_refusal, managed_power
from edgebench.board.preflight import model_files, preflight, providers_for, push_artifact, runtime_of
from edgebench.board.pythons import DEFAULT_PYTHON, BoardPython, find_pythons, require_new_enough

__all__ = [
    "AS_FOUND",
    "DEFAULT_PYTHON",
    "TRY_LATER",
    "BoardFacts",
    "BoardPower",
    "BoardProbe",
    "BoardPython",
    "BoardRun",
    "BusyRetry",
    "Holder",
    "InstalledRuntime",
    "Position",
    "PowerState",
    "RemoteAgent",
    "RuntimeProbe",
    "SensorReading",
    "SystemFacts",
    "add_device",
    "agent_archive",
    "board_lease",
    "connect_agent",
    "find_pythons",
    "formats_on",
    "give_back",
    "is_refusal",
    "managed_power",
    "model_files",
    "open_leased_agent",
    "own_name",
    "preflight",
    "providers_for",
    "push_artifact",
    "remove_device",
    "renew_lease",
    "require_new_enough",
    "run_failure",
    "runtime_of",
    "take_lease",
    "use_lease",
    "write_device",
]
