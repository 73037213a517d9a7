"""Results of every kind to draw: plain figures, with hostile names, disturbed spans and sensors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgebench.analysis import Figure, Front, PairedComparison, compare_pairs, summarise
from edgebench.analysis.pareto import Choice
from edgebench.figures import Score
from edgebench.gating import GateHistory, GateResult, HistoryPoint
from edgebench.measurement import Measurement
from edgebench.operators import Operator, OperatorProfile
from edgebench.run import Run
from edgebench.study import Answer, StudyReport
from tests.gating.stored import found, gate_result
from tests.sample_runs import MS, START_NS, run, subject, trace

#: A name as a hostile board or store may have it.
HOSTILE = "</script><img src=x onerror=alert(1)>&\"'=2+2"
LANGS = ("en", "sw", "th")


def measured(
    number: int = 0, *, ms: float = 40.0, runs: int = 4, count: int = 300, seed: int = 0, reasons: tuple[str, ...] = (),
    operators: bool = False, excluded: bool = False, scores: tuple[Score, ...] = (), **about: object,
) -> Measurement:  # fmt: skip
    """Return a measurement with sensors, whose runs differ by about 1 %."""
    random = np.random.default_rng(seed + number)
    of = subject(number, planned_runs=runs, **about)  # type: ignore[arg-type]
    made: list[Run] = []
    for at in range(runs):
        level = ms * MS * (1 + 0.01 * random.standard_normal())
        latencies = (level * np.exp(0.03 * random.standard_normal(count))).astype(np.int64)
        readings = int(latencies.sum() / (100 * MS)) + 1
        kept = trace(
            latencies.tolist(),
            warmup_ns=[50 * MS] * 3,
            readings={
                "temperature_mc/cpu-thermal": [50_000 + 40 * step for step in range(readings)],
                "frequency_khz/cpu0": [1_800_000] * readings,
                "others_cpu_millicores": [5] * readings,
                "rss_bytes": [300_000_000] * readings,
            },
        )
        spans = ((START_NS + 1000 * MS, START_NS + 2000 * MS),) if excluded else ()
        made.append(run(of, at, kept, reasons=reasons, excluded_spans=spans))
    result = summarise(of, made, scores=scores)
    return replace(result, operators=profile()) if operators else result


def profile() -> OperatorProfile:
    """Return the operators of an inference, one of a type with a hostile name."""
    types = ("MatMul", "Add", HOSTILE, "Softmax")
    listed = tuple(
        Operator(name=f"/encoder.layer.{at}/{type_}", type=type_, provider="CPUExecutionProvider", calls=10,
                 total_ns=(4 - at) * 10 * MS)
        for at, type_ in enumerate(types)
    )  # fmt: skip
    return OperatorProfile(inferences=10, wall_ns=120 * MS, operators=listed)


def compared() -> PairedComparison:
    """Return a comparison of two variants, one with a hostile name."""
    baseline = measured(0, name="xnli-english", operators=True)
    candidate = measured(1, ms=44.0, name=HOSTILE, excluded=True, operators=True)
    return PairedComparison(comparison=compare_pairs([(baseline, candidate)])[0])


def by_language() -> list[Measurement]:
    """Return a variant in three languages on another board."""
    return [
        measured(
            10 + at, ms=20 + 9 * at, device="pi5", label=lang,
            workload={"scenario": "single-stream", "lang": lang, "batch": 1, "threads": 4, "padding": "longest"},
            scores=(Score(task="xnli", lang=lang, metric="accuracy", value=80.0 - 4 * at, artifact_sha256="a" * 64),),
        )
        for at, lang in enumerate(LANGS)
    ]  # fmt: skip


def gated() -> GateResult:
    """Return a gate that failed one budget."""
    failed = found("fail", ratio=1.08, interval=(1.05, 1.11), upper_bound=1.11, repeated=1.07)
    return gate_result(failed, found(metric="p95"), anchored=(found(against="release v1.2"),))


def history() -> GateHistory:
    """Return ten gates with a change after the sixth."""
    points = tuple(
        HistoryPoint(
            gate=f"202601{at + 1:02d}T000000-aaaaaa", started_at=f"2026-01-{at + 1:02d}T00:00:00.000+00:00",
            candidate="new", artifact_sha256="b" * 64, ratio=ratio, interval=(ratio - 0.01, ratio + 0.01),
            result="pass", is_change=at == 6,
        )
        for at, ratio in enumerate([1.0, 1.01, 0.99, 1.0, 1.0, 1.01, 1.1, 1.11, 1.1, 1.09])
    )  # fmt: skip
    return GateHistory(
        device="pi4",
        board="Raspberry Pi 4",
        workload="128 tok",
        anchor="release v1.2",
        points=points,
        levels=(1.0, 1.1),
    )


def front() -> Front:
    """Return a front with one row that is dominated."""
    choices = tuple(
        Choice(name=name, quality=Figure(quality, (quality - 1, quality + 1)), cost=Figure(cost, (cost - 2, cost + 2)),
               worst="xnli sw 60.0", dominated_by=by, surely=False)
        for name, quality, cost, by in (
            ("a onnx-fp32", 80.0, 90.0, ()),
            ("b onnx-int8", 78.0, 40.0, ()),
            ("c onnx-int8", 75.0, 60.0, ("b onnx-int8",)),
        )
    )  # fmt: skip
    return Front(cost="latency", unit="ms", scored="xnli, mean of 2 languages", choices=choices, without=())


class _Named:
    """Stands for a study that was read from a file: of it, a page needs the name."""

    name = "intermediate training"


def studied() -> StudyReport:
    """Return the report of a study with one contrast and one front."""
    answer = Answer(
        name="multilingual or english",
        comparisons=(compared(),),
        training=(),
        about_training="these checkpoints",
        notes=(),
    )
    return StudyReport(study=_Named(), answers=(answer,), fronts={"pi4, 128 tok": (front(),)}, missing=())  # type: ignore[arg-type]


def everything() -> list[object]:
    """Return results of every kind; one measurement is not valid."""
    bad = measured(20, name="throttled", reasons=("under-voltage during the run",), device="pi3")
    return [studied(), bad, *by_language(), gated(), history()]
