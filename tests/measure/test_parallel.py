"""Several boards at once: their sessions overlap, and what happens to one does not happen to the others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import edgebench
from edgebench.board import open_leased_agent
from edgebench.errors import BoardError
from edgebench.events import Event, Running
from edgebench.measure.parallel import run_sessions
from edgebench.measure.session import profile_all
from edgebench.request import Request
from tests.agent.agent_board import DEADLINE_S
from tests.board.ssh_board import SshBoard
from tests.measure.watched_profile import start_watched_profile, wait_for_latencies

NewBoard = Callable[[str], SshBoard]
PLAN = edgebench.RunPlan(runs=2, min_count=5, min_duration_s=0.0)


def session(board: SshBoard, model: Path, store: edgebench.Store, name: str, **changes: Any) -> Any:
    device = board.device(name=name, **{"python": sys.executable, **changes})
    return partial(
        profile_all, Request(device=device, models=(str(model),), plan=PLAN, overhead=False, cold=False), store=store
    )


@pytest.mark.long
def test_sessions_overlap_and_each_has_its_own_result(new_board: NewBoard, tiny_onnx: Path, tmp_path: Path) -> None:
    """Each board waits in its first run until the other has begun its own."""
    store = edgebench.Store(tmp_path / "store")
    boards = {name: session(new_board("asyncssh"), tiny_onnx, store, name) for name in ("one", "two")}
    both_run = threading.Barrier(2, timeout=DEADLINE_S)
    waited: set[str] = set()

    def listen(board: str, event: Event) -> None:
        started.setdefault(board, []).append(event)

    started: dict[str, list[Event]] = {}

    def meeting(name: str, measure: Any) -> Any:
        def measured(*, on_event: Callable[[Event], None]) -> Any:
            def tell(event: Event) -> None:
                if isinstance(event, Running) and name not in waited:
                    waited.add(name)
                    both_run.wait()
                on_event(event)

            return measure(on_event=tell)

        return measured

    results = run_sessions({name: meeting(name, measure) for name, measure in boards.items()}, on_event=listen)
    assert [result.error for result in results] == [None, None]
    assert [result.device for result in results] == ["one", "two"]
    for result in results:
        (measured,) = result.measurements
        assert measured.subject.device.name == result.device
        assert measured.id.startswith(result.session or "none")
        assert len(measured.runs) >= 2
    assert set(started) == {"one", "two"}


@pytest.mark.long
def test_a_board_that_fails_leaves_the_others_alone(new_board: NewBoard, tiny_onnx: Path, tmp_path: Path) -> None:
    store = edgebench.Store(tmp_path / "store")
    good = session(new_board("asyncssh"), tiny_onnx, store, "good")
    bad = session(new_board("asyncssh"), tiny_onnx, store, "bad", python="/nowhere/python3")
    results = {result.device: result for result in run_sessions({"bad": bad, "good": good}, on_event=lambda *_: None)}
    assert isinstance(results["bad"].error, BoardError)
    assert results["bad"].measurements == []
    assert results["good"].error is None
    assert len(results["good"].measurements) == 1


@pytest.fixture
def two_boards(new_board: NewBoard, tmp_path: Path) -> tuple[SshBoard, SshBoard]:
    """Two boards that edgebench.toml in `tmp_path` names `one` and `two`."""
    boards = new_board("asyncssh"), new_board("asyncssh")
    text = ""
    for name, board in zip(("one", "two"), boards, strict=True):
        device = board.device()
        values = {"profile": "local", "host": "127.0.0.1", "port": device.port, "user": device.user}
        values |= {"identity_file": device.identity_file, "host_key": device.host_key, "python": sys.executable}
        text += "\n".join([f"[device.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""])
    (tmp_path / "edgebench.toml").write_text(text)
    return boards


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    output = ("--json", "result.json", "--store", "store")
    return start_watched_profile(folder, *arguments, "--no-own-cost", "--no-cold", *output)


@pytest.mark.long
def test_all_boards_come_out_in_one_table_and_one_document(
    two_boards: tuple[SshBoard, SshBoard], tiny_onnx: Path, tmp_path: Path
) -> None:
    options = ("--model", str(tiny_onnx), "--runs", "1", "--min-count", "5", "--min-duration", "0")
    process = start(tmp_path, "--device", "all", *options)
    out, said = process.communicate(timeout=2 * DEADLINE_S)
    assert process.returncode in (0, 4), said  # a busy machine may disturb a run
    found = json.loads((tmp_path / "result.json").read_text())
    assert [each["device"]["name"] for each in found["measurements"]] == ["one", "two"]
    assert found["failures"] == []
    assert "one: measuring 1 row" in said
    assert out.count("onnx") >= 2


def test_one_boards_failure_is_in_the_exit_code_and_the_document(
    two_boards: tuple[SshBoard, SshBoard], tiny_onnx: Path, tmp_path: Path
) -> None:
    two_boards[1].close()
    options = ("--model", str(tiny_onnx), "--runs", "1", "--min-count", "5", "--min-duration", "0")
    process = start(tmp_path, "--device", "one", "--device", "two", *options)
    out, said = process.communicate(timeout=2 * DEADLINE_S)
    assert process.returncode == 1
    assert "edgebench: two ended early: " in said
    found = json.loads((tmp_path / "result.json").read_text())
    assert [each["device"]["name"] for each in found["measurements"]] == ["one"]
    assert [failure["device"] for failure in found["failures"]] == ["two"]
    assert "onnx" in out


@pytest.mark.long
def test_an_interrupt_ends_every_board_and_keeps_what_was_measured(
    two_boards: tuple[SshBoard, SshBoard], tiny_onnx: Path, tmp_path: Path
) -> None:
    options = ("--model", str(tiny_onnx), "--runs", "1", "--min-duration", "300", "--max-duration", "600")
    process = start(tmp_path, "--device", "all", *options)
    wait_for_latencies(tmp_path, "one", "two")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=2 * DEADLINE_S)
    assert process.returncode == 130, said
    assert said.count("edgebench runs resume") == 2
    stored = edgebench.Store(tmp_path / "store").measurements()
    assert {each.subject.device.name for each in stored} == {"one", "two"}
    assert all(len(each.runs[0].latencies_ns) for each in stored)


def test_an_interrupt_ends_the_wait_for_boards_that_somebody_else_has(
    two_boards: tuple[SshBoard, SshBoard], tiny_onnx: Path, tmp_path: Path
) -> None:
    with ExitStack() as others:
        for board in two_boards:
            others.enter_context(open_leased_agent(board.device(), purpose="somebody's work"))
        process = start(tmp_path, "--device", "all", "--wait", "60m", "--model", str(tiny_onnx), "--runs", "1")
        assert process.stderr is not None
        said = ""
        while said.count("waiting for at most 60 minutes") < 2:
            line = process.stderr.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=DEADLINE_S)  # less than the wait
    assert process.returncode == 130, said + rest
    assert "Traceback" not in rest
