"""When two measurements allow no verdict, why not, and which command decides.

Sessions of one board differ by more than runs of one session do, so an interval from runs is not one of the ratio of
two sessions. Peak RSS is the exception: it does not depend on clock, temperature or neighbours. (Five sessions of one
file: 67.9 to 68.0 MB; peak PSS, which is less where other processes map the same libraries: 46.9 to 52.8 MB.) Its ratio
has an interval between sessions, too.
"""

from __future__ import annotations

import shlex

from edgebench.analysis.quantities import PEAK_RSS
from edgebench.artifact import Format
from edgebench.measurement import Measurement
from edgebench.reason import joined

NOT_DECIDED = "not decided"
#: What has an interval between sessions, by the quantity's name in the result.
BETWEEN_SESSIONS = {PEAK_RSS.name: (PEAK_RSS,)}
OTHER_SESSION = "measured in different sessions"
LEAST_RUNS = 2  # of each side


def name_of(measurement: Measurement) -> str:
    """Return the variant and format of a measurement, as sentences name it."""
    return measurement.subject.variant_and_format


def is_one_session(baseline: Measurement, candidate: Measurement) -> bool:
    """Whether both were measured in one session, so that what changed on the board meanwhile can be separated."""
    return baseline.subject.session == candidate.subject.session


def invalid_sides(baseline: Measurement, candidate: Measurement) -> str | None:
    """Return which of the two are not valid, and why; None where both are."""
    sides = [each for each in (candidate, baseline) if not each.valid]
    return "; ".join(f"{name_of(each)} is not valid: {joined(each.reasons)}" for each in sides) or None


def too_few_runs(baseline: Measurement, candidate: Measurement) -> str | None:
    """Return how many valid runs the two have, where that is too few for a ratio; None where it is enough."""
    counts = [sum(run.valid for run in each.runs) for each in (baseline, candidate)]
    if min(counts) >= LEAST_RUNS:
        return None
    return f"{counts[0]} and {counts[1]} valid runs; a comparison needs two of each"


def sessions_text(deviation: tuple[float, int] | None, silent: str | None) -> str:
    """Return what the store knows of the board's sessions, to be added to why there is no verdict.

    Args:
        deviation: the standard deviation of sessions' figures on the log scale, and of how many sessions.
        silent: why the board's history does not decide; None: there is no store to know it from.
    """
    parts = []
    if deviation is not None:
        share, sessions = deviation
        parts.append(f"{sessions} sessions of this board have differed by {100 * share:.2g} %")
    if silent is not None:
        parts.append(f"its history does not decide: {silent}")
    return "; ".join(parts)


def _may_differ_in_a_gate(one: Format, other: Format) -> tuple[tuple[str, str, str], ...]:
    """Return what a gate refuses in another format unless it is allowed: its name there, and what both sides have."""
    return (("format", str(one), str(other)), ("runtime", one.runtime, other.runtime))


def command_to_decide(baseline: Measurement, candidate: Measurement) -> str | None:
    """Return the command that decides by measuring both in one session; None where they were."""
    if is_one_session(baseline, candidate):
        return None
    subject = candidate.subject
    words = ["edgebench", "gate", "--baseline", baseline.id]
    if subject.device.name is not None:
        words += ["--device", subject.device.name]
    words += ["--model", subject.variant.source, "--format", str(subject.artifact.format)]
    for condition, one, other in _may_differ_in_a_gate(baseline.subject.artifact.format, subject.artifact.format):
        if one != other:
            words += ["--allow", condition]
    return shlex.join(words)
