"""What an export says of a measurement: its name, state, figures and scores, without its traces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edgebench.errors import NotValid
from edgebench.figures import Score
from edgebench.measurement import Measurement, Subject
from edgebench.reason import State, joined
from edgebench.reporting.exchange.figures import Figure, figures_of
from edgebench.text import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One measurement. `started_at`: of its first run, ISO 8601; `doubts`: why it is not valid, empty if it is."""

    subject: Subject
    state: State
    doubts: str
    started_at: str
    runs: int
    figures: tuple[Figure, ...]
    scores: tuple[Score, ...]

    @property
    def name(self) -> str:
        """What was measured, the same for every measurement of the same."""
        return name_of(self.subject)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The entries that an export holds, and a line for each that it leaves out."""

    entries: list[Entry]
    left_out: list[str]


def entry_of(measurement: Measurement, scores: Sequence[Score]) -> Entry:
    """Return what exports take of a measurement. scores: of its variant and file; none: those that it has itself."""
    return Entry(
        subject=measurement.subject,
        state=measurement.state,
        doubts=joined(measurement.doubts),
        started_at=min((run.started_at for run in measurement.runs), default=""),
        runs=len(measurement.runs),
        figures=figures_of(measurement),
        scores=tuple(scores) or measurement.scores,
    )


def name_of(subject: Subject) -> str:
    """Return variant, format, device and workload, and the settings that a table shows."""
    settings: dict[str, Any] = dict(subject.workload)
    parts = [subject.text]
    if settings.get("batch") not in (None, 1):
        parts.append(f"batch {settings['batch']}")
    if settings.get("threads") is not None:
        parts.append(f"threads {settings['threads']}")
    if settings.get("affinity"):
        parts.append("cores " + " ".join(map(str, settings["affinity"])))
    return ", ".join(parts)


def only_valid(entries: Iterable[Entry]) -> Chosen:
    """Return the valid ones: for formats whose readers can't see that a figure does not count.

    Raises:
        NotValid: there is none.
    """
    found = list(entries)
    kept = [each for each in found if each.state is State.VALID]
    left_out = [_not_valid(each) for each in found if each.state is not State.VALID]
    if not kept:
        more = f" (and {len(left_out) - 1} more)" if len(left_out) > 1 else ""
        raise NotValid(f"nothing to export: {left_out[0]}{more}")
    return Chosen(kept, left_out)


def latest_of_each_name(chosen: Chosen) -> Chosen:
    """Return, of several entries with one name, the latest: for formats that have one figure a name."""
    latest: dict[str, Entry] = {}
    for each in sorted(chosen.entries, key=lambda each: (each.started_at, each.subject.id)):
        latest[each.name] = each
    kept = {each.subject.id for each in latest.values()}
    replaced = [
        f"{each.subject.id}: {latest[each.name].subject.id} is later and of the same name, {printable(each.name)}"
        for each in chosen.entries
        if each.subject.id not in kept
    ]
    return Chosen([each for each in chosen.entries if each.subject.id in kept], [*chosen.left_out, *replaced])


def _not_valid(entry: Entry) -> str:
    return f"{entry.subject.id} ({printable(entry.subject.text)}) is {entry.state}: {printable(entry.doubts)}"
