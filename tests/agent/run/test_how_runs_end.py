"""How a run ends: signals, leases, a worker that hangs or dies."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from edgebench_agent.board.sensors.load import process_seconds
from edgebench_agent.protocol import (
    HEARTBEAT,
    MAX_INT,
    RENEW,
    Done,
    Failed,
    decode_message,
)
from tests.agent.agent_board import DEADLINE_S, SECOND, AgentBoard, children, wait_until
from tests.agent.runs import failed_of, put_before, timed, wait_for_latencies


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("who", ["supervisor", "measuring process"])
def test_a_signal_ends_the_run_cleanly_and_keeps_what_was_measured(
    board: AgentBoard, tiny_model: bytes, number: signal.Signals, who: str
) -> None:
    spec = board.long_spec(tiny_model)
    supervisor = board.launch_well(spec)
    wait_for_latencies(board, spec.run_id)
    (measuring,) = children(supervisor)
    os.kill(supervisor if who == "supervisor" else measuring, number)
    messages = [entry.message for entry in board.journal(spec.run_id)]
    assert messages[-1].kind == "interrupted"
    assert sum(len(block.items) for block in timed(messages)) > 0
    with pytest.raises(ProcessLookupError):
        os.kill(measuring, 0)


@pytest.mark.slow
def test_a_run_that_nobody_renews_ends_itself(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model, lease_ns=SECOND)
    board.launch_well(spec)
    assert board.journal(spec.run_id)[-1].message.kind == "lease_expired"


@pytest.mark.slow
def test_a_run_that_is_renewed_outlives_its_lease(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model, lease_ns=4 * SECOND)
    board.launch_well(spec)
    follower = board.start("follow", spec.run_id, 0)
    assert follower.stdin is not None
    assert follower.stdout is not None
    first = last = decode_message(follower.stdout.readline()).t_ns
    while last - first < 6 * SECOND:
        follower.stdin.write(RENEW)
        follower.stdin.flush()
        line = follower.stdout.readline()
        if line != HEARTBEAT:
            entry = decode_message(line)
            assert not isinstance(entry.message, Failed)
            last = entry.t_ns
    follower.communicate(timeout=DEADLINE_S)


@pytest.mark.slow
def test_a_measuring_process_that_is_killed_is_told(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    supervisor = board.launch_well(spec)
    wait_for_latencies(board, spec.run_id)
    os.kill(children(supervisor)[0], signal.SIGKILL)
    failed = board.journal(spec.run_id)[-1].message
    assert failed.kind == "killed"
    assert "SIGKILL" in failed.message
    assert "measuring" in failed.message


@pytest.mark.slow
def test_a_supervisor_that_is_killed_leaves_a_journal_without_an_ending(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    supervisor = board.launch_well(spec)
    wait_for_latencies(board, spec.run_id)
    (measuring,) = children(supervisor)
    os.kill(supervisor, signal.SIGKILL)
    messages = [entry.message for entry in board.journal(spec.run_id)]
    assert not isinstance(messages[-1], Done | Failed)
    # The measuring process ends by itself, and with it the board's lock.
    wait_until(lambda: not Path(f"/proc/{measuring}").exists() or "Z" in Path(f"/proc/{measuring}/stat").read_text())
    assert isinstance(board.run(board.spec())[-1], Done)


def test_a_run_outlives_the_session_that_launched_it(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    supervisor = board.launch_well(spec, start_new_session=True)
    assert os.getsid(supervisor) == supervisor


@pytest.mark.long
def test_a_measuring_process_that_waits_for_ever_ends_its_run(
    board: AgentBoard, tiny_model: bytes, tmp_path: Path
) -> None:
    board.change("run/progress.py", b"TIMED_S = 10, 60", b"TIMED_S = 10, 8")
    endless = (
        "\nimport time\nreal = sys.modules[__name__].InferenceSession.run\nbegan = time.monotonic()\n"
        "def run(*given):\n    time.sleep(600 if time.monotonic() > began + 3 else 0)\n    return real(*given)\n"
        "sys.modules[__name__].InferenceSession.run = run\n"
    )
    put_before(board, tmp_path, "onnxruntime", "", endless)
    spec = board.long_spec(tiny_model)
    (measuring,) = children(board.launch_well(spec))
    messages = [entry.message for entry in board.journal(spec.run_id)]
    assert messages[-1].kind == "stuck"
    assert "measuring, sent nothing and used no processor time for 8 s" in messages[-1].message
    assert sum(len(block.items) for block in timed(messages)) > 0
    with pytest.raises(ProcessLookupError):
        os.kill(measuring, 0)


@pytest.mark.slow
def test_a_measuring_process_that_is_stopped_ends_its_run_soon(board: AgentBoard, tiny_model: bytes) -> None:
    board.change("run/progress.py", b"STOPPED_S = 10", b"STOPPED_S = 2")
    spec = board.long_spec(tiny_model)
    supervisor = board.launch_well(spec)
    wait_for_latencies(board, spec.run_id)
    (measuring,) = children(supervisor)
    os.kill(measuring, signal.SIGSTOP)
    messages = [entry.message for entry in board.journal(spec.run_id)]
    assert messages[-1].kind == "stuck"
    assert "measuring, has been stopped for 2 s, by a signal (SIGSTOP) or a debugger" in messages[-1].message
    assert sum(len(block.items) for block in timed(messages)) > 0
    with pytest.raises(ProcessLookupError):
        os.kill(measuring, 0)


@pytest.mark.slow
def test_a_stopped_supervisor_sends_no_heartbeats_and_is_ended_with_its_worker(
    board: AgentBoard, tiny_model: bytes
) -> None:
    board.change("run/pulse.py", b"QUIET_S = 5\nSTALLED_S = 45", b"QUIET_S = 2\nSTALLED_S = 6")
    spec = board.spec(mode="idle", min_duration_ns=600 * SECOND, sensors=False)
    supervisor = board.launch_well(spec)
    (measuring,) = children(supervisor)
    follower = board.start("follow", spec.run_id, 0)
    assert follower.stdout is not None and follower.stderr is not None
    while follower.stdout.readline() != HEARTBEAT:
        pass
    os.kill(supervisor, signal.SIGSTOP)
    stopped = time.monotonic()
    time.sleep(4)
    follower.communicate()  # as a host that hears nothing, and connects again
    follower = board.start("follow", spec.run_id, 0)
    assert follower.stdout is not None and follower.stderr is not None
    rest = follower.stdout.read()  # until the follower ends by itself
    assert follower.wait(DEADLINE_S) == 1
    assert time.monotonic() - stopped < 15
    assert HEARTBEAT not in rest
    said = follower.stderr.read().decode()
    assert said.startswith(f"the supervisor of run {spec.run_id} gave no sign of life for 6 s and was ended")
    follower.communicate()
    wait_until(lambda: is_gone(measuring))
    (run,) = board.reply("runs")["runs"]
    assert (run["id"], run["state"]) == (spec.run_id, "partial")
    assert isinstance(board.run(board.spec())[-1], Done)  # the board is free


@pytest.mark.slow
def test_a_supervisor_that_is_stopped_before_its_run_begins_ends_the_launch(
    board: AgentBoard, tiny_model: bytes, tmp_path: Path
) -> None:
    board.change("run/pulse.py", b"STALLED_S = 45", b"STALLED_S = 4")
    stop = "import os, signal, time\nif 'measure' in sys.argv:\n    os.kill(os.getppid(), signal.SIGSTOP)\n"
    put_before(board, tmp_path, "onnxruntime", "import sys\n" + stop + "    time.sleep(600)\n")
    reply = board.launch(board.model_spec(tiny_model))
    assert (reply["ok"], reply["kind"]) == (False, "stuck")
    assert "gave no sign of life for 4 s" in reply["message"]
    wait_until(lambda: board.reply("probe")["running"] is None)


def is_gone(pid: int) -> bool:
    """Return whether a process has ended, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_measuring_process_ends_with_its_supervisor_in_mid_inference(
    board: AgentBoard, tiny_model: bytes, tmp_path: Path
) -> None:
    endless = "\ndef spin(*_, **__):\n    while True: pass\nsys.modules[__name__].InferenceSession.run = spin\n"
    put_before(board, tmp_path, "onnxruntime", "", endless)
    spec = board.model_spec(tiny_model)
    supervisor = board.launch_well(spec)
    (measuring,) = children(supervisor)
    journal = board.home / "runs" / spec.run_id / "journal.ndjson"
    wait_until(lambda: b'"name":"first"' in journal.read_bytes())
    os.kill(supervisor, signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: is_gone(measuring))
    assert time.monotonic() - killed < 5


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("timeout") is None, reason="there is no command `timeout` here")
def test_a_sensors_command_ends_soon_after_its_supervisor(board: AgentBoard, tmp_path: Path) -> None:
    command, pids = tmp_path / "bin/vcgencmd", tmp_path / "pids"
    command.parent.mkdir()
    hangs = "sleep 600 & echo $$ $! >> {}; wait"
    command.write_text(f"#!/bin/sh\nif [ -e {tmp_path / 'hang'} ]; then {hangs.format(pids)}; fi\necho throttled=0x0\n")
    command.chmod(0o755)
    board.environment["PATH"] = f"{command.parent}:{os.environ['PATH']}"
    supervisor = board.launch_well(board.spec(mode="idle", min_duration_ns=600 * SECOND))
    time.sleep(1)
    (tmp_path / "hang").touch()
    wait_until(pids.exists)
    os.kill(supervisor, signal.SIGKILL)
    killed = time.monotonic()
    started = [int(word) for word in pids.read_text().split()]
    assert started
    wait_until(lambda: all(is_gone(pid) for pid in started))
    assert time.monotonic() - killed < 6


@pytest.mark.slow
def test_a_load_that_spins_for_ever_ends_its_run(board: AgentBoard, tiny_model: bytes, tmp_path: Path) -> None:
    board.change("run/progress.py", b"LOAD_S = 300", b"LOAD_S = 2")
    endless = "\ndef spin(*_, **__):\n    while True: pass\nsys.modules[__name__].InferenceSession = spin\n"
    put_before(board, tmp_path, "onnxruntime", "", endless)
    failed = failed_of(board, board.model_spec(tiny_model, mode="infer", max_duration_ns=MAX_INT))
    assert failed.kind == "stuck"
    assert "loading, sent nothing for 2 s, though it used processor time" in failed.message


@pytest.mark.slow
def test_slow_inferences_are_not_stuck_as_long_as_they_work(
    board: AgentBoard, tiny_model: bytes, tmp_path: Path
) -> None:
    board.change("run/progress.py", b"IDLE_FIRST_S = 300", b"IDLE_FIRST_S = 1")
    slow = (
        "\nimport time\nreal = sys.modules[__name__].InferenceSession.run\n"
        "def run(*given):\n    ends = time.monotonic() + 3\n    while time.monotonic() < ends: pass\n"
        "    return real(*given)\nsys.modules[__name__].InferenceSession.run = run\n"
    )
    put_before(board, tmp_path, "onnxruntime", "", slow)
    assert isinstance(board.run(board.model_spec(tiny_model, mode="infer", max_duration_ns=MAX_INT))[-1], Done)


@pytest.mark.slow
def test_the_supervisor_rests_while_the_runtime_is_imported(
    board: AgentBoard, tiny_model: bytes, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    put_before(
        board, tmp_path, "onnxruntime", f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.1)"
    )
    launcher = board.start("launch")
    try:
        assert launcher.stdin is not None
        launcher.stdin.write(board.model_spec(tiny_model).to_json())
        launcher.stdin.flush()
        wait_until(lambda: children(launcher.pid) and children(children(launcher.pid)[0]))
        (supervisor,) = children(launcher.pid)
        stat = Path(f"/proc/{supervisor}/stat")
        time.sleep(1)  # it may still be starting
        before, began = process_seconds(stat), time.monotonic()
        time.sleep(2)
        used, passed = process_seconds(stat), time.monotonic() - began
        assert before is not None
        assert used is not None
        assert used - before < passed / 4
    finally:
        go.touch()
        launcher.communicate(timeout=DEADLINE_S)


def test_a_process_that_the_runtime_leaves_behind_does_not_hold_up_the_end(
    board: AgentBoard, tiny_model: bytes, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    linger = f"while not os.path.exists({str(gone)!r}): time.sleep(0.1)"
    leave = f"import os, time\nif not os.fork():\n    {linger}\n    os._exit(0)"
    put_before(board, tmp_path, "onnxruntime", leave)
    try:
        assert isinstance(board.run(board.model_spec(tiny_model))[-1], Done)
    finally:
        gone.touch()
