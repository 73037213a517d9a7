"""The board's lease, by the agent as it is shipped: one holder at a time, first come first served, freed by itself."""

from __future__ import annotations

import fcntl
import json
import os
import random
import subprocess
import sys
import textwrap
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edgebench_agent.home import Home
from edgebench_agent.lease.board_lease import BoardLease
from edgebench_agent.protocol import Failed, Latencies, LeaseRequest
from tests.agent.agent_board import SECOND, AgentBoard, of, wait_until


def ask(board: AgentBoard, do: str, **fields: Any) -> dict[str, Any]:
    return board.reply("lease", input=LeaseRequest(do=do, **fields).to_json())


def acquire(board: AgentBoard, ticket: str, **fields: Any) -> dict[str, Any]:
    return ask(board, "acquire", ticket=ticket, who=f"{ticket}@host", purpose="a test", **fields)


def token_of(reply: dict[str, Any]) -> int:
    assert reply["granted"], reply
    token: int = reply["token"]
    return token


def age_lease(board: AgentBoard, seconds: int) -> None:
    """Let time pass: move everything that was noted so far into the past."""
    path = board.home / "lease.json"
    state = json.loads(path.read_text())
    if state["holder"] is not None:
        state["holder"]["granted_ns"] -= seconds * SECOND
    path.write_text(json.dumps(state))
    (board.home / "lease.renewed").unlink(missing_ok=True)


def age_granted(board: AgentBoard, seconds: int) -> None:
    """Let the grant, and nothing else, be so much older."""
    path = board.home / "lease.json"
    state = json.loads(path.read_text())
    state["holder"]["granted_ns"] -= seconds * SECOND
    path.write_text(json.dumps(state))


# --- who has it ---------------------------------------------------------------------------------------------------


def test_a_free_board_is_granted_and_then_taken(board: AgentBoard) -> None:
    token = token_of(acquire(board, "anna"))
    refused = acquire(board, "bert")
    assert (refused["granted"], refused["ahead"], refused["holder"]["who"]) == (False, 0, "anna@host")
    assert ask(board, "show")["waiting"] == ["bert@host"]
    ask(board, "release", token=token)
    assert token_of(acquire(board, "bert")) > token


def test_the_same_ticket_asked_again_keeps_what_it_was_granted(board: AgentBoard) -> None:
    assert acquire(board, "anna") == acquire(board, "anna")


def test_whoever_came_first_is_served_first(board: AgentBoard) -> None:
    token = token_of(acquire(board, "anna"))
    assert [acquire(board, name)["ahead"] for name in ("bert", "carl", "dora")] == [0, 1, 2]
    ask(board, "release", token=token)
    assert not acquire(board, "dora")["granted"]
    assert acquire(board, "bert")["granted"]


def test_a_ticket_given_back_gives_the_board_back_with_it(board: AgentBoard) -> None:
    acquire(board, "anna")
    acquire(board, "bert")
    ask(board, "leave", ticket="anna")  # who was interrupted before the answer came
    assert acquire(board, "anna")["kind"] == "lease_lost"  # a question that was still under way
    assert acquire(board, "bert")["granted"]
    ask(board, "leave", ticket="carl")  # who was interrupted before the question came
    assert acquire(board, "carl")["kind"] == "lease_lost"
    assert ask(board, "show")["waiting"] == []


def test_a_state_that_an_older_agent_wrote_is_read(board: AgentBoard) -> None:
    token = token_of(acquire(board, "anna"))
    state = json.loads((board.home / "lease.json").read_text())
    del state["left"]
    (board.home / "lease.json").write_text(json.dumps(state))
    assert ask(board, "show")["holder"]["token"] == token
    assert acquire(board, "bert")["holder"]["who"] == "anna@host"


def test_waiters_ask_seldom_and_often_enough_to_keep_their_place(board: AgentBoard) -> None:
    acquire(board, "anna")
    pauses = [acquire(board, name)["ask_again_ns"] for name in ("bert", "carl", "dora")]
    assert pauses == [5 * SECOND, 9 * SECOND, 9 * SECOND]


def test_a_waiter_that_leaves_or_is_forgotten_holds_up_nobody(board: AgentBoard) -> None:
    token = token_of(acquire(board, "anna"))
    for name in ("bert", "carl", "dora"):
        acquire(board, name)
    ask(board, "leave", ticket="bert")
    state = json.loads((board.home / "lease.json").read_text())
    state["queue"][0]["asked_ns"] -= 31 * SECOND  # carl has not asked for half a minute
    (board.home / "lease.json").write_text(json.dumps(state))
    ask(board, "release", token=token)
    assert acquire(board, "dora")["granted"]


def test_without_renewal_the_board_is_free_after_its_time_to_live(board: AgentBoard) -> None:
    token = token_of(acquire(board, "anna", ttl_ns=3600 * SECOND))
    age_lease(board, 1800)
    assert not acquire(board, "bert")["granted"]
    age_lease(board, 1801)
    assert acquire(board, "bert")["granted"]
    assert ask(board, "renew", token=token)["kind"] == "lease_lost"


def test_renewal_keeps_the_board(board: AgentBoard) -> None:
    token = token_of(acquire(board, "anna", ttl_ns=60 * SECOND))
    age_lease(board, 59)
    ask(board, "renew", token=token)
    state = json.loads((board.home / "lease.json").read_text())
    state["holder"]["granted_ns"] -= 59 * SECOND
    (board.home / "lease.json").write_text(json.dumps(state))
    assert not acquire(board, "bert")["granted"]


def test_a_holder_who_comes_late_goes_on_where_nobody_else_came(board: AgentBoard) -> None:
    token = token_of(acquire(board, "anna", ttl_ns=60 * SECOND))
    age_lease(board, 3600)
    assert ask(board, "renew", token=token)["ok"]
    assert not acquire(board, "bert")["granted"]


def test_a_lease_of_before_a_reboot_is_over(board: AgentBoard) -> None:
    acquire(board, "anna")
    path = board.home / "lease.json"
    path.write_text(path.read_text().replace(json.loads(path.read_text())["holder"]["boot"], "another-boot"))
    assert acquire(board, "bert")["granted"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"next_token": 5}', b"\xff\xfe", b'{"next_token":0}' * 9])
def test_a_damaged_file_costs_no_holder_the_board_and_no_number_is_given_twice(
    board: AgentBoard, content: bytes
) -> None:
    token = token_of(acquire(board, "anna"))
    ask(board, "renew", token=token)
    (board.home / "lease.json").write_bytes(content)
    assert ask(board, "renew", token=token)["ok"]
    assert not acquire(board, "bert")["granted"]
    ask(board, "release", token=token)
    assert token_of(acquire(board, "bert")) > token


def test_what_is_taken_by_force_is_told_to_whoever_had_it(board: AgentBoard) -> None:
    token = token_of(acquire(board, "anna"))
    released = ask(board, "force", who="admin@desk", reason="the job hangs")["released"]
    assert (released["who"], released["token"]) == ("anna@host", token)
    lost = ask(board, "renew", token=token)
    assert lost["message"] == "the board's lease was taken away by admin@desk: the job hangs"
    (taken,) = ask(board, "show")["taken"]
    assert (taken["by"], taken["reason"]) == ("admin@desk", "the job hangs")


def test_force_takes_nothing_from_another_than_was_seen(board: AgentBoard) -> None:
    seen = token_of(acquire(board, "anna"))
    ask(board, "release", token=seen)
    token = token_of(acquire(board, "bert"))
    refused = ask(board, "force", who="admin@desk", reason="it hangs", token=seen)
    assert (refused["kind"], "bert@host (a test, since " in refused["message"]) == ("busy", True)
    assert ask(board, "renew", token=token)["ok"]
    assert ask(board, "force", who="admin@desk", reason="it hangs", token=token)["released"]["who"] == "bert@host"
    assert ask(board, "force", who="admin@desk", reason="it hangs", token=token)["released"] is None


@pytest.mark.parametrize(
    "line", [b"", b"{}\n", b'{"do":"steal"}\n', b'{"do":"acquire"}\n', b'{"do":"acquire","ticket":"../x"}\n']
)
def test_a_request_that_is_none_is_refused(board: AgentBoard, line: bytes) -> None:
    assert board.reply("lease", input=line)["kind"] == "bad_request"


@pytest.mark.parametrize("content", [b"x" * 400, b"9" * 20 + b" a b c d " * 9, b"\xff\xfe" * 90, b"1 2", b""])
def test_a_damaged_renewal_is_mended_by_the_next_one(board: AgentBoard, content: bytes) -> None:
    token = token_of(acquire(board, "anna", ttl_ns=60 * SECOND))
    (board.home / "lease.renewed").write_bytes(content)
    age_granted(board, 3600)
    assert ask(board, "renew", token=token)["ok"]
    assert not acquire(board, "bert")["granted"]
    (board.home / "lease.json").write_bytes(b"{")  # and what is left tells who has the board
    assert not acquire(board, "bert")["granted"]
    assert ask(board, "renew", token=token)["ok"]


# --- numbers are never given twice --------------------------------------------------------------------------------


def test_a_holder_who_slept_through_a_removal_has_lost_the_board(board: AgentBoard) -> None:
    slept = token_of(acquire(board, "anna"))
    assert board.reply("remove")["kind"] == "busy"
    assert ask(board, "force", who="bert@host", reason="anna sleeps")["ok"]
    remover = token_of(acquire(board, "bert"))
    assert board.reply("remove", "--lease", str(remover))["ok"]
    token = token_of(acquire(board, "carl"))
    assert token > remover > slept
    assert ask(board, "renew", token=slept)["kind"] == "lease_lost"
    assert board.launch(board.spec(lease_token=slept))["kind"] == "lease_lost"
    assert ask(board, "renew", token=token)["ok"]


def test_a_number_does_not_come_again_where_nothing_tells_what_was_given(board: AgentBoard) -> None:
    tokens = []
    for content in (None, b"{", None, b"{"):
        tokens.append(token_of(acquire(board, f"user-{len(tokens)}")))
        (board.home / "lease.renewed").unlink(missing_ok=True)
        (board.home / "lease.json").unlink()
        if content is not None:
            (board.home / "lease.json").write_bytes(content)
    assert tokens == sorted(set(tokens))


def test_who_waited_for_the_lock_while_all_was_removed_waits_for_the_one_that_is_there(board: AgentBoard) -> None:
    acquire(board, "anna")
    lock = board.home / "lease.lock"
    with lock.open("r") as old:
        fcntl.flock(old, fcntl.LOCK_EX)
        waiting = board.start("lease")
        assert waiting.stdin is not None
        waiting.stdin.write(LeaseRequest(do="acquire", ticket="bert", who="bert@host").to_json())
        waiting.stdin.close()
        waiting.stdin = None
        wait_until(lambda: is_waiting_for(waiting.pid, old.fileno()))
        for name in ("lease.json", "lease.lock"):  # as a removal does, which waits for the lock itself
            (board.home / name).unlink()
        acquire(board, "carl")
        new = lock.open("r")
        fcntl.flock(new, fcntl.LOCK_EX)
    with new:
        wait_until(lambda: waiting.poll() is not None or is_waiting_for(waiting.pid, new.fileno()))
        assert waiting.poll() is None
    assert json.loads(waiting.communicate(timeout=600)[0])["holder"]["who"] == "carl@host"


def is_waiting_for(pid: int, lock: int) -> bool:
    """Say whether a process waits for the lock of an open file."""
    entries = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    inode = str(os.fstat(lock).st_ino)
    return any("->" in entry and str(pid) in entry and entry[-3].endswith(f":{inode}") for entry in entries)


# --- runs under it ------------------------------------------------------------------------------------------------


def test_a_run_without_a_lease_waits_for_whoever_has_one(board: AgentBoard) -> None:
    acquire(board, "anna")
    refused = board.launch(board.spec())
    assert refused["kind"] == "busy"
    assert "anna@host (a test, since " in refused["message"]


def test_a_run_of_a_lost_lease_does_not_begin(board: AgentBoard) -> None:
    token = token_of(acquire(board, "anna"))
    ask(board, "force", who="admin@desk", reason="mine")
    assert board.launch(board.spec(lease_token=token))["kind"] == "lease_lost"


@pytest.mark.slow
def test_a_run_ends_itself_once_the_lease_is_anothers(board: AgentBoard, tiny_model: bytes) -> None:
    token = token_of(acquire(board, "anna"))
    spec = board.long_spec(tiny_model, lease_token=token)
    board.launch_well(spec)
    journal = board.home / "runs" / spec.run_id / "journal.ndjson"
    wait_until(lambda: b'"warmup":false' in journal.read_bytes())
    ask(board, "force", who="admin@desk", reason="maintenance")
    messages = [entry.message for entry in board.journal(spec.run_id)]
    (failed,) = of(Failed, messages)
    assert (failed.kind, failed.message) == (
        "lease_lost",
        "the board's lease was taken away by admin@desk: maintenance",
    )
    assert any(not block.warmup for block in of(Latencies, messages))  # what was measured is there


def test_following_a_run_keeps_the_lease(board: AgentBoard, tiny_model: bytes) -> None:
    token = token_of(acquire(board, "anna", ttl_ns=60 * SECOND))
    spec = board.long_spec(tiny_model, lease_token=token)
    board.launch_well(spec)
    follower = board.start("follow", spec.run_id, 0, "--lease", token)
    assert follower.stdin is not None
    age_lease(board, 59)
    follower.stdin.write(b"renew\n")
    follower.stdin.flush()
    wait_until(lambda: (board.home / "lease.renewed").exists())
    follower.kill()
    follower.communicate()
    age = json.loads((board.home / "lease.json").read_text())
    age["holder"]["granted_ns"] -= 59 * SECOND
    (board.home / "lease.json").write_text(json.dumps(age))
    assert not acquire(board, "bert")["granted"]


def test_a_push_of_a_lost_lease_is_refused(board: AgentBoard) -> None:
    token = token_of(acquire(board, "anna"))
    ask(board, "force", who="admin@desk", reason="mine")
    refused = board.replies("receive", "0" * 64, 4, "--lease", token, input=b"data")
    assert refused[-1]["kind"] == "lease_lost"


# --- many at once -------------------------------------------------------------------------------------------------

#: One who wants the board: waits for it, works under it, and gives it back; a journal of its own says when.
_CONTENDER = """
    import sys, time
    sys.path.insert(0, sys.argv[1])
    from pathlib import Path
    from edgebench_agent.lease.board_lease import BoardLease
    from edgebench_agent.protocol.failure import Failure
    from edgebench_agent.home import Home
    from edgebench_agent.protocol import LeaseRequest

    lease, name, journal = BoardLease(Home(Path(sys.argv[2]))), sys.argv[3], open(sys.argv[4], "a", buffering=1)
    request = LeaseRequest(do="acquire", ticket=name, who=name, purpose="contend", ttl_ns=2_000_000_000)
    while True:
        reply = lease.acquire(request)
        if reply["granted"]:
            break
        time.sleep(0.05)
    token = reply["token"]
    journal.write(f"{time.monotonic_ns()} begin {token}\\n")
    for _ in range(int(sys.argv[5])):
        time.sleep(0.02)
        lease.renew(token)
        journal.write(f"{time.monotonic_ns()} works {token}\\n")
    lease.release(token)
    journal.write(f"{time.monotonic_ns()} done {token}\\n")
"""


@pytest.mark.long
def test_of_twenty_contenders_never_two_have_the_board_and_nobody_starves(tmp_path: Path) -> None:
    """Half of them are killed at a random moment; what each did stands in its journal, on one clock."""
    chance = random.Random(7)
    home = tmp_path / "home"
    agents = Path(__file__).parents[3] / "agents"
    names = [f"user-{number:02}" for number in range(20)]
    chance.shuffle(names)
    program = textwrap.dedent(_CONTENDER)
    contenders = {
        name: subprocess.Popen(
            [sys.executable, "-c", program, str(agents), str(home), name, str(tmp_path / name), "10"]
        )
        for name in names
    }
    doomed = set(chance.sample(names, 10))
    journal = {name: tmp_path / name for name in names}
    for name in doomed:  # wherever it is: in the queue, at work, or done
        time.sleep(chance.uniform(0.0, 0.4))
        contenders[name].kill()
    for name, process in contenders.items():
        assert process.wait(60) in ((0, -9) if name in doomed else (0,))
    spans = []
    for name in names:
        lines = [line.split() for line in journal[name].read_text().splitlines()] if journal[name].exists() else []
        if lines:
            spans.append((int(lines[0][0]), int(lines[-1][0]), int(lines[0][2])))
        if name not in doomed:
            assert lines[-1][1] == "done"
    spans.sort()
    for (_, ended, token), (began, _, next_token) in pairwise(spans):
        assert ended <= began
        assert token < next_token
    last = LeaseRequest(do="acquire", ticket="last", who="last")  # the board is free once the time to live is over
    wait_until(lambda: BoardLease(Home(home)).acquire(last)["granted"])
