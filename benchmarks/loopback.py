"""This machine as a board: an OpenSSH server on loopback with a separate home."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgebench.device import Device, load_profile
from tests.board.openssh import SSHD, OpenSshServer
from tests.board.ssh_board import write_key


@contextmanager
def openssh_device() -> Iterator[Device]:
    """Provide a device that is reached through OpenSSH's sshd, which must be installed."""
    if SSHD is None:
        raise SystemExit("OpenSSH's sshd is not installed; try: apt install openssh-server")
    with tempfile.TemporaryDirectory() as folder:
        server = OpenSshServer(Path(folder) / "board")
        try:
            server.authorize(write_key(Path(folder) / "key"))
            yield Device(
                name="loopback",
                profile=load_profile("local"),
                host="127.0.0.1",
                port=server.port,
                user=server.user,
                identity_file=str(Path(folder) / "key"),
                host_key=server.host_key,
                python=sys.executable,
            )
        finally:
            server.close()
