"""profile --alternate from end to end: the real agent on this machine, tiny models."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgebench
from edgebench.analysis import compare_rows
from edgebench.analysis.comparison import compare
from edgebench.device import find_device
from edgebench.errors import ConfigError
from edgebench.events import Ended, Event, LogMessage, Planned
from edgebench.measure import planned_runs
from edgebench.measure.runs import INTERRUPTED
from edgebench.measure.session import profile_all, resume
from edgebench.measurement import Measurement, measurements_to_json
from edgebench.reason import ReasonCode, texts_of
from edgebench.request import Request
from edgebench.workload import RunPlan, Workload
from tests.fork_server import edgebench_command
from tests.schemas import check_schema

PLAN = RunPlan(runs=2, min_count=20, min_duration_s=0)


@pytest.fixture
def files(tiny_onnx: Path, tmp_path: Path) -> list[str]:
    """Two files of one model."""
    names = [tmp_path / name for name in ("one.onnx", "two.onnx")]
    for name in names:
        shutil.copy(tiny_onnx, name)
    return [str(name) for name in names]


def request(models: list[str], **changes: Any) -> Request:
    plain: dict[str, Any] = {
        "device": find_device("local"),
        "models": tuple(models),
        "plan": PLAN,
        "overhead": False,
        "cold": False,
        "alternate": True,
    }
    return Request(**plain | changes)


def counted(measurements: list[Measurement]) -> list[Measurement]:
    """Return them as if nothing had disturbed this machine, which others may use while tests run."""
    from dataclasses import replace

    return [replace(each, runs=tuple(replace(run, reasons=()) for run in each.runs)) for each in measurements]


def test_models_share_a_process_and_their_runs_are_pairs(files: list[str], tmp_path: Path) -> None:
    events: list[Event] = []
    store = edgebench.Store(tmp_path / "store")
    one, other = profile_all(request(files), store=store, on_event=events.append)
    assert [run.process for run in one.runs] == [run.process for run in other.runs]
    if one.runs[0].valid:  # after a run that counts, the other one is loaded first, and has the process's name
        assert [run.process == run.id for run in one.runs][:2] == [True, False]
    for mine, theirs in zip(one.runs, other.runs, strict=True):
        assert theirs.log_ratios[mine.id] == pytest.approx(-mine.log_ratios[theirs.id])
        latencies = mine.latencies_ns, theirs.latencies_ns
        assert len(latencies[0]) == len(latencies[1])
        if mine.valid and not mine.excluded_spans:
            assert theirs.log_ratios[mine.id] == pytest.approx(float(np.median(np.log(latencies[1] / latencies[0]))))
    assert one.subject.workload["alternating"] == [one.subject.artifact.sha256] * 2
    (planned,) = [event for event in events if isinstance(event, Planned)]
    assert planned.runs == 4
    assert sum(isinstance(event, Ended) for event in events) == len(one.runs) + len(other.runs)
    found = compare(*counted([one, other]))
    assert found.latency.drift == "pairs"
    assert found.latency.runs == (len(one.runs), len(one.runs))
    kept = store.measurements()
    check_schema(measurements_to_json(kept), "profile")
    assert [[run.log_ratios for run in each.runs] for each in kept] == [
        [run.log_ratios for run in each.runs] for each in (one, other)
    ]


@pytest.mark.long
def test_each_language_is_a_row_of_its_own(files: list[str], tmp_path: Path) -> None:
    workloads = (Workload(lang="sw"), Workload(lang="th"))
    found = profile_all(request(files, workloads=workloads), store=edgebench.Store(tmp_path / "store"))
    processes = {(each.subject.label, run.process) for each in found for run in each.runs}
    assert {label for label, _ in processes} == {"sw", "th"}
    assert len({process for _, process in processes}) == len(processes)
    assert [each.latency.drift for each in compare_rows(counted(found))] == ["pairs", "pairs"]


def test_a_file_that_no_runtime_takes_ends_the_row_and_says_which(files: list[str], tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    answer = helper.make_tensor_value_info("answer", TensorProto.INT64, ["batch", "tokens"])
    graph = helper.make_graph([helper.make_node("NoSuchOperator", ["input_ids"], ["answer"])], "g", [ids], [answer])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), files[1])
    done = command(tmp_path, "profile", "--alternate", "--model", files[0], "--model", files[1])
    assert done.returncode == 1
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("edgebench: ") and "run failed" in line]
    assert said.startswith("edgebench: local: two onnx") and "one onnx" not in said
    stored = edgebench.Store(tmp_path / "store").measurements()
    reasons = {each.subject.variant.name: {*texts_of(each.runs[0].reasons)} for each in stored}
    assert reasons == {
        "one": {"of a model that it alternates with: failed: model_rejected"},
        "two": {"failed: model_rejected"},
    }


def test_one_model_of_each_runtime_has_no_model_to_alternate_with(tmp_path: Path) -> None:
    formats = (edgebench.Format("onnx-int8"), edgebench.Format("tflite-fp32"))
    with pytest.raises(ConfigError, match="no two models run in one runtime"):
        profile_all(request(["reference:tiny"], formats=formats), store=edgebench.Store(tmp_path / "store"))


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    plan = ("--runs", "2", "--min-count", "20", "--min-duration", "0", "--no-own-cost", "--no-cold")
    words = [*edgebench_command(), *arguments, *plan, "--store", str(folder / "store")]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_the_command_reports_no_memory_of_a_shared_process_and_gives_the_verdict(
    files: list[str], tmp_path: Path
) -> None:
    done = command(tmp_path, "profile", "--alternate", "--model", files[0], "--model", files[1])
    assert done.returncode in (0, 4), done.stderr  # a busy machine may disturb a run
    text = " ".join(done.stdout.split())
    assert "alternating: memory and energy are not reported, because the models share one process" in text
    assert "take longer for the model that comes first" in text
    assert done.returncode == 4 or "2 + 2 runs, alternating" in text
    alone = command(tmp_path, "profile", "--alternate", "--model", files[0])
    assert alone.returncode == 2
    assert "has nothing to alternate with" in alone.stderr


@pytest.mark.long
def test_an_interrupted_session_goes_on_in_pairs(files: list[str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "edgebench", "profile", "--alternate", "--model", files[0], "--model", files[1]),
            *("--runs", "3", "--min-count", "20", "--min-duration", "0.5", "--no-own-cost", "--no-cold"),
            *("--store", "store"),
        ],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    runs = tmp_path / "store" / "runs"
    deadline = time.monotonic() + 600
    while not list(runs.glob("[!.]*")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    store = edgebench.Store(tmp_path / "store")
    (session,) = store.sessions()
    one, other = resume(session, store=store)
    whole = [[run for run in each.runs if INTERRUPTED not in run.reasons] for each in (one, other)]
    assert [run.process for run in whole[0]] == [run.process for run in whole[1]]
    assert len(whole[0]) >= 3


@pytest.mark.long
def test_what_was_kept_of_one_model_alone_is_measured_again(files: list[str], tmp_path: Path) -> None:
    store = edgebench.Store(tmp_path / "store")
    one, other = profile_all(request(files), store=store)
    shutil.rmtree(tmp_path / "store" / "runs" / one.runs[0].id)
    taken = resume(one.subject.session, store=store)  # the board has it still
    for before, after in zip((one, other), taken, strict=True):
        assert [(run.id, run.started_at) for run in after.runs] == [(run.id, run.started_at) for run in before.runs]
    shutil.rmtree(tmp_path / "store" / "runs" / one.runs[0].id)
    shutil.rmtree(Path(os.environ["EDGEBENCH_HOME"]) / "runs")
    (orphan,) = [run for each in store.measurements() for run in each.runs if run.id == other.runs[0].id]
    assert orphan.reasons[-1].code is ReasonCode.PARTNER_MISSING
    again = resume(one.subject.session, store=store)
    assert [run.process for run in again[0].runs] == [run.process for run in again[1].runs]
    assert len(again[0].runs) >= 2
    assert other.runs[0].id not in [run.id for run in again[1].runs]


@pytest.mark.long
def test_a_study_lets_its_variants_alternate(files: list[str], tmp_path: Path) -> None:
    variants = "".join(
        f'[[variant]]\nname = "{name}"\nmodel = "{Path(file).name}"\n'
        for name, file in zip(("a", "b"), files, strict=True)
    )
    study = tmp_path / "STUDY.toml"
    study.write_text(
        '[study]\nname = "s"\nalternate = true\nown_cost = false\ncold = false\n'
        "[plan]\nruns = 2\nmin_count = 20\nmin_duration_s = 0\n"
        f'{variants}[[workload]]\nseq_len = 16\n[[contrast]]\nbaseline = {{name = "a"}}\ncandidate = {{name = "b"}}\n'
    )
    done = run_study("run", study, tmp_path)
    assert done.returncode in (0, 4), done.stderr
    measured = edgebench.Store(tmp_path / "store").measurements()
    assert all(len(each.subject.alternates_with) == 2 for each in measured)
    if done.returncode == 0:
        again = run_study("run", study, tmp_path)
        assert again.returncode == 0, again.stderr
        assert len(edgebench.Store(tmp_path / "store").measurements()) == 2  # it was done
        # Measured otherwise, it counts for nothing where variants are to be measured by themselves.
        study.write_text(study.read_text().replace("alternate = true", "alternate = false"))
        status = run_study("status", study, tmp_path, "--json", "-")
        assert not any(part["done"] for part in json.loads(status.stdout)["parts"])


def run_study(what: str, study: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = [*edgebench_command(), "study", what, str(study), "--store", str(folder / "store"), *options]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_a_message_says_that_all_models_of_a_row_are_repeated(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    plan = RunPlan(runs=2, min_count=10_000, min_duration_s=0, max_duration_s=0.2)  # too few: no run counts
    monkeypatch.setattr(planned_runs, "refuse_unreachable", lambda *_: None)  # as if its pilot had been faster
    found = profile_all(request(files, plan=plan), store=edgebench.Store(tmp_path / "store"), on_event=events.append)
    assert [len(each.runs) for each in found] == [3, 3]
    assert [run.process for run in found[0].runs] == [run.process for run in found[1].runs]
    assert any(isinstance(event, LogMessage) and "repeating a run" in event.text for event in events)
