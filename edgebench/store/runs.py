"""Runs: folders of a store that appear at once, complete, and never change.

    runs/<run_id>/run.json        what was measured, on what, and every figure but the raw ones (see run_json.py)
    runs/<run_id>/trace.parquet   every latency, warm-up included, and every reading (see traces.py)

A name that begins with a dot is an unfinished run, and is ignored.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.analysis import figures_of, summarise, with_ratios
from edgebench.errors import EdgebenchError, StoreError, UnknownName, UsageError, nearest
from edgebench.measurement import FORMAT_VERSION, Measurement, Subject
from edgebench.reason import Reason, ReasonCode
from edgebench.run import Run, Trace
from edgebench.store.files import checked_id, is_id, read_document, sync, to_text, writing
from edgebench.store.place import Place
from edgebench.store.run_json import run_from_json, run_to_json, subject_from_json
from edgebench.store.run_types import check_types
from edgebench.store.traces import connect, read_traces, write_trace

if TYPE_CHECKING:
    import duckdb

OnUnreadable = Callable[[StoreError], None]

FEW = 10  # names that still fit into a message
_BATCH_RUNS = 256
_SEARCHED = 500  # runs that `recent` reads at most
_BATCH_LATENCIES = 1_000_000


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as run.json has it: all but its trace, which is empty here and lies in `folder`."""

    folder: Path
    subject: Subject
    run: Run
    latencies_count: int


class RunFolder:
    """The runs of a store, each in a folder of its own."""

    def __init__(self, place: Place) -> None:
        self.folder = place.folder / "runs"
        self._store = place.folder
        self._place = place

    def add(self, runs: Sequence[tuple[Subject, Run]], *, replacing: bool = False) -> list[Path]:
        """Keep runs that belong together; return their folders.

        They appear one after the other, within the moment that it takes to rename them. `replacing`: instead of what
        was kept of the same runs before they had ended.

        Raises:
            StoreError: the store has a run of one of the ids, an id can't name a folder, or the store can't be written.
        """
        if self._place.is_remote and not replacing:
            self._place.bring_runs({run.id for _, run in runs}.__contains__)
        targets = {
            self.folder / checked_id(run.id): self.folder / f".{run.id}.{secrets.token_hex(4)}" for _, run in runs
        }
        for target in targets:
            if target.exists() and not replacing:
                raise StoreError(f"{target} exists; a stored run is never changed")
        with writing(self._store):
            try:
                for (subject, run), temporary in zip(runs, targets.values(), strict=True):
                    _write(temporary, subject, run)
                for target, temporary in targets.items():
                    replaced = self._set_aside(target) if replacing and target.exists() else None
                    temporary.rename(target)
                    if replaced is not None:
                        shutil.rmtree(replaced)
            except BaseException:
                for temporary in targets.values():
                    shutil.rmtree(temporary, ignore_errors=True)
                raise
            sync(self.folder)
        self._place.send_runs([run.id for _, run in runs])
        return list(targets)

    def ids(self) -> set[str]:
        """Return the ids of all runs, readable or not."""
        if (digests := self._place.digests()) is not None:
            return {each.id for each in digests}
        return {folder.name for folder in self.folder.glob("[!.]*") if folder.is_dir()}

    def has(self, id: str) -> bool:
        """Return whether there is a run of that id."""
        self._place.bring_runs(id.__eq__)
        return is_id(id) and (self.folder / id).is_dir()

    def interrupted(self, *, prefix: str) -> dict[str, int]:
        """Return the runs that ended early, whose ids begin with `prefix`: how many latencies each has."""
        early = {ReasonCode.INTERRUPTED, ReasonCode.FAILED}
        return {
            each.run.id: each.latencies_count
            for each in self.each(lambda _: None, prefix=prefix)
            if any(reason.code in early for reason in each.run.reasons)
        }

    def each(self, on_unreadable: OnUnreadable | None = None, *, prefix: str = "") -> Iterator[StoredRun]:
        """Yield the runs whose ids begin with `prefix`, in no order that means anything.

        Raises:
            StoreError: one can't be read; with `on_unreadable`, that is called instead and the run left out.
        """
        self._place.bring_runs(lambda name: name.startswith(prefix))
        folders = sorted(self.folder.glob("[!.]*"))
        yield from self._each_of([each for each in folders if each.name.startswith(prefix)], on_unreadable)

    def of_ids(self, ids: Collection[str], on_unreadable: OnUnreadable | None = None) -> Iterator[StoredRun]:
        """Yield runs, by id.

        Raises:
            StoreError: as `each`.
        """
        self._place.bring_runs(ids.__contains__)
        yield from self._each_of([self.folder / id for id in sorted(ids)], on_unreadable)

    def _each_of(self, folders: Sequence[Path], on_unreadable: OnUnreadable | None) -> Iterator[StoredRun]:
        for folder in folders:
            if not folder.is_dir():
                continue
            try:
                yield self._with_partners(read_run(folder))
            except StoreError as error:
                if on_unreadable is None:
                    raise self._shown(error) from error
                on_unreadable(self._shown(error))

    def _shown(self, error: StoreError) -> StoreError:
        return StoreError(self._place.shown(str(error.args[0])), hint=error.hint) if self._place.is_remote else error

    def recent(self, wanted: Callable[[Subject], bool], *, most: int) -> list[StoredRun]:
        """Return the latest runs that are wanted, those first; of a long history, only its end is read.

        Ids begin with the time of the session. Unreadable runs are left out.
        """
        if (digests := self._place.digests()) is not None:
            latest = set(sorted((each.id for each in digests), reverse=True)[:_SEARCHED])
            self._place.bring_runs(latest.__contains__)
        found: list[StoredRun] = []
        for folder in sorted(self.folder.glob("[!.]*"), reverse=True)[:_SEARCHED]:
            if len(found) == most:
                break
            try:
                stored = read_run(folder)
            except StoreError:
                continue
            if wanted(stored.subject):
                found.append(stored)
        return found

    def of_measurements(self, ids: Sequence[str]) -> list[StoredRun]:
        """Return the runs of these measurements, named by id or by how it begins; other unreadable runs don't matter.

        Raises:
            UnknownName: nothing has an id.
            UsageError: several begin so.
            StoreError: nothing has an id, and there are runs that can't be read.
        """
        unreadable: list[StoreError] = []
        digests = self._place.digests()
        by_measurement: dict[str, list[str]] = {}
        everything: list[StoredRun] = []
        if digests is None:
            everything = list(self.each(unreadable.append))
            known = {stored.subject.id for stored in everything}
        else:
            for each in digests:
                by_measurement.setdefault(each.measurement, []).append(each.id)
            known = set(by_measurement)
        kept: list[StoredRun] = []
        for id in dict.fromkeys(ids):
            matches = [id] if id in known else sorted(name for name in known if name.startswith(id))
            if len(matches) > 1:
                shown = ", ".join(matches[:FEW]) + (" ..." if len(matches) > FEW else "")
                raise UsageError(f"{id!r} is the beginning of {len(matches)} measurements: {shown}; give more of it")
            if not matches:
                if unreadable:
                    raise unreadable[0]
                where = f"store {self._place.location}; see: edgebench runs list"
                raise unknown_name("measurement", id, sorted(known), where)
            if digests is None:
                kept += [stored for stored in everything if stored.subject.id == matches[0]]
            else:
                kept += self.of_ids(by_measurement[matches[0]])
        return kept

    def bring_traces(self, stored: Sequence[StoredRun]) -> None:
        """Make sure that the traces of these runs are here, as far as the store has them.

        Raises:
            StoreError: the store can't be read.
        """
        self._place.bring_traces([each.folder.name for each in stored])

    def remove(self, stored: Sequence[StoredRun]) -> None:
        """Delete runs: each disappears at once, by rename.

        Raises:
            StoreError: the store can't be written.
        """
        self._place.remove_runs([each.folder.name for each in stored])
        with writing(self._store):
            for each in stored:
                self._remove(each.folder)

    def _remove(self, folder: Path) -> None:
        shutil.rmtree(self._set_aside(folder))

    def _set_aside(self, folder: Path) -> Path:
        """Rename a run's folder, so that the store has it no longer; return it."""
        return folder.rename(folder.with_name(f".{folder.name}.{secrets.token_hex(4)}"))

    def _with_partners(self, stored: StoredRun) -> StoredRun:
        """Return a run as it is; one of a model whose partners' runs are missing does not count."""
        if all(self._is_kept(other) for other in stored.run.log_ratios if is_id(other)):
            return stored
        missing = Reason(ReasonCode.PARTNER_MISSING, "the run of a model that it alternated with is missing")
        return replace(stored, run=replace(stored.run, reasons=(*stored.run.reasons, missing)))

    def _is_kept(self, id: str) -> bool:
        return (self.folder / id).is_dir() or self._place.knows_run(id)


def measurements_of(stored: Sequence[StoredRun], on_unreadable: OnUnreadable | None = None) -> list[Measurement]:
    """Read the traces and return the measurements: by their session's first run, within a session by id.

    Raises:
        StoreError: a trace can't be read; with `on_unreadable`, that is called instead and the run left out.
    """
    runs: dict[str, list[Run]] = {}
    subjects = {each.subject.id: each.subject for each in stored}
    with connect() as connection:
        for batch in _batches(sorted(stored, key=lambda each: (each.run.started_at, each.run.id))):
            for each, run in _with_traces(connection, batch, on_unreadable):
                runs.setdefault(each.subject.id, []).append(run)
    measured = [subjects[id] for id in runs]
    position = {session: at for at, session in enumerate(dict.fromkeys(of.session for of in measured))}
    ordered = sorted(measured, key=lambda of: (position[of.session], of.id))
    return [summarise(of, runs[of.id]) for of in ordered]


def measurements_by_figures(
    stored: Sequence[StoredRun], on_unreadable: OnUnreadable | None = None
) -> list[Measurement]:
    """Return the measurements as far as run.json has them, the oldest first.

    Raises:
        StoreError: a run of an older edgebench, which has no figures in run.json, has a trace that can't be read; with
            `on_unreadable`, that is called instead and the run left out.
    """
    runs: dict[str, list[Run]] = {}
    by_id = _with_figures(stored, on_unreadable)
    for each in sorted(stored, key=lambda each: (each.run.started_at, each.run.id)):
        if each.run.id in by_id:
            runs.setdefault(each.subject.id, []).append(by_id[each.run.id])
    subjects = {each.subject.id: each.subject for each in stored}
    return [summarise(subjects[id], of) for id, of in runs.items()]


def unknown_name(kind: str, name: str, known: Sequence[str], hint: str) -> UnknownName:
    """Return the error for a name that nothing in a store has; of many known names, only the nearest is shown."""
    shown = known if len(known) <= FEW or nearest(name, known) else ()
    return UnknownName(kind, name, shown, hint=hint)


def _write(folder: Path, subject: Subject, run: Run) -> None:
    folder.mkdir(parents=True)
    write_trace(folder / "trace.parquet", run.trace)
    (folder / "run.json").write_text(to_text(run_to_json(subject, run)), encoding="utf-8")
    for path in (folder / "trace.parquet", folder / "run.json", folder):
        sync(path)


def read_run(folder: Path) -> StoredRun:
    """Return the run of a folder, checked, with an empty trace.

    Raises:
        StoreError: it can't be read.
    """
    path = folder / "run.json"
    document = read_document(path, within=folder.parent)
    version = document.get("format_version")
    try:
        if version not in range(1, FORMAT_VERSION + 1):
            raise ValueError(f"format version {version!r}")
        stored = StoredRun(
            folder=folder,
            subject=subject_from_json(document),
            run=run_from_json(document),
            latencies_count=document["run"]["latencies_count"],
        )
        check_types(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, EdgebenchError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise StoreError(f"{path} is not a valid run: {what}; remove its folder to go on without it") from error
    return stored


def lacks_figures(stored: StoredRun) -> bool:
    """Whether a run is of an edgebench that did not store its figures, so that they are made of its trace."""
    figures = stored.run.figures
    return figures is None or (figures.geomean_ns is None and bool(figures.p50_ns))


def _with_figures(stored: Sequence[StoredRun], on_unreadable: OnUnreadable | None) -> dict[str, Run]:
    """Return the runs with their figures, by id; those that an older edgebench stored without, from their traces.

    A run whose trace can't be read raises, or is reported and left out.
    """
    found = {each.run.id: each.run for each in stored}
    by_process: dict[str, list[StoredRun]] = {}
    for each in stored:
        if lacks_figures(each):
            by_process.setdefault(each.run.process, []).append(each)
    for of_process in by_process.values():
        with connect() as connection:
            timed = [run for _, run in _with_traces(connection, of_process, on_unreadable)]
        for unreadable in {each.run.id for each in of_process} - {run.id for run in timed}:
            del found[unreadable]
        for run in with_ratios(timed):  # an older edgebench stored other ratios of runs that alternated
            ratios = {**found[run.id].log_ratios, **run.log_ratios}
            found[run.id] = replace(found[run.id], figures=figures_of(run), log_ratios=ratios)
    return found


def _batches(stored: Sequence[StoredRun]) -> Iterator[list[StoredRun]]:
    """Yield runs in groups that are read at once: many small ones, few large ones."""
    batch: list[StoredRun] = []
    for each in stored:
        batch.append(each)
        if len(batch) == _BATCH_RUNS or sum(kept.latencies_count for kept in batch) > _BATCH_LATENCIES:
            yield batch
            batch = []
    if batch:
        yield batch


def _with_traces(
    connection: duckdb.DuckDBPyConnection, batch: Sequence[StoredRun], on_unreadable: OnUnreadable | None
) -> Iterator[tuple[StoredRun, Run]]:
    """Yield the runs of a batch with their traces; one that can't be read raises, or is reported and left out."""
    try:
        traces = read_traces(connection, [each.folder / "trace.parquet" for each in batch])
        for each, trace in zip(batch, traces, strict=True):
            _check_count(each, trace)
    except StoreError as error:
        if len(batch) > 1:  # one by one, to find out which it is
            for each in batch:
                yield from _with_traces(connection, [each], on_unreadable)
        elif on_unreadable is None:
            raise
        else:
            on_unreadable(error)
        return
    for each, trace in zip(batch, traces, strict=True):
        yield each, replace(each.run, trace=trace, figures=None)


def _check_count(stored: StoredRun, trace: Trace) -> None:
    if len(trace.latencies_ns) != stored.latencies_count:
        raise StoreError(
            f"{stored.folder}: trace.parquet has {len(trace.latencies_ns)} latencies, run.json says "
            f"{stored.latencies_count}; remove the folder to go on without it"
        )
