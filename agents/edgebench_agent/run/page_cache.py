"""The page cache: how much of the model's files is in memory already, and how to drop it.

Loading a file that is in memory (just written, or loaded before) does not show how long loading from the card takes.
Neither function needs root: a user who may write a file may query its cached pages, and drop clean pages that no other
process has mapped.
"""

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Dict, Optional, Sequence


def drop(paths: Sequence[Path]) -> None:
    """Drop these files from the page cache. What can't be dropped stays, and `residency` reports it."""
    for path in paths:
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)  # only what is on the disk can be dropped
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def residency(paths: Sequence[Path]) -> Dict[str, Optional[int]]:
    """Return the size of the files, and how much of it is in memory (complete pages; None: unknown), in bytes."""
    size = sum(path.stat().st_size for path in paths)
    counts = [_resident_pages(path) for path in paths]
    known = [pages for pages in counts if pages is not None]
    resident = min(size, sum(known) * mmap.PAGESIZE)  # the last page may be larger than the rest of the file
    return {"model_bytes": size, "model_resident_bytes": resident if len(known) == len(counts) else None}


def _resident_pages(path: Path) -> Optional[int]:
    """Return how many pages of a file are cached, by mincore(2); None: the kernel does not say."""
    import ctypes

    size = path.stat().st_size
    if not size:
        return 0
    with path.open("rb") as file, suppress(OSError, ValueError, AttributeError):
        mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)  # touches no page
        try:
            start = ctypes.c_char.from_buffer(mapped)
            pages = (ctypes.c_ubyte * (-(-size // mmap.PAGESIZE)))()
            mincore = ctypes.CDLL(None, use_errno=True).mincore
            mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
            failed = mincore(ctypes.addressof(start), size, pages)
            del start  # a mapping with references can't be closed
            return None if failed else sum(page & 1 for page in pages)
        finally:
            mapped.close()
    return None
