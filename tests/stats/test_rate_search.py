"""The search of a server's rate: what is probed next, and when a bound holds; worked out apart from the code."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edgebench.analysis import summarise
from edgebench.device import find_device
from edgebench.errors import ConfigError, StoreError
from edgebench.measurement import measurements_to_json
from edgebench.reporting.rate_search import answer, search_tables
from edgebench.request import Request
from edgebench.stats import MINIMUM_COUNTS, Probe, RateSearch, percentile_bound_holds
from edgebench.store import Store
from edgebench.workload import RunPlan, Scenario, Workload
from tests.sample_runs import MS, run, subject, trace

NEW = RateSearch(latency_bound_ms=30, service_ms=10)  # at most 100 a second


def probe(rate: float, holds: bool, *, runs: int = 0, reasons: tuple[str, ...] = ()) -> Probe:
    over = 1 if holds else 40
    return Probe(
        queries_per_s=rate, queries=1001, over_bound=over, p99_ms=28.0, holds=holds, runs=runs, reasons=reasons
    )


def searched(true_rate: float, search: RateSearch = NEW) -> RateSearch:
    """Carry a search out on a server that holds its bound up to this rate."""
    while (rate := search.next_rate()) is not None:
        search = with_probes(search, probe(rate, rate <= true_rate))
    return search


def with_probes(search: RateSearch, *probes: Probe) -> RateSearch:
    return RateSearch(
        latency_bound_ms=search.latency_bound_ms, service_ms=search.service_ms, probes=(*search.probes, *probes)
    )


# --- what holds --------------------------------------------------------------------------------------------------


def binomial_tail(count: int, over: int, share: float) -> float:
    return sum(math.comb(count, at) * share**at * (1 - share) ** (count - at) for at in range(over + 1))


@pytest.mark.parametrize(("count", "over"), [(458, 0), (459, 0), (661, 1), (662, 1), (1001, 3), (1001, 4), (3972, 25)])
def test_a_bound_holds_where_so_few_would_be_over_it_in_one_case_of_a_hundred(count: int, over: int) -> None:
    assert percentile_bound_holds(count, over) == (binomial_tail(count, over, 0.01) <= 0.01)


def test_the_bound_of_a_percentile_needs_its_minimum_count_with_one_over() -> None:
    for quantile, count in MINIMUM_COUNTS.items():
        if quantile > 0.5:
            assert percentile_bound_holds(count, 1, quantile=quantile)
            assert not percentile_bound_holds(count - 1, 1, quantile=quantile)


def test_nothing_measured_holds_nothing() -> None:
    assert not percentile_bound_holds(0, 0)


# --- what is probed next -----------------------------------------------------------------------------------------


def test_the_search_begins_at_half_of_what_a_server_can_do() -> None:
    assert NEW.limit_qps == 100
    assert NEW.next_rate() == 50


@given(st.floats(1.6, 99.9))
def test_the_rate_is_found_within_the_resolution_and_never_too_high(true_rate: float) -> None:
    found = searched(true_rate).candidate()
    assert found is not None
    assert found <= true_rate <= found * 1.05


def test_a_search_takes_few_probes() -> None:
    assert len(searched(60).probes) == 5  # 50, then the halves of log(100 / 50) down to log(1.05)
    assert len(searched(3).probes) == 10  # 50, 25, 12.5, 6.25, 3.125 and 1.5625, then again four halves


def test_a_bound_that_no_rate_keeps_ends_the_search() -> None:
    search = searched(0.0)
    assert search.candidate() is None
    assert [each.queries_per_s for each in search.probes] == [50, 25, 12.5, 6.25, 3.125, 1.562]


def test_a_probe_that_was_disturbed_is_made_again_and_then_believed() -> None:
    once = with_probes(NEW, probe(50, False, reasons=("other processes used more than 0.5 cores",)))
    assert once.next_rate() == 50
    assert with_probes(once, probe(50, True)).next_rate() == 70.71  # the root of 50 * 100
    again = with_probes(once, probe(50, False, reasons=("the clock was too low",)))
    assert again.next_rate() == 25


def test_runs_that_do_not_confirm_a_rate_lower_it() -> None:
    search = searched(60)
    first = search.candidate()
    assert first is not None
    assert search.qps is None
    lowered = with_probes(search, probe(first, False, runs=6))
    assert lowered.next_rate() is None  # nothing is searched again
    assert lowered.candidate() == pytest.approx(first / 1.1, rel=1e-3)
    confirmed = with_probes(lowered, probe(first / 1.1, True, runs=6))
    assert confirmed.qps == first / 1.1
    assert with_probes(search, *[probe(first, False, runs=6)] * 6).candidate() is None


def test_a_search_goes_on_from_the_probes_that_were_kept() -> None:
    whole = searched(42)
    for kept in range(len(whole.probes)):
        assert searched(42, with_probes(NEW, *whole.probes[:kept])) == whole


# --- how it is kept and shown ------------------------------------------------------------------------------------

FOUND = with_probes(searched(60), probe(59.5, True, runs=6))
OF = subject(planned_runs=1, label="128 tok server 59.5/s")


def test_a_store_gives_a_search_back_with_its_measurement(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.add_run(OF, run(OF, 0, trace([MS] * 10)))
    assert store.measurement(OF.id).find_qps is None
    store.write_search(OF.id, FOUND)
    assert store.measurement(OF.id).find_qps == FOUND
    assert store.search(OF.id + ".1") == FOUND  # of the runs at a lower rate, too
    (document,) = measurements_to_json(store.measurements())["measurements"]
    told = document["find_qps"]
    assert (told["latency_bound_ms"], told["qps"], told["percentile"]) == (30, 59.5, 99)
    assert set(told["probes"][0]) >= {"queries_per_s", "queries", "over_bound", "p99_ms", "holds"}
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize("damage", [lambda _: "{}", lambda text: text[:-20], lambda text: text.replace("probes", "p")])
def test_a_damaged_search_is_one_clear_line(tmp_path: Path, damage: Callable[[str], str]) -> None:
    store = Store(tmp_path / "store")
    store.write_search(OF.id, FOUND)
    path = tmp_path / "store" / "searches" / f"{OF.id}.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(StoreError, match=r"searches/.*is damaged"):
        store.search(OF.id)


def shown(search: RateSearch | None) -> str:
    from dataclasses import replace

    console = Console(file=io.StringIO(), width=120)
    for part in search_tables(replace(summarise(OF, [run(OF, 0, trace([MS] * 10))]), find_qps=search)):
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_table_shows_every_probe_and_the_answer() -> None:
    text = shown(FOUND)
    assert "searching queries/s with p99 <= 30 ms" in text
    assert text.count("a probe") == 5
    assert "highest rate confirmed with p99 within 30 ms of a query's arrival: 59.5/s; confirmed" in " ".join(
        text.split()
    )
    assert "confirmed at 99 % confidence by 6 runs, in which 1 of 1,001 queries took longer" in " ".join(text.split())
    assert shown(None) == ""


def test_a_search_without_an_end_says_so() -> None:
    none = "no rate is confirmed that keeps p99 within 30 ms of a query's arrival"
    assert answer(searched(60)) == f"{none}; 59.5/s held in a probe, 62.1/s did not"


# --- requests ----------------------------------------------------------------------------------------------------

SEARCH = Workload(scenario=Scenario.SERVER, latency_bound_ms=30)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plan": RunPlan(runs=5, min_count=2000)}, "confirmed by 6 runs or more, because runs differ; got 5"),
        ({"plan": RunPlan(runs=6, min_count=110)}, "p99 needs 662 queries, 6 runs of 110 have 660"),
        ({"plan": RunPlan(sustained_min=5)}, "p99 needs 662 queries, 1 run of 1 have 1"),
        ({"plan": RunPlan(min_count=662), "until_decided": True}, "not both"),
    ],
)
def test_a_search_that_can_not_end_well_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Request(device=find_device("local"), workloads=(SEARCH,), **changes)  # type: ignore[arg-type]
    assert message in str(caught.value)
