"""The board's lease, the host's half: one user at a time, in the order in which they came."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from edgebench import ending
from edgebench.board.agent import RemoteAgent, connect_agent
from edgebench.board.busy_retry import BusyRetry, wait_for_board
from edgebench.board.kept_lease import kept_lease
from edgebench.board.lease_reply import LeaseReply
from edgebench.board.retry import Retry
from edgebench.board.transport import open_transport
from edgebench.device import Device
from edgebench.errors import BoardBusy, DeviceError, LeaseLost
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.request import WAIT_S
from edgebench.text import duration_text, printable
from edgebench_agent import protocol

#: Without renewal for so long, the board is free: a host that was killed does not block it.
TTL_NS = 120 * 1_000_000_000
#: A lease that nothing else has renewed for so long is renewed in a thread of its own; after a failure, so soon again.
_RENEW_AFTER_S, _RENEW_AGAIN_S = 20.0, 5.0
#: Variables in which CI systems name the job that runs here, for those who wait for the board.
_CI_JOBS = ("GITHUB_RUN_ID", "CI_JOB_ID", "BUILD_TAG")
TRY_LATER = "try again when it is given back"


@contextmanager
def open_leased_agent(
    device: Device,
    *,
    purpose: str,
    python: str | None = None,
    wait_s: float = WAIT_S,
    on_event: OnEvent = ignore,
) -> Iterator[RemoteAgent]:
    """Connect to a device, take its lease and give its agent; at the end the lease is given back.

    `python` runs the agent instead of the device's own.

    Raises:
        BoardBusy: somebody else still held the lease after `wait_s`.
        DeviceError: the board can't be reached, or can't run the agent.
    """
    with (
        connect_agent(device, python=python, busy_retry=BusyRetry(on_event=on_event)) as agent,
        board_lease(agent, device, purpose=purpose, wait_s=wait_s, on_event=on_event),
    ):
        yield agent


@contextmanager
def board_lease(
    agent: RemoteAgent,
    device: Device,
    *,
    purpose: str,
    wait_s: float = WAIT_S,
    advice: str = "try `wait_s=1800`",
    renew_after_s: float = _RENEW_AFTER_S,
    ttl_ns: int = TTL_NS,
    on_event: OnEvent = ignore,
) -> Iterator[None]:
    """Hold the lease of a board: the commands of its agent run under it until the end.

    It is renewed meanwhile, whatever this machine does: `renew_after_s` after the last command that renewed it. A lease
    that is kept for several sessions (`use_lease`) is used in its turn, and not given back at the end.

    Raises:
        BoardBusy: somebody else still held it after `wait_s`; the error's hint begins with `advice`.
        LeaseLost: from every command of the agent once the lease is lost.
    """
    held, kept = agent.held_lease, kept_lease(device)
    with kept.turn() if kept is not None else nullcontext():
        if kept is not None:
            held.token = kept.token
            agent.keep_lease()
        else:
            held.token = _acquire(
                agent, purpose=purpose, wait_s=wait_s, advice=advice, ttl_ns=ttl_ns, on_event=on_event
            )
        held.renewed_s = time.monotonic()
        ended = threading.Event()
        # A daemon: an interrupted host must end even if its board does not answer.
        threading.Thread(
            target=_keep_renewed, args=(agent, device, renew_after_s, ended), name=f"lease-{device.name}", daemon=True
        ).start()
        try:
            yield
        except KeyboardInterrupt:
            ending.begin()
            raise
        finally:
            ended.set()
            token, held.token = held.token, 0
            if kept is None:
                with suppress(DeviceError):  # the lease ends by itself
                    agent.lease(protocol.LeaseRequest(do="release", token=token))


def take_lease(device: Device, *, purpose: str, wait_s: float = WAIT_S, on_event: OnEvent = ignore) -> int:
    """Take a board's lease for several sessions, and return its token: see `use_lease`.

    It ends by itself 120 s after its last renewal (`renew_lease`, or a session that uses it), or by `give_back`.

    Raises:
        BoardBusy: somebody else still held it after `wait_s`.
        DeviceError: the board can't be reached, or can't run the agent.
    """
    with connect_agent(device) as agent:
        return _acquire(
            agent, purpose=purpose, wait_s=wait_s, advice="try `wait_s=1800`", ttl_ns=TTL_NS, on_event=on_event
        )


def renew_lease(device: Device, token: int) -> None:
    """Renew a lease that `take_lease` took.

    Raises:
        LeaseLost: it is somebody else's by now.
        DeviceError: the board can't be reached.
    """
    with connect_agent(device) as agent:
        agent.lease(protocol.LeaseRequest(do="renew", token=token))


def give_back(device: Device, token: int) -> None:
    """Give back a lease that `take_lease` took; nothing happens if the board has another owner by now.

    Raises:
        DeviceError: the board can't be reached; the lease then ends by itself.
    """
    with connect_agent(device) as agent:
        agent.lease(protocol.LeaseRequest(do="release", token=token))


def _keep_renewed(agent: RemoteAgent, device: Device, after_s: float, ended: threading.Event) -> None:
    """Renew a lease until `ended`, or until it is lost, over a connection of its own.

    The agent's connection belongs to another thread, which may be waiting on it, or opening it again. Ours is opened
    when it is first needed, and again where it breaks. While a run is measured its follower renews the lease, and
    nothing is done here.
    """
    held = agent.held_lease
    transport = open_transport(device)
    clone = agent.clone_for_thread(transport)
    try:
        while not ended.wait(max(0.0, held.renewed_s + after_s - time.monotonic())):
            if time.monotonic() < held.renewed_s + after_s:
                continue  # another command renewed it meanwhile
            try:
                transport.connect()
                clone.keep_lease()
            except LeaseLost:
                return  # the agent's next command says so
            except DeviceError:
                transport.close()
                if ended.wait(min(_RENEW_AGAIN_S, after_s)):
                    return
    finally:
        with suppress(DeviceError):
            transport.close()


def own_name() -> str:
    """Return the name that others see as the owner of our lease: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return printable(f"{user}@{socket.gethostname()}", 200)


class _Queued(BoardBusy):
    """Somebody else holds the board; we wait in its queue."""

    def __init__(self, agent: RemoteAgent, reply: LeaseReply, advice: str) -> None:
        self.text = f"{agent.name}: {reply.holder or 'somebody else'} has the board"
        self.text += f", {reply.ahead} before us" if reply.ahead else ""
        self.poll_s = reply.poll_s
        release = f"edgebench device release {agent.name} --force --reason '...'"
        super().__init__(self.text, hint=f"{advice}, or, if that session no longer runs: {release}")


def _acquire(agent: RemoteAgent, *, purpose: str, wait_s: float, advice: str, ttl_ns: int, on_event: OnEvent) -> int:
    """Wait for the lease and return the number of the grant."""
    job = next((f", job {os.environ[name]}" for name in _CI_JOBS if os.environ.get(name)), "")
    request = protocol.LeaseRequest(
        do="acquire",
        ticket=secrets.token_hex(16),
        who=own_name(),
        purpose=printable(purpose + job, 400),
        ttl_ns=ttl_ns,
    )
    deadline_s = time.monotonic() + wait_s
    announced = ""

    def ask() -> int:
        reply = agent.lease(request)
        if not reply.is_granted:
            raise _Queued(agent, reply, advice)
        if reply.note is not None:
            on_event(LogMessage(f"{agent.name}: {reply.note}"))
        return reply.token

    def wait(_: int, queued: Exception) -> None:
        nonlocal announced
        assert isinstance(queued, _Queued)  # noqa: S101 - the only error that is tried again
        if queued.text != announced:
            announced = queued.text
            left_s = max(0.0, deadline_s - time.monotonic())
            on_event(LogMessage(f"{announced}; waiting for at most {duration_text(left_s)}"))
        wait_for_board(queued.poll_s, until_s=deadline_s, on_event=on_event)

    try:
        return Retry(_Queued, limit_s=wait_s, before_retry=wait).call(ask)
    except BaseException:
        with suppress(DeviceError):  # a ticket that nobody asks for is forgotten
            agent.lease(protocol.LeaseRequest(do="leave", ticket=request.ticket))
        raise
