"""Simulated gates: SimulatedBoard gives the runs, the gate's own schedule, rules and figures the result.

Every session is new: the board starts cool, and each file lies elsewhere in memory (`placement`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edgebench.analysis import summarise, validate_group, with_ratios
from edgebench.gating.budgets import DEFAULT_BUDGETS
from edgebench.gating.lines import Role, timed_lines
from edgebench.gating.rules import GateVerdict, together
from edgebench.gating.schedule import GateSchedule
from edgebench.measure.scheduler import RunScheduler
from edgebench.measurement import Measurement
from edgebench.run import Run
from edgebench.testing import SimulatedBoard, simulated_subject
from edgebench.workload import RunPlan

INFERENCES = 100
LABEL = "128 tok"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateTruth:
    """A board, and the true latencies of the sides relative to the baseline.

    `placement`: sd between sessions of the ratio of two files, for where each lies in memory. `is_virtual`: what the
    board says. `can_alternate` False: always interleaved. Others: as for SimulatedBoard.
    """

    candidate: float = 1.0
    anchor: float | None = None
    between: float = 0.003
    drift: float = 0.0
    swing: float = 0.0
    placement: float = 0.0
    is_virtual: bool = False
    can_alternate: bool = True


@dataclass(slots=True, kw_only=True)
class SimulatedSessions:
    """Measures the sides of a gate on a simulated board, one new session a call."""

    truth: GateTruth
    seed: int
    sessions: int = field(init=False, default=0)

    def __call__(
        self, *, alternate: bool, looks: tuple[int, ...], is_decided: Callable[[Sequence[Measurement]], bool]
    ) -> list[Measurement]:
        truth = self.truth
        self.sessions += 1
        random = np.random.default_rng([self.seed, self.sessions])
        board = SimulatedBoard(
            seed=int(random.integers(1 << 31)), between=truth.between, drift=truth.drift, swing=truth.swing
        )
        factors = [1.0, truth.candidate, *([truth.anchor] if truth.anchor is not None else [])]
        factors = [factor * float(np.exp(random.normal(0.0, truth.placement / math.sqrt(2)))) for factor in factors]
        subjects = []
        for number in range(len(factors)):
            one = simulated_subject(number, name=f"side-{number}", planned_runs=looks[0], looks=len(looks))
            device = replace(one.device, virtual=truth.is_virtual)
            session = f"{one.session}-{self.sessions}"
            subjects.append(replace(one, device=device, session=session, id=f"{session}-{number:03d}"))
        rows = [list(range(len(subjects)))] if alternate else [[number] for number in range(len(subjects))]
        done: dict[str, list[Run]] = {subject.id: [] for subject in subjects}
        plan = RunPlan(runs=looks[0])

        def measure(index: int) -> None:
            row = [subjects[number] for number in rows[index]]
            count = len(done[row[0].id])
            runs = board.runs(row, count, factors=[factors[number] for number in rows[index]], count=INFERENCES)
            judged = with_ratios(validate_group(runs, plan)) if alternate else validate_group(runs, plan)
            for subject, run in zip(row, judged, strict=True):
                # This is about the gate; that the rules of validity refuse some good runs is counted elsewhere.
                done[subject.id].append(replace(run, reasons=()))

        def measured() -> list[Measurement]:
            return [summarise(subject, done[subject.id]) for subject in subjects]

        RunScheduler(
            subjects=[subjects[row[0]] for row in rows],
            done=done,
            looks=looks,
            seed=int(random.integers(1 << 31)),
            measure=measure,
            is_decided=lambda: is_decided(measured()),
        ).run()
        return measured()


def simulate_gate(truth: GateTruth, seed: int, *, margin: float = 0.03) -> GateSchedule:
    """Return the schedule of a gate that has run."""
    has_anchor = truth.anchor is not None
    roles = [Role.BASELINE, Role.CANDIDATE, *([Role.ANCHOR] if has_anchor else [])]
    schedule = GateSchedule(
        roles=roles,
        labels=[LABEL],
        names={Role.BASELINE: "main", Role.CANDIDATE: "the candidate", Role.ANCHOR: "release"},
        lines=timed_lines([replace(DEFAULT_BUDGETS[0], margin=margin)], [LABEL], has_anchor=has_anchor),
        measure=SimulatedSessions(truth=truth, seed=seed),
        is_virtual=truth.is_virtual,
        can_alternate=truth.can_alternate,
    )
    schedule.run()
    return schedule


def gate_verdict(truth: GateTruth, seed: int) -> GateVerdict:
    """Return what a simulated gate says of all its lines together."""
    return together(each.result for each in simulate_gate(truth, seed).results.values())


QUIET = GateTruth()
WARM_PI = GateTruth(between=0.01, drift=0.05)
NEIGHBOURS = GateTruth(swing=0.09)
ALTERNATING = replace(NEIGHBOURS, is_virtual=True)

#: What is simulated, and what must hold, in percent: (name, truth, lowest FAIL, highest FAIL, lowest PASS).
GATE_ROWS: tuple[tuple[str, GateTruth, float, float, float], ...] = (
    ("quiet board", QUIET, 0, 1, 100),
    ("warm Pi", WARM_PI, 0, 1, 100),
    ("neighbours, always interleaved", replace(NEIGHBOURS, can_alternate=False), 0, 1, 0),
    ("neighbours, not reported as virtual", NEIGHBOURS, 0, 1, 100),
    ("neighbours, virtual: alternating", ALTERNATING, 0, 1, 100),
    ("the same, placement sd 2 %", replace(ALTERNATING, placement=0.02), 0, 1, 85),
    ("the same, placement sd 2 % of each file", replace(ALTERNATING, placement=0.02 * math.sqrt(2)), 0, 100, 0),
    ("quiet board, 5 % slower", replace(QUIET, candidate=1.05), 99, 100, 0),
    ("warm Pi, 5 % slower", replace(WARM_PI, candidate=1.05), 99, 100, 0),
    ("neighbours, virtual, 5 % slower", replace(ALTERNATING, candidate=1.05), 99, 100, 0),
    ("the same, placement sd 2 %, 5 % slower", replace(ALTERNATING, placement=0.02, candidate=1.05), 70, 100, 0),
    ("quiet board, as slow as the margin", replace(QUIET, candidate=1.03), 0, 100, 0),
    ("neighbours, virtual, as slow as the margin", replace(ALTERNATING, candidate=1.03), 0, 100, 0),
)


def creeping_commits(truth: GateTruth, seed: int, *, commits: int = 10, step: float = 0.01) -> int | None:
    """Return at which of so many commits, each slower by `step` than the one before, the gate first fails.

    Each is gated against its predecessor and against the first state as the anchor. None: all passed or were undecided.
    """
    for commit in range(1, commits + 1):
        # Relative to the predecessor, which is the baseline.
        relative = replace(truth, candidate=1 + step, anchor=(1 + step) ** (1 - commit))
        if gate_verdict(relative, 1000 * seed + commit) is GateVerdict.FAIL:
            return commit
    return None
