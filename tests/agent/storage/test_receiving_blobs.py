"""Blobs arrive whole or not at all, from where they stopped, and from one sender at a time."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import subprocess
from pathlib import Path

import pytest

from edgebench_agent import protocol
from tests.agent.agent_board import DEADLINE_S, AgentBoard, wait_until

DATA = random.Random(0).randbytes(3_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


def reply_of(process: subprocess.Popen[bytes]) -> dict[str, object]:
    """Return the next reply of a command that runs."""
    assert process.stdout is not None
    return protocol.decode_object(process.stdout.readline())


def part(board: AgentBoard) -> Path:
    return board.home / "blobs" / f"{SHA256}.part"


def cut_after(board: AgentBoard, count: int) -> None:
    """Send the first `count` bytes and end."""
    replies = board.replies("receive", SHA256, len(DATA), input=DATA[:count])
    assert replies[0] == {"ok": True, "have": 0}
    assert replies[1]["kind"] == "interrupted"


def test_a_blob_arrives_under_its_hash_and_nothing_is_left_beside_it(board: AgentBoard) -> None:
    assert board.replies("receive", SHA256, len(DATA), input=DATA) == [
        {"ok": True, "have": 0},
        {"ok": True, "have": len(DATA)},
    ]
    assert board.blob(DATA).read_bytes() == DATA
    assert [path.name for path in (board.home / "blobs").iterdir()] == [SHA256]


def test_the_home_is_closed_to_others(board: AgentBoard) -> None:
    board.push(DATA)
    assert board.home.stat().st_mode & 0o777 == 0o700


def test_a_blob_that_is_there_needs_no_bytes(board: AgentBoard) -> None:
    board.push(DATA)
    # Not even its input is read: it stays open.
    process = board.start("receive", SHA256, len(DATA))
    assert reply_of(process) == {"ok": True, "have": len(DATA)}
    assert process.wait(DEADLINE_S) == 0
    process.communicate()


def test_an_empty_blob_arrives(board: AgentBoard) -> None:
    board.push(b"")
    assert board.blob(b"").read_bytes() == b""


def test_what_arrived_before_a_cut_is_kept_and_only_the_rest_is_asked_for(board: AgentBoard) -> None:
    cut_after(board, 1_234_567)
    assert not board.blob(DATA).exists()
    replies = board.replies("receive", SHA256, len(DATA), input=DATA[1_234_567:])
    assert [reply["have"] for reply in replies] == [1_234_567, len(DATA)]
    assert board.blob(DATA).read_bytes() == DATA


def test_a_part_that_is_whole_is_finished_without_bytes(board: AgentBoard) -> None:
    cut_after(board, 10)
    part(board).write_bytes(DATA)
    assert [reply["have"] for reply in board.replies("receive", SHA256, len(DATA))] == [len(DATA)] * 2
    assert board.blob(DATA).read_bytes() == DATA


def test_bytes_with_another_hash_are_refused_and_removed(board: AgentBoard) -> None:
    other = bytes(len(DATA))
    replies = board.replies("receive", SHA256, len(DATA), input=other)
    assert replies[-1]["kind"] == "corrupt"
    assert list((board.home / "blobs").iterdir()) == []
    board.push(DATA)


def test_a_part_that_was_spoiled_is_found_out(board: AgentBoard) -> None:
    cut_after(board, 1_000_000)
    with part(board).open("r+b") as file:
        file.write(b"spoiled")
    replies = board.replies("receive", SHA256, len(DATA), input=DATA[1_000_000:])
    assert replies[-1]["kind"] == "corrupt"
    board.push(DATA)


def test_more_bytes_than_announced_are_not_taken(board: AgentBoard) -> None:
    replies = board.replies("receive", SHA256, len(DATA), input=DATA + b"more")
    assert replies[-1] == {"ok": True, "have": len(DATA)}
    assert board.blob(DATA).read_bytes() == DATA


def test_a_part_longer_than_the_blob_is_begun_again(board: AgentBoard) -> None:
    cut_after(board, 10)
    part(board).write_bytes(DATA + b"more")
    board.push(DATA)


def test_two_senders_of_one_blob_do_not_mix(board: AgentBoard) -> None:
    first = board.start("receive", SHA256, len(DATA))
    assert reply_of(first) == {"ok": True, "have": 0}
    second = board.start("receive", SHA256, len(DATA))
    out, _ = first.communicate(DATA, DEADLINE_S)
    assert protocol.decode_object(out) == {"ok": True, "have": len(DATA)}
    # The second waits for the first, and has nothing to do then.
    out, _ = second.communicate(b"", DEADLINE_S)
    assert [protocol.decode_object(line)["have"] for line in out.splitlines()] == [len(DATA)] * 2
    assert board.blob(DATA).read_bytes() == DATA


def test_a_sender_goes_on_where_one_that_was_killed_stopped(board: AgentBoard) -> None:
    first = board.start("receive", SHA256, len(DATA))
    assert reply_of(first) == {"ok": True, "have": 0}
    assert first.stdin is not None
    first.stdin.write(DATA[:500_000])
    first.stdin.flush()
    wait_until(lambda: part(board).stat().st_size == 500_000)
    first.kill()
    first.communicate()
    replies = board.replies("receive", SHA256, len(DATA), input=DATA[500_000:])
    assert [reply["have"] for reply in replies] == [500_000, len(DATA)]


def test_a_disk_that_fills_up_is_said_and_the_half_file_goes(board: AgentBoard) -> None:
    def fill_up_early() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    board.push(b"something small")
    replies = board.replies("receive", SHA256, len(DATA), input=DATA, preexec_fn=fill_up_early)
    assert replies[-1]["kind"] == "out_of_disk"
    assert not part(board).exists()


def test_a_blob_larger_than_the_disk_is_refused_before_it_is_sent(board: AgentBoard, tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    reply = board.reply("receive", SHA256, 2 * free + 1)
    assert reply["kind"] == "out_of_disk"
    needed, told = (int(word) for word in reply["message"].split() if word.isdigit())
    assert needed > 2 * free
    assert 0 < told < needed


@pytest.mark.parametrize("arguments", [("nothex", 3), ("../" + "a" * 61, 3), (SHA256, -1), (SHA256, "many"), (SHA256,)])
def test_a_malformed_request_is_a_bad_request(board: AgentBoard, arguments: tuple[object, ...]) -> None:
    reply = board.reply("receive", *arguments)
    assert reply["kind"] == "bad_request"
    assert "\n" not in reply["message"]
