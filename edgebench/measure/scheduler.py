"""The order of a session's runs: interleaved, runs that are not valid repeated, looks at the data in between.

No artifact may always come first, or a board that warms up would decide the comparison. This module knows no board:
the function that measures is passed in, so that a simulated board is scheduled like a real one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgebench.errors import ConfigError, RunFailed
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.measurement import Subject
from edgebench.reason import Reason, joined

#: So many runs of each are too few for the comparison to model the drift (see `edgebench.stats.ratio`).
_MIRRORED = 3


def order_of_runs(cells: int, runs: int, *, seed: int) -> list[int]:
    """Return which cell each run measures, in order; each cell has exactly `runs` of them.

    Two rounds are a block, in which each cell comes twice, in an order drawn by the seed; an odd last round is half a
    block. So no disturbance that comes back every few runs meets one cell more than another, but by chance, and each
    look at the data finds as many runs of each. A drift is in the comparison's model. Where there are too few runs for
    that, the second round of a block is the first one backwards (ABBA), and a drift that is linear in time cancels.

    Raises:
        ConfigError: a negative number.
    """
    from random import Random

    if cells < 0 or runs < 0:
        raise ConfigError(f"cells and runs must not be negative, got {cells} and {runs}")
    random = Random(seed)  # noqa: S311 - an order, not a secret
    order: list[int] = []
    for first_round in range(0, runs, 2):
        rounds = random.sample(range(cells), cells)
        if first_round + 1 < runs:
            rounds = [*rounds, *reversed(rounds)]
        if runs > _MIRRORED:
            random.shuffle(rounds)
        order += rounds
    return order


class MeasuredRun(Protocol):
    """What the scheduler needs to know of a run that was measured."""

    @property
    def valid(self) -> bool:
        """Whether it counts."""

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why it does not count."""


@dataclass(slots=True, kw_only=True)
class RunScheduler:
    """Decides which subject is measured next, and when the session has enough runs.

    Args:
        subjects: what is measured, in the order of their indices.
        done: the runs of each subject so far, by its id.
        looks: the numbers of valid runs of each subject after which the data are examined.
        seed: of the order of runs.
        measure: measures one run of the subject with this index, and adds it to `done`.
        is_decided: with several looks, ends the schedule at a look.
        repeats: whether runs that are not valid are repeated.
        has_time: whether a run of the subject with this index may be repeated.
    """

    subjects: Sequence[Subject]
    done: Mapping[str, Sequence[MeasuredRun]]
    looks: Sequence[int]
    seed: int
    measure: Callable[[int], None]
    is_decided: Callable[[], bool] = field(default=lambda: False)
    repeats: bool = True
    has_time: Callable[[int], bool] = field(default=lambda _: True)
    on_event: OnEvent = ignore
    _failed: dict[int, RunFailed] = field(init=False, default_factory=dict)

    def run(self) -> None:
        """Measure the planned runs up to each look; repeat runs that are not valid, at most half as many.

        Raises:
            RunFailed: of the first subject whose own file or inputs are at fault, after all others were measured.
        """
        order = order_of_runs(len(self.subjects), self.looks[-1], seed=self.seed)
        scheduled: Counter[int] = Counter()
        position = 0
        for runs in self.looks:
            for index in order[position : runs * len(self.subjects)]:
                scheduled[index] += 1
                if scheduled[index] > len(self._runs(index)):  # a resumed session has some runs already
                    self._measure(index)
            position = runs * len(self.subjects)
            for index in range(len(self.subjects)):
                self._repeat(index, runs)
            if len(self.looks) > 1 and self.is_decided():
                break
        for error in self._failed.values():
            raise error

    def _repeat(self, index: int, runs: int) -> None:
        """Measure more runs of a subject until `runs` of them are valid, within bounds of number and time."""
        most = runs + max(1, runs // 2) if self.repeats else runs
        while index not in self._failed and sum(run.valid for run in self._runs(index)) < runs:
            done = self._runs(index)
            if len(done) >= most:
                return
            why = next((joined(run.reasons) for run in reversed(done) if run.reasons), "it is missing")
            name = self.subjects[index].variant.name
            if not self.has_time(index):
                self.on_event(LogMessage(f"{name}: no time is left to repeat a run that was not valid: {why}"))
                return
            self.on_event(LogMessage(f"{name}: repeating a run that was not valid: {why}"))
            self._measure(index)

    def _measure(self, index: int) -> None:
        if index in self._failed:
            return
        try:
            self.measure(index)
        except RunFailed as error:
            # Only this subject's file or inputs are at fault: the others are measured, then `run` raises.
            self._failed[index] = error
            subject = self.subjects[index]
            self.on_event(LogMessage(f"{subject.variant.name} {subject.artifact.format} is given up: {error}"))

    def _runs(self, index: int) -> Sequence[MeasuredRun]:
        return self.done[self.subjects[index].id]
