"""The display while a session goes on: live in a terminal, a line per run elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from edgebench.events import Began, Ended, Event, Noted, Planned, Pushing, Running
from edgebench.printable import printable

_MS = 1e6


class LiveDisplay:
    """Takes a session's events and shows them; the session's id is kept as `session`."""

    def __init__(self, console: Console) -> None:
        self.session: str | None = None
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}")
        )
        self._task: TaskID | None = None
        self._now = Text()
        self._live = Live(Group(self._progress, self._now), console=console, transient=True, refresh_per_second=5)
        self._is_live = console.is_terminal and not console.quiet
        self._started = 0.0
        self._ended = 0
        self._pushed: dict[str, int] = {}

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Noted(text):
                self._say(text)
            case Began(session):
                self.session = session
            case Planned():
                self._plan(event)
            case Pushing():
                self._push(event)
            case Running():
                self._make_room(self._ended + 1)
                self._now.plain = _running_line(event)
            case Ended():
                self._end(event)

    def _say(self, text: str) -> None:
        self._now.plain = ""
        self._console.print(Text(printable(text, 2000)))

    def _plan(self, event: Planned) -> None:
        self.session = event.session
        cells = len(event.subjects)
        rows = "1 row" if cells == 1 else f"{cells} rows"
        self._say(
            f"measuring {rows}, {event.runs} runs: at least {_duration(event.least_s)}, "
            f"at most {_duration(event.most_s)}, plus loading and warm-up"
        )
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task("runs", total=event.runs, left="")
        self._started, self._ended = time.monotonic(), 0

    def _push(self, event: Pushing) -> None:
        if self._is_live:
            self._now.plain = f"pushing {event.name}: {event.done / 1e6:.0f} of {event.size / 1e6:.0f} MB"
        if event.done == event.size and self._pushed.get(event.name) != event.size:
            self._say(f"pushed {event.name} ({event.size / 1e6:.1f} MB)")
        self._pushed[event.name] = event.done

    def _end(self, event: Ended) -> None:
        self._ended += 1
        self._say(_ended_line(event))
        self._make_room(self._ended)
        if self._task is not None:
            total = self._progress.tasks[0].total or 0
            each = (time.monotonic() - self._started) / self._ended
            left = max(0.0, total - self._ended) * each
            self._progress.update(self._task, completed=self._ended, left=f"about {_duration(left)} left")

    def _make_room(self, runs: int) -> None:
        """Let the bar count at least so many: a run that was not valid is repeated, which nobody planned."""
        if self._task is not None and runs > (self._progress.tasks[0].total or 0):
            self._progress.update(self._task, total=runs)


def _name(event: Running | Ended) -> str:
    subject = event.subject
    threads = subject.workload.get("threads")
    setting = f" {threads} threads" if threads is not None else ""
    return printable(f"{subject.variant.name} {subject.artifact.format} {subject.label}{setting}")


def _running_line(event: Running) -> str:
    parts = [f"run {event.number} of {max(event.number, event.runs)}", _name(event), event.phase]
    if event.count:
        parts.append(f"{event.count} inferences")
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
    verdict = "" if run.valid else f" · not valid: {'; '.join(run.reasons)}"
    return f"{_name(event)}: {len(latencies)} inferences, {middle}{verdict}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
