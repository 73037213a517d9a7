"""The journal: a run's messages, one line each, append-only.

Its writer keeps the file locked for as long as it lives, so a reader can distinguish a running run from a dead one.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import List, Optional

from ..protocol.checks import ProtocolError
from ..protocol.failure import DISK_FULL, Failure
from ..protocol.messages import Entry, Log, Message, decode_message, encode_body, stamp
from ..storage.journal_place import Place, is_on_tmpfs, move_to_disk
from ..storage.journal_tail import complete_lines


class Journal:
    """The only writer of a journal. `place`: where it is kept in memory, with a link at `path`; None: at `path`."""

    def __init__(self, path: Path, place: Optional[Place] = None) -> None:
        """Create the file.

        Raises:
            FileExistsError: a run of that name exists already.
        """
        self._path = path
        self._place = place
        created = place.journal if place is not None else path
        self._file = os.open(created, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        if place is not None:
            path.symlink_to(place.journal)  # locked first, so that an unlocked journal means a dead writer
        self._size = 0
        self.count = 0

    @property
    def storage(self) -> str:
        """Where the journal is kept: `tmpfs` or `disk`."""
        return "tmpfs" if is_on_tmpfs(self._path) else "disk"

    def append(self, message: Message) -> None:
        """Add a message, stamped with the current time."""
        self.append_body(encode_body(message))

    def append_body(self, body: bytes) -> None:
        """Add an encoded message, stamped with the current time.

        Raises:
            Failure: out_of_disk; a partly written line is removed again.
        """
        line = stamp(self.count, time.monotonic_ns(), body)
        if self._place is not None and self._size + len(line) > self._place.max_bytes:
            self._leave_memory(f"it outgrew {self._place.max_bytes} bytes")
            line = stamp(self.count, time.monotonic_ns(), body)
        try:
            self._write(line)
        except Failure:
            if self._place is None:
                raise
            self._leave_memory("there is no room left")
            self._write(stamp(self.count, time.monotonic_ns(), body))
        self.count += 1

    def rescue(self) -> None:
        """Continue on the disk if somebody deleted the journal from the tmpfs; no message is lost.

        Raises:
            Failure: out_of_disk.
        """
        if self._place is not None and not os.fstat(self._file).st_nlink:
            self._leave_memory("somebody removed it there")

    def _leave_memory(self, why: str) -> None:
        self._move_to_disk()
        self.append(Log(f"the journal was in memory and goes on on the disk: {why}"))

    def _move_to_disk(self) -> None:
        copy = move_to_disk(self._file, self._path)
        os.close(self._file)
        self._file, self._place = copy, None

    def _write(self, data: bytes) -> None:
        line = memoryview(data)
        written = 0
        try:
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            if error.errno in DISK_FULL:
                raise Failure("out_of_disk", "the disk is full, the journal can't grow; free some of it") from error
            raise
        self._size += written

    def close(self) -> None:
        """End writing. The journal moves into the run's folder on the disk, if there is room."""
        if self._place is not None:
            with suppress(Failure, OSError):
                self._move_to_disk()
        os.close(self._file)


def read_journal(path: Path) -> List[Entry]:
    """Return the messages of a journal; an incomplete last line is dropped.

    Raises:
        ProtocolError: a line is not a message, or out of order.
    """
    entries = [decode_message(line) for line in complete_lines(path.read_bytes()).splitlines(keepends=True)]
    for position, entry in enumerate(entries):
        if entry.seq != position:
            raise ProtocolError(f"the journal has message {entry.seq} where {position} should be")
    return entries
