"""Runs on a board where something gets in the way: libraries that print or crash, full disks, too little memory."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import pytest

from edgebench_agent.protocol import (
    Done,
    Failed,
    Hello,
)
from edgebench_agent.run.journal import read_journal
from edgebench_agent.storage.journal_tail import has_writer
from tests.agent.agent_board import AgentBoard, wait_until
from tests.agent.conftest import make_hungry_model
from tests.agent.runs import failed_of, put_before, run_folder


@pytest.mark.slow
def test_what_a_native_library_prints_goes_to_the_log(board: AgentBoard, tiny_model: bytes, tmp_path: Path) -> None:
    noise = "import ctypes; c = ctypes.CDLL(None); c.puts(b'noise from below'); c.fflush(None); print('more')"
    put_before(board, tmp_path, "onnxruntime", noise)
    assert board.reply("probe", "--runtime", "onnxruntime")["runtimes"]["onnxruntime"]["ok"]
    spec = board.model_spec(tiny_model)
    assert isinstance(board.run(spec)[-1], Done)
    log = board.command("fetch", spec.run_id, "agent.log", 0).stdout
    assert b"noise from below" in log
    assert b"more" in log


@pytest.mark.slow
def test_a_runtime_that_dies_of_an_illegal_instruction_is_a_finding(
    board: AgentBoard, tiny_model: bytes, tmp_path: Path
) -> None:
    put_before(board, tmp_path, "onnxruntime", "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    found = board.reply("probe", "--runtime", "onnxruntime", "--runtime", "null")["runtimes"]
    assert not found["onnxruntime"]["ok"]
    assert "SIGILL" in found["onnxruntime"]["error"]
    assert f"{sys.executable} -m pip install" in found["onnxruntime"]["error"]
    assert found["null"]["ok"]
    reply = board.launch(board.model_spec(tiny_model))
    assert reply["kind"] == "runtime_broken"
    assert "SIGILL" in reply["message"]


_DIE = "import os, signal; die = lambda *_, **__: os.kill(os.getpid(), signal.SIGILL)\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtime", "package", "code"),
    [
        ("onnxruntime", "onnxruntime", "import onnxruntime; onnxruntime.InferenceSession = die"),
        ("onnxruntime", "onnxruntime", "import onnxruntime; onnxruntime.InferenceSession.run = die"),
        ("tflite", "ai_edge_litert", "from ai_edge_litert import interpreter; interpreter.Interpreter.__init__ = die"),
        ("tflite", "ai_edge_litert", "from ai_edge_litert import interpreter; interpreter.Interpreter.invoke = die"),
    ],
    ids=["onnxruntime-session", "onnxruntime-inference", "tflite-session", "tflite-inference"],
)
def test_a_runtime_that_imports_and_dies_at_its_first_inference_is_a_finding(
    board: AgentBoard, tmp_path: Path, runtime: str, package: str, code: str
) -> None:
    pytest.importorskip(package)
    assert board.reply("probe", "--runtime", runtime)["runtimes"][runtime]["ok"]
    put_before(board, tmp_path, package, "", _DIE + code)
    found = board.reply("probe", "--runtime", runtime)["runtimes"][runtime]
    assert not found["ok"]
    assert found["error"].startswith(f"the first inference of {runtime} died of signal SIGILL: it is built for another")
    assert "\n" not in found["error"]


def test_a_full_disk_ends_a_run_with_what_fits(board: AgentBoard, tiny_model: bytes) -> None:
    def fill_up_early() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    spec = board.long_spec(tiny_model)
    board.launch_well(spec, preexec_fn=fill_up_early)
    journal = run_folder(board, spec.run_id) / "journal.ndjson"
    wait_until(lambda: not has_writer(journal))
    entries = read_journal(journal)
    assert journal.read_bytes().endswith(b"\n")
    assert isinstance(entries[0].message, Hello)
    assert entries[-1].message.kind == "out_of_disk"


def test_memory_that_the_runtime_cannot_get_is_told(board: AgentBoard) -> None:
    failed = failed_of(board, board.model_spec(make_hungry_model(1 << 42)))
    assert failed.kind == "out_of_memory"


def test_a_measuring_process_that_the_kernel_kills_for_memory_is_told(board: AgentBoard) -> None:
    group = Path(f"/sys/fs/cgroup/memory/edgebench-test-{os.getpid()}")
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(300 << 20))
    except OSError as error:
        pytest.skip(f"needs a memory cgroup (v1) that this user may make: {error}")

    def join() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    spec = board.model_spec(make_hungry_model(1 << 24))  # 44 bytes for each, with these ids
    try:
        board.launch_well(spec, preexec_fn=join)
        failed = board.journal(spec.run_id)[-1].message
        assert isinstance(failed, Failed)
        assert failed.kind == "out_of_memory"
        assert "first" in failed.message
    finally:
        board.end_runs()
        wait_until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()
