"""Ctrl-C and a cancelled CI job: what was measured is kept, the command to resume is said, and it works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import edgebench
from tests.agent.agent_board import wait_until


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.long
def test_an_interrupted_profile_keeps_its_runs_and_resumes(
    how: signal.Signals, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEBENCH_HOME", str(tmp_path / "board"))
    edgebench_command = [sys.executable, "-m", "edgebench"]
    arguments = [
        "--model",
        tiny_onnx,
        "--runs",
        "3",
        "--min-count",
        "20",
        "--min-duration",
        "0.4",
        "--no-cold",
        "--store",
        "store",
    ]
    process = subprocess.Popen(
        [*edgebench_command, "profile", *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    runs = tmp_path / "store" / "runs"
    deadline = time.monotonic() + 600
    while not (runs.is_dir() and [path for path in runs.iterdir() if not path.name.startswith(".")]):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(how)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    (hint,) = [line for line in err.splitlines() if "runs resume" in line]
    assert " of 3 planned runs" in out  # 1, or 0 on a busy machine
    assert "p50" in out  # the table of what was measured
    wait_until(lambda: not measuring_processes(tmp_path / "board"))  # what has said its last word is still ending

    command = hint.partition("go on with: edgebench ")[2].split()
    resumed = subprocess.run(
        [*edgebench_command, *command, "--json", "-"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert resumed.returncode in (0, 4), resumed.stderr  # a busy machine may disturb a run
    (measurement,) = json.loads(resumed.stdout)["measurements"]
    assert len([run for run in measurement["runs"] if "interrupted before its end" not in run["reasons"]]) >= 3
    (stored,) = edgebench.Store(tmp_path / "store").measurements()
    assert stored.overhead_us is not None  # measured once, before the first run
    assert "measuring the overhead of edgebench" not in resumed.stderr
    assert measurement["overhead_us"]["per_inference"] == stored.overhead_us.per_inference
    assert {run.id for run in stored.runs if run.valid} == {run["id"] for run in measurement["runs"] if run["valid"]}


def measuring_processes(board: Path) -> list[psutil.Process]:
    """Return what still runs of an agent with this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("EDGEBENCH_HOME") == str(board):
                found.append(process)
        except psutil.Error:
            continue
    return found
