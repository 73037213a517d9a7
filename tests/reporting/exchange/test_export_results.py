"""export_results() and `runs export --to`: which files are written, what is refused, and tables that others read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import edgebench
from edgebench import Store, UnknownName, UsageError, export_results
from edgebench.cli.runs.export import _FORMATS
from edgebench.reporting.exchange import EXCHANGE_FORMATS
from tests.needed import need
from tests.reporting.exchange.sample_store import export, keep, throttled
from tests.reporting.sample_results import measured

TEXTS = ("bmf", "github-action-benchmark", "openmetrics", "model-index")


def test_the_command_has_every_format_of_the_library() -> None:
    assert set(_FORMATS) == {"csv", "parquet", *EXCHANGE_FORMATS}


@pytest.mark.parametrize("to", TEXTS)
def test_a_file_holds_what_standard_output_shows(exported_store: Store, tmp_path: Path, to: str) -> None:
    chosen = ("20250102T030405-abcdef-000", "--to", to)
    target = tmp_path / "out"
    target.write_text("what was there before")
    shown = export(*chosen, "--out", "-", store=exported_store)
    kept = export(*chosen, "--out", target, store=exported_store)
    assert (shown.code, kept.code, kept.stdout) == (0, 0, "")
    assert target.read_text(encoding="utf-8") == shown.stdout
    assert shown.stderr == "1 measurement written to standard output\n"
    assert [it.name for it in tmp_path.iterdir()] == ["out"]


def test_other_names_of_formats(exported_store: Store) -> None:
    names = {"bencher": "bmf", "model-card": "model-index"}
    for other, name in names.items():
        first, second = (
            export("--variant", "xnli-multi", "--to", to, "--out", "-", store=exported_store) for to in (other, name)
        )
        assert first == second


def test_the_direction_is_an_option(exported_store: Store) -> None:
    done = export("--to", "github-action-benchmark", "--better", "bigger", "--out", "-", store=exported_store)
    assert {it["unit"] for it in json.loads(done.stdout)} == {"1/s", "points"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "bmf"], "--to bmf needs a file: --out FILE"),
        (["--to", "perfetto", "--out", "-"], "--out -: a Perfetto trace is no text; name a file: --out runs.pftrace"),
        (["--to", "parquet", "--out", "-"], "--out -: Parquet is no text; write CSV, or name a file"),
        (["--to", "mlflow", "--out", "x"], "leave --out out"),
        (["--to", "bmf", "--out", "-", "--better", "bigger"], "--better is for --to github-action-benchmark"),
        (["--to", "bmf", "--out", "-", "--experiment", "x"], "--experiment is for --to mlflow"),
        (["--to", "openmetrics", "--out", "-", "--device", "pi6"], "did you mean device pi"),
        (["--to", "openmetrics", "--out", "-", "nothing"], "unknown measurement 'nothing'"),
        (["--to", "model-index", "--out", "-"], "name one with --variant"),
    ],
)
def test_a_wrong_request_is_one_line(exported_store: Store, arguments: list[str], message: str) -> None:
    done = export(*arguments, store=exported_store)
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("to", ["perfetto", "mlflow", *TEXTS])
def test_an_empty_store_is_one_line(tmp_path: Path, to: str) -> None:
    where = ["--tracking-uri", str(tmp_path)] if to == "mlflow" else ["--out", str(tmp_path / "x")]
    done = export("--to", to, *where, store=Store(tmp_path / "empty"))
    assert (done.code, done.stdout) == (2, "")
    assert "there is no measurement in " in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_valid_is_exit_code_4(tmp_path: Path) -> None:
    store = keep(tmp_path / "store", throttled())
    done = export("--to", "bmf", "--out", tmp_path / "x", store=store)
    assert (done.code, done.stderr.count("\n")) == (4, 1)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_missing_is_one_line(exported_store: Store, tmp_path: Path) -> None:
    done = export("--to", "bmf", "--out", tmp_path / "no" / "x", store=exported_store)
    assert (done.code, done.stderr.count("\n")) == (1, 1)
    assert "is not a folder" in done.stderr


def test_the_library_refuses_what_it_does_not_write(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'openmetrics'"):
        export_results([measured(0)], to="openmetric")
    with pytest.raises(UsageError, match=r"Store\.export"):
        export_results([measured(0)], to="csv")
    with pytest.raises(UsageError, match="name a file"):
        export_results([measured(0)], to="perfetto")
    with pytest.raises(UsageError, match="writes no file"):
        export_results([measured(0)], to="mlflow", out=tmp_path / "x")
    with pytest.raises(UnknownName, match="value of better"):
        export_results([measured(0)], to="github-action-benchmark", better="best")
    with pytest.raises(UsageError, match="there is no measurement"):
        export_results([], to="bmf")


def test_each_measurement_yields_what_select_returns(exported_store: Store) -> None:
    streamed = list(exported_store.each_measurement())
    assert {each.id: each.latency_ms for each in streamed} == {
        each.id: each.latency_ms for each in exported_store.measurements()
    }


@pytest.mark.slow
def test_tables_are_read_by_pandas_and_duckdb(exported_store: Store, tmp_path: Path) -> None:
    need("pandas", "pyarrow")
    import duckdb
    import pandas

    paths = {kind: tmp_path / f"latencies.{kind}" for kind in ("csv", "parquet")}
    for kind, path in paths.items():
        assert export("--to", kind, "--out", path, store=exported_store).code == 0
    columnar, rows = pandas.read_parquet(paths["parquet"]), pandas.read_csv(paths["csv"])
    runs = [run for each in exported_store.measurements() for run in each.runs]
    expected = sum(int(run.trace.latencies_ns.sum()) for run in runs)
    assert int(columnar["latency_ns"].sum()) == int(rows["latency_ns"].sum()) == expected
    safe = {re.sub(r"[\n\u202e]", " ", name) for name in columnar["variant"]}  # a CSV file may be printed
    assert safe == set(rows["variant"])
    assert set(columnar["variant"]) == {each.subject.variant.name for each in exported_store.measurements()}
    for path in paths.values():
        (found,) = duckdb.sql(
            "SELECT sum(latency_ns), count(DISTINCT run) FROM query_table($1)", params=[str(path)]
        ).fetchall()
        assert found == (expected, len(runs))


def test_it_is_public() -> None:
    assert {"export_results", "ExportedResults"} <= set(edgebench.__all__)
