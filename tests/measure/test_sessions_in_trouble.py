"""Sessions in trouble: a network that keeps breaking, a board that others use, a model that fails."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgebench
from edgebench.board import connect_agent, push_artifact
from edgebench.device import find_device, load_profile
from edgebench.errors import BoardError, ConfigError, RunFailed, StoreError, UsageError
from edgebench.events import Began, Ended, Event, LogMessage, Planned
from edgebench.export import export_model
from edgebench.measure.runs import run_spec
from edgebench.measure.session import profile_all, resume
from edgebench.reason import texts_of
from edgebench.request import Request
from edgebench.workload import RunPlan, Workload, random_inputs
from edgebench.xtreme_r.scores import ScoreRow
from tests.board.ssh_board import SshBoard

SHORT = RunPlan(runs=2, min_count=20, min_duration_s=0.1)
#: What has tests of its own, and takes its time.
QUICK: Any = {"overhead": False, "cold": False}


@pytest.mark.long
def test_a_connection_that_is_cut_again_and_again_loses_nothing(
    ssh_board: SshBoard, tiny_onnx: Path, tmp_path: Path
) -> None:
    began, done = threading.Event(), threading.Event()

    def cut() -> None:
        began.wait()  # a board that can't be reached at first is another matter
        for _ in range(12):
            if done.wait(0.7):
                return
            ssh_board.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        measured = edgebench.profile(
            tiny_onnx,
            device=ssh_board.device(python=sys.executable),
            plan=replace(SHORT, runs=3, min_duration_s=0.4),
            store=tmp_path,
            on_event=lambda event: began.set() if isinstance(event, Began) else None,
            **QUICK,
        )
    finally:
        began.set()
        done.set()
        cutter.join()
    assert len(measured.runs) >= 3  # one that is not valid, on a busy machine, is repeated
    assert all(len(run.latencies_ns) == run.facts.done_count != 0 for run in measured.runs)


@pytest.mark.long
def test_a_board_that_others_use_is_waited_for(ssh_board: SshBoard, tiny_onnx: Path, tmp_path: Path) -> None:
    device = ssh_board.device(python=sys.executable)
    artifact = export_model(tiny_onnx).artifact
    inputs = random_inputs([8], vocab_size=100)
    with connect_agent(device) as other:
        push_artifact(other, artifact)
        other.push_bytes(inputs.to_bytes())
        spec = run_spec(
            other,
            artifact,
            Workload(seq_len=8),
            inputs,
            run_id="somebody-elses",
            providers=[],
            plan=RunPlan(min_count=1, min_duration_s=12, max_duration_s=60),
        )
        other.launch(spec)
        events: list[Event] = []
        measured = edgebench.profile(
            tiny_onnx, device=device, plan=replace(SHORT, runs=1), store=tmp_path, on_event=events.append, **QUICK
        )
    assert len(measured.runs[0].latencies_ns) >= 20
    assert [event for event in events if isinstance(event, LogMessage) and "somebody-elses" in event.text]


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> edgebench.Device:
    monkeypatch.setenv("EDGEBENCH_HOME", str(tmp_path / "board"))
    return find_device("local")


@pytest.mark.long
def test_a_model_that_fails_is_given_up_and_the_others_are_measured(
    local: edgebench.Device, tiny_onnx: Path, tmp_path: Path
) -> None:
    import onnx
    from onnx import TensorProto, helper

    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", "tokens", 2])
    table = helper.make_tensor("table", TensorProto.FLOAT, [3, 2], [0.0] * 6)  # of three tokens only
    far = helper.make_tensor("far", TensorProto.INT64, [], [1000])  # no id is within the table, and no file says so
    nodes = [
        helper.make_node("Add", ["input_ids", "far"], ["moved"]),
        helper.make_node("Gather", ["table", "moved"], ["out"]),
    ]
    graph = helper.make_graph(nodes, "short", [ids], [out], initializer=[table, far])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "short.onnx"
    )
    request = Request(device=local, models=(str(tmp_path / "short.onnx"), str(tiny_onnx)), plan=SHORT, **QUICK)
    store = edgebench.Store(tmp_path / "store")
    with pytest.raises(RunFailed, match=r"local: short onnx: .*out of data bounds"):
        profile_all(request, store=store)
    by_name = {measurement.subject.variant.name: measurement for measurement in store.measurements()}
    runs = by_name.pop(tiny_onnx.parent.name).runs
    assert len(runs) >= 2 and all(len(run.latencies_ns) >= 20 for run in runs)
    (failed,) = by_name.values()
    assert [texts_of(run.reasons) for run in failed.runs] == [["failed: inputs_rejected"]]
    assert not failed.valid


@pytest.mark.parametrize("change", ["runtime_version", "workload", "agent_sha256"])
@pytest.mark.long
def test_a_resume_under_other_conditions_is_refused(
    change: str, local: edgebench.Device, tiny_onnx: Path, tmp_path: Path
) -> None:
    store = edgebench.Store(tmp_path / "store")
    (measured,) = profile_all(Request(device=local, models=(str(tiny_onnx),), plan=SHORT, **QUICK), store=store)
    session = measured.subject.session
    assert resume(session, store=store)[0].latency_ms == measured.latency_ms  # as it was: nothing is missing
    for path in (tmp_path / "store" / "runs").glob("*/run.json"):
        document = json.loads(path.read_text())
        if change == "runtime_version":
            document["subject"]["device"]["runtime_version"] = "1.0.0"
        elif change == "workload":
            document["subject"]["workload"]["batch"] = 2
        else:
            document["run"]["facts"]["agent_sha256"] = "0" * 64
        path.write_text(json.dumps(document))
    with pytest.raises(StoreError, match=rf"session {session} can't go on: .* changed"):
        resume(session, store=store)


def test_a_new_session_does_not_read_what_others_left(local: edgebench.Device, tiny_onnx: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "store" / "runs" / "20200101T000000-aaaaaa-000-001-bbbb"
    damaged.mkdir(parents=True)
    (damaged / "run.json").write_text('{"format_version": 99}')
    measured = edgebench.profile(tiny_onnx, device=local, plan=SHORT, store=tmp_path / "store", **QUICK)
    assert len(measured.runs) >= 2


def test_a_session_reports_its_order_and_how_long_it_takes(
    local: edgebench.Device, tiny_onnx: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    store = edgebench.Store(tmp_path / "store")
    request = Request(device=local, models=(str(tiny_onnx),), plan=SHORT, seed=42, **QUICK)
    (measured,) = profile_all(request, store=store, on_event=events.append)
    (planned,) = [event for event in events if isinstance(event, Planned)]
    assert planned.estimated_remaining_s is not None and planned.estimated_remaining_s > 0
    lefts = [event.left_s for event in events if isinstance(event, Ended)]
    assert len(lefts) == len(measured.runs) >= 2  # the one that told how long they take is not among them
    assert measured.runs[0].id.rpartition("-")[0].endswith("-001")
    assert measured.to_json()["schedule"] == {"planned_runs": 2, "looks": 1, "seed": 42, "extends": None}
    (kept,) = store.measurements()
    assert kept.subject.seed == 42
    board = kept.runs[0].facts.board
    assert board is not None and board.clocksource is not None
    assert "clocksource_changes" in kept.runs[0].trace.readings


def test_a_budget_that_is_too_small_is_refused_before_anything_counts(
    local: edgebench.Device, tiny_onnx: Path, tmp_path: Path
) -> None:
    request = Request(device=local, models=(str(tiny_onnx),), plan=SHORT, budget_s=0.1, **QUICK)
    with pytest.raises(UsageError, match=r"the budget of 0 s is too short: the least plan, 2 runs of each row"):
        profile_all(request, store=edgebench.Store(tmp_path / "store"))
    assert not list((tmp_path / "store" / "runs").iterdir())


def test_a_missing_provider_is_said_before_anything_is_measured(
    local: edgebench.Device, tmp_path: Path, tiny_onnx: Path
) -> None:
    jetson = replace(local, profile=load_profile("jetson-orin-nano"))
    unknown = tmp_path / "model.onnx"  # away from its artifact.json: nothing says what made it
    shutil.copyfile(tiny_onnx, unknown)
    with pytest.raises(BoardError, match=r"CUDAExecutionProvider, which the board's onnxruntime does not have"):
        edgebench.profile(unknown, device=jetson, plan=SHORT, store=tmp_path / "store")
    assert not list((tmp_path / "store" / "runs").iterdir())


@pytest.mark.long
def test_dynamic_int8_on_a_gpu_board_is_measured_on_the_cpu_and_says_so(
    local: edgebench.Device, tmp_path: Path, tiny_onnx: Path
) -> None:
    jetson = replace(local, profile=load_profile("jetson-orin-nano"))
    events: list[Event] = []
    measured = edgebench.profile(
        tiny_onnx, device=jetson, plan=SHORT, store=tmp_path / "store", on_event=events.append, **QUICK
    )
    assert measured.subject.artifact.format == "onnx-int8"
    told = [event.text for event in events if isinstance(event, LogMessage)]
    assert any("dynamic int8 does not run on CUDAExecutionProvider" in text for text in told), told


@pytest.mark.long
def test_scores_are_attached_to_their_model_and_to_no_random_one(
    local: edgebench.Device, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tiny_onnx.parents[2]))
    rows = [
        ScoreRow(variant=variant, task="xnli", lang="sw", metric="accuracy", value=71.2)
        for variant in (tiny_onnx.parent.name, "reference:tiny", "another")
    ]
    events: list[Event] = []
    measured = profile_all(
        Request(device=local, models=(str(tiny_onnx), "reference:tiny"), plan=SHORT, **QUICK),
        store=edgebench.Store(tmp_path / "store"),
        scores=rows,
        on_event=events.append,
    )
    assert [[score.value for score in one.scores] for one in measured] == [[71.2], []]
    notes = [event.text for event in events if isinstance(event, LogMessage)]
    assert "scores of 'another' are not used: no model has that name" in notes
    assert "scores of 'reference:tiny' are not used: its weights are random" in notes


def test_a_session_that_never_began_to_measure_is_not_there_to_resume(
    local: edgebench.Device, tiny_onnx: Path, tmp_path: Path
) -> None:
    store = edgebench.Store(tmp_path / "store")
    with pytest.raises(BoardError):
        edgebench.profile(tiny_onnx, device=replace(local, python="/nowhere/python3"), store=store)
    assert store.sessions() == []


def test_a_format_that_a_file_can_not_have_is_refused(local: edgebench.Device, tiny_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.onnx is profiled as it is: leave the format \(onnx-fp32\) out"):
        edgebench.profile(tiny_onnx, device=local, format="onnx-fp32", store=tmp_path)
