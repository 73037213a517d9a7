"""A session that ends with an error keeps and shows what it measured, and says how to go on."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from edgebench.store import Store
from tests.fork_server import edgebench_command

SHORT = ["--runs", "2", "--min-count", "5", "--min-duration", "0", "--no-own-cost", "--no-cold", "--store", "store"]


def edgebench(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"EDGEBENCH_HOME": str(folder / "board")}
    environment.pop("COLUMNS", None)
    return subprocess.run(
        [*edgebench_command(), *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture
def models(tiny_onnx: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A model that works, and one that no runtime takes: it has an operator that nobody knows."""
    import onnx
    from onnx import TensorProto, helper

    good = tmp_path / "good.onnx"
    shutil.copy(tiny_onnx, good)
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    answer = helper.make_tensor_value_info("answer", TensorProto.INT64, ["batch", "tokens"])
    graph = helper.make_graph([helper.make_node("NoSuchOperator", ["input_ids"], ["answer"])], "g", [ids], [answer])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "bad.onnx"
    )
    return good, tmp_path / "bad.onnx"


@pytest.mark.long
def test_what_was_measured_before_an_error_is_shown(models: tuple[Path, Path], tmp_path: Path) -> None:
    good, bad = models
    scores = tmp_path / "scores.csv"
    scores.write_text("variant,task,lang,metric,value\ngood,xnli,en,accuracy,81.25\n")
    done = edgebench(
        tmp_path, "profile", "-vv", "--model", good, "--model", bad, "--scores", scores, "--json", "out.json", *SHORT
    )
    assert done.returncode == 1, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("good"))
    assert "81.2" in row
    measurements = {
        each["variant"]["name"]: each for each in json.loads((tmp_path / "out.json").read_text())["measurements"]
    }
    assert len(measurements["good"]["runs"]) >= 2  # one that is not valid, on a busy machine, is repeated
    assert "what was measured is in store" in done.stderr
    assert "runs resume" not in done.stderr  # the same file would be refused again
    assert done.stderr.strip().splitlines()[-1].startswith("edgebench: local: bad")
    on_board = done.stderr.partition("On the board:")[2]
    assert "Traceback (most recent call last)" in on_board
    assert "NoSuchOperator" in on_board


@pytest.mark.long
def test_a_board_that_is_away_does_not_hide_what_another_measured(tiny_onnx: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # free again, and nobody listens
    (tmp_path / "edgebench.toml").write_text(f"[device.away]\nhost = '127.0.0.1'\nport = {port}\n")
    both = ["--device", "local", "--device", "away"]
    done = edgebench(tmp_path, "profile", "--model", tiny_onnx, *both, "--json", "out.json", *SHORT)
    assert done.returncode == 1
    assert "away" in done.stderr.strip().splitlines()[-1]
    (measurement,) = json.loads((tmp_path / "out.json").read_text())["measurements"]
    assert measurement["device"]["name"] == "local"
    assert "p50" in done.stdout
    assert "runs resume" not in done.stderr  # the session of local is complete, that of the other has nothing


def test_a_json_file_that_can_not_be_written_is_said_before_anything_is_measured(
    tiny_onnx: Path, tmp_path: Path
) -> None:
    for target, message in (("no/such/out.json", "mkdir -p no/such"), (".", "it is a folder")):
        done = edgebench(tmp_path, "profile", "--model", tiny_onnx, "--json", target, *SHORT)
        assert (done.returncode, done.stdout) == (1, "")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "store").exists()


@pytest.mark.long
def test_scores_are_attached_to_a_resumed_session(tiny_onnx: Path, tmp_path: Path) -> None:
    # A busy machine may disturb a run.
    assert edgebench(tmp_path, "profile", "--model", tiny_onnx, *SHORT).returncode in (0, 4)
    (stored,) = Store(tmp_path / "store").measurements()
    name = stored.subject.variant.name
    (tmp_path / "scores.csv").write_text(f"variant,task,lang,metric,value\n{name},xnli,en,accuracy,81.25\n")
    done = edgebench(tmp_path, "runs", "resume", "--store", "store", "--scores", "scores.csv", "--json", "-")
    assert done.returncode in (0, 4), done.stderr
    (measurement,) = json.loads(done.stdout)["measurements"]
    assert [score["value"] for score in measurement["scores"]] == [81.25]
    assert {run["id"] for run in measurement["runs"]} >= {run.id for run in stored.runs}
