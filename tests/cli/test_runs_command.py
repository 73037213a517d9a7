"""edgebench runs, as a user calls it: in a process of its own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from pathlib import Path

import pytest

from edgebench.store import Store
from tests.fork_server import edgebench_command
from tests.sample_runs import MS, run, subject, trace
from tests.schemas import check_schema


def edgebench(*arguments: str, columns: int | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("EDGEBENCH_STORE", "COLUMNS")}
    if columns is not None:
        environment["COLUMNS"] = str(columns)
    return subprocess.run(
        [*edgebench_command(), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
        check=False,
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two measurements, two runs each, of 1..100 ms."""
    folder = tmp_path / "results"
    for number in range(2):
        of = subject(number, name=f"variant-{number}")
        for at in range(2):
            Store(folder).add_run(of, run(of, at, trace([ms * MS for ms in range(1, 101)])))
    return folder


def test_list_shows_every_measurement(store: Path) -> None:
    done = edgebench("runs", "list", "--store", str(store))
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line for line in done.stdout.splitlines() if line.startswith("2025")]
    assert [row.split()[:3] for row in rows] == [
        [subject(number).id, f"variant-{number}", "onnx-int8"] for number in range(2)
    ]
    assert all("2 of 2" in row and "50.5" in row for row in rows)


def test_list_as_json_prints_nothing_else(store: Path) -> None:
    done = edgebench("runs", "list", "--store", str(store), "--json", "-")
    document = json.loads(done.stdout)
    assert [each["id"] for each in document["measurements"]] == [subject(number).id for number in range(2)]


def test_list_names_what_it_left_out(store: Path) -> None:
    path = next((store / "runs").glob(f"{subject(1).id}*")) / "run.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 9'))
    done = edgebench("runs", "list", "--store", str(store))
    assert done.returncode == 0
    assert "left out:" in done.stderr
    assert "format version 9" in done.stderr
    assert subject(0).id in done.stdout


def test_list_of_an_empty_store_says_what_to_try(tmp_path: Path) -> None:
    done = edgebench("runs", "list", "--store", str(tmp_path / "none"), "--json", "-")
    assert done.returncode == 0
    assert json.loads(done.stdout)["measurements"] == []
    assert "try: edgebench profile" in done.stderr


def test_show_finds_a_measurement_by_the_beginning_of_its_id(store: Path) -> None:
    done = edgebench("runs", "show", subject(1).id, "--store", str(store), columns=80)
    assert (done.returncode, done.stderr) == (0, "")
    for expected in (f"{subject(1).id}-000", f"{subject(1).id}-001", "variant-1", "50.5", "CPUExecutionProvider"):
        assert expected in done.stdout


def test_show_as_json_goes_to_a_file(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "one.json"
    done = edgebench("runs", "show", subject(1).id, "--store", str(store), "--json", str(target))
    assert "variant-1" in done.stdout
    (measurement,) = json.loads(target.read_text())["measurements"]
    assert measurement["id"] == subject(1).id
    assert measurement["latency_ms"]["p50"] == 50.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "20250102T030405-abcdef-007"], "unknown measurement '20250102T030405-abcdef-007'; did you mean"),
        (["show", "2025"], "'2025' is the beginning of 2 measurements"),
        (["export", "nothing", "--to", "csv", "--out", "x.csv"], "unknown measurement 'nothing'"),
        (["export", "--to", "xml", "--out", "x.xml"], "Invalid value for '--to'"),
        (["sql", "SELECT nonsense FROM runs"], "the query is not valid"),
        (["sql", "SELECT 1 AS a, 2 AS a", "--json", "-"], "two columns are named 'a'"),
        (["sql", "SELECT 1", "--json", "-", "--csv", "-"], "only one of them can be standard output"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(store: Path, arguments: list[str], message: str) -> None:
    done = edgebench("runs", *arguments, "--store", str(store))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_run_is_one_line_and_exit_code_1(store: Path) -> None:
    path = next((store / "runs").glob(f"{subject(1).id}*")) / "trace.parquet"
    path.write_bytes(path.read_bytes()[:100])
    done = edgebench("runs", "show", subject(1).id, "--store", str(store))
    assert (done.returncode, done.stdout) == (1, "")
    assert str(path) in done.stderr
    assert done.stderr.count("\n") == 1


def test_export_writes_csv(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    done = edgebench("runs", "export", subject(0).id, "--to", "csv", "--out", str(target), "--store", str(store))
    assert (done.returncode, done.stdout) == (0, "")
    assert "200 inferences" in done.stderr
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 200
    assert {row["variant"] for row in rows} == {"variant-0"}


def test_export_to_a_folder_that_is_missing_is_exit_code_1(store: Path, tmp_path: Path) -> None:
    done = edgebench("runs", "export", "--to", "parquet", "--out", str(tmp_path / "no" / "x"), "--store", str(store))
    assert done.returncode == 1
    assert "is not a folder" in done.stderr


def test_a_query_is_a_table_json_or_csv(store: Path, tmp_path: Path) -> None:
    sql = "SELECT variant, count(*) AS runs, NULL AS nothing FROM runs GROUP BY ALL ORDER BY 1"
    shown = edgebench("runs", "sql", sql, "--store", str(store))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [line.split() for line in shown.stdout.splitlines() if line.startswith("variant-")] == [
        ["variant-0", "2", "-"],
        ["variant-1", "2", "-"],
    ]
    target = tmp_path / "rows.csv"
    written = edgebench("runs", "sql", sql, "--store", str(store), "--json", "-", "--csv", str(target))
    document = json.loads(written.stdout)
    check_schema(document, "runs-sql")
    assert document["rows"][0] == {"variant": "variant-0", "runs": 2, "nothing": None}
    assert target.read_text().splitlines() == ["variant,runs,nothing", "variant-0,2,", "variant-1,2,"]


def test_a_query_with_more_rows_than_the_limit_says_so(store: Path) -> None:
    done = edgebench("runs", "sql", "SELECT run FROM runs", "--limit", "3", "--csv", "-", "--store", str(store))
    assert len(done.stdout.splitlines()) == 4
    assert "only the first 3 rows of more" in done.stderr
    assert not edgebench("runs", "sql", "SELECT run FROM runs", "--limit", "0", "--store", str(store)).stderr
