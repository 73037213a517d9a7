"""The busy runtime: a fixed piece of arithmetic on every core, to find what disturbs real inferences.

The null runtime ends before a sensor is read, and leaves the other cores idle. Here, as with a model, the threads share
each inference, which lasts until the slowest is done: a disturbance of any core shows. The arithmetic is a hash of the
standard library, computed without Python's lock, so that every board can do it.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Any, Dict, List, Sequence

from .interface import Description, Model

_WORK = bytes(1 << 20)  # per thread and inference: 1 ms here, some 5 ms on a Raspberry Pi 4
_NOTHING: List[Any] = []


def describe() -> Description:
    """Return the description of the work."""
    return Description("1", {}, ["busy"])


def load(path: str, *, threads: int, providers: Sequence[str], alternates: bool = False) -> Model:
    """Return a model without inputs and outputs that works on `threads` cores (0: all that the process may use)."""
    others = (threads or len(os.sched_getaffinity(0))) - 1
    pool = ThreadPoolExecutor(max(1, others))

    def infer(arrays: Dict[str, Any]) -> List[Any]:
        shares = [pool.submit(blake2b, _WORK) for _ in range(others)]
        blake2b(_WORK)
        for share in shares:
            share.result()
        return _NOTHING

    return Model([], [], infer, ["busy"], {}, [], lambda error: None)
