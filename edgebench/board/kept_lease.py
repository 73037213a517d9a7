"""A lease that is kept for several sessions of one or several processes: those of a run of pytest, say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from edgebench.device import Device


@dataclass(frozen=True, slots=True)
class KeptLease:
    """The lease that sessions on a board use instead of one of their own.

    `turn`: a context in which a session has the board to itself, among all that use the same lease.
    """

    token: int
    turn: Callable[[], AbstractContextManager[None]]


#: By the name and the address of the board.
_kept: dict[tuple[str, str], KeptLease] = {}


@contextmanager
def use_lease(
    device: Device, token: int, *, turn: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Iterator[None]:
    """Let the sessions of this process on a board use a lease that `take_lease` took, here or in another process."""
    key = _key(device)
    before = _kept.get(key)
    _kept[key] = KeptLease(token, turn)
    try:
        yield
    finally:
        if before is None:
            del _kept[key]
        else:
            _kept[key] = before


def kept_lease(device: Device) -> KeptLease | None:
    """Return the lease that sessions of this process on a board use; None: each takes its own."""
    return _kept.get(_key(device))


def _key(device: Device) -> tuple[str, str]:
    return device.name, device.address
