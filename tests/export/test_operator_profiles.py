"""profile --ops on real models: what each operator takes, in each runtime, beside figures that it does not disturb."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgebench
from edgebench import RunPlan, Workload
from edgebench.device import find_device
from edgebench.errors import BoardError
from edgebench.events import Event, LogMessage
from edgebench.export import export_model
from edgebench.export.tflite_runtimes import tflite_runtime_python
from tests.export.conftest import BUCKETS
from tests.fork_server import edgebench_command
from tests.needed import need

need("torch")

pytestmark = pytest.mark.export
SHORT = RunPlan(runs=2, min_count=10, min_duration_s=0.05)


def profiled(model: Path, tmp_path: Path, **changes: Any) -> edgebench.Measurement:
    return edgebench.profile(
        model,
        workload=Workload(seq_len=16),
        plan=SHORT,
        store=tmp_path / "store",
        operators=True,
        overhead=False,
        cold=False,
        **changes,
    )


def has_both_layers(measurement: edgebench.Measurement) -> bool:
    assert measurement.operators is not None
    return {"layer 0", "layer 1", "embeddings"} <= {layer for layer, _ in measurement.operators.by_layer()}


@pytest.mark.parametrize("format", ["onnx-fp32", "onnx-int8"])
@pytest.mark.long
def test_onnx_operators_are_in_the_result_and_the_store(
    classifier: Path, cache: Path, tmp_path: Path, format: str
) -> None:
    model = export_model(classifier, format, cache=cache).artifact.model_path
    measured = profiled(model, tmp_path)
    assert measured.valid
    assert len(measured.runs) == 2  # the extra run is none of them
    found = measured.operators
    assert found is not None
    assert found.inferences >= 10
    assert 0 < found.total_ns <= found.wall_ns
    assert has_both_layers(measured)
    assert found.fallen_back() == ()
    kept = edgebench.Store(tmp_path / "store").measurement(measured.id)
    assert kept.operators == found
    told = json.loads(json.dumps(measured.to_json()))["operators"]
    assert sum(each["share"] for each in told["by_type"]) == pytest.approx(1.0)
    assert {each["name"] for each in told["by_provider"]} == {"CPUExecutionProvider"}


@pytest.mark.long
def test_runs_show_prints_them(classifier: Path, cache: Path, tmp_path: Path) -> None:
    measured = profiled(export_model(classifier, "onnx-int8", cache=cache).artifact.model_path, tmp_path)
    done = subprocess.run(
        [*edgebench_command(), "runs", "show", measured.id, "--store", str(tmp_path / "store")],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    assert "inferences that don't count" in done.stdout
    assert "layer 1" in done.stdout


@pytest.mark.long
def test_tflite_operators_have_their_modules_names(tagger: Path, cache: Path, tmp_path: Path) -> None:
    need("litert_torch")
    model = export_model(tagger, "tflite-int8", buckets=BUCKETS, cache=cache).artifact.model_path
    measured = profiled(model, tmp_path, runtime="ai-edge-litert")
    found = measured.operators
    assert found is not None
    assert has_both_layers(measured)
    assert {"XNNPACK", "CPU"} >= {provider for provider, _ in found.by_provider()}
    dense = [each for each in found.operators if each.name.startswith("model.roberta.encoder.1.intermediate.dense/")]
    assert [each.calls for each in dense] == [found.inferences]


@pytest.mark.parametrize("version", ["2.14.0", "2.13.0"])
@pytest.mark.long
def test_the_older_runtimes_operators_are_told_too(tagger: Path, cache: Path, tmp_path: Path, version: str) -> None:
    need("litert_torch")
    try:
        python = tflite_runtime_python(version, cache=cache)
    except BoardError as error:
        pytest.skip(str(error))
    model = export_model(tagger, "tflite-int8-per-tensor", buckets=BUCKETS, cache=cache).artifact.model_path
    measured = profiled(model, tmp_path, device=replace(find_device("local"), python=str(python)))
    assert measured.subject.device.runtime_version == f"tflite-runtime {version}"
    found = measured.operators
    assert found is not None
    assert has_both_layers(measured)
    assert "FULLY_CONNECTED" in {type for type, _ in found.by_type()}
    assert {"XNNPACK", "CPU"} == {provider for provider, _ in found.by_provider()}


def test_an_extra_run_that_fails_loses_nothing(classifier: Path, cache: Path, tmp_path: Path) -> None:
    artifact = export_model(classifier, "onnx-int8", cache=cache).artifact
    model = shutil.copytree(artifact.path, tmp_path / "artifact") / artifact.model_path.name
    told: list[str] = []

    def spoil(event: Event) -> None:
        if isinstance(event, LogMessage):
            told.append(event.text)
            if "profiling its operators" in event.text:
                model.write_bytes(b"no model any more")

    measured = profiled(model, tmp_path, on_event=spoil)
    assert measured.valid
    assert measured.operators is None
    assert any("its operators were not profiled" in text for text in told), told
