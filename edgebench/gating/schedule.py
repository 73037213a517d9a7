"""The sessions of a gate: how the sides are measured, when a look decides, and what is repeated.

- A board that says it is virtual: models alternate. Else the first look is interleaved; where the runs of a model then
  spread by more than 1 %, this look is not used, and a new session alternates. Choosing by the spread of the runs and
  not by their difference leaves the error rates of the looks as they are.
- Memory and energy are of a process that one model has to itself: where models alternate, they get an interleaved
  session.
- A look that finds a slowdown below the margin does not end the session: more runs may show that it is within it.
- What fails is measured again in a new session, with the files read anew. Only a second failure counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from edgebench.errors import NotValid
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.gating.lines import Line, Role, Sides, figure_of, judge_line
from edgebench.gating.metrics import KINDS, Metric, spread_of
from edgebench.gating.result import BudgetResult, GateSession
from edgebench.gating.rules import LOOK_ALPHA, LOOKS, GateVerdict, confirm, must_alternate
from edgebench.measurement import Measurement
from edgebench.reason import joined

#: Whether the measurements so far, in the request's order, decide.
IsDecided = Callable[[Sequence[Measurement]], bool]

ALTERNATING, INTERLEAVED = "alternating", "interleaved"


class MeasureSides(Protocol):
    """Measures all sides under all workloads in one session: for each side, a measurement of each workload."""

    def __call__(self, *, alternate: bool, looks: tuple[int, ...], is_decided: IsDecided) -> list[Measurement]: ...


@dataclass(slots=True, kw_only=True)
class GateSchedule:
    """Measures until every line is decided; then `results` has what each says, and `sides` what was measured last.

    Args:
        roles: of the models, in the order in which `measure` returns them.
        labels: of the workloads, in the same way.
        names: what the sides are called.
        lines: what is to be decided.
        is_virtual: whether the board is known to be a virtual machine; None: not known.
        can_alternate: whether the models may share a process.
    """

    roles: Sequence[Role]
    labels: Sequence[str]
    names: Mapping[Role, str]
    lines: Sequence[Line]
    measure: MeasureSides
    is_virtual: bool | None = None
    can_alternate: bool = True
    looks: tuple[int, ...] = LOOKS
    alpha: float = LOOK_ALPHA
    on_event: OnEvent = ignore
    results: dict[Line, BudgetResult] = field(init=False, default_factory=dict)
    sessions: list[GateSession] = field(init=False, default_factory=list)
    sides: dict[str, Sides] = field(init=False, default_factory=dict)

    def run(self) -> None:
        """Measure, decide, and repeat what failed.

        Raises:
            NotValid: a side is not valid, or the figure of a budget was not measured.
            EdgebenchError, KeyboardInterrupt: as `measure`.
        """
        alone = [line for line in self.lines if line.is_alone]
        timed = [line for line in self.lines if not line.is_alone]
        alternates = bool(self.is_virtual) and self.can_alternate
        if not alternates:
            alternates = not self._decide(self.lines, alternate=False, may_switch=self.can_alternate)
        if alternates:
            self._decide(timed, alternate=True)
            missing = [line for line in alone if line not in self.results]
            if missing:
                self._decide(missing, alternate=False, purpose="alone")
        self._repeat([line for line in timed if self._has_failed(line)], alternate=alternates)
        self._repeat([line for line in alone if self._has_failed(line)], alternate=False)

    def _has_failed(self, line: Line) -> bool:
        return self.results[line].result is GateVerdict.FAIL

    def _decide(
        self, lines: Sequence[Line], *, alternate: bool, purpose: str = "decide", may_switch: bool = False
    ) -> bool:
        """Measure a session until these lines are decided; False: its runs spread too much, and it is not used."""
        look = _Looks(lines=lines, names=self.names, alpha=self.alpha)
        switches = False

        def is_decided(measured: Sequence[Measurement]) -> bool:
            nonlocal switches
            sides = self._by_label(measured)
            if may_switch and not look.count:
                switches = self._must_alternate(sides)
            look.examine(sides)
            return switches or look.is_decided

        measured = self.measure(alternate=alternate, looks=self.looks, is_decided=is_decided)
        sides = self._by_label(measured)
        if not look.count:  # one look only: a session does not ask whether to go on
            is_decided(measured)
        self._keep(sides, "spread" if switches else purpose, alternate)
        if switches:
            self.on_event(LogMessage("the runs spread by more than 1 %, or the board is virtual: models alternate now"))
            # Memory and energy are told only by processes that models have to themselves, as these were.
            are_valid = all(side[role].valid for side in sides.values() for role in self.roles)
            look.results = {line: found for line, found in look.results.items() if line.is_alone and are_valid}
        else:
            self._require_valid(sides)
            self._require_measured(lines, look, sides)
        self.results |= look.results
        return not switches

    def _repeat(self, failed: Sequence[Line], *, alternate: bool) -> None:
        if not failed:
            return
        self.on_event(LogMessage(f"{_count(len(failed))} failed: it counts only if a new session says so, too"))
        first = {line: self.results.pop(line) for line in failed}
        self._decide(failed, alternate=alternate, purpose="repeat")
        for line, before in first.items():
            again = self.results[line]
            self.results[line] = replace(before, result=confirm(again.result), repeated=figure_of(again))

    def _must_alternate(self, sides: Mapping[str, Sides]) -> bool:
        if any(side[Role.CANDIDATE].subject.device.virtual for side in sides.values()):
            return True
        return must_alternate(spread_of(side[Role.BASELINE], side[Role.CANDIDATE]) for side in sides.values())

    def _by_label(self, measured: Sequence[Measurement]) -> dict[str, Sides]:
        count = len(self.labels)
        sides = {
            label: {role: measured[model * count + at] for model, role in enumerate(self.roles)}
            for at, label in enumerate(self.labels)
        }
        # The anchor may be the baseline itself; then it is measured once.
        return {label: {Role.ANCHOR: side[Role.BASELINE], **side} for label, side in sides.items()}

    def _keep(self, sides: Mapping[str, Sides], purpose: str, alternate: bool) -> None:
        self.sides = dict(sides)
        first = next(iter(sides.values()))
        runs = {
            str(role): min(sum(run.valid for run in side[role].runs) for side in sides.values()) for role in self.roles
        }
        mode = ALTERNATING if alternate else INTERLEAVED
        self.sessions.append(
            GateSession(id=first[Role.CANDIDATE].subject.session, purpose=purpose, mode=mode, runs=runs)
        )

    def _require_valid(self, sides: Mapping[str, Sides]) -> None:
        for label, side in sides.items():
            for role in self.roles:
                if not side[role].valid:
                    raise NotValid(
                        f"the {role} is not valid under {label}, so the gate says nothing: {joined(side[role].reasons)}"
                    )

    def _require_measured(self, lines: Sequence[Line], look: _Looks, sides: Mapping[str, Sides]) -> None:
        for line in lines:
            if line in look.results:
                continue
            why = ""
            if line.budget.metric is Metric.ENERGY:
                why = sides[line.label][Role.CANDIDATE].energy_absent or ""
            raise NotValid(
                f"there is a budget on {KINDS[line.budget.metric].title}, which was not measured under {line.label}"
                + (f": {why}" if why else "; give runs more inferences, or take the budget out")
            )


def _count(lines: int) -> str:
    return "a budget" if lines == 1 else f"{lines} budgets"


@dataclass(slots=True, kw_only=True)
class _Looks:
    """The looks at one session: a line keeps what the first look that decided it, or else the last one, said."""

    lines: Sequence[Line]
    names: Mapping[Role, str]
    alpha: float
    results: dict[Line, BudgetResult] = field(init=False, default_factory=dict)
    count: int = field(init=False, default=0)

    def examine(self, sides: Mapping[str, Sides]) -> None:
        self.count += 1
        for line in self.lines:
            known = self.results.get(line)
            if known is None or _is_open(known):
                found = judge_line(line, sides[line.label], names=self.names, alpha=self.alpha)
                if found is not None:
                    self.results[line] = found

    @property
    def is_decided(self) -> bool:
        return all(line in self.results and not _is_open(self.results[line]) for line in self.lines)


def _is_open(found: BudgetResult) -> bool:
    """Whether more runs may say something else: a slowdown smaller than the margin may yet be shown to be within it."""
    if found.result is GateVerdict.FAIL and found.ratio is not None and found.margin is not None:
        return found.ratio < 1 + found.margin
    return found.result is GateVerdict.UNDECIDED
