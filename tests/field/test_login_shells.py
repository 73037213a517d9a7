"""Files that a board's login shell reads: what they print is not a command's output, and what they do is named."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import sys
from pathlib import Path

import pytest

from edgebench.board import connect_agent
from edgebench.board.transport import open_transport
from edgebench.board.transport.ssh.login_output import LoginOutput
from edgebench.errors import BoardError
from tests.board.ssh_board import SshBoard
from tests.board.ssh_server import AsyncSshServer
from tests.board.test_ssh_commands import ECHO_ARGUMENTS, HARD_ARGUMENTS


@pytest.fixture
def bash_board(openssh_board: SshBoard) -> SshBoard:
    """A board behind OpenSSH whose user has bash, which reads ~/.bashrc for every command."""
    if not pwd.getpwnam(openssh_board.server.user).pw_shell.endswith("bash") or shutil.which("bash") is None:
        pytest.skip("the user's shell is not bash")
    return openssh_board


def bashrc(board: SshBoard, text: str) -> None:
    (board.home / ".bashrc").write_text(text)


@pytest.mark.openssh
@pytest.mark.parametrize(
    "text", ["echo hi\n", "printf 'no newline'\n", "seq 20000\n", "echo to-stderr >&2\n", "echo edgebench-0\n"]
)
def test_what_bashrc_prints_is_not_the_commands(bash_board: SshBoard, text: str) -> None:
    bashrc(bash_board, text)
    data = bytes(range(256)) * 2000
    with open_transport(bash_board.device()) as transport:
        assert transport.run(["cat"], input=data).stdout == data
        assert transport.run(["sh", "-c", "exit 3"]).status == 3


@pytest.mark.openssh
def test_a_bashrc_that_waits_for_input_is_named(bash_board: SshBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgebench.board.transport.ssh.limits.LOGIN_SHELL_S", 1.0)
    bashrc(bash_board, "echo 'Continue? [y/n]'\nread answer\n")
    with (
        open_transport(bash_board.device()) as transport,
        pytest.raises(
            BoardError, match=r"does not get to the command \(it printed: Continue\? .*~/.bashrc.*input \(read\)"
        ),
    ):
        transport.run(["cat"], input=b"data")


@pytest.mark.openssh
@pytest.mark.parametrize("text", ["exit 0\n", "echo this account is closed; exit 1\n", "exec true\n"])
def test_a_bashrc_that_ends_the_shell_is_named(bash_board: SshBoard, text: str) -> None:
    bashrc(bash_board, text)
    why = r"the login shell ended before the command began.*~/.bashrc"
    with open_transport(bash_board.device()) as transport, pytest.raises(BoardError, match=why):
        transport.run(["true"])


def test_the_marker_may_come_in_parts_and_with_the_first_output() -> None:
    output = LoginOutput(b"mark\n")
    assert all(output.add(part) for part in (b"hello\nma", b"rk"))
    assert not output.is_over
    assert output.add(b"\nfirst")
    assert (output.is_over, output.take(3), output.take(9), output.rest) == (True, b"fir", b"st", b"")


def test_a_shell_that_prints_without_end_is_given_up() -> None:
    output = LoginOutput(b"mark\n")
    assert not output.add(b"y\n" * (1 << 20))
    assert "prints without end" in output.why_no_command(ended=False)


def with_shell(board: SshBoard, shell: str) -> SshBoard:
    """Let commands run as sshd runs them for a user with this shell: `SHELL -c COMMAND`."""
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    assert isinstance(board.server, AsyncSshServer)
    board.server.login_shell = path
    return board


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "fish", "tcsh", "csh", "ksh", "mksh"])
def test_every_login_shell_runs_what_is_sent(ssh_board: SshBoard, shell: str) -> None:
    hard = [
        *HARD_ARGUMENTS,
        "%",
        "%0101",
        "\\",
        "\\'",
        "ends in \\",
        "a!b",
        "\n",
        "x\n\n",
        "\x01\x7f",
        os.fsdecode(b"\xff"),
    ]
    with open_transport(with_shell(ssh_board, shell).device()) as transport:
        result = transport.run([sys.executable, "-c", ECHO_ARGUMENTS, *hard])
        assert json.loads(result.stdout) == hard
        assert transport.run(["cat"], input=bytes(range(256))).stdout == bytes(range(256))
        assert transport.run(["sh", "-c", "echo oh! >&2; exit 3"]).status == 3
        assert transport.run(["/no-such-command"]).status == 127
    with connect_agent(ssh_board.device()) as agent:
        assert agent.probe().board.system.arch == os.uname().machine


@pytest.mark.parametrize(
    ("shell", "file"), [("tcsh", ".cshrc"), ("fish", ".config/fish/config.fish"), ("zsh", ".zshenv")]
)
def test_what_other_shells_files_print_is_not_the_commands(ssh_board: SshBoard, shell: str, file: str) -> None:
    board = with_shell(ssh_board, shell)
    (board.home / file).parent.mkdir(parents=True, exist_ok=True)
    (board.home / file).write_text("echo hello\n")
    with open_transport(board.device()) as transport:
        assert transport.run(["echo", "1"]).stdout == b"1\n"


def test_a_restricted_shell_is_named(ssh_board: SshBoard) -> None:
    with (
        open_transport(with_shell(ssh_board, "rbash").device()) as transport,
        pytest.raises(BoardError, match=r"the login shell is a restricted one.*chsh -s /bin/sh"),
    ):
        transport.run(["true"])


@pytest.mark.parametrize("stream", ["1", "2"])
def test_a_shell_that_only_prints_a_banner_is_quoted(ssh_board: SshBoard, tmp_path: Path, stream: str) -> None:
    shell = tmp_path / "banner"
    shell.write_text(f"#!/bin/sh\necho 'This account is currently not available.' >&{stream}\nexit 1\n")
    shell.chmod(0o755)
    with (
        open_transport(with_shell(ssh_board, str(shell)).device()) as transport,
        pytest.raises(BoardError, match=r"ended before the command began \(it printed: This account is currently not"),
    ):
        transport.run(["true"])
