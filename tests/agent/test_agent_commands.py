"""probe and clean, and commands that are none."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import venv
from pathlib import Path

import pytest

from edgebench_agent import protocol
from edgebench_agent.home import Home
from edgebench_agent.protocol.checks import is_board_facts
from edgebench_agent.storage.cleaning import clean
from tests.agent.agent_board import AgentBoard, wait_until


def test_probe_tells_the_board_and_each_runtime(board: AgentBoard) -> None:
    reply = board.reply("probe", "--runtime", "onnxruntime", "--runtime", "null")
    assert is_board_facts(reply["board"])
    assert reply["board"]["python_executable"] == sys.executable
    assert reply["board"]["memory_available_bytes"] <= reply["board"]["memory_bytes"]
    found = reply["runtimes"]["onnxruntime"]
    assert set(found) == {"ok", "version", "providers", "libraries", "error"}
    assert found["ok"] is True
    assert found["error"] is None
    assert "CPUExecutionProvider" in found["providers"]
    assert set(found["libraries"]) == {"numpy"}
    assert reply["runtimes"]["null"]["ok"]
    assert not board.home.exists()  # looking changes nothing


def test_probe_says_what_an_empty_python_lacks_and_how_to_mend_it(tmp_path: Path) -> None:
    venv.create(tmp_path / "empty", with_pip=False, symlinks=True)
    python = str(tmp_path / "empty/bin/python")
    reply = AgentBoard(tmp_path, python).reply("probe", "--runtime", "onnxruntime", "--runtime", "null")
    found = reply["runtimes"]["onnxruntime"]
    assert not found["ok"]
    assert "lacks numpy" in found["error"]
    assert f"{python} -m pip install" in found["error"]
    assert "numpy onnxruntime" in found["error"]
    assert reply["runtimes"]["null"]["ok"]


def test_launch_without_the_runtime_says_so(tmp_path: Path, tiny_model: bytes) -> None:
    venv.create(tmp_path / "empty", with_pip=False, symlinks=True)
    board = AgentBoard(tmp_path, str(tmp_path / "empty/bin/python"))
    reply = board.launch(board.model_spec(tiny_model))
    assert reply["kind"] == "runtime_missing"
    assert "pip install" in reply["message"]


def test_probe_of_an_unknown_runtime_names_the_known_ones(board: AgentBoard) -> None:
    found = board.reply("probe", "--runtime", "tensorflow")["runtimes"]["tensorflow"]
    assert not found["ok"]
    assert "onnxruntime" in found["error"]


@pytest.mark.parametrize("arguments", [(), ("fly",), ("probe", "--unknown"), ("clean", "--keep-bytes", "lots")])
def test_a_command_that_is_none_is_a_bad_request(board: AgentBoard, arguments: tuple[str, ...]) -> None:
    assert board.reply(*arguments)["kind"] == "bad_request"


def test_temperatures_are_told_without_a_probe(board: AgentBoard) -> None:
    told = board.reply("temperatures")
    assert told["ok"] is True
    assert all(type(value) is int for value in told["temperature_mc"].values())


# --- clean ------------------------------------------------------------------------------------------------------


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


def test_probe_names_a_process_that_keeps_the_board_busy(board: AgentBoard) -> None:
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        wait_until(lambda: any(entry["cpu_millicores"] >= 50 for entry in board.reply("probe")["busiest"]))
    finally:
        spinning.kill()
        spinning.wait()


# --- another user's files -----------------------------------------------------------------------------------------

NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
@pytest.mark.parametrize("theirs", ["lease.json", "lease.lock", "lease.renewed", "lock", "blobs", "."])
def test_files_of_another_user_are_named_with_their_owner_and_what_mends_it(theirs: str) -> None:
    """As after `sudo edgebench`: some of the home is root's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        board = AgentBoard(Path(folder), "/usr/bin/python3")
        spec = board.spec()
        ask = protocol.LeaseRequest(do="acquire", ticket="a", who="a").to_json()
        token = board.reply("lease", input=ask)["token"]
        board.reply("lease", input=protocol.LeaseRequest(do="renew", token=token).to_json())
        (board.home / "lock").touch()
        mine = {"user": NOBODY, "group": NOBODY}
        subprocess.run(["chown", "-R", str(NOBODY), board.home], check=True)
        path = board.home / theirs
        os.chown(path, 0, 0)
        path.chmod(0o600)
        asked = {
            "lease": ask,
            "launch": dataclasses.replace(spec, lease_token=token).to_json(),
            f"receive {'0' * 64} 1 --lease {token}": b"x",
        }
        replies = [board.replies(*command.split(), input=line, **mine)[-1] for command, line in asked.items()]
        refused = [reply for reply in replies if not reply["ok"] and reply["kind"] == "not_permitted"]
        assert refused, replies
        assert not [reply for reply in replies if reply.get("kind") == "crashed"]
        for reply in refused:
            assert f"{path} belongs to root, and we are nobody" in reply["message"]
            assert f'sudo chown -R "$USER" {board.home}, or set EDGEBENCH_HOME to' in reply["message"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_may_not_be_written_is_told(board: AgentBoard) -> None:
    board.home.mkdir(mode=0o500)
    reply = board.reply("lease", input=protocol.LeaseRequest(do="acquire", ticket="a", who="a").to_json())
    assert (reply["kind"], "chmod -R u+rwX" in reply["message"]) == ("not_permitted", True)
