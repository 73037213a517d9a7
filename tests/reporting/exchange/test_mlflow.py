"""Runs of MLflow in a real tracking folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgebench import EdgebenchError, MissingExtra, Store, UsageError, export_results
from tests.needed import need
from tests.reporting.exchange.sample_store import AWKWARD, evaluation, export, keep, throttled, unusual
from tests.reporting.sample_results import by_language, measured

need("mlflow")
pytestmark = pytest.mark.slow  # importing mlflow takes seconds


def runs_of(folder: Path, experiment: str = "edgebench") -> dict[str, Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=folder.as_uri())
    (found,) = [it for it in client.search_experiments() if it.name == experiment]
    return {it.data.tags["edgebench.measurement"]: it for it in client.search_runs([found.experiment_id])}


def test_each_measurement_is_a_run(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    store, folder = keep(tmp_path / "store", measured(0), unusual(), throttled()), tmp_path / "mlruns"
    done = export("--to", "mlflow", "--tracking-uri", folder, "--experiment", "boards", store=store)
    assert done.code == 0
    assert "3 measurements written to MLflow" in done.stderr
    assert "-020 is not valid: 0 of 4 planned runs are valid" in done.stderr
    runs = runs_of(folder, "boards")
    good, awkward, bad = (runs[f"20250102T030405-abcdef-{number:03d}"] for number in (0, 1, 20))
    assert good.data.metrics["latency_p50_ms"] == store.measurement("20250102T030405-abcdef-000").latency_ms.p50
    assert good.data.metrics["peak_rss_bytes"] == 300e6
    assert "energy_per_inference_joules" not in good.data.metrics
    assert good.data.params["workload.seq_len"] == "128"
    assert (good.info.status, good.data.tags["edgebench.state"]) == ("FINISHED", "valid")
    assert awkward.data.params["variant"] == AWKWARD
    assert (bad.info.status, bad.data.tags["edgebench.state"]) == ("FAILED", "not valid")
    assert "under-voltage" in bad.data.tags["edgebench.reasons"]
    client = MlflowClient(tracking_uri=folder.as_uri())
    artifact = Path(client.download_artifacts(good.info.run_id, "measurement.json", str(tmp_path)))
    assert json.loads(artifact.read_text(encoding="utf-8"))["id"] == "20250102T030405-abcdef-000"


def test_exporting_twice_doubles_nothing_and_adds_what_is_new(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    swahili = by_language()[1]
    store, folder = keep(tmp_path / "store", measured(0), swahili), tmp_path / "mlruns"

    def exported() -> str:
        return export("--to", "mlflow", "--tracking-uri", folder, store=store).stderr

    assert "2 measurements written to MLflow" in exported()
    assert exported().count("is there already") == 2
    store.write_evaluation(evaluation(swahili.subject.artifact.sha256))
    assert "1 measurement written to MLflow" in exported()
    runs = runs_of(folder)
    assert len(runs) == 2
    assert runs[swahili.id].data.metrics["score/xnli/sw/accuracy"] == 75.0
    client = MlflowClient(tracking_uri=folder.as_uri())
    history = client.get_metric_history(runs[swahili.id].info.run_id, "latency_p50_ms")
    assert len(history) == 1


def test_a_server_that_does_not_answer_is_one_line(exported_store: Store) -> None:
    done = export("--to", "mlflow", "--tracking-uri", "http://user:secret@127.0.0.1:9", store=exported_store)
    assert done.code == 1
    assert done.stderr.count("\n") == 1
    assert "edgebench: MLflow at http://127.0.0.1:9: " in done.stderr
    assert "check --tracking-uri" in done.stderr
    assert "secret" not in done.stderr


def test_no_server_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UsageError, match="no tracking server is named"):
        export_results([measured(0)], to="mlflow")


def test_an_unknown_kind_of_server_is_an_error_of_ours() -> None:
    with pytest.raises(EdgebenchError, match="MLflow at gopher://x: "):
        export_results([measured(0)], to="mlflow", tracking_uri="gopher://x")


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtra, match=r"an export to MLflow needs mlflow, .* pip install 'edgebench\[mlflow\]'"):
        export_results([measured(0)], to="mlflow", tracking_uri=str(tmp_path))
