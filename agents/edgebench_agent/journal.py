"""The journal: a run's messages, one line each, only ever appended to.

Its writer holds a lock on the file for as long as it lives, so a reader can tell a run that goes on from one that died.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import List

from .failure import DISK_FULL, Failure
from .protocol import Entry, Message, ProtocolError, decode_message, encode_body, stamp
from .tail import whole_lines


class Journal:
    """The one writer of a journal."""

    def __init__(self, path: Path) -> None:
        """Create the file.

        Raises:
            FileExistsError: a run of that name has been there before.
        """
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._size = 0
        self.count = 0

    def append(self, message: Message) -> None:
        """Add a message, stamped with the present time."""
        self.append_body(encode_body(message))

    def append_body(self, body: bytes) -> None:
        """Add an encoded message, stamped with the present time.

        Raises:
            Failure: out_of_disk; what was written of the line is taken back.
        """
        line = memoryview(stamp(self.count, time.monotonic_ns(), body))
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
        self.count += 1

    def close(self) -> None:
        """Let go of the file: the journal has no writer any more."""
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
