"""Removing what a board no longer needs: old models, inputs, journals and agents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

from edgebench.board.agent import RemoteAgent
from edgebench.board.lease import board_lease
from edgebench.board.transport import open_transport
from edgebench.device import Device
from edgebench.errors import AgentError, BoardError


@dataclass(frozen=True, slots=True)
class Removed:
    """One thing that went; `name` is its place below ~/.edgebench."""

    name: str
    bytes: int
    age_s: int  # since it was last used


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """What went from a device (or would go); `removed` lists at most some thousands of it."""

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
    """Remove what was last used longer ago than `older_than_s`, then the oldest until `keep_bytes` are left.

    What is in use stays. Without either limit nothing goes.

    Raises:
        BoardBusy: somebody has the board, whose next run may need what would go.
        DeviceError: the board can't be reached, or its agent doesn't answer as it should.
    """
    with open_transport(device) as transport:
        agent = RemoteAgent(transport, name=device.name, python=device.python)
        agent.install()
        with _held(agent, device) if not dry_run else nullcontext():
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
def _held(agent: RemoteAgent, device: Device) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            advice = "try again when it is given back"
            stack.enter_context(board_lease(agent, device, purpose="device clean", wait_s=0, advice=advice))
        except BoardError as error:
            # A full disk takes no new lease, and cleaning is what mends it. The agent still refuses to clean where
            # somebody else has the board.
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
