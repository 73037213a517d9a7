"""tune(): the fastest valid setting of a board for one model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgebench.analysis import Tuned, tuned
from edgebench.artifact import Format
from edgebench.device import Device, find_device
from edgebench.errors import NotValid
from edgebench.events import OnEvent, ignore
from edgebench.measure.profiling import profile
from edgebench.request import DEFAULT_MODEL, PARAMETERS
from edgebench.stats import MARGIN
from edgebench.store import Store
from edgebench.workload import RunPlan, Workload


def tune(
    model: str | Path = DEFAULT_MODEL,
    parameters: str | Sequence[str] = PARAMETERS,
    *,
    device: str | Device = "local",
    format: str | Format | None = None,
    workload: Workload | None = None,
    plan: RunPlan | None = None,
    runtime: str | None = None,
    margin: float = MARGIN,
    budget_s: float | None = None,
    overhead: bool = True,
    cold: bool = True,
    store: Store | str | Path | None = None,
    on_event: OnEvent = ignore,
) -> Tuned:
    """Measure one model under each setting of a board, interleaved; return the fastest valid setting.

    That setting and the board as found are then measured again: only these runs enter the gain (`Tuned.vs_baseline`).

    Args:
        model, device, format, workload, plan, runtime, overhead, cold, store, on_event: as for `profile`.
        parameters: what to vary. threads: their number and the cores they keep to; power: the clock governor and the
            power mode.
        margin: settings within 1 ± margin of the fastest are equivalent; of these, the one with the fewest threads is
            best.
        budget_s: longest duration, seconds.

    Raises:
        NotValid: no setting could be measured.
        EdgebenchError: as `profile`.
    """
    board = find_device(device) if isinstance(device, str) else device
    measurements = profile(
        model,
        format=format,
        workload=workload,
        tune=parameters,
        device=board,
        plan=plan,
        runtime=runtime,
        margin=margin,
        budget_s=budget_s,
        overhead=overhead,
        cold=cold,
        store=store,
        on_event=on_event,
    )
    found = tuned(measurements, margin=margin)
    if found is None:
        raise NotValid(f"{board.name}: no setting could be measured")
    return found
