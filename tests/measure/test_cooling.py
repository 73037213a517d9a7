"""Cooling down before a run."""

from __future__ import annotations

import pytest

from edgebench.events import Cooling, Event, LogMessage
from edgebench.measure.cooling import CoolDown
from edgebench.testing import SimulatedBoard


def cool_down(board: SimulatedBoard, events: list[Event], **settings: int | float | None) -> CoolDown:
    values = {"below_mc": 60_000, "most_s": 600.0} | settings
    return CoolDown(
        read=board.temperatures,
        sleep=board.rest,
        clock=lambda: board.now_s,
        on_event=events.append,
        **values,  # type: ignore[arg-type]
    )


@pytest.fixture
def events() -> list[Event]:
    return []


def worked(seconds: float) -> SimulatedBoard:
    """A board that has worked for so long: from 45 °C towards 72 °C, and back once it rests."""
    board = SimulatedBoard(seed=1)
    board.work(seconds)
    return board


def test_a_cool_board_starts_at_once(events: list[Event]) -> None:
    assert cool_down(worked(0), events).wait() == {
        "cool_down": {"target_mc": 60_000, "started_mc": 45_000, "waited_ms": 0}
    }
    assert events == []


def test_a_hot_board_is_waited_for_until_it_is_cool_enough(events: list[Event]) -> None:
    board = worked(0)
    waiting = cool_down(board, events)
    waiting.wait()
    board.work(600)
    (hot,) = board.temperatures().values()
    kept = waiting.wait()["cool_down"]
    assert kept["started_mc"] <= 60_000 < hot
    assert kept["waited_ms"] > 0
    first = events[0]
    assert isinstance(first, Cooling)
    assert (first.target_mc, first.waited_s) == (60_000, 0.0)


def test_a_board_that_idles_warmer_starts_each_run_as_warm_as_the_first(events: list[Event]) -> None:
    board = worked(600)
    waiting = cool_down(board, events)
    first = waiting.wait()["cool_down"]
    assert (first["waited_ms"], first["target_mc"]) == (0, first["started_mc"] + 2_000)


def test_what_a_person_asks_for_is_kept_to(events: list[Event]) -> None:
    kept = cool_down(worked(600), events, below_mc=None, requested_mc=50_000).wait()["cool_down"]
    assert kept["started_mc"] <= kept["target_mc"] == 50_000


def test_a_board_that_does_not_cool_down_is_not_waited_for_for_ever(events: list[Event]) -> None:
    kept = cool_down(worked(600), events, requested_mc=20_000, most_s=30.0).wait()["cool_down"]
    assert kept["waited_ms"] == 30_000
    assert kept["started_mc"] > 20_000
    last = events[-1]
    assert isinstance(last, LogMessage)
    assert last.text.startswith("the board did not cool down to 20 °C in 30 s; a run begins at ")


def test_a_budget_bounds_the_wait(events: list[Event]) -> None:
    waiting = cool_down(worked(600), events, requested_mc=20_000)
    assert waiting.wait(at_most_s=4.0)["cool_down"]["waited_ms"] == 4_000
    assert waiting.wait(at_most_s=-1.0)["cool_down"]["waited_ms"] == 0


def test_without_a_temperature_nothing_is_waited_for(events: list[Event]) -> None:
    blind = CoolDown(read=dict, below_mc=60_000, on_event=events.append)
    assert blind.wait() == {} and events == []
    requested = CoolDown(read=dict, below_mc=None, requested_mc=50_000, on_event=events.append)
    assert [requested.wait(), requested.wait()] == [{}, {}]
    assert len(events) == 1


def test_a_profile_without_a_temperature_waits_for_nothing(events: list[Event]) -> None:
    assert cool_down(worked(600), events, below_mc=None).wait() == {}
