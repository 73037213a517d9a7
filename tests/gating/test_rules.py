"""The rules of a gate on numbers that a reader can check, and on simulated sessions. Costs some 10 s."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from scipy.stats import t as student

from benchmarks.gates import ALTERNATING, LABEL, NEIGHBOURS, QUIET, SimulatedSessions, creeping_commits, simulate_gate
from edgebench.gating.budgets import Budget
from edgebench.gating.lines import Role, timed_lines
from edgebench.gating.metrics import Metric
from edgebench.gating.rules import (
    LOOK_ALPHA,
    GateVerdict,
    MeanEstimate,
    bounds_of,
    confirm,
    judge,
    mean_against,
    must_alternate,
    together,
)
from edgebench.gating.schedule import GateSchedule

PASS, FAIL, UNDECIDED = GateVerdict.PASS, GateVerdict.FAIL, GateVerdict.UNDECIDED


def estimate(ratio: float, error: float, df: float = 5.0) -> MeanEstimate:
    return MeanEstimate(log_ratio=math.log(ratio), standard_error=error, df=df)


def test_bounds_are_students_at_the_alpha_of_a_look() -> None:
    bounds = bounds_of(estimate(1.02, 0.004))
    one_sided, two_sided = student.ppf(1 - LOOK_ALPHA, 5), student.ppf(1 - LOOK_ALPHA / 2, 5)
    assert bounds.upper == pytest.approx(1.02 * math.exp(0.004 * one_sided))
    assert bounds.interval == pytest.approx((1.02 * math.exp(-0.004 * two_sided), 1.02 * math.exp(0.004 * two_sided)))
    assert bounds.detectable == pytest.approx(math.exp(0.004 * (two_sided + student.ppf(0.8, 5))) - 1)


@pytest.mark.parametrize(
    ("ratio", "error", "verdict"),
    [
        (1.0, 0.005, PASS),
        (1.0, 0.02, UNDECIDED),
        (1.05, 0.005, FAIL),
        (1.05, 0.03, UNDECIDED),
        (1.01, 0.001, PASS),  # surely slower, and surely by less than the margin
        (1.029, 0.001, FAIL),  # surely slower, and not shown to be within the margin
        (0.5, 0.1, PASS),
    ],
)
def test_a_look_passes_fails_or_leaves_it_open(ratio: float, error: float, verdict: GateVerdict) -> None:
    assert judge(estimate(ratio, error), margin=0.03) is verdict


def test_a_ceiling_is_judged_by_the_runs_figures() -> None:
    within, above, near = ([9.0, 9.1, 9.05, 9.0], [11.0, 11.1, 11.0, 11.2], [9.5, 10.5, 9.8, 10.2])
    found = [mean_against(figures, 10.0) for figures in (within, above, near)]
    assert [judge(each, margin=0.0) for each in found if each is not None] == [PASS, FAIL, UNDECIDED]
    assert mean_against([9.0], 10.0) is None


def test_a_failure_counts_only_if_it_is_repeated() -> None:
    assert [confirm(each) for each in (PASS, UNDECIDED, FAIL)] == [UNDECIDED, UNDECIDED, FAIL]
    assert together([PASS, UNDECIDED, FAIL]) is FAIL
    assert together([PASS, UNDECIDED]) is UNDECIDED
    assert together([]) is PASS
    assert must_alternate([0.004, 0.011]) and not must_alternate([0.004, 0.0099])


# --- simulated sessions, through the real schedule -------------------------------------------------------------------


def said(schedule: GateSchedule) -> GateVerdict:
    return together(each.result for each in schedule.results.values())


def test_the_same_file_passes_on_a_quiet_board_and_on_one_with_neighbours() -> None:
    for truth in (QUIET, ALTERNATING):
        assert Counter(said(simulate_gate(truth, seed)) for seed in range(8)) == {PASS: 8}


def test_a_file_that_is_5_percent_slower_fails_in_two_sessions() -> None:
    for truth in (QUIET, ALTERNATING):
        for seed in range(4):
            schedule = simulate_gate(replace(truth, candidate=1.05), seed)
            assert said(schedule) is FAIL
            assert [each.purpose for each in schedule.sessions] == ["decide", "repeat"]
            (found,) = schedule.results.values()
            assert found.repeated == pytest.approx(found.ratio, rel=0.03)


def test_runs_that_spread_make_the_models_alternate_in_a_new_session() -> None:
    schedule = simulate_gate(NEIGHBOURS, 3)
    assert [(each.purpose, each.mode) for each in schedule.sessions] == [
        ("spread", "interleaved"),
        ("decide", "alternating"),
    ]
    assert said(schedule) is PASS
    quiet = simulate_gate(QUIET, 3)
    assert [(each.purpose, each.mode) for each in quiet.sessions] == [("decide", "interleaved")]
    assert quiet.sessions[0].runs == {"baseline": 6, "candidate": 6}


@pytest.mark.slow
def test_neighbours_do_not_fail_a_gate_that_can_not_alternate() -> None:
    truth = replace(NEIGHBOURS, can_alternate=False)
    found = Counter(said(simulate_gate(truth, seed)) for seed in range(10))
    assert found[FAIL] == 0
    assert found[UNDECIDED] > 0  # nine of 20 runs decide


@pytest.mark.slow
def test_where_files_lie_in_memory_is_drawn_anew_for_the_second_session() -> None:
    truth = replace(ALTERNATING, placement=0.02)
    found = Counter(said(simulate_gate(truth, seed)) for seed in range(24))
    assert found[FAIL] <= 1
    assert found[PASS] >= 16


@pytest.mark.slow
def test_small_slowdowns_pass_one_by_one_and_fail_against_the_anchor() -> None:
    assert all(said(simulate_gate(replace(QUIET, candidate=1.01), seed)) is PASS for seed in range(5))
    assert {creeping_commits(QUIET, seed, commits=5) for seed in range(3)} <= {2, 3, 4}


def test_memory_of_models_that_alternate_is_measured_apart() -> None:
    budgets = [Budget(metric=Metric.LATENCY, margin=0.03), Budget(metric=Metric.MEMORY, ceiling_bytes=200e6)]
    schedule = GateSchedule(
        roles=[Role.BASELINE, Role.CANDIDATE],
        labels=[LABEL],
        names={Role.BASELINE: "main", Role.CANDIDATE: "the candidate"},
        lines=timed_lines(budgets, [LABEL], has_anchor=False),
        measure=SimulatedSessions(truth=ALTERNATING, seed=1),
        is_virtual=True,
    )
    schedule.run()
    assert [(each.purpose, each.mode) for each in schedule.sessions] == [
        ("decide", "alternating"),
        ("alone", "interleaved"),
        ("repeat", "interleaved"),
    ]
    results = {str(line.budget.metric): found for line, found in schedule.results.items()}
    assert results["latency"].result is PASS
    assert results["peak_pss"].result is FAIL  # a simulated run has 280 MB
    assert results["peak_pss"].value == pytest.approx(280e6)
