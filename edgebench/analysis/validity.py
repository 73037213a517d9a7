"""When a run counts: a table of rules over what came back from the board, each with its code.

A rule takes a Run, the RunPlan that it should fulfil, and the Limits that follow from the margin; it returns why the
run does not count, or None. Before the rules are applied, short bursts of other processes' work are excluded. What the
board can't report (no throttle flags, no list of providers) speaks neither for nor against a run. Runs that are too
short for the rules are not judged: nothing is known against them, and that says little (`Run.judged`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from edgebench.analysis import board_rules, run_rules
from edgebench.analysis.exclusion import with_exclusions
from edgebench.analysis.limits import Limits
from edgebench.reason import Reason, ReasonCode
from edgebench.run import Run
from edgebench.stats import MARGIN
from edgebench.workload import RunPlan

Rule = Callable[[Run, RunPlan, Limits], str | None]

#: One row is one way for a run not to count.
RULES: dict[ReasonCode, Rule] = {
    ReasonCode.INCOMPLETE: run_rules.incomplete,
    ReasonCode.THROTTLED: board_rules.throttled,
    ReasonCode.CLOCK_TOO_LOW: board_rules.clock_too_low,
    ReasonCode.TEMPERATURE_CHANGED: board_rules.temperature_changed,
    ReasonCode.OTHERS_WORKED: board_rules.others_worked,
    ReasonCode.STOLEN: board_rules.stolen,
    ReasonCode.QUOTA: board_rules.stopped_by_quota,
    ReasonCode.FAULTED: board_rules.faulted,
    ReasonCode.SWAPPED: board_rules.swapped,
    ReasonCode.CLOCKSOURCE_CHANGED: board_rules.clocksource_changed,
    ReasonCode.WARM_UP_NOT_ENDED: run_rules.warm_up_not_ended,
    ReasonCode.NOT_STEADY: run_rules.not_steady,
    ReasonCode.TOO_FEW_OBSERVATIONS: run_rules.too_few_observations,
    ReasonCode.NO_COMPLETE_PASS: run_rules.no_complete_pass,
    ReasonCode.OVERLOADED: run_rules.overloaded,
    ReasonCode.PROVIDER_FELL_BACK: run_rules.provider_fell_back,
}

#: A sustained run is there to show what a board does when it gets hot.
_SHOWN_BY_SUSTAINED = (
    ReasonCode.THROTTLED,
    ReasonCode.CLOCK_TOO_LOW,
    ReasonCode.TEMPERATURE_CHANGED,
    ReasonCode.WARM_UP_NOT_ENDED,
    ReasonCode.NOT_STEADY,
)


def reasons_against(run: Run, plan: RunPlan, *, margin: float = MARGIN) -> tuple[Reason, ...]:
    """Return why this run does not count, in the order of the table; empty where it does.

    `margin`: what its figure is to be held to; the limits of the rules follow from it.
    """
    skipped: Collection[ReasonCode] = _SHOWN_BY_SUSTAINED if plan.sustained_min is not None else ()
    if run.alternates:
        skipped = (ReasonCode.NOT_STEADY,)  # `validate_group` tests whether they drift apart
    limits = Limits.of(run, margin)
    found = ((code, rule(run, plan, limits)) for code, rule in RULES.items() if code not in skipped)
    return tuple(Reason(code, text) for code, text in found if text is not None)


#: What the board went through; the other rules are about runs that repeat their inputs.
_OF_THE_BOARD = (
    ReasonCode.THROTTLED,
    ReasonCode.CLOCK_TOO_LOW,
    ReasonCode.OTHERS_WORKED,
    ReasonCode.STOLEN,
    ReasonCode.QUOTA,
    ReasonCode.FAULTED,
    ReasonCode.SWAPPED,
    ReasonCode.CLOCKSOURCE_CHANGED,
)


def reasons_against_one_pass(run: Run, *, margin: float = MARGIN) -> tuple[Reason, ...]:
    """Return why the latencies of a run that makes one pass over its inputs do not count; empty where they do.

    Nothing of it is excluded: bursts of others count where they are more than a fifth of some minute.
    """
    plan, limits = RunPlan(sustained_min=1), Limits.of(run, margin)
    found = ((code, RULES[code](run, plan, limits)) for code in _OF_THE_BOARD)
    return tuple(Reason(code, text) for code, text in found if text is not None)


def judged(run: Run, plan: RunPlan, *, margin: float = MARGIN) -> Run:
    """Return the run with what is to be excluded of it, and the reasons why it does not count all the same."""
    return validate_group([run], plan, margin=margin)[0]


def validate_group(runs: Sequence[Run], plan: RunPlan, *, margin: float = MARGIN) -> list[Run]:
    """Return the runs of models that alternated, judged.

    What is excluded from one is excluded from all. One that does not count takes the others with it, because it is each
    other that they are compared with.
    """
    found = with_exclusions(runs, plan, margin)
    reasons = [reasons_against(run, plan, margin=margin) for run in found]
    if len(found) > 1 and (text := run_rules.drifted_apart(found, Limits.of(found[0], margin))) is not None:
        reasons = [(*own, Reason(ReasonCode.DRIFTED_APART, text)) for own in reasons]
    of_partners = tuple(dict.fromkeys(reason.of_partner() for of_run in reasons for reason in of_run))
    is_judged = run_rules.is_long_enough(found)
    return [replace(run, reasons=own or of_partners, judged=is_judged) for run, own in zip(found, reasons, strict=True)]
