"""The progress display: live in a terminal, else one line per run."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from edgebench.cli.hints import as_options
from edgebench.events import Cooling, Ended, Event, LogMessage, Planned, Pushing, Running, Waiting
from edgebench.reason import State, joined
from edgebench.text import counted, printable

_MS = 1e6


class LiveDisplay:
    """Shows the events of sessions: one bar and one line per board, with names if there are several boards."""

    def __init__(self, console: Console, boards: Sequence[str] = ("",)) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}")
        )
        is_live = console.is_terminal and not console.quiet
        self._boards = {
            name: _Board(console, self._progress, f"{name}: " if len(boards) > 1 else "", is_live=is_live)
            for name in boards
        }
        lines = [board.now for board in self._boards.values()]
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


class _Board:
    """The display of one board; `now` is its status line."""

    def __init__(self, console: Console, progress: Progress, prefix: str, *, is_live: bool) -> None:
        self.now = Text()
        self._console = console
        self._progress = progress
        self._prefix = prefix
        self._is_live = is_live
        self._task: TaskID | None = None
        self._total = 0
        self._ended = 0
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
            case Cooling():
                self._set_line(
                    f"cooling down: {event.temperature_mc / 1000:.1f} °C, to {event.target_mc / 1000:.0f} °C, "
                    f"for {event.waited_s:.0f} s so far"
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
        self.now.plain = self._prefix + text

    def _plan(self, event: Planned) -> None:
        cells = len(event.subjects)
        rows = counted(cells, "row")
        time_left = _estimate(event)
        runs = counted(event.runs, "run")
        self._say(f"measuring {rows}, {runs}: {time_left}")
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._total, self._ended = event.runs, 0
        self._task = self._progress.add_task(f"{self._prefix}runs", total=event.runs, left=time_left)

    def _push(self, event: Pushing) -> None:
        if self._is_live:
            self._set_line(f"pushing {event.name}: {event.done / 1e6:.0f} of {event.size / 1e6:.0f} MB")
        if event.done == event.size and self._pushed.get(event.name) != event.size:
            self._say(f"pushed {event.name} ({event.size / 1e6:.1f} MB)")
        self._pushed[event.name] = event.done

    def _end(self, event: Ended) -> None:
        self._ended += 1
        self._say(_ended_line(event))
        self._make_room(self._ended)
        if self._task is not None:
            left = f"about {_duration(event.left_s)} left" if event.left_s is not None else ""
            self._progress.update(self._task, completed=self._ended, left=left)

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
    parts = [f"run {event.number} of {max(event.number, event.runs)}", _name(event), event.phase]
    if event.count:
        parts.append(counted(event.count, "inference"))
    if event.minutes is not None and event.count:
        parts.append(f"minute {int(event.minutes) + 1} of {event.subject.workload.get('sustained_min', 0):g}")
    if event.p50_ns is not None:
        parts.append(f"p50 so far {event.p50_ns / _MS:.2f} ms")
    if event.temperature_mc is not None:
        parts.append(f"{event.temperature_mc / 1000:.0f} °C")
    return " · ".join(parts)


def _ended_line(event: Ended) -> str:
    import numpy as np

    run = event.run
    latencies = run.latencies_ns
    middle = f"p50 {float(np.median(latencies)) / _MS:.2f} ms" if len(latencies) else "no latencies"
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
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
