"""The folder of runs: what is written comes back exactly, what is damaged is said, nothing is half-written."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from edgebench.analysis.conditions import conditions_of
from edgebench.errors import StoreError, UnknownName, UsageError
from edgebench.reason import texts_of
from edgebench.run import Memory, Overhead, Run, Series, Trace
from edgebench.store import Store
from edgebench.variant import IntermediateTask, Lineage, TrainingKind
from tests.sample_runs import MS, run, subject, trace

INT64 = st.integers(-(2**63), 2**63 - 1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def assert_same(one: Run, other: Run) -> None:
    """Compare runs with their arrays, type and order included."""
    for name in ("starts_ns", "latencies_ns", "items", "warmup_starts_ns", "warmup_latencies_ns", "warmup_items"):
        assert_same_array(getattr(one.trace, name), getattr(other.trace, name))
    assert set(one.trace.readings) == set(other.trace.readings)
    for name, series in one.trace.readings.items():
        assert_same_array(series.t_ns, other.trace.readings[name].t_ns)
        assert_same_array(series.values, other.trace.readings[name].values)
    assert replace(one, trace=other.trace) == other


def assert_same_array(one: Any, other: Any) -> None:
    assert type(one) is type(other) is np.ndarray
    assert one.dtype == other.dtype == np.int64
    assert one.tolist() == other.tolist()


# --- what is written comes back ---------------------------------------------------------------------------------


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    def columns(*elements: st.SearchStrategy[int]) -> list[Any]:
        count = draw(st.integers(0, 30))
        return [draw(st_numpy.arrays(np.int64, count, elements=each)) for each in elements]

    starts, latencies = columns(INT64, st.integers(0, 2**63 - 1))  # figures of negative latencies are refused
    warmup_starts, warmup_latencies = columns(INT64, INT64)
    names = draw(st.lists(st.sampled_from(["rss_bytes", "latency_ns", "x'y/\"z", "warmup_ns"]), unique=True))
    return Trace(
        starts_ns=starts,
        latencies_ns=latencies,
        items=draw(st_numpy.arrays(np.int64, len(starts), elements=st.integers(0, 2**31 - 1))),
        warmup_starts_ns=warmup_starts,
        warmup_latencies_ns=warmup_latencies,
        warmup_items=np.zeros(len(warmup_starts), np.int64),
        readings={name: Series(*column) for name in names if len((column := columns(INT64, INT64))[0])},
    )


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(kept=traces())
def test_every_integer_comes_back_exactly(kept: Trace, tmp_path: Path) -> None:
    of = subject(planned_runs=1)
    written = run(of, 0, kept, load_ns=2**62, facts={"nodes": {"CPU": 3}, "notes": ["ünïcode"], "none": None})
    store = Store(tmp_path / "exact")
    shutil.rmtree(store.folder, ignore_errors=True)
    store.add_run(of, written)
    (found,) = store.measurement(of.id).runs
    assert_same(written, found)


def test_the_subject_comes_back_with_its_lineage(store: Store) -> None:
    of = subject()
    task = IntermediateTask(name="mnli", kind=TrainingKind.MULTILINGUAL, languages=("en", "sw"))
    lineage = Lineage(base="xlm-roberta-base", intermediate=(task,), target="xnli", seed=3)
    of = replace(of, variant=replace(of.variant, lineage=lineage))
    store.add_run(of, run(of, 0, trace([MS])))
    assert store.measurement(of.id).subject == of


def test_what_edgebench_cost_comes_back(store: Store) -> None:
    cost = Overhead(
        per_inference=0.0625,
        per_inference_ci=(0.06, 0.07),
        loop_per_inference=0.25,
        loop_per_inference_ci=None,
        sensors_ratio=1.001,
        sensors_ratio_ci=(0.996, 1.006),
    )
    of = replace(subject(), overhead_us=cost)
    store.add_run(of, run(of, 0, trace([MS])))
    found = store.measurement(of.id)
    assert found.overhead_us == cost
    assert found.to_json()["overhead_us"]["per_inference"] == 0.0625


def test_reasons_and_missing_figures_come_back(store: Store) -> None:
    of = subject()
    written = run(of, 0, trace([]), load_ns=None, first_ns=None, memory=Memory(), reasons=("interrupted", "too few"))
    store.add_run(of, written)
    (found,) = store.measurement(of.id).runs
    assert_same(written, found)
    assert texts_of(found.reasons) == ["interrupted", "too few"]


def test_runs_of_a_measurement_are_put_together_in_their_order(store: Store) -> None:
    one, other = subject(0), subject(1, device="jetson")
    for number in (2, 0, 1):
        for of in (other, one):
            store.add_run(of, run(of, number, trace([(number + 1) * MS] * 3)))
    assert [(each.id, [kept.id for kept in each.runs]) for each in store.measurements()] == [
        (of.id, [f"{of.id}-{number:03d}" for number in range(3)]) for of in (one, other)
    ]


def test_measurements_come_in_the_order_of_their_sessions_and_then_of_their_ids(store: Store) -> None:
    """Interleaving decides which cell of a session runs first; it must not decide the order of the table."""
    early = [replace(subject(number), id=f"z-{number}", session="z") for number in range(2)]
    late = replace(subject(), id="a-0", session="a")
    for of, second in ((early[1], 0), (early[0], 1), (late, 2)):
        store.add_run(of, run(of, second, trace([MS])))
    assert [each.id for each in store.measurements()] == ["z-0", "z-1", "a-0"]


def test_measurements_are_found_by_what_they_measured(store: Store) -> None:
    a, b = subject(0, name="a", format="onnx-fp32", device="pi4"), subject(1, name="b", device="pi5")
    for of in (a, b):
        store.add_run(of, run(of, 0, trace([MS])))
    assert [each.id for each in store.measurements()] == [a.id, b.id]
    assert [each.id for each in store.measurements(device="pi5")] == [b.id]
    assert [each.id for each in store.measurements(variant="a", format="onnx-fp32")] == [a.id]
    assert store.measurements(variant="a", format="onnx-int8") == []
    assert len(store.measurements(session=a.session)) == 2
    assert store.measurements(session="another") == []


def test_the_beginning_of_an_id_is_enough_where_only_one_begins_so(store: Store) -> None:
    for number in (0, 1, 10):
        of = subject(number)
        store.add_run(of, run(of, 0, trace([MS])))
    assert store.measurement(subject(1).id).id == subject(1).id
    assert store.measurement(subject(1).id[:-1] + "1").id == subject(1).id
    with pytest.raises(UsageError, match=r"is the beginning of 3 measurements: .*; give more of it"):
        store.measurement("2025")
    with pytest.raises(UnknownName, match="did you mean"):
        store.measurement(subject(1).id[:-1] + "9")


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert store.measurements() == []
    assert store.sessions() == []
    assert store.query("SELECT * FROM runs") == []
    assert store.query("SELECT * FROM traces") == []
    with pytest.raises(UnknownName, match="unknown measurement 'x'"):
        store.measurement("x")
    assert not store.folder.exists()


# --- writing ----------------------------------------------------------------------------------------------------


def test_a_stored_run_is_never_changed(store: Store) -> None:
    of = subject()
    folder = store.add_run(of, run(of, 0, trace([MS])))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(StoreError, match="never changed"):
        store.add_run(of, run(of, 0, trace([2 * MS])))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("id", ["", "../x", "a/b", ".hidden", "x" * 129, "a\nb"])
def test_an_id_that_could_lead_elsewhere_is_refused(store: Store, id: str) -> None:
    of = subject()
    with pytest.raises(StoreError, match="can't name a run"):
        store.add_run(of, run(of, 0, trace([MS]), id=id))
    with pytest.raises(StoreError, match="can't name a run"):
        store.write_session(id, {})
    assert not store.folder.exists()


def test_a_run_that_can_not_be_written_leaves_nothing(store: Store) -> None:
    of = subject()
    too_large = replace(trace([MS]), items=np.array([2**40], np.int64))  # item is an INTEGER of 32 bits
    with pytest.raises(StoreError, match="can't write to the store"):
        store.add_run(of, run(of, 0, too_large))
    assert list((store.folder / "runs").iterdir()) == []


def test_what_an_interrupted_writer_left_behind_is_ignored(store: Store) -> None:
    of = subject()
    folder = store.add_run(of, run(of, 0, trace([MS])))
    shutil.copytree(folder, folder.with_name(f".{folder.name}.1234"))
    assert len(store.measurement(of.id).runs) == 1


def test_a_store_that_can_not_be_written_is_said_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"can't write to the store .*file.*; try another `store`"):
        Store(tmp_path / "file" / "store").check_writable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_store_is_said_beforehand(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="Permission denied; try another `store`"):
        Store(tmp_path / "store").check_writable()
    tmp_path.chmod(0o700)


def test_a_writable_store_stays_empty_when_it_is_tried(store: Store) -> None:
    store.check_writable()
    assert [path for path in store.folder.rglob("*") if path.is_file()] == []


def test_sessions_are_kept_and_replaced(store: Store) -> None:
    store.write_session("s-1", {"plan": {"runs": 6}, "texts": ["ü"]})
    store.write_session("s-1", {"plan": {"runs": 7}})
    store.write_session("s-0", {})
    assert store.sessions() == ["s-0", "s-1"]
    assert store.read_session("s-1") == {"plan": {"runs": 7}}
    with pytest.raises(UnknownName, match="unknown session 's-2'; did you mean"):
        store.read_session("s-2")


# --- what is damaged --------------------------------------------------------------------------------------------


def damaged(store: Store, damage: str) -> Path:
    """Store two measurements and damage the second's only run; return that run's folder."""
    good, bad = subject(0), subject(1)
    store.add_run(good, run(good, 0, trace([MS] * 5)))
    folder = store.add_run(bad, run(bad, 0, trace([MS] * 5)))
    document, parquet = folder / "run.json", folder / "trace.parquet"
    values = json.loads(document.read_text())
    match damage:
        case "truncated run.json":
            document.write_text(document.read_text()[:-40])
        case "no run.json":
            document.unlink()
        case "run.json of another kind":
            document.write_text("[1, 2]")
        case "a figure is missing":
            del values["run"]["tokens"]
            document.write_text(json.dumps(values))
        case "an unknown format":
            values["subject"]["artifact"]["format"] = "onnx-int3"
            document.write_text(json.dumps(values))
        case "a newer version":
            document.write_text(json.dumps(values | {"format_version": 2}))
        case "truncated trace":
            parquet.write_bytes(parquet.read_bytes()[:-30])
        case "empty trace":
            parquet.write_bytes(b"")
        case "no trace":
            parquet.unlink()
        case "another trace":
            shutil.copy(store.add_run(good, run(good, 1, trace([MS] * 4))) / "trace.parquet", parquet)
        case "a trace of other columns":
            duckdb.sql(f"COPY (SELECT 1 AS a) TO '{parquet}'")
    return folder


DAMAGES = {
    "truncated run.json": "run.json is damaged",
    "no run.json": "can't read .*run.json: No such file",
    "run.json of another kind": "run.json is damaged: not an object",
    "a figure is missing": "run.json is not a valid run: lacks 'tokens'",
    "an unknown format": "run.json is not a valid run: artifact: unknown format 'onnx-int3'",
    "a newer version": r"format version 2, this edgebench \(.*\) reads up to 1; try: pip install --upgrade edgebench",
    "truncated trace": "trace.parquet",
    "empty trace": "trace.parquet",
    "no trace": "trace.parquet",
    "another trace": "has 4 latencies, run.json says 5",
    "a trace of other columns": "trace.parquet",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_one_clear_line_and_the_others_stay_readable(store: Store, damage: str) -> None:
    folder = damaged(store, damage)
    with pytest.raises(StoreError, match=DAMAGES[damage]) as error:
        store.measurements()
    assert folder.name in str(error.value)
    assert "\n" not in str(error.value)
    left_out: list[StoreError] = []
    assert [each.id for each in store.measurements(on_unreadable=left_out.append)] == [subject(0).id]
    assert [str(each) for each in left_out] == [str(error.value)]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_does_not_hide_another_measurement(store: Store, damage: str) -> None:
    damaged(store, damage)
    assert store.measurement(subject(0).id).id == subject(0).id
    with pytest.raises(StoreError):
        store.measurement(subject(1).id)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_of_another_session_does_not_stand_in_the_way_of_one(store: Store, damage: str) -> None:
    damaged(store, damage)
    mine = replace(subject(), id="20260102T030405-fedcba-000", session="20260102T030405-fedcba")
    store.add_run(mine, run(mine, 0, trace([MS])))
    assert [each.id for each in store.measurements(session=mine.session)] == [mine.id]
    with pytest.raises(StoreError, match=DAMAGES[damage]):
        store.measurements(session=subject().session)


def test_what_is_no_run_is_ignored(store: Store) -> None:
    of = subject()
    folder = store.add_run(of, run(of, 0, trace([MS])))
    (folder.parent / ".DS_Store").write_bytes(b"x")
    (folder.parent / f"{of.session}-notes.txt").write_text("a stray file")
    (folder.parent / f"{of.session}-gone").symlink_to("nowhere")
    assert [each.id for each in store.measurements()] == [of.id]
    assert [each.id for each in store.measurements(session=of.session)] == [of.id]
    assert len(store.query("SELECT * FROM runs")) == 1


def test_the_figures_of_a_stored_run_are_those_of_its_whole_turns(store: Store) -> None:
    of = subject()
    kept = replace(trace([200 * MS, 100 * MS, 200 * MS]), items=np.array([0, 1, 0]))
    turn = {"batches": 2, "batch_sizes": [1, 1], "batch_tokens": [20, 10]}
    folder = store.add_run(of, run(of, 0, kept, facts=turn))
    written = json.loads((folder / "run.json").read_text())["run"]
    assert written["latency_ms"]["mean"] == 150
    assert written["latencies_count"] == 3
    assert store.measurement(of.id).latency_ms.mean == 150


# --- querying and exporting -------------------------------------------------------------------------------------


@pytest.fixture
def two(store: Store) -> Store:
    """Two measurements: 3 inferences of 1, 2, 3 ms; and 2 of 10 ms in a run that does not count."""
    a = subject(0, name='it\'s, "a"')
    b = subject(1, name="b", format="onnx-fp32")
    store.add_run(a, run(a, 0, trace([MS, 2 * MS, 3 * MS], warmup_ns=[9 * MS], readings={"rss_bytes": [1, 2]})))
    store.add_run(b, run(b, 0, trace([10 * MS] * 2), reasons=("too hot", "too few")))
    return store


def test_a_query_sees_runs_and_traces(two: Store) -> None:
    rows = two.query(
        "SELECT variant, format, valid, max(value) AS highest FROM traces JOIN runs USING (run) "
        "WHERE series = 'latency_ns' GROUP BY ALL ORDER BY highest"
    )
    assert rows == [
        {"variant": 'it\'s, "a"', "format": "onnx-int8", "valid": True, "highest": 3 * MS},
        {"variant": "b", "format": "onnx-fp32", "valid": False, "highest": 10 * MS},
    ]
    assert two.query("SELECT count(*) AS n FROM traces WHERE series = 'warmup_ns'") == [{"n": 1}]
    with pytest.raises(UsageError, match="the query is not valid"):
        two.query("SELECT nonsense FROM runs")


def test_an_export_has_one_row_per_timed_inference(two: Store, tmp_path: Path) -> None:
    assert two.export(tmp_path / "all.csv", kind="csv") == 5
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["latency_ns"]) for row in rows) == [MS, 2 * MS, 3 * MS, 10 * MS, 10 * MS]
    (row,) = [row for row in rows if int(row["latency_ns"]) == 2 * MS]
    expected = {
        "measurement": subject(0).id,
        "run": f"{subject(0).id}-000",
        "valid": "true",
        "reasons": "",
        "variant": 'it\'s, "a"',
        "format": "onnx-int8",
        "device": "pi4",
        "scenario": "single-stream",
        "seq_len": "128",
        "lang": "",
        "batch": "1",
        "threads": "4",
        "item": "0",
        "start_ns": str(5_000_000_000 + MS),
    }
    assert {name: row[name] for name in expected} == expected
    assert {row["reasons"] for row in rows if row["variant"] == "b"} == {"too hot; too few"}


def disturbed_run() -> Run:
    """Six inferences of 100 ms, the fourth and fifth excluded; sensors that were read before, meanwhile, or never."""
    of = subject()
    kept = trace([100 * MS] * 6)
    start = int(kept.starts_ns[0])

    def series(*readings: tuple[int, int]) -> Series:
        return Series(*(np.array([start + at * MS for at, _ in readings]), np.array([value for _, value in readings])))

    readings = {
        "frequency_khz/cpu0": series((-50, 600), (250, 1500)),
        "frequency_khz/cpu1": series((-50, 1400), (250, 700)),
        "temperature_mc/cpu-thermal": series((0, 50_000), (101, 51_000)),
        "temperature_mc/pmic": series((0, 90_000)),
        "others_cpu_millicores": series((300, 900)),
    }
    return run(of, 0, replace(kept, readings=readings), excluded_spans=((start + 300 * MS, start + 500 * MS),))


def test_an_exported_inference_has_the_last_reading_before_it(store: Store, tmp_path: Path) -> None:
    written = disturbed_run()
    store.add_run(subject(), written)
    store.export(tmp_path / "all.parquet", kind="parquet")
    names = "frequency_khz, temperature_mc, throttled, others_cpu_millicores, cut"
    exported = duckdb.read_parquet(str(tmp_path / "all.parquet"))
    rows = exported.order("start_ns").project(names).fetchall()
    assert rows == [
        (1400, 50_000, None, None, False),
        (1400, 50_000, None, None, False),
        (1400, 51_000, None, None, False),
        (1500, 51_000, None, 900, True),
        (1500, 51_000, None, 900, True),
        (1500, 51_000, None, 900, False),
    ]
    joined = conditions_of(written)
    columns = [getattr(joined, name).tolist() for name in names.replace("cut", "is_excluded").split(", ")]
    assert [tuple(row) for row in zip(*columns, strict=True)] == rows


def test_what_was_cut_stays_in_the_trace_and_out_of_the_figures(store: Store) -> None:
    written = disturbed_run()
    store.add_run(subject(), written)
    measured = store.measurement(subject().id)
    assert_same(written, measured.runs[0])
    assert measured.to_json()["runs"][0]["cut_count"] == 2
    assert measured.to_json()["runs"][0]["latencies_count"] == 6
    assert measured.throughput_per_s == pytest.approx(10)
    assert measured.tokens_per_s == pytest.approx(1280)


def test_an_export_of_one_measurement_leaves_out_the_others(two: Store, tmp_path: Path) -> None:
    target = tmp_path / "a's.parquet"
    assert two.export(target, ids=[subject(0).id], kind="parquet") == 3
    found = duckdb.execute("SELECT variant, latency_ns FROM read_parquet(?) ORDER BY 2", [str(target)]).fetchall()
    assert found == [('it\'s, "a"', n * MS) for n in (1, 2, 3)]


def test_an_export_replaces_its_target_only_once_it_is_whole(two: Store, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before")
    with pytest.raises(UnknownName):
        two.export(target, ids=["nothing"], kind="csv")
    (subject_folder,) = (two.folder / "runs").glob(f"{subject(1).id}*")
    (subject_folder / "trace.parquet").write_bytes(b"")
    with pytest.raises(StoreError, match="can't export"):
        two.export(target, kind="csv")
    assert target.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "results"]
    with pytest.raises(StoreError, match="is not a folder"):
        two.export(tmp_path / "none" / "out.csv", kind="csv")


def test_a_folder_with_letters_that_mean_something_in_sql_or_globs_works(tmp_path: Path) -> None:
    store = Store(tmp_path / "it's [a] store*?")
    of = subject()
    store.add_run(of, run(of, 0, trace([MS] * 3)))
    assert store.measurement(of.id).latency_ms.p50 == 1
    assert store.query("SELECT count(*) AS n FROM traces") == [{"n": 3}]
    assert store.export(store.folder / "x's.csv", kind="csv") == 3


def test_a_copy_of_a_store_is_a_store(two: Store, tmp_path: Path) -> None:
    shutil.copytree(two.folder, tmp_path / "copy")
    assert [each.to_json() for each in Store(tmp_path / "copy").measurements()] == [
        each.to_json() for each in two.measurements()
    ]


def test_many_runs_are_read_in_batches_and_kept_apart(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgebench.store.runs._BATCH_RUNS", 3)
    of = subject(planned_runs=8)
    written = [run(of, number, trace(range(1, number + 1), readings={"x": range(number)})) for number in range(8)]
    for each in written:
        store.add_run(of, each)
    found = store.measurement(of.id).runs
    for one, other in zip(written, found, strict=True):
        kept = {name: series for name, series in one.trace.readings.items() if len(series.values)}
        assert_same(replace(one, trace=replace(one.trace, readings=kept)), other)
