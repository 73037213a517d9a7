"""Histories of gates: one for each board, workload and anchor; gaps are reported; changes are found by ruptures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgebench import Store, gate_history
from edgebench.cli import main
from edgebench.errors import StoreError, UnknownName
from edgebench.gating.records import keep_result
from edgebench.stats.change_points import change_points, normal_scores
from tests.gating.stored import found, gate_result
from tests.schemas import check_schema


def keep(store: Store, day: int, ratio: float, *, month: int = 1, cores: int = 4, anchored: bool = True) -> None:
    """Keep the result of a gate on this day of 2026."""
    anchors = (found(ratio=ratio, interval=(ratio - 0.01, ratio + 0.01), against="release v1.2"),) if anchored else ()
    result = gate_result(found(), anchored=anchors)
    keep_result(
        store,
        replace(
            result,
            id=f"2026{month:02d}{day:02d}T000000-aaaaaa-{cores}",
            started_at=f"2026-{month:02d}-{day:02d}T00:00:00.000+00:00",
            device={**result.device, "cores": cores},
        ),
    )


def test_a_board_of_the_same_name_has_a_history_of_its_own(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for day in range(1, 5):
        keep(store, day, 1.0 + day / 1000)
        keep(store, day, 1.5, cores=6)
    keep(store, 9, 1.2, anchored=False)
    histories = gate_history("pi4", store=store, changes=False)
    assert [[point.ratio for point in each.points] for each in histories] == [[1.001, 1.002, 1.003, 1.004], [1.5] * 4]
    assert [each.notes for each in histories] == [
        ("another board had the name pi4, and has a history of its own: 6 cores, 4.0 GB",),
        ("another board had the name pi4, and has a history of its own: 4 cores, 4.0 GB",),
    ]
    assert {each.levels for each in histories} == {None}
    assert gate_history("release v1.2", store=store, changes=False) == gate_history(store=store, changes=False)
    with pytest.raises(UnknownName, match="did you mean 'pi4'"):
        gate_history("pi5", store=store, changes=False)


def test_gaps_are_reported_and_do_not_split(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for day in range(1, 6):
        keep(store, day, 1.0)
        keep(store, day, 1.0, month=3)
    (history,) = gate_history(store=store, changes=False)
    assert len(history.points) == 10
    assert history.notes == ("no gate from 2026-01-05 to 2026-03-01 (55 days)",)


def test_a_damaged_or_newer_result_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, 1, 1.0)
    (path,) = (tmp_path / "gates").iterdir()
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(values | {"format_version": 2}), encoding="utf-8")
    with pytest.raises(StoreError, match="reads up to 1"):
        gate_history(store=store, changes=False)
    path.write_text(json.dumps(values | {"candidate": {}}), encoding="utf-8")
    with pytest.raises(StoreError, match="candidate lacks variant"):
        gate_history(store=store, changes=False)


def test_the_command_shows_the_ratios_with_or_without_ruptures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for day in range(1, 4):
        keep(Store("store"), day, 1.0)
    monkeypatch.setitem(__import__("sys").modules, "ruptures", None)
    with pytest.raises(SystemExit) as ended:
        main(["history", "--store", "store", "--json", "history.json"])
    shown = capsys.readouterr()
    assert ended.value.code == 0
    assert "ratio to release v1.2" in shown.out
    assert shown.err.count("\n") == 1
    assert "pip install 'edgebench[ci]'" in shown.err
    document = json.loads(Path("history.json").read_text(encoding="utf-8"))
    check_schema(document, "history")
    assert document["histories"][0]["levels"] is None
    with pytest.raises(SystemExit):
        main(["history", "--store", "empty"])
    assert "edgebench gate accept ID --anchor" in capsys.readouterr().err


def test_normal_scores_take_an_outliers_weight() -> None:
    scores = normal_scores(np.array([1.0, 1.01, 0.99, 50.0]))
    assert scores == pytest.approx([-0.299, 0.299, -1.049, 1.049], abs=2e-3)


@pytest.mark.slow
def test_a_step_of_3_percent_is_found_and_noise_is_not(tmp_path: Path) -> None:
    pytest.importorskip("ruptures")
    random = np.random.default_rng(1)
    false = [change_points(np.exp(random.normal(0.0, 0.01, 150))) for _ in range(20)]
    assert sum(map(bool, false)) <= 1
    found_at = [
        change_points(np.exp(np.r_[random.normal(0.0, 0.01, 60), random.normal(0.03, 0.01, 30)])) for _ in range(10)
    ]
    assert sum(len(each) == 1 and abs(each[0] - 60) <= 2 for each in found_at) >= 9
    store = Store(tmp_path)
    for day in range(1, 29):
        keep(store, day, 1.0 + 0.03 * (day > 14) + 0.002 * (day % 3))
    (history,) = gate_history(store=store)
    assert [point.started_at[:10] for point in history.points if point.is_change] == ["2026-01-15"]
    assert history.levels == pytest.approx((1.002, 1.032), abs=0.003)
    assert change_points(np.ones(3)) == []
