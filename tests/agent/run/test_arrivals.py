"""The scenarios on the board: when queries arrive, from when on a latency counts, and how a process starts cold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, islice, pairwise
from random import Random
from typing import Any

import pytest

from edgebench_agent.protocol import Done, Failed, Latencies
from edgebench_agent.run.loops import gaps_ns
from tests.agent.agent_board import SECOND, AgentBoard, of, wait_until


def columns(messages: Sequence[Any]) -> tuple[list[int], list[int], list[int]]:
    """Return the starts, latencies and items of all timed inferences."""
    blocks = [block for block in of(Latencies, messages) if not block.warmup]
    return (
        [start for block in blocks for start in block.start_ns],
        [latency for block in blocks for latency in block.latency_ns],
        [item for block in blocks for item in block.items],
    )


def server(**changes: Any) -> dict[str, Any]:
    return {"scenario": "server", "rate_mhz": 200_000, "seed": 7, "min_count": 200, **changes}


# --- arrivals ----------------------------------------------------------------------------------------------------


def test_gaps_between_arrivals_are_exponential_with_the_rates_mean() -> None:
    count, mean_ns = 20_000, 5_000_000
    gaps = list(islice(gaps_ns(200_000, 1), count))
    off = 5 / math.sqrt(count)  # the standard deviation of an exponential is its mean; five standard errors
    assert sum(gaps) / count == pytest.approx(mean_ns, rel=off)
    for times in (0.5, 1, 2):  # P[gap > t] = exp(-t / mean)
        assert sum(gap > times * mean_ns for gap in gaps) / count == pytest.approx(math.exp(-times), abs=off)


@pytest.mark.slow
def test_queries_arrive_as_the_seed_says_however_fast_they_are_served(board: AgentBoard, tiny_model: bytes) -> None:
    random = Random(7)
    drawn = [round(random.expovariate(200 / 1e9)) for _ in range(200)]
    expected = [*accumulate(drawn[1:])]
    for spec in (board.spec(**server()), board.model_spec(tiny_model, [64] * 8, batch=8, **server())):
        arrivals, _, _ = columns(board.run(spec))
        assert [arrival - arrivals[0] for arrival in arrivals[1:]] == expected


def test_other_seeds_give_other_arrivals() -> None:
    assert list(islice(gaps_ns(1000, 1), 5)) != list(islice(gaps_ns(1000, 2), 5))


def test_latency_counts_from_the_arrival_waiting_included(board: AgentBoard, tiny_model: bytes) -> None:
    """A million queries a second can't be served: each waits for those before it, and the wait grows."""
    messages = board.run(board.model_spec(tiny_model, [3, 4], **server(rate_mhz=1_000_000_000, min_count=2_000)))
    arrivals, latencies, items = columns(messages)
    assert items == [position % 2 for position in range(2_000)]
    ends = [arrival + latency for arrival, latency in zip(arrivals, latencies, strict=True)]
    assert all(end <= later for end, later in pairwise(ends))  # first come, first served
    assert latencies[0] < latencies[999] < latencies[1999]
    done = messages[-1]
    assert isinstance(done, Done)
    assert (done.count, done.duration_ns) == (2_000, ends[-1] - arrivals[0])


@pytest.mark.slow
def test_no_query_is_served_before_it_arrives(board: AgentBoard) -> None:
    _, latencies, _ = columns(board.run(board.spec(**server())))
    assert min(latencies) > 0


def test_warm_up_does_not_wait_for_queries(board: AgentBoard) -> None:
    messages = board.run(board.spec(**server(rate_mhz=20_000, min_count=2)))
    assert sum(len(block.items) for block in of(Latencies, messages) if block.warmup) > 100


def test_a_server_without_a_rate_is_refused(board: AgentBoard) -> None:
    failed = board.run(board.spec(scenario="server"))[-1]
    assert isinstance(failed, Failed)
    assert failed.kind == "bad_request"


def test_a_server_that_waits_for_a_query_can_be_stopped(board: AgentBoard) -> None:
    spec = board.spec(**server(rate_mhz=1))  # the first query comes in a quarter of an hour
    board.launch_well(spec)
    folder = board.home / "runs" / spec.run_id
    wait_until(lambda: b'"name":"measuring"' in (folder / "journal.ndjson").read_bytes())
    (folder / "stop").touch()
    failed = board.journal(spec.run_id)[-1].message
    assert isinstance(failed, Failed)
    assert failed.kind == "interrupted"


# --- batches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["multi-stream", "offline"])
def test_a_latency_is_that_of_a_batch_a_short_last_one_too(board: AgentBoard, tiny_model: bytes, scenario: str) -> None:
    spec = board.model_spec(tiny_model, [3, 4, 5, 6, 7], batch=2, scenario=scenario, min_count=10)
    messages = board.run(spec)
    starts, latencies, items = columns(messages)
    assert items == [position % 3 for position in range(12)]
    assert all(start + latency <= later for start, latency, later in zip(starts, latencies, starts[1:], strict=False))


# --- long runs ---------------------------------------------------------------------------------------------------


def test_a_run_may_be_asked_for_more_inferences_than_others_are(board: AgentBoard) -> None:
    done = board.run(
        board.spec(min_count=1, min_duration_ns=600 * SECOND, most_count=1000, max_duration_ns=601 * SECOND)
    )
    assert done[-1].count == 1000
