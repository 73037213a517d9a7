"""Store: a folder of immutable runs, queried in place by DuckDB.

    runs/<run_id>/run.json        what was measured, on what, and every figure but the raw ones
    runs/<run_id>/trace.parquet   every latency, warm-up included, and every reading (see trace_file.py)
    sessions/<id>.json            what a session planned, for resuming; opaque here
    operators/<id>.json, cold_starts/<id>.json, searches/<id>.json      what belongs to a measurement beside its runs
    evaluations/<id>.json         what an artifact answered to a task's examples in one language, and its scores

All appear by rename, complete or not at all; names that begin with a dot are unfinished and ignored. There is no
catalogue: the folder is the truth, and may be copied, merged and synchronised as it is.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from edgebench._version import __version__
from edgebench.analysis.conditions import CPU_ZONES, FREQUENCY, OTHERS_CPU, THROTTLED
from edgebench.analysis.summary import figures_of, summarise, summarise_run
from edgebench.artifact import Artifact
from edgebench.errors import EdgebenchError, StoreError, UnknownName, UsageError, nearest
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.measurement import (
    FORMAT_VERSION,
    ColdStart,
    Measurement,
    Memory,
    Overhead,
    Run,
    RunFigures,
    Subject,
    Trace,
)
from edgebench.operators import OperatorProfile
from edgebench.sensors import TEMPERATURE
from edgebench.stats.rate_search import RateSearch
from edgebench.store.traces import TIMED, connect, first_line, read_traces, sql_glob, sql_text, write_trace
from edgebench.variant import Variant

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")
OnUnreadable = Callable[[StoreError], None]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_FEW = 10  # names that still fit into a message
_BATCH_RUNS = 256
_BATCH_LATENCIES = 1_000_000


@dataclass(frozen=True, slots=True)
class _Stored:
    """A run as run.json has it: all but its trace, which is empty here and lies in `folder`."""

    folder: Path
    subject: Subject
    run: Run
    latencies_count: int


class Store:
    """A folder of results. Constructing it touches nothing; the folder appears with the first thing written."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._runs = self.folder / "runs"
        self._sessions = self.folder / "sessions"
        self._operators = self.folder / "operators"
        self._cold_starts = self.folder / "cold_starts"
        self._searches = self.folder / "searches"
        self._evaluations = self.folder / "evaluations"

    # --- writing ------------------------------------------------------------------------------------------------

    def check_writable(self) -> None:
        """Make sure that results can be kept, before anything is measured.

        Raises:
            StoreError: the folder can't be made or written.
        """
        with self._writing():
            for folder in (self._runs, self._sessions):
                folder.mkdir(parents=True, exist_ok=True)
                probe = folder / f".probe-{secrets.token_hex(4)}"
                probe.touch()
                probe.unlink()

    def add_run(self, subject: Subject, run: Run) -> Path:
        """Keep a run, complete and for good; return its folder.

        Raises:
            StoreError: the store has a run of that id, the id can't name a folder, or the store can't be written.
        """
        return self.add_runs([(subject, run)])[0]

    def add_runs(self, runs: Sequence[tuple[Subject, Run]]) -> list[Path]:
        """Keep runs that belong together, complete and for good; return their folders.

        They appear one after the other, within the moment that it takes to rename them.

        Raises:
            StoreError: as `add_run`.
        """
        targets = {
            self._runs / _checked_id(run.id): self._runs / f".{run.id}.{secrets.token_hex(4)}" for _, run in runs
        }
        for target in targets:
            if target.exists():
                raise StoreError(f"{target} exists; a stored run is never changed")
        with self._writing():
            try:
                for (subject, run), temporary in zip(runs, targets.values(), strict=True):
                    _write_run(temporary, subject, run)
                for target, temporary in targets.items():
                    temporary.rename(target)
            except BaseException:
                for temporary in targets.values():
                    shutil.rmtree(temporary, ignore_errors=True)
                raise
            _sync(self._runs)
        return list(targets)

    def write_session(self, id: str, values: Mapping[str, Any]) -> None:
        """Keep what a session needs to be resumed; what was there under this id is replaced.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._write_json(self._sessions, id, values)

    def write_operators(self, id: str, profile: OperatorProfile) -> None:
        """Keep the operators of a measurement; a profile of before is replaced.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._write_json(self._operators, id, {"format_version": FORMAT_VERSION} | profile.to_json())

    def write_cold_start(self, id: str, started: ColdStart) -> None:
        """Keep the cold start of a measurement.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._write_json(self._cold_starts, id, {"format_version": FORMAT_VERSION} | asdict(started))

    def write_search(self, id: str, search: RateSearch) -> None:
        """Keep how far the search of a server's rate got; what was there is replaced. `id`: of its first measurement.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._write_json(self._searches, id, {"format_version": FORMAT_VERSION} | search.to_json())

    def write_evaluation(self, evaluation: LanguageEvaluation) -> None:
        """Keep what an artifact's answers score on a task in one language; what was there under this id is replaced.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        values = {"format_version": FORMAT_VERSION} | evaluation.to_json()
        self._write_json(self._evaluations, evaluation.id, values)

    def _write_json(self, folder: Path, id: str, values: Mapping[str, Any]) -> None:
        target = folder / f"{_checked_id(id)}.json"
        temporary = folder / f".{id}.{secrets.token_hex(4)}"
        text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text + "\n", encoding="utf-8")
            _sync(temporary)
            temporary.replace(target)
            _sync(folder)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        import duckdb

        try:
            yield
        except OSError as error:
            raise StoreError(f"can't write to the store {self.folder}: {error.strerror}; try --store DIR") from error
        except duckdb.Error as error:
            raise StoreError(f"can't write to the store {self.folder}: {first_line(error)}") from error

    # --- reading ------------------------------------------------------------------------------------------------

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

        Of a session, only its own runs are read: others that can't be don't matter.

        Raises:
            StoreError: a run can't be read; with `on_unreadable`, that is called instead and the run left out.
        """
        wanted = {"device": device, "variant": variant, "format": format, "session": session}
        kept = [
            stored
            for stored in self._stored(on_unreadable, prefix=f"{session}-" if session is not None else "")
            if all(value is None or _property(stored.subject, name) == value for name, value in wanted.items())
        ]
        return [self.complete(each, on_unreadable) for each in _put_together(kept, on_unreadable)]

    def measurements_by_figures(self, wanted: Callable[[Subject], bool]) -> list[Measurement]:
        """Return the wanted measurements as far as run.json tells, the oldest session first: many, and fast.

        Their runs have figures to compare by and no traces; of the measurement itself, latency, throughput and energy
        are None.

        Raises:
            StoreError: a run can't be read.
        """
        kept = [each for each in self._stored(None) if wanted(each.subject)]
        runs: dict[str, list[Run]] = {}
        for each in sorted(kept, key=lambda each: (each.run.started_at, each.run.id)):
            runs.setdefault(each.subject.id, []).append(replace(each.run, figures=self._figures(each)))
        subjects = {each.subject.id: each.subject for each in kept}
        return [summarise(subjects[id], of) for id, of in runs.items()]

    def _figures(self, stored: _Stored) -> RunFigures:
        """Return a run's figures; of one that an older edgebench kept, from its trace."""
        if stored.run.figures is not None:
            return stored.run.figures
        with connect() as connection:
            ((_, run),) = _with_traces(connection, [stored], None)
        return figures_of(run)

    def measurement(self, id: str) -> Measurement:
        """Return the measurement with this id, or the one whose id begins so.

        Raises:
            UnknownName: nothing has it.
            UsageError: several begin so.
            StoreError: one of its runs can't be read.
        """
        (measurement,) = _put_together(self._stored_of([id]), None)
        return self.complete(measurement)

    def operators(self, id: str) -> OperatorProfile | None:
        """Return the operators of a measurement; None where they were not profiled.

        Raises:
            StoreError: they can't be read.
        """
        return self._read_beside(self._operators, id, OperatorProfile.from_json)

    def cold_start(self, id: str) -> ColdStart | None:
        """Return the cold start of a measurement; None where it was not measured.

        Raises:
            StoreError: it can't be read.
        """
        names = ("load_ns", "first_ns", "resident_share")
        return self._read_beside(
            self._cold_starts, id, lambda values: ColdStart(**{name: values[name] for name in names})
        )

    def search(self, id: str) -> RateSearch | None:
        """Return how a server's rate was found, or how far that got; None where none was searched.

        Raises:
            StoreError: it can't be read.
        """
        return self._read_beside(self._searches, id.partition(".")[0], RateSearch.from_json)

    def evaluation(self, id: str) -> LanguageEvaluation | None:
        """Return the evaluation of that id; None where there is none.

        Raises:
            StoreError: it can't be read.
        """
        return self._read_beside(self._evaluations, id, LanguageEvaluation.from_json)

    def evaluations(self, *, artifact_sha256: str | None = None) -> list[LanguageEvaluation]:
        """Return the stored evaluations, of that artifact or of all, by id.

        Raises:
            StoreError: one can't be read.
        """
        ids = sorted(path.stem for path in self._evaluations.glob("[!.]*.json"))
        found = [each for each in map(self.evaluation, ids) if each is not None]
        return [each for each in found if artifact_sha256 in (None, each.scores[0].artifact_sha256)]

    def _read_beside(self, folder: Path, id: str, parse: Callable[[dict[str, Any]], T]) -> T | None:
        path = folder / f"{id}.json"
        if not path.is_file():
            return None
        values = _read_json(path)
        try:
            return parse(values)
        except (KeyError, TypeError, ValueError, StoreError) as error:
            raise StoreError(f"{path} is damaged: {error}; remove it to go on without it") from error

    def complete(self, measurement: Measurement, on_unreadable: OnUnreadable | None = None) -> Measurement:
        """Return the measurement with what is kept beside its runs.

        Raises:
            StoreError: that can't be read; with `on_unreadable`, that is called instead and the part left out.
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
        return replace(measurement, **parts)

    def sessions(self) -> list[str]:
        """Return the ids of the stored sessions, sorted."""
        return sorted(path.stem for path in self._sessions.glob("[!.]*.json"))

    def read_session(self, id: str) -> dict[str, Any]:
        """Return what `write_session` kept.

        Raises:
            UnknownName: there is no such session.
            StoreError: it can't be read.
        """
        if id not in (known := self.sessions()):
            raise _unknown("session", id, known, f"store {self.folder}")
        return _read_json(self._sessions / f"{id}.json")

    # --- querying in place --------------------------------------------------------------------------------------

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query in DuckDB's SQL over the views `runs` (one row a run) and `traces`.

        Raises:
            StoreError: a run can't be read.
            UsageError: the query is not valid.
        """
        import duckdb

        with self._views(list(self._stored(None))) as connection:
            try:
                result = connection.execute(sql)
                names = [column[0] for column in result.description or ()]
                return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
            except duckdb.IOException as error:
                raise StoreError(f"can't read the store {self.folder}: {first_line(error)}") from error
            except duckdb.Error as error:
                raise UsageError(f"the query is not valid: {first_line(error)}") from error

    def export(self, target: Path, *, ids: Sequence[str] = (), kind: Literal["csv", "parquet"]) -> int:
        """Write one row per timed inference, with its run, variant, format, device and workload; return how many.

        Each has what the sensors had last told when it began (see `conditions_of`), null where they had told nothing.

        Args:
            target: the file; what was there is replaced once the new one is complete.
            ids: of measurements, or how they begin; none: all.

        Runs that are not valid are in it, too, and what was cut: see the columns `valid`, `reasons` and `cut`.

        Raises:
            UnknownName, UsageError: an id that nothing has, or that several begin with.
            StoreError: a run can't be read, or the file not written.
        """
        import duckdb

        stored = self._stored_of(ids) if ids else list(self._stored(None))
        if not target.parent.is_dir():
            raise StoreError(f"can't write {target}: {target.parent} is not a folder")
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        options = "FORMAT parquet, COMPRESSION zstd" if kind == "parquet" else "FORMAT csv, HEADER"
        try:
            with self._views(stored) as connection:
                (count,) = connection.execute(
                    f"COPY ({_INFERENCES}) TO {sql_text(str(temporary))} ({options})"
                ).fetchall()[0]
            temporary.replace(target)
        except duckdb.Error as error:
            raise StoreError(f"can't export to {target}: {first_line(error)}") from error
        except OSError as error:
            raise StoreError(f"can't write {target}: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)
        return int(count)

    @contextmanager
    def _views(self, stored: Sequence[_Stored]) -> Iterator[duckdb.DuckDBPyConnection]:
        with connect() as connection:
            connection.execute(_runs_view([each.folder / "run.json" for each in stored]))
            connection.execute(_traces_view([each.folder / "trace.parquet" for each in stored]))
            yield connection

    # --- what is there ------------------------------------------------------------------------------------------

    def _stored(self, on_unreadable: OnUnreadable | None, *, prefix: str = "") -> Iterator[_Stored]:
        """Yield the run.json of every run whose id begins so, in no order that means anything."""
        for folder in sorted(self._runs.glob("[!.]*")):
            if not (folder.name.startswith(prefix) and folder.is_dir()):
                continue
            try:
                yield self._with_partners(_read_run(folder))
            except StoreError as error:
                if on_unreadable is None:
                    raise
                on_unreadable(error)

    def _with_partners(self, stored: _Stored) -> _Stored:
        """Return a run as it is; one of a model whose partners' runs are not there does not count."""
        if all((self._runs / other).is_dir() for other in stored.run.log_ratios if _ID.fullmatch(other)):
            return stored
        reasons = (*stored.run.reasons, "the run of a model that it alternated with is missing")
        return replace(stored, run=replace(stored.run, reasons=reasons))

    def _stored_of(self, ids: Sequence[str]) -> list[_Stored]:
        """Return the runs of these measurements; others that can't be read don't matter."""
        unreadable: list[StoreError] = []
        everything = list(self._stored(unreadable.append))
        known = {stored.subject.id for stored in everything}
        kept = []
        for id in dict.fromkeys(ids):
            matches = [id] if id in known else sorted(name for name in known if name.startswith(id))
            if len(matches) > 1:
                shown = ", ".join(matches[:_FEW]) + (" ..." if len(matches) > _FEW else "")
                raise UsageError(f"{id!r} is the beginning of {len(matches)} measurements: {shown}; give more of it")
            if not matches:
                if unreadable:
                    raise unreadable[0]
                raise _unknown("measurement", id, sorted(known), f"store {self.folder}; see: edgebench runs list")
            kept += [stored for stored in everything if stored.subject.id == matches[0]]
        return kept


# --- run.json ---------------------------------------------------------------------------------------------------


def _write_run(folder: Path, subject: Subject, run: Run) -> None:
    folder.mkdir(parents=True)
    write_trace(folder / "trace.parquet", run.trace)
    text = json.dumps(_document(subject, run), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "run.json").write_text(text + "\n", encoding="utf-8")
    for path in (folder / "trace.parquet", folder / "run.json", folder):
        _sync(path)


def _document(subject: Subject, run: Run) -> dict[str, Any]:
    values = {
        name: getattr(run, name)
        for name in ("id", "started_at", "valid", "load_ns", "first_ns", "facts", "tokens", "inferences")
    }
    return {
        "format_version": FORMAT_VERSION,
        "edgebench_version": __version__,
        "planned_runs": subject.planned_runs,
        "looks": subject.looks,
        "overhead_us": asdict(subject.overhead_us) if subject.overhead_us is not None else None,
        "seed": subject.seed,
        "subject": {
            "id": subject.id,
            "session": subject.session,
            "variant": subject.variant.to_json(),
            "artifact": subject.artifact.to_json(),
            "device": dict(subject.device),
            "workload": dict(subject.workload),
            "label": subject.label,
        },
        "run": values
        | {
            "reasons": list(run.reasons),
            "cut": [list(each) for each in run.excluded_spans],
            "memory": asdict(run.memory),
            "latencies_count": len(run.latencies_ns),
            "latency_ms": summarise_run(run).to_json_of_run(),
            "figures": asdict(figures_of(run)),
        }
        | ({"beside": dict(run.log_ratios)} if run.log_ratios else {}),
    }


def _read_run(folder: Path) -> _Stored:
    path = folder / "run.json"
    values = _read_json(path)
    version = values.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise StoreError(
            f"{path} has format version {version}, this edgebench ({__version__}) reads up to {FORMAT_VERSION}; "
            f"try: pip install --upgrade edgebench"
        )
    try:
        if version not in range(1, FORMAT_VERSION + 1):
            raise ValueError(f"format version {version!r}")
        subject, run = values["subject"], values["run"]
        return _Stored(
            folder=folder,
            subject=Subject(
                id=subject["id"],
                session=subject["session"],
                variant=Variant.from_json(subject["variant"]),
                artifact=Artifact.from_json(subject["artifact"]),
                device=dict(subject["device"]),
                workload=dict(subject["workload"]),
                label=subject["label"],
                planned_runs=values["planned_runs"],
                looks=values.get("looks", 1),
                overhead_us=Overhead.from_json(overhead) if (overhead := values.get("overhead_us")) else None,
                seed=values.get("seed"),
            ),
            run=Run(
                id=run["id"],
                started_at=run["started_at"],
                trace=_no_trace(),
                load_ns=run["load_ns"],
                first_ns=run["first_ns"],
                memory=Memory(**run["memory"]),
                facts=dict(run["facts"]),
                tokens=run["tokens"],
                inferences=run["inferences"],
                reasons=tuple(run["reasons"]),
                excluded_spans=tuple((int(began), int(ended)) for began, ended in run.get("cut", ())),
                figures=RunFigures.from_json(figures) if (figures := run.get("figures")) else None,
                log_ratios={str(other): float(ratio) for other, ratio in run.get("beside", {}).items()},
            ),
            latencies_count=run["latencies_count"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, EdgebenchError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise StoreError(f"{path} is not a valid run: {what}; remove its folder to go on without it") from error


def _no_trace() -> Trace:
    import numpy as np

    none = np.empty(0, np.int64)
    return Trace(
        starts_ns=none,
        latencies_ns=none,
        items=none,
        warmup_starts_ns=none,
        warmup_latencies_ns=none,
        warmup_items=none,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"can't read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: {error}; remove it to go on without it") from error
    if not isinstance(values, dict):
        raise StoreError(f"{path} is damaged: not an object; remove it to go on without it")
    return values


def _put_together(stored: Sequence[_Stored], on_unreadable: OnUnreadable | None) -> list[Measurement]:
    """Read the traces and return the measurements: by their session's first run, within a session by id."""
    runs: dict[str, list[Run]] = {}
    subjects = {each.subject.id: each.subject for each in stored}
    with connect() as connection:
        for batch in _batches(sorted(stored, key=lambda each: (each.run.started_at, each.run.id))):
            for each, run in _with_traces(connection, batch, on_unreadable):
                runs.setdefault(each.subject.id, []).append(run)
    measured = [subjects[id] for id in runs]
    turn = {session: at for at, session in enumerate(dict.fromkeys(of.session for of in measured))}
    ordered = sorted(measured, key=lambda of: (turn[of.session], of.id))
    return [summarise(of, runs[of.id]) for of in ordered]


def _batches(stored: Sequence[_Stored]) -> Iterator[list[_Stored]]:
    """Yield runs in groups that are read at once: many small ones, few large ones."""
    batch: list[_Stored] = []
    for each in stored:
        batch.append(each)
        if len(batch) == _BATCH_RUNS or sum(kept.latencies_count for kept in batch) > _BATCH_LATENCIES:
            yield batch
            batch = []
    if batch:
        yield batch


def _with_traces(
    connection: duckdb.DuckDBPyConnection, batch: Sequence[_Stored], on_unreadable: OnUnreadable | None
) -> Iterator[tuple[_Stored, Run]]:
    """Yield the runs of a batch with their traces; one that can't be read raises, or is told and left out."""
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


def _check_count(stored: _Stored, trace: Trace) -> None:
    if len(trace.latencies_ns) != stored.latencies_count:
        raise StoreError(
            f"{stored.folder}: trace.parquet has {len(trace.latencies_ns)} latencies, run.json says "
            f"{stored.latencies_count}; remove the folder to go on without it"
        )


def _property(subject: Subject, name: str) -> Any:
    match name:
        case "device":
            return subject.device.get("name")
        case "variant":
            return subject.variant.name
        case "format":
            return str(subject.artifact.format)
        case _:
            return subject.session


def _checked_id(id: str) -> str:
    if not _ID.fullmatch(id):
        raise StoreError(f"{id!r} can't name a run or session; letters, digits, '_', '.' and '-' can")
    return id


def _unknown(kind: str, name: str, known: Sequence[str], hint: str) -> UnknownName:
    shown = known if len(known) <= _FEW or nearest(name, known) else ()
    return UnknownName(kind, name, shown, hint=hint)


def _sync(path: Path) -> None:
    """Make sure that a file or folder survives a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- views ------------------------------------------------------------------------------------------------------

#: Columns of the view `runs`: name -> (where in run.json, type).
_RUN_COLUMNS = {
    "run": ("run.id", "VARCHAR"),
    "started_at": ("run.started_at", "VARCHAR"),
    "valid": ("run.valid", "BOOLEAN"),
    "reasons": ("run.reasons", "VARCHAR[]"),
    "cut": ("run.cut", "BIGINT[][]"),
    "measurement": ("subject.id", "VARCHAR"),
    "session": ("subject.session", "VARCHAR"),
    "variant": ("subject.variant.name", "VARCHAR"),
    "source": ("subject.variant.source", "VARCHAR"),
    "format": ("subject.artifact.format", "VARCHAR"),
    "artifact_sha256": ("subject.artifact.sha256", "VARCHAR"),
    "device": ("subject.device.name", "VARCHAR"),
    "profile": ("subject.device.profile", "VARCHAR"),
    "runtime": ("subject.device.runtime", "VARCHAR"),
    "runtime_version": ("subject.device.runtime_version", "VARCHAR"),
    "workload": ("subject.label", "VARCHAR"),
    "scenario": ("subject.workload.scenario", "VARCHAR"),
    "seq_len": ("subject.workload.seq_len", "BIGINT"),
    "lang": ("subject.workload.lang", "VARCHAR"),
    "texts_sha256": ("subject.workload.texts_sha256", "VARCHAR"),
    "batch": ("subject.workload.batch", "BIGINT"),
    "threads": ("subject.workload.threads", "BIGINT"),
    "padding": ("subject.workload.padding", "VARCHAR"),
    "load_ns": ("run.load_ns", "BIGINT"),
    "first_ns": ("run.first_ns", "BIGINT"),
    "latencies_count": ("run.latencies_count", "BIGINT"),
    "inferences": ("run.inferences", "BIGINT"),
    "tokens": ("run.tokens", "BIGINT"),
    "peak_rss_bytes": ("run.memory.peak_rss", "BIGINT"),
    "peak_pss_bytes": ("run.memory.peak_pss", "BIGINT"),
    "before_load_bytes": ("run.memory.before_load", "BIGINT"),
    "after_load_bytes": ("run.memory.after_load", "BIGINT"),
}

#: Columns of `runs` that each exported inference carries.
_EXPORTED = (
    "measurement", "session", "run", "started_at", "valid", "reasons", "variant", "source", "format", "artifact_sha256",
    "device", "profile", "runtime", "runtime_version", "workload", "scenario", "seq_len", "lang", "texts_sha256",
    "batch", "threads", "padding",
)  # fmt: skip

#: Columns of what the sensors had last told when an inference began -> which readings, the highest of each moment.
_CONDITIONS = {
    "frequency_khz": f"starts_with(series, '{FREQUENCY}')",
    "temperature_mc": f"starts_with(series, '{TEMPERATURE}') AND (is_cpu OR NOT any_cpu)",
    "throttled": f"series = '{THROTTLED}'",
    "others_cpu_millicores": f"series = '{OTHERS_CPU}'",
}
_IS_CPU = " OR ".join(f"contains(lower(series), '{word}')" for word in CPU_ZONES)
_READ = ", ".join(
    f"{name}_read AS (SELECT run, t_ns, max(value) AS value FROM zoned WHERE {which} GROUP BY run, t_ns)"  # noqa: S608
    for name, which in _CONDITIONS.items()
)
_LAST_READ = " ".join(
    f"ASOF LEFT JOIN {name}_read ON t.run = {name}_read.run AND t.t_ns >= {name}_read.t_ns" for name in _CONDITIONS
)

_INFERENCES = f"""
    WITH zoned AS (
        SELECT *, starts_with(series, '{TEMPERATURE}') AND ({_IS_CPU}) AS is_cpu,
            bool_or(is_cpu) OVER (PARTITION BY run) AS any_cpu
        FROM traces WHERE item IS NULL
    ),
    {_READ},
    cuts AS (SELECT run, unnest(cut) AS span FROM (SELECT run, CAST(cut AS BIGINT[][]) AS cut FROM runs)),
    joined AS (
        SELECT t.*, {", ".join(f"{name}_read.value AS {name}" for name in _CONDITIONS)}
        FROM (SELECT * FROM traces WHERE series = '{TIMED}' AND item IS NOT NULL) t
        {_LAST_READ}
    )
    SELECT {", ".join("r." + name for name in _EXPORTED if name != "reasons")},
        array_to_string(r.reasons, '; ') AS reasons,
        t.item, t.t_ns AS start_ns, t.value AS latency_ns, {", ".join("t." + name for name in _CONDITIONS)},
        EXISTS (FROM cuts WHERE cuts.run = t.run AND t.t_ns >= span[1] AND t.t_ns < span[2]) AS cut
    FROM joined t JOIN runs r USING (run)
"""  # noqa: S608 - built from constants


def _runs_view(paths: Sequence[Path]) -> str:
    columns = ", ".join(
        f"CAST({_in_document(where)} AS {kind}) AS {name}" for name, (where, kind) in _RUN_COLUMNS.items()
    )
    files = ", ".join(sql_text(sql_glob(path)) for path in paths)
    source = (
        f"read_json([{files}], format = 'unstructured', columns = {{subject: 'JSON', run: 'JSON'}})"
        if paths
        else "(SELECT NULL::JSON AS subject, NULL::JSON AS run WHERE false)"
    )
    return f"CREATE VIEW runs AS SELECT {columns} FROM {source}"  # noqa: S608 - constants and quoted paths


def _in_document(where: str) -> str:
    column, _, rest = where.partition(".")
    arrow = "->" if where in ("run.reasons", "run.cut") else "->>"
    return f"({column} {arrow} '$.{rest}')"


def _traces_view(paths: Sequence[Path]) -> str:
    files = ", ".join(sql_text(sql_glob(path)) for path in paths)
    source = (
        f"read_parquet([{files}], filename = true)"
        if paths
        else "(SELECT ''::VARCHAR AS filename, ''::VARCHAR AS series, "
        "0::BIGINT AS t_ns, 0::BIGINT AS value, 0::INTEGER AS item WHERE false)"
    )
    return (
        "CREATE VIEW traces AS SELECT parse_path(filename)[-2] AS run, series, t_ns, value, item "  # noqa: S608
        f"FROM {source}"
    )
