"""Boards that can't be reached or can't measure: one line, exit code 1, nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import edgebench
from edgebench.board import connect_agent, preflight
from edgebench.device import Device
from edgebench.errors import BoardError
from edgebench.export import export_model
from tests.board.ssh_board import SshBoard, write_key
from tests.conftest import NewBoard
from tests.fork_server import edgebench_command


def profile(device: Device, model: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run `edgebench profile` on a board that the user's edgebench.toml names, from an empty folder."""
    config = home / ".config" / "edgebench"
    config.mkdir(parents=True)
    names = ("host", "user", "port", "identity_file", "python", "host_key")
    settings = {name: getattr(device, name) for name in names if getattr(device, name) is not None}
    lines = [f"{name} = {value if isinstance(value, int) else repr(value)}" for name, value in settings.items()]
    (config / "edgebench.toml").write_text("\n".join(["[device.bench]", *lines]) + "\n")
    folder = home / "work"
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "XDG_CONFIG_HOME"}
    return subprocess.run(
        [*edgebench_command(), "profile", "--device", "bench", "--model", str(model), "--runs", "1"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def assert_one_line(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert result.returncode == 1, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("edgebench:")]
    assert "Traceback" not in result.stderr
    assert line.startswith("edgebench: bench: ")
    for part in parts:
        assert part in line
    assert result.stdout == ""


@pytest.mark.parametrize("fault", ["refused", "unknown key", "changed key", "login", "no python"])
def test_a_board_that_can_not_be_used_is_one_line(
    fault: str, new_board: NewBoard, client_home: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    board = new_board("asyncssh")
    device = board.device(python=sys.executable)
    expected = {
        "refused": ["can't reach 127.0.0.1", "connection refused"],
        "unknown key": ["which is not known", "--host-key"],
        "changed key": ["is pinned"],
        "login": ["refuses the login", "--copy-id"],
        "no python": ["no Python at '/nowhere/python3'", "python = ..."],
    }[fault]
    if fault == "refused":
        board.close()
    elif fault == "unknown key":
        device = replace(device, host_key=None)
    elif fault == "changed key":
        board.server.change_host_key()
    elif fault == "login":
        write_key(tmp_path / "other-key")
        device = replace(device, identity_file=str(tmp_path / "other-key"))
    else:
        device = replace(device, python="/nowhere/python3")
    result = profile(device, tiny_onnx, client_home)
    assert_one_line(result, *expected)
    runs = client_home / "work" / ".edgebench" / "runs"
    assert not list(runs.iterdir())


def test_a_model_larger_than_the_boards_memory_is_refused_before_it_is_pushed(
    ssh_board: SshBoard, tiny_onnx: Path
) -> None:
    artifact = export_model(tiny_onnx).artifact
    huge = replace(artifact, files=(replace(artifact.files[0], bytes=1 << 50),))
    device = ssh_board.device(python=sys.executable)
    with (
        connect_agent(device) as agent,
        pytest.raises(BoardError, match=r"board: the model is \d+ MB and the board has \d+ MB of memory free"),
    ):
        preflight(agent, device, [huge])
    assert not (ssh_board.edgebench_home / "blobs").exists() or not list((ssh_board.edgebench_home / "blobs").iterdir())


def test_a_board_without_room_for_the_model_says_so_and_keeps_nothing(ssh_board: SshBoard, tiny_onnx: Path) -> None:
    with (
        connect_agent(ssh_board.device(), python=sys.executable) as agent,
        pytest.raises(BoardError, match=r"board: .*(free|room|space)"),
    ):
        agent.push(tiny_onnx, sha256="0" * 64, size=1 << 50)
    assert not list((ssh_board.edgebench_home / "blobs").iterdir())


def test_a_file_that_changed_while_it_was_pushed_is_not_kept(ssh_board: SshBoard, tiny_onnx: Path) -> None:
    with (
        connect_agent(ssh_board.device(), python=sys.executable) as agent,
        pytest.raises(BoardError, match="board: "),
    ):
        agent.push(tiny_onnx, sha256="0" * 64, size=tiny_onnx.stat().st_size)
    assert "0" * 64 not in {path.name for path in (ssh_board.edgebench_home / "blobs").iterdir()}


def test_a_file_that_is_no_model_fails_with_the_runtimes_reason(ssh_board: SshBoard, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([helper.make_node("Identity", ["pixels"], ["out"])], "image", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "image.onnx")
    with pytest.raises(edgebench.EdgebenchError, match="pixels"):
        edgebench.profile(
            tmp_path / "image.onnx", device=ssh_board.device(python=sys.executable), store=tmp_path / "store"
        )
