"""The scenarios, a cold start and a long run from end to end: the real agent on this machine, a tiny model."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgebench
from edgebench.analysis import complete_passes
from edgebench.errors import NotValid, UsageError
from edgebench.events import Ended, Event, LogMessage
from edgebench.measure.session import resume
from edgebench.measurement import measurements_to_json
from edgebench.stats import RateSearch
from edgebench.store import Store
from edgebench.workload import RunPlan, Scenario, Workload
from tests.fork_server import edgebench_command
from tests.schemas import check_schema

PLAN = RunPlan(runs=1, min_count=20, min_duration_s=0)
#: No queue of a test is so long: every rate at which the queue does not grow keeps it.
WIDE_MS = 3.6e6


@pytest.fixture(autouse=True)
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEBENCH_HOME", str(tmp_path / "board"))
    return tmp_path / "board"


def profiled(model: Path, folder: Path, **changes: Any) -> edgebench.Measurement:
    return edgebench.profile(
        model, store=folder / "store", **{"plan": PLAN, "overhead": False, "cold": False, **changes}
    )


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [str(argument) for argument in arguments]
    return subprocess.run([*edgebench_command(), *words], capture_output=True, text=True, check=False)


def test_a_servers_latencies_begin_when_its_queries_arrive(tiny_onnx: Path, tmp_path: Path) -> None:
    found = profiled(tiny_onnx, tmp_path, workload=Workload(scenario=Scenario.SERVER, queries_per_s=50))
    (run, *_) = found.runs
    assert run.facts.queries_per_s == 50
    assert len(run.latencies_ns) == 20
    assert found.subject.label == "128 tok server 50/s"
    assert found.to_json()["workload"]["queries_per_s"] == 50


@pytest.mark.parametrize("scenario", [Scenario.OFFLINE, Scenario.SINGLE_STREAM])
def test_a_run_that_has_no_time_for_its_inferences_is_refused_after_the_pilot(
    scenario: Scenario, tiny_onnx: Path, tmp_path: Path
) -> None:
    plan = RunPlan(runs=2, min_count=1_000_000, min_duration_s=0.5, max_duration_s=1)
    told: list[Event] = []
    batch = 8 if scenario is Scenario.OFFLINE else 1
    with pytest.raises(
        UsageError, match=r"a run of at most 1 s has time for about \d+ inferences of .* fewer than the"
    ) as caught:
        profiled(
            tiny_onnx, tmp_path, workload=Workload(scenario=scenario, seq_len=8, batch=batch), plan=plan,
            on_event=told.append,
        )  # fmt: skip
    assert "`max_duration_s=" in str(caught.value) and "`min_count=" in str(caught.value)
    assert not any(isinstance(event, Ended) for event in told)
    assert Store(tmp_path / "store").measurements() == []


def test_every_query_of_a_multi_stream_has_its_samples(tiny_onnx: Path, tmp_path: Path) -> None:
    found = profiled(tiny_onnx, tmp_path, workload=Workload(scenario=Scenario.MULTI_STREAM, lang="sw", batch=8))
    (run, *_) = found.runs
    assert run.facts.batch_sizes == (8, 8, 8, 8)
    assert run.inferences == 8 * len(run.latencies_ns)


def test_offline_makes_at_least_one_complete_pass_over_its_sorted_samples(tiny_onnx: Path, tmp_path: Path) -> None:
    shape = Workload(scenario=Scenario.OFFLINE, lang="sw", batch=8)
    (run, *_) = profiled(tiny_onnx, tmp_path, workload=shape, plan=replace(PLAN, min_count=1)).runs
    assert run.facts.batch_sizes == (8, 8, 8, 6)
    assert run.inferences == complete_passes(run).inferences == 30
    assert list(padded := run.facts.batch_padded_tokens or ()) == sorted(padded)


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        (("server", "--qps", "100"), "server: a latency counts from the query's arrival, its waiting included"),
        (("multi-stream",), "multi-stream: a latency is that of a query of 8 inputs"),
        (("offline",), "offline: inputs/s is the result; a latency is that of a batch of 8"),
    ],
)
@pytest.mark.long
def test_the_table_says_what_a_latency_is(
    arguments: tuple[str, ...], note: str, tiny_onnx: Path, tmp_path: Path
) -> None:
    plan = ("--runs", 1, "--min-count", 20, "--min-duration", 0, "--no-cold", "--no-own-cost")
    shown = command("profile", "--model", tiny_onnx, "--scenario", *arguments, *plan, "--store", tmp_path / "store")
    assert shown.returncode in (0, 4), shown.stderr
    assert note in shown.stdout


# --- cold and warm -----------------------------------------------------------------------------------------------


def test_a_cold_start_is_distinguished_from_a_warm_one(tiny_onnx: Path, tmp_path: Path) -> None:
    found = profiled(tiny_onnx, tmp_path, cold=True)
    started = found.cold_start
    assert started is not None
    assert started.load_ns is not None and started.first_ns is not None
    cold = found.to_json()["cold"]
    if started.is_cold:
        assert cold == {
            "load_ms": started.load_ns / 1e6,
            "first_ms": started.first_ns / 1e6,
            "resident_share": started.resident_share,
        }
    else:  # a file system that lives in memory
        assert cold is None
    assert Store(tmp_path / "store").measurement(found.id).cold_start == started
    assert len(found.runs) == len(Store(tmp_path / "store").measurement(found.id).runs)  # it is no run that counts
    assert all(0 <= (run.facts.resident_before_load or 0) <= 1 for run in found.runs)


@pytest.mark.long
def test_runs_show_reports_the_cold_start(tiny_onnx: Path, tmp_path: Path) -> None:
    found = profiled(tiny_onnx, tmp_path, cold=True)
    shown = command("runs", "show", found.id, "--store", tmp_path / "store")
    assert "load, first: of a warm start" in shown.stdout


def test_a_cold_start_can_be_left_out(tiny_onnx: Path, tmp_path: Path) -> None:
    assert profiled(tiny_onnx, tmp_path, cold=False).cold_start is None


# --- a long run --------------------------------------------------------------------------------------------------


def test_a_sustained_run_is_its_own_kind_of_result(tiny_onnx: Path, tmp_path: Path) -> None:
    minutes = 0.02
    found = profiled(tiny_onnx, tmp_path, plan=RunPlan(sustained_min=minutes))
    assert len(found.runs) == 1  # valid or not
    assert found.subject.workload["sustained_min"] == minutes
    assert found.sustained is not None
    (minute,) = found.sustained.minutes
    assert minute.seconds >= 60 * minutes * 0.9
    assert minute.inferences == len(found.runs[0].latencies_ns)
    assert found.sustained.first_to_last_ratio is None
    shown = command("runs", "show", found.id, "--store", tmp_path / "store", "--json", tmp_path / "shown.json")
    assert "minute by minute" in shown.stdout
    check_schema(json.loads((tmp_path / "shown.json").read_text(encoding="utf-8")), "profile")


def test_until_decided_takes_no_number_of_runs_and_needs_two_rows(tiny_onnx: Path, tmp_path: Path) -> None:
    refused = command("profile", "--until-decided", "--runs", 3)
    assert (refused.returncode, "leave --runs out" in refused.stderr) == (2, True)
    alone = command("profile", "--until-decided", "--model", tiny_onnx, "--store", tmp_path / "store")
    assert (alone.returncode, "there is only one" in alone.stderr) == (2, True)
    assert not (tmp_path / "store" / "runs").exists() or not list((tmp_path / "store" / "runs").iterdir())


@pytest.mark.parametrize("option", [("--runs", 3), ("--min-count", 5), ("--until-decided",), ("--max-duration", 5)])
def test_a_sustained_run_takes_no_other_plan(option: tuple[object, ...]) -> None:
    refused = command("profile", "--sustained", 1, *option)
    assert refused.returncode == 2
    assert f"leave {option[0]} out" in refused.stderr


# --- a rate that is searched -------------------------------------------------------------------------------------

SEARCH = Workload(scenario=Scenario.SERVER, latency_bound_ms=WIDE_MS, seq_len=8)
#: Some 10,000 queries in all: far fewer are worth too few independent ones to confirm a rate, even with none over the
#: bound.
SEARCH_PLAN = RunPlan(runs=6, min_count=1_700, min_duration_s=0)


def stored_search(store: Path) -> RateSearch:
    (path,) = (store / "searches").glob("*.json")
    return RateSearch.from_json(json.loads(path.read_text()))


@pytest.mark.long
def test_a_search_probes_and_then_measures_what_it_found(tiny_onnx: Path, tmp_path: Path) -> None:
    told: list[Event] = []
    try:
        found = profiled(tiny_onnx, tmp_path, workload=SEARCH, plan=SEARCH_PLAN, on_event=told.append)
    except NotValid as busy:  # other processes stop the queries so long that no rate can be confirmed
        assert busy.hint == "raise `min_count`"
        kept = stored_search(tmp_path / "store")
        assert (kept.qps, kept.candidate(), kept.next_rate()) == (None, None, None)
        assert kept.times_lowered and not kept.probes[-1].over_bound
        return
    search = found.find_qps
    assert search is not None
    assert search.next_rate() is None
    assert all(probe.queries >= 662 for probe in search.probes)
    assert all(0 < probe.queries_per_s < search.limit_qps for probe in search.probes)
    rate = found.subject.workload["queries_per_s"]
    assert rate == pytest.approx(search.candidate())
    if found.valid:  # on a machine that is busy with other things it need not be
        assert search.qps == rate
        assert search.probes[-1].runs >= 6
    assert sum(": probe: " in event.text for event in told if isinstance(event, LogMessage)) == sum(
        not probe.runs for probe in search.probes
    )

    stored = Store(tmp_path / "store").measurement(found.id)
    assert stored.find_qps == search
    again = resume(found.subject.session, store=Store(tmp_path / "store"))
    assert [each.id for each in again] == [found.id]
    shown = command("runs", "show", found.id, "--store", tmp_path / "store")
    assert "searching queries/s" in shown.stdout


# About a minute: the estimate before the search is what is tested, and what is left when the budget ends.
@pytest.mark.long
def test_a_search_whose_budget_ends_keeps_what_it_found_and_goes_on(tiny_onnx: Path, tmp_path: Path) -> None:
    told: list[Event] = []
    confirm = replace(SEARCH_PLAN, min_count=1 << 17)  # takes far longer than the budget
    found = profiled(tiny_onnx, tmp_path, workload=SEARCH, plan=confirm, budget_s=60, on_event=told.append)
    texts = [event.text for event in told if isinstance(event, LogMessage)]
    first_probe = next(at for at, text in enumerate(texts) if ": probe: " in text)
    estimates = [at for at, text in enumerate(texts) if "the search takes about " in text]
    assert estimates and estimates[0] < first_probe
    assert "the budget leaves " in texts[estimates[0]]
    assert " left" in texts[first_probe]
    search = found.find_qps
    assert search is not None
    assert search.out_of_time and search.qps is None and search.probes
    assert not found.valid
    assert "no rate is confirmed yet" in [reason.text for reason in found.reasons]
    assert any(f"edgebench runs resume {found.subject.session}" in text for text in texts)
    check_schema(measurements_to_json([found]), "profile")

    store = Store(tmp_path / "store")
    (again,) = resume(found.subject.session, store=store)
    assert again.find_qps is not None
    assert again.find_qps.probes[: len(search.probes)] == search.probes


def test_a_budget_that_does_not_hold_the_first_part_of_a_search_is_refused(tiny_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"662 queries one at a time, takes .*; all of it about .*; try `budget_s="):
        profiled(tiny_onnx, tmp_path, workload=SEARCH, plan=SEARCH_PLAN, budget_s=1)


def test_a_bound_below_what_a_query_takes_is_one_line(tiny_onnx: Path, tmp_path: Path) -> None:
    tight = replace(SEARCH, latency_bound_ms=0.0001)
    with pytest.raises(NotValid, match=r"no rate keeps p99 under 0.0001 ms: a query takes .* if no query waits; raise"):
        profiled(tiny_onnx, tmp_path, workload=tight, plan=SEARCH_PLAN)


@pytest.mark.long
def test_a_search_that_was_interrupted_goes_on(tiny_onnx: Path, tmp_path: Path) -> None:
    class Interrupt:
        session = ""

        def __call__(self, event: Event) -> None:
            self.session = getattr(event, "session", self.session)
            if isinstance(event, LogMessage) and ": probe: " in event.text:
                raise KeyboardInterrupt

    interrupt = Interrupt()
    with pytest.raises(KeyboardInterrupt):
        profiled(tiny_onnx, tmp_path, workload=SEARCH, plan=SEARCH_PLAN, on_event=interrupt)
    store = Store(tmp_path / "store")
    kept = stored_search(tmp_path / "store")
    assert len(kept.probes) == 1
    told: list[Event] = []
    with suppress(NotValid):  # a machine that is busy with other things need not confirm a rate
        resume(interrupt.session, store=store, on_event=told.append)
    assert any("resuming the search" in event.text for event in told if isinstance(event, LogMessage))
    found = stored_search(tmp_path / "store")
    assert found.next_rate() is None and any(probe.runs for probe in found.probes)
    assert found.service_ms == kept.service_ms
    assert found.probes[: len(kept.probes)] == kept.probes
