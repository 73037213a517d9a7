"""Lookup: which stored measurements two names stand for, to be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgebench.analysis import row_key
from edgebench.artifact import Format
from edgebench.errors import ConfigError, UnknownName, UsageError
from edgebench.measurement import Measurement
from edgebench.runtimes import formats_given_for
from edgebench.store.result_files import is_file_name, measurement_ids
from edgebench.store.store import Store
from edgebench.text import printable

#: Words for a session, instead of its id.
LATEST, PREVIOUS = "latest", "previous"
_SHOWN = 6  # rows that a message lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one name stands for.

    `exact`: it names measurements, by id or by a result file, not a variant. `format`: the one that the name says.
    """

    name: str
    found: tuple[Measurement, ...]
    exact: bool = False
    format: str | None = None

    @property
    def sessions(self) -> list[str]:
        """The sessions that have it, the oldest first."""
        return sorted({each.subject.session for each in self.found})

    @property
    def formats(self) -> list[str]:
        """The formats that it was measured in, sorted."""
        return sorted({_format(each) for each in self.found})

    def only(self, kept: Iterable[Measurement]) -> Side:
        """Return the same name with some of its measurements."""
        return replace(self, found=tuple(kept))

    def in_session(self, session: str) -> Side:
        """Return what it stands for in one session."""
        return self.only(each for each in self.found if each.subject.session == session)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The (baseline, candidate) pairs that two names stand for. `notes`: how they were chosen, where that is open."""

    pairs: tuple[tuple[Measurement, Measurement], ...]
    notes: tuple[str, ...] = ()


def find_pairs(store: Store, baseline: str, candidate: str, *, session: Sequence[str] = ()) -> Chosen:
    """Return the (baseline, candidate) pairs that two names stand for.

    A name is a measurement's id, or how one begins; a variant's name, also with a format: `xnli-multi`,
    `xnli-multi:onnx-int8`; or a file that `profile --json` wrote. Rows are paired by device, workload, threads and
    batch, and by format unless both names say one. A variant without a format takes the other side's format.

    Args:
        session: which session: an id or how it begins, `latest` or `previous`. One: of both sides; two: of the baseline
            and of the candidate; none: the latest that has both, or that of a measurement that is named by its id.

    Raises:
        UnknownName, UsageError: nothing has a name, or a file is no result.
        ConfigError: no session has both, they have no row in common, or are the same measurement.
    """
    sides = (_side(store, baseline), _side(store, candidate))
    sides, notes = _in_sessions(sides, session)
    sides, format_notes = _in_formats(sides)
    if all(len(side.found) == 1 and side.exact for side in sides):
        pairs = [(sides[0].found[0], sides[1].found[0])]
    else:
        pairs = _rows_in_common(*sides)
    different = [(one, other) for one, other in pairs if one.id != other.id]
    if not different:
        raise _nothing_in_common(*sides, are_the_same=bool(pairs))
    return Chosen(pairs=tuple(different), notes=(*notes, *format_notes))


def _side(store: Store, name: str) -> Side:
    if found := store.measurements(variant=name):
        return Side(name=name, found=tuple(found))
    variant, _, format = name.rpartition(":")  # a variant may have a colon of its own: `reference:tiny`
    if variant and format in {str(known) for known in Format}:
        if found := _measured_in(store, variant, Format(format)):
            return Side(name=name, found=tuple(found), format=format)
        if others := store.measurements(variant=variant):
            had = ", ".join(Side(name=name, found=tuple(others)).formats)
            raise UsageError(f"{variant} was not measured in {format}, only in {had} (store {store.folder})")
    if is_file_name(name):
        return Side(name=name, found=_of_file(store, Path(name)), exact=True)
    try:
        return Side(name=name, found=(store.measurement(name),), exact=True)
    except UnknownName as error:
        variants = sorted({each.variant.name for each in store.subjects()})
        if variants and not name[:1].isdigit():  # ids begin with a date
            where = f"store {store.folder}; see: edgebench runs list"
            raise UnknownName("variant or measurement", name, variants, hint=where) from error
        raise


def _measured_in(store: Store, variant: str, format: Format) -> list[Measurement]:
    """Return a variant's measurements in a format; of sessions without it, in the one that their board got instead."""
    exact = store.measurements(variant=variant, format=str(format))
    sessions = {each.subject.session for each in exact}
    others = sorted(map(str, formats_given_for(format) - {format}))
    given = [each for other in others for each in store.measurements(variant=variant, format=other)]
    return [*exact, *(each for each in given if each.subject.session not in sessions)]


def _of_file(store: Store, path: Path) -> tuple[Measurement, ...]:
    try:
        return tuple(store.measurement(id) for id in measurement_ids(path))
    except UnknownName as error:
        raise UsageError(
            f"{path}: its runs are not in the store {store.folder}, and a comparison needs them",
            hint="name the store that they were measured into: `store=DIR`",
        ) from error


# --- sessions -----------------------------------------------------------------------------------------------------


def _in_sessions(sides: tuple[Side, Side], session: Sequence[str]) -> tuple[tuple[Side, Side], list[str]]:
    """Return the sides in the sessions that are meant, and which these are where others would do, too."""
    match tuple(session):
        case ():
            return _in_default_session(sides)
        case (one,):
            common = sorted(set(sides[0].sessions) & set(sides[1].sessions))
            names = " and ".join(dict.fromkeys(side.name for side in sides))
            chosen = _session_of(one, common, names, everything={*sides[0].sessions, *sides[1].sessions})
            return (sides[0].in_session(chosen), sides[1].in_session(chosen)), []
        case (one, other):
            first, second = (
                side.in_session(_session_of(name, side.sessions, side.name, everything=set(side.sessions)))
                for side, name in zip(sides, (one, other), strict=True)
            )
            return (first, second), []
    raise UsageError(f"a comparison has two sides, not {len(session)} sessions")


def _in_default_session(sides: tuple[Side, Side]) -> tuple[tuple[Side, Side], list[str]]:
    if all(side.exact for side in sides):
        return sides, []
    common = sorted(set(sides[0].sessions) & set(sides[1].sessions))
    if not common:
        latest = [side.sessions[-1] for side in sides]
        raise ConfigError(
            f"no session has both {sides[0].name} and {sides[1].name}",
            hint=f"measure them in one session, or compare two sessions, without a verdict: `session={latest}`",
        )
    chosen = common[-1]
    notes = []
    if len(common) > 1:
        notes.append(
            f"session {chosen} is the latest of {len(common)} that have both; another one: `session=ID`, or "
            f"`session='{PREVIOUS}'`"
        )
    return (sides[0].in_session(chosen), sides[1].in_session(chosen)), notes


def _session_of(name: str, known: Sequence[str], of: str, *, everything: set[str]) -> str:
    """Return the session that a name stands for, of those that have what is compared."""
    if name in (LATEST, PREVIOUS):
        back = 1 if name == LATEST else 2
        if len(known) < back:
            raise ConfigError(f"{len(known)} sessions have {of}; there is no {name} one")
        return known[-back]
    matches = [id for id in known if id == name] or [id for id in known if id.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(f"{name!r} is the beginning of {len(matches)} sessions: {_listed(matches)}; give more of it")
    if any(id.startswith(name) for id in everything):
        raise ConfigError(f"session {name} does not have {of}", hint=f"sessions that have: {_listed(known) or 'none'}")
    raise UnknownName("session", name, (*known, LATEST, PREVIOUS), hint=f"of {of}")


# --- formats and rows ---------------------------------------------------------------------------------------------


def _in_formats(sides: tuple[Side, Side]) -> tuple[tuple[Side, Side], list[str]]:
    """Return the sides in the formats that are compared, and what is said where a side has another one."""
    wanted = [_wanted_format(side) for side in sides]
    result, notes = list(sides), []
    for at, side in enumerate(sides):
        format = wanted[1 - at]
        if wanted[at] is not None or format is None or side.exact:
            continue
        same = side.only(each for each in side.found if _format(each) == format)
        if same.found:
            result[at] = same
        elif len(side.formats) == 1:
            result[at] = replace(side, format=side.formats[0])
            notes.append(f"{side.name} was not measured in {format}: its {side.formats[0]} is compared")
        else:
            raise ConfigError(
                f"{side.name} was not measured in {format}, but in {', '.join(side.formats)}",
                hint=f"name one of them: {side.name}:{side.formats[0]}",
            )
    return (result[0], result[1]), notes


def _wanted_format(side: Side) -> str | None:
    """Return the format that a name says, or that it was measured in where there is one; None: the name is open."""
    if side.format is not None:
        return side.formats[0] if len(side.formats) == 1 else side.format
    return _format(side.found[0]) if side.exact and len(side.found) == 1 else None


def _rows_in_common(baseline: Side, candidate: Side) -> list[tuple[Measurement, Measurement]]:
    formats = {*baseline.formats, *candidate.formats}
    formats_differ = (
        len(baseline.formats) == len(candidate.formats) == 1 and len(formats) > 1 and _is_meant(baseline, candidate)
    )
    # A file of results may hold several variants: then each is compared with itself.
    by_variant = any(len({each.subject.variant.name for each in side.found}) > 1 for side in (baseline, candidate))

    def key(each: Measurement) -> tuple[object, ...]:
        row = row_key(each, formats_differ=formats_differ)
        return (*row, each.subject.variant.name) if by_variant else row

    rows = {key(each): each for each in candidate.found}
    return [(each, rows[key(each)]) for each in baseline.found if key(each) in rows]


def _is_meant(baseline: Side, candidate: Side) -> bool:
    """Whether two formats are compared on purpose: each side says its own, by name or as a measurement."""
    return all(side.format is not None or side.exact for side in (baseline, candidate))


def _nothing_in_common(baseline: Side, candidate: Side, *, are_the_same: bool) -> ConfigError:
    names = f"{baseline.name} and {candidate.name}"
    where = " and ".join(dict.fromkeys((*baseline.sessions, *candidate.sessions)))
    if are_the_same:
        id = baseline.found[0].id
        return ConfigError(
            f"{names} are one and the same measurement, {id}",
            hint=f"compare two sessions of it: `session=['{PREVIOUS}', '{LATEST}']`; or measure it again beside a "
            f"candidate: edgebench gate --baseline {id}",
        )
    if not {*baseline.formats} & {*candidate.formats}:
        sides = [f"{side.name} was measured in {', '.join(side.formats)}" for side in (baseline, candidate)]
        named = " ".join(f"{side.name}:{side.formats[0]}" for side in (baseline, candidate))
        return ConfigError(f"{' and '.join(sides)} (session {where})", hint=f"name the formats: {named}")
    rows = [f"{side.name} has {_rows_text(side.found)}" for side in (baseline, candidate)]
    return ConfigError(f"{names} have no row in common (session {where}): {'; '.join(rows)}")


def _rows_text(measurements: Sequence[Measurement]) -> str:
    return _listed(list(dict.fromkeys(_row_text(each) for each in measurements)))


def _row_text(measurement: Measurement) -> str:
    subject = measurement.subject
    batch, threads = (subject.workload.get(name) for name in ("batch", "threads"))
    settings = [f"batch {batch}"] if batch else []
    settings += [f"{threads} thread{'' if threads == 1 else 's'}"] if threads else []
    settings += ["alternating"] if subject.alternates_with else []
    return f"{_format(measurement)} {printable(subject.label)} ({', '.join(settings)}) on {subject.device.name}"


def _format(measurement: Measurement) -> str:
    return str(measurement.subject.artifact.format)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
