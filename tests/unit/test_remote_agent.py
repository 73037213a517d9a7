"""The agent's archive, and what the host does with bytes it can't trust."""

import io
import os
import subprocess
import sys
import zipfile

import pytest

from edgebench.device import Device, find_device
from edgebench.errors import AgentError, BoardError
from edgebench.remote_agent import LineReader, RemoteAgent, agent_archive
from edgebench.transport.local import LocalTransport
from edgebench_agent import protocol

BENCH: Device = find_device("local")


class BytesStream:
    """A stream that says what it was given, piece by piece."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def read(self, limit: int, *, timeout_s: float) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def test_archive_is_the_same_bytes_in_another_process_at_another_time() -> None:
    code = "from edgebench.remote_agent import agent_archive; print(agent_archive()[1])"
    environment = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert out.stdout.strip() == agent_archive()[1]


def test_archive_has_fixed_dates_and_sorted_names_and_no_bytecode() -> None:
    archive = zipfile.ZipFile(io.BytesIO(agent_archive()[0]))
    names = archive.namelist()
    assert names == sorted(names)
    assert all(name.endswith(".py") for name in names)
    assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_lines_are_put_together_from_pieces_and_a_torn_last_one_is_dropped() -> None:
    reader = LineReader(BytesStream(b"on", b"e\ntwo\nth", b"ree"))  # type: ignore[arg-type]
    assert [reader.line(timeout_s=1) for _ in range(3)] == [b"one\n", b"two\n", b""]


def test_a_line_without_end_is_refused() -> None:
    reader = LineReader(BytesStream(*[b"x" * (1 << 16)] * 40))  # type: ignore[arg-type]
    with pytest.raises(AgentError, match="a line of more than"):
        reader.line(timeout_s=1)


def test_no_python_on_the_board_says_what_to_do(tmp_path) -> None:
    with (
        LocalTransport(BENCH) as transport,
        pytest.raises(BoardError, match=r"bench: no Python at .*install Python >="),
    ):
        RemoteAgent(transport, name="bench", python=str(tmp_path / "python3")).install()


def test_a_python_that_is_something_else_says_what_it_said(tmp_path) -> None:
    impostor = tmp_path / "python3"
    impostor.write_text("#!/bin/sh\necho 'command not supported here' >&2\nexit 3\n")
    impostor.chmod(0o755)
    with (
        LocalTransport(BENCH) as transport,
        pytest.raises(BoardError, match=r"does not run Python .*not supported here"),
    ):
        RemoteAgent(transport, name="bench", python=str(impostor)).install()


def test_too_old_a_python_says_its_version(tmp_path) -> None:
    old = tmp_path / "python3"
    old.write_text(
        "#!/bin/sh\n"
        """echo '{"ok": false, "kind": "python_too_old", "python": [3, 6, 15]}'\n"""
    )
    old.chmod(0o755)
    with (
        LocalTransport(BENCH) as transport,
        pytest.raises(BoardError, match=r"is Python 3\.6\.15, the agent needs"),
    ):
        RemoteAgent(transport, name="bench", python=str(old)).install()


def test_a_damaged_agent_on_the_board_is_put_there_anew(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBENCH_HOME", str(tmp_path / "home"))
    with LocalTransport(BENCH) as transport:
        agent = RemoteAgent(transport, name="bench", python=sys.executable)
        agent.install()
        (there,) = (tmp_path / "home" / "agents").glob("*.pyz")
        there.write_bytes(there.read_bytes()[:1000])
        agent.install()
        assert there.read_bytes() == agent_archive()[0]
        assert agent.probe([])["ok"] is True


def test_a_board_can_not_name_an_input_that_it_was_not_given() -> None:
    from edgebench.collect import RunCollector

    collector = RunCollector(run_id="r", started_at="", lengths=[3, 4], batch=1)
    block = protocol.Latencies(warmup=False, start_ns=[1], latency_ns=[1], items=[2])
    with pytest.raises(AgentError, match="an input that it was not given"):
        collector.take(protocol.Entry(0, 0, block))
