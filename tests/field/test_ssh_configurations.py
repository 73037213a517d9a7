"""A board that `ssh pi4` reaches is reached: OpenSSH's own reading of its configuration decides."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgebench.board.transport import open_transport
from edgebench.errors import AuthenticationError, ConfigError, HostKeyError
from tests.board.ssh_board import SshBoard, write_key
from tests.board.test_connecting import RELAY, known_host, works, write_config
from tests.board.test_ssh_commands import wait_until

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH's client is not installed")
NOTHING = {"user": None, "port": None, "identity_file": None, "host_key": None}


def board_block(board: SshBoard) -> str:
    return (
        f"  HostName 127.0.0.1\n  User {board.server.user}\n  Port {board.proxy.port}\n"
        f"  IdentityFile {board.identity_file}\n"
    )


def without_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "no-ssh-here"
    folder.mkdir()
    (folder / "echo").symlink_to(str(shutil.which("echo")))  # what the board runs
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    "other",
    [
        "Match final all\n  Include more.d/*.conf\n",  # Fedora, RHEL
        "Match canonical all\n  Port 1\n",
        "Match final host elsewhere\n  Port 1\n",
        "Match exec false\n  Port 1\n",
        "Match exec false host lab-pi\n  User nobody\n",
        "Match !host lab-pi,127.0.0.1\n  Port 1\n",
        "Match localuser nobody-here\n  ProxyCommand false\n",
        "Host !lab-pi *\n  Port 1\nHost *\n",
    ],
)
def test_blocks_that_do_not_match_the_board_do_not_count(ssh_board: SshBoard, client_home: Path, other: str) -> None:
    (client_home / ".ssh" / "known_hosts").write_text(known_host(ssh_board))
    folder = client_home / ".ssh" / "more.d"
    folder.mkdir()
    (folder / "crypto.conf").write_text("Match host lab-pi\n  Compression no\n")
    write_config(client_home, f"{other}Host lab-pi\n{board_block(ssh_board)}")
    assert works(ssh_board, host="lab-pi", **NOTHING)


@pytest.mark.parametrize("condition", ["exec true", "host lab-pi", "originalhost lab-*", "!localuser nobody"])
def test_blocks_that_match_the_board_count(any_ssh_board: SshBoard, client_home: Path, condition: str) -> None:
    (client_home / ".ssh" / "known_hosts").write_text(known_host(any_ssh_board))
    write_config(client_home, f"Match {condition}\n{board_block(any_ssh_board)}")
    assert works(any_ssh_board, host="lab-pi", **NOTHING)


def test_an_include_inside_a_block_counts_for_that_block_alone(ssh_board: SshBoard, client_home: Path) -> None:
    (client_home / ".ssh" / "known_hosts").write_text(known_host(ssh_board))
    (client_home / ".ssh" / "for-others").write_text("Host *\n  Port 1\n")
    write_config(client_home, f"Host elsewhere\n  Include for-others\nHost lab-pi\n{board_block(ssh_board)}")
    assert works(ssh_board, host="lab-pi", **NOTHING)


def test_a_condition_that_nobody_knows_is_an_error_that_names_the_line(ssh_board: SshBoard, client_home: Path) -> None:
    write_config(client_home, f"Host lab-pi\n{board_block(ssh_board)}Match moonphase full\n  Port 1\n")
    with pytest.raises(ConfigError, match=r"client-home/.ssh/config.* line \d: .*Match .*condition") as caught:
        open_transport(ssh_board.device(host="lab-pi", **NOTHING)).connect()
    assert "\n" not in str(caught.value)


def test_tokens_and_home_in_file_names_are_replaced(ssh_board: SshBoard, client_home: Path) -> None:
    shutil.copy(ssh_board.identity_file, client_home / ".ssh" / "key of lab-pi")
    (client_home / ".ssh" / "hosts of lab-pi").write_text(f"the-board {ssh_board.server.host_key}\n")
    write_config(
        client_home,
        f"Host lab-pi\n  HostName 127.0.0.1\n  User {ssh_board.server.user}\n  Port {ssh_board.proxy.port}\n"
        '  IdentityFile "~/.ssh/key of %n"\n  UserKnownHostsFile "~/.ssh/hosts of %n"\n  HostKeyAlias the-board\n',
    )
    assert works(ssh_board, host="lab-pi", **NOTHING)


def test_a_proxy_command_is_run_by_a_shell(ssh_board: SshBoard, client_home: Path, tmp_path: Path) -> None:
    (tmp_path / "relay.py").write_text(RELAY)
    (client_home / ".ssh" / "known_hosts").write_text(known_host(ssh_board))
    command = f"""sh -c 'P=%p; "{sys.executable}" "{tmp_path}/relay.py" "$0" "$P" 2>/dev/null' %h"""
    write_config(client_home, f"Host lab-pi\n{board_block(ssh_board)}  ProxyCommand {command}\n")
    assert works(ssh_board, host="lab-pi", **NOTHING)


def test_checking_host_keys_can_be_switched_off_there_but_never_for_a_changed_one(
    ssh_board: SshBoard, client_home: Path, tmp_path: Path
) -> None:
    block = f"Host lab-pi\n{board_block(ssh_board)}  StrictHostKeyChecking no\n"
    write_config(client_home, f"{block}  UserKnownHostsFile /dev/null\n")
    assert works(ssh_board, host="lab-pi", **NOTHING)
    (client_home / ".ssh" / "known_hosts").write_text(known_host(ssh_board, write_key(tmp_path / "old")))
    write_config(client_home, block)
    with pytest.raises(HostKeyError, match="has changed"):
        open_transport(ssh_board.device(host="lab-pi", **NOTHING)).connect()


def test_a_key_that_is_listed_without_a_port_counts_for_each_port(ssh_board: SshBoard, client_home: Path) -> None:
    (client_home / ".ssh" / "known_hosts").write_text(f"127.0.0.1 {ssh_board.server.host_key}\n")
    assert works(ssh_board, host_key=None)


@pytest.mark.parametrize("kind", ["lines", "krl"])
def test_revoked_host_keys_of_the_configuration_are_refused(
    ssh_board: SshBoard, client_home: Path, tmp_path: Path, kind: str
) -> None:
    (client_home / ".ssh" / "known_hosts").write_text(known_host(ssh_board))
    revoked, other = tmp_path / "revoked", tmp_path / "other.pub"
    other.write_text(write_key(tmp_path / "other") + "\n")
    write_config(client_home, f"Host *\n  RevokedHostKeys {revoked}\n")
    with pytest.raises(HostKeyError, match="can't read RevokedHostKeys"):
        open_transport(ssh_board.device(host_key=None)).connect()
    for line, is_revoked in ((other.read_text(), False), (f"{ssh_board.server.host_key}\n", True)):
        other.write_text(line)
        if kind == "krl":
            subprocess.run(["ssh-keygen", "-q", "-k", "-f", revoked, other], check=True, capture_output=True)
        else:
            revoked.write_text(line)
        if is_revoked:
            with pytest.raises(HostKeyError, match=r"RevokedHostKeys .* lists"):
                open_transport(ssh_board.device(host_key=None)).connect()
        else:
            assert works(ssh_board, host_key=None)


# --- without OpenSSH's client ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "condition", ["tagged lab", "localnetwork 10.0.0.0/8", "sessiontype shell", "version OpenSSH_9*", "!command *"]
)
def test_without_ssh_a_condition_that_only_it_can_judge_is_refused(
    ssh_board: SshBoard, client_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, condition: str
) -> None:
    without_ssh(tmp_path, monkeypatch)
    write_config(client_home, f"Match {condition}\n  Port 1\nHost lab-pi\n{board_block(ssh_board)}")
    with pytest.raises(ConfigError, match=r"config line 1: only OpenSSH can judge `Match ") as caught:
        open_transport(ssh_board.device(host="lab-pi", **NOTHING)).connect()
    assert "openssh-client" in str(caught.value)


@pytest.mark.parametrize("other", ["Match final all\n  Compression no\n", "Match host=elsewhere\n  Port 1\n", ""])
def test_without_ssh_the_rest_of_the_configuration_counts(
    ssh_board: SshBoard, client_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    without_ssh(tmp_path, monkeypatch)
    (client_home / ".ssh" / "known_hosts").write_text(known_host(ssh_board))
    write_config(client_home, f"{other}Host lab-pi\n{board_block(ssh_board)}")
    assert works(ssh_board, host="lab-pi", **NOTHING)


# --- keys of the agent that a file chooses ----------------------------------------------------------------------


@pytest.fixture
def agent(client_home: Path) -> Iterator[Path]:
    if shutil.which("ssh-agent") is None:
        pytest.skip("ssh-agent is not installed")
    socket = client_home / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    wait_until(socket.exists)
    yield socket
    process.terminate()
    process.wait()


def add_to_agent(socket: Path, *keys: Path) -> None:
    subprocess.run(["ssh-add", "-q", *keys], check=True, env={**os.environ, "SSH_AUTH_SOCK": str(socket)})


def test_a_public_key_file_chooses_among_the_keys_of_the_agent(
    any_ssh_board: SshBoard, client_home: Path, tmp_path: Path, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    strangers = [tmp_path / f"stranger-{number}" for number in range(7)]  # more than a server lets anybody try
    for path in strangers:
        write_key(path)
    public = write_key(tmp_path / "mine")
    any_ssh_board.server.authorize(public)
    add_to_agent(agent, *strangers, tmp_path / "mine")
    (tmp_path / "mine").unlink()
    (client_home / ".ssh" / "chosen.pub").write_text(public + "\n")
    write_config(client_home, "Host *\n  IdentityFile ~/.ssh/chosen.pub\n  IdentitiesOnly yes\n")
    assert works(any_ssh_board, identity_file=None)
    assert works(any_ssh_board, identity_file=str(client_home / ".ssh" / "chosen.pub"))
    assert works(any_ssh_board, identity_file=str(client_home / ".ssh" / "chosen"))  # FILE.pub is there
    (client_home / ".ssh" / "chosen.pub").write_text(write_key(tmp_path / "absent") + "\n")
    with pytest.raises(AuthenticationError, match=r"chosen.pub: a public key, and the SSH agent does not have"):
        open_transport(any_ssh_board.device(identity_file=None)).connect()


def test_a_key_with_a_passphrase_that_the_agent_has_logs_in(
    ssh_board: SshBoard, client_home: Path, tmp_path: Path, agent: Path
) -> None:
    locked = client_home / ".ssh" / "locked"
    ssh_board.server.authorize(write_key(locked, passphrase=b"secret"))
    opened = tmp_path / "opened"
    shutil.copy(locked, opened)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "secret", "-N", "", "-f", opened], check=True, capture_output=True)
    add_to_agent(agent, opened)
    config = f"Host *\n  IdentityFile ~/.ssh/locked\n  IdentitiesOnly yes\n  IdentityAgent {agent}\n"
    write_config(client_home, config)
    assert works(ssh_board, identity_file=None)
    write_config(client_home, config.replace(str(agent), "none"))
    with pytest.raises(AuthenticationError, match=r"passphrase .*ssh-add"):
        open_transport(ssh_board.device(identity_file=None)).connect()


# --- certificates of host authorities ---------------------------------------------------------------------------


def keygen(*arguments: object) -> None:
    subprocess.run(["ssh-keygen", "-q", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """A key that signs host keys, and the line of known_hosts that trusts it."""

    def __init__(self, folder: Path, kind: str = "ed25519") -> None:
        folder.mkdir()
        self.key = folder / "ca"
        self.folder = folder
        keygen("-t", kind, "-N", "", "-f", self.key)

    def line(self, names: str = "*") -> str:
        return f"@cert-authority {names} {self.key.with_suffix('.pub').read_text()}"

    def certify(self, *options: object, kind: str = "ed25519") -> Path:
        """Return a new host key whose certificate is beside it."""
        key = self.folder / f"host-{len(list(self.folder.iterdir()))}"
        keygen("-t", kind, "-N", "", "-C", "", "-f", key)
        keygen("-s", self.key, "-I", "board", *(options or ("-h", "-n", "127.0.0.1")), key.with_suffix(".pub"))
        return key


@pytest.mark.parametrize(("of_authority", "of_host"), [("ed25519", "rsa"), ("rsa", "ecdsa"), ("ecdsa", "ed25519")])
def test_a_host_that_its_authority_certified_is_accepted(
    any_ssh_board: SshBoard, client_home: Path, tmp_path: Path, of_authority: str, of_host: str
) -> None:
    authority = Authority(tmp_path / "authority", of_authority)
    any_ssh_board.server.use_certificate(authority.certify(kind=of_host))
    hosts = client_home / ".ssh" / "known_hosts"
    hosts.write_text(authority.line())
    assert works(any_ssh_board, host_key=None)
    hosts.write_text(authority.line("127.0.0.*,!127.0.0.2"))  # without its port, as OpenSSH
    assert works(any_ssh_board, host_key=None)
    hosts.write_text(authority.line("elsewhere"))
    with pytest.raises(HostKeyError, match="not known"):
        open_transport(any_ssh_board.device(host_key=None)).connect()
    assert works(any_ssh_board)  # the pinned key counts as ever


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("-h", "-n", "pi4.lab"), "its certificate is for pi4.lab, not for 127.0.0.1"),
        (("-h", "-n", "127.0.0.1", "-V", "20200101:20210101"), "expired on 2021-01-01"),
        (("-h", "-n", "127.0.0.1", "-V", "20900101:20910101"), "valid only from 2090-01-01"),
        (("-n", "127.0.0.1"), "of a user, not of a host"),
    ],
)
def test_a_certificate_that_does_not_vouch_for_the_host_is_refused(
    ssh_board: SshBoard, client_home: Path, tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    from edgebench.board.transport.known_hosts import HostKey
    from edgebench.board.transport.ssh.certificate import HostCertificate

    authority = Authority(tmp_path / "authority")
    key = authority.certify(*options)
    if "-h" in options:
        ssh_board.server.use_certificate(key)
        (client_home / ".ssh" / "known_hosts").write_text(authority.line())
        with pytest.raises(HostKeyError, match=problem) as caught:
            open_transport(ssh_board.device(host_key=None)).connect()
        assert "\n" not in str(caught.value)
        # A key that is listed itself needs no certificate.
        (client_home / ".ssh" / "known_hosts").write_text(authority.line() + known_host(ssh_board))
        assert works(ssh_board, host_key=None)
    else:  # servers refuse to show one
        line = HostKey.parse(key.with_name(f"{key.name}-cert.pub").read_text())
        assert line is not None
        certificate = HostCertificate.parse(line.blob)
        assert certificate is not None
        assert problem in str(certificate.problem("127.0.0.1", [certificate.authority], []))


def test_a_certificate_of_another_authority_or_of_a_revoked_one_is_refused(
    ssh_board: SshBoard, client_home: Path, tmp_path: Path
) -> None:
    authority, other = Authority(tmp_path / "authority"), Authority(tmp_path / "other")
    ssh_board.server.use_certificate(authority.certify())
    hosts = client_home / ".ssh" / "known_hosts"
    hosts.write_text(other.line())
    with pytest.raises(HostKeyError, match="which known_hosts does not list for it"):
        open_transport(ssh_board.device(host_key=None)).connect()
    hosts.write_text(authority.line() + authority.line().replace("@cert-authority", "@revoked"))
    with pytest.raises(HostKeyError, match="lists as revoked"):
        open_transport(ssh_board.device(host_key=None)).connect()
    hosts.write_text(authority.line() + f"@revoked * {ssh_board.server.host_key}\n")
    with pytest.raises(HostKeyError, match="revoked"):
        open_transport(ssh_board.device(host_key=None)).connect()


def test_a_forged_certificate_is_refused(tmp_path: Path) -> None:
    from edgebench.board.transport.known_hosts import HostKey
    from edgebench.board.transport.ssh.certificate import HostCertificate

    authority = Authority(tmp_path / "authority")
    key = authority.certify("-h", "-n", "pi4.lab")
    line = HostKey.parse(key.with_name(f"{key.name}-cert.pub").read_text())
    assert line is not None
    real = HostCertificate.parse(line.blob)
    forged = HostCertificate.parse(line.blob.replace(b"pi4.lab", b"pi5.lab"))
    assert real is not None
    assert forged is not None
    assert real.problem("pi4.lab", [real.authority], []) is None
    assert "is not valid" in str(forged.problem("pi5.lab", [forged.authority], []))
    for end in range(0, len(line.blob), 7):
        damaged = HostCertificate.parse(line.blob[:end])
        assert damaged is None or damaged.problem("pi4.lab", [real.authority], []) is not None
