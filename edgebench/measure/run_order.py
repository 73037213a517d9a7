"""The order of runs: no artifact may always come first, or a board that warms up would decide the comparison."""

from __future__ import annotations

from edgebench.errors import ConfigError


def order_of_runs(cells: int, runs: int, *, seed: int) -> list[int]:
    """Return which cell each run measures, in order; each cell has exactly `runs` of them.

    Two rounds are a block: forward, then backward (ABBA; ABCCBA for three cells), so that a drift that is linear in
    time cancels. The order within each block is shuffled by the seed; an odd last round is half a block.

    Raises:
        ConfigError: a negative number.
    """
    from random import Random

    if cells < 0 or runs < 0:
        raise ConfigError(f"cells and runs must not be negative, got {cells} and {runs}")
    random = Random(seed)  # noqa: S311 - an order, not a secret
    order: list[int] = []
    for first_round in range(0, runs, 2):
        block = random.sample(range(cells), cells)
        order += block
        if first_round + 1 < runs:
            order += reversed(block)
    return order
