"""Failure: the exception for everything that the agent reports as failed."""

import errno
from typing import Optional

from .wire import FAILURE_KINDS

#: Errors of a file system that accepts no more: full, over quota, over the limit of a file's size.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Failure(Exception):
    """Something failed; `kind` is one of FAILURE_KINDS, the message is one line: what happened, where, what to try.

    `model`: the number of the run's model that is at fault, if known.
    """

    model: Optional[int] = None

    def __init__(self, kind: str, message: str) -> None:
        if kind not in FAILURE_KINDS:
            raise ValueError("unknown kind of failure: " + kind)
        super().__init__(message)
        self.kind = kind
