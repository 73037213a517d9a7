"""What a workload and a plan refuse."""

from __future__ import annotations

import math

import pytest

from edgebench.errors import ConfigError
from edgebench.workload import RunPlan, Workload
from edgebench_agent import protocol


def spec_of(workload: Workload, plan: RunPlan) -> protocol.RunSpec:
    """Return what the agent is asked, as it reads it."""
    spec = protocol.RunSpec(
        run_id="bounds",
        mode="measure",
        runtime="onnxruntime",
        files=[],
        inputs_sha256="0" * 64,
        lengths=workload.token_counts(),
        batch=workload.batch,
        pad_token_id=1,
        threads=workload.threads or 0,
        providers=[],
        min_count=plan.min_count,
        min_duration_ns=round(plan.min_duration_s * 1e9),
        max_duration_ns=round(plan.max_duration_s * 1e9),
        lease_ns=10**9,
    )
    return protocol.RunSpec.from_json(spec.to_json())


def test_the_agent_takes_the_largest_of_everything() -> None:
    week = 7 * 86_400
    largest = RunPlan(min_count=10_000_000, min_duration_s=week, max_duration_s=week)
    for workload in (Workload(seq_len=1 << 20), Workload(seq_len=1, batch=1 << 16), Workload(threads=4096)):
        assert spec_of(workload, largest).batch == workload.batch


@pytest.mark.parametrize("seconds", [math.inf, math.nan, -1.0, 7 * 86_400 + 1])
def test_a_duration_is_finite_and_at_most_a_week(seconds: float) -> None:
    with pytest.raises(ConfigError, match="durations must be"):
        RunPlan(max_duration_s=seconds)
    with pytest.raises(ConfigError, match="durations must be"):
        RunPlan(min_duration_s=seconds, max_duration_s=60)


def test_a_batch_larger_than_the_inputs_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch 3 is more than the 2 inputs of 'texts'; try 2"):
        Workload(texts=("one", "two"), batch=3)
    with pytest.raises(ConfigError, match="batch 31 is more than the 30 inputs of 'sw'; try 30"):
        Workload(lang="sw", batch=31)
    assert len(Workload(seq_len=8, batch=64).token_counts()) == 64
