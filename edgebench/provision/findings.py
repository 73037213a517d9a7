"""Findings about a board and its runtimes: one row each of what `device check` and `device setup` show."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edgebench.board import BoardFacts, BoardPython, InstalledRuntime, RemoteAgent, RuntimeProbe, SystemFacts
from edgebench.device import Device
from edgebench.errors import AgentError, BoardError
from edgebench.provision.wheel_targets import runtime_of_package
from edgebench.text import printable

UNKNOWN = "not reported"
_CLOCK_OFF_S = 3600
#: The JetPack of each major version of L4T: https://developer.nvidia.com/embedded/jetpack-archive
_JETPACKS = {"32": "4", "35": "5", "36": "6", "38": "7"}


class State(StrEnum):
    """What a finding means; only FAIL prevents a measurement. The values are fixed: `device check --json` has them."""

    OK = "ok"
    WARN = "could be better"
    FAIL = "to mend"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: what was seen and, where something is wrong, the command or act that fixes it."""

    what: str
    seen: str
    state: State = State.OK
    fix: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `device check --json` and `device setup --json` write them."""
        return {"what": self.what, "seen": self.seen, "state": str(self.state), "mend": self.fix}


def as_error(device: Device, failed: Finding) -> BoardError:
    """Return the error for a finding that prevents what was to be done."""
    return BoardError(f"{device.name}: {failed.what}: {failed.seen}", hint=f"try: {failed.fix}")


# --- the board --------------------------------------------------------------------------------------------------


def board_findings(
    board: BoardFacts, pythons: Sequence[BoardPython], *, now_s: float | None = None
) -> Iterator[Finding]:
    """Yield the facts of a board that matter for setting it up; `now_s`: the time of this machine."""
    known = (board.model, board.system.arch, board.os, _vendor(board.vendor_release))
    yield Finding("board", ", ".join(filter(None, known)) or UNKNOWN)
    if pythons:
        yield Finding("Python", ", ".join(python.shown for python in pythons))
    yield Finding("libc", board.system.libc or UNKNOWN)
    yield Finding("CPU features", printable(" ".join(board.cpu_features), limit=120) or UNKNOWN)
    for what, size in (("memory", board.memory_bytes), ("free disk", board.disk_free_bytes)):
        yield Finding(what, UNKNOWN if size is None else f"{size / 1e6:,.0f} MB")
    yield _clock(board.wall_clock_s, time.time() if now_s is None else now_s)


def system_findings(system: SystemFacts, python: BoardPython) -> list[Finding]:
    """Return the few facts that are known before the agent was asked for more."""
    return [
        Finding("board", system.arch or UNKNOWN),
        Finding("Python", python.shown),
        Finding("libc", system.libc or UNKNOWN),
    ]


def _vendor(release: str | None) -> str | None:
    if release is None or not release.startswith("L4T "):
        return release
    jetpack = _JETPACKS.get(release.removeprefix("L4T ").partition(".")[0])
    return f"{release} (JetPack {jetpack})" if jetpack else release


def _clock(clock_s: int | None, now_s: float) -> Finding:
    """Return whether a board's clock is right: no result depends on it, but readers of its logs do."""
    if clock_s is None:
        return Finding("clock", UNKNOWN)
    off_s = clock_s - now_s
    if abs(off_s) < _CLOCK_OFF_S:
        return Finding("clock", "right")
    days = abs(off_s) / 86400
    seen = f"{days:,.1f} days {'ahead' if off_s > 0 else 'behind'}"
    fix = f"on the board: sudo timedatectl set-ntp true, or, without internet there: sudo date -s @{now_s:.0f}"
    return Finding("clock", seen, State.WARN, fix)


# --- its installed runtimes -------------------------------------------------------------------------------------


def find_broken(agent: RemoteAgent, runtimes: Sequence[str]) -> dict[str, str]:
    """Return which of these runtimes are installed on the board and do not import there, and why."""
    broken = {}
    for name in runtimes:
        if name in agent.installed_runtimes:
            try:
                found = agent.probe([name]).runtimes[name]
            except AgentError as error:  # a damaged runtime may end the agent
                found = RuntimeProbe(works=False, error=str(error))
            if not found.works:
                broken[name] = found.problem
    return broken


def present_finding(runtime: str, installed: InstalledRuntime) -> Finding:
    """Return the finding about a runtime that is left as it is."""
    packages = installed.packages
    version = next((packages[name] for name in packages if runtime_of_package(name) == runtime), "")
    own = "your own, " if installed.own else ""
    return Finding(runtime, f"{version}, {own}was there; numbers {installed.agreement}")


def own_choice_finding(agent: RemoteAgent, device: Device, runtime: str, broken: Mapping[str, str]) -> Finding:
    """Return the finding about a runtime that the user chose, which is not replaced even where it is broken."""
    if runtime not in broken:
        return present_finding(runtime, agent.installed_runtimes[runtime])
    setup = f"edgebench device setup {device.name} --runtime {runtime}"
    fix = f"{setup}, or your own again: {setup} --wheel FILE, {setup} --system-python"
    return Finding(runtime, f"your own no longer works: {broken[runtime]}", State.FAIL, fix)
