"""A board for tests: an SSH server on 127.0.0.1, a home of its own, and a network in front that can fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from edgebench.device import Device, load_profile
from edgebench.testing import FaultyProxy


class Server(Protocol):
    """What a test's SSH server offers; commands run with HOME = `home` and EDGEBENCH_HOME in it."""

    port: int
    user: str
    home: Path
    host_key: str  # "ssh-ed25519 AAAA..."

    def authorize(self, public_key: str) -> None: ...
    def change_host_key(self) -> None: ...
    def use_certificate(self, key: Path) -> None: ...
    def close(self) -> None: ...


class SshBoard:
    """A server behind a proxy, and the key that opens it."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.identity_file = folder / "id_ed25519"
        self.public_key = write_key(self.identity_file)
        server.authorize(self.public_key)
        self.proxy = FaultyProxy(server.port)
        self.home = server.home
        self.edgebench_home = server.home / ".edgebench"

    def device(self, **changes: Any) -> Device:
        """Return the device that this board is: by way of the proxy, its host key pinned, login by key file."""
        settings: dict[str, Any] = {
            "name": "board",
            "profile": load_profile("local"),
            "host": "127.0.0.1",
            "port": self.proxy.port,
            "user": self.server.user,
            "identity_file": str(self.identity_file),
            "host_key": self.server.host_key,
        }
        return Device(**{**settings, **changes})

    def cut(self) -> None:
        """Break every connection; new ones work."""
        self.proxy.cut()

    def close(self) -> None:
        self.proxy.close()
        self.server.close()


def write_key(path: Path, *, passphrase: bytes = b"") -> str:
    """Write a new private key in OpenSSH's format, readable by its owner alone; return the public line."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(private)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return public.decode()
