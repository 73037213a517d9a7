"""Memory that a stage of an export no longer needs, given back before the next stage needs its own."""

from __future__ import annotations

import ctypes
import gc
import math
import mmap
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

_MADV_DONTNEED, _MADV_PAGEOUT = 4, 21  # the second: Linux 5.4 and later
_MAPS = Path("/proc/self/smaps")
_ADDRESSES = re.compile("[0-9a-f]+-[0-9a-f]+")
_BLOCK_ROWS = 8192
_LARGE_MODEL_BYTES = 1 << 30

#: Smaller arrays are not worth the system calls.
LARGE_BYTES = 1 << 20


def release_memory() -> None:
    """Collect reference cycles, and give what the C library keeps of freed memory back to the system.

    Graphs are cycles that keep a checkpoint's files mapped. Without glibc, only the cycles are collected.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def page_out(values: NDArray[Any]) -> None:
    """Let the system take back the memory of an array that is not needed soon; a later read is right, and slower.

    For a tensor of a mapped file, the system may keep the file's pages: the later read is hardly slower. Where the
    system can't do that, nothing happens.
    """
    _advise(*_pages_of(values), _advice_for(values))


def array_in_a_file(shape: tuple[int, ...], folder: Path | None = None) -> NDArray[np.float32]:
    """Return a new array, float32, that `page_out` can take out of memory; its file has no name.

    Args:
        folder: where the file is, while the array is used; default: the system's temporary folder.

    Raises:
        OSError: there is no room for it.
    """
    import numpy as np

    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, math.prod(shape) * 4)
        return np.frombuffer(mmap.mmap(file.fileno(), 0), np.float32).reshape(shape)


def row_blocks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Iterate over blocks of rows of a matrix; each is paged out before the next is read, if the matrix is large."""
    advice = _advice_for(values) if values.nbytes >= LARGE_BYTES else None
    for start in range(0, len(values), _BLOCK_ROWS):
        block = values[start : start + _BLOCK_ROWS]
        yield block
        if advice is not None:
            _advise(*_pages_of(block), advice)


def forget_after_use(model: torch.nn.Module) -> None:
    """Make each embedding, and each module of a large model, give back the memory of its parameters after it ran.

    Only parameters in files are given back, which nobody has changed: the next use maps them again. Of an embedding,
    the system maps many rows around each that is read.
    """
    import torch

    is_large = sum(parameter.nbytes for parameter in model.parameters()) >= _LARGE_MODEL_BYTES
    files = _unchanged_files()
    for module in model.modules():
        if not is_large and not isinstance(module, torch.nn.Embedding):
            continue
        pages = [_pages_of(each.detach().numpy()) for each in module.parameters(recurse=False)]
        given = [(start, size) for start, size in pages if size >= LARGE_BYTES and _is_within(start, size, files)]
        if given:
            module.register_forward_hook(_giver(given))


def _giver(given: Sequence[tuple[int, int]]) -> Callable[..., None]:
    def give(*_: object) -> None:
        for start, size in given:
            _advise(start, size, _MADV_DONTNEED)

    return give


def _unchanged_files() -> list[tuple[int, int]]:
    """Return the addresses, first and end, of mapped files without pages that are this process's alone."""
    found: list[tuple[int, int]] = []
    with suppress(OSError):
        for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split(maxsplit=5)
            if _ADDRESSES.fullmatch(fields[0]):
                first, _, end = fields[0].partition("-")
                is_mapped = len(fields) > 4 and fields[4] != "0"
                found.append((int(first, 16), int(end, 16) if is_mapped else 0))
            elif fields[0] == "Anonymous:" and fields[1] != "0" and found:
                found[-1] = (found[-1][0], 0)
    return [(first, end) for first, end in found if end]


def _is_within(start: int, size: int, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(first <= start and start + size <= end for first, end in ranges)


def _advice_for(values: NDArray[Any]) -> int:
    """Return how the system takes these pages: at once, if it has them in a file as they are."""
    import numpy as np

    base: object = values
    while isinstance(base, np.ndarray):
        base = base.base
    of_a_file = isinstance(base, mmap.mmap) or _is_within(*_pages_of(values), _unchanged_files())
    return _MADV_DONTNEED if of_a_file else _MADV_PAGEOUT


def _pages_of(values: NDArray[Any]) -> tuple[int, int]:
    """Return the first address and the size, bytes, of the pages that are the array's alone."""
    if not values.flags.c_contiguous:
        return 0, 0
    start = -(-values.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
    return start, max(0, (values.ctypes.data + values.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - start)


def _advise(start: int, size: int, advice: int) -> None:
    if size > 0:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), advice)
