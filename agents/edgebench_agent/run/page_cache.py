"""The page cache: how much of the model's files is in memory already, and how to get it out of there.

Loading a file that is in memory (it was just written, or loaded before) says nothing of how long a board needs from
its card. Neither needs root: whoever may write a file may ask what of it is cached, and let go of clean pages that
nobody else has mapped.
"""

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Dict, Optional, Sequence


def drop(paths: Sequence[Path]) -> None:
    """Let the kernel forget what it keeps of these files; what can't be dropped stays, and `residency` tells."""
    for path in paths:
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)  # only what is on the disk can be dropped
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def residency(paths: Sequence[Path]) -> Dict[str, Optional[int]]:
    """Return how many bytes the files have, and how many of these are in memory (whole pages; None: can't be told)."""
    size = sum(path.stat().st_size for path in paths)
    counts = [_resident_pages(path) for path in paths]
    known = [pages for pages in counts if pages is not None]
    resident = min(size, sum(known) * mmap.PAGESIZE)  # a last page may be more than the file has
    return {"model_bytes": size, "model_resident_bytes": resident if len(known) == len(counts) else None}


def _resident_pages(path: Path) -> Optional[int]:
    """Return how many pages of a file are cached, by mincore(2); None where the kernel does not tell."""
    import ctypes

    size = path.stat().st_size
    if not size:
        return 0
    with path.open("rb") as file, suppress(OSError, ValueError, AttributeError):
        mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)  # not one page of it is touched
        try:
            start = ctypes.c_char.from_buffer(mapped)
            pages = (ctypes.c_ubyte * (-(-size // mmap.PAGESIZE)))()
            mincore = ctypes.CDLL(None, use_errno=True).mincore
            mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
            failed = mincore(ctypes.addressof(start), size, pages)
            del start  # a mapping that is looked at can't be closed
            return None if failed else sum(page & 1 for page in pages)
        finally:
            mapped.close()
    return None
