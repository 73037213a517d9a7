"""What boards measured at once cost the host: 16 simulated ones, 10 inferences/s and sensors at 10 Hz each.

    python -m benchmarks.boards [--boards 16] [--seconds 30]

Each board is an SSH server with a home of its own, in another process, and runs the real agent: queries arrive at
10 a second, and the memory of the measuring process is read ten times a second. Stated is the processor time of this
process, which is the host, while they stream, and the wall time against that of one board alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import edgebench
from edgebench.device import Device, load_profile
from edgebench.events import Ended, Event, Running
from edgebench.export import export_model
from edgebench.measure import profile_all, run_sessions
from edgebench.request import Request
from edgebench.workload import Scenario
from tests.board.ssh_board import write_key

_SERVERS = """
import json, sys
from pathlib import Path
from tests.board.ssh_server import AsyncSshServer
servers = [AsyncSshServer(Path(folder)) for folder in sys.argv[2:]]
for server in servers:
    server.authorize(sys.argv[1])
print(json.dumps([[server.port, server.user, server.host_key] for server in servers]), flush=True)
sys.stdin.read()
"""


@contextmanager
def boards(count: int, folder: Path) -> Iterator[list[Device]]:
    """Give so many boards behind SSH servers of another process."""
    public_key = write_key(folder / "key")
    homes = [str(folder / f"board-{number}") for number in range(count)]
    servers = subprocess.Popen(
        [sys.executable, "-c", _SERVERS, public_key, *homes], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert servers.stdout is not None
    told: list[tuple[int, str, str]] = json.loads(servers.stdout.readline())
    try:
        yield [
            Device(
                name=f"board-{number}",
                profile=load_profile("local"),
                host="127.0.0.1",
                port=port,
                user=user,
                host_key=host_key,
                identity_file=str(folder / "key"),
                python=sys.executable,
            )
            for number, (port, user, host_key) in enumerate(told)
        ]
    finally:
        servers.communicate()


class Clock:
    """The processor time that this process uses while every board streams."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._streaming: set[str] = set()
        self._began: tuple[float, float] | None = None
        self.share: float | None = None  # of one core

    def __call__(self, board: str, event: Event) -> None:
        if isinstance(event, Running) and event.phase == "measuring":
            self._streaming.add(board)
            if len(self._streaming) == self._count and self._began is None:
                self._began = _used()
        elif isinstance(event, Ended) and self._began is not None and self.share is None:
            wall, used = (now - then for now, then in zip(_used(), self._began, strict=True))
            self.share = used / wall if wall > 1 else None


def _used() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.monotonic(), usage.ru_utime + usage.ru_stime


def measure(devices: Sequence[Device], model: Path, seconds: float, store: Path) -> tuple[float | None, float]:
    """Measure on all devices at once; return the host's share of a core while they streamed, and the wall time."""
    workload = edgebench.Workload(scenario=Scenario.SERVER, queries_per_s=10.0, seq_len=16)
    plan = edgebench.RunPlan(runs=1, min_count=1, min_duration_s=seconds, max_duration_s=seconds + 30)
    keep = edgebench.Store(store)
    sessions: dict[str, Any] = {
        device.name: partial(
            profile_all,
            Request(device=device, models=(str(model),), workloads=(workload,), plan=plan, overhead=False, cold=False),
            store=keep,
        )
        for device in devices
    }
    clock, began = Clock(len(devices)), time.monotonic()
    for result in run_sessions(sessions, on_event=clock):
        if result.error is not None:
            raise result.error
    return clock.share, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    model = export_model("reference:tiny", "onnx-int8").artifact.model_path
    with tempfile.TemporaryDirectory() as folder, boards(options.boards, Path(folder)) as devices:
        _, alone_s = measure(devices[:1], model, options.seconds, Path(folder) / "alone")
        share, together_s = measure(devices, model, options.seconds, Path(folder) / "together")
    each = f"{100 * share / options.boards:.2f} % of a core a board" if share is not None else "not told"
    print(
        f"{options.boards} boards, {options.seconds:g} s: host {each} while all stream; "
        f"wall {together_s:.1f} s, one board alone {alone_s:.1f} s"
    )


if __name__ == "__main__":
    main()
