"""In which format a board's runtime computes what was requested: tflite-runtime gets another tflite-int8."""

from __future__ import annotations

from collections.abc import Sequence

from edgebench.artifact import Format
from edgebench.board.agent import connect_agent
from edgebench.board.busy_retry import BusyRetry
from edgebench.board.lease import board_lease
from edgebench.device import Device
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.request import WAIT_S
from edgebench.runtimes import TFLITE_RUNTIMES, format_for, formats_given_for


def formats_on(
    device: Device,
    formats: Sequence[Format],
    *,
    runtime: str | None = None,
    wait_s: float = WAIT_S,
    on_event: OnEvent = ignore,
) -> tuple[Format, ...]:
    """Return the formats to export for a device, one for each requested format.

    The device is contacted only if that depends on which runtime of .tflite files it has.

    Args:
        runtime: the one that is chosen for .tflite files; None: whichever the device has.
        wait_s: longest wait for a board that somebody else uses, seconds.

    Raises:
        BoardBusy: somebody else still had the board after `wait_s`.
        DeviceError: the board can't be reached, or can't run the agent.
    """
    if all(len(formats_given_for(format)) == 1 for format in formats):
        return tuple(formats)
    library = runtime or _tflite_library(device, wait_s=wait_s, on_event=on_event)
    found = tuple(format_for(library, format) if library is not None else format for format in formats)
    for requested, chosen in zip(formats, found, strict=True):
        if requested is not chosen:
            on_event(LogMessage(f"{device.name}: {library} can't compute {requested}: {chosen} is used instead"))
    return found


def _tflite_library(device: Device, *, wait_s: float, on_event: OnEvent) -> str | None:
    """Return which of TFLITE_RUNTIMES a device has; None: none that works, which the preflight explains."""
    with connect_agent(device, busy_retry=BusyRetry(on_event=on_event)) as agent:
        installed = next((name for name in TFLITE_RUNTIMES if name in agent.installed_runtimes), None)
        if installed is not None:
            return installed
        # Importing a runtime would disturb what somebody else measures.
        with board_lease(agent, device, purpose="finding the TFLite runtime", wait_s=wait_s, on_event=on_event):
            return agent.probe(["tflite"]).runtimes["tflite"].library
