"""The display while a session goes on."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgebench.cli.live import LiveDisplay
from edgebench.events import Ended, LogMessage, Planned, Running
from tests.sample_runs import MS, run, subject, trace

OF = subject()


def ended(number: int) -> Ended:
    return Ended(OF, run(OF, number, trace([MS])))


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def display(out: io.StringIO) -> LiveDisplay:
    return LiveDisplay(Console(file=out, force_terminal=True, width=120, color_system=None))


def bars(out: io.StringIO) -> list[tuple[int, int]]:
    """Return the counts that the bar showed, `done of total`."""
    import re

    found = [(int(done), int(total)) for done, total in re.findall(r"(\d+)/(\d+)", out.getvalue())]
    return list(dict.fromkeys(found))


def test_the_bar_counts_what_is_planned_and_makes_room_for_repeats(display: LiveDisplay, out: io.StringIO) -> None:
    with display:
        display("", Planned("a-session", (OF,), 2, 1.0, 2.0))
        for number in (1, 2):
            display("", Running(OF, number, 6, "measuring", 1, MS, None))
            display("", ended(number))
            display._live.refresh()
        display("", LogMessage("repeating"))
        display("", Running(OF, 7, 6, "measuring", 1, MS, None))
        display._live.refresh()
        display("", ended(3))
        display._live.refresh()
    assert bars(out)[-2:] == [(2, 3), (3, 3)]
    assert all(done <= total for done, total in bars(out))
    assert "run 7 of 7" in out.getvalue()


def test_a_second_session_begins_at_zero(display: LiveDisplay, out: io.StringIO) -> None:
    with display:
        for name in ("one", "two"):
            display("", Planned(name, (OF,), 1, 1.0, 2.0))
            display._live.refresh()
            display("", ended(1))
            display._live.refresh()
    assert bars(out) == [(0, 1), (1, 1)]


def test_what_a_board_says_does_nothing_to_the_terminal(display: LiveDisplay, out: io.StringIO) -> None:
    display("", LogMessage("pi4 is busy: [red]\x1b]0;title\x07 :smile:"))
    assert out.getvalue() == "pi4 is busy: [red] ]0;title :smile:\n"


def test_of_several_boards_each_has_its_name_bar_and_line(out: io.StringIO) -> None:
    display = LiveDisplay(Console(file=out, force_terminal=True, width=120, color_system=None), ("pi4", "orin"))
    with display:
        for board, runs in (("pi4", 2), ("orin", 3)):
            display(board, Planned("a-session", (OF,), runs, 1.0, 2.0))
        display._live.refresh()
        display("orin", ended(1))
        display("pi4", LogMessage("pi4: is hot"))
        display("pi4", Running(OF, 1, 2, "measuring", 1, MS, None))
        display._live.refresh()
    shown = out.getvalue()
    assert set(bars(out)) == {(0, 2), (0, 3), (1, 3)}
    assert "orin: xnli-multi onnx-int8 128 tok 4 threads: 1 inference," in shown
    assert "pi4: run 1 of 2" in shown
    assert "pi4: pi4" not in shown
