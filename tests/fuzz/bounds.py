"""What one input may cost and raise: a refusal of the project, in bounded time and memory; all else is a finding."""

from __future__ import annotations

import resource
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import edgebench
import edgebench_agent
from edgebench.text import printable
from tests.fuzz.targets import Target

#: Processor time of one input. The slowest ones take milliseconds; a machine under load needs some of the rest.
MOST_CPU_S = 10
#: By how much one input may raise the highest memory of the process so far.
MOST_MEMORY_BYTES = 256 << 20
#: Where the project's code lies.
_PACKAGES = tuple(str(Path(str(package.__file__)).parent) for package in (edgebench, edgebench_agent))
_KIB = 1024  # the unit of ru_maxrss


class TooSlow(BaseException):
    """An input took more processor time than any may; a BaseException, so that no handler of the project takes it."""


class TooLarge(BaseException):
    """An input took more memory than any may."""


def feed(target: Target, data: bytes, folder: Path) -> bool:
    """Give an input to a target; return whether it was accepted, not refused.

    Args:
        folder: a scratch folder that `target.prepare` has prepared; it may be used again.

    Raises:
        BaseException: a finding: a foreign exception, TooSlow or TooLarge.
    """
    before = _peak_bytes()
    with _bounded_time():
        try:
            target.run(data, folder)
            accepted = True
        except target.refusals as refusal:
            printable(str(refusal)).encode()  # as it leaves the program: what can't be shown is a finding, too
            accepted = False
    grown = _peak_bytes() - before
    if grown > MOST_MEMORY_BYTES:
        raise TooLarge(f"{grown >> 20} MiB for one input")
    return accepted


def place_of(finding: BaseException) -> str:
    """Return the kind of a finding and the line of the project where it began: one fault has one place."""
    frames = traceback.extract_tb(finding.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(_PACKAGES)]
    last = (own or frames or [None])[-1]
    where = f" at {'/'.join(Path(last.filename).parts[-2:])}:{last.lineno}" if last is not None else ""
    return f"{type(finding).__name__}{where}"


@contextmanager
def _bounded_time() -> Iterator[None]:
    """Raise TooSlow once the time is over; code in C is not interrupted, so the time is checked at the end, too."""
    former = signal.signal(signal.SIGPROF, _end)
    began_s = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, MOST_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)
    taken_s = time.process_time() - began_s
    if taken_s > MOST_CPU_S:
        raise TooSlow(f"{taken_s:.0f} s of processor time for one input")


def _end(_: int, __: FrameType | None) -> NoReturn:
    raise TooSlow(f"more than {MOST_CPU_S} s of processor time for one input")


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
