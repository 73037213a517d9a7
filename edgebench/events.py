"""Events of a session in progress, for whoever displays them: every long function calls `on_event` with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgebench.measurement import Subject
from edgebench.run import Run


@dataclass(frozen=True, slots=True)
class LogMessage:
    """One line of text."""

    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another user has the board, or another run occupies it: we wait for at most `left_s` more. Sent every second."""

    left_s: float


@dataclass(frozen=True, slots=True)
class Began:
    """The session is in the store: from here on it can be resumed."""

    session: str


@dataclass(frozen=True, slots=True)
class Planned:
    """The runs are planned. `estimated_remaining_s`: up to the first look at the data; `most_s`: up to the last one.

    Both are None where a pilot run failed.
    """

    session: str
    subjects: tuple[Subject, ...]
    runs: int
    estimated_remaining_s: float | None
    most_s: float | None


@dataclass(frozen=True, slots=True)
class Pushing:
    """A file is being pushed to the board: `done` of `size` bytes are there."""

    name: str
    done: int
    size: int


@dataclass(frozen=True, slots=True)
class Running:
    """Run `number` of `runs` is in progress; of a sustained run, `minutes` are over."""

    subject: Subject
    number: int
    runs: int
    phase: str
    count: int
    p50_ns: int | None
    temperature_mc: int | None
    minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Answering:
    """Examples go through a file on the board: `done` of `total` inferences of `name` are over.

    `left_s`: how long the others take at this rate; None before the first one.
    """

    name: str
    done: int
    total: int
    phase: str
    temperature_mc: int | None
    left_s: float | None


@dataclass(frozen=True, slots=True)
class Cooling:
    """The next run waits until the board is cool enough; millidegrees Celsius."""

    temperature_mc: int
    target_mc: int
    waited_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A run ended and is in the store. `left_s`: how long the remaining planned runs take; None if that is unknown."""

    subject: Subject
    run: Run
    left_s: float | None = None


Event = LogMessage | Waiting | Began | Planned | Pushing | Answering | Cooling | Running | Ended
OnEvent = Callable[[Event], None]


def ignore(_: Event) -> None:
    """Ignore an event."""
