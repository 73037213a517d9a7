"""The course of a session: runs in the planned order, those that don't count repeated, looks at the data between.

It knows no board: what measures is given to it, so that a simulated board goes the same way as a real one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgebench.errors import RunFailed
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.measure.run_order import order_of_runs
from edgebench.measurement import Subject
from edgebench.reason import Reason, joined


class Done(Protocol):
    """What the course must know of a run that was measured."""

    @property
    def valid(self) -> bool:
        """Whether it counts."""

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why not."""


@dataclass(slots=True, kw_only=True)
class RunScheduler:
    """What is measured, in which order, until when.

    `done`: the runs of each subject, by its id; `measure(i)` adds one to those of the i-th subject. `looks`: after how
    many valid runs of each the data are looked at; with several, `is_decided` ends the course at a look. `has_time(i)`:
    whether a run of the i-th subject may be repeated.
    """

    subjects: Sequence[Subject]
    done: Mapping[str, Sequence[Done]]
    looks: Sequence[int]
    seed: int
    measure: Callable[[int], None]
    is_decided: Callable[[], bool] = field(default=lambda: False)
    repeats: bool = True  # runs that were not valid
    has_time: Callable[[int], bool] = field(default=lambda _: True)
    on_event: OnEvent = ignore
    _failed: dict[int, RunFailed] = field(init=False, default_factory=dict)

    def run(self) -> None:
        """Measure the planned order up to each look, and repeat what was not valid, at most half as many.

        Raises:
            RunFailed: of the first subject whose own file or inputs are at fault, after all others were measured.
        """
        order = order_of_runs(len(self.subjects), self.looks[-1], seed=self.seed)
        turns: Counter[int] = Counter()
        done = 0
        for runs in self.looks:
            for index in order[done : runs * len(self.subjects)]:
                turns[index] += 1
                if turns[index] > len(self._runs(index)):  # a session that goes on has some already
                    self._measure(index)
            done = runs * len(self.subjects)
            for index in range(len(self.subjects)):
                self._repeat(index, runs)
            if len(self.looks) > 1 and self.is_decided():
                break
        for error in self._failed.values():
            raise error

    def _repeat(self, index: int, runs: int) -> None:
        most = runs + max(1, runs // 2) if self.repeats else runs
        while index not in self._failed and sum(run.valid for run in self._runs(index)) < runs:
            kept = self._runs(index)
            if len(kept) >= most:
                return
            why = next((joined(run.reasons) for run in reversed(kept) if run.reasons), "it is missing")
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
            # Its file or its inputs are at fault; the others go on, and the end tells.
            self._failed[index] = error
            subject = self.subjects[index]
            self.on_event(LogMessage(f"{subject.variant.name} {subject.artifact.format} is given up: {error}"))

    def _runs(self, index: int) -> Sequence[Done]:
        return self.done[self.subjects[index].id]
