"""Store: a folder of results.

    runs/<run_id>/                      immutable runs (see runs.py)
    sessions/<id>.json                  what a session planned, for resuming
    operators/, cold_starts/, searches/ what belongs to a measurement but not to one of its runs
    evaluations/<id>.json               what an artifact answered to a task's examples in one language, and its scores

All appear by rename, complete or not at all; names that begin with a dot are unfinished and ignored. There is no
catalogue: the folder is the truth, and may be copied, merged and synchronised as it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from edgebench.errors import StoreError
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.figures import ColdStart
from edgebench.measurement import Measurement, Subject
from edgebench.operators import OperatorProfile
from edgebench.reason import Reason, ReasonCode
from edgebench.run import Run
from edgebench.stats import RateSearch
from edgebench.store import documents, queries
from edgebench.store.files import writing
from edgebench.store.runs import (
    OnUnreadable,
    RunFolder,
    StoredRun,
    measurements_by_figures,
    measurements_of,
    unknown_name,
)


class Store:
    """A folder of results. Constructing it touches nothing; the folder appears with the first thing written."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._runs = RunFolder(self.folder)
        self._sessions = documents.sessions(self.folder)
        self._operators = documents.operators(self.folder)
        self._cold_starts = documents.cold_starts(self.folder)
        self._searches = documents.searches(self.folder)
        self._evaluations = documents.evaluations(self.folder)

    def check_writable(self) -> None:
        """Make sure that results can be kept, before anything is measured.

        Raises:
            StoreError: the folder can't be made or written.
        """
        with writing(self.folder):
            for folder in (self._runs.folder, self._sessions.folder):
                folder.mkdir(parents=True, exist_ok=True)
                probe = folder / f".probe-{secrets.token_hex(4)}"
                probe.touch()
                probe.unlink()

    # --- runs and measurements ----------------------------------------------------------------------------------

    def add_run(self, subject: Subject, run: Run) -> Path:
        """Keep a run, complete and for good; return its folder.

        Raises:
            StoreError: the store has a run of that id, the id can't name a folder, or the store can't be written.
        """
        return self.add_runs([(subject, run)])[0]

    def add_runs(self, runs: Sequence[tuple[Subject, Run]]) -> list[Path]:
        """Keep runs that belong together, complete and for good; return their folders.

        Raises:
            StoreError: as `add_run`.
        """
        return self._runs.add(runs)

    def measurements(
        self,
        *,
        device: str | None = None,
        variant: str | None = None,
        format: str | None = None,
        session: str | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> list[Measurement]:
        """Return the measurements that fit, the oldest session first; each is put together from its runs.

        Of a session, only its own runs are read: unreadable runs of others don't matter.

        Raises:
            StoreError: a run can't be read; with `on_unreadable`, that is called instead and the run left out.
        """
        wanted = {"device": device, "variant": variant, "format": format, "session": session}
        kept = [
            stored
            for stored in self._runs.each(on_unreadable, prefix=f"{session}-" if session is not None else "")
            if all(value is None or _property(stored.subject, name) == value for name, value in wanted.items())
        ]
        return [self.complete(each, on_unreadable) for each in measurements_of(kept, on_unreadable)]

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
        return measurements_by_figures(kept, on_unreadable)

    def measurement(self, id: str) -> Measurement:
        """Return the measurement with this id, or the one whose id begins so.

        Raises:
            UnknownName: nothing has it.
            UsageError: several begin so.
            StoreError: one of its runs can't be read.
        """
        (measurement,) = measurements_of(self._runs.of_measurements([id]))
        return self.complete(measurement)

    def complete(self, measurement: Measurement, on_unreadable: OnUnreadable | None = None) -> Measurement:
        """Return the measurement with its operators, cold start and rate search, as far as they are stored.

        Raises:
            StoreError: one can't be read; with `on_unreadable`, that is called instead and the part left out.
        """
        parts: dict[str, Any] = {}
        read = {"operators": self.operators, "cold_start": self.cold_start, "find_qps": self.search}
        for name, find in read.items():
            try:
                parts[name] = find(measurement.id)
            except StoreError as error:
                if on_unreadable is None:
                    raise
                on_unreadable(error)
        search = parts.get("find_qps")
        if search is not None and search.qps is None:
            doubt = Reason(ReasonCode.RATE_NOT_CONFIRMED, "no rate is confirmed yet")
            parts["reasons"] = (*measurement.reasons, doubt)
        return replace(measurement, **parts)

    # --- documents ----------------------------------------------------------------------------------------------

    def write_session(self, id: str, values: Mapping[str, Any]) -> None:
        """Keep what a session needs to be resumed; what was there under this id is replaced.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._sessions.write(id, values)

    def read_session(self, id: str) -> dict[str, Any]:
        """Return what `write_session` kept.

        Raises:
            UnknownName: there is no such session.
            StoreError: it can't be read.
        """
        values = self._sessions.read(id) if id in (known := self.sessions()) else None
        if values is None:
            raise unknown_name("session", id, known, f"store {self.folder}")
        return dict(values)

    def sessions(self) -> list[str]:
        """Return the ids of the stored sessions, sorted."""
        return self._sessions.ids()

    def write_operators(self, id: str, profile: OperatorProfile) -> None:
        """Keep the operators of a measurement; an earlier profile is replaced.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._operators.write(id, profile)

    def operators(self, id: str) -> OperatorProfile | None:
        """Return the operators of a measurement; None where they were not profiled.

        Raises:
            StoreError: they can't be read.
        """
        return self._operators.read(id)

    def write_cold_start(self, id: str, started: ColdStart) -> None:
        """Keep the cold start of a measurement.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._cold_starts.write(id, started)

    def cold_start(self, id: str) -> ColdStart | None:
        """Return the cold start of a measurement; None where it was not measured.

        Raises:
            StoreError: it can't be read.
        """
        return self._cold_starts.read(id)

    def write_search(self, id: str, search: RateSearch) -> None:
        """Keep how far the search of a server's rate got; what was there is replaced. `id`: of its first measurement.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._searches.write(id, search)

    def search(self, id: str) -> RateSearch | None:
        """Return how a server's rate was found, or how far that got; None where none was searched.

        Raises:
            StoreError: it can't be read.
        """
        return self._searches.read(id.partition(".")[0])

    def write_evaluation(self, evaluation: LanguageEvaluation) -> None:
        """Keep what an artifact's answers score on a task in one language; what was there under this id is replaced.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._evaluations.write(evaluation.id, evaluation)

    def evaluation(self, id: str) -> LanguageEvaluation | None:
        """Return the evaluation of that id; None where there is none.

        Raises:
            StoreError: it can't be read.
        """
        return self._evaluations.read(id)

    def evaluations(self, *, artifact_sha256: str | None = None) -> list[LanguageEvaluation]:
        """Return the stored evaluations, of that artifact or of all, by id.

        Raises:
            StoreError: one can't be read.
        """
        found = [each for each in map(self.evaluation, self._evaluations.ids()) if each is not None]
        return [each for each in found if artifact_sha256 in (None, each.scores[0].artifact_sha256)]

    # --- queries and exports ------------------------------------------------------------------------------------

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query in DuckDB's SQL over the views `runs` (one row a run) and `traces`.

        Raises:
            StoreError: a run can't be read.
            UsageError: the query is not valid.
        """
        return queries.query(_folders(self._runs.each()), sql)

    def export(self, target: Path, *, ids: Sequence[str] = (), kind: Literal["csv", "parquet"]) -> int:
        """Write one row per timed inference, with its run, variant, format, device and workload; return how many.

        Each row has the last readings of the sensors before the inference began (see `conditions_of`), null where there
        were none. Runs that are not valid are included, and so are excluded inferences: see the columns `valid`,
        `reasons` and `cut`.

        Args:
            target: the file; what was there is replaced once the new one is complete.
            ids: of measurements, or how they begin; none: all.

        Raises:
            UnknownName, UsageError: an id that nothing has, or that several begin with.
            StoreError: a run can't be read, or the file not written.
        """
        return queries.export(_folders(self._runs.of_measurements(ids) if ids else self._runs.each()), target, kind)


def _folders(stored: Iterable[StoredRun]) -> list[Path]:
    return [each.folder for each in stored]


def _property(subject: Subject, name: str) -> Any:
    match name:
        case "device":
            return subject.device.name
        case "variant":
            return subject.variant.name
        case "format":
            return str(subject.artifact.format)
        case _:
            return subject.session
