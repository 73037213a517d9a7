"""The list of runs on a board, for a host that was away when they ended; and their journals, which it reads then."""

from __future__ import annotations

import os
import signal

import pytest

from edgebench_agent.protocol import Done, decode_message
from edgebench_agent.storage.journal_tail import has_writer
from tests.agent.agent_board import SECOND, AgentBoard, children, wait_until


@pytest.mark.slow
def test_runs_are_listed_with_their_state_and_their_journals_are_read_from_the_start(board: AgentBoard) -> None:
    assert board.reply("runs") == {"ok": True, "runs": [], "lost": [], "count": 0}
    finished = board.spec(run_id="s1-finished")
    board.launch_well(finished)
    followed = board.journal(finished.run_id)
    killed = board.spec(run_id="s1-killed", mode="idle", min_duration_ns=600 * SECOND)
    supervisor = board.launch_well(killed)
    for pid in (supervisor, *children(supervisor)):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not has_writer(board.home / "runs/s1-killed/journal.ndjson"))
    wait_until(lambda: board.reply("probe")["running"] is None)
    running = board.spec(run_id="s2-running", mode="idle", min_duration_ns=600 * SECOND)
    board.launch_well(running)
    listed = board.reply("runs")
    assert {run["id"]: run["state"] for run in listed["runs"]} == {
        "s1-finished": "finished",
        "s1-killed": "partial",
        "s2-running": "running",
    }
    assert listed["count"] == 3
    assert [run["id"] for run in board.reply("runs", "--prefix", "s2-")["runs"]] == ["s2-running"]
    sizes = {run["id"]: run["bytes"] for run in listed["runs"]}
    for run_id in ("s1-finished", "s1-killed"):
        told = board.command("fetch", run_id, "journal.ndjson", 0).stdout
        assert len(told) == sizes[run_id]
        entries = board.journal(run_id)  # as `follow` sends it
        assert [decode_message(line) for line in told.splitlines(keepends=True)] == entries
        assert isinstance(entries[-1].message, Done) == (run_id == "s1-finished")
    assert board.journal("s1-finished") == followed


def test_a_torn_last_line_does_not_count(board: AgentBoard) -> None:
    spec = board.spec()
    board.run(spec)
    journal = board.home / "runs" / spec.run_id / "journal.ndjson"
    wait_until(lambda: not has_writer(journal) and not journal.is_symlink())
    (run,) = board.reply("runs")["runs"]
    assert (run["state"], run["bytes"]) == ("finished", journal.stat().st_size)
    data = journal.read_bytes()
    journal.write_bytes(data[:-5])
    (run,) = board.reply("runs")["runs"]
    assert (run["state"], run["bytes"]) == ("partial", data[:-1].rfind(b"\n") + 1)


def test_a_journal_that_a_reboot_took_is_listed_as_lost(board: AgentBoard) -> None:
    spec = board.spec()
    board.run(spec)
    journal = board.home / "runs" / spec.run_id / "journal.ndjson"
    wait_until(lambda: not has_writer(journal))
    journal.unlink()
    journal.symlink_to("/dev/shm/edgebench-gone/journal.ndjson")
    reply = board.reply("runs")
    assert (reply["runs"], reply["lost"]) == ([], [{"id": spec.run_id, "state": "lost", "bytes": 0}])
