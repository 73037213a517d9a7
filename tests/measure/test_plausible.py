"""What a board reports is plausible, or the run ends: each rule refuses what breaks it, and lets real runs through."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from edgebench.errors import AgentError
from edgebench.measure.plausible import Plausibility
from edgebench_agent import protocol
from tests.agent.agent_board import SECOND
from tests.sample_spec import SPEC

MS = 1_000_000
#: The board's clock when its first message comes.
BEGAN = 50 * SECOND
INFER = replace(SPEC, mode="infer", min_count=1, min_duration_ns=0)
HELLO = protocol.Hello(1, "r", "0" * 64, "onnxruntime", "1.22", {}, {}, "2025-01-01T00:00:00.000")
Messages = list[tuple[int, protocol.Message]]


def latencies(start_ms: float, count: int, *, warmup: bool = False, **changes: Any) -> protocol.Latencies:
    """Return back-to-back inferences of 10 ms that begin so many milliseconds after BEGAN."""
    columns: dict[str, Any] = {
        "start_ns": [BEGAN + round((start_ms + 10 * at) * MS) for at in range(count)],
        "latency_ns": [10 * MS - 1000] * count,
        "items": [0] * count if warmup else [at % 2 for at in range(count)],
    }
    return protocol.Latencies(warmup=warmup, **{**columns, **changes})


def messages(timed: protocol.Latencies | None = None, *, count: int = 4, duration_ns: int | None = None) -> Messages:
    """Return a run: milliseconds after BEGAN, and what was sent then."""
    timed = timed or latencies(500, count)
    ended = timed.start_ns[-1] + timed.latency_ns[-1] - timed.start_ns[0] if timed.start_ns else 0
    return [
        (0, HELLO),
        (1, protocol.Phase("loading")),
        (200, protocol.Loaded(100 * MS, [], {}, [], ["logits"])),
        (200, protocol.Phase("first")),
        (230, protocol.First(20 * MS)),
        (240, protocol.Phase("warmup")),
        (300, latencies(250, 3, warmup=True)),
        (490, protocol.WarmedUp(True, 3)),
        (495, protocol.Phase("measuring")),
        (900, timed),
        (901, protocol.Phase("finishing")),
        (910, protocol.Done(len(timed.start_ns), ended if duration_ns is None else duration_ns)),
    ]


def check(sent: Iterable[tuple[int, protocol.Message]], spec: protocol.RunSpec = SPEC) -> None:
    plausibility = Plausibility(spec, name="board")
    for seq, (at_ms, message) in enumerate(sent):
        plausibility.check(protocol.Entry(seq, BEGAN + at_ms * MS, message))


def test_a_run_as_the_agent_makes_it_is_plausible() -> None:
    check(messages())
    check(messages(latencies(500, 6)), replace(SPEC, min_duration_ns=55 * MS))
    check(messages(latencies(500, 3), count=3), replace(SPEC, max_duration_ns=100 * MS))  # the longest time ended it
    check([(0, protocol.Failed("runtime_missing", "no runtime"))])


def without(kind: type) -> Callable[[Messages], Messages]:
    return lambda sent: [each for each in sent if not isinstance(each[1], kind)]


def timed(**changes: Any) -> Callable[[Messages], Messages]:
    return lambda _: messages(latencies(500, 4, **changes))


def at(position: int, at_ms: int) -> Callable[[Messages], Messages]:
    return lambda sent: [(at_ms if here == position else when, it) for here, (when, it) in enumerate(sent)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without(protocol.Hello), "does not begin with hello"),
        (lambda sent: [(0, replace(HELLO, runtime="busy")), *sent[1:]], "runtime"),
        (lambda sent: [sent[0], *sent], "second message"),
        (lambda sent: [*sent[:4], sent[2], *sent[4:]], "second message"),
        (lambda sent: [*sent[:2], (2, protocol.Phase("loading")), *sent[2:]], "phase"),
        (at(3, 100), "clock goes backwards"),
        (at(11, 3_600_000), "more time has passed"),
        (timed(latency_ns=[(1 << 63) - 1] * 4), "overlap|within the time"),
        (timed(latency_ns=[0] * 4), "too coarse"),
        (timed(latency_ns=[999] * 4), "too coarse"),
        (timed(start_ns=[BEGAN + ms * MS for ms in (500, 520, 510, 530)]), "overlap"),
        (timed(start_ns=[BEGAN + 500 * MS] * 4), "overlap"),
        (timed(start_ns=[BEGAN + ms * MS for ms in (100, 110, 120, 130)]), "overlap"),  # before warm-up
        (timed(start_ns=[BEGAN + ms * MS for ms in (860, 870, 880, 895)]), "within the time"),
        (timed(items=[0, 0, 0, 0]), "other inputs"),
        (timed(start_ns=[], latency_ns=[], items=[]), "there are none"),
        (lambda _: messages(latencies(500, 40)), "40 inferences, more than requested"),
        (lambda _: messages(duration_ns=1), "span others"),
        (lambda _: messages(latencies(500, 3)), "of at least 4"),
        (lambda sent: [*sent[:7], (490, protocol.WarmedUp(True, 9)), *sent[8:]], "warm-up had 9 inferences, and 3"),
        (lambda sent: [*sent[:2], (3, protocol.Loaded(SECOND, [], {}, [], [])), *sent[3:]], "loading took"),
        (lambda sent: [*sent[:4], (205, protocol.First(SECOND)), *sent[5:]], "first inference took"),
        (lambda sent: [*sent[:9], (600, latencies(500, 4)), (601, latencies(550, 1, warmup=True))], "warms up after"),
        (lambda sent: [*sent[:1], *[(2, protocol.Readings({"rss_bytes": 1}))] * 1100], "sensor more often"),
        (lambda sent: [*sent[:1], *[(2, protocol.Operators(1, 1, [], [], [], [], []))] * 65], "operators"),
        (lambda sent: [*sent[:10], (902, protocol.Outputs("0" * 64, 9, ["logits"], 2))], "were not requested"),
    ],
)
def test_what_can_not_be_is_refused(change: Callable[[Messages], Messages], message: str) -> None:
    with pytest.raises(AgentError, match=rf"board: run r reports what can't be: .*({message})"):
        check(change(messages()))


def test_a_run_that_is_shorter_than_requested_is_refused() -> None:
    with pytest.raises(AgentError, match="measured for less than the 30 s"):
        check(messages(), replace(SPEC, min_duration_ns=30 * SECOND, max_duration_ns=60 * SECOND))
    long = replace(SPEC, min_duration_ns=380 * MS)  # the phases last as long as requested, its inferences do not
    with pytest.raises(AgentError, match="measured for less than"):
        check(messages(), replace(long, min_duration_ns=400 * MS))


def test_infer_runs_each_input_once_in_order() -> None:
    def without_warmup(sent: Messages) -> Messages:
        return [*sent[:6], *sent[8:]]

    check(without_warmup(messages(latencies(500, 2))), INFER)
    for items in ([0], [0, 1, 0], [1, 0], [0, 0]):
        block = latencies(500, len(items), items=items)
        with pytest.raises(AgentError, match=r"other inputs|more than requested|of 2 batches"):
            check(without_warmup(messages(block)), INFER)


@pytest.mark.parametrize("mode", ["load", "idle", "operators"])
def test_no_inference_is_taken_where_none_was_requested(mode: str) -> None:
    with pytest.raises(AgentError, match="more than"):
        check(messages(), replace(SPEC, mode=mode))


def test_a_servers_queries_may_wait_for_each_other() -> None:
    starts = [BEGAN + ms * MS for ms in (500, 501, 502, 503)]
    waited = latencies(500, 4, start_ns=starts, latency_ns=[10 * MS * at for at in range(1, 5)])
    server = replace(SPEC, scenario="server", rate_mhz=1_000_000)
    check(messages(waited), server)
    with pytest.raises(AgentError, match="overlap"):
        check(messages(waited))
    ended_before = replace(waited, latency_ns=[40 * MS, 10 * MS, 10 * MS, 10 * MS])
    with pytest.raises(AgentError, match="out of order"):
        check(messages(ended_before), server)


def test_models_that_alternate_do_not_overlap() -> None:
    part = {name: getattr(SPEC, name) for name in ("files", "inputs_sha256", "lengths", "pad_token_id")}
    spec = replace(SPEC, beside=[part])
    first = latencies(500, 4, start_ns=[BEGAN + (500 + 20 * at) * MS for at in range(4)])

    def run(second_ms: int) -> Messages:
        second = replace(first, start_ns=[each + second_ms * MS for each in first.start_ns], model=1)
        sent = without(protocol.First)(without(protocol.Loaded)(messages()))
        sent = [each for each in sent if not isinstance(each[1], protocol.Latencies | protocol.WarmedUp)]
        duration = second.start_ns[-1] + second.latency_ns[-1] - first.start_ns[0]
        return [*sent[:-2], (900, first), (900, second), sent[-2], (910, protocol.Done(4, duration))]

    check(run(10), spec)
    with pytest.raises(AgentError, match="alternate overlap"):
        check(run(5), spec)


def test_memory_is_bounded_for_a_board_that_never_ends() -> None:
    plausibility = Plausibility(replace(SPEC, min_duration_ns=600 * SECOND, max_duration_ns=900 * SECOND), name="board")
    plausibility.check(protocol.Entry(0, BEGAN, HELLO))
    with pytest.raises(AgentError, match="more than requested"):
        for block in range(1000):
            start_ns = [BEGAN + (4096 * block + at) * 1001 for at in range(4096)]
            sent = latencies(0, 4096, start_ns=start_ns, latency_ns=[1000] * 4096)
            plausibility.check(protocol.Entry(block + 1, start_ns[-1] + 2000, sent))
    assert block <= (1 << 18) // 4096 + 1
