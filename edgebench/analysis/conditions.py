"""Under which conditions each inference ran: the last reading of each sensor before it began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from edgebench.run import Run, Series
from edgebench.sensors import TEMPERATURE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Readings = np.ma.MaskedArray[tuple[int], np.dtype[np.int64]]

FREQUENCY = "frequency_khz/"
THROTTLED = "throttled"
OTHERS_CPU = "others_cpu_millicores"
STEAL = "steal_cpu_millicores"
QUOTA = "quota_cpu_millicores"
WAITING = "waiting_cpu_permille"
#: Parts of the names that kernels give to the thermal zone of a processor.
CPU_ZONES = ("cpu", "soc", "pkg", "core", "k10temp")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """For each timed inference of a run the last reading at or before its start; masked where there was none.

    Arrays of shape (inferences,), int64. frequency_khz: of the fastest core. temperature_mc: of the hottest CPU zone.
    throttled: the Raspberry Pi's bits. others_cpu_millicores: of the time up to the reading. is_excluded: shape
    (inferences,), bool, whether the inference does not count (see Run).
    """

    frequency_khz: Readings
    temperature_mc: Readings
    throttled: Readings
    others_cpu_millicores: Readings
    is_excluded: NDArray[np.bool_]


def conditions_of(run: Run) -> Conditions:
    """Join every timed inference to clock, temperature, throttle flags and the load of other processes."""
    readings, starts = run.trace.readings, run.trace.starts_ns
    clocks = {name: series for name, series in readings.items() if name.startswith(FREQUENCY)}
    return Conditions(
        frequency_khz=_last_before(starts, highest(clocks.values())),
        temperature_mc=_last_before(starts, highest(cpu_temperatures(readings).values())),
        throttled=_last_before(starts, readings.get(THROTTLED)),
        others_cpu_millicores=_last_before(starts, readings.get(OTHERS_CPU)),
        is_excluded=run.is_excluded,
    )


def cpu_temperatures(readings: Mapping[str, Value]) -> dict[str, Value]:
    """Return the readings of the processor's thermal zones, or of all zones where none is named so."""
    zones = {name: found for name, found in readings.items() if name.startswith(TEMPERATURE)}
    of_cpu = {name: found for name, found in zones.items() if any(word in name.lower() for word in CPU_ZONES)}
    return of_cpu or zones


def highest(sensors: Iterable[Series]) -> Series | None:
    """Return the highest of several sensors at each moment at which any was read; None without a reading."""
    import numpy as np

    found = [series for series in sensors if len(series.values)]
    if not found:
        return None
    times, position = np.unique(np.concatenate([series.t_ns for series in found]), return_inverse=True)
    values = np.full(len(times), np.iinfo(np.int64).min)
    np.maximum.at(values, position, np.concatenate([series.values for series in found]))
    return Series(times, values)


def _last_before(starts: NDArray[np.int64], series: Series | None) -> Readings:
    import numpy as np

    if series is None or not len(series.values):
        return np.ma.MaskedArray(np.zeros(len(starts), np.int64), mask=True)
    order = np.argsort(series.t_ns, kind="stable")
    at = np.searchsorted(series.t_ns[order], starts, side="right") - 1
    return np.ma.MaskedArray(series.values[order][np.maximum(at, 0)], mask=at < 0)
