"""Budgets: the table of edgebench.toml, and what its mistakes are called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgebench import Budget, Store, list_devices
from edgebench.errors import ConfigError, NotValid
from edgebench.gating.budgets import DEFAULT_BUDGETS, fitting_budgets, read_budgets
from edgebench.gating.exact import judge_scores, judge_size
from edgebench.gating.lines import Role, timed_lines
from edgebench.gating.metrics import Metric
from edgebench.gating.rules import GateVerdict
from edgebench.measurement import Measurement
from edgebench.xtreme_r import ScoreRow
from tests.gating.stored import add

BUDGETS = """
[device.pi4]
host = "10.0.0.4"

[[gate.budget]]
metric = "latency"
margin = 0.05

[[gate.budget]]
metric = "peak_pss"
ceiling_bytes = 400_000_000
device = "pi4"

[[gate.budget]]
metric = "score"
loss_points = 0.5
task = "xnli"
"""


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def written(text: str) -> tuple[Budget, ...]:
    Path("edgebench.toml").write_text(text, encoding="utf-8")
    return read_budgets()


def test_budgets_are_read_beside_the_boards() -> None:
    latency, memory, score = written(BUDGETS)
    assert (latency.metric, latency.margin, latency.ceiling) == (Metric.LATENCY, 0.05, None)
    assert (memory.ceiling, memory.device) == (400e6, "pi4")
    assert (score.loss_points, score.task) == (0.5, "xnli")
    assert [device.name for device in list_devices()] == ["local", "pi4"]


def test_no_table_is_no_budget_and_an_empty_one_is_an_error() -> None:
    assert written("") == ()
    with pytest.raises(ConfigError, match=r"\[gate\] has no budget"):
        written("[gate]\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('metric = "latenzy"\nmargin = 0.03', "did you mean 'latency'"),
        ('metric = "latency"', "needs one limit, margin or ceiling_ms; it has 0"),
        ('metric = "latency"\nmargin = 0.03\nceiling_ms = 5', "it has 2"),
        ('metric = "peak_pss"\nceiling_ms = 5', "takes margin or ceiling_bytes, not ceiling_ms"),
        ('metric = "latency"\nmargin = 3', "must be between 0 and 1"),
        ('metric = "size"\nceiling_bytes = -1', "must be above 0"),
        ('metric = "size"\nmargin = 0.1\ntask = "xnli"', "takes no task"),
        ('metric = "latency"\nmargn = 0.03', "did you mean 'margin'"),
        ('metric = "latency"\nmargin = "3 %"', "must be"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as failed:
        written(f"[[gate.budget]]\n{text}\n")
    assert message in str(failed.value)
    assert "edgebench.toml: [gate]" in str(failed.value)
    assert "\n" not in str(failed.value)


def test_budgets_are_for_a_board_and_a_workload() -> None:
    budgets = written(BUDGETS)
    assert len(fitting_budgets(budgets, device="local", labels=["sw"])) == 2
    (latency, *_) = fitting_budgets(budgets, device="local", labels=["sw"], margin=0.01)
    assert latency.margin == 0.01
    with pytest.raises(ConfigError, match="no budget is for sw on local"):
        fitting_budgets([budgets[1]], device="local", labels=["sw"])
    lines = timed_lines([*DEFAULT_BUDGETS, replace(budgets[0], workload="th")], ["sw", "th"], has_anchor=True)
    assert [(line.budget.margin, line.label, line.role) for line in lines] == [
        (0.03, "sw", Role.BASELINE),
        (0.03, "th", Role.BASELINE),
        (0.05, "th", Role.BASELINE),
        (0.03, "sw", Role.ANCHOR),
        (0.05, "th", Role.ANCHOR),
    ]


@pytest.fixture
def sides(work: Path) -> tuple[Measurement, Measurement]:
    store = Store(work / "store")
    ids = [add(store, work / f"{name}.onnx", number=at) for at, name in enumerate(("old", "newer"))]
    return store.measurement(ids[0]), store.measurement(ids[1])


def test_sizes_are_exact(sides: tuple[Measurement, Measurement]) -> None:
    sizes = [each.subject.artifact.bytes for each in sides]
    assert sizes == [8, 10]
    for budget, verdict in (
        (Budget(metric=Metric.SIZE, margin=0.25), GateVerdict.PASS),
        (Budget(metric=Metric.SIZE, margin=0.24), GateVerdict.FAIL),
        (Budget(metric=Metric.SIZE, ceiling_bytes=10), GateVerdict.PASS),
        (Budget(metric=Metric.SIZE, ceiling_bytes=9), GateVerdict.FAIL),
    ):
        assert judge_size(budget, *sides, against="main").result is verdict


def test_scores_of_the_very_files_are_held_against_each_other(sides: tuple[Measurement, Measurement]) -> None:
    budget = Budget(metric=Metric.SCORE, loss_points=1.0)
    old, new = (each.subject for each in sides)

    def row(side: object, value: float, sha256: str) -> ScoreRow:
        return ScoreRow(
            variant=side.variant.name,  # type: ignore[attr-defined]
            task="xnli",
            lang="sw",
            metric="accuracy",
            value=value,
            artifact_sha256=sha256,
        )

    rows = [row(old, 70.0, old.artifact.sha256), row(new, 69.5, new.artifact.sha256)]
    (found,) = judge_scores(budget, *sides, rows, [], against="main")
    assert (found.result, found.upper_bound) == (GateVerdict.PASS, pytest.approx(0.5))
    assert "without an interval" in (found.detail or "")
    rows[1] = row(new, 68.0, new.artifact.sha256)
    (found,) = judge_scores(budget, *sides, rows, [], against="main")
    assert found.result is GateVerdict.FAIL
    with pytest.raises(NotValid, match=r"newer .* has none"):
        judge_scores(budget, *sides, rows[:1], [], against="main")
    with pytest.raises(NotValid, match="has none on tydiqa"):
        judge_scores(replace(budget, task="tydiqa"), *sides, rows, [], against="main")
