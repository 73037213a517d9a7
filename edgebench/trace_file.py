"""trace.parquet: everything raw of one run, written and read by DuckDB alone.

Columns: series VARCHAR (`latency_ns`, `warmup_ns`, or a reading's name), t_ns BIGINT (an inference's start, or when it
was read), value BIGINT, item INTEGER (the position of the input batch; null for readings, and for nothing else).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import StoreError
from edgebench.measurement import Series, Trace

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

TIMED = "latency_ns"
WARMUP = "warmup_ns"


def connect() -> duckdb.DuckDBPyConnection:
    """Return a DuckDB in memory that neither spills into the working folder nor fetches extensions."""
    import duckdb

    return duckdb.connect(config={"temp_directory": "", "autoinstall_known_extensions": "false"})


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


def read_trace(connection: duckdb.DuckDBPyConnection, path: Path) -> Trace:
    """Return the trace in a file, in the order in which it was written.

    Raises:
        StoreError: it is missing, truncated, or not a trace.
    """
    import duckdb

    try:
        timed = _read_inferences(connection, path, TIMED)
        warmup = _read_inferences(connection, path, WARMUP)
        return Trace(
            starts_ns=timed["t_ns"],
            latencies_ns=timed["value"],
            items=timed["item"],
            warmup_starts_ns=warmup["t_ns"],
            warmup_latencies_ns=warmup["value"],
            warmup_items=warmup["item"],
            readings=_read_readings(connection, path),
        )
    except duckdb.Error as error:
        raise StoreError(f"{path} is not a readable trace: {first_line(error)}") from error


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


def _read_inferences(connection: duckdb.DuckDBPyConnection, path: Path, series: str) -> dict[str, NDArray[np.int64]]:
    import numpy as np

    found = connection.execute(
        "SELECT t_ns, value, item::BIGINT AS item FROM read_parquet(?) WHERE series = ? AND item IS NOT NULL",
        [sql_glob(path), series],
    ).fetchnumpy()
    return {name: np.asarray(column, np.int64) for name, column in found.items()}


def _read_readings(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, Series]:
    import numpy as np

    found = connection.execute(
        "SELECT series, t_ns, value FROM read_parquet(?) WHERE item IS NULL", [sql_glob(path)]
    ).fetchnumpy()
    names, position = np.unique(np.asarray(found["series"], dtype=str), return_inverse=True)
    t_ns, values = np.asarray(found["t_ns"], np.int64), np.asarray(found["value"], np.int64)
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
