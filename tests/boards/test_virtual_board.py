"""A whole board that loses its power, is reset, filled up, or starts in 1970: sessions end clearly and go on.

QEMU boots a kernel of its own in some 10 s; its latencies are no board's. `make test-virtual-board` runs these.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import edgebench
from edgebench import Device, Measurement, ReasonCode, Run, Store
from edgebench.errors import EdgebenchError
from edgebench.events import Began, Event, Running
from edgebench.measure import profile_all, resume
from edgebench.request import Request
from edgebench.workload import RunPlan, Workload
from tests.boards.board_image import why_not
from tests.boards.virtual_board import VirtualBoard

pytestmark = [pytest.mark.virtual_board, pytest.mark.timeout(1800)]

RUNS = 2
#: Some 5 s a run, so that there is a middle in which the power goes.
PLAN = RunPlan(runs=RUNS, min_count=20, min_duration_s=5, max_warmup_s=2)
WITHOUT_CLOCK = "1970-01-01"


_PARTIAL = (ReasonCode.INTERRUPTED, ReasonCode.FAILED, ReasonCode.INCOMPLETE)


def is_complete(run: Run) -> bool:
    """Return whether a run has come to its end, whether it counts or not."""
    return not any(reason.code in _PARTIAL for reason in run.reasons)


class Desk:
    """Where a user sits: a folder with a store and `tiny.onnx`, and the board `pi4`, switched on."""

    def __init__(self, folder: Path, board: VirtualBoard) -> None:
        self.folder = folder
        self.board = board
        self.store = Store(folder / "store")
        self.session = ""
        self._add()

    def _add(self) -> None:
        key = ("--host-key", self.board.image.host_key, "--identity-file", str(self.board.image.identity_file))
        self.run("device", "add", "pi4", "--host", f"{self.board.user}@127.0.0.1:{self.board.port}", *key)

    @property
    def device(self) -> Device:
        return edgebench.find_device("pi4", folder=self.folder)

    def run(self, *arguments: str) -> None:
        """Run `edgebench ...` to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "edgebench", *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=1500,
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr}{done.stdout}"

    def on_the_board(self, command: str, *, user: str = "root") -> str:
        """Run a command there, without edgebench."""
        ssh = ["ssh", "-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        key = ["-i", str(self.board.image.identity_file), "-p", str(self.board.port), f"{user}@127.0.0.1"]
        return subprocess.run([*ssh, *key, command], capture_output=True, text=True, check=True, timeout=600).stdout

    def measure(self, *, in_run: int, happens: Callable[[], object]) -> list[Measurement] | EdgebenchError:
        """Measure; let something happen while a run is timed; return the session's measurements, or its error."""
        request = Request(
            device=self.device,
            models=(str(self.folder / "tiny.onnx"),),
            workloads=(Workload(seq_len=8),),
            plan=PLAN,
            overhead=False,
            cold=False,
        )
        is_timed = threading.Event()
        ended: list[list[Measurement] | EdgebenchError] = []

        def listen(event: Event) -> None:
            if isinstance(event, Began):
                self.session = event.session
            if isinstance(event, Running) and event.number == in_run and event.count > 0:
                is_timed.set()

        def session() -> None:
            try:
                ended.append(profile_all(request, store=self.store, on_event=listen))
            except EdgebenchError as error:
                ended.append(error)
            finally:
                is_timed.set()

        thread = threading.Thread(target=session)
        thread.start()
        assert is_timed.wait(1500)
        assert not ended or self.session, ended  # the session did not even begin
        happens()
        thread.join(900)
        assert not thread.is_alive()
        return ended[0]

    def run_ids(self) -> list[str]:
        """Return the ids of all stored runs."""
        return [run.id for measurement in self.store.measurements() for run in measurement.runs]

    def assert_complete(self, measured: list[Measurement]) -> None:
        """Each planned run is there once, and holds exactly what the board timed."""
        (one,) = measured
        assert len([run for run in one.runs if is_complete(run)]) >= RUNS
        ids = self.run_ids()
        assert len(ids) == len(set(ids))
        for run in one.runs:
            if is_complete(run):
                assert len(run.latencies_ns) == run.facts.done_count


@pytest.fixture
def desk(tiny_onnx: Path, tmp_path: Path) -> Iterator[Desk]:
    reason = why_not()
    if reason is not None and os.environ.get("EDGEBENCH_TESTS_MUST_BOOT"):
        pytest.fail(f"in CI, a virtual board must boot: {reason}")
    if reason is not None:
        pytest.skip(reason)
    board = VirtualBoard(tmp_path)
    board.start(clock=WITHOUT_CLOCK)
    shutil.copy(tiny_onnx, tmp_path / "tiny.onnx")
    yield Desk(tmp_path, board)
    board.switch_off()


def test_a_board_that_loses_its_power_in_a_run_starts_in_1970_and_the_session_resumes(desk: Desk) -> None:
    def loses_its_power() -> None:
        desk.board.switch_off()
        desk.board.start(clock=WITHOUT_CLOCK)

    ended = desk.measure(in_run=2, happens=loses_its_power)
    if isinstance(ended, EdgebenchError):
        assert desk.session in str(ended)  # how to go on
        ended = resume(desk.session, store=desk.store, device=desk.device)
    desk.assert_complete(ended)


def test_a_reset_while_a_run_is_timed_loses_that_run_alone(desk: Desk) -> None:
    ended = desk.measure(in_run=2, happens=desk.board.reset)
    if isinstance(ended, EdgebenchError):
        assert desk.session in str(ended)
        ended = resume(desk.session, store=desk.store, device=desk.device)
    desk.assert_complete(ended)


def test_the_clock_that_is_set_while_a_run_is_timed_changes_nothing(desk: Desk) -> None:
    ended = desk.measure(in_run=2, happens=lambda: desk.on_the_board("date -s @1764500000"))
    assert not isinstance(ended, EdgebenchError)
    desk.assert_complete(ended)


def test_a_disk_that_fills_up_is_one_line_and_the_session_goes_on_when_there_is_room(desk: Desk) -> None:
    desk.on_the_board("dd if=/dev/zero of=/filler bs=1M 2>/dev/null; sync; true")
    ended = desk.measure(in_run=1, happens=lambda: None)
    if isinstance(ended, EdgebenchError):
        assert "\n" not in str(ended)
        assert "disk" in str(ended) or "space" in str(ended)
    desk.on_the_board("rm /filler")
    ended = desk.measure(in_run=1, happens=lambda: None)
    assert not isinstance(ended, EdgebenchError)
    desk.assert_complete(ended)
