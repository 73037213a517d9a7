"""Store: a folder of results.

    runs/<run_id>/                      immutable runs (see runs.py)
    sessions/<id>.json                  what a session planned, for resuming
    operators/, cold_starts/, searches/ what belongs to a measurement but not to one of its runs
    tags/<id>.json                      words that a user gave to a measurement
    evaluations/<id>.json               what an artifact answered to a task's examples in one language, and its scores

All appear by rename, complete or not at all; names that begin with a dot are unfinished and ignored. There is no
catalogue: the folder is the truth, and may be copied, merged and synchronised as it is.

A store in a bucket has the same objects, and an index of its runs (see `remote`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from edgebench.errors import UsageError
from edgebench.measurement import Measurement, Subject
from edgebench.run import Run
from edgebench.store import queries
from edgebench.store.completion import completed
from edgebench.store.deletion import runs_left
from edgebench.store.digest import ListedMeasurement, listed
from edgebench.store.files import check_writable, sweep
from edgebench.store.location import absolute_location
from edgebench.store.placing import place_of
from edgebench.store.runs import (
    OnUnreadable,
    StoredRun,
    lacks_figures,
    measurements_by_figures,
    measurements_of,
)
from edgebench.store.selection import Moment, Selection, moment
from edgebench.store.sql import QueryResult, needs_traces, run_query
from edgebench.store.stored_runs import StoredRuns
from edgebench.store.tags import changed_tags, tags_of

EVERYTHING = Selection()
_MEASUREMENTS_AT_A_TIME = 32


class Store(StoredRuns):
    """Results in a folder, or in a bucket: `s3://bucket/prefix` (extra `bucket`), `gs://` or `az://`.

    Constructing it touches nothing; the folder appears with the first thing written. It may be pickled: it opens the
    same place elsewhere.

    Raises:
        ConfigError: the address has an unknown scheme, or names no bucket.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(place_of(folder))
        self._tags = tags_of(self._place)

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return type(self), (absolute_location(self.location),)

    @property
    def location(self) -> str:
        """What names the store, also in another process: a folder or an address."""
        return self._place.location

    def check_writable(self) -> None:
        """Make sure that results can be kept, before anything is measured; remove what a killed process left.

        Raises:
            StoreError: the folder can't be made or written, or the bucket not be read or written.
        """
        self._place.begin_writing()
        check_writable(self.folder, [self._runs.folder, self._sessions.folder])
        for kind in (self._runs, self._sessions, self._operators, self._cold_starts, self._searches, self._tags):
            sweep(kind.folder)

    # --- runs and measurements ----------------------------------------------------------------------------------

    def add_run(self, subject: Subject, run: Run) -> Path:
        """Keep a run, complete and for good; return its folder.

        Raises:
            StoreError: the store has a run of that id, the id can't name a folder, or the store can't be written.
        """
        return self.add_runs([(subject, run)])[0]

    def add_runs(self, runs: Sequence[tuple[Subject, Run]], *, replacing: bool = False) -> list[Path]:
        """Keep runs that belong together, complete and for good; return their folders.

        `replacing`: instead of what was kept of the same runs when they were interrupted, which counts for nothing.

        Raises:
            StoreError: as `add_run`.
        """
        return self._runs.add(runs, replacing=replacing)

    def recent_runs(self, device: str, *, most: int) -> list[StoredRun]:
        """Return the latest runs on a device, those first, without their traces; unreadable ones are left out."""
        return self._runs.recent(lambda subject: subject.device.name == device, most=most)

    def has_run(self, id: str) -> bool:
        """Return whether the store has the run of that id, readable or not."""
        return self._runs.has(id)

    def interrupted_runs(self, session: str) -> dict[str, int]:
        """Return the runs of a session that ended early, as far as they were received: how many latencies each has."""
        return self._runs.interrupted(prefix=f"{session}-")

    def measurements(
        self,
        *,
        device: str | None = None,
        variant: str | None = None,
        format: str | None = None,
        session: str | None = None,
        tag: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> list[Measurement]:
        """Return the measurements that fit, the oldest session first; each is put together from its runs.

        Of a session, only its own runs are read: unreadable runs of others don't matter.

        Args:
            since, until: when the first run of a measurement began: a date (both days included) or a time, as Python's
                or in ISO 8601; UTC unless it says otherwise.

        Raises:
            StoreError: a run can't be read; with `on_unreadable`, that is called instead and the run left out.
            UsageError: a date is none.
        """
        where = Selection(
            device=device,
            variant=variant,
            format=format,
            session=session,
            tag=tag,
            since=moment(since) if since is not None else None,
            until=moment(until, is_end=True) if until is not None else None,
        )
        return self.select(where, on_unreadable=on_unreadable)

    def select(
        self, where: Selection, *, ids: Sequence[str] = (), on_unreadable: OnUnreadable | None = None
    ) -> list[Measurement]:
        """Return the measurements that fit, as `measurements` does; of those named by `ids` only, if there are any.

        Raises:
            StoreError: as `measurements`.
            UnknownName, UsageError: an id that nothing has, or that several begin with.
        """
        found = self._with_traces(self._selected(where, on_unreadable, ids), on_unreadable)
        return [self.complete(each, on_unreadable) for each in found]

    def each_measurement(
        self, where: Selection = EVERYTHING, *, ids: Sequence[str] = (), on_unreadable: OnUnreadable | None = None
    ) -> Iterator[Measurement]:
        """Yield what `select` returns, a few measurements in memory at a time: for as many as there are.

        Raises:
            StoreError, UnknownName, UsageError: as `select`.
        """
        runs: dict[str, list[StoredRun]] = {}
        for each in sorted(self._selected(where, on_unreadable, ids), key=lambda each: each.run.started_at):
            runs.setdefault(each.subject.id, []).append(each)
        of_each = list(runs.values())
        for at in range(0, len(of_each), _MEASUREMENTS_AT_A_TIME):
            some = [each for of_one in of_each[at : at + _MEASUREMENTS_AT_A_TIME] for each in of_one]
            for measurement in self._with_traces(some, on_unreadable):
                yield self.complete(measurement, on_unreadable)

    def count_runs(self, where: Selection, *, ids: Sequence[str] = ()) -> int:
        """Return how many readable runs `select` would read, without their traces.

        Raises:
            UnknownName, UsageError: as `select`.
        """
        return len(self._selected(where, lambda _: None, ids))

    def _selected(
        self, where: Selection, on_unreadable: OnUnreadable | None = None, ids: Sequence[str] = ()
    ) -> list[StoredRun]:
        if ids:
            return where.of(self._runs.of_measurements(ids), self.tags)
        if (digests := self._place.digests()) is not None:
            chosen = {each.id for each in where.of_digests(digests, self.tags)}
            return where.of(list(self._runs.of_ids(chosen, on_unreadable)), self.tags)
        prefix = f"{where.session}-" if where.session is not None else ""
        return where.of(list(self._runs.each(on_unreadable, prefix=prefix)), self.tags)

    def _with_traces(self, stored: Sequence[StoredRun], on_unreadable: OnUnreadable | None = None) -> list[Measurement]:
        self._runs.bring_traces(stored)
        return measurements_of(stored, on_unreadable)

    def listed(self, where: Selection = EVERYTHING) -> list[ListedMeasurement] | None:
        """Return one line for each measurement that fits, without reading its runs; None: the store is no bucket.

        Raises:
            StoreError: the bucket can't be read.
        """
        digests = self._place.digests()
        if digests is None:
            return None
        found = listed(where.of_digests(digests, self.tags))
        tagged = set(self._tags.ids())
        return [replace(each, tags=self.tags(each.id)) if each.id in tagged else each for each in found]

    def measurements_by_figures(
        self, wanted: Callable[[Subject], bool], *, on_unreadable: OnUnreadable | None = None
    ) -> list[Measurement]:
        """Return the wanted measurements as far as run.json has them, the oldest first: many, and fast.

        Their runs have figures to compare by and no traces; of the measurement itself, latency, throughput and energy
        are None.

        Raises:
            StoreError: a run can't be read; with `on_unreadable`, that is called instead and the run left out.
        """
        kept = [each for each in self._runs.each(on_unreadable) if wanted(each.subject)]
        self._runs.bring_traces([each for each in kept if lacks_figures(each)])
        return measurements_by_figures(kept, on_unreadable)

    def subjects(self) -> list[Subject]:
        """Return what was measured, one for each measurement; runs that can't be read are left out."""
        digests = self._place.digests()
        if digests is None:
            return list({each.subject.id: each.subject for each in self._runs.each(lambda _: None)}.values())
        one_of_each = {each.measurement: each.id for each in digests}
        found = self._runs.of_ids(set(one_of_each.values()), lambda _: None)
        return list({each.subject.id: each.subject for each in found}.values())

    def measurement(self, id: str) -> Measurement:
        """Return the measurement with this id, or the one whose id begins so.

        Raises:
            UnknownName: nothing has it.
            UsageError: several begin so.
            StoreError: one of its runs can't be read.
        """
        (measurement,) = self._with_traces(self._runs.of_measurements([id]))
        return self.complete(measurement)

    def complete(self, measurement: Measurement, on_unreadable: OnUnreadable | None = None) -> Measurement:
        """Return the measurement with its operators, cold start and rate search, as far as they are stored.

        Raises:
            StoreError: one can't be read; with `on_unreadable`, that is called instead and the part left out.
        """
        find = {
            "operators": self.operators,
            "cold_start": self.cold_start,
            "find_qps": self.search,
            "tags": self.tags,
        }
        return completed(measurement, find, on_unreadable)

    def ids(self, name: str) -> list[str]:
        """Return the measurements that a name stands for: all of a session, or one by its id or how that begins.

        Raises:
            UnknownName: nothing has it.
            UsageError: several begin so.
        """
        known = sorted({each.id: each for each in self.subjects()}.values(), key=lambda each: each.id)
        of_session = [each.id for each in known if each.session == name]
        return of_session or [self._runs.of_measurements([name])[0].subject.id]

    def delete(self, ids: Sequence[str]) -> int:
        """Delete measurements with all that belongs to them; return how many runs are gone.

        The request of a session goes with its last measurement. Evaluations stay: they belong to files.

        Args:
            ids: of measurements, or how they begin.

        Raises:
            UnknownName: nothing has an id.
            UsageError: several begin so, or a measurement alternated in its runs with one that would be left.
            StoreError: the store can't be written.
        """
        doomed = self._runs.of_measurements(ids)
        left = runs_left(doomed, self._runs.each(lambda _: None))
        self._runs.remove(doomed)
        for id in {each.subject.id for each in doomed}:
            for kind in (self._operators, self._cold_starts, self._tags):
                kind.remove(id)
        # The measurements at the rates of one search share what it found.
        searched = {each.subject.id.partition(".")[0] for each in left}
        for id in {each.subject.id.partition(".")[0] for each in doomed} - searched:
            self._searches.remove(id)
        for session in {each.subject.session for each in doomed} - {each.subject.session for each in left}:
            self._sessions.remove(session)
        return len(doomed)

    def tags(self, id: str) -> tuple[str, ...]:
        """Return the tags of a measurement, sorted.

        Raises:
            StoreError: they can't be read.
        """
        return tuple(self._tags.read(id) or ())

    def tag(self, id: str, *tags: str, remove: bool = False) -> tuple[str, ...]:
        """Add tags to a measurement, or remove them; return those that it has then.

        Args:
            id: of the measurement, or how it begins.
            remove: remove them; one that it does not have is left as it is.

        Raises:
            UnknownName: nothing has the id.
            UsageError: several begin so, or a tag is no word.
            StoreError: the store can't be written.
        """
        (full,) = {each.subject.id for each in self._runs.of_measurements([id])}
        return changed_tags(self._tags, full, tags, remove=remove, keep_empty=self._place.is_remote)

    # --- queries and exports ------------------------------------------------------------------------------------

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query in DuckDB's SQL, each by the names of its columns; see `query_table`.

        Raises:
            StoreError, UsageError: as `query_table`.
        """
        return self.query_table(sql).to_dicts()

    def query_table(self, sql: str, *, limit: int | None = None, where: Selection = EVERYTHING) -> QueryResult:
        """Return what a query in DuckDB's SQL returns, over `runs`, `inferences`, `sensors`, `scores` and `traces`.

        It can only read these tables: no file, network or setting.

        Args:
            sql: one statement that reads.
            limit: rows that are returned at most; None: all.
            where: the measurements whose runs the tables have; of a large store, a few are read much faster.

        Raises:
            StoreError: a run or an evaluation can't be read.
            UsageError: the query is not valid, or is none that reads.
        """
        stored = self._selected(where)
        if needs_traces(sql):
            self._runs.bring_traces(stored)
        return run_query([each.folder for each in stored], self.evaluations, sql, limit=limit)

    def export(
        self,
        target: Path,
        *,
        ids: Sequence[str] = (),
        kind: Literal["csv", "parquet"],
        where: Selection = EVERYTHING,
    ) -> int:
        """Write one row per timed inference, with its run, variant, format, device and workload; return how many.

        Sorted by when the runs began, then by run and time.

        Each row has the last readings of the sensors before the inference began (see `conditions_of`), null where there
        were none. Runs that are not valid are included, and so are excluded inferences: see the columns `valid`,
        `reasons` and `cut`.

        Args:
            target: the file; what was there is replaced once the new one is complete.
            ids: of measurements, or how they begin; none: all.
            where: which of these.

        Raises:
            UnknownName, UsageError: an id that nothing has, or that several begin with; or nothing fits `where`.
            StoreError: a run can't be read, or the file not written.
        """
        stored = self._selected(where, ids=ids)
        if not stored and where != EVERYTHING:
            raise UsageError(self.why_nothing_fits(where))
        self._runs.bring_traces(stored)
        return queries.export([each.folder for each in stored], target, kind)

    def why_nothing_fits(self, where: Selection) -> str:
        """Return in one line that no measurement fits, and the nearest of what there is."""
        return where.nothing_fits([(each, self.tags(each.id)) for each in self.subjects()])
