"""Energy of a run, from the power of the board's rails while inferences were timed.

Energy is the integral of power, by the trapezoid rule over a rail's readings. A table says which rails together are a
total: a board's total is never added to its own parts, and rails that are in no row are not added up at all.

A sensor may average: a reading is then the mean of a time before it. So the readings of that time after the first
inference's start are left out, for they are partly of what came before; the rest stands for the whole run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgebench.figures import Energy
from edgebench.run import Run, Series
from edgebench.sensors import POWER

LEAST_READINGS = 10
#: A run has to be so many times as long as its power sensor averages: a quarter of it is left out then.
_LEAST_AVERAGES = 4
_NO_TOTAL = "what the board's power sensors cover together is not known"
_UJ = 1e6  # microjoules in a joule
_NS = 1e9


@dataclass(frozen=True, slots=True)
class _Total:
    """Rails that together are something: all that match `pattern`, if the `needed` ones are among them."""

    pattern: str
    covers: str
    needed: tuple[str, ...] = ()


#: The first row that a board has is its energy. VDD_IN: https://forums.developer.nvidia.com/t/200883; the AGX Xavier's
#: rails add up: https://forums.developer.nvidia.com/t/81016. Whether all of an AGX Orin's do is not known to us.
_TOTALS = (
    _Total(r"ina3221/VDD_IN", "the Jetson module, without the carrier board"),
    _Total(r"ina3221/POM_5V_IN", "the Jetson module, without the carrier board"),
    _Total(
        r"ina3221/(GPU|CPU|SOC|CV|VDDRQ|SYS5V)",
        "the rails of the Jetson AGX Xavier's module",
        ("ina3221/GPU", "ina3221/CPU", "ina3221/SOC", "ina3221/CV", "ina3221/VDDRQ", "ina3221/SYS5V"),
    ),
    _Total(r"pmic/.+", "the rails of the Raspberry Pi 5's power chip, not all of the board"),
    _Total(r"battery/.+", "the whole machine, from its battery"),
    _Total(r"hwmon/ina2\d\d-[^/]+", "what the power monitor is wired to"),
    _Total(r"rapl/psys", "the platform, as the processor estimates it"),
    _Total(r"rapl/package-\d+", "the processor alone, as it estimates it"),
)


def rails_of(names: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    """Return the rails that are added up, and what they cover together; None where there is no such total.

    `names`: of sensors, as in a trace.
    """
    rails = sorted(name.removeprefix(POWER) for name in names if name.startswith(POWER))
    for total in _TOTALS:
        found = tuple(rail for rail in rails if re.fullmatch(total.pattern, rail))
        if found and set(total.needed) <= set(found):
            return found, total.covers
    return None


def energy_of(run: Run) -> Energy | str:
    """Return the energy of a run's timed inferences, or why there is none.

    Pass `complete_passes(run)` where inputs differ. `per_inference` is joules per input, as throughput counts inputs;
    it includes the board's idle power, `per_inference_net` does not.
    """
    found = rails_of(list(run.trace.readings))
    if found is None:
        return _NO_TOTAL if has_power(run) else "the board has no power sensor that this user may read"
    rails, covers = found
    if not len(run.latencies_ns) or not run.inferences:
        return "nothing was timed"
    began = int(run.trace.starts_ns[0])
    ended = int(run.trace.starts_ns[-1]) + int(run.trace.latencies_ns[-1])
    averaging_ns = averaging_time_ns(rails, run.facts.board.power_averaging_ms if run.facts.board is not None else None)
    if averaging_ns is not None and ended - began < _LEAST_AVERAGES * averaging_ns:
        needed_s = _LEAST_AVERAGES * averaging_ns / _NS
        return (
            f"the power sensor averages over {averaging_ns / _NS:.2g} s, so a run must take {needed_s:.2g} s or more; "
            "allow longer runs"
        )
    from_ns = began + (averaging_ns or 0)
    joules = 0.0
    for rail in rails:
        part = _joules(run.trace.readings[POWER + rail], from_ns, ended)
        if part is None:
            return f"fewer than {LEAST_READINGS} readings of {rail} while timed; allow longer runs"
        joules += part * (ended - began) / (ended - from_ns)
    idle_w = _idle_w(run.facts.idle_power_uw or {}, rails)
    seconds = (ended - began) / _NS
    return Energy(
        per_inference=joules / run.inferences,
        per_inference_net=None if idle_w is None else (joules - idle_w * seconds) / run.inferences,
        mean_w=joules / seconds,
        idle_w=idle_w,
        rails=rails,
        covers=covers,
        averaging_s=averaging_ns / _NS if averaging_ns is not None else None,
    )


def averaging_time_ns(rails: Sequence[str], averaging_ms: Mapping[str, int] | None) -> int | None:
    """Return over what time the slowest of these rails' sensors averages, nanoseconds; None: unknown of one of them.

    `averaging_ms`: by what the names of rails begin with, as the board reports it. RAPL counts energy and averages
    over nothing.
    """
    found = []
    for rail in rails:
        of_rail = [0] if rail.startswith("rapl/") else []
        of_rail += [value for name, value in (averaging_ms or {}).items() if rail.startswith((name + "/", name + "-"))]
        if not of_rail:
            return None
        found.append(max(of_rail))
    return max(found, default=0) * 1_000_000


def has_power(run: Run) -> bool:
    """Whether any power was read in a run, of whatever."""
    return any(name.startswith(POWER) for name in run.trace.readings)


def energy_per_inference_j(run: Run) -> float | None:
    """Return the joules of one inference of a run, gross; None where they were not measured."""
    energy = energy_of(run)
    return None if isinstance(energy, str) else energy.per_inference


def idle_power_uw(readings: Mapping[str, Series], began_ns: int, ended_ns: int) -> dict[str, float]:
    """Return the mean power of each rail between two moments, microwatts; without those with too few readings."""
    found = {}
    for name, series in readings.items():
        joules = _joules(series, began_ns, ended_ns) if name.startswith(POWER) else None
        if joules is not None:
            found[name.removeprefix(POWER)] = joules * _UJ / ((ended_ns - began_ns) / _NS)
    return found


def mean_energy(energies: Sequence[Energy]) -> Energy | None:
    """Return the mean over runs of the same rails; None for no run, or where the rails changed between them."""
    if not energies or len({each.rails for each in energies}) > 1:
        return None
    first, count = energies[0], len(energies)

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / count if len(known) == count else None

    return Energy(
        per_inference=sum(each.per_inference for each in energies) / count,
        per_inference_net=mean([each.per_inference_net for each in energies]),
        mean_w=sum(each.mean_w for each in energies) / count,
        idle_w=mean([each.idle_w for each in energies]),
        rails=first.rails,
        covers=first.covers,
        runs=count,
        averaging_s=mean([each.averaging_s for each in energies]),
    )


def _joules(series: Series, began_ns: int, ended_ns: int) -> float | None:
    """Return the integral of a rail's power, microwatts, from one moment to another.

    Only readings in between count: those before and after are of another load. The first and the last hold to the edge.
    """
    import numpy as np

    within = (series.t_ns >= began_ns) & (series.t_ns <= ended_ns)
    if ended_ns <= began_ns or np.count_nonzero(within) < LEAST_READINGS:
        return None
    at, power = series.t_ns[within], series.values[within]
    times = np.concatenate([[began_ns], at, [ended_ns]]).astype(np.float64) - began_ns
    values = np.concatenate([power[:1], power, power[-1:]]).astype(np.float64)
    return float(np.sum(np.diff(times) * (values[1:] + values[:-1]) / 2)) / _NS / _UJ


def _idle_w(idle_power_uw: Mapping[str, float], rails: Sequence[str]) -> float | None:
    known = [idle_power_uw[rail] for rail in rails if rail in idle_power_uw]
    return sum(known) / _UJ if len(known) == len(rails) else None
