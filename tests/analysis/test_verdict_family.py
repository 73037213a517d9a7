"""The verdict on speed: a figure that sees every input, and the tail, judged together; on simulated boards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgebench.analysis import compare_rows, reasons_against, summarise, with_ratios
from edgebench.analysis.comparison import Comparison, compare
from edgebench.analysis.verdict_family import deciding_quantities, outcome_of
from edgebench.measure.scheduler import RunScheduler
from edgebench.measurement import Measurement
from edgebench.run import Run
from edgebench.stats import RatioEstimate, Verdict, judge_groups
from edgebench.testing import SimulatedBoard
from edgebench.testing.simulated_board import Factor, simulated_subject
from edgebench.workload import RunPlan

#: Relative lengths as parallel text has them: 20 inputs, log-normal, the longest six times the shortest.
LENGTHS = tuple(float(each) for each in np.exp(np.linspace(-0.9, 0.9, 20)))
LONGEST = tuple(1.0 if at < 12 else 1.5 for at in range(20))
SHORTEST = tuple(1.5 if at < 8 else 1.0 for at in range(20))


def measured(factors: Sequence[Factor], *, count: int = 200, runs: int = 6, **board: Any) -> list[Measurement]:
    """Measure artifacts as a session does it: in its order, valid runs only."""
    simulated = SimulatedBoard(seed=1, **board)
    subjects = [simulated_subject(at, name=f"model-{at}", planned_runs=runs) for at in range(len(factors))]
    done: dict[str, list[Run]] = {subject.id: [] for subject in subjects}

    def measure(at: int) -> None:
        kept = done[subjects[at].id]
        run = simulated.run(subjects[at], len(kept), factor=factors[at], count=count)
        kept.append(replace(run, reasons=reasons_against(run, RunPlan(runs=runs))))

    RunScheduler(subjects=subjects, done=done, looks=(runs,), seed=1, measure=measure).run()
    return [summarise(subject, done[subject.id]) for subject in subjects]


def in_scenario(measurements: Sequence[Measurement], **workload: object) -> list[Measurement]:
    return [
        replace(each, subject=replace(each.subject, workload={**each.subject.workload, **workload}))
        for each in measurements
    ]


@pytest.mark.parametrize("slower", [LONGEST, SHORTEST], ids=["longest", "shortest"])
def test_two_fifths_of_the_inputs_that_are_slower_are_seen(slower: Factor) -> None:
    """The mean of log 1.5 over 40 % of the inputs is a ratio of 1.176; the pooled median hardly moves."""
    a, b = measured([1.0, slower], inputs=LENGTHS)
    found = compare(a, b)
    assert (found.outcome, found.latency.verdict) == ("slower", "slower")
    assert found.latency.ratio == pytest.approx(1.5**0.4, rel=0.02)
    assert found.deciding == ("latency", "p95")


def test_the_longest_inputs_are_seen_by_models_that_alternate() -> None:
    board = SimulatedBoard(seed=1, inputs=LENGTHS, swing=0.09)
    subjects = [simulated_subject(at, name=f"model-{at}", planned_runs=4) for at in range(2)]
    done: list[list[Run]] = [[], []]
    for number in range(4):
        for kept, run in zip(
            done, with_ratios(board.runs(subjects, number, factors=[1.0, LONGEST], count=100)), strict=True
        ):
            kept.append(run)
    ((ratio,),) = [{*run.log_ratios.values()} for run in done[1][:1]]
    assert np.exp(ratio) == pytest.approx(1.5**0.4, rel=0.02)
    (found,) = compare_rows([summarise(subject, runs) for subject, runs in zip(subjects, done, strict=True)])
    assert (found.latency.drift, found.outcome) == ("pairs", "slower")


def test_the_figure_of_a_run_is_worked_out_by_hand() -> None:
    (measurement,) = measured([1.0], inputs=(1.0, 4.0), count=100, runs=1, within=0.0, tail_share=0.0, between=0.0)
    latency = measurement.latency_ms
    assert latency.geomean == pytest.approx(40.0)  # 20 and 80 ms
    assert latency.p50 == pytest.approx(50.0)
    assert measurement.run_latency_ms[0].geomean == latency.geomean


def test_a_tail_alone_can_be_slower() -> None:
    slow_tail = tuple(1.3 if at >= 18 else 1.0 for at in range(20))  # the longest tenth of the inputs
    a, b = measured([1.0, slow_tail], inputs=LENGTHS, between=0.002)
    found = compare(a, b, margin=0.05)
    assert found.p95 is not None
    assert (found.latency.verdict, found.p95.verdict, found.outcome) == ("equivalent", "slower", "slower")
    assert "latency ratio" in found.verdict
    assert ", equivalent), p95 ratio" in found.verdict


def test_offline_is_judged_by_throughput_and_a_server_by_its_tail() -> None:
    a, b = measured([1.0, 1.3], count=700)
    offline = compare(*in_scenario([a, b], scenario="offline"))
    assert (offline.deciding, offline.outcome) == (("throughput",), "slower")
    assert offline.throughput is not None
    assert (offline.throughput.verdict, offline.latency.verdict) == ("lower", "not judged")
    server = compare(*in_scenario([a, b], scenario="server"))
    assert (server.deciding, server.outcome) == (("p99",), "slower")
    assert "p99 ratio" in server.verdict
    short = compare(*in_scenario(measured([1.0, 1.3]), scenario="server"))
    assert short.deciding == ("p95",)


def test_what_does_not_decide_is_described() -> None:
    a, b = measured([1.0, 1.3])
    found = compare(a, b)
    for contrast in (found.throughput, found.memory):
        assert contrast is not None
        assert (contrast.verdict, contrast.significant) == ("not judged", None)
        assert contrast.level == 0.975  # that of latency and p95, which are judged together
    document = found.to_json()
    assert (document["outcome"], document["deciding"]) == ("slower", ["latency", "p95"])
    assert document["p99"] is None


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        (("equivalent", "equivalent"), "equivalent"),
        (("equivalent", "inconclusive"), "inconclusive"),
        (("faster", "inconclusive"), "faster"),
        (("faster", "slower"), "slower"),
        (("equivalent", "slower"), "slower"),
        (("lower",), "slower"),
        (("higher",), "faster"),
    ],
)
def test_verdicts_amount_to_an_outcome(verdicts: tuple[str, ...], outcome: str) -> None:
    assert outcome_of(verdicts) == outcome


def test_where_scenarios_differ_latency_decides() -> None:
    assert deciding_quantities(["offline", "server"], ["latency", "p95", "p99", "throughput"]) == ("latency", "p95")


def estimated(log_ratio: float, standard_error: float) -> RatioEstimate:
    return RatioEstimate(
        log_ratio=log_ratio, standard_error=standard_error, df=8.0, spread=0.01, runs=(6, 6), drift="none"
    )


def test_a_group_is_equivalent_at_the_90_percent_interval_of_each() -> None:
    """Neither would be at Holm's first level, both are at the full one: all of the group must be, so none is chosen."""
    both = [estimated(0.0, 0.0150), estimated(0.0, 0.0148)]
    assert all(0.025 < each.p_equivalent(0.03) <= 0.05 for each in both)
    (judged,) = judge_groups([both], margin=0.03, level=0.95)
    assert [(each.verdict, each.level) for each in judged] == [(Verdict.EQUIVALENT, pytest.approx(0.90))] * 2


def test_any_false_verdict_of_two_quantities_stays_within_the_level() -> None:
    """Each at the full level, one of two would be false in 9.75 % of cases."""
    random = np.random.default_rng(20261130)
    false = 0
    for _ in range(1500):
        both = [
            estimated(float(random.normal(0, 1)) * 0.03, 0.03 * float((random.chisquare(8) / 8) ** 0.5))
            for _ in range(2)
        ]
        (judged,) = judge_groups([both], margin=0.03, level=0.95)
        false += any(each.verdict in (Verdict.LOWER, Verdict.HIGHER) for each in judged)
    assert false / 1500 <= 0.062  # 5 %, and two standard errors


def test_the_interval_printed_with_equivalent_lies_within_the_margin() -> None:
    seen = 0
    for seed in range(12):
        board = SimulatedBoard(seed=seed, between=0.015)
        subjects = [simulated_subject(at, name=f"model-{at}", planned_runs=6) for at in range(2)]
        runs: list[list[Run]] = [[], []]
        for at in (0, 1, 1, 0) * 3:
            runs[at].append(board.run(subjects[at], len(runs[at])))
        found: Comparison = compare(*(summarise(of, each) for of, each in zip(subjects, runs, strict=True)))
        if found.latency.verdict == "equivalent":
            seen += 1
            low, high = found.latency.ci
            assert 0.97 <= low <= high <= 1.03
            assert found.latency.level == pytest.approx(0.90)
            assert "(90 % " in found.verdict
    assert seen
