"""A few trials of the campaign with fixed seeds; `make chaos` has them all, many times."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults import memory_group
from tests.faults.faults import FAULTS
from tests.faults.trial import Result, run_trial

pytest.importorskip("asyncssh")
WHY_NOT = "it needs root, or programs that are not here"


def seed_for(fault: str, stage: str) -> int:
    """Return the first seed whose trial of a fault is at a stage."""
    stages = FAULTS[fault].stages
    return next(seed for seed in range(1000) if random.Random(seed).choice(stages) == stage)


def check(fault: str, stage: str, tmp_path: Path, model: Path) -> Result:
    if not FAULTS[fault].is_possible:
        pytest.skip((memory_group.why_not() if "cgroup" in FAULTS[fault].needs else None) or WHY_NOT)
    result = run_trial(seed_for(fault, stage), FAULTS[fault], tmp_path / "trial", model, openssh=False)
    assert result.stage == stage
    assert not result.wrong, result
    assert result.is_complete, result.ending
    return result


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "stage"), [("host killed", "run")])
def test_a_trial(fault: str, stage: str, tmp_path: Path, tiny_onnx: Path) -> None:
    check(fault, stage, tmp_path, tiny_onnx)


@pytest.mark.long
def test_memory_that_runs_out_strikes_the_run_and_loses_nothing(tmp_path: Path, tiny_onnx: Path) -> None:
    result = check("out of memory", "run", tmp_path, tiny_onnx)
    assert result.struck
    assert "killed" in result.notes[0]
