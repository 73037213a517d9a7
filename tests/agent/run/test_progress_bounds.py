"""For how long a worker may make no progress: it depends on what it does, and on what it showed before."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from edgebench_agent.protocol import RunSpec
from edgebench_agent.run.progress import Bounds, Progress

MB = 1_000_000


def spec(**changes: Any) -> RunSpec:
    plain: dict[str, Any] = {
        "run_id": "a",
        "mode": "measure",
        "runtime": "null",
        "files": [],
        "inputs_sha256": "0" * 64,
        "lengths": [128] * 8,
        "batch": 1,
        "pad_token_id": 1,
        "threads": 1,
        "providers": [],
        "min_count": 50,
        "min_duration_ns": 0,
        "max_duration_ns": 30_000_000_000,
        "lease_ns": 600_000_000_000,
    }
    return RunSpec(**{**plain, **changes})


def entered(*phases: str, model_bytes: int = 10 * MB, silence_s: float = 0.0, **changes: Any) -> Bounds:
    """Return the bounds in the last of these phases, where each had so long a silence before a message."""
    progress = Progress(os.getpid(), spec(**changes))
    for phase in phases:
        progress.enter(phase, model_bytes)
        with pytest.MonkeyPatch.context() as patch:
            later = time.monotonic_ns() + int(silence_s * 1e9)
            patch.setattr(time, "monotonic_ns", lambda later=later: later)
            progress.note_message()
    return progress.bounds


def test_the_bound_of_loading_grows_with_the_models() -> None:
    assert entered() == Bounds(60, 600)
    assert entered("loading") == Bounds(120, 310)
    assert entered("loading", model_bytes=2200 * MB) == Bounds(120, 2500)


def test_the_bound_of_first_inferences_grows_with_models_and_inputs_up_to_an_hour() -> None:
    assert entered("loading", "first") == Bounds(300, 300 + 5)
    assert entered("loading", "warmup", model_bytes=500 * MB, lengths=[512] * 8, batch=2) == Bounds(300, 300 + 2048)
    assert entered("loading", "first", model_bytes=2000 * MB, lengths=[512] * 8, batch=8).silent_s == 3600
    assert entered("loading", "measuring", mode="infer") == Bounds(300, 300 + 5)  # its first inferences


def test_the_bound_of_timed_inferences_is_a_multiple_of_what_the_warm_up_showed() -> None:
    assert entered("loading", "first", "warmup", "measuring", silence_s=0.5) == Bounds(60, 60)
    assert entered("loading", "first", "warmup", "measuring", silence_s=30) == Bounds(300, 300)
    assert entered("loading", "first", "warmup", "measuring", "finishing", silence_s=30) == Bounds(300, 300)


def test_a_server_waits_for_queries_as_long_as_they_may_take() -> None:
    rare = entered("first", "warmup", "measuring", silence_s=1, scenario="server", rate_mhz=100)  # one in ten seconds
    assert rare == Bounds(260, 260)


def test_what_sends_nothing_for_long_by_design_is_not_stuck() -> None:
    assert entered("idle", mode="idle", min_duration_ns=3_600_000_000_000) == Bounds(None, 3660)
    assert entered("loading", "warmup", mode="operators") == Bounds(300, 3600)
