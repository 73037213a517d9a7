"""edgebench device add, check and clean, against a real SSH server."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgebench.board.transport import HostKey, lookup_name
from tests.board.ssh_board import SshBoard, write_key
from tests.board.test_lease import somebody_else
from tests.fork_server import edgebench_command
from tests.schemas import check_schema


@dataclass
class Shell:
    """A user's machine: a home, a project's folder in it, and a board in the network."""

    home: Path
    board: SshBoard

    @property
    def folder(self) -> Path:
        return self.home / "project"

    @property
    def address(self) -> str:
        """Where the board is: --host of `device add`."""
        return f"{self.board.server.user}@127.0.0.1:{self.board.proxy.port}"

    def command(self, *arguments: str) -> dict[str, Any]:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}  # the code beside us
        environment = {**kept, "HOME": str(self.home), "COLUMNS": "200"}
        return {
            "args": [sys.executable, "-m", "edgebench", "device", *arguments],
            "cwd": self.folder,
            "env": environment,
        }

    def run(self, *arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
        """Run `edgebench device ...` without a terminal."""
        command = {**self.command(*arguments), "args": [*edgebench_command(), "device", *arguments]}
        return subprocess.run(**command, input=input, capture_output=True, text=True, timeout=600, check=False)

    def answer(self, reply: str, *arguments: str) -> tuple[int, str]:
        """Run `edgebench device ...` at a terminal and type a line; return the exit code and what was shown."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(**self.command(*arguments), stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            os.write(ours, reply.encode() + b"\n")
            shown = b""
            while chunk := _read(ours):
                shown += chunk
            os.close(ours)
            return process.wait(timeout=600), shown.decode()

    def answer_each(self, replies: Sequence[tuple[str, str]], *arguments: str) -> tuple[int, str]:
        """Run `edgebench device ...` at a terminal; type each reply once its prompt is shown."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(**self.command(*arguments), stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            shown, seen = b"", 0
            waiting = list(replies)
            while chunk := _read(ours):
                shown += chunk
                if waiting and waiting[0][0].encode() in shown[seen:]:
                    seen = len(shown)
                    time.sleep(0.2)  # a prompt for a password discards what was typed before
                    os.write(ours, waiting.pop(0)[1].encode() + b"\n")
            os.close(ours)
            return process.wait(timeout=600), shown.decode()

    def add(self, **settings: str) -> None:
        """Add the board as `pi4` with its key pinned."""
        given = {"python": sys.executable, "identity-file": str(self.board.identity_file)} | settings
        options = [word for name, value in given.items() for word in (f"--{name}", value)]
        result = self.run("add", "pi4", "--host", self.address, "--host-key", self.board.server.host_key, *options)
        assert result.returncode == 0, result.stderr

    def check(self) -> tuple[int, dict[str, dict[str, Any]], dict[str, Any]]:
        """Return the exit code of `device check`, its findings by what they are about, and the whole document."""
        result = self.run("check", "pi4", "--json", "-")
        assert result.stderr == ""
        document = json.loads(result.stdout)
        check_schema(document, "device-check")
        return result.returncode, {finding["what"]: finding for finding in document["findings"]}, document

    def devices(self) -> dict[str, Any]:
        path = self.folder / "edgebench.toml"
        return dict(tomllib.loads(path.read_text(encoding="utf-8"))["device"]) if path.exists() else {}


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says EIO where the other end is closed
        return b""


@pytest.fixture
def shell(tmp_path: Path, ssh_board: SshBoard) -> Shell:
    (tmp_path / "host" / "project").mkdir(parents=True)
    return Shell(tmp_path / "host", ssh_board)


# --- add --------------------------------------------------------------------------------------------------------


def test_an_unknown_host_key_without_a_terminal_says_what_to_pass_and_that_works(shell: Shell) -> None:
    refused = shell.run("add", "pi4", "--host", shell.address)
    assert refused.returncode == 1
    assert shell.devices() == {}
    key = HostKey.parse(shell.board.server.host_key)
    assert key is not None
    assert key.fingerprint in refused.stderr
    printed = re.search(r"--host-key '([^']+)'", refused.stderr)
    assert printed
    assert shell.run("add", "pi4", "--host", shell.address, "--host-key", printed[1]).returncode == 0
    assert shell.devices()["pi4"]["host_key"] == str(key)


def test_a_key_of_known_hosts_is_pinned_without_a_question(shell: Shell) -> None:
    name = lookup_name("127.0.0.1", shell.board.proxy.port)
    (shell.home / ".ssh").mkdir()
    (shell.home / ".ssh" / "known_hosts").write_text(f"{name} {shell.board.server.host_key}\n", encoding="utf-8")
    added = shell.run("add", "pi4", "--host", shell.address)
    assert added.returncode == 0
    assert "as known_hosts says" in added.stderr
    assert shell.devices()["pi4"]["host_key"] == " ".join(shell.board.server.host_key.split()[:2])


def test_a_key_other_than_that_of_known_hosts_is_refused(shell: Shell) -> None:
    name = lookup_name("127.0.0.1", shell.board.proxy.port)
    (shell.home / ".ssh").mkdir()
    (shell.home / ".ssh" / "known_hosts").write_text(f"{name} {shell.board.server.host_key}\n", encoding="utf-8")
    shell.board.server.change_host_key()
    refused = shell.run("add", "pi4", "--host", shell.address)
    assert refused.returncode == 1
    assert "known_hosts has another" in refused.stderr
    assert shell.devices() == {}


def test_a_yes_at_the_terminal_pins_the_key_that_was_shown(shell: Shell) -> None:
    code, shown = shell.answer("y", "add", "pi4", "--host", shell.address)
    assert code == 0
    key = HostKey.parse(shell.board.server.host_key)
    assert key is not None
    assert key.fingerprint in shown.replace("\r\n", "")
    assert shell.devices()["pi4"]["host_key"] == str(key)


def test_a_no_at_the_terminal_writes_nothing(shell: Shell) -> None:
    code, shown = shell.answer("n", "add", "pi4", "--host", shell.address)
    assert code == 1
    assert "was not confirmed" in shown
    assert shell.devices() == {}


def test_copy_id_opens_the_door_for_the_users_key(shell: Shell) -> None:
    shell.board.server.password = "raspberry"  # type: ignore[attr-defined]
    public = write_key(shell.home / ".ssh" / "id_ed25519")
    (shell.home / ".ssh" / "id_ed25519.pub").write_text(public + " me@here\n", encoding="utf-8")
    pinned = ["--host-key", shell.board.server.host_key]
    added = shell.run(
        "add", "pi4", "--host", shell.address, *pinned, "--copy-id", "--password-stdin", input="raspberry\n"
    )
    assert added.returncode == 0, added.stderr
    assert "the key is installed" in added.stderr
    assert public in (shell.board.home / ".ssh" / "authorized_keys").read_text(encoding="utf-8")
    shell.board.server.password = None  # type: ignore[attr-defined]
    _, found, _ = shell.check()
    assert found["connection"]["state"] == "ok"


def test_copy_id_with_a_wrong_password_writes_nothing(shell: Shell) -> None:
    shell.board.server.password = "raspberry"  # type: ignore[attr-defined]
    public = write_key(shell.home / ".ssh" / "id_ed25519")
    (shell.home / ".ssh" / "id_ed25519.pub").write_text(public + " me@here\n", encoding="utf-8")
    pinned = ["--host-key", shell.board.server.host_key]
    refused = shell.run(
        "add", "pi4", "--host", shell.address, *pinned, "--copy-id", "--password-stdin", input="guess\n"
    )
    assert refused.returncode == 1
    assert "refuses this password" in refused.stderr
    assert shell.devices() == {}


def own_key(shell: Shell) -> str:
    public = write_key(shell.home / ".ssh" / "id_ed25519")
    (shell.home / ".ssh" / "id_ed25519.pub").write_text(public + " me@here\n", encoding="utf-8")
    return public


def test_a_mistyped_password_is_asked_for_again_and_the_host_key_is_not(shell: Shell) -> None:
    shell.board.server.password = "raspberry"  # type: ignore[attr-defined]
    own_key(shell)
    replies = [("from now on?", "y"), ("Password of", "gues"), ("Password of", "guess"), ("Password of", "raspberry")]
    code, shown = shell.answer_each(replies, "add", "pi4", "--host", shell.address, "--copy-id")
    assert code == 0, shown
    assert shown.count("from now on?") == 1
    assert shown.count("refuses this password") == 2
    assert shell.devices()["pi4"]["host_key"] == " ".join(shell.board.server.host_key.split()[:2])


def test_three_wrong_passwords_end_it_with_the_option_that_saves_the_question(shell: Shell) -> None:
    shell.board.server.password = "raspberry"  # type: ignore[attr-defined]
    own_key(shell)
    replies = [("from now on?", "y"), *[("Password of", "guess")] * 3]
    code, shown = shell.answer_each(replies, "add", "pi4", "--host", shell.address, "--copy-id")
    assert code == 1
    assert shown.count("refuses this password") == 3
    assert f"--host-key '{' '.join(shell.board.server.host_key.split()[:2])}'" in shown
    assert shell.devices() == {}


def test_a_board_that_an_authority_certifies_needs_no_question_and_no_pin(shell: Shell) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    authority, host = shell.home / "ca", shell.home / "host"
    for key in (authority, host):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "b", "-h", "-n", "127.0.0.1", f"{host}.pub"], check=True)
    shell.board.server.use_certificate(host)
    (shell.home / ".ssh").mkdir()
    line = f"@cert-authority * {authority.with_suffix('.pub').read_text()}"
    (shell.home / ".ssh" / "known_hosts").write_text(line, encoding="utf-8")
    added = shell.run("add", "pi4", "--host", shell.address, "--identity-file", str(shell.board.identity_file))
    assert added.returncode == 0, added.stderr
    assert "as an authority of known_hosts certifies" in added.stderr
    assert "host_key" not in shell.devices()["pi4"]


def test_a_server_that_is_not_ssh_is_tried_with_the_user_that_was_given(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            peer = listener.accept()[0]
            peer.sendall(b"220 this is mail\r\n" * 200)
            peer.close()

        threading.Thread(target=answer, daemon=True).start()
        port = listener.getsockname()[1]
        refused = shell.run("add", "pi4", "--host", f"hpi@127.0.0.1:{port}")
    assert refused.returncode == 1
    assert f"try: ssh -p {port} hpi@127.0.0.1" in refused.stderr


# --- check ------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_board_with_a_runtime_can_measure(shell: Shell) -> None:
    pytest.importorskip("onnxruntime")
    shell.add()
    code, found, document = shell.check()
    assert code == 0, document
    assert document["can_measure"] is True
    assert found["host key"]["seen"] == "pinned"
    assert found["Python"]["seen"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert found["onnxruntime"]["state"] == found["numpy"]["state"] == "ok"
    assert found["other runs"]["seen"] == "none"
    assert document["board"]["memory_available_bytes"] > 0
    assert "µs" in found["own cost"]["seen"]
    assert "ratio" in found["sensors"]["seen"]
    low, high = document["overhead_us"]["per_inference_ci"]
    assert low <= document["overhead_us"]["per_inference"] <= high


def test_another_run_on_the_board_is_a_finding(shell: Shell) -> None:
    shell.add()
    shell.board.edgebench_home.mkdir()
    with (shell.board.edgebench_home / "lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("20261122T220000-abc-001")
        lock.flush()
        code, found, _ = shell.check()
    assert code == 1
    assert "own cost" not in found
    assert "20261122T220000-abc-001 is measuring now" in found["other runs"]["seen"]


def test_a_board_that_somebody_has_is_not_measured_by_a_check(shell: Shell) -> None:
    shell.add()
    with somebody_else(shell.board):
        code, found, document = shell.check()
    assert code == 0
    assert found["own cost"]["seen"].startswith("own cost not measured: bert@laptop (his job) has the board")
    assert document["overhead_us"] is None
    assert not list((shell.board.edgebench_home / "runs").iterdir())


def test_the_table_says_the_same(shell: Shell) -> None:
    shell.add(python="/nowhere/python3")
    result = shell.run("check", "pi4")
    assert result.returncode == 1
    assert "pi4: no measurement can be made yet" in result.stdout
    assert "no Python at '/nowhere/python3'" in result.stdout


def test_a_python_that_is_not_there_is_a_finding(shell: Shell) -> None:
    shell.add(python="/nowhere/python3")
    code, found, _ = shell.check()
    assert code == 1
    assert found["connection"]["state"] == "ok"
    assert found["Python"]["state"] == "to mend"
    assert "sudo apt install python3" in found["Python"]["seen"]


def test_a_runtime_that_is_not_there_is_a_finding_with_the_command_that_mends_it(shell: Shell) -> None:
    bare = shell.home / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True, timeout=600)
    shell.add(python=str(bare / "bin" / "python"))
    code, found, _ = shell.check()
    assert code == 1
    assert found["Python"]["state"] == "ok"
    assert found["onnxruntime"]["state"] == "to mend"
    assert "pip install" in found["onnxruntime"]["mend"]


def test_a_changed_host_key_is_a_finding(shell: Shell) -> None:
    shell.add()
    shell.board.server.change_host_key()
    code, found, document = shell.check()
    assert code == 1
    assert document["can_measure"] is False
    assert found["host key"]["state"] == "to mend"


def test_a_login_that_is_refused_is_a_finding(shell: Shell) -> None:
    write_key(shell.home / "other")
    shell.add(**{"identity-file": str(shell.home / "other")})
    code, found, _ = shell.check()
    assert code == 1
    assert "--copy-id" in found["login"]["seen"]


def test_a_board_that_is_off_is_a_finding(shell: Shell) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens
        address = f"pi@127.0.0.1:{nobody.getsockname()[1]}"
        shell.run("add", "pi4", "--host", address, "--host-key", shell.board.server.host_key)
        code, found, _ = shell.check()
    assert code == 1
    assert list(found) == ["connection"]
    assert found["connection"]["state"] == "to mend"
    assert "connection refused" in found["connection"]["seen"]


# --- clean ------------------------------------------------------------------------------------------------------


@pytest.fixture
def blobs(shell: Shell) -> Path:
    """Return the board's blobs: three of 1 MB, last used 1, 10 and 100 days ago."""
    shell.add()
    folder = shell.board.edgebench_home / "blobs"
    folder.mkdir(parents=True)
    for letter, days in (("a", 1), ("b", 10), ("c", 100)):
        (folder / (letter * 64)).write_bytes(bytes(1_000_000))
        os.utime(folder / (letter * 64), times=(time.time() - days * 86400,) * 2)
    return folder


def left(blobs: Path) -> str:
    return "".join(sorted(path.name[0] for path in blobs.iterdir()))


def test_what_is_older_goes(shell: Shell, blobs: Path) -> None:
    result = shell.run("clean", "pi4", "--older-than", "30d", "--json", "-")
    assert result.returncode == 0, result.stderr
    assert left(blobs) == "ab"
    document = json.loads(result.stdout)
    check_schema(document, "device-clean")
    assert (document["device"], document["dry_run"], document["removed_bytes"]) == ("pi4", False, 1_000_000)
    (removed,) = document["removed"]
    assert removed["name"] == "blobs/" + "c" * 64
    assert removed["age_s"] >= 99 * 86400


def test_a_dry_run_only_says_what_would_go(shell: Shell, blobs: Path) -> None:
    result = shell.run("clean", "pi4", "--older-than", "5d", "--dry-run")
    assert "pi4: would remove 2 things, 2.0 MB" in result.stdout
    assert left(blobs) == "abc"


def test_nothing_goes_while_somebody_has_the_board(shell: Shell, blobs: Path) -> None:
    with somebody_else(shell.board):
        refused = shell.run("clean", "pi4", "--max-size", "0")
        assert refused.returncode == 1
        assert "pi4: bert@laptop (his job) has the board; try again when it is given back" in refused.stderr
        assert "--wait" not in refused.stderr
        assert left(blobs) == "abc"
        assert shell.run("clean", "pi4", "--max-size", "0", "--dry-run").returncode == 0
    assert shell.run("clean", "pi4", "--max-size", "0").returncode == 0
    assert left(blobs) == ""


def test_the_oldest_go_until_it_is_small_enough(shell: Shell, blobs: Path) -> None:
    result = shell.run("clean", "pi4", "--max-size", "1.5MB")
    assert result.returncode == 0, result.stderr
    assert "removed 2 things, 2.0 MB" in result.stdout
    assert left(blobs) == "a"
