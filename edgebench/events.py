"""What a session tells while it goes on, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgebench.measurement import Subject
from edgebench.run import Run


@dataclass(frozen=True, slots=True)
class LogMessage:
    """Something worth a line."""

    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody else has the board: it is asked again for at most `left_s` more. Told every second or so."""

    left_s: float


@dataclass(frozen=True, slots=True)
class Began:
    """From here on there is something to resume."""

    session: str


@dataclass(frozen=True, slots=True)
class Planned:
    """Everything is ready. `estimated_remaining_s`: up to the first look at the data; `most_s`: up to the last.

    None where nothing tells: a pilot run failed.
    """

    session: str
    subjects: tuple[Subject, ...]
    runs: int
    estimated_remaining_s: float | None
    most_s: float | None


@dataclass(frozen=True, slots=True)
class Pushing:
    """A file moves to the board: `done` of `size` bytes are there."""

    name: str
    done: int
    size: int


@dataclass(frozen=True, slots=True)
class Running:
    """Run `number` of `runs` goes on; of a sustained one, `minutes` are over."""

    subject: Subject
    number: int
    runs: int
    phase: str
    count: int
    p50_ns: int | None
    temperature_mc: int | None
    minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Cooling:
    """The next run waits until the board is cool enough; millidegrees Celsius."""

    temperature_mc: int
    target_mc: int
    waited_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A run ended and is in the store. `left_s`: how long what is still planned takes; None where nothing tells."""

    subject: Subject
    run: Run
    left_s: float | None = None


Event = LogMessage | Waiting | Began | Planned | Pushing | Cooling | Running | Ended
OnEvent = Callable[[Event], None]


def ignore(_: Event) -> None:
    """Show nothing."""
