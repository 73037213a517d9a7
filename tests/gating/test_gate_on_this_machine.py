"""A gate from end to end on this machine: real files, real runs, few and short ones.

Nothing here depends on how fast the machine is, nor on who else uses it: runs count whatever disturbed them, the slow
candidate has hundreds of times as much to do, and the ceiling is one that no model keeps. Costs some 40 processes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgebench
from edgebench import Budget, RunPlan, Store, Workload
from edgebench.board import open_leased_agent
from edgebench.cli import main
from edgebench.cli.gate import _committed_file
from edgebench.errors import BoardBusy
from edgebench.gating import run as gate_run
from edgebench.gating.accept import FOLDER, keep_files
from edgebench.gating.baseline import baseline_of, write_baseline
from edgebench.gating.metrics import Metric
from edgebench.measurement import Measurement
from edgebench.request import Request
from tests.schemas import check_schema

pytest.importorskip("onnxruntime")
PLAN = RunPlan(runs=4, min_count=15, min_duration_s=0)


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without settings of the user's; sessions look after 4 and 5 runs, and all runs count."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGEBENCH_STORE", raising=False)
    real = gate_run.profile_all

    def measure(request: Request, *, is_decided: Callable[[list[Measurement]], bool], **others: Any) -> Any:
        short = replace(request, planned_looks=(4, 5), plan=replace(request.plan, runs=4), cold=False)
        return counted(real(short, is_decided=lambda measured: is_decided(counted(measured)), **others))

    monkeypatch.setattr(gate_run, "profile_all", measure)
    return tmp_path


def counted(measurements: Any) -> list[Measurement]:
    """Return them as if nothing had disturbed this machine, which others may use while tests run."""
    return [
        replace(each, runs=tuple(replace(run, reasons=()) for run in each.runs), reasons=()) for each in measurements
    ]


def model(path: Path, products: int) -> Path:
    """Write a model with the inputs of XLM-R that multiplies large matrices so many times."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    side = 256
    tensors = [
        helper.make_tensor("table", kinds.FLOAT, [1000, side], [0.5] * 1000 * side),
        helper.make_tensor("weights", kinds.FLOAT, [side, side], [0.001] * side * side),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["states0"]),
        *(helper.make_node("MatMul", [f"states{at}", "weights"], [f"states{at + 1}"]) for at in range(products)),
        helper.make_node("Identity", ["attention_mask"], ["mask"]),
    ]
    inputs = [helper.make_tensor_value_info(name, kinds.INT64, ["n", "t"]) for name in ("input_ids", "attention_mask")]
    outputs = [
        helper.make_tensor_value_info(f"states{products}", kinds.FLOAT, ["n", "t", side]),
        helper.make_tensor_value_info("mask", kinds.INT64, ["n", "t"]),
    ]
    graph = helper.make_graph(nodes, "products", inputs, outputs, initializer=tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def measured(file: Path, store: Store) -> str:
    """Measure a file, and return the measurement's id."""
    return edgebench.profile(file, workload=Workload(seq_len=16), plan=PLAN, store=store, overhead=False, cold=False).id


@pytest.mark.long
def test_a_model_against_itself_from_the_command_line(
    tiny_onnx: Path, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(tiny_onnx.parent, work / "tiny")
    store = Store(work / "store")
    id = measured(folder / tiny_onnx.name, store)
    toml = '[[gate.budget]]\nmetric = "latency"\nmargin = 0.99\n[[gate.budget]]\nmetric = "size"\nmargin = 0.01\n'
    (work / "edgebench.toml").write_text(toml, encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(work / "summary.md"))
    files = [
        part for name in ("junit", "markdown", "gitlab", "gitlab-metrics") for part in (f"--{name}", f"{name}.out")
    ]
    with pytest.raises(SystemExit) as ended:
        main(
            [
                *("gate", "--baseline", id, "--model", "tiny", "--min-count", "5", "--min-duration", "0"),
                *("--github", *files, "--store", "store", "--json", "-"),
            ]
        )
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    check_schema(document, "gate")
    assert ended.value.code == (3 if document["result"] == "fail" else 0)
    latency, size = document["budgets"]
    assert (latency["metric"], latency["workload"], latency["runs"][0] >= 2) == ("latency", "16 tok", True)
    assert latency["detectable"] > 0
    assert (size["result"], size["ratio"]) == ("pass", 1.0)
    assert document["baseline"]["artifact_sha256"] == document["candidate"]["artifact_sha256"]
    assert document["anchor"] is None
    sessions = [each["id"] for each in document["sessions"]]
    assert document["id"] == sessions[0]
    assert {each.subject.session for each in store.measurements()} >= set(sessions)
    assert json.loads((work / "store" / "gates" / f"{sessions[0]}.json").read_text(encoding="utf-8")) == document
    assert _committed_file("./ci/main.json") == "ci/main.json"
    assert [_committed_file(each) for each in ("last", "../main.json")] == ["edgebench.toml"] * 2
    for name in ("junit.out", "markdown.out", "gitlab.out", "gitlab-metrics.out", "summary.md"):
        assert (work / name).read_text(encoding="utf-8").strip()
    assert f"::{'error' if document['result'] == 'fail' else ''}" in shown.err


def accepted(id: str, store: Store, name: str, *, is_anchor: bool = False) -> None:
    """Do what `gate accept` does, with a measurement that something may have disturbed, on a virtual machine."""
    baseline = baseline_of(store.measurement(id), name=name, accepted_at=f"2026-01-01 {name}", is_anchor=is_anchor)
    baseline = replace(baseline, device=replace(baseline.device, virtual=True))
    keep_files(store, baseline)
    write_baseline(store.folder / FOLDER / f"{name}.json", baseline)


@pytest.mark.long
def test_a_candidate_with_much_more_to_do_and_a_ceiling_that_no_model_keeps_fail_in_two_sessions(work: Path) -> None:
    store = Store(work / "store")
    fast, slow = model(work / "fast.onnx", 20), model(work / "slow.onnx", 400)
    id = measured(fast, store)
    accepted(id, store, "main")
    accepted(id, store, "release", is_anchor=True)
    fast.unlink()  # the store has it
    budgets = [Budget(metric=Metric.LATENCY, margin=0.03), Budget(metric=Metric.LATENCY, ceiling_ms=1e-7)]
    result = edgebench.gate(slow, store=store, plan=PLAN, budgets=budgets)
    assert result.failed, result.sentence
    assert [(each.purpose, each.mode) for each in result.sessions] == [
        ("decide", "alternating"),
        ("repeat", "alternating"),
    ]
    relative, absolute = result.budgets
    assert relative.ratio is not None and relative.repeated is not None
    assert min(relative.ratio, relative.repeated) > 2
    assert (str(absolute.result), absolute.ratio, absolute.repeated is not None) == ("fail", None, True)
    # On a busy machine the two sessions may find ratios that disagree, although both are far above 1.
    assert "slower in two sessions (" in result.sentence or "two sessions disagree (" in result.sentence
    assert (result.baseline.name, result.baseline.variant) == ("main", "fast")
    check_schema(result.to_json(), "gate")
    assert result.anchor is not None and result.anchor.name == "release"
    (against,) = result.anchor_budgets
    assert (against.margin, against.ratio) == (0.03, relative.ratio)  # the anchor is the baseline's file
    (history,) = edgebench.gate_history("local", store=store, changes=False)
    assert [point.ratio for point in history.points] == [against.ratio]


@pytest.mark.long
def test_a_second_gate_waits_for_the_board_and_then_says_who_has_it(work: Path) -> None:
    store = Store(work / "store")
    file = model(work / "one.onnx", 1)
    id = measured(file, store)
    with (
        open_leased_agent(edgebench.find_device("local"), purpose="another gate"),
        pytest.raises(BoardBusy, match=r"another gate"),
    ):
        edgebench.gate(file, baseline=id, store=store, plan=PLAN, wait_s=0)
