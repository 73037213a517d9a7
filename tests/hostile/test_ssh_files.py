"""Host keys, key files, agents and configurations, as OpenSSH takes them."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

paramiko = pytest.importorskip("paramiko")

from edgebench.board.transport import HostKey, known_keys  # noqa: E402
from edgebench.board.transport.known_hosts import listed_keys  # noqa: E402
from edgebench.board.transport.ssh import limits  # noqa: E402
from edgebench.board.transport.ssh.config import read_config  # noqa: E402
from edgebench.board.transport.ssh.host_keys import _is_listed  # noqa: E402
from edgebench.board.transport.ssh.keys import LoginKeys  # noqa: E402
from edgebench.board.transport.ssh.openssh import ask_openssh  # noqa: E402
from edgebench.board.transport.ssh.settings import HostSettings  # noqa: E402
from edgebench.errors import ConfigError, HostKeyError  # noqa: E402
from tests.board.ssh_board import write_key  # noqa: E402

HAS_KEYGEN = shutil.which("ssh-keygen") is not None


@pytest.fixture
def key(tmp_path: Path) -> str:
    return write_key(tmp_path / "key")


def known(tmp_path: Path, text: str):  # type: ignore[no-untyped-def]
    (tmp_path / "known_hosts").write_text(text)
    return known_keys("pi4", [tmp_path / "known_hosts"])


@pytest.mark.parametrize(
    "line",
    [
        "@revoked pi4 {kind} {blob}",
        "@revoked\tpi4\t{kind}\t{blob}",
        "@revoked\tpi4 {kind} {blob}",
        "  @revoked pi4 {kind} {blob}",
        "\t@revoked \t pi4 \t {kind} \t {blob} \t a comment",
        "@revoked @revoked pi4 {kind} {blob}",
        "@revoked * {kind} {blob}\r",
    ],
)
def test_revoked_keys_however_the_line_is_separated(tmp_path: Path, key: str, line: str) -> None:
    kind, blob = key.split()[:2]
    found = known(tmp_path, f"pi4 {key}\n" + line.format(kind=kind, blob=blob) + "\n")
    assert list(map(str, found.revoked)) == [f"{kind} {blob}"]


@pytest.mark.parametrize(
    ("line", "accepts"),
    [
        ("pi4\t{kind}\t{blob}", True),
        ("  pi4 {kind} {blob}", True),
        ("\tpi4\t \t{kind} {blob}", True),
        (" # pi4 {kind} {blob}", False),
        ("@other pi4 {kind} {blob}", False),
        ("@Revoked pi4 {kind} {blob}", False),
        ("x {kind} {blob} \x0bpi4 {kind} {blob}", False),
        ("x {kind} {blob} \u2028pi4 {kind} {blob}", False),
        ("@cert-authority pi4 {kind} {blob}", False),
    ],
)
def test_accepted_keys_are_those_of_openssh(tmp_path: Path, key: str, line: str, accepts: bool) -> None:
    kind, blob = key.split()[:2]
    text = line.format(kind=kind, blob=blob) + "\n"
    assert bool(known(tmp_path, text).accepted) is accepts
    if HAS_KEYGEN:
        done = subprocess.run(
            ["ssh-keygen", "-F", "pi4", "-f", tmp_path / "known_hosts"], capture_output=True, check=False, text=True
        )
        assert ("found: line 1 \n" in done.stdout) is accepts


@pytest.mark.parametrize("separator", [" ", "\t", "  ", " \t"])
def test_authorities_are_those_of_openssh(tmp_path: Path, key: str, separator: str) -> None:
    kind, blob = key.split()[:2]
    found = known(tmp_path, f"@cert-authority{separator}pi4{separator}{kind}{separator}{blob}\n")
    assert len(found.authorities) == 1 and not found.accepted
    assert not known(tmp_path, f"@cert-authority\tpi4 {kind} {blob}\n").authorities  # OpenSSH takes it for damaged


def test_revoked_lists_of_text_and_of_another_kind(tmp_path: Path, key: str) -> None:
    listed = tmp_path / "revoked"
    listed.write_text(f"# a comment\n\n \t{key}\n")
    own, other = HostKey.parse(key), HostKey.parse(write_key(tmp_path / "other"))
    assert own is not None and other is not None
    assert _is_listed(listed, [own]) and not _is_listed(listed, [other])
    with pytest.raises(ValueError, match="line 2"):
        listed_keys(f"{key}\nssh-ed25519 damaged\n")
    for content in (b"ssh-ed25519 damaged\n", b"\xff\xfe"):
        listed.write_bytes(content)
        with pytest.raises(HostKeyError, match="can't read RevokedHostKeys"):
            _is_listed(listed, [other])
    listed.write_bytes(b"SSHKRL\n\0damaged")
    try:
        assert _is_listed(listed, [other])  # a list that can't be read revokes every key
    except HostKeyError:
        assert not HAS_KEYGEN
    listed.unlink()
    os.mkfifo(listed)
    with pytest.raises(HostKeyError, match="a pipe"):
        _is_listed(listed, [other])


# --- key files and agents ---------------------------------------------------------------------------------------


def settings(*, agent: str = "") -> HostSettings:
    return HostSettings(name="h", hostname="h", user="u", port=22, agent=agent)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_a_private_key_that_others_can_read_is_refused_in_opensshs_words(tmp_path: Path, key: str, mode: int) -> None:
    (tmp_path / "key").chmod(mode)
    keys = LoginKeys(settings(), str(tmp_path / "key"))
    assert list(keys) == []
    assert f"permissions 0{mode:03o} are too open" in keys.problems[0]
    assert "NOT be accessible by others" in keys.problems[0]
    (tmp_path / "key").chmod(0o600)
    assert len(list(LoginKeys(settings(), str(tmp_path / "key")))) == 1


def test_a_pipe_as_key_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    keys = LoginKeys(settings(), str(tmp_path / "pipe"))
    assert list(keys) == [] and "a pipe" in keys.problems[0]
    with pytest.raises(ConfigError, match="no such user"):
        LoginKeys(settings(), "~nouser-of-this-name/x")


def _silent(connection: socket.socket) -> None:
    connection.recv(99)
    time.sleep(5)


def _drip(connection: socket.socket) -> None:
    connection.recv(99)
    connection.sendall(b"\0\0\1\0")
    for _ in range(50):
        connection.sendall(b"\x0c")
        time.sleep(0.1)


def _garbage(connection: socket.socket) -> None:
    connection.recv(99)
    connection.sendall(b"\0\0\0\x08\x0c\xff\xff\xff\xffabc")


def _huge(connection: socket.socket) -> None:
    connection.recv(99)
    connection.sendall(b"\xff\xff\xff\xff")
    time.sleep(5)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "agent"))
    listening.listen()

    def serve(answer: Callable[[socket.socket], None]) -> str:
        def work() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                answer(connection)

        threading.Thread(target=work, daemon=True).start()
        return str(tmp_path / "agent")

    yield serve
    listening.close()


@pytest.mark.parametrize(("answer", "is_named"), [(_silent, True), (_drip, True), (_garbage, False), (_huge, False)])
def test_an_agent_that_never_ends_its_answer_is_left_and_named(
    agent: Callable[[Callable[[socket.socket], None]], str],
    answer: Callable[[socket.socket], None],
    is_named: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    key: str,
) -> None:
    monkeypatch.setattr(limits, "AGENT_S", 0.5)
    began = time.monotonic()
    keys = LoginKeys(settings(agent=agent(answer)), str(tmp_path / "key"))
    assert len(list(keys)) == 1  # the file is still tried
    assert time.monotonic() - began < 4
    assert any("no answer within" in problem for problem in keys.problems) is is_named


# --- configurations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [ask_openssh, read_config])
@pytest.mark.parametrize(
    "text",
    [
        "Include config\n",
        "Include config\nInclude config\n",
        "Include ~nouser-of-this-name\n",
        "Include ~nouser-of-this-name/x\n",
        "Include **\n",
        "Include [\n",
        'Include "\n',
        'UserKnownHostsFile "a b\n',
        "UserKnownHostsFile ~nouser-of-this-name/x\n",
        "GlobalKnownHostsFile ~nouser-of-this-name/x\n",
        "RevokedHostKeys ~nouser-of-this-name/x\n",
        "CertificateFile ~nouser-of-this-name/x\n",
        "IdentityFile ~nouser-of-this-name/x\n",
        "IdentityAgent ~nouser-of-this-name/x\n",
        'ProxyCommand "nc %h\n',
        "Port 99999999999999999999\n",
        'Match exec "\n',
        "HostName %z\n",
        "\0\n",
        "Host [\n",
    ],
)
def test_a_damaged_configuration_is_read_or_is_one_clear_error(
    client_home: Path, read: Callable[..., HostSettings], text: str
) -> None:
    (client_home / ".ssh" / "config").write_text(text)
    try:
        read("h", None, None)
    except ConfigError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("read", [ask_openssh, read_config])
def test_a_pipe_as_configuration_is_not_waited_for(client_home: Path, read: Callable[..., HostSettings]) -> None:
    if read is ask_openssh and shutil.which("ssh") is None:
        pytest.skip("no ssh is installed")
    os.mkfifo(client_home / ".ssh" / "config")
    with pytest.raises(ConfigError, match="a pipe"):
        read("h", None, None)


@pytest.mark.parametrize("read", [ask_openssh, read_config])
def test_all_lists_of_known_hosts_are_read(client_home: Path, read: Callable[..., HostSettings]) -> None:
    (client_home / ".ssh" / "config").write_text(
        f"UserKnownHostsFile {client_home}/a\t{client_home}/b\nGlobalKnownHostsFile {client_home}/c\n"
        f"RevokedHostKeys {client_home}/r\n"
    )
    found = read("h", None, None)
    if found is not None:
        assert found.known_hosts == tuple(client_home / name for name in "abc")
        assert found.revoked_keys == (client_home / "r",)
