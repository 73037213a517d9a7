"""The blob store: files named by the hash of their content, received in parts and checked.

A blob arrives in <sha256>.part, which is always a prefix of the content, and is renamed once its hash is right.
"""

import fcntl
import hashlib
import os
import queue
import select
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Optional, Tuple

from ..home import Home
from ..protocol.failure import DISK_FULL, Failure
from .verified import Verified

#: Sends one reply to the host.
Reply = Callable[..., None]

_BUFFER_BYTES = 1 << 20
_BUFFERS = 8
_F_SETPIPE_SZ = 1031  # fcntl has the name only from Python 3.10 on
_SYNC_EVERY_BYTES = 32 << 20
_SPARE_BYTES = 16 << 20  # left free on the disk for journals and logs
_RENEW_EVERY_S = 10.0
_IDLE_S = 20.0  # a sender that sends nothing for so long is gone
_WAIT_FOR_OTHER_S = 30.0  # longer than _IDLE_S, after which a sender whose connection broke releases the file


def receive(
    home: Home, sha256: str, size: int, source: int, reply: Reply, renew: Callable[[], None] = lambda: None
) -> None:
    """Receive a blob's bytes from descriptor `source`; reply how many are there, at the start and once it is complete.

    A blob whose content has changed on the board is removed and received again; the first reply then says `changed`.
    `renew` renews the board's lease; it is called repeatedly.

    Raises:
        Failure: out_of_disk, corrupt, busy (another process sends it), interrupted or lease_lost (the part is kept).
    """
    home.create()
    renew()
    blob = home.blob(sha256)
    changed = _remove_changed(home, blob, sha256, renew)
    part = _open_part(home, blob, size)
    if part is None:
        reply(have=size)
        reply(have=size)
        return
    try:
        digest, have = _hash_part(part, size)
        _check_space(home, blob, have, size)
        reply(have=have, **({"changed": True} if changed else {}))
        _receive_rest(part, source, size, have, digest, renew)
        if digest.hexdigest() != sha256:
            _part_path(blob).unlink()
            raise Failure("corrupt", f"the {size} bytes that arrived don't have the hash {sha256[:12]}...; push again")
        os.fsync(part)
        _part_path(blob).rename(blob)
        _sync_folder(home.blobs)
        Verified(home).note(blob, sha256)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        # A partial file would keep a full disk full.
        _part_path(blob).unlink()
        raise Failure("out_of_disk", f"the disk filled up while {size} bytes arrived; free some of it") from error
    finally:
        os.close(part)
    reply(have=size)


def _remove_changed(home: Home, blob: Path, sha256: str, renew: Callable[[], None]) -> bool:
    """Remove a blob whose content is not what its name says any more; return whether it was."""
    try:
        if Verified(home).is_right(blob, sha256, paced(renew)):
            return False
        blob.unlink()
    except FileNotFoundError:
        return False
    return True


def paced(renew: Callable[[], None]) -> Callable[[], None]:
    """Return a function that may be called often, and renews a lease as often as needed."""
    renewed = time.monotonic()

    def call() -> None:
        nonlocal renewed
        if time.monotonic() - renewed > _RENEW_EVERY_S:
            renew()
            renewed = time.monotonic()

    return call


def _part_path(blob: Path) -> Path:
    return blob.with_name(blob.name + ".part")


def _open_part(home: Home, blob: Path, size: int) -> Optional[int]:
    """Return the locked descriptor of a blob's part, or None if the blob is complete already."""
    deadline = time.monotonic() + _WAIT_FOR_OTHER_S
    while True:
        if blob.exists() and blob.stat().st_size == size:
            with Verified(home).kept():
                os.utime(blob)
            return None
        part = os.open(_part_path(blob), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # While we waited, another sender may have renamed or removed the file we opened.
            if os.path.samestat(os.fstat(part), _part_path(blob).stat()):
                return part
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(part)
                raise Failure("busy", f"somebody else sends {blob.name[:12]}...; try again later") from None
            time.sleep(0.1)
        except FileNotFoundError:
            pass
        os.close(part)


def _hash_part(part: int, size: int) -> Tuple[Any, int]:
    """Return the hash and the number of the bytes that are there; the descriptor is then at their end."""
    digest = hashlib.sha256()
    have = 0
    if os.fstat(part).st_size > size:
        os.ftruncate(part, 0)
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    while True:
        count = os.readv(part, [buffer])
        if not count:
            return digest, have
        digest.update(buffer[:count])
        have += count


def _check_space(home: Home, blob: Path, have: int, size: int) -> None:
    disk = os.statvfs(home.blobs)
    free = disk.f_bavail * disk.f_frsize
    needed = size - have
    if needed and needed + _SPARE_BYTES > free:
        if not have:
            _part_path(blob).unlink()
        raise Failure(
            "out_of_disk",
            f"{needed + _SPARE_BYTES} bytes of disk are needed at {home.root} and {free} are free; "
            f"free some of it, or set EDGEBENCH_HOME to another disk",
        )


def _receive_rest(part: int, source: int, size: int, have: int, digest: Any, renew: Callable[[], None]) -> None:
    """Copy the missing bytes from `source` to the part, while other threads hash them and sync the file."""
    with suppress(OSError):  # not a pipe
        fcntl.fcntl(source, _F_SETPIPE_SZ, _BUFFER_BYTES)
    background = _Background(part, digest)
    keep_lease = paced(renew)
    try:
        while have < size:
            keep_lease()
            buffer = background.free_buffer()
            if not select.select([source], [], [], _IDLE_S)[0]:
                raise Failure("interrupted", f"no bytes for {_IDLE_S:g} s after {have} of {size}; they are kept")
            count = os.readv(source, [buffer[: size - have]])
            if not count:
                raise Failure("interrupted", f"the bytes ended after {have} of {size}; they are kept")
            _write(part, buffer[:count])
            background.hash(buffer, count)
            have += count
    finally:
        background.end()


def _write(file: int, data: memoryview) -> None:
    while len(data):
        data = data[os.write(file, data) :]


class _Background:
    """Hashes buffers in one thread and syncs the file in another: both release the interpreter's lock."""

    def __init__(self, file: int, digest: Any) -> None:
        self._file = file
        self._digest = digest
        self._free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[Optional[Tuple[memoryview, int]]] = queue.SimpleQueue()
        self._sync: queue.SimpleQueue[bool] = queue.SimpleQueue()
        for _ in range(_BUFFERS):
            self._free.put(memoryview(bytearray(_BUFFER_BYTES)))
        self._error: Optional[OSError] = None
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._hash_all, self._sync_all)]
        for thread in self._threads:
            thread.start()

    def free_buffer(self) -> memoryview:
        """Return an unused buffer; wait for one if necessary."""
        return self._free.get()

    def hash(self, buffer: memoryview, count: int) -> None:
        """Hash the first `count` bytes of a buffer, the next ones of the content; then the buffer is unused again."""
        self._full.put((buffer, count))

    def end(self) -> None:
        """Wait until every buffer is hashed.

        Raises:
            OSError: the disk refused what the file system had accepted; the kernel reports that only once.
        """
        self._full.put(None)
        self._sync.put(False)
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def _hash_all(self) -> None:
        unsynced = 0
        while True:
            job = self._full.get()
            if job is None:
                return
            buffer, count = job
            self._digest.update(buffer[:count])
            self._free.put(buffer)
            unsynced += count
            if unsynced >= _SYNC_EVERY_BYTES:
                self._sync.put(True)
                unsynced = 0

    def _sync_all(self) -> None:
        while self._sync.get():
            try:
                os.fdatasync(self._file)
            except OSError as error:
                self._error = error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
