"""What the bits of the Raspberry Pi's `vcgencmd get_throttled` say."""

from __future__ import annotations

from collections.abc import Iterable

#: The lowest bits are about now, the same bits STICKY_SHIFT higher about any moment since boot.
THROTTLE_FLAGS = ("under-voltage", "clock capped", "throttled", "soft temperature limit")
STICKY_SHIFT = 16


def throttle_names(bits: int) -> list[str]:
    """Return what the bits say of now; shifted down by STICKY_SHIFT first: since boot."""
    return [name for bit, name in enumerate(THROTTLE_FLAGS) if bits >> bit & 1]


def happened_during(readings: Iterable[int], *, before: int) -> int:
    """Return the bits (as of now) of what happened during these readings, the last reading before them being `before`.

    A sticky bit that was not set before shows an episode between two readings.
    """
    happened = 0
    for value in readings:
        happened |= value | (value >> STICKY_SHIFT & ~(before >> STICKY_SHIFT))
    return happened & (1 << len(THROTTLE_FLAGS)) - 1
