"""The board's lease, the host's half: one user at a time, in the order in which they came."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from edgebench.board.agent import RemoteAgent
from edgebench.board.busy_retry import NO_RETRY, BusyRetry
from edgebench.board.transport import open_transport
from edgebench.device import Device
from edgebench.errors import AgentError, BoardBusy, DeviceError, LeaseLost
from edgebench.events import LogMessage, OnEvent, Waiting, ignore
from edgebench.request import WAIT_S
from edgebench.text import printable
from edgebench_agent import protocol

#: Without renewal for so long, the board is free: a killed host holds it no longer.
TTL_NS = 120 * 1_000_000_000
#: What nothing else has renewed for so long is renewed in a thread of its own; and again so soon where that failed.
_RENEW_AFTER_S, _AGAIN_S = 20.0, 5.0
#: What a CI system calls the job that runs here, for those who find the board taken.
_CI_JOBS = ("GITHUB_RUN_ID", "CI_JOB_ID", "BUILD_TAG")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who has a board, as its agent told it. `since` is the board's clock."""

    who: str
    purpose: str
    since: str
    left_s: float

    def __str__(self) -> str:
        return f"{self.who} ({self.purpose})"


@contextmanager
def open_leased_agent(
    device: Device,
    *,
    purpose: str,
    python: str | None = None,
    wait_s: float = WAIT_S,
    on_event: OnEvent = ignore,
) -> Iterator[RemoteAgent]:
    """Give the agent of a device that is ours alone until the end; `python` runs it instead of the device's own.

    Raises:
        BoardBusy: somebody else still had it after `wait_s`.
        DeviceError: the board can't be reached, or can't run the agent.
    """
    with open_transport(device) as transport:
        agent = RemoteAgent(transport, name=device.name, python=python or device.python)
        agent.install()
        with board_lease(agent, device, purpose=purpose, wait_s=wait_s, on_event=on_event):
            yield agent


@contextmanager
def board_lease(
    agent: RemoteAgent,
    device: Device,
    *,
    purpose: str,
    wait_s: float = WAIT_S,
    advice: str = "try --wait 30m",
    renew_after_s: float = _RENEW_AFTER_S,
    ttl_ns: int = TTL_NS,
    on_event: OnEvent = ignore,
) -> Iterator[None]:
    """Hold the board's lease: what the agent is asked to run meanwhile runs under it.

    It is renewed until the end, whatever this machine does meanwhile: `renew_after_s` after anything else did that.

    Raises:
        BoardBusy: somebody else still had it after `wait_s`; the message ends with `advice`.
        LeaseLost: from whatever is asked of the agent once the lease is lost.
    """
    agent.patience = BusyRetry(
        tell=lambda text: on_event(LogMessage(text)), still_waiting=lambda left_s: on_event(Waiting(left_s))
    )
    agent.lease_token = _acquire(agent, purpose=purpose, wait_s=wait_s, advice=advice, ttl_ns=ttl_ns, on_event=on_event)
    agent.renewed_s = time.monotonic()
    ended = threading.Event()
    # A daemon: a host that is interrupted while its board does not answer ends all the same.
    threading.Thread(
        target=_keep_renewed, args=(agent, device, renew_after_s, ended), name=f"lease-{device.name}", daemon=True
    ).start()
    try:
        yield
    finally:
        ended.set()
        token, agent.lease_token, agent.patience = agent.lease_token, 0, NO_RETRY
        with suppress(DeviceError):  # it ends by itself
            agent.lease(protocol.LeaseRequest(do="release", token=token))


def _keep_renewed(agent: RemoteAgent, device: Device, after_s: float, ended: threading.Event) -> None:
    """Renew a lease until `ended`, or until it is lost, by a way to the board of our own.

    The agent's own way is its thread's, which may be waiting on it, or opening it again. Ours is opened when it is
    first needed, and again where it breaks. While a run is measured its follower renews, and nothing is done here.
    """
    transport = open_transport(device)
    beside = agent.clone_for_thread(transport)
    try:
        while not ended.wait(max(0.0, agent.renewed_s + after_s - time.monotonic())):
            if time.monotonic() < agent.renewed_s + after_s:
                continue  # something else did it meanwhile
            try:
                transport.connect()
                beside.keep_lease()
                agent.renewed_s = max(agent.renewed_s, beside.renewed_s)
            except LeaseLost:
                return  # whatever is asked next of the agent says so
            except DeviceError:
                transport.close()
                if ended.wait(min(_AGAIN_S, after_s)):
                    return
    finally:
        with suppress(DeviceError):
            transport.close()


def own_name() -> str:
    """Return what others see of us: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return printable(f"{user}@{socket.gethostname()}", 200)


def holder_of(reply: Mapping[str, Any]) -> Holder | None:
    """Return who holds the board by the agent's answer; None: nobody."""
    return _holder(reply.get("holder"))


def _holder(told: Any) -> Holder | None:
    if not isinstance(told, dict):
        return None
    words = {name: printable(str(told.get(name, "not told")), 400) for name in ("who", "purpose", "since")}
    left = told.get("left_ns")
    return Holder(**words, left_s=left / 1e9 if type(left) is int else 0.0)


def _acquire(agent: RemoteAgent, *, purpose: str, wait_s: float, advice: str, ttl_ns: int, on_event: OnEvent) -> int:
    job = next((f", job {os.environ[name]}" for name in _CI_JOBS if os.environ.get(name)), "")
    request = protocol.LeaseRequest(
        do="acquire",
        ticket=secrets.token_hex(16),
        who=own_name(),
        purpose=printable(purpose + job, 400),
        ttl_ns=ttl_ns,
    )
    deadline = time.monotonic() + wait_s
    told: str | None = None
    try:
        while True:
            reply = agent.lease(request)
            if reply.get("granted") is True:
                if type(reply.get("note")) is str:
                    on_event(LogMessage(f"{agent.name}: {printable(reply['note'], 1000)}"))
                return _token(agent, reply)
            text = _waiting(agent, reply)
            if time.monotonic() >= deadline:
                raise BoardBusy(
                    f"{text}; {advice}, or, if that is nobody's any more: "
                    f"edgebench device release {agent.name} --force --reason '...'"
                )
            if text != told:
                on_event(
                    LogMessage(f"{text}; waiting for at most {max(0, deadline - time.monotonic()) / 60:.0f} minutes")
                )
                told = text
            again_ns = reply.get("ask_again_ns")
            pause_s = again_ns / 1e9 if type(again_ns) is int and 0 < again_ns < 10e9 else 2.0
            agent.patience.wait(pause_s, until_s=deadline)
    except BaseException:
        with suppress(DeviceError):  # the ticket is forgotten by itself
            agent.lease(protocol.LeaseRequest(do="leave", ticket=request.ticket))
        raise


def _token(agent: RemoteAgent, reply: Mapping[str, Any]) -> int:
    token = reply.get("token")
    if type(token) is not int or not 0 < token <= protocol.MAX_INT:
        raise AgentError(f"{agent.name}: the board's answer about its lease is not valid")
    return token


def _waiting(agent: RemoteAgent, reply: Mapping[str, Any]) -> str:
    holder, ahead = holder_of(reply), reply.get("ahead")
    before = f", {ahead} before us" if type(ahead) is int and ahead else ""
    return f"{agent.name}: {holder or 'somebody else'} has the board{before}"
