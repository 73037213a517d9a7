"""A board made ready for what a request measures, and for no more: `profile --setup`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgebench.board.agent import RemoteAgent
from edgebench.board.transport import open_transport
from edgebench.device import Device
from edgebench.errors import BoardBusy, BoardError, LeaseLost
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.measure.prepare import TFLITE_RUNTIMES
from edgebench.provision.already_served import find_broken, was_kept
from edgebench.provision.checkup import Finding, State
from edgebench.provision.plan import SetupPlan
from edgebench.provision.setup import require_use, set_up
from edgebench.request import Request


def set_up_for(request: Request, on_event: OnEvent = ignore) -> None:
    """Make a request's board ready for what it measures, and for no more.

    What is served there already is taken as it is, and needs no package index. Of TFLite's runtimes the first that fits
    the board is taken, unless the request names one.

    Raises:
        EdgebenchError: as `set_up`; or a runtime that is needed does not work there.
    """
    require_use(request.device)
    formats = {format.runtime for format in request.formats or (request.device.profile.default_format,)}
    of_files = {".onnx": {"onnxruntime"}, ".tflite": {"tflite"}}
    kinds = {kind for model in request.models for kind in of_files.get(Path(model).suffix, formats)}
    for kind in sorted(kinds):
        of_tflite = (request.runtime,) if request.runtime is not None else TFLITE_RUNTIMES
        _set_up_one_of(request, of_tflite if kind == "tflite" else (kind,), on_event)


def _set_up_one_of(request: Request, runtimes: Sequence[str], on_event: OnEvent) -> None:
    """Make sure that a board has the first of some runtimes that works there."""
    device = request.device
    with open_transport(device) as transport:
        agent = RemoteAgent(transport, name=device.name, python=device.python)
        agent.install()
        used = [name for name in runtimes if name in agent.served][:1]  # as `python_for` picks it
        broken = find_broken(agent, used)
        if used and not broken:
            return
        if used and agent.served[used[0]].own:
            # It is not replaced without being asked.
            raise _as_error(device, was_kept(agent, device, used[0], broken[used[0]]))
    order = list(dict.fromkeys([*used, *runtimes]))
    for name in order:
        try:
            _set_up_alone(request, name, on_event)
            return
        except (BoardBusy, LeaseLost):
            raise
        except BoardError as error:
            if name == order[-1]:
                raise
            on_event(LogMessage(str(error)))


def _set_up_alone(request: Request, runtime: str, on_event: OnEvent) -> None:
    """Make sure that a board has one runtime; BoardError: it can't be had, or does not work there."""
    device = request.device
    findings = set_up(device, SetupPlan(runtimes=(runtime,), wait_s=request.wait_s), on_event).findings
    lacking = next((finding for finding in findings if finding.state is State.FAIL), None)
    if lacking is not None:
        raise _as_error(device, lacking)


def _as_error(device: Device, lacking: Finding) -> BoardError:
    return BoardError(f"{device.name}: {lacking.what}: {lacking.seen}; try: {lacking.fix}")
