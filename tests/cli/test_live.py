"""The display while a session goes on."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgebench.cli.live import LiveDisplay
from edgebench.events import Answering, Ended, LogMessage, Planned, Running
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


def test_an_evaluation_shows_how_far_it_is(display: LiveDisplay, out: io.StringIO) -> None:
    with display:
        for done, left_s in ((0, None), (1200, 130.0)):
            display("", Answering("xnli sw", done, 5010, "loading" if not done else "measuring", 51200, left_s))
            display._live.refresh()
    assert "load · 51.2 °C · xnli sw" in out.getvalue()
    assert "1,200 of 5,010 · 51.2 °C · about 2 min left · xnli sw" in out.getvalue()


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
    assert "pi4: timing · p50 so far 1.00 ms · 1 inference · run 1 of 2" in shown
    assert "pi4: pi4" not in shown


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def shown_after(out: io.StringIO, display: LiveDisplay) -> str:
    out.seek(0)
    out.truncate()
    display._live.refresh()
    return out.getvalue()


def test_the_remaining_time_is_counted_down_and_never_made_up(out: io.StringIO) -> None:
    clock = Clock()
    display = LiveDisplay(Console(file=out, force_terminal=True, width=120, color_system=None), clock=clock)
    with display:
        display("", Planned("a-session", (OF,), 3, 200.0, 200.0))
        assert "about 3 min left" in shown_after(out, display)
        clock.now_s += 150
        assert "about 50 s left" in shown_after(out, display)
        clock.now_s += 60
        assert "longer than estimated" in shown_after(out, display)
        display("", Ended(OF, run(OF, 1, trace([MS])), 80.0))
        assert "about 80 s left" in shown_after(out, display)
        display("", ended(2))  # how long the last one takes is not known
        shown = shown_after(out, display)
        assert "left" not in shown and "estimated" not in shown
        display("", Ended(OF, run(OF, 3, trace([MS])), 0.0))
        assert "left" not in shown_after(out, display)


@pytest.mark.parametrize(
    ("phase", "name"),
    [("loading", "load"), ("warmup", "warm-up"), ("measuring", "timing"), ("finishing", "fetch"), ("other", "other")],
)
def test_the_line_has_the_phase_and_the_temperature_first_and_ends_with_the_terminal(
    out: io.StringIO, phase: str, name: str
) -> None:
    display = LiveDisplay(Console(file=out, force_terminal=True, width=40, color_system=None))
    with display:
        display("", Planned("a-session", (OF,), 3, None, None))
        display("", Running(OF, 1, 3, phase, 1200, 12_345_678, 61_300))
        shown = shown_after(out, display)
    line = next(each for each in shown.splitlines() if "°C" in each)
    text = line.rpartition("\x1b[2K")[2]
    assert text.startswith(f"{name} · 61.3 °C · p50 so far 12.3 ms")
    assert len(text) <= 40


def test_many_runs_have_few_lines_where_nothing_is_live(out: io.StringIO) -> None:
    display = LiveDisplay(Console(file=out, width=200, color_system=None))
    with display:
        display("", Planned("a-session", (OF,), 540, 5400.0, 5400.0))
        for number in range(540):
            display("", Ended(OF, run(OF, number, trace([MS])), 10.0 * (539 - number)))
            display("", Running(OF, 1, 6, "measuring", 1, MS, 50_000))
    lines = out.getvalue().splitlines()
    assert len(lines) == 21
    assert lines[0].endswith("about 1.5 h")
    assert lines[1] == "27 of 540 runs, about 86 min left"
    assert lines[-1] == "540 of 540 runs"


def test_a_run_that_is_not_valid_always_has_a_line(out: io.StringIO) -> None:
    display = LiveDisplay(Console(file=out, width=200, color_system=None))
    display("", Planned("a-session", (OF,), 540, None, None))
    bad = run(OF, 1, trace([MS]), reasons=("under-voltage during the run",))
    display("", Ended(OF, bad))
    assert "not valid: under-voltage during the run" in out.getvalue()


def test_force_color_colours_a_file_but_does_not_move_its_cursor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgebench.cli.output import progress_console

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = progress_console()
    assert console.is_terminal
    with LiveDisplay(console) as display:
        display("", Planned("a-session", (OF,), 2, 1.0, 1.0))
        display("", ended(1))
    shown = capsys.readouterr().err
    assert "1 inference" in shown
    assert "\x1b[2K" not in shown and "\x1b[?25l" not in shown
