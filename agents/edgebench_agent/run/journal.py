"""The journal: a run's messages, one line each, only ever appended to.

Its writer holds a lock on the file for as long as it lives, so a reader can tell a run that goes on from one that died.
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
from ..storage.journal_place import Place, lies_in_memory, take_home
from ..storage.tail import whole_lines


class Journal:
    """The one writer of a journal. `place`: where it grows in memory, with a link at `path`; None: at `path` itself."""

    def __init__(self, path: Path, place: Optional[Place] = None) -> None:
        """Create the file.

        Raises:
            FileExistsError: a run of that name has been there before.
        """
        self._path = path
        self._place = place
        created = place.journal if place is not None else path
        self._file = os.open(created, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        if place is not None:
            path.symlink_to(place.journal)  # locked before: who finds it unlocked knows that its writer is dead
        self._size = 0
        self.count = 0

    @property
    def lies_on(self) -> str:
        """What it grows on: `tmpfs` or `disk`."""
        return "tmpfs" if lies_in_memory(self._path) else "disk"

    def append(self, message: Message) -> None:
        """Add a message, stamped with the present time."""
        self.append_body(encode_body(message))

    def append_body(self, body: bytes) -> None:
        """Add an encoded message, stamped with the present time.

        Raises:
            Failure: out_of_disk; what was written of the line is taken back.
        """
        line = stamp(self.count, time.monotonic_ns(), body)
        if self._place is not None and self._size + len(line) > self._place.most_bytes:
            self._leave_memory(f"it outgrew {self._place.most_bytes} bytes")
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
        """Go on on the disk if somebody removed the journal from memory; nothing of it is lost.

        Raises:
            Failure: out_of_disk.
        """
        if self._place is not None and not os.fstat(self._file).st_nlink:
            self._leave_memory("somebody removed it there")

    def _leave_memory(self, why: str) -> None:
        self._go_home()
        self.append(Log(f"the journal was in memory and goes on on the disk: {why}"))

    def _go_home(self) -> None:
        copy = take_home(self._file, self._path)
        os.close(self._file)
        self._file, self._place = copy, None

    def _write(self, whole: bytes) -> None:
        line = memoryview(whole)
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
        """Let go of the file: the journal has no writer any more, and lies in the run's folder if the disk takes it."""
        if self._place is not None:
            with suppress(Failure, OSError):
                self._go_home()
        os.close(self._file)


def read_journal(path: Path) -> List[Entry]:
    """Return the messages of a journal; a torn last line is dropped.

    Raises:
        ProtocolError: a line is not a message, or out of order.
    """
    entries = [decode_message(line) for line in whole_lines(path.read_bytes()).splitlines(keepends=True)]
    for position, entry in enumerate(entries):
        if entry.seq != position:
            raise ProtocolError(f"the journal has message {entry.seq} where {position} should be")
    return entries
