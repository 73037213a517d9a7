"""What tests of runs share: parts of a journal, waiting for latencies, code that runs in place of a package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgebench_agent.protocol import (
    Failed,
    Latencies,
)
from tests.agent.agent_board import AgentBoard, of, wait_until


def timed(messages: list[Any]) -> list[Latencies]:
    return [block for block in of(Latencies, messages) if not block.warmup]


def run_folder(board: AgentBoard, run_id: str) -> Path:
    return board.home / "runs" / run_id


def wait_for_latencies(board: AgentBoard, run_id: str) -> None:
    journal = run_folder(board, run_id) / "journal.ndjson"
    wait_until(lambda: b'"type":"latencies","warmup":false' in journal.read_bytes())


def failed_of(board: AgentBoard, spec: Any) -> Failed:
    """Launch and follow a run that begins and then fails."""
    failed = board.run(spec)[-1]
    assert isinstance(failed, Failed)
    assert "\n" not in failed.message
    return failed


_REAL_PACKAGE = """
import importlib, sys
sys.path = [entry for entry in sys.path if entry != {folder!r}]
del sys.modules[__name__]
sys.modules[__name__] = importlib.import_module(__name__)
"""


def put_before(board: AgentBoard, folder: Path, name: str, code: str, after: str = "") -> None:
    """Let `code` run on the board when `name` is imported, then the real package, then the code `after`."""
    package = folder / "before" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code + _REAL_PACKAGE.format(folder=str(package.parent)) + after)
    board.environment["PYTHONPATH"] = str(package.parent)
