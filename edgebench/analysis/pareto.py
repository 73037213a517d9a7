"""Which rows are worth choosing: quality against latency, memory and energy, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edgebench.analysis.pairing import LanguageScore, ScoredMeasurement
from edgebench.analysis.quantities import QUANTITIES, Quantity, run_figures
from edgebench.stats import t_interval
from edgebench.xtreme_r import all_tasks, kinds_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Interval = tuple[float, float]
_QUALITY_Z = 1.959964  # of a two-sided 95 % interval
_UNITS = {"latency": "ms", "memory": "bytes", "energy": "J"}


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and its 95 % interval, None where nothing stands behind one."""

    value: float
    ci: _Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A row of a front. `dominated_by`: names of those that are no worse in both, and better in one.

    `surely`: one of these is better beyond both intervals in quality and cost; else by point estimates only.
    """

    name: str
    quality: Figure
    cost: Figure
    worst: str  # the language that scores worst, with its score
    dominated_by: tuple[str, ...]
    surely: bool

    @property
    def verdict(self) -> str:
        """What is said of it in a table."""
        if not self.dominated_by:
            return "on the front"
        by = ", ".join(self.dominated_by)
        return f"dominated by {by}" + ("" if self.surely else " (by point estimates only)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Quality against one cost: every row that has both, the best quality first. `scored`: what quality is the mean of.

    `without`: rows of which this cost was not measured.
    """

    cost: str
    unit: str
    scored: str
    choices: tuple[Choice, ...]
    without: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "cost": self.cost,
            "unit": self.unit,
            "scored": self.scored,
            "choices": [asdict(each) | {"verdict": each.verdict} for each in self.choices],
            "without": list(self.without),
        }


def fronts(rows: Mapping[str, ScoredMeasurement]) -> list[Front]:
    """Return the fronts of rows of one board and workload: of latency (p50), peak memory and energy, where measured.

    Args:
        rows: measurements with their scores, by the name to show. Quality is over what all of them are scored in, the
            mean over tasks of the mean over languages; a row without scores is in no front.
    """
    scored = {name: row for name, row in rows.items() if row.scores}
    common = set.intersection(*({(s.task, s.lang) for s in row.scores} for row in scored.values())) if scored else set()
    if not common:
        return []
    names = sorted({task for task, _ in common})
    kinds = kinds_of(caveat for row in scored.values() for score in row.scores for caveat in score.caveats)
    scored_on = f"{', '.join(names)}, {_mean_of(common)}" + (f" ({', '.join(kinds)})" if kinds else "")
    result = []
    for cost, find in _COSTS.items():
        found = [{name: figure for name, row in scored.items() if (figure := one(row)) is not None} for one in find]
        costs = max(found, key=len)  # of PSS and RSS the one that more of them have, never the one against the other
        if costs:
            points = {name: (_quality(scored[name], common), figure) for name, figure in costs.items()}
            result.append(
                Front(
                    cost=cost,
                    unit=_UNITS[cost],
                    scored=scored_on,
                    choices=tuple(_choices(points, scored)),
                    without=tuple(name for name in scored if name not in costs),
                )
            )
    return result


def _mean_of(common: set[tuple[str, str]]) -> str:
    """Return over what quality is the mean; of which tasks some languages are missing is said."""
    langs = {task: sum(name == task for name, _ in common) for task, _ in common}
    some = [f"{count} of {len(all_tasks()[task].langs)} of {task}" for task, count in sorted(langs.items())]
    is_partial = any(count < len(all_tasks()[task].langs) for task, count in langs.items())
    of = f"mean of {len(common)} languages"
    return f"{of}: {', '.join(some)}" if is_partial else of


def _choices(points: Mapping[str, tuple[Figure, Figure]], rows: Mapping[str, ScoredMeasurement]) -> list[Choice]:
    found = []
    for name, (quality, cost) in points.items():
        by = [other for other in points if _dominates(points[other], points[name])]
        sure = [other for other in by if _is_apart(points[name][0], points[other][0])]
        worst = rows[name].worst
        found.append(
            Choice(
                name=name,
                quality=quality,
                cost=cost,
                worst=f"{worst.task} {worst.lang} {worst.value:.1f}" if worst is not None else "",
                dominated_by=tuple(by),
                surely=any(_is_apart(points[other][1], points[name][1]) for other in sure),
            )
        )
    return sorted(found, key=lambda choice: (-choice.quality.value, choice.cost.value))


def _dominates(one: tuple[Figure, Figure], other: tuple[Figure, Figure]) -> bool:
    (quality, cost), (their_quality, their_cost) = one, other
    no_worse = quality.value >= their_quality.value and cost.value <= their_cost.value
    return no_worse and (quality.value, cost.value) != (their_quality.value, their_cost.value)


def _is_apart(lower: Figure, higher: Figure) -> bool:
    """Whether one figure lies below the other, interval and all."""
    return lower.ci is not None and higher.ci is not None and lower.ci[1] < higher.ci[0]


def _quality(row: ScoredMeasurement, common: set[tuple[str, str]]) -> Figure:
    """Return the mean over tasks of the mean over languages, with an interval where every example's score is known."""
    counts: dict[str, int] = {}
    for task, _ in common:
        counts[task] = counts.get(task, 0) + 1
    weighed = [
        (score, 1 / (len(counts) * counts[score.task])) for score in row.scores if (score.task, score.lang) in common
    ]
    value = sum(weight * score.value for score, weight in weighed)
    if any(score.examples is None or len(score.examples.ids) < 2 for score, _ in weighed):
        return Figure(value)
    variance = sum(weight**2 * _variance(score) for score, weight in weighed)
    half = _QUALITY_Z * variance**0.5
    return Figure(value, (value - half, value + half))


def _variance(score: LanguageScore) -> float:
    """Return the variance of a score over examples that are drawn independently; of an F1, to first order."""
    assert score.examples is not None  # noqa: S101 - the caller looked
    values, counts = score.examples.values, score.examples.counts
    if counts is not None:
        # F1 = 2 c / (p + e): how far it moves with each example (the delta method)
        correct, both = counts[:, 0], counts[:, 1] + counts[:, 2]
        values = (200.0 * correct - score.value * both) / max(float(both.mean()), 1e-9)
    return float(values.var(ddof=1)) / len(values)


def _typical(quantity: Quantity) -> Callable[[ScoredMeasurement], Figure | None]:
    """Return what finds a row's typical run, the geometric mean; None where a run lacks it."""

    def find(row: ScoredMeasurement) -> Figure | None:
        import numpy as np

        figures = run_figures(quantity, row.measurement)
        if not len(figures) or len(figures) < sum(run.valid for run in row.measurement.runs):
            return None
        return Figure(
            float(np.exp(np.log(figures).mean())) / _SCALES.get(quantity.name, 1.0), _interval(figures, quantity)
        )

    return find


def _interval(figures: NDArray[np.float64], quantity: Quantity) -> _Interval | None:
    return t_interval(figures / _SCALES.get(quantity.name, 1.0))


_SCALES = {"latency": 1e6}  # nanoseconds in a millisecond
_COSTS: Mapping[str, tuple[Callable[[ScoredMeasurement], Figure | None], ...]] = {
    name: tuple(_typical(quantity) for quantity in QUANTITIES[name]) for name in _UNITS
}
