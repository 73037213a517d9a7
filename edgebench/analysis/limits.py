"""Limits of validity: how much of what a board went through may be, so that the figure can be held to a margin.

A run must not count when what was seen could by itself move its figure by a third of the margin. A third, because three
things that are each just let through then still move it by less than the margin.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgebench.run import Run
from edgebench.stats import MARGIN

MOST_OF_MARGIN = 1 / 3
#: What slows models down alike that alternate cancels in their ratio; a tenth is assumed to remain.
_ALIKE = 10
_MOST_EFFECT = 0.1
#: Work in bursts moves few inferences, whose passes are excluded. A burst takes so many times `effect` of the board.
_BURST = 10
#: What temperature alone does to a board is not known: latency follows the clock, which is seen, but power leaks more
#: with heat. We take 0.2 % a degree, so that a run at the default margin may heat up by 5 °C.
_EFFECT_PER_MC = 0.002 / 1000
#: The kernel counts time in ticks, of each core.
_TICK_NS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits for one run.

    Args:
        effect: by how much what was seen may move the figure, as a share of it.
        drift: by how much latencies may change from a run's start to its end, as a share: half of it is in the median.
        cores: of the board that the process may use.
        timed_ns: how long inferences were timed.
        burst: what part of the board's time others may take for a moment; more is excluded where that is possible.
    """

    effect: float
    drift: float
    cores: int
    timed_ns: int
    burst: float

    @staticmethod
    def of(run: Run, margin: float = MARGIN) -> Limits:
        """Return the limits of a run whose figure is to be held to a margin, e.g. 0.03."""
        effect = alone = MOST_OF_MARGIN * margin
        if run.alternates:
            effect = min(_MOST_EFFECT, _ALIKE * alone)
        board = run.facts.board
        cores = (board.usable_cores or board.cores) if board is not None else None
        timed_ns = 1
        if len(run.trace.starts_ns):
            timed_ns = int(run.trace.starts_ns[-1] + run.trace.latencies_ns[-1] - run.trace.starts_ns[0])
        return Limits(
            effect=effect,
            drift=2 * alone,
            cores=max(1, cores or 1),
            timed_ns=max(1, timed_ns),
            burst=min(0.5, _BURST * alone),
        )

    @staticmethod
    def of_quiet_board(cores: int | None, *, watched_ms: int, margin: float = MARGIN) -> Limits:
        """Return the limits that a run on so many cores will have, for what was seen in a time before it."""
        effect = MOST_OF_MARGIN * margin
        return Limits(
            effect=effect,
            drift=2 * effect,
            cores=max(1, cores or 1),
            timed_ns=max(1, watched_ms * 1_000_000),
            burst=min(0.5, _BURST * effect),
        )

    @property
    def load_cores(self) -> float:
        """The processor time that others may take on average, in cores.

        What they take of the board's cores, the run lacks, if its threads use all of them.
        """
        return self.effect * self.cores

    @property
    def load_millicores(self) -> float:
        """The same in thousandths, with what ticks may be off by: one of each core."""
        return 1000 * self.cores * (self.effect + _TICK_NS / self.timed_ns)

    @property
    def burst_millicores(self) -> float:
        """The same for a moment: more is excluded."""
        return max(1000 * self.cores * self.burst, self.load_millicores)

    @property
    def left_burst_cores(self) -> float:
        """What others may take in a moment that was not excluded, in cores.

        It is more where models alternate: a burst slows them down alike.
        """
        return max(self.cores * min(0.5, _BURST * self.effect), self.load_millicores / 1000)

    @property
    def clock_share(self) -> float:
        """The lowest clock, as a share of what the governor allows: latency grows at most as the clock falls."""
        return 1 - self.effect

    @property
    def temperature_mc(self) -> int:
        """By how much the temperature may change while timed, thousandths of a degree Celsius."""
        return round(self.effect / _EFFECT_PER_MC)


def percent(share: float) -> str:
    """Return a share as a percentage for a text."""
    return f"{100 * share:.3g} %"
