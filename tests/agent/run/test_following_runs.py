"""Following a run, and fetching its files."""

from __future__ import annotations

import os
import signal

import pytest

from edgebench_agent.protocol import (
    HEARTBEAT,
    RENEW,
    STOP,
    decode_message,
)
from edgebench_agent.storage.journal_tail import has_writer
from tests.agent.agent_board import DEADLINE_S, AgentBoard, children
from tests.agent.runs import run_folder, timed, wait_for_latencies


def test_fetch_hands_out_only_a_runs_own_files(board: AgentBoard) -> None:
    spec = board.spec()
    board.run(spec)
    for name in ("spec.json", "../../lock", "/etc/passwd", "outputs.npy"):
        done = board.command("fetch", spec.run_id, name, 0)
        assert (done.returncode, done.stdout) == (1, b"")
        assert len(done.stderr.splitlines()) == 1
    for run_id in ("no-such-run", "..", "../.."):
        assert board.command("follow", run_id, 0).returncode == 1


def test_what_is_wrong_with_following_is_one_printable_line(board: AgentBoard) -> None:
    (run_folder(board, "run-1") / "journal.ndjson").mkdir(parents=True)  # it can't be read
    for arguments in (("run-1", 0), ("run-1", 0, "\x1b[2J\n" * 2000)):
        done = board.command("follow", *arguments)
        assert (done.returncode, done.stdout) == (1, b"")
        said = done.stderr.decode()
        assert said.endswith("\n")
        assert said[:-1].isprintable()
        assert 0 < len(said) <= 1001


def test_a_follower_picks_up_at_any_line_with_nothing_lost_or_doubled(board: AgentBoard) -> None:
    spec = board.spec()
    board.run(spec)
    whole = board.command("fetch", spec.run_id, "journal.ndjson", 0).stdout
    lines = whole.splitlines(keepends=True)
    for kept in (1, len(lines) // 2, len(lines)):
        offset = sum(len(line) for line in lines[:kept])
        follower = board.start("follow", spec.run_id, offset)
        assert follower.stdout is not None
        assert b"".join(lines[:kept]) + follower.stdout.read() == whole
        assert follower.wait(DEADLINE_S) == 0
        follower.communicate()
    torn = board.command("follow", spec.run_id, len(lines[0]) - 1)
    assert (torn.returncode, torn.stdout) == (1, b"")


def test_a_follower_that_loses_its_host_ends_and_the_run_goes_on(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    board.launch_well(spec)
    read = b""
    for _ in range(3):
        follower = board.start("follow", spec.run_id, len(read))
        assert follower.stdout is not None
        lines = [follower.stdout.readline() for _ in range(4)]
        read += b"".join(line for line in lines if line != HEARTBEAT)
        follower.communicate(timeout=DEADLINE_S)  # closes its input
        assert follower.returncode == 0
    assert has_writer(run_folder(board, spec.run_id) / "journal.ndjson")
    seqs = [decode_message(line).seq for line in read.splitlines(keepends=True)]
    assert seqs == list(range(len(seqs)))


@pytest.mark.slow
def test_a_follower_shows_that_it_lives_while_nothing_is_new(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model, sensors=False)
    supervisor = board.launch_well(spec)
    wait_for_latencies(board, spec.run_id)
    (measuring,) = children(supervisor)
    follower = board.start("follow", spec.run_id, 0)
    assert follower.stdout is not None
    os.kill(measuring, signal.SIGSTOP)
    try:
        while follower.stdout.readline() != HEARTBEAT:
            pass
    finally:
        os.kill(measuring, signal.SIGCONT)
    follower.communicate(timeout=DEADLINE_S)


@pytest.mark.slow
def test_a_run_ends_cleanly_when_the_host_says_stop(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    board.launch_well(spec)
    wait_for_latencies(board, spec.run_id)
    follower = board.start("follow", spec.run_id, 0)
    assert follower.stdin is not None
    assert follower.stdout is not None
    follower.stdin.write(RENEW + b"nonsense\n" + STOP)
    follower.stdin.flush()
    lines = [line for line in follower.stdout if line != HEARTBEAT]
    assert follower.wait(DEADLINE_S) == 0
    follower.communicate()
    messages = [decode_message(line).message for line in lines]
    assert messages[-1].kind == "interrupted"
    assert sum(len(block.items) for block in timed(messages)) > 0
