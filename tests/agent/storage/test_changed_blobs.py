"""Files whose content changed on the board since they were verified: found, removed and pushed again."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edgebench.board import RemoteAgent, connect_agent
from edgebench.board.busy_retry import BusyRetry
from edgebench.device import find_device
from edgebench.events import Event, LogMessage
from edgebench_agent.home import Home
from edgebench_agent.protocol import Done
from edgebench_agent.storage.verified import Verified
from tests.agent.agent_board import AgentBoard


def damage(blob: Path) -> None:
    """Change a byte of a file, and let its size and the time of its content be as they were."""
    before = blob.stat()
    with blob.open("r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)
        file.seek(before.st_size // 2)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read to be hashed, in this process."""
    names: list[str] = []
    real = Path.open

    def opened(path: Path, *arguments: object, **options: object) -> object:
        if path.parent.name == "blobs":
            names.append(path.name)
        return real(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", opened)
    return names


@pytest.mark.slow
def test_a_launch_finds_a_changed_byte_and_removes_the_blob(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model)
    assert isinstance(board.run(spec)[-1], Done)
    damage(board.blob(tiny_model))
    reply = board.launch(replace(spec, run_id="again"))
    assert (reply["ok"], reply["kind"]) == (False, "corrupt")
    assert "model.onnx had changed on the board since the push, and was removed; push it again" in reply["message"]
    assert not board.blob(tiny_model).exists()
    board.push(tiny_model)
    assert isinstance(board.run(replace(spec, run_id="once-more"))[-1], Done)


def test_changed_inputs_are_found(board: AgentBoard) -> None:
    spec = board.spec()
    damage(board.home / "blobs" / spec.inputs_sha256)
    assert "inputs had changed" in board.launch(spec)["message"]


def test_a_push_finds_a_changed_blob_and_receives_it_again(board: AgentBoard) -> None:
    data = bytes(range(256)) * 100
    sha256 = board.push(data)
    damage(board.blob(data))
    first, last = board.replies("receive", sha256, len(data), input=data)
    assert first == {"ok": True, "have": 0, "changed": True}
    assert last == {"ok": True, "have": len(data)}
    assert board.blob(data).read_bytes() == data
    assert board.replies("receive", sha256, len(data))[0] == {"ok": True, "have": len(data)}


@pytest.mark.slow
def test_a_blob_is_hashed_once_in_a_boot_whatever_we_do_to_it(
    board: AgentBoard, tiny_model: bytes, hashed: list[str]
) -> None:
    spec = board.model_spec(tiny_model)
    for run_id in ("a", "b"):  # links are made and removed, times set
        assert isinstance(board.run(replace(spec, run_id=run_id))[-1], Done)
        board.push(tiny_model)
    sha256 = board.blob(tiny_model).name
    assert Verified(Home(board.home)).is_right(board.blob(tiny_model), sha256)
    assert hashed == []


def test_every_blob_is_hashed_again_after_a_boot(board: AgentBoard, tiny_model: bytes, hashed: list[str]) -> None:
    sha256 = board.push(tiny_model)
    record = board.home / "verified.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "boot": "the one before"}))
    for _ in range(2):
        assert Verified(Home(board.home)).is_right(board.blob(tiny_model), sha256)
    assert hashed == [sha256]


@pytest.mark.parametrize("content", ["", "[]", '{"boot": 1}', '{"boot": null, "files": {"a": [1]}}'])
def test_a_damaged_record_only_costs_time(board: AgentBoard, content: str) -> None:
    spec = board.spec()
    (board.home / "verified.json").write_text(content)
    assert isinstance(board.run(spec)[-1], Done)


# --- what the host does ---------------------------------------------------------------------------------------------


@contextmanager
def connected(home: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Iterator[RemoteAgent]:
    def keep(event: Event) -> None:
        if isinstance(event, LogMessage):
            said.append(event.text)

    monkeypatch.setenv("EDGEBENCH_HOME", str(home))
    device = replace(find_device("local"), name="board")
    with connect_agent(device, python=sys.executable, busy_retry=BusyRetry(on_event=keep)) as agent:
        yield agent


@pytest.mark.slow
def test_the_host_pushes_again_what_changed_and_says_so(
    board: AgentBoard, tiny_model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = board.model_spec(tiny_model)
    model = tmp_path / "model.onnx"
    model.write_bytes(tiny_model)
    said: list[str] = []
    with connected(board.home, monkeypatch, said) as agent:
        push = {"sha256": board.blob(tiny_model).name, "size": len(tiny_model)}
        damage(board.blob(tiny_model))
        agent.push(model, **push)  # type: ignore[arg-type]
        assert said == ["board: model.onnx had changed on the board and was pushed again"]
        inputs = (board.home / "blobs" / spec.inputs_sha256).read_bytes()
        agent.push_bytes(inputs)
        damage(board.blob(tiny_model))
        damage(board.blob(inputs))
        agent.launch(spec)
        assert said[1:] == ["board: model.onnx, inputs had changed on the board and were pushed again"]
    assert isinstance(board.journal(spec.run_id)[-1].message, Done)
