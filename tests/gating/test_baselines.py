"""Baselines: accepted, found again, and refused with one line and the right exit code, before anything is measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import edgebench
from edgebench import Store, accept_baseline
from edgebench.cli import main
from edgebench.errors import ConfigError, NotComparable, NotValid, StoreError, UnknownName
from edgebench.facts import DeviceFacts
from edgebench.gating.accept import keep_files
from edgebench.gating.baseline import read_baseline, workload_of
from edgebench.gating.references import choose_workloads, find_anchors, find_baselines
from tests.gating.stored import add
from tests.schemas import check_schema


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without settings or a cache of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGEBENCH_STORE", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path


@pytest.fixture
def store(work: Path) -> Store:
    return Store(work / "store")


def gate(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code and the one line of a gate that ends before it measures."""
    with pytest.raises(SystemExit) as ended:
        main(["gate", "--store", "store", *arguments])
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1, error
    return int(ended.value.code or 0), error


# --- accepting ------------------------------------------------------------------------------------------------------


def test_an_accepted_baseline_keeps_its_file_and_is_the_last_one(store: Store, work: Path) -> None:
    id = add(store, work / "old.onnx")
    baseline = accept_baseline(id, store=store, name="main", out=work / "baseline.json")
    (work / "old.onnx").unlink()
    kept = keep_files(store, baseline)
    assert kept == store.folder / "artifacts" / baseline.artifact.sha256
    assert (kept / "old.onnx").read_bytes() == b"old.onnx"
    check_schema(baseline.to_json(), "baseline")
    for reference in ("last", "main", str(work / "baseline.json")):
        (found,) = find_baselines(reference, store=store, device="local")
        assert (found.name, found.artifact, found.measurement) == ("main", baseline.artifact, id)
    assert workload_of(baseline).to_json() == dict(baseline.workload)


def test_the_next_accepted_one_of_a_workload_replaces_the_last(store: Store, work: Path) -> None:
    ids = [add(store, work / f"{name}.onnx", session=f"2026010{at}T000000-aaaaaa") for at, name in enumerate("ab", 1)]
    for id in ids:
        accept_baseline(id, store=store, name="main")
    (found,) = find_baselines("last", store=store, device=None)
    assert found.measurement == ids[1]
    assert len(list((store.folder / "baselines").iterdir())) == 1


def test_an_anchor_is_pinned_beside_the_last_baseline(store: Store, work: Path) -> None:
    first, second = (add(store, work / f"{name}.onnx", session=f"20260101T000000-aaaaa{name}") for name in "ab")
    accept_baseline(first, store=store, name="release", anchor=True)
    accept_baseline(second, store=store, name="main")
    (last,) = find_baselines("last", store=store, device="local")
    assert last.name == "main"
    rows = choose_workloads([last], [])
    (anchor,) = find_anchors(store, None, device="local", rows=rows) or []
    assert (anchor.name, anchor.measurement) == ("release", first)
    assert find_anchors(store, None, device="pi4", rows=rows) is None


def test_a_measurement_and_a_variant_are_baselines_without_being_accepted(store: Store, work: Path) -> None:
    id = add(store, work / "old.onnx")
    for reference in (id, id[:-2], "old", "old:onnx"):
        (found,) = find_baselines(reference, store=store, device=None)
        assert (found.measurement, found.name) == (id, "old")
    with pytest.raises(UnknownName):
        find_baselines("nobody", store=store, device=None)


def test_what_is_not_valid_or_can_not_be_measured_again_is_no_baseline(store: Store, work: Path) -> None:
    short = add(store, work / "short.onnx", planned_runs=1, session="20260101T000000-aaaaaa")
    # Stored with one run of six.
    document = next((store.folder / "runs").glob(f"{short}*/run.json"))
    values = json.loads(document.read_text(encoding="utf-8"))
    document.write_text(json.dumps(values | {"planned_runs": 6}), encoding="utf-8")
    with pytest.raises(NotValid, match="1 of 6 planned runs"):
        accept_baseline(short, store=store)
    long = add(
        store,
        work / "long.onnx",
        session="20260102T000000-aaaaaa",
        workload={"scenario": "single-stream", "seq_len": 8, "batch": 1, "sustained_min": 10.0},
    )
    with pytest.raises(ConfigError, match="one sustained run"):
        accept_baseline(long, store=store)


# --- bad input: one line, the right exit code -----------------------------------------------------------------------


def test_without_a_baseline_the_gate_says_how_to_accept_one(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = gate(capsys=capsys)
    assert code == 2
    assert "no accepted baseline on local; try: edgebench gate accept ID" in line


def test_a_file_that_is_gone_is_exit_4_and_says_what_to_do(
    store: Store, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    id = add(store, work / "old.onnx")
    (work / "old.onnx").unlink()
    (work / "new.onnx").write_bytes(b"new")
    code, line = gate("--baseline", id, "--model", "new.onnx", "--junit", "gate.xml", capsys=capsys)
    assert code == 4
    assert "is neither in the store store nor in the cache of artifacts; export it again" in line
    assert "is neither in the store" in Path("gate.xml").read_text(encoding="utf-8")


def test_a_file_that_was_overwritten_counts_as_gone(store: Store, work: Path) -> None:
    id = add(store, work / "old.onnx")
    (work / "old.onnx").write_bytes(b"something else")
    with pytest.raises(NotValid, match="the file of baseline old"):
        edgebench.gate(work / "old.onnx", baseline=id, store=store)


def test_another_board_format_runtime_and_workload_are_refused(
    store: Store, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (work / "edgebench.toml").write_text('[device.pi4]\nhost = "10.0.0.4"\n', encoding="utf-8")
    id = add(store, work / "old.onnx")
    code, line = gate("--baseline", id, "--model", "old.onnx", "--device", "pi4", capsys=capsys)
    assert (code, "was measured on local, not on pi4" in line) == (2, True), line
    (work / "new.tflite").write_bytes(b"new")
    code, line = gate("--baseline", id, "--model", "new.tflite", capsys=capsys)
    assert (code, "for tflite" in line, "--allow runtime --allow format" in line) == (2, True, True), line
    code, line = gate("--baseline", id, "--model", "reference:tiny", "--format", "onnx-int8", capsys=capsys)
    assert (code, "baseline old is onnx, the candidate onnx-int8" in line) == (2, True), line
    code, line = gate("--baseline", id, "--model", "old.onnx", "--lang", "sw", capsys=capsys)
    assert (code, "is of another workload (128 tok), not sw" in line) == (2, True), line


def test_a_baseline_file_that_is_missing_foreign_or_newer(
    store: Store, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = gate("--baseline", "gone.json", capsys=capsys)
    assert (code, "no such baseline file: gone.json" in line) == (2, True)
    (work / "other.json").write_text('{"name": "package"}', encoding="utf-8")
    code, line = gate("--baseline", "other.json", capsys=capsys)
    assert (code, "is not a baseline" in line) == (1, True)
    accept_baseline(add(store, work / "old.onnx"), store=store, out=work / "base.json")
    values = json.loads((work / "base.json").read_text(encoding="utf-8"))
    (work / "new.json").write_text(json.dumps(values | {"format_version": 2}), encoding="utf-8")
    code, line = gate("--baseline", "new.json", capsys=capsys)
    assert (code, "reads up to 1; try: pip install --upgrade edgebench" in line) == (1, True)
    (work / "later.json").write_text(json.dumps(values | {"came_later": 1}), encoding="utf-8")
    assert read_baseline(work / "later.json").artifact == read_baseline(work / "base.json").artifact
    del values["artifact"]
    (work / "cut.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(StoreError, match="lacks artifact"):
        read_baseline(work / "cut.json")


def test_a_store_of_a_newer_version_is_refused(store: Store, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    id = add(store, work / "old.onnx")
    accept_baseline(id, store=store)
    for path in (*(store.folder / "baselines").iterdir(), *(store.folder / "runs").glob("*/run.json")):
        text = path.read_text(encoding="utf-8").replace('"format_version": 1', '"format_version": 2')
        path.write_text(text, encoding="utf-8")
        code, line = gate("--baseline", id, "--model", "old.onnx", capsys=capsys)
        assert (code, "reads up to 1; try: pip install --upgrade edgebench" in line) == (1, True)


def test_texts_must_be_given_again(store: Store, work: Path) -> None:
    workload = {"scenario": "single-stream", "texts_sha256": "0" * 64, "batch": 1, "threads": 4, "padding": "longest"}
    id = add(store, work / "old.onnx", workload=workload, label="texts")
    with pytest.raises(ConfigError, match="only their hash is kept"):
        edgebench.gate(work / "old.onnx", baseline=id, store=store)
    with pytest.raises(NotComparable, match="another workload"):
        edgebench.gate(work / "old.onnx", baseline=id, store=store, workloads=[edgebench.Workload(texts=("a", "b"))])


def test_github_outside_of_github_is_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = gate("--github", capsys=capsys)
    assert (code, "GITHUB_STEP_SUMMARY" in line, "--markdown FILE" in line) == (2, True, True)


def test_rows_of_different_files_are_gated_one_after_the_other(store: Store, work: Path) -> None:
    ids = [
        add(store, work / "a.onnx", session="20260101T000000-aaaaaa"),
        add(
            store,
            work / "b.onnx",
            session="20260102T000000-aaaaaa",
            workload={"scenario": "single-stream", "lang": "sw", "batch": 1, "threads": 4, "padding": "longest"},
            label="sw",
        ),
    ]
    baselines = [find_baselines(id, store=store, device=None)[0] for id in ids]
    with pytest.raises(ConfigError, match="different files"):
        choose_workloads(baselines, [])
    workload = replace(workload_of(baselines[1]), threads=None)
    ((chosen, resolved),) = choose_workloads(baselines, [workload])
    assert (chosen.label, resolved.threads) == ("sw", 4)


def test_a_board_says_whether_it_is_virtual(store: Store, work: Path) -> None:
    id = add(store, work / "old.onnx", device=DeviceFacts(name="local", runtime="onnxruntime", virtual=True))
    assert accept_baseline(id, store=store).device.virtual is True
