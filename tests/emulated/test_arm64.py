"""The whole job on a bare arm64 board, emulated: set up without internet, checked, measured, its numbers held to ours.

Nothing here is a device's latency: it is QEMU's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench.artifact import Format
from edgebench.board import open_leased_agent, preflight, push_artifact
from edgebench.device import Device, find_device
from edgebench.evaluation.inference import BoardModel, Outputs
from edgebench.export import export_model
from edgebench.measure.inputs import resolve_workload
from edgebench.workload import Workload, random_inputs
from tests.emulated.arm64_root import why_not
from tests.emulated.board import EmulatedBoard

pytestmark = [pytest.mark.arm64, pytest.mark.timeout(1800)]

#: Each runtime with the format that it is measured in.
MEASURED = {"onnxruntime": "onnx-int8", "ai-edge-litert": "tflite-int8", "tflite-runtime": "tflite-int8-per-tensor"}


class Desk:
    """Where a user sits: a project's folder and the board."""

    def __init__(self, folder: Path, board: EmulatedBoard) -> None:
        self.folder = folder
        self.board = board

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `edgebench ...`."""
        return subprocess.run(
            [sys.executable, "-m", "edgebench", *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=1500,
        )

    def document(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run `edgebench ... --json -`; return the document."""
        done = self.run(*arguments, "--json", "-")
        assert done.returncode == code, done.stderr + done.stdout
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def device(self) -> Device:
        return find_device("pi4", folder=self.folder)


def new_desk(folder: Path) -> Desk:
    """Start a board and add it as a user does."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    board = EmulatedBoard(folder)
    project = folder / "project"
    project.mkdir()
    desk = Desk(project, board)
    key = ("--host-key", board.host_key, "--identity-file", str(board.identity_file))
    added = desk.run("device", "add", "pi4", "--host", f"{board.user}@127.0.0.1:{board.port}", *key)
    assert added.returncode == 0, added.stderr
    return desk


@pytest.fixture(scope="module", autouse=True)
def own_home_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """This machine answers, too: in a home of its own, where nobody else measures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEBENCH_HOME", str(tmp_path_factory.mktemp("here")))
        yield


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A board as it comes: nothing on it but Python."""
    desk = new_desk(tmp_path_factory.mktemp("arm64"))
    yield desk
    desk.board.close()


@pytest.fixture(scope="module")
def ready(desk: Desk) -> Desk:
    """The same board, set up."""
    before = desk.document("device", "check", "pi4", code=1)
    assert [one["mend"] for one in before["findings"] if one["what"] == "onnxruntime"] == [
        "edgebench device setup pi4 --runtime onnxruntime"
    ]
    done = desk.document("device", "setup", "pi4")
    assert done["ready"]
    assert set(done["runtimes"]) == set(MEASURED)
    for served in done["runtimes"].values():
        assert served["python"].startswith("/home/pi/.edgebench/envs/")
        assert "as here" in served["agreement"]
    seen = {one["what"]: one["seen"] for one in done["findings"]}
    assert "aarch64" in seen["board"]
    assert seen["libc"] == "glibc 2.36"
    assert "3.11" in seen["Python"]
    assert done["runtimes"]["tflite-runtime"]["packages"]["numpy"].startswith("1.")
    assert list((desk.board.home / ".edgebench/envs").glob("*.part")) == []
    return desk


def test_a_board_that_is_set_up_can_measure(ready: Desk) -> None:
    checked = ready.document("device", "check", "pi4")
    assert checked["can_measure"]
    assert checked["board"]["arch"] == "aarch64"
    assert checked["board"]["python_executable"].startswith("/home/pi/.edgebench/envs/")


def test_a_second_setup_changes_nothing(ready: Desk) -> None:
    envs = ready.board.home / ".edgebench/envs"
    before = {path: path.stat().st_mtime_ns for path in [*envs.iterdir(), envs]}
    done = ready.document("device", "setup", "pi4")
    assert done["ready"]
    assert {path: path.stat().st_mtime_ns for path in [*envs.iterdir(), envs]} == before
    assert all("was there" in one["seen"] for one in done["findings"] if one["what"] in MEASURED)


def test_no_wheels_lie_about_once_they_are_installed(ready: Desk) -> None:
    blobs = ready.board.home / ".edgebench/blobs"
    assert sum(path.stat().st_size for path in blobs.iterdir()) < 10_000_000


@pytest.mark.parametrize("runtime", MEASURED)
def test_a_profile_with_each_runtime_is_measured_in_its_own_environment(ready: Desk, runtime: str) -> None:
    # The overhead is measured by `device check` above, and a cold start once: they take minutes under emulation.
    chosen = ("--no-overhead",) if runtime == "onnxruntime" else ("--runtime", runtime, "--no-own-cost", "--no-cold")
    options = ("--runs", "1", "--seq-len", "16", "--min-count", "10", "--min-duration", "0", "--max-duration", "30")
    done = ready.run(
        *("profile", "--device", "pi4", "--model", "reference:tiny", "--format", MEASURED[runtime]),
        *(*chosen, *options, "--json", "-"),
    )
    # An emulated board may well be unsteady, which is exit code 4; the figures are there all the same.
    assert done.returncode in (0, 4), done.stderr
    (measured,) = json.loads(done.stdout)["measurements"]
    device = measured["device"]
    assert (device["arch"], device["name"]) == ("aarch64", "pi4")
    wanted = {"onnxruntime": "1.", "ai-edge-litert": "ai-edge-litert 2", "tflite-runtime": "tflite-runtime 2.14"}
    assert device["runtime_version"].startswith(wanted[runtime])
    assert device["python_executable"].startswith("/home/pi/.edgebench/envs/")
    assert measured["runs"][0]["latencies_count"] >= 10


@pytest.mark.parametrize("runtime", MEASURED)
def test_every_runtime_answers_what_this_machine_does(ready: Desk, runtime: str) -> None:
    artifact = export_model("reference:tiny", MEASURED[runtime]).artifact
    here = answers(find_device("local"), artifact.format, "ai-edge-litert" if runtime != "onnxruntime" else None)
    there = answers(ready.device(), artifact.format, runtime if runtime != "onnxruntime" else None)
    assert len(here) == len(there) == 3
    for ours, theirs in zip(here, there, strict=True):
        assert ours.keys() == theirs.keys()
        for name, values in ours.items():
            np.testing.assert_allclose(theirs[name], values, atol=1e-3)


def answers(device: Device, format: Format, runtime: str | None) -> list[Outputs]:
    """Return what the tiny model answers on a device to three inputs, other ones than `device setup` tries."""
    artifact = export_model("reference:tiny", format).artifact
    inputs = random_inputs([3, 11, 30], vocab_size=artifact.vocab_size, seed=7)
    workload = resolve_workload(artifact, Workload(seq_len=30, threads=1))
    with open_leased_agent(device, purpose="test") as agent:
        preflight(agent, device, [artifact], runtime=runtime)
        push_artifact(agent, artifact)
        return BoardModel(agent=agent, artifact=artifact, providers=[], runtime=runtime).infer(workload, inputs).batches


def test_the_home_of_a_board_that_can_not_be_written_is_one_line(desk: Desk) -> None:
    home = desk.board.home
    os.chown(home, 0, 0)
    home.chmod(0o755)
    moved = home / ".edgebench"
    aside = home / ".edgebench-aside"
    if moved.exists():
        moved.rename(aside)
    try:
        refused = desk.run("device", "setup", "pi4")
    finally:
        desk.board.give(home)
        if aside.exists():
            aside.rename(moved)
    assert refused.returncode == 1
    assert "can't put the agent on the board" in refused.stderr
    assert len([line for line in refused.stderr.splitlines() if line.startswith("edgebench:")]) == 1


def test_removal_leaves_nothing_behind(ready: Desk) -> None:
    removed = ready.document("device", "setup", "pi4", "--remove")
    assert removed["left"] == []
    assert removed["removed"]["envs"]["count"] >= 3
    assert [path.name for path in ready.board.home.iterdir()] == []
