"""The progress display: live in a terminal, else a line per run, or for every twentieth part of many runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from edgebench.cli.hints import as_options
from edgebench.events import Answering, Cooling, Ended, Event, LogMessage, Planned, Pushing, Running, Waiting
from edgebench.reason import State, joined
from edgebench.text import counted, printable, significant

_MS = 1e6
_MANY_RUNS = 40  # from which on valid runs have no line of their own
_PARTS = 20  # lines of progress that stand for them
#: What a run does, as people call it; another phase has its own name.
_PHASES = {
    "starting": "start",
    "loading": "load",
    "first": "first inference",
    "warmup": "warm-up",
    "idle": "idle",
    "measuring": "timing",
    "finishing": "fetch",
}


class LiveDisplay:
    """Shows the events of sessions: one bar and one line per board, with names if there are several boards."""

    def __init__(
        self, console: Console, boards: Sequence[str] = ("",), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Make the display; `clock`: seconds, from which the remaining time is counted down."""
        self._progress = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), _TimeLeft(clock)
        )
        # FORCE_COLOR makes a file look like a terminal to rich; a display that moves the cursor has no place in it.
        is_live = console.is_interactive and not console.is_dumb_terminal and not console.quiet
        self._boards = {
            name: _Board(console, self._progress, f"{name}: " if len(boards) > 1 else "", clock, is_live=is_live)
            for name in boards
        }
        lines = [_OneLine(board.now) for board in self._boards.values()]
        self._live = Live(Group(self._progress, *lines), console=console, transient=True, refresh_per_second=2)
        self._is_live = is_live

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._live.stop()

    def __call__(self, board: str, event: Event) -> None:
        """Show one event of a board's session."""
        self._boards[board].show(event)


class _TimeLeft(ProgressColumn):
    """The remaining time of a task, counted down since it was estimated; nothing where it is not known."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock

    def render(self, task: Task) -> Text:
        estimated_s, at_s = task.fields["left_s"], task.fields["at_s"]
        if estimated_s is None or (task.total is not None and task.completed >= task.total):
            return Text()
        left_s = estimated_s - (self._clock() - at_s)
        return Text(f"about {_duration(left_s)} left" if left_s > 1 else "longer than estimated" if left_s < -1 else "")


class _OneLine:
    """The status line of a board, cut where the terminal ends: two lines that become one would flicker."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = self._text.copy()
        text.truncate(options.max_width, overflow="crop" if options.ascii_only else "ellipsis")
        yield text


class _Board:
    """The display of one board; `now` is its status line."""

    def __init__(
        self, console: Console, progress: Progress, prefix: str, clock: Callable[[], float], *, is_live: bool
    ) -> None:
        self.now = Text()
        self._console = console
        self._progress = progress
        self._prefix = prefix
        self._clock = clock
        self._is_live = is_live
        self._task: TaskID | None = None
        self._total = 0
        self._ended = 0
        self._said_part = 0
        self._pushed: dict[str, int] = {}

    def show(self, event: Event) -> None:
        match event:
            case LogMessage(text):
                self._say(as_options(text))
            case Planned():
                self._plan(event)
            case Pushing():
                self._push(event)
            case Waiting(left_s):
                self._set_line(f"waiting for the board, for at most {_duration(left_s)} more")
            case Answering():
                self._set_line(_answering_line(event))
            case Cooling():
                self._set_line(
                    f"cooling down: {event.temperature_mc / 1000:.1f} °C, to {event.target_mc / 1000:.0f} °C, "
                    f"for {_duration(event.waited_s)} so far"
                )
            case Running():
                self._make_room(self._ended + 1)
                self._set_line(_running_line(event))
            case Ended():
                self._end(event)

    def _say(self, text: str) -> None:
        self.now.plain = ""
        # Some messages of a board already start with its name.
        said = text if text.startswith(self._prefix) else self._prefix + text
        self._console.print(Text(printable(said, 2000)))

    def _set_line(self, text: str) -> None:
        self.now.plain = printable(self._prefix + text, 2000)

    def _plan(self, event: Planned) -> None:
        rows, runs = counted(len(event.subjects), "row"), counted(event.runs, "run")
        self._say(f"measuring {rows}, {runs}: {_estimate(event)}")
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._total, self._ended, self._said_part = event.runs, 0, 0
        self._task = self._progress.add_task(
            f"{self._prefix}runs", total=event.runs, left_s=event.estimated_remaining_s, at_s=self._clock()
        )

    def _push(self, event: Pushing) -> None:
        if self._is_live:
            done, size = significant(event.done / 1e6), significant(event.size / 1e6)
            self._set_line(f"push {event.name}: {done} of {size} MB")
        if event.done == event.size and self._pushed.get(event.name) != event.size:
            self._say(f"pushed {event.name} ({significant(event.size / 1e6)} MB)")
        self._pushed[event.name] = event.done

    def _end(self, event: Ended) -> None:
        self._ended += 1
        self.now.plain = ""
        self._make_room(self._ended)
        if self._total < _MANY_RUNS or event.run.reasons:
            self._say(_ended_line(event))
        else:
            self._say_part(event.left_s)
        if self._task is not None:
            self._progress.update(self._task, completed=self._ended, left_s=event.left_s, at_s=self._clock())

    def _say_part(self, left_s: float | None) -> None:
        """Say how many of many runs have ended, each time another part of them has."""
        part = self._ended * _PARTS // self._total
        if part > self._said_part:
            self._said_part = part
            left = f", about {_duration(left_s)} left" if left_s is not None and self._ended < self._total else ""
            self._say(f"{self._ended} of {counted(self._total, 'run')}{left}")

    def _make_room(self, runs: int) -> None:
        """Extend the bar to at least `runs`: invalid runs are repeated, so there can be more runs than planned."""
        if self._task is not None and runs > self._total:
            self._total = runs
            self._progress.update(self._task, total=runs)


def _name(event: Running | Ended) -> str:
    subject = event.subject
    threads = subject.workload.get("threads")
    setting = f" {counted(threads, 'thread')}" if threads is not None else ""
    return printable(f"{subject.variant.name} {subject.artifact.format} {subject.label}{setting}")


def _running_line(event: Running) -> str:
    """Return what a run does now: first what changes, because a narrow terminal cuts the end."""
    parts = [_PHASES.get(event.phase, event.phase)]
    if event.temperature_mc is not None:
        parts.append(f"{event.temperature_mc / 1000:.1f} °C")
    if event.p50_ns is not None:
        parts.append(f"p50 so far {significant(event.p50_ns / _MS)} ms")
    if event.count:
        parts.append(counted(event.count, "inference"))
    if event.minutes is not None and event.count:
        parts.append(f"minute {int(event.minutes) + 1} of {event.subject.workload.get('sustained_min', 0):g}")
    parts += [f"run {event.number} of {max(event.number, event.runs)}", _name(event)]
    return " · ".join(parts)


def _answering_line(event: Answering) -> str:
    parts = [f"{event.done:,} of {event.total:,}" if event.done else _PHASES.get(event.phase, event.phase)]
    if event.temperature_mc is not None:
        parts.append(f"{event.temperature_mc / 1000:.1f} °C")
    if event.left_s is not None and event.left_s > 1:
        parts.append(f"about {_duration(event.left_s)} left")
    parts.append(event.name)
    return " · ".join(parts)


def _ended_line(event: Ended) -> str:
    import numpy as np

    run = event.run
    latencies = run.latencies_ns
    middle = f"p50 {significant(float(np.median(latencies)) / _MS)} ms" if len(latencies) else "no latencies"
    why = f": {joined(run.reasons)}" if run.reasons else ""
    verdict = "" if run.state is State.VALID else f" · {run.state}{why}"
    return f"{_name(event)}: {counted(len(latencies), 'inference')}, {middle}{verdict}"


def _estimate(event: Planned) -> str:
    if event.estimated_remaining_s is None or event.most_s is None:
        return "how long that takes is not known"
    if event.most_s > event.estimated_remaining_s:
        most = _duration(event.most_s)
        return f"about {_duration(event.estimated_remaining_s)}, or {most} if that is what it takes to decide"
    return f"about {_duration(event.estimated_remaining_s)}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
