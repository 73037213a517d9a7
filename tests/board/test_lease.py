"""One user at a time: sessions that want the same board, hosts that die, leases that are taken away."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import edgebench
from edgebench.board.agent import connect_agent
from edgebench.board.lease import board_lease, open_leased_agent, own_name
from edgebench.device import Device
from edgebench.errors import BoardBusy, LeaseLost
from edgebench.events import Event, LogMessage
from edgebench.measure.probes.overhead import measure_overhead
from edgebench.provision.maintenance import SeenLease, release_seen, see_lease
from edgebench.reason import texts_of
from edgebench_agent.home import Home
from edgebench_agent.lease.board_lease import BoardLease
from edgebench_agent.protocol import LeaseRequest
from tests.agent.agent_board import DEADLINE_S, SECOND, wait_until
from tests.board.ssh_board import SshBoard
from tests.fork_server import edgebench_command

PLAN = edgebench.RunPlan(runs=1, min_count=5, min_duration_s=0.0)
FREE = SeenLease(holder=None, token=0, waiting=())


@contextmanager
def somebody_else(board: SshBoard, *, ttl_ns: int = 120 * SECOND) -> Iterator[int]:
    """Hold the board as another host would."""
    lease = BoardLease(Home(board.edgebench_home))
    request = LeaseRequest(do="acquire", ticket="other", who="bert@laptop", purpose="his job", ttl_ns=ttl_ns)
    token = lease.acquire(request)["token"]
    yield token
    lease.release(token)


def test_a_session_gives_the_board_back(ssh_board: SshBoard, tiny_onnx: Path, tmp_path: Path) -> None:
    device = ssh_board.device(python=sys.executable)
    measured = edgebench.profile(tiny_onnx, device=device, plan=PLAN, overhead=False, cold=False, store=tmp_path)
    assert len(measured.runs) == 1
    assert see_lease(device) == FREE


def test_a_board_that_somebody_has_is_waited_for(ssh_board: SshBoard, tiny_onnx: Path, tmp_path: Path) -> None:
    device = ssh_board.device(python=sys.executable)
    said: list[str] = []
    waits = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, LogMessage):
            said.append(event.text)
            if "has the board" in event.text:
                waits.set()

    with somebody_else(ssh_board) as token:
        release = threading.Thread(
            target=lambda: (waits.wait(DEADLINE_S), BoardLease(Home(ssh_board.edgebench_home)).release(token))
        )
        release.start()
        measured = edgebench.profile(
            tiny_onnx, device=device, plan=PLAN, overhead=False, cold=False, store=tmp_path, on_event=listen
        )
        release.join()
    assert len(measured.runs) == 1
    assert any("board: bert@laptop (his job) has the board; waiting for at most 10 minutes" in text for text in said)


def test_a_board_that_stays_taken_is_one_clear_line(ssh_board: SshBoard) -> None:
    device = ssh_board.device()
    with (
        somebody_else(ssh_board),
        pytest.raises(BoardBusy, match=r"board: bert@laptop \(his job\) has the board; try `wait_s=1800`, or"),
        open_leased_agent(device, purpose="a test", wait_s=0),
    ):
        pass
    assert see_lease(device) == FREE  # and nobody waits any more


@pytest.mark.long
def test_a_lost_lease_ends_the_session_with_what_was_measured_kept(
    ssh_board: SshBoard, tiny_onnx: Path, tmp_path: Path
) -> None:
    device = ssh_board.device(python=sys.executable)
    endless = edgebench.RunPlan(runs=1, min_count=1, min_duration_s=600, max_duration_s=600)

    def force(event: Event) -> None:
        if getattr(event, "phase", None) == "measuring" and getattr(event, "count", 0):
            release_seen(ssh_board.device(), see_lease(ssh_board.device()), reason="I need it now")

    with pytest.raises(LeaseLost, match=r"taken away by .*: I need it now"):
        edgebench.profile(
            tiny_onnx, device=device, plan=endless, overhead=False, cold=False, store=tmp_path, on_event=force
        )
    (measured,) = edgebench.Store(tmp_path).measurements()
    assert len(measured.runs[0].latencies_ns) > 0
    assert texts_of(measured.runs[0].reasons) == ["failed: lease_lost"]


def test_a_lease_is_renewed_whatever_the_host_does_meanwhile(ssh_board: SshBoard) -> None:
    device = ssh_board.device()
    renewed = ssh_board.edgebench_home / "lease.renewed"
    with connect_agent(device) as agent:
        with board_lease(agent, device, purpose="a test", renew_after_s=0.1):
            wait_until(renewed.exists)
            for _ in range(2):  # also after a cut, which nobody but the renewal meets
                before = renewed.read_text()
                wait_until(lambda before=before: renewed.read_text() != before)
                ssh_board.cut()
            (thread,) = _renewing()
            assert thread.daemon
        wait_until(lambda: not _renewing())
    assert see_lease(device) == FREE


def test_a_lost_lease_is_not_renewed_and_what_is_asked_next_says_so(ssh_board: SshBoard) -> None:
    device = ssh_board.device()
    with connect_agent(device) as agent, board_lease(agent, device, purpose="a test", renew_after_s=0.1):
        release_seen(device, see_lease(device), reason="I need it now")
        wait_until(lambda: not _renewing())
        with pytest.raises(LeaseLost, match="I need it now"):
            agent.keep_lease()


def _renewing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lease-board"]


@pytest.mark.long
def test_a_run_of_somebody_without_a_lease_is_waited_for(ssh_board: SshBoard) -> None:
    device = ssh_board.device(python=sys.executable)
    waits: list[str] = []
    ssh_board.edgebench_home.mkdir(exist_ok=True)
    with (ssh_board.edgebench_home / "lock").open("w+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("another-run")
        lock.flush()

        def listen(event: Event) -> None:
            if isinstance(event, LogMessage):
                waits.append(event.text)
                fcntl.flock(lock, fcntl.LOCK_UN)

        with open_leased_agent(device, purpose="a test", on_event=listen) as agent:
            cost = measure_overhead(agent, report=waits.append)
    assert waits == [
        "board: run another-run is measuring on this board; try again when it is done; waiting for at most 10 minutes"
    ]
    assert cost is not None


@pytest.mark.long
def test_the_board_of_a_killed_host_is_free_after_its_time_to_live(
    ssh_board: SshBoard, tiny_onnx: Path, tmp_path: Path
) -> None:
    """The host is killed while it measures; the board is taken over, and the orphaned run ends."""
    config = tmp_path / "edgebench.toml"
    device = ssh_board.device()
    config.write_text(
        f'[device.board]\nprofile = "local"\nhost = "127.0.0.1"\nport = {device.port}\nuser = "{device.user}"\n'
        f'identity_file = "{device.identity_file}"\nhost_key = "{device.host_key}"\npython = "{sys.executable}"\n'
    )
    command = [sys.executable, "-m", "edgebench", "profile", "--device", "board", "--model", str(tiny_onnx)]
    command += [
        "--runs",
        "1",
        "--no-own-cost",
        "--min-duration",
        "300",
        "--max-duration",
        "600",
        "--store",
        str(tmp_path / "store"),
    ]
    host = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journals = ssh_board.edgebench_home / "runs"
    wait_until(lambda: any(b'"warmup":false' in path.read_bytes() for path in journals.glob("*-001-*/journal.ndjson")))
    os.kill(host.pid, signal.SIGKILL)
    host.wait()
    state = ssh_board.edgebench_home / "lease.json"
    _let_two_minutes_pass(state)
    with open_leased_agent(device, purpose="the next", wait_s=0):
        (journal,) = journals.glob("*-001-*/journal.ndjson")
        wait_until(lambda: b'"kind":"lease_lost"' in journal.read_bytes())


def _let_two_minutes_pass(state: Path) -> None:
    values = json.loads(state.read_text())
    values["holder"]["granted_ns"] -= 121 * SECOND
    state.write_text(json.dumps(values))
    state.with_name("lease.renewed").unlink()


# --- by hand ------------------------------------------------------------------------------------------------------


def command_line(device: Device, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "edgebench.toml").write_text(
        f'[device.board]\nprofile = "local"\nhost = "127.0.0.1"\nport = {device.port}\nuser = "{device.user}"\n'
        f'identity_file = "{device.identity_file}"\nhost_key = "{device.host_key}"\n'
    )
    command = [*edgebench_command(), "device", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@pytest.mark.long
def test_release_takes_nothing_from_others_unless_forced_with_a_reason(ssh_board: SshBoard, tmp_path: Path) -> None:
    device = ssh_board.device()
    assert "nobody had the board" in command_line(device, tmp_path, "release", "board").stdout
    with somebody_else(ssh_board) as token:
        refused = command_line(device, tmp_path, "release", "board")
        assert refused.returncode == 1
        assert "board: bert@laptop (his job) has the board since" in refused.stderr
        assert command_line(device, tmp_path, "release", "board", "--force").returncode == 2
        forced = command_line(device, tmp_path, "release", "board", "--force", "--reason", "it hangs", "--json", "-")
        assert json.loads(forced.stdout)["released"]["who"] == "bert@laptop"
        lost = BoardLease(Home(ssh_board.edgebench_home)).why_lost(token)
    assert lost == f"the board's lease was taken away by {own_name()}: it hangs"


def test_release_takes_nothing_from_whoever_came_since_we_looked(ssh_board: SshBoard) -> None:
    device, lease = ssh_board.device(), BoardLease(Home(ssh_board.edgebench_home))
    ours = lease.acquire(LeaseRequest(do="acquire", ticket="ours", who=own_name(), purpose="a dead session"))["token"]
    seen = see_lease(device)
    assert (seen.is_ours, seen.token, seen.waiting) == (True, ours, ())
    lease.release(ours)
    with somebody_else(ssh_board) as token:
        with pytest.raises(BoardBusy, match=r"board: bert@laptop \(his job, since .*\) has this board by now"):
            release_seen(device, seen, reason="released by its own user")
        lease.renew(token)
    assert release_seen(device, see_lease(device), reason="nobody had it") is None


def test_check_says_who_has_the_board(ssh_board: SshBoard, tmp_path: Path) -> None:
    with somebody_else(ssh_board):
        found = json.loads(command_line(ssh_board.device(), tmp_path, "check", "board", "--json", "-").stdout)
    (lease,) = [finding for finding in found["findings"] if finding["what"] == "lease"]
    assert lease["seen"].startswith("bert@laptop (his job) has the board since ")
