"""What budgets of the marker say of figures that a reader can check by hand, and who renews the lease of a run."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edgebench.analysis import summarise
from edgebench.board import open_leased_agent, take_lease
from edgebench.device import find_device
from edgebench.errors import BoardBusy, LeaseLost
from edgebench.events import ignore
from edgebench.measurement import Measurement
from edgebench.provision.maintenance import see_lease
from edgebench.pytest_plugin.limits import KINDS, Limit, judge_limit
from edgebench.pytest_plugin.shared_lease import SharedLeases
from edgebench.reason import Reason, ReasonCode
from tests.board.test_lease import FREE
from tests.sample_runs import MS, run, subject, trace


def measurement(*typical_ms: float) -> Measurement:
    """Return a measurement with a run of 150 equal latencies for each figure."""
    of = subject(planned_runs=min(2, len(typical_ms)))
    return summarise(of, [run(of, at, trace([round(each * MS)] * 150)) for at, each in enumerate(typical_ms)])


NEAR = measurement(99, 100, 101, 102)


@pytest.mark.parametrize(
    ("key", "value", "verdict", "sentence"),
    [
        ("max_p50_ms", 120, "pass", "passed: p50 100.5 ms (95 % upper bound 102) is within 120 ms"),
        ("max_p50_ms", 80, "fail", "failed: p50 100.5 ms is above 80 ms (95 % interval 98.46 to 102.6, 4 runs)"),
        ("max_p50_ms", 100, "undecided", "undecided: p50 100.5 ms is too near to 100 ms"),
        ("max_latency_ms", 120, "pass", "passed: latency 100.5 ms"),
        ("max_p95_ms", 80, "fail", "failed: p95 100.5 ms is above 80 ms"),
        (
            "min_throughput_per_s",
            8,
            "pass",
            "passed: throughput 9.951 inputs/s (95 % lower bound 9.802) is above 8",
        ),
        ("min_throughput_per_s", 12, "fail", "failed: throughput 9.951 inputs/s is below 12 inputs/s"),
        ("max_size_mb", 118, "pass", "passed: size 118 MB is within 118 MB"),
        ("max_size_bytes", 117_999_999, "fail", "failed: size 118,000,000 bytes is above 117,999,999 bytes"),
        ("max_energy_j", 1, "undecided", "undecided: energy was not measured"),
    ],
)
def test_a_limit_is_judged_by_the_interval_of_the_runs(key: str, value: float, verdict: str, sentence: str) -> None:
    found = judge_limit(Limit(key, value), NEAR)
    assert (str(found.verdict), found.sentence[: len(sentence)]) == (verdict, sentence)


@pytest.mark.parametrize("key", KINDS)
def test_a_measurement_that_is_not_valid_neither_passes_nor_fails(key: str) -> None:
    spoiled = replace(NEAR, reasons=(Reason(ReasonCode.OTHERS_WORKED, "it was disturbed"),))
    for value in (1e-9, 1e12):
        found = judge_limit(Limit(key, value), spoiled)
        assert str(found.verdict) == "undecided"
        assert "not valid: it was disturbed" in found.sentence


def test_one_run_decides_no_timing() -> None:
    found = judge_limit(Limit("max_p50_ms", 1e9), measurement(100))
    assert str(found.verdict) == "undecided"
    assert "in two valid runs" in found.sentence


def test_the_lease_of_a_run_is_shared_renewed_while_idle_and_given_back(tmp_path: Path) -> None:
    device, folder = find_device("local"), tmp_path / "run"
    folder.mkdir()
    ours, devices = SharedLeases(folder), {"local": device}
    ours.join(device, purpose="a run", wait_s=0, on_event=ignore)
    ((name, token),) = ours.taken().items()
    noted = folder / "local.json"
    another = SharedLeases(folder)  # of another worker
    another.join(device, purpose="a run", wait_s=0, on_event=ignore)
    assert another.taken() == {name: token}
    with open_leased_agent(device, purpose="a session", wait_s=0) as agent:
        assert agent.held_lease.token == token
        os.utime(noted, (0, 0))
        ours.renew_idle(devices)
        assert noted.stat().st_mtime == 0  # the session that has the turn renews it
    assert time.time() - noted.stat().st_mtime < 20  # noted at the end of the session's turn
    os.utime(noted, (0, 0))
    ours.renew_idle(devices)
    assert noted.stat().st_mtime > 0
    another.leave()
    ours.leave()
    with pytest.raises(BoardBusy), open_leased_agent(device, purpose="others", wait_s=0):
        pass
    ours.give_back(devices)
    assert see_lease(device) == FREE


def test_a_lease_that_was_lost_is_an_error_for_the_next_session(tmp_path: Path) -> None:
    device = find_device("local")
    leases = SharedLeases(tmp_path)
    leases.join(device, purpose="a run", wait_s=0, on_event=ignore)
    SharedLeases(tmp_path).give_back({"local": device})
    take_lease(device, purpose="others", wait_s=0)
    with pytest.raises(LeaseLost), open_leased_agent(device, purpose="a session", wait_s=0):
        pass
    leases.leave()
