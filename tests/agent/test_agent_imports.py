"""What each command of the agent loads: on a slow board, a module that it does not need is time lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

AGENTS = Path(__file__).parents[2] / "agents"
NATIVE = {"numpy", "onnxruntime", "psutil"}

UNNEEDED = {
    "run.follow": {"dataclasses", "subprocess", "edgebench_agent.protocol.messages", "edgebench_agent.board.sensors"},
    "storage.blobs": {"dataclasses", "subprocess", "edgebench_agent.protocol.messages"},
    "lease.lease_command": {"subprocess", "edgebench_agent.protocol.messages", "edgebench_agent.board.sensors"},
    "storage.environments": {"edgebench_agent.protocol.messages", "edgebench_agent.board.sensors"},
    "probe": {"edgebench_agent.runtimes", "edgebench_agent.protocol.messages"},
    "run.launch": set(),
    "run.supervisor": {"edgebench_agent.runtimes"},
}


@pytest.mark.parametrize("module", UNNEEDED)
def test_a_command_loads_no_more_than_it_needs(module: str) -> None:
    code = f"import sys, edgebench_agent.__main__, edgebench_agent.{module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(AGENTS)}, capture_output=True, text=True, check=True
    )
    assert not (UNNEEDED[module] | NATIVE) & set(loaded.stdout.split())
