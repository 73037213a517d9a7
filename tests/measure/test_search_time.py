"""How long the search of a rate takes, and what a budget leaves room for; worked out by hand."""

from __future__ import annotations

import pytest

from edgebench.measure.probes.rate_finder import bracket_text
from edgebench.measure.probes.search_time import SearchTime, shown_time
from edgebench.reporting.rate_search import answer
from edgebench.stats import Probe, RateSearch
from edgebench.workload import RunPlan

PLAN = RunPlan(runs=6, min_count=1_667)
NEW = RateSearch(latency_bound_ms=300, service_ms=100)  # at most 10 a second


def probe(rate: float, holds: bool, runs: int = 0) -> Probe:
    return Probe(queries_per_s=rate, queries=1_001, over_bound=0, p99_ms=200.0, holds=holds, runs=runs)


def search(*probes: Probe, **changes: bool) -> RateSearch:
    return RateSearch(latency_bound_ms=300, service_ms=100, probes=probes, **changes)


def test_the_parts_of_a_search_take_their_queries_and_a_start_each() -> None:
    time = SearchTime(plan=PLAN, start_s=4.0)
    assert time.alone_s(0.1) == pytest.approx(4 + 66.2)
    assert time.probe_s(5) == pytest.approx(4 + 200.2)
    assert time.confirm_s(5) == pytest.approx(6 * (4 + 333.4))


def test_the_estimate_agrees_with_searches_that_were_timed() -> None:
    """With 50 ms a query some 40 minutes, with 200 ms some 2.7 hours (docs/how-to/server-load.md)."""
    for service_ms, minutes in ((50, 40), (200, 162)):
        of = RateSearch(latency_bound_ms=10 * service_ms, service_ms=service_ms)
        time = SearchTime(plan=PLAN)
        estimate = time.alone_s(service_ms / 1000) + time.estimate_s(of)
        assert estimate / 60 == pytest.approx(minutes, rel=0.15)
        assert time.most_s(of) > 2 * time.estimate_s(of)


def test_fewer_probes_are_left_the_closer_the_bracket() -> None:
    assert NEW.probes_left == 5
    assert search(probe(5, True)).probes_left == 4
    assert search(probe(5, True), probe(7.071, False)).probes_left == 3
    assert search(probe(9.8, True)).probes_left == 0
    assert search(probe(5, True), settled=True).probes_left == 0


def test_a_settled_search_confirms_what_it_has() -> None:
    settled = search(probe(5, True), settled=True)
    assert settled.next_rate() is None
    assert settled.candidate() == 5
    assert RateSearch.from_json(settled.to_json()) == settled
    older = {name: value for name, value in settled.to_json().items() if name not in ("settled", "out_of_time")}
    assert RateSearch.from_json(older).next_rate() is not None


def test_time_is_left_until_the_deadline() -> None:
    time = SearchTime(plan=PLAN, deadline_s=100.0, clock=lambda: 30.0)
    assert time.left_s() == 70
    assert SearchTime(plan=PLAN).left_s() == float("inf")
    time.learn(12.5, 10.0)
    assert time.start_s == 2.5


@pytest.mark.parametrize(("seconds", "said"), [(45, "45 s"), (720, "12 min"), (9_720, "2.7 h")])
def test_times_for_people(seconds: float, said: str) -> None:
    assert shown_time(seconds) == said


def test_the_bracket_in_words() -> None:
    assert bracket_text(NEW) == "no rate has held yet"
    assert bracket_text(search(probe(5, True))) == "5.00/s held in a probe"
    assert bracket_text(search(probe(5, True), probe(7.071, False))) == "5.00/s held in a probe, 7.07/s did not"
    said = answer(search(probe(5, True), probe(7.071, False), out_of_time=True))
    assert said.endswith("because the budget ended; 5.00/s held in a probe, 7.07/s did not")
