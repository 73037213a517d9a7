"""follow and fetch: give a run's journal, as it grows, and its other files to the host."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Callable

from ..home import Home, RunFolder
from ..lease.run_lease import Lease
from ..protocol.failure import Failure
from ..protocol.wire import HEARTBEAT, MAX_LINE_BYTES, RENEW, RUN_FILES, STOP
from ..storage.journal_place import check_place
from ..storage.tail import has_writer, whole_lines

_POLL_S = 0.05
_HEARTBEAT_NS = 1_000_000_000
_CHUNK_BYTES = 1 << 16
_RESCUE_S = 3.0


def follow(
    home: Home, run_id: str, offset: int, commands: int, wire: int, renew: Callable[[], None] = lambda: None
) -> None:
    """Write the journal from byte `offset` on to `wire`, whole lines only, until its writer is gone.

    Lines on the descriptor `commands` renew or stop the run; its end ends this process. `renew` keeps the board's
    lease.

    Raises:
        Failure: not_found, bad_request.
    """
    folder = _existing(home, run_id)
    journal = os.open(folder.journal, os.O_RDONLY)
    os.pread(journal, 1, 0)  # what can't be read is said before anybody listens, for their end ends this process
    _seek_line(journal, offset)
    threading.Thread(target=_obey, args=(folder, commands, renew), daemon=True).start()
    said_ns = time.monotonic_ns()
    while True:
        alive = has_writer(folder.journal)  # asked before reading: what it wrote last is not missed
        if _pass_on(journal, wire):
            said_ns = time.monotonic_ns()
        elif _has_moved(journal, folder.journal):
            _open_again(journal, folder.journal)
        elif not alive:
            if folder.journal.exists():
                return
            _existing(home, run_id)  # waits until it is there again, or says that it is gone
        elif time.monotonic_ns() - said_ns >= _HEARTBEAT_NS:
            _write(wire, HEARTBEAT)
            said_ns = time.monotonic_ns()
        else:
            time.sleep(_POLL_S)


def _has_moved(journal: int, path: Path) -> bool:
    """Say whether the run's journal is another file by now: it was in memory and went to the disk."""
    try:
        return not os.path.samestat(os.fstat(journal), path.stat())
    except FileNotFoundError:
        return False


def _open_again(journal: int, path: Path) -> None:
    """Let the descriptor go on in the file that is there now, where it was."""
    position = os.lseek(journal, 0, os.SEEK_CUR)
    moved = os.open(path, os.O_RDONLY)
    os.dup2(moved, journal)
    os.close(moved)
    os.lseek(journal, position, os.SEEK_SET)


def fetch(home: Home, run_id: str, name: str, offset: int, wire: int) -> None:
    """Write the bytes of a run's file from `offset` on.

    Raises:
        Failure: not_found, bad_request.
    """
    if name not in RUN_FILES:
        raise Failure("bad_request", f"a run has no file {name!r}; it has {', '.join(RUN_FILES)}")
    path = _existing(home, run_id).path / name
    if not path.exists():
        raise Failure("not_found", f"run {run_id} has no {name}")
    with path.open("rb") as file:
        file.seek(offset)
        while True:
            data = file.read(_CHUNK_BYTES)
            if not data:
                return
            _write(wire, data)


def _existing(home: Home, run_id: str) -> RunFolder:
    folder = home.run(run_id)
    deadline = time.monotonic() + _RESCUE_S
    while True:
        try:
            check_place(folder.journal)
            break
        except Failure:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)  # a run that goes on brings its journal to the disk
    if not folder.journal.exists():
        raise Failure("not_found", f"there is no run {run_id} on this board")
    return folder


def _seek_line(journal: int, offset: int) -> None:
    """Go to `offset`, which must be where a line starts."""
    if offset and os.pread(journal, 1, offset - 1) != b"\n":
        raise Failure("bad_request", f"byte {offset} is not where a line of the journal starts")
    os.lseek(journal, offset, os.SEEK_SET)


def _pass_on(journal: int, wire: int) -> bool:
    """Pass on the whole lines that are there, at most a few at a time; say whether there were any."""
    start = os.lseek(journal, 0, os.SEEK_CUR)
    new = os.fstat(journal).st_size - start
    lines = whole_lines(os.pread(journal, min(new, 2 * MAX_LINE_BYTES), start)) if new > 0 else b""
    _write(wire, lines)
    os.lseek(journal, start + len(lines), os.SEEK_SET)
    return bool(lines)


def _obey(folder: RunFolder, commands: int, renew: Callable[[], None]) -> None:
    """Do what the host says, until it says no more; then nobody listens either."""
    lease = Lease(folder.renewed)
    buffer = b""
    while True:
        data = os.read(commands, 4096)
        if not data:
            os._exit(0)
        *lines, buffer = (buffer + data).split(b"\n")
        buffer = buffer[-64:]
        for line in lines:
            if line + b"\n" == RENEW:
                lease.renew()
                with suppress(Failure):  # the run itself sees that it lost the board, and says so in its journal
                    renew()
            elif line + b"\n" == STOP:
                folder.stop.touch(mode=0o600)


def _write(wire: int, data: bytes) -> None:
    rest = memoryview(data)
    while len(rest):
        rest = rest[os.write(wire, rest) :]
