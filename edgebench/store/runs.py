"""Runs: folders of a store that appear at once, complete, and never change.

    runs/<run_id>/run.json        what was measured, on what, and every figure but the raw ones (see run_json.py)
    runs/<run_id>/trace.parquet   every latency, warm-up included, and every reading (see traces.py)

A name that begins with a dot is an unfinished run, and is ignored.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.analysis import figures_of, summarise, with_ratios
from edgebench.errors import EdgebenchError, StoreError, UnknownName, UsageError, nearest
from edgebench.measurement import FORMAT_VERSION, Measurement, Subject
from edgebench.reason import Reason, ReasonCode
from edgebench.run import Run, Trace
from edgebench.store.files import checked_id, is_id, read_document, sync, to_text, writing
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

    def __init__(self, store: Path) -> None:
        self.folder = store / "runs"
        self._store = store

    def add(self, runs: Sequence[tuple[Subject, Run]], *, replacing: bool = False) -> list[Path]:
        """Keep runs that belong together; return their folders.

        They appear one after the other, within the moment that it takes to rename them. `replacing`: instead of what
        was kept of the same runs before they had ended.

        Raises:
            StoreError: the store has a run of one of the ids, an id can't name a folder, or the store can't be written.
        """
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
        return list(targets)

    def has(self, id: str) -> bool:
        """Return whether there is a run of that id."""
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
        for folder in sorted(self.folder.glob("[!.]*")):
            if not (folder.name.startswith(prefix) and folder.is_dir()):
                continue
            try:
                yield self._with_partners(_read(folder))
            except StoreError as error:
                if on_unreadable is None:
                    raise
                on_unreadable(error)

    def recent(self, wanted: Callable[[Subject], bool], *, most: int) -> list[StoredRun]:
        """Return the latest runs that are wanted, those first; of a long history, only its end is read.

        Ids begin with the time of the session. Unreadable runs are left out.
        """
        found: list[StoredRun] = []
        for folder in sorted(self.folder.glob("[!.]*"), reverse=True)[:_SEARCHED]:
            if len(found) == most:
                break
            try:
                stored = _read(folder)
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
        everything = list(self.each(unreadable.append))
        known = {stored.subject.id for stored in everything}
        kept = []
        for id in dict.fromkeys(ids):
            matches = [id] if id in known else sorted(name for name in known if name.startswith(id))
            if len(matches) > 1:
                shown = ", ".join(matches[:FEW]) + (" ..." if len(matches) > FEW else "")
                raise UsageError(f"{id!r} is the beginning of {len(matches)} measurements: {shown}; give more of it")
            if not matches:
                if unreadable:
                    raise unreadable[0]
                raise unknown_name("measurement", id, sorted(known), f"store {self._store}; see: edgebench runs list")
            kept += [stored for stored in everything if stored.subject.id == matches[0]]
        return kept

    def remove(self, stored: Sequence[StoredRun]) -> None:
        """Delete runs: each disappears at once, by rename.

        Raises:
            StoreError: the store can't be written.
        """
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
        if all((self.folder / other).is_dir() for other in stored.run.log_ratios if is_id(other)):
            return stored
        missing = Reason(ReasonCode.PARTNER_MISSING, "the run of a model that it alternated with is missing")
        return replace(stored, run=replace(stored.run, reasons=(*stored.run.reasons, missing)))


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


def _read(folder: Path) -> StoredRun:
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


def _with_figures(stored: Sequence[StoredRun], on_unreadable: OnUnreadable | None) -> dict[str, Run]:
    """Return the runs with their figures, by id; those that an older edgebench stored without, from their traces.

    A run whose trace can't be read raises, or is reported and left out.
    """
    found = {each.run.id: each.run for each in stored}
    by_process: dict[str, list[StoredRun]] = {}
    for each in stored:
        figures = each.run.figures
        if figures is None or (figures.geomean_ns is None and figures.p50_ns):
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
