"""Alternating models: what slows both down cancels, one invalid run invalidates all, and memory is not reported."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebench.analysis import compare_rows, complete_passes, duration_ns, summarise, validate_group, with_ratios
from edgebench.analysis.comparison import compare
from edgebench.artifact import Format
from edgebench.device import Device, find_device, load_profile
from edgebench.errors import BoardError, ConfigError, NotComparable, TooFewRuns
from edgebench.measure.alternation import rotation_order, rows_of, tag_alternating
from edgebench.measure.budget import RunCost, SharedCost, shared_cost_of
from edgebench.measure.cells import Cell
from edgebench.measurement import Measurement
from edgebench.reason import Reason, ReasonCode
from edgebench.request import Request
from edgebench.run import Run
from edgebench.stats import estimate_paired_ratio, more_runs
from edgebench.store import Store
from edgebench.testing import Disturbance, SimulatedBoard
from edgebench.testing.simulated_board import simulated_subject
from edgebench.workload import RunPlan, Scenario, Workload, random_inputs
from tests.sample_runs import MS

PLAN = RunPlan(runs=6)
NAMES = ("english", "multilingual", "none")
HASHES = [f"{number:064x}" for number in range(len(NAMES))]


def alternated(
    factors: Sequence[float] = (1.0, 1.0), *, runs: int = 6, board: SimulatedBoard | None = None
) -> list[Measurement]:
    """Return measurements of models that alternated, on a board whose neighbours swing everything by 9 %."""
    board = board or SimulatedBoard(seed=4, between=0.002, swing=0.09)
    subjects = [
        replace(subject, workload={**subject.workload, "alternating": HASHES[: len(factors)]})
        for number, name in zip(range(len(factors)), NAMES, strict=False)
        for subject in [simulated_subject(number, name=name, planned_runs=runs)]
    ]
    done: list[list[Run]] = [[] for _ in subjects]
    for number in range(runs):
        measured = board.runs(subjects, number, factors=factors, count=100)
        for kept, run in zip(done, with_ratios(validate_group(measured, PLAN)), strict=True):
            kept.append(run)
    return [summarise(subject, kept) for subject, kept in zip(subjects, done, strict=True)]


# --- pairs --------------------------------------------------------------------------------------------------------


def test_the_ratio_of_pairs_is_their_mean_with_students_interval() -> None:
    found = estimate_paired_ratio(np.log([1.01, 0.99, 1.02, 1.0]))
    logs = np.log([1.01, 0.99, 1.02, 1.0])
    assert found.log_ratio == pytest.approx(logs.mean())
    assert (found.df, found.runs, found.drift) == (3, (4, 4), "pairs")
    half = 3.1824463 * logs.std(ddof=1) / 2  # t's quantile, 3 degrees of freedom
    assert found.interval(0.95) == pytest.approx((math.exp(logs.mean() - half), math.exp(logs.mean() + half)))
    with pytest.raises(TooFewRuns, match="needs two pairs"):
        estimate_paired_ratio(np.array([0.0]))


def test_more_runs_of_pairs_add_an_observation_each() -> None:
    found = estimate_paired_ratio(np.array([0.03, -0.03, 0.025, -0.025]))
    wanted = more_runs(found, margin=0.03, level=0.95)
    assert wanted is not None and wanted > 0
    enough = np.tile([0.03, -0.03, 0.025, -0.025], 50)[: 4 + wanted + 4]
    assert more_runs(estimate_paired_ratio(enough), margin=0.03, level=0.95) == 0


@given(st.lists(st.floats(-0.05, 0.05), min_size=2, max_size=20), st.floats(-0.5, 0.5))
def test_a_shift_of_all_pairs_shifts_the_ratio_alone(logs: list[float], shift: float) -> None:
    plain, shifted = (estimate_paired_ratio(np.array(logs) + by) for by in (0.0, shift))
    assert shifted.log_ratio == pytest.approx(plain.log_ratio + shift)
    assert shifted.standard_error == pytest.approx(plain.standard_error, abs=1e-12)


# --- what neighbours do cancels --------------------------------------------------------------------------------


def test_neighbours_fall_out_of_the_ratio() -> None:
    a, b = alternated()
    found = compare(a, b)
    assert found.latency.drift == "pairs"
    assert found.latency.verdict == "equivalent"
    assert found.latency.ci[1] - found.latency.ci[0] < 0.03
    spread = np.std([np.log(np.median(run.latencies_ns)) for run in a.runs])
    assert spread > 0.03  # which one after the other would be in it
    assert found.verdict.startswith("multilingual onnx-int8 is equivalent to english onnx-int8 on simulated, 128 tok:")
    assert "latency ratio" in found.verdict and found.verdict.endswith("6 + 6 runs, alternating")


def test_a_difference_is_found_between_any_two() -> None:
    a, b, c = alternated((1.0, 1.06, 1.06))
    assert [compare(*pair).latency.verdict for pair in ((a, b), (b, a), (b, c))] == ["slower", "faster", "equivalent"]
    assert compare(a, a).latency.ratio == pytest.approx(1.0)
    assert compare(a, b).latency.ratio == pytest.approx(1.06, rel=0.01)
    assert [each.latency.verdict for each in compare_rows([a, b, c])] == ["slower", "slower"]


def test_the_other_figures_are_paired_by_run() -> None:
    found = compare(*alternated((1.0, 1.06)))
    assert found.p95 is None  # 100 inferences a run are too few
    assert found.throughput is not None and found.throughput.drift == "pairs"
    assert found.throughput.ratio == pytest.approx(1 / 1.06, rel=0.02)


def test_memory_and_energy_of_a_shared_process_are_not_reported() -> None:
    a, b = alternated()
    assert (a.memory_bytes.peak_pss, a.memory_bytes.peak_rss) == (None, None)
    assert a.energy_j is None
    assert a.energy_absent == "the board has no power sensor that this user may read"
    found = compare(a, b)
    assert (found.memory, found.energy) == (None, None)


def test_throughput_is_of_the_models_own_time() -> None:
    a, _ = alternated()
    run = a.runs[0]
    assert duration_ns(complete_passes(run)) == int(run.latencies_ns.sum())
    assert duration_ns(run) > 1.9 * duration_ns(complete_passes(run))
    own = np.mean([100 / (each.latencies_ns.sum() / 1e9) for each in a.runs])
    assert a.throughput_per_s == pytest.approx(own)
    assert np.mean(a.throughput_windows) == pytest.approx(own, rel=0.02)


def test_a_model_by_itself_is_not_compared_with_one_that_alternated() -> None:
    a, b = alternated()
    alone = replace(
        b, subject=replace(b.subject, workload={k: v for k, v in b.subject.workload.items() if k != "alternating"})
    )
    with pytest.raises(NotComparable, match=r"another way of measuring \(by itself, not alternating: 0000000"):
        compare(a, alone)
    assert compare_rows([alone, a, b])[0].baseline is a  # nor in a session that has both


def test_a_model_is_not_compared_with_one_that_alternated_with_others() -> None:
    a, _ = alternated()
    _, _, c = alternated((1.0, 1.0, 1.0))
    elsewhere = replace(c, subject=replace(c.subject, session="20250102T000000-513a1a"))
    with pytest.raises(NotComparable, match="another way of measuring"):
        compare(a, elsewhere)


def test_what_was_kept_compares_as_what_was_measured(tmp_path: Path) -> None:
    measured = alternated((1.0, 1.06))
    store = Store(tmp_path)
    for each in measured:
        for run in each.runs:
            store.add_run(each.subject, run)
    whole, figures = store.measurements(), store.measurements_by_figures(lambda _: True)
    wanted = compare(*measured).latency
    assert compare(*whole).latency == wanted
    assert compare(*figures).latency == wanted


# --- what counts --------------------------------------------------------------------------------------------------


def test_a_run_that_is_not_valid_invalidates_the_others_of_its_process() -> None:
    board = SimulatedBoard(seed=1)
    subjects = [simulated_subject(number, name=NAMES[number], planned_runs=1) for number in range(2)]
    one, other = board.runs(subjects, 0, factors=(1.0, 1.0), count=100)
    broken = replace(one, facts=replace(one.facts, warmup_steady=False))
    judged = validate_group([broken, other], PLAN)
    assert [run.reasons for run in judged] == [
        (Reason(ReasonCode.WARM_UP_NOT_ENDED, "warm-up was not seen to end"),),
        (Reason(ReasonCode.PARTNER, "of a model that it alternates with: warm-up was not seen to end"),),
    ]


def test_what_others_disturbed_is_cut_of_all() -> None:
    busy = Disturbance(2.0, 2.4, 1.5, others_millicores=900)
    board = SimulatedBoard(seed=1, sensor_hz=10.0, disturbances=(busy,))
    subjects = [simulated_subject(number, name=NAMES[number], planned_runs=1) for number in range(2)]
    runs = with_ratios(validate_group(board.runs(subjects, 0, factors=(1.0, 1.0), count=130), PLAN))
    runs_cut = [run.is_excluded for run in runs]
    assert runs_cut[0].any() and not runs_cut[0].all()
    assert (runs_cut[0] == runs_cut[1]).all()
    kept = ~runs_cut[0]
    wanted = float(np.median(np.log(runs[1].latencies_ns[kept] / runs[0].latencies_ns[kept])))
    assert runs[1].log_ratios == {runs[0].id: pytest.approx(wanted)}
    assert runs[0].log_ratios == {runs[1].id: pytest.approx(-wanted)}


def test_what_slows_all_of_them_down_alike_is_no_reason_but_drifting_apart_is() -> None:
    board = SimulatedBoard(seed=1, between=0.0, drift=0.4, drift_s=3.0)
    subjects = [simulated_subject(number, name=NAMES[number], planned_runs=1) for number in range(2)]
    runs = board.runs(subjects, 0, factors=(1.0, 1.0), count=200)
    assert not any(run.reasons for run in validate_group(runs, PLAN))
    alone = replace(runs[0], facts=replace(runs[0].facts, alternating=None))
    assert ReasonCode.NOT_STEADY in {each.code for each in validate_group([alone], PLAN)[0].reasons}


@pytest.mark.parametrize("models", [2, 3])
def test_drifting_apart_is_a_reason(models: int) -> None:
    board = SimulatedBoard(seed=1, within=0.01, tail_share=0.0)
    subjects = [simulated_subject(number, name=NAMES[number], planned_runs=1) for number in range(models)]
    runs = board.runs(subjects, 0, factors=[1.0] * models, count=200)

    def judged_with(growth: float) -> list[list[str]]:
        slower = runs[1].latencies_ns * np.linspace(1.0, 1 + growth, 200)
        drifting = replace(runs[1], trace=replace(runs[1].trace, latencies_ns=slower.astype(np.int64)))
        return [[each.code for each in run.reasons] for run in validate_group([runs[0], drifting, *runs[2:]], PLAN)]

    assert judged_with(0.01) == [[]] * models
    assert judged_with(0.08) == [["drifted_apart"]] * models


def test_of_a_zero_there_is_no_ratio_but_of_the_other_pairs_there_is() -> None:
    board = SimulatedBoard(seed=1)
    subjects = [simulated_subject(number, name=NAMES[number], planned_runs=1) for number in range(2)]
    one, other = board.runs(subjects, 0, factors=(1.0, 1.0), count=100)

    def with_zeros(count: int) -> Run:
        zeros = np.where(np.arange(100) < count, 0, other.latencies_ns)
        return replace(other, trace=replace(other.trace, latencies_ns=zeros))

    (ratio,) = with_ratios([one, with_zeros(3)])[1].log_ratios.values()
    assert ratio == pytest.approx(float(np.median(np.log(other.latencies_ns[3:] / one.latencies_ns[3:]))))
    assert [run.log_ratios for run in with_ratios([one, with_zeros(60)])] == [{}, {}]


def test_inferences_of_other_inputs_are_no_pairs() -> None:
    board = SimulatedBoard(seed=1)
    subjects = [simulated_subject(number, name=NAMES[number], planned_runs=1) for number in range(2)]
    one, other = board.runs(subjects, 0, factors=(1.0, 1.0), count=100)
    elsewhere = replace(other, trace=replace(other.trace, items=other.trace.items + 1))
    assert [run.log_ratios for run in with_ratios([one, elsewhere])] == [{}, {}]


def test_runs_without_ratios_are_too_few() -> None:
    a, b = (replace(each, runs=tuple(replace(run, log_ratios={}) for run in each.runs)) for each in alternated())
    with pytest.raises(TooFewRuns, match="have 0 and 0 valid runs with a median latency"):
        compare(a, b)
    assert compare_rows([a, b]) == []


# --- which models share a process ---------------------------------------------------------------------------------


def cells(*formats: Format) -> list[Cell]:
    subjects = [simulated_subject(number, name=NAMES[number], planned_runs=6) for number in range(len(formats))]
    return [
        Cell(
            replace(subject, artifact=replace(subject.artifact, format=format)),
            Workload(),
            random_inputs([8], vocab_size=9),
        )
        for subject, format in zip(subjects, formats, strict=True)
    ]


def asked(profile: str) -> Request:
    device = Device(name="board", profile=load_profile(profile))
    return Request(device=device, models=("one", "two"), alternate=True)


def test_models_on_other_providers_share_no_process() -> None:
    int8, fp16, again = cells(Format.ONNX_INT8, Format.ONNX_FP16, Format.ONNX_FP16)
    assert rows_of([int8, fp16, again], asked("jetson-orin-nano")) == [(int8,), (fp16, again)]
    assert rows_of([int8, fp16, again], asked("pi4")) == [(int8, fp16, again)]
    with pytest.raises(ConfigError, match="one runtime on one provider"):
        rows_of([int8, fp16], asked("jetson-orin-nano"))
    marks = [each.subject.alternates_with for each in tag_alternating([int8, fp16, again], asked("jetson-orin-nano"))]
    assert marks == [(), tuple(HASHES[1:]), tuple(HASHES[1:])]


def test_models_that_do_not_fit_together_are_refused_before_anything_is_pushed() -> None:
    def on_a_board_with(available: int) -> list[Cell]:
        return [
            replace(
                cell,
                subject=replace(cell.subject, device=replace(cell.subject.device, memory_available_bytes=available)),
            )
            for cell in cells(*[Format.ONNX_INT8] * 3)
        ]

    assert len(tag_alternating(on_a_board_with(354_000_000), asked("pi3"))) == 3
    with pytest.raises(
        BoardError, match="the 3 models that are to alternate are 354 MB together and the board has 353 MB"
    ):
        tag_alternating(on_a_board_with(353_000_000), asked("pi3"))


def test_every_model_comes_first_and_follows_every_other() -> None:
    row = cells(*[Format.ONNX_INT8] * 3)
    orders = [[cell.subject.variant.name for cell in rotation_order(row, runs)] for runs in range(6)]
    assert Counter(order[0] for order in orders) == dict.fromkeys(NAMES, 2)
    follows = Counter(pair for order in orders for pair in zip(order, [*order[1:], order[0]], strict=True))
    assert set(follows.values()) == {3}


# --- requests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"models": ("reference:tiny",)}, "has nothing to alternate with; name two different models, or two formats"),
        ({"plan": RunPlan(sustained_min=1)}, "a sustained run measures one model"),
        ({"workloads": (Workload(scenario=Scenario.SERVER, queries_per_s=5),)}, "servers can't alternate"),
    ],
)
def test_what_can_not_alternate_is_refused(changes: dict[str, object], problem: str) -> None:
    asked = {"device": find_device("local"), "models": ("reference:tiny", "reference:minilm"), "alternate": True}
    Request(**asked)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=problem):
        Request(**asked | changes)  # type: ignore[arg-type]


def test_a_shared_process_takes_as_long_as_its_models_together() -> None:
    one, other = (RunCost(start_s=0.0, inference_s=each, batches=1) for each in (0.05, 0.03))
    shared = SharedCost(start_s=2.0, models=(one, other))
    plan = RunPlan(min_count=100, min_duration_s=2.0)
    assert shared.inferences(plan) == 100
    assert shared.seconds(plan) == pytest.approx(2 + 100 * 0.08)
    long = replace(plan, min_duration_s=20.0)
    assert shared.seconds(long) == pytest.approx(2 + 40.0, abs=0.08)


def test_a_shared_pilot_shows_the_cost_of_each_model() -> None:
    board = SimulatedBoard(seed=1, within=0.0, between=0.0, tail_share=0.0)
    subjects = [simulated_subject(number, name=NAMES[number], planned_runs=1) for number in range(2)]
    cost = shared_cost_of(board.runs(subjects, 0, factors=(1.0, 2.0), count=5), 3.0)
    assert isinstance(cost, SharedCost)
    assert [each.inference_s for each in cost.models] == pytest.approx([0.02, 0.04])
    assert cost.start_s == pytest.approx(3.0 - 5 * 0.06)
    assert cost.models[0].inference_s * MS == pytest.approx(20_000)
