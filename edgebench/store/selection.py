"""Selection: which measurements of a store are meant, by device, variant, format, session, tag and date."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from edgebench.errors import UsageError, nearest
from edgebench.measurement import Subject

if TYPE_CHECKING:
    from edgebench.store.digest import RunDigest
    from edgebench.store.runs import StoredRun

Moment = str | date | datetime
_TEXTS: dict[str, Callable[[Subject], str | None]] = {
    "device": lambda subject: subject.device.name,
    "variant": lambda subject: subject.variant.name,
    "format": lambda subject: str(subject.artifact.format),
    "session": lambda subject: subject.session,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is None is not looked at.

    `session`: its id, or how that begins. `since`, `until`: of the first run of a measurement, both included.
    """

    device: str | None = None
    variant: str | None = None
    format: str | None = None
    session: str | None = None
    tag: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def wanted(self) -> dict[str, str]:
        """What is looked at, by name, as texts."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)
            for name, value in found.items()
            if value is not None
        }

    def of_digests(self, digests: Sequence[RunDigest], tags: Callable[[str], Sequence[str]]) -> list[RunDigest]:
        """Return the runs of the measurements that fit, as `of` does, from what an index has of them."""
        began: dict[str, str] = {}
        for each in digests:
            began[each.measurement] = min(began.get(each.measurement, each.started_at), each.started_at)
        fitting = {
            each.measurement
            for each in {each.measurement: each for each in digests}.values()
            if self._wants(
                {"device": each.device, "variant": each.variant, "format": each.format},
                session=each.session,
                id=each.measurement,
                began=began[each.measurement],
                tags=tags,
            )
        }
        return [each for each in digests if each.measurement in fitting]

    def of(self, stored: Sequence[StoredRun], tags: Callable[[str], Sequence[str]]) -> list[StoredRun]:
        """Return the runs of the measurements that fit. `tags`: of a measurement, by its id."""
        began: dict[str, str] = {}
        for each in stored:
            id = each.subject.id
            began[id] = min(began.get(id, each.run.started_at), each.run.started_at)
        fitting = {
            each.subject.id
            for each in {each.subject.id: each for each in stored}.values()
            if self._fits(each.subject, began[each.subject.id], tags)
        }
        return [each for each in stored if each.subject.id in fitting]

    def _fits(self, subject: Subject, began: str, tags: Callable[[str], Sequence[str]]) -> bool:
        texts = {name: read(subject) for name, read in _TEXTS.items() if name != "session"}
        return self._wants(texts, session=subject.session, id=subject.id, began=began, tags=tags)

    def _wants(
        self,
        texts: Mapping[str, str | None],
        *,
        session: str,
        id: str,
        began: str,
        tags: Callable[[str], Sequence[str]],
    ) -> bool:
        if any(getattr(self, name) not in (None, text) for name, text in texts.items()):
            return False
        if self.session is not None and not session.startswith(self.session):
            return False
        if self.tag is not None and self.tag not in tags(id):
            return False
        if self.since is None and self.until is None:
            return True
        moment = _aware(datetime.fromisoformat(began))
        return (self.since is None or moment >= self.since) and (self.until is None or moment <= self.until)

    def nothing_fits(self, known: Sequence[tuple[Subject, Sequence[str]]]) -> str:
        """Return in one line that nothing fits, and the nearest of what there is.

        Args:
            known: what the store has, with the tags of each.
        """
        wanted = self.wanted
        message = f"no stored measurement fits: {', '.join(f'{name} {value}' for name, value in wanted.items())}"
        for name, value in wanted.items():
            if name in ("since", "until"):
                continue
            there = {
                text
                for subject, tags in known
                for text in (tags if name == "tag" else [_TEXTS[name](subject) or ""])
                if text
            }
            if value not in there:
                near = nearest(value, there)
                listed = ", ".join(sorted(there)[:6]) or "none"
                return f"{message}; " + (f"did you mean {name} {near}?" if near else f"known: {name} {listed}")
        return message


def moment(value: Moment, *, is_end: bool = False) -> datetime:
    """Return a date or time; a date alone is its first moment, or its last one (`is_end`). Without a zone it is UTC.

    Raises:
        UsageError: the text is neither a date nor a time in ISO 8601.
    """
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value) if len(value) <= len("2026-01-31") else datetime.fromisoformat(value)
        except ValueError as error:
            raise UsageError(f"{value!r} is not a date; write 2026-01-31 or 2026-01-31T15:00, in UTC") from error
    if isinstance(value, datetime):
        return _aware(value)
    begin = datetime.combine(value, time(), UTC)
    return begin + timedelta(days=1, microseconds=-1) if is_end else begin


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
