"""Verdicts over known truths: what is equivalent or faster, what can't be compared, what can't be said yet."""

from __future__ import annotations

import io
import json
import math
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import edgebench
from edgebench.analysis import PairedComparison, compare_pairs, compare_rows, summarise
from edgebench.analysis.comparability import ALLOWABLE
from edgebench.analysis.comparison import Comparison, compare
from edgebench.artifact import Format, WeightScales
from edgebench.errors import ConfigError, NotComparable, TooFewRuns, UnknownName
from edgebench.measure.scheduler import order_of_runs
from edgebench.measurement import Measurement
from edgebench.reason import reasons_from_json
from edgebench.reporting import comparison_parts
from edgebench.run import Series
from edgebench.stats import LOOKS, RatioEstimate, Verdict, estimate_ratio, holm_alphas, judge_all, more_runs
from edgebench.stats.verdicts import is_decided, judge, look_level
from edgebench.store import Store
from edgebench.store.lookup import find_pairs
from edgebench.testing import SimulatedBoard
from edgebench.testing.simulated_board import simulated_subject
from tests.fork_server import edgebench_command

NAMES = ("english", "multilingual", "translated")


def measured(
    factors: Sequence[float] = (1.0, 1.0),
    *,
    runs: int = 6,
    seed: int = 1,
    looks: int = 1,
    count: int = 150,
    **board: Any,
) -> list[Measurement]:
    """Measure artifacts on a simulated board, interleaved as a session does it."""
    simulated = SimulatedBoard(seed=seed, **board)
    subjects = [simulated_subject(at, name=NAMES[at], planned_runs=runs, looks=looks) for at in range(len(factors))]
    kept: list[list[Any]] = [[] for _ in factors]
    for cell in order_of_runs(len(factors), runs, seed=seed):
        kept[cell].append(simulated.run(subjects[cell], len(kept[cell]), factor=factors[cell], count=count))
    return [summarise(subject, of) for subject, of in zip(subjects, kept, strict=True)]


# --- the ratio ---------------------------------------------------------------------------------------------------


def test_the_ratio_is_least_squares_with_time_and_its_square() -> None:
    """Worked out by hand: logs are exactly artifact + drift, so the fit is exact."""
    times = np.arange(12.0)
    is_candidate = np.array([0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0], bool)
    logs = 3 + 0.05 * is_candidate + 0.02 * times - 0.001 * times**2
    found = estimate_ratio(
        np.exp(logs[~is_candidate]),
        np.exp(logs[is_candidate]),
        baseline_times=times[~is_candidate],
        candidate_times=times[is_candidate],
    )
    assert found.log_ratio == pytest.approx(0.05)
    assert found.standard_error == pytest.approx(0, abs=1e-12)
    assert (found.runs, found.drift) == ((6, 6), "time + time^2")
    assert 7 < found.df <= 8  # Bell and McCaffrey's, at most what least squares leaves


def test_without_drift_the_robust_error_is_welchs() -> None:
    """HC2 of a difference of two means is Welch's error; its degrees of freedom under equal variances: n - 2."""
    from edgebench.stats.ratio import _robust_error

    logs = np.array([0.01, 0.03, -0.02, 0.0, 0.05, -0.01, 0.02, 0.04, -0.03, 0.02, 0.01, -0.02])
    is_candidate = np.arange(12) % 2 == 1
    design = np.column_stack([np.ones(12), is_candidate])
    inverse = np.linalg.inv(design.T @ design)
    residuals = logs - design @ (inverse @ design.T @ logs)
    error, df = _robust_error(design, inverse, residuals, is_candidate)
    sides = (logs[~is_candidate], logs[is_candidate])
    assert error == pytest.approx(sum(side.var(ddof=1) / 6 for side in sides) ** 0.5)
    assert df == pytest.approx(10)


def test_a_side_that_lost_runs_and_spreads_more_is_covered() -> None:
    """6 and 3 runs that spread by 1 and 3 %: least squares alone covers 85 % of 95, and calls 15 % different."""
    random = np.random.default_rng(20261130)
    covered = 0
    for _ in range(600):
        times = random.permutation(9).astype(float)
        logs = random.normal(0, np.repeat([0.01, 0.03], [6, 3]))
        found = estimate_ratio(np.exp(logs[:6]), np.exp(logs[6:]), baseline_times=times[:6], candidate_times=times[6:])
        low, high = found.interval(0.95)
        covered += low <= 1 <= high
    assert covered / 600 >= 0.925


def test_without_times_it_is_welchs_interval() -> None:
    from scipy.stats import ttest_ind

    a, b = np.array([10.0, 11.0, 10.5, 10.2]), np.array([12.0, 12.9, 12.1])
    found = estimate_ratio(a, b)
    expected = ttest_ind(np.log(b), np.log(a), equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert found.p_different() == pytest.approx(expected.pvalue)
    assert found.interval(0.95) == pytest.approx((math.exp(low), math.exp(high)))


@pytest.mark.parametrize("runs", [2, 3])
def test_few_runs_have_no_drift_in_their_model(runs: int) -> None:
    figures = np.linspace(10, 11, runs)
    times = np.arange(float(runs))
    found = estimate_ratio(figures, figures * 1.1, baseline_times=times, candidate_times=times + 0.5)
    assert found.drift == "none"


def test_one_after_the_other_is_not_interleaved() -> None:
    figures = np.linspace(10, 11, 6)
    times = np.arange(6.0)
    assert estimate_ratio(figures, figures, baseline_times=times, candidate_times=times + 10).drift == "none"


def test_one_run_is_no_ratio() -> None:
    with pytest.raises(TooFewRuns):
        estimate_ratio(np.array([1.0]), np.array([1.0, 2.0]))


# --- verdicts ------------------------------------------------------------------------------------------------------


def estimate(log_ratio: float, standard_error: float, df: float = 8.0, runs: int = 6) -> RatioEstimate:
    return RatioEstimate(
        log_ratio=log_ratio, standard_error=standard_error, df=df, spread=0.01, runs=(runs, runs), drift="none"
    )


@pytest.mark.parametrize(
    ("log_ratio", "standard_error", "verdict"),
    [
        (0.0, 0.005, Verdict.EQUIVALENT),
        (0.012, 0.005, Verdict.EQUIVALENT),  # also significant: equivalence comes first
        (0.05, 0.005, Verdict.HIGHER),
        (-0.05, 0.005, Verdict.LOWER),
        (0.02, 0.02, Verdict.INCONCLUSIVE),
        (0.0, 0.0, Verdict.EQUIVALENT),
        (0.1, 0.0, Verdict.HIGHER),
    ],
)
def test_equivalence_comes_first(log_ratio: float, standard_error: float, verdict: Verdict) -> None:
    assert judge(estimate(log_ratio, standard_error), margin=0.03, level=0.95) is verdict


def test_equivalent_means_that_the_90_percent_interval_is_within_the_margin() -> None:
    for log_ratio in np.linspace(-0.03, 0.03, 13):
        one = estimate(float(log_ratio), 0.008)
        low, high = one.interval(0.90)
        is_inside = low >= 0.97 and high <= 1.03
        assert (judge(one, margin=0.03, level=0.95) is Verdict.EQUIVALENT) == is_inside


def test_holm_holds_the_smallest_p_value_against_the_smallest_share() -> None:
    assert holm_alphas([0.6, 0.001, 0.02], 0.05) == pytest.approx([0.05, 0.05 / 3, 0.05 / 2])
    assert holm_alphas([0.6, 0.03], 0.05) == pytest.approx([0.025, 0.025])
    assert holm_alphas([0.01], 0.05) == [0.05]
    assert holm_alphas([], 0.05) == []


def test_what_is_settled_as_equivalent_leaves_no_more_room_for_a_difference() -> None:
    """One that is equal by chance p = 0.03 is no difference among four, however sure the other three are."""
    equal, odd = estimate(0.0, 0.002), estimate(0.0323, 0.0124)
    assert 0.025 < odd.p_different() < 0.05
    assert judge(odd, margin=0.03, level=0.95) is Verdict.HIGHER
    judged = judge_all([equal, equal, equal, odd], margin=0.03, level=0.95)
    assert [each.verdict for each in judged] == [Verdict.EQUIVALENT] * 3 + [Verdict.INCONCLUSIVE]
    assert judged[3].level == pytest.approx(1 - 0.05 / 4)
    assert not judged[3].significant


def test_a_session_is_decided_when_no_row_is_inconclusive() -> None:
    sure, open_ = estimate(0.08, 0.004), estimate(0.02, 0.02)
    assert is_decided(judge_all([sure, sure], margin=0.03, level=0.95))
    assert not is_decided(judge_all([sure, open_], margin=0.03, level=0.95))
    assert is_decided([])


def test_more_runs_are_those_that_would_decide() -> None:
    assert more_runs(estimate(0.0, 0.005), margin=0.03, level=0.95) == 0
    needed = more_runs(estimate(0.0, 0.02), margin=0.03, level=0.95)
    assert needed is not None
    assert 0 < needed < 20
    assert more_runs(estimate(math.log(1.03), 0.2), margin=0.03, level=0.95) is None


def test_looks_share_the_level() -> None:
    assert look_level(0.95, 1) == 0.95
    assert 0.98 < look_level(0.95, len(LOOKS)) < 0.99


# --- comparisons ---------------------------------------------------------------------------------------------------


def test_the_same_is_equivalent_and_says_so_in_a_sentence() -> None:
    a, b = measured(drift=0.05)
    found = compare(a, b)
    assert found.latency.verdict == "equivalent"
    assert found.latency.drift == "time + time^2"
    assert found.p95 is not None
    low, high = found.latency.ci
    assert low < found.latency.ratio < high
    p95 = f"p95 ratio {found.p95.ratio:.3f} (90 % {found.p95.ci[0]:.3f} to {found.p95.ci[1]:.3f})"
    assert found.verdict == (
        f"multilingual onnx-int8 is equivalent to english onnx-int8 on simulated, 128 tok: latency ratio "
        f"{found.latency.ratio:.3f} (90 % {low:.3f} to {high:.3f}), {p95}; margin ±3 %, 6 + 6 runs"
    )
    assert found.memory is not None
    assert found.memory.ratio == pytest.approx(1.0)


@pytest.mark.parametrize(("factor", "verdict"), [(0.8, "faster"), (1.3, "slower")])
def test_a_difference_is_found_whichever_way(factor: float, verdict: str) -> None:
    a, b = measured((1.0, factor))
    found = compare(a, b)
    assert found.latency.verdict == verdict
    assert found.latency.ratio == pytest.approx(factor, rel=0.05)
    assert found.latency.significant
    assert found.latency.beyond_margin
    assert found.latency.more_runs == 0
    assert found.throughput is not None
    assert found.throughput.ratio == pytest.approx(1 / factor, rel=0.05)
    assert found.p95 is not None
    assert found.p95.verdict == verdict


def test_noise_is_inconclusive_and_asks_for_runs() -> None:
    a, b = measured(between=0.05, seed=3)
    found = compare(a, b, margin=0.01)
    assert found.latency.verdict == "inconclusive"
    assert "is inconclusive" in found.verdict
    assert found.latency.more_runs is None or found.latency.more_runs > 0


def test_runs_that_do_not_count_do_not_enter() -> None:
    a, b = measured()
    slow = replace(b.runs[0], reasons=reasons_from_json(("throttled during the run",), None))
    found = compare(a, replace(b, runs=(slow, *b.runs[1:])))
    assert found.latency.runs == (6, 5)


def test_a_measurement_that_is_not_valid_says_so_in_the_sentence_and_in_the_json() -> None:
    a, b = measured()
    runs = (
        tuple(replace(run, reasons=reasons_from_json(("throttled during the run",), None)) for run in b.runs[:3])
        + b.runs[3:]
    )
    found = compare(a, summarise(b.subject, runs))
    assert found.latency.runs == (6, 3)
    assert found.verdict.endswith(
        ": multilingual onnx-int8 is not valid: 3 of 6 planned runs are valid; throttled during the run (3 runs)"
    )
    parts = (found.latency, found.throughput, found.memory)
    assert [part and (part.verdict, part.ci) for part in parts] == [("not decided", None)] * 3
    document = found.to_json()
    assert (document["baseline"]["valid"], document["candidate"]["valid"]) == (True, False)
    assert document["candidate"]["reasons"][0] == "3 of 6 planned runs are valid"
    assert "not valid" not in compare(a, b).verdict


def powered(measurement: Measurement, watts: float, rail: str = "ina3221/VDD_IN") -> Measurement:
    """Return the same with a constant power, read every 50 ms in each run."""
    runs = []
    for run in measurement.runs:
        began, ended = int(run.trace.starts_ns[0]), int(run.trace.starts_ns[-1] + run.trace.latencies_ns[-1])
        t_ns = np.arange(began, ended, 50_000_000, dtype=np.int64)
        power = Series(t_ns, np.full(len(t_ns), round(watts * 1e6), np.int64))
        readings = dict(run.trace.readings) | {f"power_uw/{rail}": power}
        runs.append(replace(run, trace=replace(run.trace, readings=readings)))
    return summarise(measurement.subject, runs)


def test_energy_is_compared_where_both_sides_have_it() -> None:
    """Twice the power for the same time is twice the energy; what takes as long has the ratio of the latencies else."""
    a, b = measured(between=0.002)
    energy = compare(powered(a, 5.0), powered(b, 10.0)).energy
    assert energy is not None
    assert energy.ratio == pytest.approx(2.0, rel=0.02)
    assert (energy.beyond_margin, energy.runs) == (True, (6, 6))
    halved = compare(powered(a, 5.0), powered(b, 2.5)).to_json()["energy"]
    assert halved["ratio"] == pytest.approx(0.5, rel=0.02)
    assert halved["ci"][1] < 0.6
    assert compare(a, b).energy is None
    assert compare(powered(a, 5.0), b).energy is None


def test_joules_of_other_rails_are_not_compared() -> None:
    a, b = measured()
    assert compare(powered(a, 5.0), powered(b, 5.0, rail="rapl/psys")).energy is None


def test_a_run_of_which_something_was_cut_has_no_energy_to_compare() -> None:
    a, b = (powered(each, 5.0) for each in measured())
    start = int(b.runs[0].trace.starts_ns[10])
    cut = replace(b.runs[0], excluded_spans=((start, start + 1),))
    energy = compare(a, summarise(b.subject, (cut, *b.runs[1:]))).energy
    assert energy is not None
    assert energy.runs == (6, 5)


def printed(comparison: Comparison) -> str:
    console = Console(file=io.StringIO(), width=120)
    for part in comparison_parts([PairedComparison(comparison=comparison)]):
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_table_has_a_row_of_energy_where_it_was_measured() -> None:
    a, b = measured()
    assert "energy" not in printed(compare(a, b))
    assert "energy / inference" in printed(compare(powered(a, 5.0), powered(b, 5.0)))


def test_what_a_p95_lacks_is_said() -> None:
    a, b = measured(count=100)
    assert "needs two runs of 130 inferences" in printed(compare(a, b))


def searched(measurement: Measurement, rate: float) -> Measurement:
    workload = dict(measurement.subject.workload) | {
        "scenario": "server",
        "queries_per_s": rate,
        "latency_bound_ms": 50.0,
    }
    subject = replace(measurement.subject, workload=workload, label=f"128 tok server {rate:g}/s")
    return replace(measurement, subject=subject)


def test_rows_whose_rates_were_searched_are_paired_and_the_rates_said_to_be_the_result(tmp_path: Path) -> None:
    a, b = (searched(each, rate) for each, rate in zip(measured(), (40.5, 57.25), strict=True))
    for each in (a, b):
        for run in each.runs:
            Store(tmp_path).add_run(each.subject, run)
    pairs = find_pairs(Store(tmp_path), "english", "multilingual").pairs
    with pytest.raises(NotComparable, match=r"another rate of queries \(57.25, not 40.5\): both were searched"):
        compare_pairs(pairs)


def test_peak_memory_is_never_pss_against_rss() -> None:
    a, b = measured()
    without_pss = tuple(replace(run, memory=replace(run.memory, peak_pss=None)) for run in b.runs)
    memory = compare(a, replace(b, runs=without_pss)).memory
    assert memory is not None
    assert memory.ratio == pytest.approx(1.0)


def test_a_row_without_valid_runs_does_not_decide_for_the_others() -> None:
    a, b, c = measured((1.0, 1.0, 1.3))
    broken = replace(b, runs=tuple(replace(run, reasons=reasons_from_json(("throttled",), None)) for run in b.runs))
    assert [each.candidate.id for each in compare_rows([a, broken, c])] == [c.id]
    assert compare_rows([a, broken]) == []
    assert compare_rows([broken, a, c]) == []


@pytest.mark.slow
def test_a_run_reduced_to_its_median_is_like_a_whole_one() -> None:
    """The board's shortcut for many sessions: same centre and spread over processes, same time that passes."""
    whole, short = SimulatedBoard(seed=1, drift=0.05), SimulatedBoard(seed=2, drift=0.05)
    medians = np.log([float(np.median(whole.latencies_ns(100))) for _ in range(2000)])
    shortcuts = np.log([short.median_ns(100) for _ in range(2000)])
    assert shortcuts.mean() == pytest.approx(medians.mean(), abs=5 * medians.std() / 2000**0.5)
    assert shortcuts.std() == pytest.approx(medians.std(), rel=0.1)
    assert short.now_s == pytest.approx(whole.now_s, rel=0.02)


def test_several_are_judged_together_with_wider_intervals() -> None:
    a, b, c = measured((1.0, 1.0, 1.0))
    alone = compare(a, b)
    together = compare_pairs([(a, b), (a, c)])
    assert [each.comparisons for each in together] == [2, 2]
    assert max(each.latency.level for each in together) > alone.latency.level


def test_planned_looks_make_intervals_wider() -> None:
    once, often = (compare(*measured(looks=looks)) for looks in (1, 4))
    assert often.looks == 4
    assert often.latency.level > once.latency.level


KNOWN = {
    "clock_min_khz": 600_000,
    "clock_max_khz": 1_800_000,
    "usable_cores": 4,
    "usable_core_numbers": [0, 1, 2, 3],
    "usable_millicores": 4000,
    "memory_bytes": 4_000_000_000,
    "serial_hash": "00",
}


def known(measurement: Measurement, run_facts: dict[str, Any] | None = None, **facts: Any) -> Measurement:
    """Return the same of a board that reports what earlier agents did not."""
    subject = measurement.subject
    runs = tuple(replace(run, facts=run.facts.adding(run_facts or {})) for run in measurement.runs)
    return replace(measurement, subject=replace(subject, device=subject.device.adding(KNOWN | facts)), runs=runs)


def test_what_ran_must_be_the_same_too() -> None:
    a, b = measured()
    cpu, gpu = {"providers": ["CPUExecutionProvider"]}, {"providers": ["CUDAExecutionProvider"]}
    with pytest.raises(NotComparable, match=r"another execution provider .*`allow=\['providers'\]`"):
        compare(known(a, cpu), known(b, gpu))
    other_format = replace(
        b, subject=replace(b.subject, artifact=replace(b.subject.artifact, format=Format("onnx-fp16")))
    )
    assert compare(known(a, cpu), known(other_format, gpu)).differs == ()
    with pytest.raises(NotComparable, match=r"another version of the agent \(b+, not a+\)"):
        compare(known(a, {"agent_sha256": "a" * 64}), known(b, {"agent_sha256": "b" * 64}))


def test_what_an_earlier_edgebench_did_not_keep_is_not_refused_but_said() -> None:
    a, b = measured()
    found = compare(a, known(b))
    assert found.differs == ()
    assert found.unchecked == ("range of clocks", "set of usable cores", "size of memory")
    assert found.to_json()["unchecked"] == list(found.unchecked)
    assert "not reported by a side, and not checked: range of clocks" in printed(found)
    assert compare(a, b).unchecked == ()


def test_memory_differs_a_little_from_boot_to_boot() -> None:
    a, b = measured()
    assert compare(known(a), known(b, memory_bytes=3_990_000_000)).differs == ()


def test_a_new_installation_of_the_system_is_the_same_board() -> None:
    a, b = measured()
    assert compare(known(a, machine_hash="1"), known(b, machine_hash="2")).differs == ()
    with pytest.raises(NotComparable, match=r"another board of the same name \(its machine id differs\)"):
        compare(known(a, serial_hash=None, machine_hash="1"), known(b, serial_hash=None, machine_hash="2"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("board", {"device": {"model": "Raspberry Pi 5"}}),
        ("instructions", {"device": {"cpu_features": ["avx2", "avx512_vnni"]}}),
        ("governor", {"device": {"governor": "powersave"}}),
        ("power_mode", {"device": {"power_mode": "MAXN"}}),
        ("board", {"device": {"serial_hash": "11"}}),
        ("clocks", {"device": {"clock_max_khz": 1_500_000}}),
        ("cores", {"device": {"usable_millicores": 2000}}),
        ("cores", {"device": {"usable_core_numbers": [0, 1, 2]}}),
        ("memory", {"device": {"memory_bytes": 8_000_000_000}}),
        ("memory", {"device": {"memory_limit_bytes": 1_000_000_000}}),
        ("os", {"device": {"kernel": "6.12"}}),
        ("runtime", {"device": {"runtime_version": "1.23.0"}}),
        ("threads", {"workload": {"threads": 2}}),
        ("batch", {"workload": {"batch": 8}}),
        ("padding", {"workload": {"padding": "bucket"}}),
        ("inputs", {"workload": {"seq_len": 64}}),
        ("scenario", {"workload": {"scenario": "offline"}}),
        ("rate", {"workload": {"queries_per_s": 20.0}}),
        ("bound", {"workload": {"latency_bound_ms": 100.0}}),
        ("sustained", {"workload": {"sustained_min": 10.0}}),
    ],
)
def test_what_must_match_is_refused_unless_it_is_allowed(name: str, change: dict[str, dict[str, Any]]) -> None:
    a, b = (known(each) for each in measured())
    subject = b.subject
    for part, values in change.items():
        was = getattr(subject, part)
        subject = replace(subject, **{part: was | values if isinstance(was, dict) else was.adding(values)})
    other = replace(b, subject=subject)
    with pytest.raises(NotComparable, match=rf"`allow=\['{name}'\]`") as error:
        compare(a, other)
    assert "\n" not in str(error.value)
    allowed = compare(a, other, allow=[name])
    assert len(allowed.differs) == 1
    assert name in ALLOWABLE


def test_two_processors_of_one_name_are_told_apart_by_what_they_can() -> None:
    a, b = (
        replace(each, subject=replace(each.subject, device=replace(each.subject.device, cpu_features=features)))
        for each, features in zip(measured(), (("avx2", "sse4a"), ("avx2", "avx512_vnni")), strict=True)
    )
    with pytest.raises(NotComparable, match=r"another instruction set \(with avx512_vnni, without sse4a\)"):
        compare(a, b)


def test_an_int8_file_of_another_runtime_may_be_compared() -> None:
    a, b = measured()
    device = replace(b.subject.device, runtime="tflite", runtime_version="ai-edge-litert 2.3.0")
    assert compare(a, replace(b, subject=replace(b.subject, device=device))).differs == ()


def test_int8_with_a_scale_for_each_channel_is_not_taken_for_that_of_earlier_versions() -> None:
    def in_tflite(each: Measurement, scales: WeightScales | None) -> Measurement:
        artifact = replace(each.subject.artifact, format=Format.TFLITE_INT8, weight_scales=scales)
        return replace(each, subject=replace(each.subject, artifact=artifact))

    a, b = measured()
    before, after = in_tflite(a, None), in_tflite(b, WeightScales.CHANNEL)
    with pytest.raises(NotComparable, match=r"another kind of int8 scales \(one for each channel, not one for each te"):
        compare(before, after)
    assert len(compare(before, after, allow=["weight_scales"]).differs) == 1
    assert compare(in_tflite(a, WeightScales.CHANNEL), after).differs == ()
    # Other formats say it by their names.
    assert compare(a, after).differs == ()


@pytest.mark.parametrize("change", [{"margin": 0.0}, {"margin": 3.0}, {"level": 95.0}, {"level": 0.4}])
def test_a_margin_or_level_that_is_none_is_refused(change: dict[str, float]) -> None:
    a, b = measured()
    with pytest.raises(ConfigError):
        compare(a, b, **change)  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="governor"):
        compare(a, b, allow=["govenor"])


def test_one_valid_run_is_too_few() -> None:
    a, b = measured()
    with pytest.raises(TooFewRuns, match="1 and 6 valid runs"):
        compare(a, replace(b, runs=b.runs[:1]))


# --- from a store ----------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for measurement in measured((1.0, 1.0, 1.5)):
        for run in measurement.runs:
            Store(tmp_path).add_run(measurement.subject, run)
    return tmp_path


def test_pairs_are_found_by_name_and_by_id(store: Path) -> None:
    by_name = find_pairs(Store(store), "english", "translated").pairs
    by_id = find_pairs(Store(store), "20250101T000000-513a1a-000", "20250101T000000-513a1a-002").pairs
    for ((one, other),) in (by_name, by_id):
        assert (one.subject.variant.name, other.subject.variant.name) == ("english", "translated")
    with pytest.raises(UnknownName):
        find_pairs(Store(store), "english", "nothing")


def test_a_name_with_a_colon_is_found_with_a_format_and_without(tmp_path: Path) -> None:
    for number, measurement in enumerate(measured()):
        subject = replace(
            measurement.subject,
            variant=replace(measurement.subject.variant, name="reference:tiny"),
            artifact=replace(measurement.subject.artifact, format=Format(("onnx-int8", "onnx-fp32")[number])),
        )
        for run in measurement.runs:
            Store(tmp_path).add_run(subject, run)
    ((one, other),) = find_pairs(Store(tmp_path), "reference:tiny:onnx-int8", "reference:tiny:onnx-fp32").pairs
    assert (one.subject.artifact.format, other.subject.artifact.format) == ("onnx-int8", "onnx-fp32")
    with pytest.raises(ConfigError, match="one and the same"):
        find_pairs(Store(tmp_path), "reference:tiny:onnx-fp32", one.subject.id[:-1] + "1")


def edgebench_compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*edgebench_command(), "compare", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_command_prints_the_sentence_and_the_table(store: Path) -> None:
    done = edgebench_compare("english", "multilingual", "--store", str(store))
    assert (done.returncode, done.stderr) == (0, "")
    assert "multilingual onnx-int8 is equivalent to english onnx-int8 on simulated" in done.stdout
    assert "peak memory" in done.stdout


@pytest.mark.slow
def test_a_slower_candidate_fails_where_asked(store: Path) -> None:
    done = edgebench_compare("english", "translated", "--store", str(store), "--fail-on", "slower,worse", "--json", "-")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert document["latency"]["verdict"] == "slower"
    assert set(document["latency"]) >= {"ratio", "ci", "level", "margin", "verdict", "runs", "more_runs"}
    assert {"baseline", "candidate", "throughput", "memory", "scores", "verdict"} <= set(document)
    assert edgebench_compare("english", "translated", "--store", str(store)).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["english", "nothing"], "unknown"),
        (["english", "multilingual", "--fail-on", "fast"], "not 'fast'"),
        (["english", "multilingual", "--margin", "3"], "margin"),
    ],
)
def test_a_wrong_request_is_one_line(store: Path, arguments: list[str], problem: str) -> None:
    done = edgebench_compare(*arguments, "--store", str(store))
    assert done.returncode == 2
    assert problem in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_it_is_in_the_library_too() -> None:
    a, b = measured()
    assert edgebench.compare(a, b).verdict == compare(a, b).verdict
