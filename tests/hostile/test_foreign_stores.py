"""A store from somebody else is data: nothing in it decides what is started here, or which host is contacted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from edgebench.board.transport import open_transport
from edgebench.device import Device, find_device, load_profile
from edgebench.errors import ConfigError, EdgebenchError, StoreError
from edgebench.events import Event, LogMessage
from edgebench.measure import resume
from edgebench.measure.stored_devices import stored_request
from edgebench.request import Request, request_to_json
from edgebench.store import Store
from tests.sample_runs import MS, run, subject, trace

SESSION = "20250102T030405-abcdef"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


def store_with(folder: Path, **device: Any) -> Store:
    """Return a store with a session on a device that its author made up."""
    store = Store(folder / "st")
    request = request_to_json(Request(device=find_device("local"), models=("missing-model",), seed=1))
    request["device"] = {**request["device"], **device}
    store.write_session(SESSION, request)
    return store


def store_with_a_run(folder: Path) -> tuple[Store, Path]:
    """Return a store with one run, and the run's folder."""
    store, of = Store(folder / "st"), subject()
    return store, store.add_run(of, run(of, 0, trace([MS] * 4)))


def a_tool(folder: Path) -> Path:
    """Return a program that leaves a mark when it is started."""
    tool = folder / "tool"
    tool.write_text(f"#!/bin/sh\ntouch {folder / 'started'}\n")
    tool.chmod(0o755)
    return tool


@pytest.mark.parametrize("name", ["local", "pi4", "shed", "192.168.1.7", "all", "../x", "x\x1b[2J"])
def test_resume_starts_no_program_that_the_store_names(project: Path, name: str) -> None:
    tool = a_tool(project)
    store = store_with(project, name=name, host=None, python=str(tool))
    with pytest.raises(EdgebenchError) as refused:
        resume(SESSION, store=store)
    assert not (project / "started").exists()
    assert str(refused.value) == " ".join(str(refused.value).split())
    if name not in ("local", "pi4"):
        assert "no edgebench.toml names" in str(refused.value)
        assert "edgebench device add" in str(refused.value)


def test_the_board_of_that_name_in_the_settings_is_used_and_a_difference_is_said(project: Path) -> None:
    (project / "edgebench.toml").write_text('[device.shed]\nhost = "10.0.0.2"\nuser = "pi"\n')
    store = store_with(project, name="shed", host="evil.example", user="root", python="/tmp/x", identity_file="x")
    said: list[Event] = []
    request = stored_request(store, SESSION, said.append)
    assert request.device == find_device("shed")
    (message,) = said
    assert isinstance(message, LogMessage)
    assert "evil.example there, 10.0.0.2 now" in message.text and "/tmp/x there, python3 now" in message.text


def test_a_board_without_an_entry_is_found_by_an_address_of_the_caller(project: Path) -> None:
    store = store_with(project, name="192.168.1.7", host="evil.example", user="root", python="/tmp/x")
    request = stored_request(store, SESSION, lambda _: None, host="pi@192.168.1.7:2222")
    assert (request.device.address, request.device.python) == ("pi@192.168.1.7:2222", "python3")
    own = Device(name="own", profile=load_profile("pi4"), host="10.0.0.9")
    assert stored_request(store, SESSION, lambda _: None, device=own).device == own


def test_this_machine_runs_this_interpreter_only(project: Path) -> None:
    store = store_with(project, name="local", python=str(a_tool(project)))
    assert stored_request(store, SESSION, lambda _: None).device == find_device("local")


def test_settings_of_another_user_in_a_shared_folder_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "edgebench.toml").write_text('[device.shed]\nhost = "evil.example"\n')
    shared.chmod(0o1777)
    assert find_device("shed", folder=shared).host == "evil.example"
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(EdgebenchError, match="unknown device"):
        find_device("shed", folder=shared)


@pytest.mark.parametrize("key", ["user", "identity_file", "python"])
@pytest.mark.parametrize("host", ["h", None])
def test_a_nul_in_settings_is_refused_before_a_command_is_made_of_it(key: str, host: str | None) -> None:
    values: dict[str, Any] = {"name": "x", "profile": load_profile("pi4"), "host": host, key: "a\0b"}
    with pytest.raises(ConfigError, match=f"{key} has a NUL"):
        open_transport(Device(**values))


# --- what a run.json may hold -----------------------------------------------------------------------------------

DAMAGES: list[tuple[str, Any]] = [
    ("run.load_ns", "text"),
    ("run.load_ns", 10**400),
    ("run.load_ns", 10**25),
    ("run.first_ns", {}),
    ("run.tokens", "1"),
    ("run.reasons", [{"a": {}}]),
    ("run.reasons", "text"),
    ("run.reason_codes", [1]),
    ("run.latencies_count", -1),
    ("run.latencies_count", "4"),
    ("run.memory.peak_rss", "text"),
    ("run.figures.p50_ns", "fast"),
    ("run.figures.rails", [1]),
    ("run.cut", [["a", "b"]]),
    ("run.beside", {"x": "y"}),
    ("run.facts", []),
    ("run.id", 5),
    ("run.started_at", None),
    ("subject.id", ["x"]),
    ("subject.label", {"a": 1}),
    ("subject.workload.threads", {"a": 1}),
    ("subject.workload.queries_per_s", "x"),
    ("subject.artifact.files", [{"name": "../../.ssh/id", "sha256": "0" * 64, "bytes": 1}]),
    ("subject.artifact.vocab_size", 1 << 40),
    ("subject", []),
    ("planned_runs", "many"),
    ("looks", None),
    ("seed", 1.5),
    ("overhead_us", {"per_inference": "x"}),
]


@pytest.mark.parametrize(("place", "value"), DAMAGES)
def test_a_run_with_values_of_other_types_is_one_clear_error(tmp_path: Path, place: str, value: Any) -> None:
    store, folder = store_with_a_run(tmp_path)
    path = folder / "run.json"
    document = json.loads(path.read_text())
    *above, last = place.split(".")
    table = document
    for name in above:
        table = table[name]
    table[last] = value
    path.write_text(json.dumps(document))
    with pytest.raises(StoreError, match=r"run\.json .*(not a valid run|damaged)"):
        store.measurements()


def test_a_trace_that_repeats_one_value_without_an_end_is_refused(tmp_path: Path) -> None:
    import duckdb

    store, folder = store_with_a_run(tmp_path)
    path = folder / "trace.parquet"
    with duckdb.connect() as connection:
        columns = "'latency_ns' AS series, 1::BIGINT AS t_ns, 1::BIGINT AS value, 0::INTEGER AS item"
        connection.execute(f"COPY (SELECT {columns} FROM range(20000000)) TO '{path}' (COMPRESSION zstd)")  # noqa: S608
    assert path.stat().st_size < 4_000_000
    with pytest.raises(StoreError, match="20000000 rows in a file of this size"):
        store.measurements()
    with pytest.raises(StoreError, match="rows in a file of this size"):
        store.query("SELECT count(*) FROM traces")


@pytest.mark.parametrize(
    "columns",
    [
        "'latency_ns' AS series, 'text' AS t_ns, 1::BIGINT AS value, 0 AS item",
        "'latency_ns' AS series, 1 AS t_ns, NULL::BIGINT AS value, 0 AS item",
        "'latency_ns' AS series, 1e300 AS t_ns, 1 AS value, 0 AS item",
        "[1] AS series, 1 AS t_ns, 1 AS value, NULL AS item",
        "1 AS other",
    ],
)
def test_a_trace_of_other_columns_is_one_clear_error(tmp_path: Path, columns: str) -> None:
    import duckdb

    store, folder = store_with_a_run(tmp_path)
    path = folder / "trace.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {columns} FROM range(4)) TO '{path}' (FORMAT parquet)")  # noqa: S608
    with pytest.raises(StoreError, match=r"trace"):
        store.measurements()


@pytest.mark.parametrize("name", ["run.json", "trace.parquet"])
@pytest.mark.parametrize("kind", ["pipe", "link", "device"])
def test_files_of_a_run_are_regular_and_inside_the_store(tmp_path: Path, name: str, kind: str) -> None:
    store, folder = store_with_a_run(tmp_path)
    path = folder / name
    moved = path.rename(tmp_path / name)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(moved if kind == "link" else "/dev/zero")
    with pytest.raises(StoreError, match=r"a pipe|a device|leads out of"):
        store.measurements()
    with pytest.raises(StoreError, match=r"a pipe|a device|leads out of"):
        store.query("SELECT * FROM runs")


def test_ids_of_a_store_name_no_files_elsewhere(tmp_path: Path) -> None:
    store = Store(tmp_path / "st")
    (tmp_path / "st" / "sessions").mkdir(parents=True)
    (tmp_path / "secret.json").write_text("{}")
    with pytest.raises(EdgebenchError):
        store.read_session("../../secret")
