"""When a run counts: a table of rules over what came back from the board, each with its reason.

A rule takes a Run and the RunPlan that it should fulfil; it returns why the run does not count, or None.
What the board can't tell (no throttle flags, no list of providers) speaks neither for nor against it. A reason has no
figure of this one run in it, so that the same trouble in several runs reads the same.
"""

from __future__ import annotations

from collections.abc import Callable

from edgebench.measurement import Run
from edgebench.workload import RunPlan

Rule = Callable[[Run, RunPlan], str | None]

#: Bits of the Raspberry Pi's `vcgencmd get_throttled`: 0-3 are now, the same 16 higher have been since boot.
_THROTTLED_BITS = {
    0: "under-voltage",
    1: "clock capped",
    2: "throttled",
    3: "soft temperature limit",
}
_STICKY_SHIFT = 16


def _throttled(run: Run, _: RunPlan) -> str | None:
    series = run.trace.readings.get("throttled")
    if series is None or len(series.values) == 0:
        return None
    seen = [int(value) for value in series.values]
    before = seen[0] >> _STICKY_SHIFT
    happened = 0
    for value in seen:
        # A sticky bit that was not set at the start tells of an episode between two readings.
        happened |= value | (value >> _STICKY_SHIFT & ~before)
    names = [name for bit, name in _THROTTLED_BITS.items() if happened >> bit & 1]
    return f"{' and '.join(names)} during the run" if names else None


def _warm_up_not_ended(run: Run, _: RunPlan) -> str | None:
    if run.facts.get("warmup_steady", True):
        return None
    return "warm-up was not seen to end"


def _too_few(run: Run, plan: RunPlan) -> str | None:
    if len(run.latencies_ns) >= plan.min_count:
        return None
    return (
        f"fewer than {plan.min_count} inferences in {plan.max_duration_s:g} s; "
        "raise --max-duration or lower --min-count"
    )


def _provider_fell_back(run: Run, _: RunPlan) -> str | None:
    asked = run.facts.get("providers_asked") or []
    if not asked:
        return None
    wanted, got = asked[0], run.facts.get("providers", [])
    if wanted not in got:
        return f"{wanted} was asked for, but {', '.join(got) or 'nothing'} ran"
    nodes = run.facts.get("nodes") or {}
    if nodes and not nodes.get(wanted):
        return f"{wanted} runs none of the graph's nodes; they fell back to {', '.join(nodes)}"
    return None


#: name -> rule. One row is one way for a run not to count.
RULES: dict[str, Rule] = {
    "throttled": _throttled,
    "warm_up_not_ended": _warm_up_not_ended,
    "too_few_observations": _too_few,
    "provider_fell_back": _provider_fell_back,
}


def reasons_against(run: Run, plan: RunPlan) -> tuple[str, ...]:
    """Return why this run does not count, in the order of the table; empty where it does."""
    found = (rule(run, plan) for rule in RULES.values())
    return tuple(reason for reason in found if reason is not None)
