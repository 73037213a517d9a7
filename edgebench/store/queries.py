"""The tables of a store, made by DuckDB of its files as they are, and exports of every inference."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgebench.analysis import CPU_ZONES, FREQUENCY, OTHERS_CPU, THROTTLED
from edgebench.errors import StoreError
from edgebench.reading import check_file
from edgebench.sensors import TEMPERATURE
from edgebench.store.traces import TIMED, check_trace_files, check_traces, connect, first_line, sql_glob, sql_text

if TYPE_CHECKING:
    import duckdb


def export(runs: Sequence[Path], target: Path, kind: Literal["csv", "parquet"]) -> int:
    """Write one row per timed inference of these runs; return how many. `runs`: the folders of the runs.

    Raises:
        StoreError: a run can't be read, or the file can't be written.
    """
    import duckdb

    if not target.parent.is_dir():
        raise StoreError(f"can't write {target}: {target.parent} is not a folder")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    options = "FORMAT parquet, COMPRESSION zstd" if kind == "parquet" else "FORMAT csv, HEADER"
    try:
        with _views(runs) as connection:
            query = _safe_texts(INFERENCES) if kind == "csv" else INFERENCES
            (count,) = connection.execute(f"COPY ({query}) TO {sql_text(str(temporary))} ({options})").fetchall()[0]
        temporary.replace(target)
    except duckdb.Error as error:
        raise StoreError(f"can't export to {target}: {first_line(error)}") from error
    except OSError as error:
        raise StoreError(f"can't write {target}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return int(count)


def _safe_texts(query: str) -> str:
    """Return the query with texts that do nothing to a terminal, and that no spreadsheet takes for a formula."""
    texts = [name for name in _EXPORTED if name == "reasons" or _RUN_COLUMNS[name][1] == "VARCHAR"]
    safe = {name: f"regexp_replace({name}, '\\pC', ' ', 'g')" for name in texts}
    replaced = ", ".join(
        f"CASE WHEN left({text}, 1) IN ('=', '+', '-', '@') THEN chr(39) || {text} ELSE {text} END AS {name}"
        for name, text in safe.items()
    )
    return f"SELECT * REPLACE ({replaced}) FROM ({query})"  # noqa: S608 - built from constants


@contextmanager
def define_tables(runs: Sequence[Path], *, with_traces: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database in memory with the tables `runs` and `traces`, which need the files no longer.

    Args:
        runs: folders of the runs.
        with_traces: False: `traces` has no rows.

    Raises:
        StoreError: a run can't be read.
    """
    import duckdb

    with connect() as connection:
        try:
            _check(connection, runs, with_traces=with_traces)
            connection.execute(f"CREATE TABLE runs AS {_runs([folder / 'run.json' for folder in runs])}")
            traces = [folder / "trace.parquet" for folder in runs] if with_traces else []
            connection.execute(f"CREATE TABLE traces AS {_traces(traces)}")
        except duckdb.Error as error:
            raise StoreError(f"can't read the store: {first_line(error)}") from error
        yield connection


@contextmanager
def _views(runs: Sequence[Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect() as connection:
        _check(connection, runs, with_traces=True)
        connection.execute(f"CREATE VIEW runs AS {_runs([folder / 'run.json' for folder in runs])}")
        connection.execute(f"CREATE VIEW traces AS {_traces([folder / 'trace.parquet' for folder in runs])}")
        yield connection


def _check(connection: duckdb.DuckDBPyConnection, runs: Sequence[Path], *, with_traces: bool) -> None:
    for folder in runs:
        _check_run(folder)
    traces = [folder / "trace.parquet" for folder in runs]
    if traces and with_traces:
        check_traces(connection, traces)
    else:  # of a store in a bucket, traces that no query needed yet are not here
        check_trace_files(path for path in traces if path.is_symlink() or path.exists())


def _check_run(folder: Path) -> None:
    path = folder / "run.json"
    try:
        check_file(path, within=folder.parent)
    except OSError as error:
        raise StoreError(f"can't read {path}: {error.strerror}") from error


#: Columns of the view `runs`: name -> (where in run.json, type).
_RUN_COLUMNS = {
    "run": ("run.id", "VARCHAR"),
    "started_at": ("run.started_at", "VARCHAR"),
    "valid": ("run.valid", "BOOLEAN"),
    "reasons": ("run.reasons", "VARCHAR[]"),
    "reason_codes": ("run.reason_codes", "VARCHAR[]"),
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
    "batch_tokens": ("run.facts.batch_tokens", "BIGINT[]"),
    "batch_padded_tokens": ("run.facts.batch_padded_tokens", "BIGINT[]"),
}

#: Columns whose value is a list.
_LISTS = ("run.reasons", "run.reason_codes", "run.cut", "run.facts.batch_tokens", "run.facts.batch_padded_tokens")

#: Columns of `runs` that each exported inference carries.
_EXPORTED = (
    "measurement", "session", "run", "started_at", "valid", "reasons", "variant", "source", "format", "artifact_sha256",
    "device", "profile", "runtime", "runtime_version", "workload", "scenario", "seq_len", "lang", "texts_sha256",
    "batch", "threads", "padding",
)  # fmt: skip

#: Columns of the last readings before an inference began -> which sensors; of several, the highest at each moment.
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

#: The query for one row a timed inference, over `runs` and `traces`.
INFERENCES = f"""
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
        t.item, r.batch_tokens[t.item + 1] AS tokens, r.batch_padded_tokens[t.item + 1] AS padded_tokens,
        t.t_ns AS start_ns, t.value AS latency_ns, {", ".join("t." + name for name in _CONDITIONS)},
        EXISTS (FROM cuts WHERE cuts.run = t.run AND t.t_ns >= span[1] AND t.t_ns < span[2]) AS cut
    FROM joined t JOIN runs r USING (run)
    ORDER BY r.started_at, run, t.t_ns, t.item
"""  # noqa: S608 - built from constants


def _runs(paths: Sequence[Path]) -> str:
    columns = ", ".join(
        f"CAST({_in_document(where)} AS {kind}) AS {name}" for name, (where, kind) in _RUN_COLUMNS.items()
    )
    files = ", ".join(sql_text(sql_glob(path)) for path in paths)
    source = (
        f"read_json([{files}], format = 'unstructured', columns = {{subject: 'JSON', run: 'JSON'}})"
        if paths
        else "(SELECT NULL::JSON AS subject, NULL::JSON AS run WHERE false)"
    )
    return f"SELECT {columns} FROM {source}"  # noqa: S608 - constants and quoted paths


def _in_document(where: str) -> str:
    column, _, rest = where.partition(".")
    arrow = "->" if where in _LISTS else "->>"
    return f"({column} {arrow} '$.{rest}')"


def _traces(paths: Sequence[Path]) -> str:
    files = ", ".join(sql_text(sql_glob(path)) for path in paths)
    source = (
        f"read_parquet([{files}], filename = true)"
        if paths
        else "(SELECT ''::VARCHAR AS filename, ''::VARCHAR AS series, "
        "0::BIGINT AS t_ns, 0::BIGINT AS value, 0::INTEGER AS item WHERE false)"
    )
    return (
        "SELECT parse_path(filename)[-2] AS run, series, t_ns, value, item "  # noqa: S608
        f"FROM {source}"
    )
