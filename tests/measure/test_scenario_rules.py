"""The scenarios on the host: what inputs, figures and rules make of them; expected values are worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench.analysis import reasons_against, summarise, utilisation
from edgebench.analysis.timeline import service_times
from edgebench.device import find_device
from edgebench.errors import ConfigError
from edgebench.measure.inputs import encode
from edgebench.request import Request, request_from_json, request_to_json
from edgebench.run import Run
from edgebench.workload import RunPlan, Scenario, Workload
from tests.sample_runs import MS, run, subject, trace

PLAN = RunPlan(runs=1, min_count=3)


def served(arrivals_ms: list[int], latencies_ms: list[int], rate: float | None = None) -> Run:
    """Return the run of a server: when its queries arrived, and how long each took from then on."""
    kept = replace(
        trace([ms * MS for ms in latencies_ms]), starts_ns=np.array([ms * MS for ms in arrivals_ms], np.int64)
    )
    told = {"warmup_steady": True} | ({"queries_per_s": rate} if rate is not None else {})
    return run(subject(planned_runs=1), 0, kept, facts=told)


# Served for 100 ms each: the second arrives while the first is served, the third while both are, the fourth later.
QUEUED = served([0, 50, 60, 500], [100, 150, 240, 100], rate=8)


def test_a_query_that_waits_is_begun_when_the_one_before_it_has_ended() -> None:
    begun, ended = service_times(QUEUED.trace)
    assert begun.tolist() == [0, 100 * MS, 200 * MS, 500 * MS]
    assert ended.tolist() == [100 * MS, 200 * MS, 300 * MS, 600 * MS]


def test_without_a_queue_an_inference_is_begun_when_its_latency_starts() -> None:
    kept = trace([3 * MS, 5 * MS, 4 * MS], pause_ns=MS)
    begun, ended = service_times(kept)
    assert begun.tolist() == kept.starts_ns.tolist()
    assert (ended - begun).tolist() == kept.latencies_ns.tolist()


def test_windows_of_a_server_count_what_is_served_not_what_waits() -> None:
    """Twelve queries arrive at once and are served for 250 ms each: three seconds of four a second."""
    found = summarise(subject(planned_runs=1), [served([0] * 12, [250 * n for n in range(1, 13)])])
    assert found.throughput_windows == pytest.approx((4, 4, 4))
    assert found.throughput_per_s == pytest.approx(4)


def test_windows_of_a_server_see_its_idle_time() -> None:
    """Two served at once in the first second, none in the second, two in the third."""
    found = summarise(subject(planned_runs=1), [served([0, 0, 2800, 2800], [100, 200, 100, 200])])
    assert found.throughput_windows == pytest.approx((2, 0, 2))


def test_utilisation_is_the_rate_times_the_mean_service() -> None:
    assert utilisation(QUEUED) == pytest.approx(8 * 0.1)
    assert utilisation(served([0], [100])) is None
    assert utilisation(served([], [], rate=8)) is None


def test_a_server_that_can_not_keep_up_does_not_count() -> None:
    assert reasons_against(QUEUED, PLAN) == ()  # that queries wait is the scenario's sense
    faster = replace(QUEUED, facts=replace(QUEUED.facts, queries_per_s=10))
    (reason,) = reasons_against(faster, PLAN)
    assert "arrived faster than they can be served" in reason.text


def test_many_arrivals_by_chance_do_not_speak_against_a_run() -> None:
    """At 5/s and 100 ms each it keeps up, however close together these four came."""
    assert reasons_against(served([0, 1, 2, 3], [100, 199, 298, 397], rate=5), PLAN) == ()


# --- inputs and requests -----------------------------------------------------------------------------------------


def lengths(artifact_path: Path, **workload: Any) -> list[int]:
    from edgebench.export import export_model

    artifact = export_model(str(artifact_path), "onnx").artifact
    return encode(artifact, Workload(lang="sw", **workload)).lengths.tolist()


def test_every_query_of_a_multi_stream_is_full(tiny_onnx: Path) -> None:
    single = lengths(tiny_onnx)
    assert len(single) == 30
    filled = lengths(tiny_onnx, scenario=Scenario.MULTI_STREAM, batch=8)
    assert filled == [*single, *single[:2]]
    assert lengths(tiny_onnx, scenario=Scenario.MULTI_STREAM, batch=10) == single


def test_offline_samples_are_taken_by_length(tiny_onnx: Path) -> None:
    assert lengths(tiny_onnx, scenario=Scenario.OFFLINE, batch=8) == sorted(lengths(tiny_onnx))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scenario": Scenario.SERVER}, "a server needs the rate of its queries"),
        ({"queries_per_s": 3}, "other scenarios take neither"),
        ({"latency_bound_ms": 3}, "other scenarios take neither"),
        ({"scenario": Scenario.SERVER, "queries_per_s": 0}, "queries_per_s must be 0.001 to 1e+06"),
        ({"scenario": Scenario.SERVER, "latency_bound_ms": 0}, "latency_bound_ms must be more than 0"),
        ({"scenario": Scenario.SERVER, "queries_per_s": 3, "batch": 2}, "a server's query is one input, not 2"),
    ],
)
def test_a_scenario_takes_only_what_belongs_to_it(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Workload(**values)
    assert message in str(caught.value)


def test_a_rate_too_low_for_the_plan_is_refused_before_anything_is_measured() -> None:
    slow = Workload(scenario=Scenario.SERVER, queries_per_s=0.5)
    with pytest.raises(ConfigError, match=r"100 queries at 0.5 a second take 200 s, longer than .* 60 s"):
        Request(device=find_device("local"), workloads=(slow,))


def test_a_request_comes_back_with_its_scenario() -> None:
    server = Workload(scenario=Scenario.SERVER, queries_per_s=20)
    request = Request(
        device=find_device("local"), workloads=(server,), plan=RunPlan(sustained_min=0.5), seed=3, cold=False
    )
    assert request_from_json(request_to_json(request)) == request
