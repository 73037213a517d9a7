"""Files that a board's login shell reads: what they print is not a command's output, and what they do is named."""

from __future__ import annotations

import pwd
import shutil

import pytest

from edgebench.board.transport import open_transport
from edgebench.board.transport.ssh.login_output import LoginOutput
from edgebench.errors import BoardError
from tests.board.ssh_board import SshBoard


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
