"""Memory that a stage of an export no longer needs, given back before the next stage needs its own."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def release_memory() -> None:
    """Collect reference cycles, and give what the C library keeps of freed memory back to the system.

    Graphs are cycles that keep a checkpoint's files mapped. Without glibc, only the cycles are collected.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
