"""Quantities: the figure of each run that is compared, and the ratio that two measurements' runs estimate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from edgebench.analysis.summary import figures_of
from edgebench.measurement import Measurement
from edgebench.run import Run, RunFigures
from edgebench.stats import RatioEstimate, estimate_paired_ratio, estimate_ratio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A figure of a run that is compared: its name, the words for a ratio below and above 1, and where it is.

    `kind`: what the figure is of, which must be the same on both sides; None: a measurement has none. `paired`: the
    log ratio of two runs that alternated, candidate / baseline; left out: that of their figures.
    """

    name: str
    lower: str
    higher: str
    of: Callable[[Run], float | None]
    kind: Callable[[Measurement], object] = lambda _: ""
    paired: Callable[[Run, Run], float | None] | None = None


def _figures_of(run: Run) -> RunFigures:
    return run.figures if run.figures is not None else figures_of(run)


def log_ratio_of_pairs(baseline: Run, candidate: Run) -> float | None:
    """Return the mean over inputs of the median log ratio of two runs that alternated, candidate / baseline."""
    return candidate.log_ratios.get(baseline.id)


def _peak_pss(run: Run) -> float | None:
    return run.memory.peak_pss


def _peak_rss(run: Run) -> float | None:
    return run.memory.peak_rss


def _rails(measurement: Measurement) -> object:
    """Return whose power was added up; None where nothing was, or where that changed between the runs."""
    found = {rails for run in measurement.runs if run.valid and (rails := _figures_of(run).rails) is not None}
    return found.pop() if len(found) == 1 else None


LATENCY = Quantity(
    name="latency",
    lower="faster",
    higher="slower",
    of=lambda run: _figures_of(run).geomean_ns,
    paired=log_ratio_of_pairs,
)
P50 = Quantity(name="p50", lower="faster", higher="slower", of=lambda run: _figures_of(run).p50_ns)
P95 = Quantity(name="p95", lower="faster", higher="slower", of=lambda run: _figures_of(run).p95_ns)
P99 = Quantity(name="p99", lower="faster", higher="slower", of=lambda run: _figures_of(run).p99_ns)
THROUGHPUT = Quantity(
    name="throughput", lower="lower", higher="higher", of=lambda run: _figures_of(run).throughput_per_s
)
PEAK_PSS = Quantity(name="memory", lower="less", higher="more", of=_peak_pss)
PEAK_RSS = Quantity(name="memory", lower="less", higher="more", of=_peak_rss)
ENERGY = Quantity(name="energy", lower="less", higher="more", of=lambda run: _figures_of(run).energy_j, kind=_rails)

#: What is compared, by its name in the result. Of several, the first that both sides have: never PSS against RSS.
QUANTITIES = {
    "latency": (LATENCY,),
    "p95": (P95,),
    "p99": (P99,),
    "throughput": (THROUGHPUT,),
    "memory": (PEAK_PSS, PEAK_RSS),
    "energy": (ENERGY,),
}


def estimate(quantities: Sequence[Quantity], baseline: Measurement, candidate: Measurement) -> RatioEstimate | None:
    """Return the ratio candidate / baseline of the first of these quantities that both sides have in two runs.

    With the board's drift in the model where they were measured in one session. Where they alternated in their runs, of
    the first quantity, from pairs of runs. None: too few runs have it.
    """
    if pairs := alternated_runs(baseline, candidate):
        return _estimate_of_pairs(quantities[0], pairs)
    for quantity in quantities:
        kinds = [quantity.kind(each) for each in (baseline, candidate)]
        if None in kinds or kinds[0] != kinds[1]:
            continue
        sides = [figures_with_times(quantity, each) for each in (baseline, candidate)]
        if all(len(figures) >= 2 for figures, _ in sides):
            break
    else:
        return None
    (of_baseline, baseline_times), (of_candidate, candidate_times) = sides
    interleaved = baseline.subject.session == candidate.subject.session
    return estimate_ratio(
        of_baseline,
        of_candidate,
        baseline_times=baseline_times if interleaved else None,
        candidate_times=candidate_times if interleaved else None,
    )


def alternated_runs(baseline: Measurement, candidate: Measurement) -> list[tuple[Run, Run]]:
    """Return the valid runs of both that alternated with each other, (baseline's, candidate's)."""
    theirs = {run.process: run for run in candidate.runs if run.valid and run.alternates}
    ours = [run for run in baseline.runs if run.valid and run.process in theirs]
    return [(run, theirs[run.process]) for run in ours if theirs[run.process].id != run.id]


def _estimate_of_pairs(quantity: Quantity, pairs: Sequence[tuple[Run, Run]]) -> RatioEstimate | None:
    import numpy as np

    found = []
    for one, other in pairs:
        figures = [figure for run in (one, other) if (figure := quantity.of(run)) is not None and figure > 0]
        if quantity.paired is not None:
            ratio = quantity.paired(one, other)
        else:
            ratio = float(np.log(figures[1] / figures[0])) if len(figures) == len((one, other)) else None
        if ratio is not None:
            found.append(ratio)
    return estimate_paired_ratio(np.array(found)) if len(found) > 1 else None


def figures_with_times(quantity: Quantity, measurement: Measurement) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the figure of each valid run that has one, and when the run began, in seconds; shape (runs,) both."""
    import numpy as np

    found = [(value, run) for run in measurement.runs if run.valid and (value := quantity.of(run)) is not None]
    usable = [(value, datetime.fromisoformat(run.started_at).timestamp()) for value, run in found if value > 0]
    table = np.asarray(usable, np.float64).reshape(len(usable), 2)
    return table[:, 0], table[:, 1]


def run_figures(quantity: Quantity, measurement: Measurement) -> NDArray[np.float64]:
    """Return the quantity of each valid run that has it, shape (runs,)."""
    return figures_with_times(quantity, measurement)[0]
