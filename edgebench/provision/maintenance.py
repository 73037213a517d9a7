"""Keeping a board in order: removing what it no longer needs, removing edgebench, and taking its lease by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

from edgebench.board import TRY_LATER, Holder, RemoteAgent, board_lease, connect_agent, own_name
from edgebench.device import Device
from edgebench.errors import AgentError, BoardBusy, BoardError, UsageError
from edgebench.events import OnEvent, ignore
from edgebench.request import WAIT_S
from edgebench.text import printable
from edgebench_agent import protocol

# --- cleaning ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Removed:
    """One thing that was removed; `name` is its path below ~/.edgebench."""

    name: str
    bytes: int
    age_s: int  # since it was last used


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """What was removed from a device (or would be); `removed` lists at most some thousands of it."""

    device: str
    dry_run: bool
    removed: tuple[Removed, ...]
    removed_count: int
    removed_bytes: int
    kept_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `device clean --json` writes them."""
        return asdict(self)


def clean_device(
    device: Device, *, older_than_s: int | None = None, keep_bytes: int | None = None, dry_run: bool = False
) -> Cleanup:
    """Remove old models, inputs, journals and agents from a board; what is in use stays.

    Args:
        older_than_s: remove what was last used longer ago.
        keep_bytes: then remove the oldest until so much is left. Without either limit nothing is removed.
        dry_run: only return what would be removed.

    Raises:
        BoardBusy: somebody holds the board, whose next run may need what would be removed.
        DeviceError: the board can't be reached, or its agent's answer is not valid.
    """
    with connect_agent(device) as agent, _lease_if_possible(agent, device) if not dry_run else nullcontext():
        reply = agent.clean(older_than_s=older_than_s, keep_bytes=keep_bytes, dry_run=dry_run)
    try:
        return Cleanup(
            device=device.name,
            dry_run=dry_run,
            removed=tuple(_removed(entry) for entry in reply["removed"]),
            removed_count=_count(reply["removed_count"]),
            removed_bytes=_count(reply["removed_bytes"]),
            kept_bytes=_count(reply["kept_bytes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AgentError(f"{device.name}: the board's answer to clean is not valid") from error


@contextmanager
def _lease_if_possible(agent: RemoteAgent, device: Device) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(board_lease(agent, device, purpose="device clean", wait_s=0, advice=TRY_LATER))
        except BoardError as error:
            # A full disk takes no new lease, and cleaning is the remedy. The agent still refuses to clean where
            # somebody else holds the board.
            if error.kind != "out_of_disk":
                raise
        yield


def _removed(entry: dict[str, Any]) -> Removed:
    name = entry["name"]
    if type(name) is not str or not name.isprintable() or len(name) > 1024:
        raise ValueError(name)
    return Removed(name, _count(entry["bytes"]), _count(entry["age_s"]))


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(value)
    return value


# --- removing edgebench -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What was removed from a board: number of things and bytes by kind; `left`: files that are not edgebench's."""

    device: str
    removed: Mapping[str, tuple[int, int]]
    left: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `device setup --remove --json` writes them."""
        removed = {kind: {"count": count, "bytes": size} for kind, (count, size) in self.removed.items()}
        return {"device": self.device, "removed": removed, "left": list(self.left)}


def remove_setup(device: Device, *, wait_s: float = WAIT_S, on_event: OnEvent = ignore) -> Removal:
    """Remove everything of edgebench from a board: environments, models, journals, the agent itself.

    Raises:
        BoardBusy: a run is measured there, or somebody else still held the board after `wait_s`.
        BoardError: something belongs to another user.
        ConnectionFailed, ConnectionLost.
    """
    with (
        connect_agent(device) as agent,
        board_lease(agent, device, purpose="device setup --remove", wait_s=wait_s, on_event=on_event),
    ):
        reply = agent.remove()
    try:
        removed = {
            printable(kind): (_count(gone["count"]), _count(gone["bytes"])) for kind, gone in reply["removed"].items()
        }
        left = tuple(printable(name) for name in reply["left"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AgentError(f"{device.name}: the board's answer to the removal is not valid") from error
    return Removal(device=device.name, removed=removed, left=left)


# --- the lease, by hand -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenLease:
    """Who held a board's lease when we looked, with the number of the grant, and who waited for it."""

    holder: Holder | None
    token: int  # 0: nobody held it
    waiting: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        """Whether a session of this user on this machine held it."""
        return self.holder is not None and self.holder.owner == own_name()


def see_lease(device: Device) -> SeenLease:
    """Look who holds a device's lease.

    Raises:
        DeviceError: the board can't be reached, or its agent's answer is not valid.
    """
    with connect_agent(device) as agent:
        reply = agent.lease(protocol.LeaseRequest(do="show"))
    return SeenLease(holder=reply.holder, token=reply.token, waiting=reply.waiting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """From whom a device's lease was taken, None: nobody held it; and who waits for the device, the next one first."""

    device: str
    released: Holder | None
    waiting: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `device release --json` writes them."""
        released = self.released.to_json() if self.released is not None else None
        return {"device": self.device, "released": released, "waiting": list(self.waiting)}


def release_device(device: Device, *, force: bool = False, reason: str | None = None) -> Release:
    """Give up the lease of a device. A lease ends by itself two minutes after its holder has gone.

    Args:
        force: also end the lease, and the measurement, of another user.
        reason: is kept on the board and shown to the holder; required to end another user's lease.

    Raises:
        BoardBusy: another user holds the device, and `force` is not set; or the holder has changed meanwhile.
        UsageError: another user's lease would be ended without a reason.
        DeviceError: the board can't be reached, or its agent's answer is not valid.
    """
    seen = see_lease(device)
    if seen.holder is not None and not seen.is_ours:
        if not force:
            raise BoardBusy(
                f"{device.name}: {seen.holder} has the board since {seen.holder.since}",
                hint=f"to end that: edgebench device release {device.name} --force --reason '...'",
            )
        if not reason:
            raise UsageError("`force` takes a `reason`, which is shown to whoever has the board")
    released = release_seen(device, seen, reason=reason or "released by its own user")
    return Release(device=device.name, released=released, waiting=seen.waiting)


def release_seen(device: Device, seen: SeenLease, *, reason: str) -> Holder | None:
    """Take a device's lease from the holder who was seen, and from nobody else; return who that was, None: nobody.

    `reason` is kept on the board and shown to the holder.

    Raises:
        BoardBusy: somebody else holds it by now; nothing was taken away.
        DeviceError: the board can't be reached, or its agent's answer is not valid.
    """
    if not seen.token:
        return None
    request = protocol.LeaseRequest(do="force", who=own_name(), reason=printable(reason, 400), token=seen.token)
    with connect_agent(device) as agent:
        return agent.lease(request).released
