"""clean: what is removed, and what stays because something uses it."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from edgebench_agent.home import Home
from edgebench_agent.storage.cleaning import clean
from tests.agent.agent_board import AgentBoard, wait_until


def age(path: Path, seconds: float) -> None:
    """Let a file, or a folder with what is in it, have been used so long ago."""
    for entry in [path, *(path.rglob("*") if path.is_dir() else ())]:
        before = entry.stat().st_mtime - seconds
        os.utime(entry, (before, before), follow_symlinks=False)


def left(board: AgentBoard) -> set[str]:
    return {path.name for folder in ("blobs", "runs") for path in (board.home / folder).iterdir()}


def test_clean_without_limits_removes_nothing(board: AgentBoard) -> None:
    board.push(b"some bytes")
    reply = board.reply("clean")
    assert (reply["removed"], reply["removed_bytes"], reply["kept_bytes"]) == ([], 0, 10)


def test_clean_of_an_empty_board_is_fine(board: AgentBoard) -> None:
    assert board.reply("clean", "--older-than-s", 0)["removed"] == []


def test_clean_removes_what_was_not_used_for_so_long(board: AgentBoard) -> None:
    old, new = board.push(b"old"), board.push(b"newer")
    age(board.home / "blobs" / old, 1000)
    for dry in (["--dry-run"], []):
        reply = board.reply("clean", "--older-than-s", 500, *dry)
        assert [(entry["name"], entry["bytes"]) for entry in reply["removed"]] == [(f"blobs/{old}", 3)]
        assert reply["removed"][0]["age_s"] >= 1000
        assert left(board) == ({old, new} if dry else {new})


def test_clean_keeps_the_latest_within_a_size(board: AgentBoard) -> None:
    names = [board.push(bytes([number]) * 1000) for number in range(4)]
    for number, name in enumerate(names):
        age(board.home / "blobs" / name, 1000 - number)
    reply = board.reply("clean", "--keep-bytes", 2500)
    assert reply["kept_bytes"] == 2000
    assert left(board) == set(names[2:])


def test_clean_removes_old_runs_and_unfinished_parts(board: AgentBoard) -> None:
    spec = board.spec()
    board.run(spec)
    board.replies("receive", "ab" * 32, 100, input=b"only the start")
    assert left(board) == {spec.run_id, spec.inputs_sha256, f"{'ab' * 32}.part"}
    board.reply("clean", "--older-than-s", 0)
    assert left(board) == set()


def test_clean_leaves_what_a_run_or_a_sender_uses(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    board.launch_well(spec)
    idle = board.push(b"used by nobody")
    sender = board.start("receive", "ab" * 32, 100)
    assert sender.stdout is not None
    sender.stdout.readline()
    board.reply("clean", "--older-than-s", 0)
    assert left(board) == {spec.run_id, spec.inputs_sha256, spec.files[0]["sha256"], f"{'ab' * 32}.part"}
    assert idle not in left(board)
    sender.communicate()


def test_a_run_that_died_keeps_no_blob_in_use(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    os.kill(board.launch_well(spec), 9)
    model = board.home / "blobs" / spec.files[0]["sha256"]
    wait_until(lambda: board.reply("clean")["ok"] and model.stat().st_nlink == 1)


def test_clean_leaves_the_agent_that_runs_it(board: AgentBoard) -> None:
    agents = board.home / "agents"
    agents.mkdir(parents=True)
    own = board.archive.rename(agents / board.archive.name)
    board.archive = own
    (agents / f"{'ab' * 32}.pyz").write_bytes(b"an older one")
    board.reply("clean", "--older-than-s", 0)
    assert list(agents.iterdir()) == [own]


@pytest.mark.slow
def test_what_vanishes_while_clean_looks_is_gone(board: AgentBoard) -> None:
    home = Home(board.home)
    home.create()
    run = home.runs / "run-1"
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            (home.blobs / ("ab" * 32)).touch()
            (home.blobs / f"{'cd' * 32}.part").touch()
            (run / "model").mkdir(parents=True, exist_ok=True)
            (run / "model/model.onnx").touch()
            (home.blobs / ("ab" * 32)).unlink(missing_ok=True)
            (home.blobs / f"{'cd' * 32}.part").unlink(missing_ok=True)
            shutil.rmtree(run)

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(1000):
            clean(home, older_than_s=3600, keep_bytes=None, dry_run=False)
            clean(home, older_than_s=0, keep_bytes=None, dry_run=True)
    finally:
        ended.set()
        other.join()


def test_clean_of_a_home_that_does_not_exist_changes_nothing(tmp_path: Path) -> None:
    found = clean(Home(tmp_path / "none"), older_than_s=0, keep_bytes=0, dry_run=False)
    assert found["removed"] == []
    assert not (tmp_path / "none").exists()
