"""edgebench.profile() as a script calls it: several models, formats of files, the default store, short texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import edgebench
from edgebench.analysis import summarise
from edgebench.artifact import EXPORT_FORMATS, Format, parse_formats
from edgebench.errors import ConfigError, UnknownName
from edgebench.evaluation_result import LanguageCost, LanguageEvaluation, TaskEvaluation
from edgebench.gating import GateResult, GateVerdict
from edgebench.gating.result import GateSide
from tests.sample_runs import MS, run, subject, trace

QUICK: dict[str, Any] = {
    "workload": edgebench.Workload(seq_len=8),
    "plan": edgebench.RunPlan(runs=1, min_count=5, min_duration_s=0),
    "overhead": False,
    "cold": False,
}


@pytest.fixture(scope="session")
def exported(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that an earlier `export --format onnx-int8 --out` wrote."""
    out = tmp_path_factory.mktemp("exported")
    artifact = edgebench.export_model("reference:tiny", "onnx-int8", cache=cache, out=out).artifact
    return artifact.path


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEBENCH_STORE", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_default_store_is_that_of_the_commands(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert edgebench.open_store().folder == Path(".edgebench")
    monkeypatch.setenv("EDGEBENCH_STORE", str(tmp_path / "results"))
    measurement = edgebench.profile(exported, **QUICK)
    assert edgebench.open_store().measurement(measurement.id).id == measurement.id
    assert edgebench.Store(tmp_path / "results").measurement(measurement.id).id == measurement.id
    assert edgebench.open_store(tmp_path / "other").folder == tmp_path / "other"
    assert not (tmp_path / ".edgebench").exists()


def test_several_models_are_measured_in_one_session_in_alternation(
    exported: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "plain.onnx"
    copied.write_bytes(tiny_onnx.read_bytes())
    first, second = edgebench.profile([exported, copied], alternate=True, **QUICK)
    assert first.subject.session == second.subject.session
    assert [each.subject.artifact.format for each in (first, second)] == [Format.ONNX_INT8, Format.ONNX]
    assert first.subject.alternates_with
    assert len(repr([first, second])) < 900


def test_an_exported_folder_is_taken_with_the_format_that_it_has(exported: Path) -> None:
    named = edgebench.profile(exported, format="onnx-int8", **QUICK)
    assert named.subject.artifact.format is Format.ONNX_INT8
    listed = edgebench.profile(exported, format=["onnx-int8"], **QUICK)
    assert [each.subject.artifact.sha256 for each in listed] == [named.subject.artifact.sha256]


@pytest.mark.parametrize("format", ["onnx-fp32", ["onnx-fp32", "onnx-int8"]])
def test_a_format_that_the_folder_does_not_have_is_refused(exported: Path, format: str | list[str]) -> None:
    with pytest.raises(ConfigError, match=r"leave the format \(onnx-fp32.*\) out; the file's is onnx-int8"):
        edgebench.profile(exported, format=format, **QUICK)
    with pytest.raises(ConfigError, match="the file's is onnx-int8"):
        edgebench.evaluate(exported, tasks=["xnli"], data="nowhere", format="onnx-fp32")


def test_a_file_that_changed_since_its_export_has_no_format_to_name(exported: Path, tmp_path: Path) -> None:
    import shutil

    changed = tmp_path / "changed"
    shutil.copytree(exported, changed)
    model = changed / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0" * 8)
    with pytest.raises(ConfigError, match="the file's is onnx"):
        edgebench.profile(changed, format="onnx-int8", **QUICK)


def test_all_stands_for_every_export_format() -> None:
    assert parse_formats(["onnx-int8", "all"])[0] is Format.ONNX_INT8
    assert set(parse_formats(["all"])) == set(EXPORT_FORMATS) == set(Format) - {Format.ONNX, Format.TFLITE}
    with pytest.raises(UnknownName, match="'al'"):
        parse_formats(["al"])
    with pytest.raises(ConfigError, match=r"try `format=\['all'\]`"):
        edgebench.profile("reference:tiny", format="all", **QUICK)


def test_arguments_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to measure: there is no `model`"):
        edgebench.profile([], **QUICK)
    with pytest.raises(ConfigError, match="nothing to alternate with"):
        edgebench.profile("reference:tiny", alternate=True, **QUICK)
    with pytest.raises(UnknownName, match="'clocks'"):
        edgebench.profile("reference:tiny", tune="clocks", **QUICK)


def test_results_have_a_short_text() -> None:
    import numpy as np

    measured = [run(subject(), number, trace([20 * MS] * 200)) for number in range(2)]
    measurement = summarise(subject(), measured)
    assert repr(measurement).startswith(
        "<Measurement 20250102T030405-abcdef-000: xnli-multi onnx-int8 on pi4, 128 tok: "
    )
    assert "p50 20.0 ms (20.0 to 20.0), 2 runs" in str(measurement)
    assert repr(measured[0]).startswith(f"<Run {measured[0].id}: 200 inferences, ")
    assert repr(measurement.subject) == "<Subject 20250102T030405-abcdef-000: xnli-multi onnx-int8 on pi4, 128 tok>"
    count = 500
    score = TaskEvaluation(
        task="xnli", lang="sw", metric="accuracy", value=61.25, n=count, ids=tuple(map(str, range(count))),
        per_example=np.zeros(count), protocol={}, artifact_sha256="0" * 64, variant="xnli-multi", format="onnx-int8",
        device="pi4", ci=(58.0, 64.5),
    )  # fmt: skip
    assert repr(score) == "<TaskEvaluation xnli sw: accuracy 61.25 (58.00 to 64.50), 500 examples>"
    cost = LanguageCost(
        examples=count, inferences=count, batch=1, latency_ms={}, tokens=20.0, padded_tokens=None, buckets=(),
        truncated=0, fertility=None, continued_words=None, words=None, energy_j=None, energy_absent=None,
    )  # fmt: skip
    language = LanguageEvaluation(
        id="e", started_at="", scores=(score,), predictions=("entailment",) * count, tokens=np.zeros(count, np.int64),
        cost=cost,
    )  # fmt: skip
    evaluation = edgebench.Evaluation(
        variant=measurement.subject.variant, artifact=measurement.subject.artifact, device=measurement.subject.device,
        languages=(language,), reference=(), missing={"xnli": ("th",)}, is_limited=False,
    )  # fmt: skip
    text = "xnli-multi onnx-int8 on pi4: xnli 61.25 (1 task and language, partial)"
    assert str(evaluation) == f"<Evaluation of {text}>"
    assert len(str(language)) < 120
    side = GateSide(name="main", variant="v", format="onnx-int8", artifact_sha256="0" * 64, bytes=1)
    gate = GateResult(
        id="g1", started_at="", result=GateVerdict.PASS, sentence="the candidate passes", sessions=(), device={},
        baseline=side, candidate=side, budgets=(),
    )  # fmt: skip
    assert str(gate) == "<GateResult g1: pass: the candidate passes>"
