"""probe, commands that do not exist, and files of another user."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest

from edgebench_agent import protocol
from edgebench_agent.protocol.checks import is_board_facts
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


@pytest.mark.slow
def test_probe_names_a_process_that_keeps_the_board_busy(board: AgentBoard) -> None:
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:

        def is_named() -> bool:
            found = board.reply("probe")
            return found["load"]["others_cpu_millicores"] >= 50 and any(
                entry["pid"] == spinning.pid and entry["cpu_millicores"] >= 50 for entry in found["busiest"]
            )

        wait_until(is_named)
        assert board.reply("load", "--seconds", "0.2")["load"]["watched_ms"] >= 200
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
