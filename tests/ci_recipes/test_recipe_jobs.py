"""The scripts of recipes run as CI systems run them, on this machine: measured, reported, cancelled, killed.

Each job costs some seconds of sessions with a tiny model. Installing is left to the runner: it needs a registry.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgebench.ci_recipes import CiSystem
from edgebench.ci_recipes.writing import recipe_text
from edgebench.device import find_device
from edgebench.provision.maintenance import see_lease
from tests.board.test_lease import FREE
from tests.ci_recipes.recipe_files import READERS, Job
from tests.ci_recipes.test_recipes import EXAMPLES

pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parents[2]
LOCAL = find_device("local")
#: What a recipe promises of a board whose job was killed, and some time for a busy machine to notice.
FREE_AFTER_S, SPARE_S = 120, 30


@dataclass(frozen=True)
class Checkout:
    """A repository's folder on a runner, with the recipe's job and a tiny model."""

    folder: Path
    job: Job
    environment: dict[str, str]

    def start(self, script: str, **variables: str) -> subprocess.Popen[str]:
        """Start a script as a runner does, in a process group of its own."""
        file = self.folder / "script.sh"
        file.write_text(script, encoding="utf-8")
        return subprocess.Popen(
            [*self.job.shell, str(file)],
            cwd=self.folder,
            env={**self.environment, **self.job.variables, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, script: str) -> tuple[int, str]:
        """Run a script to its end; return its status and output."""
        process = self.start(script)
        output, _ = process.communicate(timeout=600)
        return process.returncode, output

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


def check_out(system: str, model: Path, tmp_path: Path) -> Checkout:
    folder, kept = tmp_path / "checkout", tmp_path / "kept"
    (folder / "runs").mkdir(parents=True)
    (folder / "runs" / "it's new.onnx").write_bytes(model.read_bytes())
    recipe = folder / EXAMPLES[system]
    recipe.write_text(recipe_text(CiSystem(system), device="local", model="runs/it's new.onnx"), encoding="utf-8")
    command = kept / "venv" / "bin" / "edgebench"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.ci_recipes.short_edgebench "$@"\n')
    command.chmod(0o755)
    environment = {
        **os.environ,
        "EDGEBENCH_KEPT": str(kept),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'agents'}",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    return Checkout(folder, READERS[system](recipe), environment)


@pytest.mark.parametrize("system", [*(pytest.param(name, marks=pytest.mark.long) for name in READERS)])
def test_a_job_profiles_then_gates_and_leaves_its_reports(system: str, tiny_onnx: Path, tmp_path: Path) -> None:
    checkout = check_out(system, tiny_onnx, tmp_path)
    summary = tmp_path / "summary.md"
    status, output = checkout.run(checkout.job.measure)
    assert status == 0, output
    (measured,) = json.loads(checkout.read("result.json"))["measurements"]
    status, output = checkout.run(checkout.job.report)
    assert status == 0, output
    assert checkout.read("report.html").lstrip().lower().startswith("<!doctype html>")
    answer = checkout.read("report.md")
    assert measured["id"] in answer
    if system == "github":
        assert summary.read_text(encoding="utf-8") == answer
        summary.unlink()

    # What it measured becomes the baseline; then the job is a gate.
    accept(measured["id"], checkout, tmp_path / "kept" / "store")
    (checkout.folder / "edgebench.toml").write_text(
        '[[gate.budget]]\nmetric = "latency"\nmargin = 0.99\n[[gate.budget]]\nmetric = "size"\nmargin = 0.01\n'
    )
    status, output = checkout.run(checkout.job.measure)
    gate = json.loads(checkout.read("gate.json"))
    assert status == (3 if gate["result"] == "fail" else 0), output
    assert not (checkout.folder / "result.json").exists()
    junit = ElementTree.fromstring(checkout.read("gate.xml"))  # noqa: S314 - we wrote it
    assert len(list(junit.iter("testcase"))) == len(gate["budgets"]) == 2
    status, output = checkout.run(checkout.job.report)
    assert status == 0, output
    assert gate["sentence"].split()[0] in checkout.read("report.md")
    assert checkout.read("report.html")
    if system == "github":
        assert gate["sentence"] in summary.read_text(encoding="utf-8")
    if system == "gitlab":
        assert isinstance(json.loads(checkout.read("gl-code-quality-report.json")), list)
        assert "edgebench" in checkout.read("metrics.txt")
    assert see_lease(LOCAL) == FREE


def accept(id: str, checkout: Checkout, store: Path) -> None:
    """Do what `gate accept` does, with a measurement that something may have disturbed."""
    from edgebench import Store
    from edgebench.gating.accept import FOLDER, keep_files
    from edgebench.gating.baseline import baseline_of, write_baseline

    kept = Store(store)
    baseline = baseline_of(kept.measurement(id), name="main", accepted_at="2026-01-01", is_anchor=False)
    (store / FOLDER).mkdir(parents=True, exist_ok=True)
    keep_files(kept, baseline)
    write_baseline(checkout.folder / "baseline.json", baseline)


def test_without_a_result_the_report_says_so(tiny_onnx: Path, tmp_path: Path) -> None:
    checkout = check_out("jenkins", tiny_onnx, tmp_path)
    status, output = checkout.run(checkout.job.report)
    assert status == 0
    assert "there is no result, and so no report" in output


#: How systems end a job: the signal, whether all processes of the job get it, and the time until all are killed.
#: GitHub's runner interrupts the script and ends it 7.5 s later (actions/runner, ProcessInvoker); the others end all.
ENDINGS = {
    "github": (signal.SIGINT, False, 10.0),
    "gitlab": (signal.SIGTERM, True, 10.0),
    "jenkins": (signal.SIGTERM, True, 10.0),
    "killed": (signal.SIGKILL, True, 0.0),
}


@pytest.mark.long
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_job_that_is_cancelled_while_it_measures_leaves_the_board_free(
    ending: str, tiny_onnx: Path, tmp_path: Path
) -> None:
    checkout = check_out(ending if ending in READERS else "github", tiny_onnx, tmp_path)
    process = checkout.start(checkout.job.measure, RUN_S="60")
    try:
        wait_until_it_measures(process)
        assert see_lease(LOCAL).holder is not None
        number, is_for_all, grace_s = ENDINGS[ending]
        (os.killpg if is_for_all else os.kill)(process.pid, number)
        ended_s = time.monotonic()
        deadline_s = ended_s + grace_s
        while process.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.1)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(timeout=60) != 0
    while see_lease(LOCAL) != FREE:
        assert time.monotonic() - ended_s < FREE_AFTER_S + SPARE_S, see_lease(LOCAL)
        time.sleep(1)
    assert not (checkout.folder / "result.json").exists()


def wait_until_it_measures(process: subprocess.Popen[str]) -> None:
    """Return once a run is on the board."""
    runs = Path(os.environ["EDGEBENCH_HOME"]) / "runs"
    deadline_s = time.monotonic() + 300
    while not (runs.is_dir() and any(runs.iterdir())):
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
