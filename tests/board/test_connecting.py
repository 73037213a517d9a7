"""Opening the way to a board: host keys, logins, jump hosts, ~/.ssh/config, and what is said where it fails."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgebench.board.transport import HostKey, open_transport
from edgebench.board.transport.ssh import fetch_host_key, install_public_key
from edgebench.errors import AuthenticationError, ConfigError, ConnectionFailed, HostKeyError
from tests.board.ssh_board import SshBoard, write_key
from tests.board.test_ssh_commands import wait_until
from tests.conftest import NewBoard


def fingerprint(host_key: str) -> str:
    key = HostKey.parse(host_key)
    assert key is not None
    return key.fingerprint


def known_host(board: SshBoard, host_key: str | None = None) -> str:
    return f"[127.0.0.1]:{board.proxy.port} {host_key or board.server.host_key}\n"


def works(board: SshBoard, **changes: object) -> bool:
    with open_transport(board.device(**changes)) as transport:
        return transport.run(["echo", "hello"]).stdout == b"hello\n"


# --- host keys --------------------------------------------------------------------------------------------------


def test_an_unknown_host_key_is_refused_with_its_fingerprint(any_ssh_board: SshBoard, client_home: Path) -> None:
    with pytest.raises(HostKeyError, match="not known") as caught:
        open_transport(any_ssh_board.device(host_key=None)).connect()
    message = str(caught.value)
    assert fingerprint(any_ssh_board.server.host_key) in message
    assert f"ssh -p {any_ssh_board.proxy.port} " in message
    assert any_ssh_board.server.host_key in message
    assert "\n" not in message
    assert not (client_home / ".ssh" / "known_hosts").exists()


def test_a_known_host_key_is_accepted(any_ssh_board: SshBoard, client_home: Path) -> None:
    (client_home / ".ssh" / "known_hosts").write_text("# boards\n\n" + known_host(any_ssh_board))
    assert works(any_ssh_board, host_key=None)


def test_a_hashed_known_host_is_accepted(ssh_board: SshBoard, client_home: Path) -> None:
    salt = bytes(range(20))
    digest = hmac.digest(salt, f"[127.0.0.1]:{ssh_board.proxy.port}".encode(), hashlib.sha1)
    hashed = "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, digest))
    (client_home / ".ssh" / "known_hosts").write_text(f"{hashed} {ssh_board.server.host_key}\n")
    assert works(ssh_board, host_key=None)


def test_a_changed_host_key_is_refused(any_ssh_board: SshBoard, client_home: Path) -> None:
    (client_home / ".ssh" / "known_hosts").write_text(known_host(any_ssh_board))
    old = any_ssh_board.server.host_key
    any_ssh_board.server.change_host_key()
    assert any_ssh_board.server.host_key != old
    with pytest.raises(HostKeyError, match="has changed") as caught:
        open_transport(any_ssh_board.device(host_key=None)).connect()
    assert fingerprint(old) in str(caught.value)
    assert fingerprint(any_ssh_board.server.host_key) in str(caught.value)
    assert "ssh-keygen -R" in str(caught.value)


def test_a_changed_host_key_is_refused_when_reconnecting(ssh_board: SshBoard) -> None:
    transport = open_transport(ssh_board.device())
    transport.connect()
    ssh_board.server.change_host_key()
    with pytest.raises(HostKeyError):
        transport.reconnect()


def test_only_the_pinned_host_key_is_accepted(any_ssh_board: SshBoard, client_home: Path, tmp_path: Path) -> None:
    (client_home / ".ssh" / "known_hosts").write_text(known_host(any_ssh_board))
    other = write_key(tmp_path / "other")
    with pytest.raises(HostKeyError, match="pinned"):
        open_transport(any_ssh_board.device(host_key=other)).connect()
    (client_home / ".ssh" / "known_hosts").write_text(known_host(any_ssh_board, other))
    assert works(any_ssh_board)


def test_a_revoked_host_key_is_refused_even_where_it_is_pinned(ssh_board: SshBoard, client_home: Path) -> None:
    (client_home / ".ssh" / "known_hosts").write_text("@revoked * " + ssh_board.server.host_key + "\n")
    with pytest.raises(HostKeyError, match="revoked"):
        open_transport(ssh_board.device()).connect()


def test_a_pin_that_is_no_key_is_an_error_at_once(ssh_board: SshBoard) -> None:
    with pytest.raises(ConfigError, match="host_key must look like"):
        open_transport(ssh_board.device(host_key="SHA256:abc"))


@pytest.mark.parametrize("known", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
def test_the_server_is_asked_for_the_kind_of_key_that_is_known(
    ssh_board: SshBoard, client_home: Path, known: str
) -> None:
    from tests.board.ssh_server import AsyncSshServer

    assert isinstance(ssh_board.server, AsyncSshServer)
    lines = ssh_board.server.use_host_keys("ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519")
    line = next(line for line in lines if line.startswith(known))
    (client_home / ".ssh" / "known_hosts").write_text(known_host(ssh_board, line))
    assert works(ssh_board, host_key=None)
    assert works(ssh_board, host_key=line)


def test_fetching_a_host_key_shows_it_without_a_login(any_ssh_board: SshBoard) -> None:
    line, shown = fetch_host_key("127.0.0.1", any_ssh_board.proxy.port)
    assert line.split() == any_ssh_board.server.host_key.split()[:2]
    assert shown == fingerprint(line)
    assert works(any_ssh_board, host_key=line)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_fingerprint_is_the_one_that_openssh_shows(ssh_board: SshBoard, tmp_path: Path) -> None:
    path = tmp_path / "host.pub"
    path.write_text(ssh_board.server.host_key + "\n")
    shown = subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, check=True, text=True).stdout
    assert shown.split()[1] == fingerprint(ssh_board.server.host_key)


# --- login ------------------------------------------------------------------------------------------------------


def test_a_refused_key_is_named(any_ssh_board: SshBoard, tmp_path: Path) -> None:
    write_key(tmp_path / "stranger")
    with pytest.raises(AuthenticationError, match="stranger: refused") as caught:
        open_transport(any_ssh_board.device(identity_file=str(tmp_path / "stranger"))).connect()
    assert "--copy-id" in str(caught.value)


def test_no_key_at_all_is_said(any_ssh_board: SshBoard) -> None:
    with pytest.raises(AuthenticationError, match="no agent and no key file"):
        open_transport(any_ssh_board.device(identity_file=None)).connect()


def test_a_key_file_that_is_missing_or_broken_is_said(ssh_board: SshBoard, tmp_path: Path) -> None:
    missing, broken = tmp_path / "missing", tmp_path / "broken"
    broken.write_text("not a key\n")
    with pytest.raises(AuthenticationError, match="missing: No such file"):
        open_transport(ssh_board.device(identity_file=str(missing))).connect()
    with pytest.raises(AuthenticationError, match="broken: not a private key"):
        open_transport(ssh_board.device(identity_file=str(broken))).connect()


def test_a_key_with_a_passphrase_asks_nothing_and_names_ssh_add(ssh_board: SshBoard, tmp_path: Path) -> None:
    ssh_board.server.authorize(write_key(tmp_path / "locked", passphrase=b"secret"))
    with pytest.raises(AuthenticationError, match=r"passphrase .*ssh-add"):
        open_transport(ssh_board.device(identity_file=str(tmp_path / "locked"))).connect()


def test_a_default_key_file_logs_in(any_ssh_board: SshBoard, client_home: Path) -> None:
    any_ssh_board.server.authorize(write_key(client_home / ".ssh" / "id_ed25519"))
    assert works(any_ssh_board, identity_file=None)


@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="ssh-agent is not installed")
def test_an_agent_logs_in(
    any_ssh_board: SshBoard, client_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    any_ssh_board.server.authorize(write_key(tmp_path / "in-agent"))
    agent_socket = client_home / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", agent_socket], stdout=subprocess.DEVNULL)
    try:
        wait_until(agent_socket.exists)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent_socket))
        with pytest.raises(AuthenticationError, match="no agent and no key file"):
            open_transport(any_ssh_board.device(identity_file=None)).connect()
        subprocess.run(["ssh-add", "-q", tmp_path / "in-agent"], check=True)
        assert works(any_ssh_board, identity_file=None)
        (client_home / ".ssh" / "config").write_text("Host *\n  IdentitiesOnly yes\n")
        with pytest.raises(AuthenticationError):
            open_transport(any_ssh_board.device(identity_file=None)).connect()
    finally:
        agent.terminate()
        agent.wait()


def test_a_failed_connection_leaves_no_thread_behind(ssh_board: SshBoard, tmp_path: Path) -> None:
    write_key(tmp_path / "stranger")
    before = set(threading.enumerate())
    for changes in ({"host_key": None}, {"identity_file": str(tmp_path / "stranger")}):
        with pytest.raises(ConnectionFailed):
            open_transport(ssh_board.device(**changes)).connect()
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_a_failed_connection_prints_nothing(client_home: Path) -> None:
    # In a process of its own: here, pytest takes what paramiko logs.
    result = subprocess.run([sys.executable, "-c", MEETS_NO_SSH], capture_output=True, text=True, timeout=600)
    assert result.stdout.startswith("board: can't reach 127.0.0.1:")
    assert result.stderr == ""


MEETS_NO_SSH = """
import socket, threading
from edgebench.device import Device, load_profile
from edgebench.errors import ConnectionFailed
from edgebench.board.transport import open_transport

listener = socket.create_server(("127.0.0.1", 0))

def answer():
    peer = listener.accept()[0]
    peer.sendall(b"this is no SSH server\\n" * 200)
    peer.close()

threading.Thread(target=answer).start()
profile = load_profile("local")
device = Device(name="board", profile=profile, host="127.0.0.1", port=listener.getsockname()[1])
try:
    open_transport(device).connect()
except ConnectionFailed as error:
    print(error)
"""


# --- unreachable ------------------------------------------------------------------------------------------------


def test_a_port_where_nothing_listens_is_said(ssh_board: SshBoard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionFailed, match=f"board: can't reach 127.0.0.1:{port}: connection refused"):
        open_transport(ssh_board.device(port=port)).connect()


def test_a_name_that_no_host_has_is_said(ssh_board: SshBoard) -> None:
    with pytest.raises(ConnectionFailed, match=r"board: no such host: 'no-such-board.invalid'"):
        open_transport(ssh_board.device(host="no-such-board.invalid")).connect()


def test_a_server_that_never_answers_is_given_up(ssh_board: SshBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgebench.board.transport.ssh.limits.CONNECT_S", 0.5)
    ssh_board.proxy.pause()
    with pytest.raises(ConnectionFailed, match=r"can't reach 127.0.0.1"):
        open_transport(ssh_board.device()).connect()


def test_a_server_that_is_gone_is_said_when_reconnecting(ssh_board: SshBoard) -> None:
    transport = open_transport(ssh_board.device())
    transport.connect()
    ssh_board.server.close()
    ssh_board.cut()
    with pytest.raises(ConnectionFailed):
        transport.reconnect()


# --- ~/.ssh/config and jump hosts -------------------------------------------------------------------------------


def write_config(client_home: Path, text: str) -> None:
    (client_home / ".ssh" / "config").write_text(text)


def test_an_alias_of_ssh_config_is_honoured(any_ssh_board: SshBoard, client_home: Path) -> None:
    (client_home / ".ssh" / "known_hosts").write_text(known_host(any_ssh_board))
    write_config(
        client_home,
        f"Host lab-*\n  HostName 127.0.0.1\n  User {any_ssh_board.server.user}\n  Port {any_ssh_board.proxy.port}\n"
        f"  IdentityFile {any_ssh_board.identity_file}\n",
    )
    nothing = {"user": None, "port": None, "identity_file": None, "host_key": None}
    assert works(any_ssh_board, host="lab-pi", **nothing)


def test_an_included_file_counts_and_the_host_block_goes_on_after_it(ssh_board: SshBoard, client_home: Path) -> None:
    folder = client_home / ".ssh" / "config.d"
    folder.mkdir()
    (folder / "boards").write_text(f"Host elsewhere\n  Port 1\nHost lab-pi\n  Port {ssh_board.proxy.port}\n")
    write_config(
        client_home,
        f"Include config.d/*\nHost lab-pi\n  Include missing\n  HostName 127.0.0.1\n  User {ssh_board.server.user}\n"
        f"  IdentityFile {ssh_board.identity_file}\n",
    )
    assert works(ssh_board, host="lab-pi", user=None, port=None, identity_file=None)


def test_known_hosts_of_ssh_config_and_aliases_count(ssh_board: SshBoard, client_home: Path) -> None:
    (client_home / "lab_hosts").write_text(f"the-board {ssh_board.server.host_key}\n")
    write_config(client_home, "Host 127.0.0.1\n  UserKnownHostsFile ~/lab_hosts\n  HostKeyAlias the-board\n")
    assert works(ssh_board, host_key=None)


def test_what_the_device_says_comes_before_ssh_config(ssh_board: SshBoard, client_home: Path) -> None:
    write_config(client_home, "Host *\n  User nobody-else\n  Port 1\n  IdentityFile ~/.ssh/other\n")
    assert works(ssh_board)


def test_a_broken_ssh_config_is_an_error_that_names_it(ssh_board: SshBoard, client_home: Path) -> None:
    write_config(client_home, "Host *\n  Port many\n")
    with pytest.raises(ConfigError, match=r"~/\.ssh/config"):
        open_transport(ssh_board.device(port=None)).connect()


def jump_config(jump: SshBoard, name: str, *, more: str = "") -> str:
    return (
        f"Host {name}\n  HostName 127.0.0.1\n  Port {jump.proxy.port}\n  User {jump.server.user}\n"
        f"  IdentityFile {jump.identity_file}\n{more}"
    )


@pytest.mark.parametrize("kind", ["asyncssh", pytest.param("openssh", marks=pytest.mark.openssh)])
def test_a_board_is_reached_through_a_jump_host(new_board: NewBoard, client_home: Path, kind: str) -> None:
    jump, board = new_board(kind), new_board(kind)
    (client_home / ".ssh" / "known_hosts").write_text(known_host(jump))
    write_config(client_home, jump_config(jump, "door") + "Host 127.0.0.1\n  ProxyJump door\n")
    data = bytes(5 << 20)
    with open_transport(board.device()) as transport:
        assert transport.run(["cat"], input=data, timeout_s=120).stdout == data
    assert jump.proxy.moved_to_server > len(data)
    before = jump.proxy.moved_to_server
    assert fetch_host_key("127.0.0.1", board.proxy.port)[0] == board.server.host_key
    assert jump.proxy.moved_to_server > before


def test_jump_hosts_are_visited_in_their_order(new_board: NewBoard, client_home: Path) -> None:
    outer, inner, board = (new_board("asyncssh") for _ in range(3))
    (client_home / ".ssh" / "known_hosts").write_text(known_host(outer) + known_host(inner))
    write_config(
        client_home,
        jump_config(outer, "outer") + jump_config(inner, "inner") + "Host 127.0.0.1\n  ProxyJump outer,inner\n",
    )
    with open_transport(board.device()) as transport:
        assert transport.run(["true"]).status == 0
        # The first jump host carries what the second one does, and more.
        assert outer.proxy.moved_to_server > inner.proxy.moved_to_server > board.proxy.moved_to_server > 0


def test_a_jump_host_has_its_own_jump_host_and_none_ends_it(new_board: NewBoard, client_home: Path) -> None:
    outer, inner, board = (new_board("asyncssh") for _ in range(3))
    (client_home / ".ssh" / "known_hosts").write_text(known_host(outer) + known_host(inner))
    write_config(
        client_home,
        jump_config(outer, "outer", more="  ProxyJump none\n")
        + jump_config(inner, "inner", more="  ProxyJump outer\n")
        + "Host 127.0.0.1\n  ProxyJump inner\nHost *\n  ProxyJump outer\n",
    )
    assert works(board)
    assert outer.proxy.moved_to_server > inner.proxy.moved_to_server > 0


def test_the_host_key_of_a_jump_host_is_verified_too(new_board: NewBoard, client_home: Path) -> None:
    jump, board = new_board("asyncssh"), new_board("asyncssh")
    write_config(client_home, jump_config(jump, "door") + "Host 127.0.0.1\n  ProxyJump door\n")
    with pytest.raises(HostKeyError, match=r"jump host: .*not known") as caught:
        open_transport(board.device()).connect()
    assert fingerprint(jump.server.host_key) in str(caught.value)
    with pytest.raises(HostKeyError, match="jump host"):
        fetch_host_key("127.0.0.1", board.proxy.port)


def test_a_board_that_its_jump_host_cannot_reach_is_said(new_board: NewBoard, client_home: Path) -> None:
    jump, board = new_board("asyncssh"), new_board("asyncssh")
    (client_home / ".ssh" / "known_hosts").write_text(known_host(jump))
    write_config(client_home, jump_config(jump, "door") + "Host 127.0.0.1\n  ProxyJump door\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionFailed, match=f"can't reach 127.0.0.1:{port}"):
        open_transport(board.device(port=port)).connect()


def test_a_proxy_command_is_honoured(
    ssh_board: SshBoard, client_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "relay.py"
    program.write_text(RELAY)
    write_config(client_home, f"Host 127.0.0.1\n  ProxyCommand {sys.executable} {program} %h %p\n")
    assert works(ssh_board)
    write_config(client_home, "Host 127.0.0.1\n  ProxyCommand false\n")
    monkeypatch.setattr("edgebench.board.transport.ssh.limits.CONNECT_S", 1.0)
    with pytest.raises(ConnectionFailed):
        open_transport(ssh_board.device()).connect()


RELAY = """
import os, socket, sys, threading
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while data := os.read(0, 65536):
        peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := peer.recv(65536):
    os.write(1, data)
"""


# --- copying a key ----------------------------------------------------------------------------------------------


def password_board(board: SshBoard) -> Path:
    from tests.board.ssh_server import AsyncSshServer

    assert isinstance(board.server, AsyncSshServer)
    board.server.password = "raspberry pi"
    return board.home / ".ssh" / "authorized_keys"


def test_a_key_is_installed_with_the_password_once(ssh_board: SshBoard, tmp_path: Path) -> None:
    authorized = password_board(ssh_board)
    authorized.write_text("# no newline at the end")
    line = write_key(tmp_path / "mine") + " o'brien@host $(touch pwned)\n"
    device = ssh_board.device(identity_file=str(tmp_path / "mine"))
    assert install_public_key(device, line, "raspberry pi") is True
    assert authorized.read_text() == "# no newline at the end\n" + line
    assert install_public_key(device, line, "raspberry pi") is False
    assert authorized.read_text() == "# no newline at the end\n" + line
    assert not list(ssh_board.home.rglob("pwned"))
    assert works(ssh_board, identity_file=str(tmp_path / "mine"))


def test_a_first_key_makes_the_file_with_the_right_modes(ssh_board: SshBoard, tmp_path: Path) -> None:
    authorized = password_board(ssh_board)
    shutil.rmtree(authorized.parent)
    line = write_key(tmp_path / "mine")
    install_public_key(ssh_board.device(identity_file=str(tmp_path / "mine")), line, "raspberry pi")
    assert authorized.stat().st_mode & 0o777 == 0o600
    assert authorized.parent.stat().st_mode & 0o777 == 0o700


def test_a_wrong_password_is_said(ssh_board: SshBoard, tmp_path: Path) -> None:
    password_board(ssh_board)
    with pytest.raises(AuthenticationError, match="refuses this password for 'pi'"):
        install_public_key(ssh_board.device(), write_key(tmp_path / "mine"), "wrong")


def test_a_board_that_takes_no_password_is_said(any_ssh_board: SshBoard, tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError, match="takes no passwords"):
        install_public_key(any_ssh_board.device(), write_key(tmp_path / "mine"), "any")


def test_a_password_is_never_sent_to_a_host_that_is_not_known(ssh_board: SshBoard, tmp_path: Path) -> None:
    password_board(ssh_board)
    with pytest.raises(HostKeyError):
        install_public_key(ssh_board.device(host_key=None), write_key(tmp_path / "mine"), "raspberry pi")
    assert getattr(ssh_board.server, "logins") == 0  # noqa: B009


@pytest.mark.parametrize(
    "text", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "two\nlines", "-----BEGIN OPENSSH PRIVATE KEY-----"]
)
def test_what_is_no_public_key_is_refused_before_anything_is_sent(ssh_board: SshBoard, text: str) -> None:
    with pytest.raises(ConfigError, match="not a public key"):
        install_public_key(ssh_board.device(), text, "raspberry pi")


def test_a_key_that_the_board_still_refuses_is_an_error(ssh_board: SshBoard, tmp_path: Path) -> None:
    password_board(ssh_board)
    write_key(tmp_path / "another")
    with pytest.raises(AuthenticationError, match="another: refused"):
        install_public_key(
            ssh_board.device(identity_file=str(tmp_path / "another")), write_key(tmp_path / "mine"), "raspberry pi"
        )
