"""What a verdict on speed is about: the quantities that decide it, and what they amount to together.

Only these are judged, all of them together (Holm), so that of all that a verdict or an exit code rests on, anything
false has at most 1 - level. The other quantities of a comparison are described: a ratio and its interval.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from edgebench.analysis.undecided import NOT_DECIDED

#: The verdict of a quantity that is described, not judged.
NOT_JUDGED = "not judged"

_EQUIVALENT, _FASTER, _SLOWER, _INCONCLUSIVE = "equivalent", "faster", "slower", "inconclusive"
#: By scenario, what it is judged by: one quantity of each of these, the first that both sides have. Offline, the result
#: is throughput; a server's, the tail that MLPerf bounds. Else both what is typical and the tail matter.
_DECIDING = {"offline": (("throughput", "latency"),), "server": (("p99", "p95", "latency"),)}
_DECIDING_LATENCY = (("latency",), ("p95",))
#: What the words of a throughput are for speed.
_SPEED = {"higher": _FASTER, "lower": _SLOWER}


def deciding_quantities(scenarios: Collection[object], measured: Collection[str]) -> tuple[str, ...]:
    """Return the names of the quantities that decide the verdict, the most important first.

    Args:
        scenarios: of both sides; where they differ, latency decides.
        measured: what both sides have enough runs of.
    """
    (scenario, *others) = set(scenarios)
    groups = _DECIDING.get(str(scenario), _DECIDING_LATENCY) if not others else _DECIDING_LATENCY
    found = (next((name for name in group if name in measured), None) for group in groups)
    return tuple(name for name in found if name is not None)


def outcome_of(verdicts: Iterable[str]) -> str:
    """Return what the verdicts of the deciding quantities amount to.

    Slower if any of them is, faster if any is and none is slower, equivalent if all are; else it is open: not decided
    if any of them is not.
    """
    found = {_SPEED.get(verdict, verdict) for verdict in verdicts}
    for word in (_SLOWER, _FASTER):
        if word in found:
            return word
    if NOT_DECIDED in found:
        return NOT_DECIDED
    return _EQUIVALENT if found == {_EQUIVALENT} else _INCONCLUSIVE
