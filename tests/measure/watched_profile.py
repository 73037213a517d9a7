"""`edgebench profile` as a process that leaves a file when it has received timed latencies from a board.

What a board has written may still be on its way, for long on a busy machine: tests that interrupt a session and ask
what was kept wait until its host has something to keep.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any


def start_watched_profile(folder: Path, *arguments: object, **settings: Any) -> subprocess.Popen[str]:
    """Start `edgebench profile` in `folder`, as `subprocess.Popen` with `settings`."""
    command = [sys.executable, __file__, folder, "profile", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([str(each) for each in command], cwd=folder, **pipes, **settings)


def wait_for_latencies(folder: Path, *devices: str) -> None:
    """Wait until the process that was started in `folder` has latencies of each device's run."""
    from tests.agent.agent_board import wait_until

    wait_until(lambda: all(_mark(folder, device).exists() for device in devices))


def _mark(folder: Path, device: str) -> Path:
    return folder / f"received-from-{device}"


def _main(folder: Path, arguments: list[str]) -> None:
    from edgebench import cli
    from edgebench.cli import measuring
    from edgebench.events import Event, Running

    run_sessions = measuring.run_sessions

    def watched(sessions: Any, *, on_event: Any) -> Any:
        def watch(device: str, event: Event) -> None:
            if isinstance(event, Running) and event.count > 1:
                _mark(folder, device).touch()
            on_event(device, event)

        return run_sessions(sessions, on_event=watch)

    measuring.run_sessions = watched
    cli.main(arguments)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2:])
