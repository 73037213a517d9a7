"""trace.parquet: everything raw of one run, written and read by DuckDB alone.

Columns: series VARCHAR (`latency_ns`, `warmup_ns`, or a reading's name), t_ns BIGINT (an inference's start, or when it
was read), value BIGINT, item INTEGER (the position of the input batch; null for readings, and for nothing else).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import StoreError
from edgebench.reading import check_file
from edgebench.run import Series, Trace

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    _Table = dict[str, NDArray[Any]]  # columns by name

TIMED = "latency_ns"
WARMUP = "warmup_ns"


#: Rows of one trace: more than a day of inferences of half a millisecond.
_MOST_ROWS = 200_000_000
#: Rows for each byte of a file. Times differ from row to row, so a trace of a board has less than one.
_MOST_ROWS_PER_BYTE = 4
#: Rows that are read whatever the size of the file.
_FEW_ROWS = 1_000_000
_NUMBERS = "CAST(t_ns AS BIGINT) AS t_ns, CAST(value AS BIGINT) AS value"


def import_libraries() -> None:
    """Import what storing a run needs: an interrupted session has no time for that when it stores what it received."""
    import duckdb  # noqa: F401
    import scipy.special  # noqa: F401


def connect() -> duckdb.DuckDBPyConnection:
    """Return a DuckDB in memory that neither spills into the working folder nor fetches extensions."""
    import duckdb

    return duckdb.connect(config={"temp_directory": "", "autoinstall_known_extensions": "false"})


def check_trace_files(paths: Iterable[Path]) -> None:
    """Check that traces are regular files of the store.

    Raises:
        StoreError: one is something else.
    """
    for path in paths:
        try:
            check_file(path, within=path.parent.parent)
        except OSError as error:
            raise StoreError(f"{path}: not readable as a trace: {error.strerror}") from error


def check_traces(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> None:
    """Check traces before they are read: regular files of the store, with no more rows than their size allows.

    Columns that repeat one value take no room in Parquet: 2 MB may hold 3 * 10^8 rows.

    Raises:
        StoreError: one is something else.
        duckdb.Error: one is not Parquet.
    """
    check_trace_files(paths)
    counted = connection.execute(
        "SELECT file_name, sum(rows) FROM (SELECT file_name, row_group_id, max(row_group_num_rows) AS rows "
        "FROM parquet_metadata(?) GROUP BY file_name, row_group_id) GROUP BY file_name",
        [[sql_glob(path) for path in paths]],
    ).fetchall()
    for name, rows in counted:
        allowed = max(_FEW_ROWS, Path(name).stat().st_size * _MOST_ROWS_PER_BYTE)
        if not 0 <= rows <= min(allowed, _MOST_ROWS):
            raise StoreError(f"{name}: not readable as a trace: {rows} rows in a file of this size")


def write_trace(path: Path, trace: Trace) -> None:
    """Write a trace to a new file.

    Raises:
        duckdb.Error: it can't be written.
    """
    with connect() as connection:
        connection.register("timed", _columns(trace.starts_ns, trace.latencies_ns, trace.items))
        connection.register("warmup", _columns(trace.warmup_starts_ns, trace.warmup_latencies_ns, trace.warmup_items))
        connection.register("readings", _reading_columns(trace))
        connection.execute(
            f"""
            COPY (
                SELECT '{TIMED}' AS series, t_ns, value, item::INTEGER AS item FROM timed
                UNION ALL SELECT '{WARMUP}', t_ns, value, item::INTEGER FROM warmup
                UNION ALL SELECT series::VARCHAR, t_ns, value, NULL FROM readings
            ) TO {sql_text(str(path))} (FORMAT parquet, COMPRESSION zstd)
            """  # noqa: S608 - constants and a quoted path
        )


def read_traces(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> list[Trace]:
    """Return the trace in each file, in the order in which it was written. One query for all: files may be many.

    Raises:
        StoreError: one is missing, truncated, or not a trace.
    """
    import duckdb
    import numpy as np

    files = [sql_glob(path) for path in paths]
    try:
        check_traces(connection, paths)
        # file_index is the position in the list. Rows come in the order of the files and of the rows in each.
        inferences = connection.execute(
            f"SELECT file_index, series = '{TIMED}' AS timed, {_NUMBERS}, CAST(item AS INTEGER) AS item "  # noqa: S608
            "FROM read_parquet(?) WHERE item IS NOT NULL",  # of constants
            [files],
        ).fetchnumpy()
        readings = connection.execute(
            f"SELECT file_index, CAST(series AS VARCHAR) AS series, {_NUMBERS} "  # noqa: S608 - of constants
            "FROM read_parquet(?) WHERE item IS NULL",
            [files],
        ).fetchnumpy()
    except duckdb.Error as error:
        where = paths[0] if len(paths) == 1 else paths[0].parent.parent
        raise StoreError(f"{where}: not readable as a trace: {first_line(error)}") from error
    if any(np.ma.is_masked(column) for table in (inferences, readings) for column in table.values()):
        raise StoreError(f"{paths[0].parent.parent}: not readable as a trace: a time or a value is missing")
    numbers = np.arange(len(paths) + 1)
    inference_borders = np.searchsorted(inferences["file_index"], numbers)
    reading_borders = np.searchsorted(readings["file_index"], numbers)
    return [
        _trace(_between(inferences, inference_borders, number), _between(readings, reading_borders, number))
        for number in range(len(paths))
    ]


def _between(columns: _Table, borders: NDArray[np.int64], number: int) -> _Table:
    import numpy as np

    # DuckDB returns masked arrays where a column could have nulls; here none has.
    return {name: np.asarray(column[borders[number] : borders[number + 1]]) for name, column in columns.items()}


def _trace(inferences: _Table, readings: _Table) -> Trace:
    timed = inferences["timed"].astype(bool)
    t_ns, value, item = (inferences[name].astype("int64") for name in ("t_ns", "value", "item"))
    return Trace(
        starts_ns=t_ns[timed],
        latencies_ns=value[timed],
        items=item[timed],
        warmup_starts_ns=t_ns[~timed],
        warmup_latencies_ns=value[~timed],
        warmup_items=item[~timed],
        readings=_series(readings),
    )


def _columns(
    t_ns: NDArray[np.int64], value: NDArray[np.int64], item: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    return {"t_ns": t_ns, "value": value, "item": item}


def _reading_columns(trace: Trace) -> dict[str, NDArray[Any]]:
    import numpy as np

    names = np.array(list(trace.readings), dtype=object)
    counts = [len(series.values) for series in trace.readings.values()]
    empty = np.empty(0, np.int64)
    return {
        "series": np.repeat(names, counts),
        "t_ns": np.concatenate([empty, *(series.t_ns for series in trace.readings.values())]),
        "value": np.concatenate([empty, *(series.values for series in trace.readings.values())]),
    }


def _series(columns: _Table) -> dict[str, Series]:
    """Return the readings by name, each in the order in which it was written."""
    import numpy as np

    names, position = np.unique(columns["series"].astype(str), return_inverse=True)
    t_ns, values = columns["t_ns"].astype(np.int64), columns["value"].astype(np.int64)
    return {
        str(name): Series(t_ns[position == number], values[position == number]) for number, name in enumerate(names)
    }


def sql_text(text: str) -> str:
    """Return text as a literal of SQL, for the places that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def sql_glob(path: Path) -> str:
    """Return a path so that DuckDB, which reads paths as glob patterns, takes it as it is."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path))


def first_line(error: Exception) -> str:
    """Return what an error of DuckDB says in its first line."""
    return str(error).strip().partition("\n")[0]
