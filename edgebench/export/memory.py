"""Memory that a stage of an export no longer needs, given back before the next stage needs its own."""

from __future__ import annotations

import ctypes
import gc
import mmap
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MADV_PAGEOUT = 21  # Linux 5.4 and later


def release_memory() -> None:
    """Collect reference cycles, and give what the C library keeps of freed memory back to the system.

    Graphs are cycles that keep a checkpoint's files mapped. Without glibc, only the cycles are collected.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def page_out(values: NDArray[Any]) -> None:
    """Let the system take back the memory of an array that is not needed soon; a later read is right, and slower.

    For a tensor of a mapped file, its pages are dropped. Where the system can't do that, nothing happens.
    """
    start = -(-values.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE  # only pages that are the array's alone
    size = (values.ctypes.data + values.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - start
    if size > 0 and values.flags.c_contiguous:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _MADV_PAGEOUT)
