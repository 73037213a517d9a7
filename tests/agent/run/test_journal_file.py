"""The journal: what was written whole is read, a torn line is not, and a full disk leaves no torn line."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgebench_agent.protocol import Log, Phase, ProtocolError, encode_message
from edgebench_agent.protocol.failure import Failure
from edgebench_agent.run.journal import Journal, read_journal
from edgebench_agent.storage.journal_tail import complete_lines, has_writer


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1, max_size=5),
    data=st.data(),
)
def test_a_journal_cut_anywhere_reads_as_its_whole_lines(tmp_path: Path, texts: list[str], data: st.DataObject) -> None:
    lines = [encode_message(seq, 0, Log(text)) for seq, text in enumerate(texts)]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path / "journal"
    path.write_bytes(whole[:cut])
    entries = read_journal(path)
    assert [entry.message for entry in entries] == [Log(text) for text in texts[: len(entries)]]
    kept = sum(len(line) for line in lines[: len(entries)])
    assert complete_lines(whole[:cut]) == whole[:kept]
    assert kept <= cut
    assert len(entries) == len(lines) or cut < kept + len(lines[len(entries)])


def test_a_gap_in_a_journal_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(encode_message(0, 0, Phase("loading")) + encode_message(2, 0, Phase("first")))
    with pytest.raises(ProtocolError, match="message 2 where 1 should be"):
        read_journal(path)


def test_a_journal_is_never_written_over(tmp_path: Path) -> None:
    Journal(tmp_path / "journal").append(Phase("loading"))
    with pytest.raises(FileExistsError):
        Journal(tmp_path / "journal")


def test_messages_are_numbered_and_timed_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    for name in ("loading", "first", "warmup"):
        journal.append(Phase(name))
    entries = read_journal(tmp_path / "journal")
    assert [entry.seq for entry in entries] == [0, 1, 2]
    assert sorted(entry.t_ns for entry in entries) == [entry.t_ns for entry in entries]


def test_a_full_disk_takes_back_the_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.append(Phase("loading"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limits[1]))
    try:
        with pytest.raises(Failure, match="disk is full") as caught:
            journal.append(Log("x" * 100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.kind == "out_of_disk"
    journal.append(Phase("first"))
    assert [entry.message for entry in read_journal(path)] == [Phase("loading"), Phase("first")]
    assert path.read_bytes().count(b"\n") == 2


def test_a_journal_without_a_living_writer_is_known(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    assert not has_writer(path)
    journal = Journal(path)
    assert has_writer(path)
    journal.close()
    assert not has_writer(path)
