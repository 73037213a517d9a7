"""A session on a board with a power sensor: its idle power is measured first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgebench import RunPlan, Workload, profile
from edgebench.analysis import energy_of
from tests.agent.trees import VCGENCMD_PI5, plant_answers


@pytest.mark.long
def test_a_session_measures_idle_power_first_and_says_which_readings_are_too_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_answers(tmp_path, VCGENCMD_PI5)
    monkeypatch.setenv("PATH", f"{tmp_path}/usr/bin:{os.environ['PATH']}")
    monkeypatch.setenv("EDGEBENCH_HOME", str(tmp_path / "home"))
    noted: list[str] = []
    measured = profile(
        "reference:tiny",
        workload=Workload(seq_len=16),
        plan=RunPlan(runs=1, min_count=5, min_duration_s=0.2),
        overhead=False,
        cold=False,
        store=tmp_path / "store",
        on_event=lambda event: noted.append(getattr(event, "text", "")),
    )
    assert measured.energy_j is None
    assert any("idle power" in text for text in noted)
    run = measured.runs[0]
    assert (run.facts.idle_power_uw or {})["pmic/VDD_CORE"] == pytest.approx(9_761_433)
    assert len(run.facts.idle_power_uw or {}) == 12
    assert "allow longer runs" in str(energy_of(run))
