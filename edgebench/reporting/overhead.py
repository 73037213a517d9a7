"""The overhead of edgebench, in words."""

from __future__ import annotations

from collections.abc import Iterable

from edgebench.measurement import Measurement
from edgebench.reporting.figures import rounded
from edgebench.run import Overhead
from edgebench.stats import MARGIN


def cost_lines(measurements: Iterable[Measurement]) -> list[str]:
    """Return what edgebench cost on each board, as often as that was measured."""
    costs = [(each.subject.device.name, each.overhead_us) for each in measurements]
    lines = []
    for device, overhead in costs:
        if overhead is not None:
            lines.append(f"overhead of edgebench on {device}: {cost_text(overhead)}")
            if sensors := sensors_text(overhead):
                lines.append(f"overhead of its sensors on {device}: {sensors}")
    return list(dict.fromkeys(lines))


def cost_text(overhead: Overhead) -> str:
    """Return what edgebench adds to a latency, and what its loop takes around it."""
    added = _with_interval(overhead.per_inference, overhead.per_inference_ci)
    loop = _with_interval(overhead.loop_per_inference, overhead.loop_per_inference_ci)
    return f"{added} in each latency; {loop} from one inference to the next"


def sensors_text(overhead: Overhead) -> str:
    """Return what reading the sensors does to inferences on all cores; empty where it was not measured."""
    ratio, interval = overhead.sensors_ratio, overhead.sensors_ratio_ci
    if ratio is None or interval is None:
        return ""
    low, high = interval
    if low > 1 or high < 1:
        more = "longer" if ratio > 1 else "less"
        said = f"inferences on all cores take {100 * abs(ratio - 1):.1f} % {more} while they are read"
    elif low > 1 - MARGIN and high < 1 + MARGIN:
        said = "no effect seen"
    else:
        said = "not certain, because the runs differ too much"
    return f"{said}: ratio {ratio:.3f} (95 % {low:.3f} to {high:.3f})"


def _with_interval(value_us: float, interval: tuple[float, float] | None) -> str:
    within = f" (95 % {rounded(interval[0])} to {rounded(interval[1])})" if interval is not None else ""
    return f"{rounded(value_us)} µs{within}"
