"""SQL over a store: one query that reads tables of runs, inferences, sensors and scores, and can reach nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from edgebench.errors import StoreError, UsageError
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.store.queries import INFERENCES, define_tables
from edgebench.store.traces import first_line, sql_text

if TYPE_CHECKING:
    import duckdb

#: Tables that are made of the traces. A query that names none of them need not read any trace.
_OF_TRACES = ("traces", "inferences", "sensors")
_LONG_MESSAGE = 300  # characters

_SENSORS = """
    SELECT run, series AS sensor, t_ns, value FROM traces WHERE item IS NULL
"""
#: Columns of `scores`, one row for each metric of an evaluation.
_SCORE_COLUMNS = {
    "evaluation": "VARCHAR",
    "started_at": "VARCHAR",
    "variant": "VARCHAR",
    "format": "VARCHAR",
    "artifact_sha256": "VARCHAR",
    "device": "VARCHAR",
    "task": "VARCHAR",
    "lang": "VARCHAR",
    "metric": "VARCHAR",
    "value_points": "DOUBLE",
    "ci_low_points": "DOUBLE",
    "ci_high_points": "DOUBLE",
    "examples": "BIGINT",
    "tokens_per_example": "DOUBLE",
    "latency_p50_ms": "DOUBLE",
    "energy_j": "DOUBLE",
    "caveats": "VARCHAR[]",
}


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a query returned: its columns, their types as DuckDB names them, and its rows.

    `has_more`: whether there were more rows than the limit allows.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    has_more: bool = False

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the rows, each by the names of the columns; of columns with one name the last is kept."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def needs_traces(sql: str) -> bool:
    """Return whether a query may read traces: it names a table that is made of them."""
    text = sql.lower()
    return any(name in text for name in _OF_TRACES)


def run_query(
    runs: Sequence[Path],
    evaluations: Callable[[], Sequence[LanguageEvaluation]],
    sql: str,
    *,
    limit: int | None = None,
) -> QueryResult:
    """Return the rows of a query over the tables `runs`, `inferences`, `sensors`, `scores` and `traces`.

    The query works on copies in memory. Files, networks and settings are out of its reach.

    Args:
        runs: folders of the runs.
        evaluations: reads the stored evaluations; called if the query names `scores`.
        sql: one statement that reads (SELECT, FROM, WITH, DESCRIBE, SHOW TABLES, SUMMARIZE, EXPLAIN).
        limit: rows that are returned at most; None: all.

    Raises:
        StoreError: a run or an evaluation can't be read.
        UsageError: the query is not valid, is no query, or needs more memory than there is.
    """
    import duckdb

    text = sql.lower()
    with TemporaryDirectory() as spilled, define_tables(runs, with_traces=needs_traces(sql)) as connection:
        connection.execute(f"CREATE VIEW inferences AS {INFERENCES}")
        connection.execute(f"CREATE VIEW sensors AS {_SENSORS}")
        _define_scores(connection, evaluations() if "scores" in text else ())
        connection.execute(f"SET temp_directory = {sql_text(spilled)}")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            _check_statement(connection, sql)
            result = connection.execute(sql)
            columns = [(str(each[0]), str(each[1])) for each in result.description or ()]
            rows = _fetched(result, None if limit is None else limit + 1)
        except duckdb.OutOfMemoryException as error:
            raise UsageError("the query needs more memory than there is; select fewer rows or columns") from error
        except (duckdb.Error, RuntimeError, ValueError, OverflowError) as error:
            raise UsageError(f"the query is not valid: {_message(error)}") from error
    names, types = zip(*columns, strict=True) if columns else ((), ())
    return QueryResult(names, types, tuple(rows[:limit]), has_more=limit is not None and len(rows) > limit)


def _check_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    import duckdb

    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise UsageError(f"the query is not valid: one statement is needed, this has {len(statements)}")
    if statements[0].type not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
        raise UsageError("the query is not valid: a store is only read; begin with SELECT, FROM or DESCRIBE")


def _fetched(result: duckdb.DuckDBPyConnection, count: int | None) -> list[tuple[Any, ...]]:
    if count is None:
        return list(result.fetchall())
    return list(islice(iter(lambda: result.fetchone(), None), count))


def _message(error: Exception) -> str:
    """Return what is wrong, with DuckDB's hint which column or table was meant, in one line."""
    lines = [line.strip() for line in str(error).partition("\nLINE ")[0].splitlines() if line.strip()]
    text = " ".join(lines) or type(error).__name__
    return text if len(text) <= _LONG_MESSAGE else first_line(error)[:_LONG_MESSAGE]


def _define_scores(connection: duckdb.DuckDBPyConnection, evaluations: Sequence[LanguageEvaluation]) -> None:
    """Make the table `scores`.

    Raises:
        StoreError: a figure of an evaluation is no number that SQL has.
    """
    import duckdb

    columns = ", ".join(f"{name} {kind}" for name, kind in _SCORE_COLUMNS.items())
    connection.execute(f"CREATE TABLE scores ({columns})")
    structure = json.dumps([_SCORE_COLUMNS | {"caveats": ["VARCHAR"]}])
    rows = [row for each in evaluations for row in _score_rows(each)]
    try:
        connection.execute(
            f"INSERT INTO scores SELECT unnest(from_json(?, {sql_text(structure)}), recursive := true)",
            [json.dumps(rows)],
        )
    except duckdb.Error as error:
        raise StoreError(f"can't read the evaluations: {first_line(error)}") from error


def _score_rows(evaluation: LanguageEvaluation) -> list[dict[str, Any]]:
    cost = evaluation.cost
    return [
        {
            "evaluation": evaluation.id,
            "started_at": evaluation.started_at,
            **{name: getattr(score, name) for name in ("variant", "format", "artifact_sha256", "device")},
            **{name: getattr(score, name) for name in ("task", "lang", "metric")},
            "value_points": score.value,
            "ci_low_points": score.ci[0] if score.ci is not None else None,
            "ci_high_points": score.ci[1] if score.ci is not None else None,
            "examples": score.n,
            "tokens_per_example": cost.tokens,
            "latency_p50_ms": cost.latency_ms.get("p50"),
            "energy_j": cost.energy_j,
            "caveats": list(score.caveats),
        }
        for score in evaluation.scores
    ]
