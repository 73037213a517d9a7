"""The history of a board: what earlier sessions of a file say of a later session.

It speaks only under conditions that were simulated (see `edgebench.stats.session_history`), of a board that is surely
one and the same, and no virtual machine: there, a neighbour that comes to stay changes every later session.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from edgebench.analysis.comparability import differences, other_unit, reports_the_same
from edgebench.analysis.quantities import LATENCY, Quantity, run_figures
from edgebench.facts import DeviceFacts
from edgebench.measurement import Measurement
from edgebench.stats import HistoryEstimate, estimate_by_history, history_problem, pooled_deviation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Two boards of one name differ in one of these.
_ONE_BOARD = ("model", "cpu", "cores", "arch")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHistory:
    """What a store knows of a board's sessions, for one comparison.

    sessions: the baseline's file in sessions of the same conditions, the candidate's session left out, oldest first.
    silent: why they may not speak, whatever they measured; None: they may, if their figures are steady enough.
    deviation: sd of the sessions' latency on the log scale, over all files of the board, and of how many sessions.
    """

    sessions: tuple[Measurement, ...] = ()
    silent: str | None = None
    deviation: tuple[float, int] | None = None


def session_history(
    baseline: Measurement, candidate: Measurement, stored: Iterable[Measurement], *, unreadable: int = 0
) -> SessionHistory:
    """Return the history that a comparison of two sessions may look at.

    Args:
        stored: measurements of this board's name, of any file; of other names are left out.
        unreadable: how many stored runs could not be read: then the history has gaps.
    """
    name = baseline.subject.device.name
    here = [each for each in stored if each.subject.device.name == name and each.valid]
    of_file = [each for each in here if _is_of_file(each, baseline)]
    alike = [each for each in of_file if each.id == baseline.id or reports_the_same(baseline, each)]
    sessions = {each.subject.session: each for each in alike if each.subject.session != candidate.subject.session}
    ordered = tuple(sorted(sessions.values(), key=began_s))
    silent = f"{unreadable} stored runs can't be read, so it may have gaps" if unreadable else None
    return SessionHistory(
        sessions=ordered,
        silent=silent or _not_one_board([baseline, candidate, *of_file]) or _not_real([candidate, *ordered]),
        deviation=_deviation(here),
    )


def estimate_from_history(
    quantity: Quantity, history: SessionHistory, candidate: Measurement, *, margin: float, level: float
) -> HistoryEstimate | str:
    """Return the candidate's figure against those of the history's sessions, or why that can't be said.

    Args:
        margin: sessions must differ by less.
        level: two-sided, of this one comparison.
    """
    if history.silent is not None:
        return history.silent
    sides = [*history.sessions, candidate]
    kinds = {quantity.kind(each) for each in sides}
    figures = [_log_figure(quantity, each) for each in sides]
    logs = [figure for figure in figures[:-1] if figure is not None]
    last = figures[-1]
    if len(kinds) != 1 or None in kinds or last is None or len(logs) < len(history.sessions):
        return f"not all sessions have this {quantity.name}"
    import numpy as np

    array = np.array(logs)
    problem = history_problem(array, [began_s(each) for each in history.sessions], began_s(candidate))
    if problem is not None:
        return problem
    found = estimate_by_history(array, last, level=level)
    if not found.is_narrow(margin):
        return f"its {found.sessions} sessions differ by {differ_text(found)}, more than the margin"
    return found


def differ_text(found: HistoryEstimate) -> str:
    """Return by how much sessions differ by chance: `±2.1 %`."""
    import math

    return f"±{100 * math.expm1(found.half_width):.2g} %"


def began_s(measurement: Measurement) -> float:
    """Return when the first run of a measurement began, seconds since 1970."""
    return min(datetime.fromisoformat(run.started_at).timestamp() for run in measurement.runs)


def _is_of_file(each: Measurement, baseline: Measurement) -> bool:
    return (
        each.subject.artifact.sha256 == baseline.subject.artifact.sha256
        and each.subject.label == baseline.subject.label
    )


def _not_one_board(measurements: Sequence[Measurement]) -> str | None:
    devices = [each.subject.device for each in measurements]
    if any(device.serial_hash is None and device.machine_hash is None for device in devices):
        return "a session does not say which board it was, neither serial number nor machine id"
    differing = [text for other in devices[1:] if (text := _difference(devices[0], other)) is not None]
    return f"several boards have had the name {devices[0].name} ({differing[0]} differs)" if differing else None


def _difference(one: DeviceFacts, other: DeviceFacts) -> str | None:
    for name in _ONE_BOARD:
        if getattr(one, name) != getattr(other, name):
            return name
    sizes = [each.memory_bytes for each in (one, other)]
    if None in sizes or abs((sizes[0] or 0) - (sizes[1] or 0)) > 0.02 * max(size or 0 for size in sizes):
        return "memory"
    for name, text in (("serial_hash", "serial number"), ("machine_hash", "machine id")):
        if getattr(one, name) != getattr(other, name):
            return text
    return other_unit(one, other)


def _not_real(measurements: Sequence[Measurement]) -> str | None:
    found = {each.subject.device.virtual for each in measurements}
    if True in found:
        return "it is a virtual machine"
    return "it is not known whether it is a virtual machine" if None in found else None


def _deviation(measurements: Sequence[Measurement]) -> tuple[float, int] | None:
    groups: list[list[Measurement]] = []
    for each in measurements:
        for group in groups:
            if _is_of_file(each, group[0]) and not differences(group[0], each):
                group.append(each)
                break
        else:
            groups.append([each])
    return pooled_deviation(
        [figure for each in group if (figure := _log_figure(LATENCY, each)) is not None] for group in groups
    )


def _log_figure(quantity: Quantity, measurement: Measurement) -> float | None:
    import numpy as np

    figures: NDArray[np.float64] = run_figures(quantity, measurement)
    return float(np.log(figures).mean()) if len(figures) >= 2 else None
