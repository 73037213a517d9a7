"""A cable that is pulled: nothing says so, no reset comes. A board in a network namespace of its own shows it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edgebench.board.transport import open_transport
from edgebench.device import Device, load_profile
from edgebench.errors import ConnectionLost
from tests.board.openssh import SSHD, OpenSshServer
from tests.board.ssh_board import write_key

pytestmark = pytest.mark.openssh


class Cable:
    """A pair of network devices between this machine and a namespace.

    Raises:
        CalledProcessError: the system makes none.
    """

    def __init__(self) -> None:
        self.namespace = f"edgebench-{os.getpid()}"
        self._ours, self._theirs = f"ebh{os.getpid()}", f"ebb{os.getpid()}"
        third = os.getpid() % 250 + 1
        self.address = f"10.213.{third}.2"
        ip("netns", "add", self.namespace)
        ip("link", "add", self._ours, "type", "veth", "peer", "name", self._theirs, "netns", self.namespace)
        ip("addr", "add", f"10.213.{third}.1/24", "dev", self._ours)
        ip("link", "set", self._ours, "up")
        self._there("addr", "add", f"{self.address}/24", "dev", self._theirs)
        self.plug_in()

    def _there(self, *arguments: str) -> None:
        ip("-n", self.namespace, *arguments)

    def pull(self) -> None:
        self._there("link", "set", self._theirs, "down")

    def plug_in(self) -> None:
        self._there("link", "set", self._theirs, "up")

    def remove(self) -> None:
        """Take it away, and end the sessions that still wait at its other end."""
        found = subprocess.run(["ip", "netns", "pids", self.namespace], check=True, capture_output=True, text=True)
        for pid in found.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        ip("link", "del", self._ours)
        ip("netns", "del", self.namespace)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def cable() -> Iterator[Cable]:
    if SSHD is None or shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("needs OpenSSH's sshd, iproute2 and root, to make a network namespace")
    try:
        made = Cable()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace here: {error.stderr.decode().strip()}")
    yield made
    made.remove()


@pytest.fixture
def device(cable: Cable, tmp_path: Path, client_home: Path) -> Iterator[Device]:
    server = OpenSshServer(tmp_path / "board", address=cable.address, prefix=["ip", "netns", "exec", cable.namespace])
    server.authorize(write_key(tmp_path / "key"))
    yield Device(
        name="board",
        profile=load_profile("local"),
        host=cable.address,
        port=server.port,
        user=server.user,
        identity_file=str(tmp_path / "key"),
        host_key=server.host_key,
    )
    server.close()


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgebench.board.transport.ssh.limits.DEAD_LINK_MS", 2000)
    monkeypatch.setattr("edgebench.board.transport.ssh.limits.KEEPALIVE_S", 1)


def test_a_pulled_cable_ends_a_read(cable: Cable, device: Device) -> None:
    with open_transport(device) as transport:
        stream = transport.start(["cat"])
        cable.pull()
        with pytest.raises(ConnectionLost):
            stream.read(1, timeout_s=120)


def test_a_pulled_cable_ends_a_write(cable: Cable, device: Device) -> None:
    with open_transport(device) as transport:
        stream = transport.start(["cat"])
        cable.pull()
        with pytest.raises(ConnectionLost):
            while True:
                stream.write(bytes(1 << 20))


def test_a_cable_that_is_plugged_in_again_soon_loses_nothing(
    cable: Cable, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgebench.board.transport.ssh.limits.DEAD_LINK_MS", 120_000)
    data = bytes(range(256)) * 16
    with open_transport(device) as transport:
        stream = transport.start(["cat"])
        cable.pull()
        stream.write(data)
        time.sleep(1)
        cable.plug_in()
        echoed = bytearray()
        while len(echoed) < len(data):
            echoed += stream.read(1 << 20, timeout_s=120)
    assert echoed == data
