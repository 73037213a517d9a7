"""A board of one trial: a home, an SSH server, a relay in front; what runs there, and how to trouble it.

With root, `ip` and OpenSSH, the server is OpenSSH in its own network namespace; otherwise asyncssh in this process.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from tests.board.openssh import SSHD, OpenSshServer
from tests.board.ssh_board import Server, write_key
from tests.faults.relay import Relay

IS_ROOT = os.geteuid() == 0
CAN_OPENSSH = IS_ROOT and SSHD is not None and shutil.which("ip") is not None
#: The most namespaces at a time; each has a network of its own.
_MOST_NAMESPACES = 200


class Namespace:
    """A network namespace, joined to this one by a pair of interfaces; `address` is within."""

    def __init__(self) -> None:
        for number in range(_MOST_NAMESPACES):
            self.name = f"edgebench-{number}"
            made = subprocess.run(["ip", "netns", "add", self.name], capture_output=True, check=False)
            if made.returncode == 0:
                break
        else:
            raise RuntimeError("no network namespace can be made")
        self.interface = f"ebf{number}"
        peer, network = f"{self.interface}p", f"10.213.{number}"
        self.address = f"{network}.2"
        try:
            _ip("link", "add", self.interface, "type", "veth", "peer", "name", peer, "netns", self.name)
            _ip("address", "add", f"{network}.1/24", "dev", self.interface)
            _ip("link", "set", self.interface, "up")
            _ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", peer)
            for name in (peer, "lo"):
                _ip("-n", self.name, "link", "set", name, "up")
        except BaseException:
            self.close()
            raise

    @property
    def prefix(self) -> list[str]:
        """What runs a command in here."""
        return ["ip", "netns", "exec", self.name]

    def set_link(self, state: str) -> None:
        """Set the link `up` or `down`: packets are dropped, and nobody hears of it."""
        _ip("link", "set", self.interface, state)

    def limit(self, bits_per_s: int) -> None:
        """Limit the rate in both directions."""
        shaped = ["root", "tbf", "rate", f"{bits_per_s}bit", "burst", "8kb", "latency", "500ms"]
        subprocess.run(["tc", "qdisc", "replace", "dev", self.interface, *shaped], check=True)
        subprocess.run(
            ["ip", "netns", "exec", self.name, "tc", "qdisc", "replace", "dev", f"{self.interface}p", *shaped],
            check=True,
        )

    def close(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=False)
        subprocess.run(["ip", "link", "del", self.interface], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Board:
    """The board of one trial."""

    def __init__(self, folder: Path, *, seed: int, openssh: bool, disk_mb: int = 0) -> None:
        """Start it. `disk_mb`: its home is a file system of its own, of this size; root only."""
        self.folder = folder
        self.home = folder / "home"
        self.edgebench_home = self.home / ".edgebench"
        self.runs = self.edgebench_home / "runs"
        self.namespace: Namespace | None = None
        self._is_mounted = False
        self.home.mkdir(parents=True)
        if disk_mb:
            mount_disk(self.home, disk_mb)
            self._is_mounted = True
        self.identity_file = folder / "id_ed25519"
        public_key = write_key(self.identity_file)
        self.python = sys.executable
        address = "127.0.0.1"
        self.server: Server
        if openssh:
            self.namespace = Namespace()
            address = self.namespace.address
            self.server = OpenSshServer(self.home, address=address, prefix=self.namespace.prefix)
        else:
            from tests.board.ssh_server import AsyncSshServer

            self.server = AsyncSshServer(self.home)
        self.address = address
        self.server.authorize(public_key)
        self.relay = Relay(address, self.server.port, seed=seed)

    def settings(self, *, direct: bool = False) -> str:
        """Return edgebench.toml for this board, by way of the relay or directly."""
        values = {
            "host": self.address if direct else "127.0.0.1",
            "port": self.server.port if direct else self.relay.port,
            "user": self.server.user,
            "identity_file": str(self.identity_file),
            "host_key": self.server.host_key,
            "python": self.python,
        }
        lines = [f"{name} = {value if isinstance(value, int) else repr(value)}" for name, value in values.items()]
        return "\n".join(["[device.board]", *lines]) + "\n"

    # --- what runs there ------------------------------------------------------------------------------------------

    def processes(self, *commands: str) -> list[psutil.Process]:
        """Return the processes of the agent on this board that carry out one of these commands; none named: all."""
        mark = f"{self.edgebench_home}/agents/"
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                words = process.cmdline()
                at = next((number for number, word in enumerate(words) if word.startswith(mark)), None)
                if at is None or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if not commands or (len(words) > at + 1 and words[at + 1] in commands):
                    found.append(process)
        return found

    def sessions_of_server(self) -> list[psutil.Process]:
        """Return the processes of the SSH server that serve a connection; none where it is in this process."""
        if not isinstance(self.server, OpenSshServer):
            return []
        with suppress(psutil.Error):
            return [
                each
                for each in psutil.Process(self.server.pid).children(recursive=True)
                if each.name().startswith("sshd")
            ]
        return []

    def journals(self) -> Iterator[tuple[str, bytes]]:
        """Yield each run's id and journal, as it is now."""
        for path in sorted(self.runs.iterdir()) if self.runs.is_dir() else ():
            with suppress(OSError):
                yield path.name, (path / "journal.ndjson").read_bytes()

    def has_journal_with(self, text: bytes) -> bool:
        """Return whether some run's journal has this text."""
        return any(text in data for _, data in self.journals())

    # --- the end --------------------------------------------------------------------------------------------------

    def end_processes(self) -> None:
        """Kill what is left of the agent."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()

    def close(self) -> None:
        """End everything; the folder stays, with the journals in it."""
        self.end_processes()
        self.relay.close()
        sessions = self.sessions_of_server()
        with suppress(Exception):
            self.server.close()
        for process in sessions:
            with suppress(psutil.Error):
                process.kill()
        for path in self.runs.glob("*/journal.ndjson"):
            if path.is_symlink():  # in memory: keep it where it can be looked at
                memory = path.readlink().parent
                with suppress(OSError):
                    data = path.read_bytes()
                    path.unlink()
                    path.write_bytes(data)
                shutil.rmtree(memory, ignore_errors=True)
        if self.namespace is not None:
            self.namespace.close()
        if self._is_mounted:
            copy = self.home.with_name("home-as-left")
            shutil.copytree(self.home, copy, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("full"))
            unmount(self.home)


def mount_disk(folder: Path, size_mb: int) -> None:
    """Make `folder` a file system of its own of this size."""
    image = folder.with_name(folder.name + ".img")
    with image.open("wb") as file:
        file.truncate(size_mb << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)


def unmount(folder: Path) -> None:
    """Undo `mount_disk`."""
    subprocess.run(["umount", "-l", folder], check=False)
    folder.with_name(folder.name + ".img").unlink(missing_ok=True)


def fill(folder: Path) -> Path:
    """Fill the disk of a folder; return the file that does."""
    path = folder / "full"
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1 << 8, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return path


def signal_all(processes: list[psutil.Process], number: signal.Signals) -> int:
    """Send a signal to processes; return how many got it."""
    count = 0
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)
            count += 1
    return count


def wait_for_end(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until processes have ended; return those that have not."""
    deadline = time.monotonic() + seconds
    while (left := [each for each in processes if runs(each)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def runs(process: psutil.Process) -> bool:
    """Return whether a process has not ended."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
