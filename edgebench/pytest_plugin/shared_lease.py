"""The lease of a board for a whole run of pytest, all its worker processes included.

The first process that needs the board takes its lease and notes the token in a folder that all processes of the run
share. Sessions of all of them use it, one at a time: a file lock gives the turn. The controller (without pytest-xdist:
the only process) renews the lease while nobody has the turn, and gives it back at the end. If it is killed, the lease
ends by itself after 120 s.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edgebench.board import give_back, renew_lease, take_lease, use_lease
from edgebench.device import Device
from edgebench.errors import DeviceError
from edgebench.events import OnEvent

#: A lease that no session has renewed for so long is renewed; so often it is looked after.
_RENEW_AFTER_S, _LOOK_S = 20.0, 2.0


class SharedLeases:
    """The leases of one run of pytest; `folder`: empty when the run begins, for all its processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used = ExitStack()
        self._joined: set[str] = set()

    def join(self, device: Device, *, purpose: str, wait_s: float, on_event: OnEvent) -> None:
        """Let the sessions of this process use the run's lease of a board, which is taken if no process has yet.

        Raises:
            BoardBusy: somebody else still held it after `wait_s`.
            DeviceError: the board can't be reached, or can't run the agent.
        """
        if device.name in self._joined:
            return
        noted = self._path(device.name, "json")
        with _locked(self._path(device.name, "join")):
            if not noted.exists():
                token = take_lease(device, purpose=purpose, wait_s=wait_s, on_event=on_event)
                part = noted.with_suffix(".part")
                part.write_text(json.dumps({"token": token}), encoding="utf-8")
                part.replace(noted)
        token = _token(noted)
        self._used.enter_context(use_lease(device, token, turn=lambda: self._turn(device.name)))
        self._joined.add(device.name)

    def leave(self) -> None:
        """Let later sessions of this process take leases of their own."""
        self._used.close()
        self._joined.clear()

    def taken(self) -> dict[str, int]:
        """Return the token of each board whose lease the run has taken."""
        return {path.stem: _token(path) for path in self._folder.glob("*.json")}

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        with _locked(self._path(name, "turn")):
            try:
                yield
            finally:
                with suppress(OSError):
                    os.utime(self._path(name, "json"))  # the session renewed it

    def renew_idle(self, devices: Mapping[str, Device]) -> None:
        """Renew the leases that no session has renewed lately; while one has the turn, it does so itself."""
        for name, token in self.taken().items():
            noted = self._path(name, "json")
            if time.time() - noted.stat().st_mtime < _RENEW_AFTER_S:
                continue
            with self._path(name, "turn").open("a") as file, suppress(BlockingIOError, DeviceError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                renew_lease(devices[name], token)
                os.utime(noted)

    def give_back(self, devices: Mapping[str, Device]) -> None:
        """Give all leases of the run back."""
        for name, token in self.taken().items():
            with suppress(DeviceError):  # it ends by itself
                give_back(devices[name], token)
            self._path(name, "json").unlink(missing_ok=True)

    def _path(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name}.{suffix}"


class Renewal:
    """A thread that renews the leases of a run until it is ended."""

    def __init__(self, leases: SharedLeases, devices: Mapping[str, Device]) -> None:
        self._ended = threading.Event()
        self._leases, self._devices = leases, devices
        # A daemon: an interrupted run ends even if a board does not answer.
        self._thread = threading.Thread(target=self._run, name="edge-leases", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            with suppress(OSError):
                self._leases.renew_idle(self._devices)

    def end(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join(timeout=5)


def _token(path: Path) -> int:
    return int(json.loads(path.read_text(encoding="utf-8"))["token"])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file lock, which ends with the process."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
