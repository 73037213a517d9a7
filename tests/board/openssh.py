"""OpenSSH's own server, started for a test with its own configuration on 127.0.0.1."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.board.ssh_board import write_key

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class OpenSshServer:
    """An sshd that logs the current user in by key; root's own has its privilege separation directory made.

    Raises:
        RuntimeError: sshd does not start; its log is in the message.
    """

    def __init__(self, home: Path, *, address: str = "127.0.0.1", prefix: Sequence[str] = ()) -> None:
        """Start it; `prefix` is put before its command line, to start it in a network namespace, say."""
        assert SSHD is not None, "check SSHD first"
        self.home = home
        self.user = getpass.getuser()
        self._folder = home.parent / f"{home.name}-sshd"
        self._folder.mkdir(mode=0o700)
        home.mkdir(parents=True, exist_ok=True)
        self._key = self._folder / "host_key"
        self._authorized = self._folder / "authorized_keys"
        self._authorized.touch()
        self.address = address
        self._prefix = prefix
        self._certificate: Path | None = None
        self.host_key = write_key(self._key)
        self.port = _free_port()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._start()

    def _start(self) -> None:
        settings = [
            f"Port {self.port}",
            f"ListenAddress {self.address}",
            f"HostKey {self._key}",
            f"AuthorizedKeysFile {self._authorized}",
            f"PidFile {self._folder}/pid",
            f"SetEnv HOME={self.home} EDGEBENCH_HOME={self.home}/.edgebench",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin yes",
            "MaxStartups 100",
            "Subsystem sftp internal-sftp",
        ]
        if self._certificate is not None:
            settings.append(f"HostCertificate {self._certificate}")
        config = self._folder / "sshd_config"
        config.write_text("\n".join(settings) + "\n")
        self._log = self._folder / "log"
        command = [*self._prefix, str(SSHD), "-D", "-f", config, "-E", self._log]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 600
        while not _listens(self.address, self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"sshd does not start: {self._log.read_text()[-500:]}")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """The process that listens."""
        return self._process.pid

    def authorize(self, public_key: str) -> None:
        """Let a key in."""
        with self._authorized.open("a") as file:
            file.write(public_key + "\n")

    def change_host_key(self) -> None:
        """Start anew with another host key, on the same port."""
        self.close()
        self.host_key = write_key(self._key)
        self._start()

    def use_certificate(self, key: Path) -> None:
        """Start anew with the host key in a file and the certificate beside it, KEY-cert.pub."""
        self.close()
        self._key, self._certificate = key, key.with_name(f"{key.name}-cert.pub")
        self.host_key = key.with_name(f"{key.name}.pub").read_text().strip()
        self._start()

    def close(self) -> None:
        """End the server; sessions of it go on until their connection ends."""
        self._process.terminate()
        self._process.wait(30)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True
