"""follow and fetch: send a run's journal, as it grows, and its other files to the host."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Callable

from ..home import Home, RunFolder
from ..lease.run_lease import RunLease
from ..protocol.failure import Failure
from ..protocol.wire import HEARTBEAT, MAX_LINE_BYTES, RENEW, RUN_FILES, STOP
from ..storage.journal_place import check_place, open_journal
from ..storage.journal_tail import complete_lines, has_writer
from .pulse import PulseWatch

_POLL_S = 0.05
_HEARTBEAT_NS = 1_000_000_000
_CHUNK_BYTES = 1 << 16
_RESCUE_S = 3.0


def follow(
    home: Home, run_id: str, offset: int, commands: int, wire: int, renew: Callable[[], None] = lambda: None
) -> None:
    """Write the journal from byte `offset` on to `wire`, complete lines only, until its writer is gone.

    Lines on the descriptor `commands` renew or stop the run; this process ends when `commands` does. `renew` renews the
    board's lease.

    Heartbeats are sent while the run's supervisor gives signs of life; one that gives none for long is ended.

    Raises:
        Failure: not_found, bad_request; stuck: the supervisor was ended.
    """
    folder = _existing(home, run_id)
    pulse = PulseWatch(folder)
    journal = open_journal(folder.journal)
    os.pread(journal, 1, 0)  # an unreadable file is reported before the thread starts, which may end this process
    _seek_line(journal, offset)
    threading.Thread(target=_handle_commands, args=(folder, commands, renew), daemon=True).start()
    sent_ns = time.monotonic_ns()
    while True:
        alive = has_writer(folder.journal)  # before reading, so that its last lines are not missed
        if _send_new_lines(journal, wire):
            sent_ns = time.monotonic_ns()
        elif _has_moved(journal, folder.journal):
            _reopen(journal, folder.journal)
        elif not alive:
            if folder.journal.exists():
                return
            _existing(home, run_id)  # waits until it is back, or raises Failure
        elif time.monotonic_ns() - sent_ns >= _HEARTBEAT_NS:
            sent_ns = time.monotonic_ns()
            pulse.look()
            if pulse.is_beating():
                _write(wire, HEARTBEAT)
        else:
            time.sleep(_POLL_S)


def _has_moved(journal: int, path: Path) -> bool:
    """Return whether the run's journal is another file by now, because it moved from memory to the disk."""
    try:
        return not os.path.samestat(os.fstat(journal), path.stat())
    except FileNotFoundError:
        return False


def _reopen(journal: int, path: Path) -> None:
    """Point the descriptor to the file that is there now, at the same offset."""
    position = os.lseek(journal, 0, os.SEEK_CUR)
    moved = os.open(path, os.O_RDONLY)
    os.dup2(moved, journal)
    os.close(moved)
    os.lseek(journal, position, os.SEEK_SET)


def fetch(home: Home, run_id: str, name: str, offset: int, wire: int) -> None:
    """Write the bytes of a run's file to `wire`, from `offset` on.

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
            time.sleep(_POLL_S)  # a running run moves its journal to the disk soon
    if not folder.journal.exists():
        raise Failure("not_found", f"there is no run {run_id} on this board")
    return folder


def _seek_line(journal: int, offset: int) -> None:
    """Go to `offset`, which must be where a line starts."""
    if offset and os.pread(journal, 1, offset - 1) != b"\n":
        raise Failure("bad_request", f"byte {offset} is not where a line of the journal starts")
    os.lseek(journal, offset, os.SEEK_SET)


def _send_new_lines(journal: int, wire: int) -> bool:
    """Send the next complete lines, if any, up to a limit; return whether there were any."""
    start = os.lseek(journal, 0, os.SEEK_CUR)
    new = os.fstat(journal).st_size - start
    lines = complete_lines(os.pread(journal, min(new, 2 * MAX_LINE_BYTES), start)) if new > 0 else b""
    _write(wire, lines)
    os.lseek(journal, start + len(lines), os.SEEK_SET)
    return bool(lines)


def _handle_commands(folder: RunFolder, commands: int, renew: Callable[[], None]) -> None:
    """Carry out the host's commands. When they end, the host is gone, and this process ends too."""
    lease = RunLease(folder.renewed)
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
                with suppress(Failure):  # the run itself notices that it lost the board, and records it in its journal
                    renew()
            elif line + b"\n" == STOP:
                folder.stop.touch(mode=0o600)


def _write(wire: int, data: bytes) -> None:
    rest = memoryview(data)
    while len(rest):
        rest = rest[os.write(wire, rest) :]
