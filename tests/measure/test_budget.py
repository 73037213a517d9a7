"""How long a session takes, and what fits into a budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgebench.device import find_device
from edgebench.errors import UsageError
from edgebench.facts import RunFacts
from edgebench.measure.budget import RunCost, Timetable, cost_of, describe_budget, fit_into, pilot_plan
from edgebench.request import Request, request_from_json, request_to_json
from edgebench.workload import RunPlan
from tests.sample_runs import MS, run, subject, trace

PLAN = RunPlan(runs=6, min_count=100, min_duration_s=2.0, max_duration_s=60.0)
FAST = RunCost(start_s=3.0, inference_s=0.01, batches=1)  # a run of PLAN: 3 + 2 s
SLOW = RunCost(start_s=5.0, inference_s=0.2, batches=1)  # ... 5 + 20 s


def asked(budget_s: float | None, **changes: object) -> Request:
    return Request(device=find_device("local"), plan=PLAN, budget_s=budget_s, **changes)  # type: ignore[arg-type]


def test_a_run_takes_its_start_and_as_many_inferences_as_both_minima_ask_for() -> None:
    assert FAST.inferences(PLAN) == 200
    assert FAST.seconds(PLAN) == pytest.approx(5.0)
    assert SLOW.inferences(PLAN) == 100
    assert SLOW.seconds(PLAN) == pytest.approx(25.0)


def test_a_run_has_complete_passes_within_the_longest_time() -> None:
    assert replace(SLOW, batches=30).inferences(PLAN) == 120
    assert replace(SLOW, inference_s=2.0).inferences(PLAN) == 30
    assert replace(SLOW, inference_s=200.0).inferences(PLAN) == 1


def test_a_pilot_separates_start_and_inference() -> None:
    pilot = run(subject(), 0, trace([10 * MS] * 5))
    cost = cost_of(pilot, 4.05)
    assert cost is not None
    assert (cost.start_s, cost.inference_s, cost.batches) == (pytest.approx(4.0), pytest.approx(0.01), 1)
    assert cost_of(run(subject(), 0, trace([])), 4.0) is None
    assert pilot_plan(PLAN) == replace(PLAN, runs=1, min_count=5, min_duration_s=0.0)


def test_a_servers_queries_come_at_their_rate_however_few_the_pilot_saw() -> None:
    pilot = run(subject(), 0, trace([10 * MS] * 5, pause_ns=90 * MS))
    served = replace(pilot, facts=replace(pilot.facts, queries_per_s=20.0))
    cost, late = cost_of(served, 4.0), cost_of(replace(served, facts=RunFacts(queries_per_s=200.0)), 4.0)
    assert cost is not None and late is not None
    assert cost.inference_s == pytest.approx(0.05)
    assert late.inference_s == pytest.approx(0.01)  # more than can be served


def test_the_timetable_goes_by_the_pilots_and_then_by_the_runs() -> None:
    table = Timetable(PLAN, [FAST, SLOW], deadline_s=200.0, clock=lambda: 10.0)
    assert table.left_s([6, 6]) == pytest.approx(180.0)
    assert table.spare_s([6, 6]) == pytest.approx(10.0)
    for seconds in (7.0, 6.0, 60.0):
        table.ended(0, seconds)
    assert table.left_s([2, 1]) == pytest.approx(39.0)
    assert Timetable(PLAN, [FAST, None]).left_s([1, 1]) is None
    assert Timetable(PLAN, [FAST, None]).left_s([1, 0]) == pytest.approx(5.0)
    assert Timetable(PLAN, [FAST]).spare_s([1]) is None


def test_a_budget_that_is_large_enough_changes_nothing() -> None:
    # Seven runs of each row: one is set aside for a repeat.
    request = asked(7 * 30.0 + 10)
    assert fit_into(request, [FAST, SLOW], spent_s=10.0) == request
    assert fit_into(asked(None), [FAST, SLOW], spent_s=10.0) == asked(None)


def test_inferences_become_fewer_before_runs_do() -> None:
    planned = fit_into(asked(140.0), [FAST, SLOW], spent_s=0.0).plan
    assert planned.runs == 6
    assert 33 <= planned.min_count < 100
    assert 7 * sum(cost.seconds(planned) for cost in (FAST, SLOW)) <= 140.0
    more = replace(planned, min_count=planned.min_count + 2)
    assert 7 * sum(cost.seconds(more) for cost in (FAST, SLOW)) > 140.0


def test_runs_are_reduced_by_complete_blocks() -> None:
    planned = fit_into(asked(90.0), [FAST, SLOW], spent_s=0.0).plan
    assert planned.runs == 4
    planned = fit_into(replace(asked(90.0), plan=replace(PLAN, runs=2)), [FAST, SLOW], spent_s=0.0).plan
    assert planned.runs == 2


def test_a_budget_for_which_the_least_plan_is_too_long_is_refused() -> None:
    with pytest.raises(UsageError) as refused:
        fit_into(asked(30.0), [FAST, SLOW], spent_s=5.0)
    # (4 + 1) * ((3 + 1) + (5 + 33 * 0.2)) + 5 = 83
    assert str(refused.value) == (
        "the budget of 30 s is too short: the least plan, 4 runs of each row, takes about 83 s, "
        "5 s of which are spent; try `budget_s=92`"
    )
    assert refused.value.exit_code == 2
    fit_into(asked(92.0), [FAST, SLOW], spent_s=5.0)


@pytest.mark.parametrize(
    ("budget_s", "looks"),
    [(41 * 5.0, (6, 12, 20, 40)), (40 * 5.0, (6, 12, 20)), (7 * 5.0, (6,)), (33.0, (6,)), (21.0, (4,))],
)
def test_until_decided_has_the_looks_that_fit(budget_s: float, looks: tuple[int, ...]) -> None:
    planned = fit_into(asked(budget_s, until_decided=True), [FAST], spent_s=0.0)
    assert planned.looks == looks


def test_a_budget_is_described_with_what_it_loses() -> None:
    request = asked(21.0)
    planned = fit_into(request, [FAST], spent_s=0.0)
    # t(3; 97.5 %) / sqrt(4) against t(5; 97.5 %) / sqrt(6): 3.182 / 2 : 2.571 / 2.449 = 1.52
    assert describe_budget(request, planned, [FAST]) == (
        "within the budget: 4 runs of each row, 46 inferences or 1.2 s each; "
        "intervals about 1.5 times as wide as with 6 runs; no p99"
    )
    assert describe_budget(request, request, [FAST]).endswith("6 runs of each row, 100 inferences or 2 s each")


def test_a_session_that_goes_on_has_the_plan_of_its_budget() -> None:
    planned = fit_into(asked(200.0, until_decided=True, cool_below_c=55.0), [FAST], spent_s=0.0)
    assert request_from_json(request_to_json(planned)) == planned
