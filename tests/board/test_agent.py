"""The agent's archive, and what the host does with bytes it can't trust."""

import io
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from edgebench.board.agent import connect_agent, install_agent
from edgebench.board.archive import agent_archive
from edgebench.board.line_reader import LineReader
from edgebench.device import Device, find_device
from edgebench.errors import AgentError, BoardError
from edgebench.measure.collect import RunCollector
from edgebench_agent import protocol

BENCH: Device = replace(find_device("local"), name="bench")


class BytesStream:
    """A stream that says what it was given, piece by piece."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def read(self, limit: int, *, timeout_s: float) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def test_archive_is_the_same_bytes_in_another_process_at_another_time() -> None:
    code = "from edgebench.board.archive import agent_archive; print(agent_archive()[1])"
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
        pytest.raises(BoardError, match=r"bench: no Python at .*install Python >="),
        connect_agent(BENCH, python=str(tmp_path / "python3")),
    ):
        pass


def test_a_python_that_is_something_else_says_what_it_said(tmp_path) -> None:
    impostor = tmp_path / "python3"
    impostor.write_text("#!/bin/sh\necho 'command not supported here' >&2\nexit 3\n")
    impostor.chmod(0o755)
    with (
        pytest.raises(BoardError, match=r"does not run Python .*not supported here"),
        connect_agent(BENCH, python=str(impostor)),
    ):
        pass


def test_too_old_a_python_says_its_version(tmp_path) -> None:
    old = tmp_path / "python3"
    old.write_text(
        "#!/bin/sh\n"
        """echo '{"ok": false, "kind": "python_too_old", "python": [3, 6, 15]}'\n"""
    )
    old.chmod(0o755)
    with (
        pytest.raises(BoardError, match=r"is Python 3\.6\.15, the agent needs"),
        connect_agent(BENCH, python=str(old)),
    ):
        pass


def test_a_damaged_agent_on_the_board_is_put_there_anew(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBENCH_HOME", str(tmp_path / "home"))
    with connect_agent(BENCH, python=sys.executable) as agent:
        (there,) = (tmp_path / "home" / "agents").glob("*.pyz")
        there.write_bytes(there.read_bytes()[:1000])
        again = install_agent(agent.transport, python=sys.executable)
        assert there.read_bytes() == agent_archive()[0]
        assert again.probe().board.system.arch == os.uname().machine


def spec(**changes: object) -> protocol.RunSpec:
    """A run of two inputs."""
    plain = {
        "run_id": "r",
        "mode": "measure",
        "runtime": "null",
        "files": [],
        "inputs_sha256": "0" * 64,
        "lengths": [3, 4],
        "batch": 1,
        "pad_token_id": 1,
        "threads": 0,
        "providers": [],
        "min_count": 1,
        "min_duration_ns": 0,
        "max_duration_ns": 1,
        "lease_ns": 10**10,
    }
    return protocol.RunSpec(**plain | changes)


def block(*items: int) -> protocol.Latencies:
    return protocol.Latencies(warmup=False, start_ns=list(items), latency_ns=list(items), items=list(items))


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([block(0, 1, 2)], "an input that it was not sent"),
        ([block(0, 1), protocol.Done(count=3, duration_ns=1)], "3 inferences were made, 2 arrived"),
        ([protocol.Readings({f"sensor/{number}": 1 for number in range(300)})], "more than 256 sensors"),
    ],
)
def test_what_does_not_fit_the_run_is_refused(messages: list[protocol.Message], reason: str) -> None:
    collector = RunCollector(spec())
    with pytest.raises(AgentError, match=reason):
        for seq, message in enumerate(messages):
            collector.take(protocol.Entry(seq, 0, message))


def test_a_journal_of_another_run_or_agent_is_refused() -> None:
    hello = protocol.Hello(
        protocol=protocol.PROTOCOL_VERSION,
        run_id="r",
        agent_sha256="1" * 64,
        runtime="null",
        runtime_version="1",
        libraries={},
        board={},
        started_at="",
    )
    RunCollector(spec(), agent_sha256="1" * 64).take(protocol.Entry(0, 0, hello))
    for collector in (
        RunCollector(spec(run_id="s")),
        RunCollector(spec(), agent_sha256="2" * 64),
    ):
        with pytest.raises(AgentError):
            collector.take(protocol.Entry(0, 0, hello))


@pytest.mark.slow
def test_a_folder_with_a_module_of_a_standard_name_does_not_reach_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEBENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n")
    monkeypatch.chdir(tmp_path)
    with connect_agent(BENCH, python=sys.executable) as agent:
        assert agent.probe(["null"]).runtimes["null"].works
