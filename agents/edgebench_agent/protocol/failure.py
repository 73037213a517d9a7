"""Failure: the one exception that the agent raises on purpose."""

import errno
from typing import Optional

from .wire import FAILURE_KINDS

#: What a file system says that takes no more: full, over quota, or over the limit of a file's size.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Failure(Exception):
    """Something failed; `kind` is one of FAILURE_KINDS, the message is one line that says what, where, what to try.

    `model`: which of the run's models it is about, where that is known.
    """

    model: Optional[int] = None

    def __init__(self, kind: str, message: str) -> None:
        if kind not in FAILURE_KINDS:
            raise ValueError("unknown kind of failure: " + kind)
        super().__init__(message)
        self.kind = kind
