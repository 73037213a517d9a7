"""Making a board known: its host key shown, a public key of the user installed there."""

from __future__ import annotations

from dataclasses import dataclass

from edgebench.board.transport.known_hosts import HostKey
from edgebench.board.transport.ssh import limits
from edgebench.board.transport.ssh.connection import SshTransport
from edgebench.board.transport.ssh.hop import close_hop, open_hop
from edgebench.board.transport.ssh.host_keys import HostKeyShown
from edgebench.board.transport.ssh.login import Login
from edgebench.board.transport.ssh.route import find_route, hops_of
from edgebench.device import Device
from edgebench.errors import BoardError, ConfigError


@dataclass(frozen=True)
class ShownKey:
    """The host key that a server shows; `distrust`: why nothing here vouches for it (None: known_hosts does)."""

    key: HostKey
    distrust: str | None
    is_changed: bool = False  # known_hosts has another one
    is_revoked: bool = False
    is_certified: bool = False  # an authority of known_hosts vouches for it


def fetch_host_key(host: str, port: int | None = None) -> tuple[str, str]:
    """Return the host key of a server ("ssh-ed25519 AAAA...") and its fingerprint, without logging in.

    Nothing verifies it: a person compares the fingerprint, and pins the key. Jump hosts are verified as always.

    Raises:
        ConnectionFailed: the server can't be reached.
    """
    key = show_host_key(host, None, port).key
    return str(key), key.fingerprint


def show_host_key(host: str, user: str | None, port: int | None) -> ShownKey:
    """Return the host key of a server and whether known_hosts vouches for it, without logging in.

    `user`: for messages, which name the `ssh` command to try.

    Raises:
        ConnectionFailed: the server can't be reached.
    """
    hops = hops_of(find_route(host, user, port))
    try:
        for hop in hops:
            last = hop is hops[-1]
            open_hop(hop, Login(host if last else f"{host}: jump host", hop.settings), verify=not last)
    except HostKeyShown as shown:
        return ShownKey(
            shown.key,
            str(shown.distrust) if shown.distrust else None,
            is_changed=shown.is_changed,
            is_revoked=shown.is_revoked,
            is_certified=shown.is_certified,
        )
    finally:
        for hop in reversed(hops):
            close_hop(hop)
    raise AssertionError("unreachable: the last hop always ends in HostKeyShown")


# The key comes on standard input, so that no shell interprets it. Prints what was done.
_INSTALL_KEY = """
set -e
umask 077
IFS= read -r key
mkdir -p "$HOME/.ssh"
chmod 700 "$HOME/.ssh"
file=$HOME/.ssh/authorized_keys
touch "$file"
chmod 600 "$file"
if grep -qxF -e "$key" "$file"; then echo known; exit; fi
if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then echo >>"$file"; fi
printf '%s\\n' "$key" >>"$file"
echo added
"""


def install_public_key(device: Device, public_key: str, password: str) -> bool:
    """Log in with the password, add a public key to the board's authorized_keys, and check that it is accepted.

    Args:
        public_key: one line, as in id_ed25519.pub.

    Returns: whether the key was new there.

    Raises:
        ConfigError: `public_key` is not one.
        AuthenticationError: the password is refused, or the key is still refused afterwards.
        BoardError: the board's authorized_keys can't be written.
        ConnectionFailed: the board can't be reached, or its host key is not the known one.
    """
    line = public_key.strip()
    if "\n" in line or HostKey.parse(line) is None:
        raise ConfigError(f"not a public key: {line[:40]!r}; give the one line of a .pub file")
    with SshTransport(device, password=password) as board:
        result = board.run(
            ["sh", "-c", _INSTALL_KEY], input=line.encode() + b"\n", timeout_s=limits.ANSWER_S, limit_bytes=1 << 16
        )
    if result.status != 0:
        said = result.stderr.decode(errors="replace").strip()[-200:]
        raise BoardError(f"{device.name}: can't write ~/.ssh/authorized_keys on the board: {said}")
    with SshTransport(device):
        return result.stdout.strip() == b"added"
