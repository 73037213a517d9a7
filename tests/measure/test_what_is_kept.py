"""Whatever ends a run, what the host has received is kept, and what stayed on the board is fetched once by resume."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgebench.board import BoardRun, RemoteAgent, connect_agent, journal
from edgebench.device import Device, find_device
from edgebench.errors import AgentError, StoreError
from edgebench.events import LogMessage
from edgebench.measure import collect, recovery
from edgebench.measure.collect import RunCollector, collect_models
from edgebench.measure.session import profile_all, resume
from edgebench.reason import ReasonCode
from edgebench.request import Request
from edgebench.store import Store
from edgebench.workload import RunPlan
from edgebench_agent import protocol
from tests.agent.agent_board import SECOND

_INPUT = bytes(4)
#: Two runs of a tenth of a second.
SHORT = RunPlan(runs=2, min_count=20, min_duration_s=0.1)
QUICK: Any = {"overhead": False, "cold": False}


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setenv("EDGEBENCH_HOME", str(tmp_path / "board"))
    return find_device("local")


@pytest.fixture
def agent(local: Device) -> Iterator[RemoteAgent]:
    with connect_agent(local) as connected:
        connected.push_bytes(_INPUT)
        yield connected


def long_spec() -> protocol.RunSpec:
    """Return a run that goes on for minutes."""
    return protocol.RunSpec(
        run_id="long",
        mode="measure",
        runtime="busy",
        files=[],
        inputs_sha256=hashlib.sha256(_INPUT).hexdigest(),
        lengths=[1],
        batch=1,
        pad_token_id=0,
        threads=0,
        providers=[],
        min_count=2,
        min_duration_ns=300 * SECOND,
        max_duration_ns=600 * SECOND,
        lease_ns=600 * SECOND,
        warmup_ns=SECOND,
    )


def once_timed(act: Callable[[], None]) -> Callable[[RunCollector], None]:
    """Return a watcher that acts once some inferences were timed."""
    done = threading.Event()

    def watch(collector: RunCollector) -> None:
        if collector.count and not done.is_set():
            done.set()
            act()

    return watch


def supervisor(tmp_path: Path) -> int:
    return int((tmp_path / "board" / "runs" / "long" / "pid").read_text())


def test_a_killed_supervisor_leaves_what_was_received(agent: RemoteAgent, tmp_path: Path) -> None:
    collector = RunCollector(long_spec())
    watch = once_timed(lambda: os.kill(supervisor(tmp_path), signal.SIGKILL))
    with pytest.raises(AgentError, match="run long ended without saying how"):
        collect_models(agent, long_spec(), [collector], watch=watch)
    assert collector.has_begun and not collector.is_done
    assert len(collector.run().latencies_ns)


def test_a_long_log_does_not_hide_how_a_run_ended(agent: RemoteAgent, tmp_path: Path) -> None:
    def print_much_and_die() -> None:
        (tmp_path / "board" / "runs" / "long" / "agent.log").write_bytes(b"noise of a runtime\n" * 10_000)
        os.kill(supervisor(tmp_path), signal.SIGKILL)

    with pytest.raises(AgentError, match=r"run long ended without saying how; .* not shown \(.* is larger than"):
        collect_models(agent, long_spec(), [RunCollector(long_spec())], watch=once_timed(print_much_and_die))


def test_a_stopped_supervisor_is_found(agent: RemoteAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "STANDSTILL_S", 3.0)
    monkeypatch.setattr(journal, "_STOP_S", 1.0)
    collector = RunCollector(long_spec())
    try:
        with pytest.raises(AgentError, match="local: run long stands still"):
            stop = once_timed(lambda: os.kill(supervisor(tmp_path), signal.SIGSTOP))
            collect_models(agent, long_spec(), [collector], watch=stop)
    finally:
        os.kill(supervisor(tmp_path), signal.SIGCONT)
    assert len(collector.run().latencies_ns)


def test_an_interrupted_run_is_collected_to_its_end(agent: RemoteAgent, tmp_path: Path) -> None:
    collector = RunCollector(long_spec())

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect_models(agent, long_spec(), [collector], watch=once_timed(interrupt))
    text = (tmp_path / "board" / "runs" / "long" / "journal.ndjson").read_bytes()
    blocks = [protocol.decode_message(line).message for line in text.splitlines(keepends=True)]
    timed = sum(len(it.items) for it in blocks if isinstance(it, protocol.Latencies) and not it.warmup)
    assert collector.count == timed
    assert collector.failed is not None and collector.failed.kind == "interrupted"


@pytest.mark.long
def test_a_run_that_could_not_be_stored_is_taken_from_the_board_once(
    local: Device, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    request = Request(device=local, models=(str(tiny_onnx),), plan=SHORT, **QUICK)
    full = OSError(28, "No space left on device")

    def no_room(*_: Any, **__: Any) -> None:
        raise StoreError(f"can't write to the store: {full.strerror}")

    with monkeypatch.context() as patch:
        patch.setattr(store, "add_runs", no_room)
        with pytest.raises(StoreError, match=r"No space left on device; run .*-001-\w+ is complete on local") as error:
            profile_all(request, store=store)
    assert "resume the session" in str(error.value)
    (session,) = store.sessions()
    said: list[str] = []
    (measured,) = resume(
        session, store=store, on_event=lambda event: said.append(event.text) if isinstance(event, LogMessage) else None
    )
    taken = [text for text in said if "is in the store now" in text]
    assert len(taken) == 1 and "-001-" in taken[0]
    ids = [run.id for run in measured.runs]
    assert len(set(ids)) == len(ids) >= 2
    assert all(len(run.latencies_ns) == run.facts.done_count for run in measured.runs)
    said.clear()
    resume(
        session, store=store, on_event=lambda event: said.append(event.text) if isinstance(event, LogMessage) else None
    )
    assert not [text for text in said if "is in the store now" in text]


@pytest.mark.long
def test_a_partial_run_is_completed_from_the_board(
    local: Device, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    request = Request(device=local, models=(str(tiny_onnx),), plan=SHORT, **QUICK)
    real, count = collect.taker, 0

    def losing(*arguments: Any, **options: Any) -> Callable[[protocol.Entry], None]:
        take = real(*arguments, **options)

        def take_some(entry: protocol.Entry) -> None:
            nonlocal count
            take(entry)
            count += isinstance(entry.message, protocol.Latencies) and not entry.message.warmup
            if count == 3:  # of the first run that counts: its pilot had one or two
                raise AgentError("the host lost it here")

        return take_some

    with monkeypatch.context() as patch:
        patch.setattr(collect, "taker", losing)
        with pytest.raises(AgentError, match="lost it here"):
            profile_all(request, store=store)
    (before,) = store.measurements()
    assert [reason.code for run in before.runs for reason in run.reasons] == [ReasonCode.FAILED]
    (after,) = resume(before.subject.session, store=store)
    again = next(run for run in after.runs if run.id == before.runs[0].id)
    assert len(again.latencies_ns) >= len(before.runs[0].latencies_ns)
    assert again.started_at == before.runs[0].started_at
    assert sum(run.id == again.id for run in after.runs) == 1


def test_what_a_killed_process_left_in_a_store_is_removed_after_a_bound(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.check_writable()
    old, new = tmp_path / "runs" / ".20250101T000000-000000-000-001-ab12.0123abcd", tmp_path / "runs" / ".x.89abcdef"
    for folder in (old, new):
        folder.mkdir()
        (folder / "trace.parquet").touch()
    os.utime(old, (time.time() - 7200,) * 2)
    store.check_writable()
    assert not old.exists() and new.exists()


def test_a_write_to_a_full_store_is_one_plain_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    from edgebench.store.files import writing

    with pytest.raises(StoreError) as error, writing(tmp_path):
        raise duckdb.IOException('IO Error: Could not write file "/x/trace.parquet": No space left on device')
    assert str(error.value) == f"can't write to the store {tmp_path}: No space left on device"
    with pytest.raises(StoreError) as error, writing(tmp_path / "gone"):
        raise duckdb.IOException("IO Error: anything\nLINE 1: COPY")
    assert "IO Error" not in str(error.value) and "\n" not in str(error.value)


def test_runs_that_can_not_be_listed_are_not_passed_over_in_silence(
    agent: RemoteAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(isinstance(run, BoardRun) for run in agent.runs("20"))

    def command(*_: Any, **__: Any) -> None:
        raise AgentError("local: the agent's runs gave no answer")

    monkeypatch.setattr(agent, "command", command)
    with pytest.raises(AgentError):
        agent.runs("20")
    said: list[str] = []
    session: Any = SimpleNamespace(agent=agent, id="20250101T000000-000000", log=said.append)
    assert recovery._runs_on_board(session) == []
    assert said == [
        "what ended on local meanwhile stays there and is not taken: local: the agent's runs gave no answer"
    ]
