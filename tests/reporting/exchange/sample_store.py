"""A store with results to export: hostile names, several devices, languages with scores, and what does not count."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgebench import Store
from edgebench.cli import main
from edgebench.evaluation_result import LanguageCost, LanguageEvaluation, TaskEvaluation
from edgebench.measurement import Measurement
from tests.reporting.sample_results import by_language, measured

#: A variant's name with all that a format could trip over.
AWKWARD = 'a"b\\c\nd|e`f é 日本 😀 \u202e{x="y"} # TYPE - : "yes"'


def unusual() -> Measurement:
    """Return a valid measurement whose variant has an awkward name."""
    return measured(1, name=AWKWARD, excluded=True)


def throttled() -> Measurement:
    """Return a measurement that is not valid."""
    return measured(20, name="throttled", reasons=("under-voltage during the run",))


def keep(folder: Path, *measurements: Measurement) -> Store:
    """Return a store that has the runs of these measurements."""
    store = Store(folder)
    store.add_runs([(each.subject, run) for each in measurements for run in each.runs])
    return store


def full_store(folder: Path) -> Store:
    """Return a store with five valid measurements, one that is not, and an evaluation of a file of `xnli-multi`."""
    languages = by_language()
    store = keep(folder, measured(0), unusual(), throttled(), *languages)
    store.write_evaluation(evaluation(languages[1].subject.artifact.sha256))
    return store


def evaluation(sha256: str) -> LanguageEvaluation:
    """Return what a file scored on XNLI in Swahili."""
    score = TaskEvaluation(
        task="xnli",
        lang="sw",
        metric="accuracy",
        value=75.0,
        n=4,
        ids=("a", "b", "c", "d"),
        per_example=np.array([100.0, 100.0, 100.0, 0.0]),
        protocol={},
        artifact_sha256=sha256,
        variant="xnli-multi",
        format="onnx-int8",
        device="pi5",
    )
    cost = LanguageCost(
        examples=4, inferences=4, batch=1, latency_ms={"p50": 4.0}, tokens=12.5, padded_tokens=None, buckets=(16,),
        truncated=0, fertility=None, continued_words=None, words=None, energy_j=None, energy_absent=None,
    )  # fmt: skip
    return LanguageEvaluation(
        id="ab12",
        started_at="2026-01-01T00:00:00+00:00",
        scores=(score,),
        predictions=("neutral",) * 4,
        tokens=np.array([12, 13, 12, 13]),
        cost=cost,
    )


@dataclass(frozen=True)
class Done:
    """What a command ended with."""

    code: int
    stdout: str
    stderr: str


def export(*arguments: str | Path, store: Store) -> Done:
    """Return what `edgebench runs export` does, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["runs", "export", *map(str, arguments), "--store", str(store.folder)])
    assert isinstance(ended.value.code, int)
    return Done(ended.value.code, out.getvalue(), err.getvalue())
