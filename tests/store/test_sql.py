"""A query reads what is stored, and can do nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebench.errors import StoreError, UsageError
from edgebench.evaluation_result import LanguageCost, LanguageEvaluation, TaskEvaluation
from edgebench.store import Store
from tests.sample_runs import MS, run, subject, trace


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One run of 1, 2 and 3 ms with two temperatures, and one that does not count."""
    kept = Store(tmp_path / "results")
    of = subject(0)
    readings = {"temperature_mc/cpu": [40_000, 50_000]}
    kept.add_run(of, run(of, 0, trace([MS, 2 * MS, 3 * MS], readings=readings, warmup_ns=[9 * MS])))
    kept.add_run(of, run(of, 1, trace([7 * MS]), reasons=("too hot",)))
    return kept


def evaluation() -> LanguageEvaluation:
    score = TaskEvaluation(
        task="xnli",
        lang="sw",
        metric="accuracy",
        value=50.0,
        n=2,
        ids=("a", "b"),
        per_example=np.array([1.0, 0.0]),
        protocol={},
        artifact_sha256="ab",
        variant="xnli-multi",
        format="onnx-int8",
        device="pi4",
        counts=None,
        ci=None,
        clusters=None,
        caveats=("partial",),
    )
    cost = LanguageCost(
        examples=2, inferences=2, batch=1, latency_ms={"p50": 4.0}, tokens=12.5, padded_tokens=None, buckets=(16,),
        truncated=0, fertility=None, continued_words=None, words=None, energy_j=None, energy_absent=None,
    )  # fmt: skip
    return LanguageEvaluation(
        id="e1",
        started_at="2025-01-02T03:04:05+00:00",
        scores=(score,),
        predictions=(0, 1),
        tokens=np.array([12, 13]),
        cost=cost,
    )


def test_each_table_has_its_rows(store: Store) -> None:
    assert store.query("SELECT count(*) AS n FROM runs") == [{"n": 2}]
    assert store.query("SELECT sum(latency_ns) AS ns FROM inferences WHERE valid") == [{"ns": 6 * MS}]
    assert store.query("SELECT sensor, max(value) AS high FROM sensors GROUP BY ALL") == [
        {"sensor": "temperature_mc/cpu", "high": 50_000}
    ]
    assert store.query("SELECT count(*) AS n FROM traces WHERE series = 'warmup_ns'") == [{"n": 1}]
    assert store.query("FROM scores") == []


def test_scores_have_one_row_for_each_metric(store: Store) -> None:
    store.write_evaluation(evaluation())
    (row,) = store.query("FROM scores")
    expected = {"task": "xnli", "lang": "sw", "metric": "accuracy", "value_points": 50.0, "latency_p50_ms": 4.0}
    assert {name: row[name] for name in expected} == expected
    assert row["ci_low_points"] is None
    assert row["energy_j"] is None
    assert row["caveats"] == ["partial"]


def test_the_tables_describe_themselves(store: Store) -> None:
    names = {row["name"] for row in store.query("SHOW TABLES")}
    assert names == {"runs", "traces", "inferences", "sensors", "scores"}
    assert "latency_ns" in {row["column_name"] for row in store.query("DESCRIBE inferences")}


def test_an_empty_store_has_empty_tables(tmp_path: Path) -> None:
    kept = Store(tmp_path / "none")
    for name in ("runs", "traces", "inferences", "sensors", "scores"):
        assert kept.query(f"FROM {name}") == []


def test_a_limit_says_that_there_were_more_rows(store: Store) -> None:
    result = store.query_table("SELECT latency_ns FROM inferences ORDER BY 1", limit=2)
    assert (result.columns, result.types, result.rows) == (("latency_ns",), ("BIGINT",), ((MS,), (2 * MS,)))
    assert result.has_more
    assert not store.query_table("FROM inferences", limit=4).has_more


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nonsense FROM runs", '"nonsense" not found'),
        ("SELEC 1", "syntax error"),
        ("", "one statement is needed, this has 0"),
        ("SELECT 1; SELECT 2", "one statement is needed, this has 2"),
        ("DROP TABLE runs", "a store is only read"),
        ("SET threads = 1", "a store is only read"),
        ("COPY runs TO 'out.csv'", "a store is only read"),
        ("ATTACH 'other.db'", "a store is only read"),
        ("SELECT ?", "the query is not valid"),
        ("SELECT 'x'::INTEGER", "Could not convert"),
    ],
)
def test_what_is_no_query_is_refused_in_one_line(store: Store, sql: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        store.query(sql)
    assert "\n" not in str(refused.value)


def test_a_query_reaches_no_file_and_no_network(store: Store, tmp_path: Path) -> None:
    secret, target = tmp_path / "secret.txt", tmp_path / "written.csv"
    secret.write_text("secret")
    parquet = next(store.folder.glob("runs/*/trace.parquet"))
    before = parquet.read_bytes()
    for sql in (
        f"SELECT * FROM read_text('{secret}')",  # noqa: S608 - the test's own folder
        f"FROM '{parquet}'",
        f"SELECT * FROM glob('{tmp_path}/*')",  # noqa: S608
        f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{target}'",
        f"WITH x AS (COPY (SELECT 1 AS a) TO '{target}') SELECT 1",
        f"WITH x AS (COPY (SELECT 1 AS a) TO '{parquet}' (FORMAT parquet, USE_TMP_FILE false)) SELECT 1",
        "FROM read_csv('http://127.0.0.1:9/x.csv')",
    ):
        with pytest.raises(UsageError, match="the query is not valid"):
            store.query(sql)
    assert not target.exists()
    assert parquet.read_bytes() == before


def test_a_damaged_trace_matters_only_to_queries_that_need_it(store: Store) -> None:
    path = next(store.folder.glob("runs/*/trace.parquet"))
    path.write_bytes(path.read_bytes()[:50])
    assert store.query("SELECT count(*) AS n FROM runs") == [{"n": 2}]
    with pytest.raises(StoreError, match="can't read the store"):
        store.query("SELECT count(*) FROM inferences")
