"""compare(): two Measurements -> is the candidate faster, slower or the same, and how sure is that?

The Run is the unit: each gives one figure (the geometric mean over inputs of their median latencies, say), and the
ratio is estimated from those, with the board's drift in the model (edgebench.stats.ratio). What decides the verdict
(edgebench.analysis.verdict_family) is judged together, the rest is described. Two measurements that differ in what
must be the same (edgebench.analysis.comparability) are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgebench.analysis.comparability import ALLOWABLE, differences, row_key
from edgebench.analysis.quantities import (
    LATENCY,
    QUANTITIES,
    Quantity,
    alternated_runs,
    estimate,
    log_ratio_of_pairs,
    run_figures,
)
from edgebench.analysis.verdict_family import NOT_JUDGED, deciding_quantities, outcome_of
from edgebench.errors import ConfigError, NotComparable, TooFewRuns, UnknownName
from edgebench.measurement import Measurement
from edgebench.reason import joined, texts_of
from edgebench.stats import LEVEL, MARGIN, PAIRS, Judgement, RatioEstimate, Verdict, is_beyond, judge_groups, more_runs
from edgebench.text import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """What is said of one quantity. `ci` is at `level`, which is the corrected one where several were judged.

    Of one that is "equivalent" it is the interval that lies inside 1 ± margin: 90 % at the level 95 %. One that does
    not enter the verdict on speed is "not judged", and `significant` is None.

    `significant`: it was shown that the ratio is not 1. `beyond_margin`: all of the interval lies outside 1 ± margin.
    `more_runs` of each side would decide if nothing else changed: 0 where it is decided or not judged, None past what
    is sensible.
    """

    quantity: str
    ratio: float
    ci: tuple[float, float]
    level: float
    margin: float
    verdict: str
    significant: bool | None
    beyond_margin: bool
    runs: tuple[int, int]
    more_runs: int | None
    #: In the model: `time + time^2`; `none`, where the two were not measured interleaved; `pairs`, where they
    #: alternated within each run: the ratio is then the typical one of two inferences of one input, side by side.
    drift: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "quantity"} | {
            "ci": list(self.ci),
            "runs": list(self.runs),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two measurements and what may be said of them. A quantity that was not measured on both sides is None.

    `deciding`: the names of the quantities that the verdict is about, the most important first. `differs`: what must
    match and does not, but was allowed. `looks`: how often the data were planned to be looked at.
    """

    baseline: Measurement
    candidate: Measurement
    latency: Contrast
    p95: Contrast | None
    throughput: Contrast | None
    memory: Contrast | None
    energy: Contrast | None = None
    p99: Contrast | None = None
    deciding: tuple[str, ...] = (LATENCY.name,)
    looks: int = 1
    comparisons: int = 1  # judged together
    differs: tuple[str, ...] = ()

    @property
    def decisive(self) -> tuple[Contrast, ...]:
        """What is said of the quantities that decide."""
        found = (getattr(self, name) for name in self.deciding)
        return tuple(contrast for contrast in found if contrast is not None)

    @property
    def outcome(self) -> str:
        """What the quantities that decide amount to: slower if any is, faster, equivalent if all are, inconclusive."""
        return outcome_of(contrast.verdict for contrast in self.decisive)

    @property
    def verdict(self) -> str:
        """The answer in one sentence, to be pasted."""
        contrasts = self.decisive
        names = [_name_of(each) for each in (self.candidate, self.baseline)]
        if names[0] == names[1]:
            names = [f"{name} ({each.id})" for name, each in zip(names, (self.candidate, self.baseline), strict=True)]
        words = _SENTENCES[self.outcome].format(*names)
        alike = len({contrast.verdict for contrast in contrasts}) == 1
        ratios = ", ".join(_ratio_text(each, with_verdict=not alike) for each in contrasts)
        contrast, how = contrasts[0], ""
        if contrast.drift == PAIRS:
            how = ", alternating"
        elif self.baseline.subject.session != self.candidate.subject.session:
            how = ", measured apart"
        return printable(
            f"{words} on {self.candidate.subject.device.name}, {self.candidate.subject.label}: {ratios}; margin "
            f"±{100 * contrast.margin:g} %, {contrast.runs[0]} + {contrast.runs[1]} runs{how}"
            + "".join(f"; {text}" for text in self.doubts),
            4000,
        )

    @property
    def doubts(self) -> tuple[str, ...]:
        """Which of the two are not valid, and why: the comparison rests on those of their runs that are."""
        sides = [each for each in (self.candidate, self.baseline) if not each.valid]
        return tuple(f"{_name_of(each)} is not valid: {joined(each.reasons)}" for each in sides)

    def to_json(self) -> dict[str, Any]:
        """Return one comparison of `compare --json`, without scores."""
        parts = {name: getattr(self, name) for name in QUANTITIES}
        return {
            "baseline": _described(self.baseline),
            "candidate": _described(self.candidate),
            **{name: part.to_json() if part is not None else None for name, part in parts.items()},
            "deciding": list(self.deciding),
            "outcome": self.outcome,
            "looks": self.looks,
            "comparisons": self.comparisons,
            "differs": list(self.differs),
            "scores": [],
            "verdict": self.verdict,
        }


_SENTENCES = {
    "equivalent": "{} is equivalent to {}",
    "faster": "{} is faster than {}",
    "slower": "{} is slower than {}",
    "inconclusive": "{} against {} is inconclusive",
}


def compare(
    baseline: Measurement,
    candidate: Measurement,
    *,
    margin: float = MARGIN,
    level: float = LEVEL,
    allow: Collection[str] = (),
) -> Comparison:
    """Return what may be said of candidate / baseline.

    Args:
        margin: latencies within ±margin are equivalent (0.03: 3 %).
        level: of the intervals; of all planned looks together where there were several.
        allow: names of ALLOWABLE conditions that may differ; the comparison says so.

    Raises:
        NotComparable: they differ in what must match.
        TooFewRuns: one of them has fewer than two valid runs.
    """
    return compare_pairs([(baseline, candidate)], margin=margin, level=level, allow=allow)[0]


def compare_pairs(
    pairs: Sequence[tuple[Measurement, Measurement]],
    *,
    margin: float = MARGIN,
    level: float = LEVEL,
    allow: Collection[str] = (),
) -> list[Comparison]:
    """Return what may be said of each (baseline, candidate), all judged together (Holm): say, languages or formats.

    One family: the quantities that decide the verdict, of all pairs. A pair is equivalent where all of them are.

    Raises:
        As `compare`.
    """
    if not 0 < margin < 1:
        raise ConfigError(f"the margin must be between 0 and 1 (0.03: ±3 %), got {margin}")
    if not 0.5 < level < 1:
        raise ConfigError(f"the level must be between 0.5 and 1 (0.95), got {level}")
    for name in allow:
        if name not in ALLOWABLE:
            raise UnknownName("condition", name, ALLOWABLE)
    differing = [differences(baseline, candidate) for baseline, candidate in pairs]
    for (baseline, candidate), names in zip(pairs, differing, strict=True):
        refused = {name: text for name, text in names.items() if name not in allow}
        if refused:
            raise NotComparable(
                f"{_name_of(candidate)} ({candidate.id}) can't be compared with {_name_of(baseline)} ({baseline.id}): "
                f"{'; '.join(refused.values())}",
                hint=f"measure both in one session, or accept the difference: `allow={list(refused)}`",
            )
    looks = [max(each.subject.looks for each in pair) for pair in pairs]
    estimates = [{name: estimate(of, *pair) for name, of in QUANTITIES.items()} for pair in pairs]
    deciding = [
        deciding_quantities(
            [each.subject.workload.get("scenario") for each in pair],
            [name for name, found in by_name.items() if found is not None],
        )
        for pair, by_name in zip(pairs, estimates, strict=True)
    ]
    groups = [
        [found for name in names if (found := by_name[name]) is not None]
        for by_name, names in zip(estimates, deciding, strict=True)
    ]
    judged = [
        dict(zip(names, said, strict=True))
        for names, said in zip(
            deciding, judge_groups(groups, margin=margin, level=level, looks=max(looks, default=1)), strict=True
        )
    ]
    compared = []
    for at, (baseline, candidate) in enumerate(pairs):
        contrasts = {
            name: _contrast(QUANTITIES[name][0], found, judged[at].get(name), margin, level)
            for name, found in estimates[at].items()
            if found is not None
        }
        if LATENCY.name not in contrasts:
            raise _too_few_runs(baseline, candidate)
        compared.append(
            Comparison(
                baseline=baseline,
                candidate=candidate,
                latency=contrasts[LATENCY.name],
                **{name: contrasts.get(name) for name in QUANTITIES if name != LATENCY.name},
                deciding=deciding[at],
                looks=looks[at],
                comparisons=len(pairs),
                differs=tuple(differing[at].values()),
            )
        )
    return compared


def _contrast(
    quantity: Quantity, estimate: RatioEstimate, judged: Judgement | None, margin: float, level: float
) -> Contrast:
    """Return what is said of a quantity; where it was not judged, at `level`."""
    words = {Verdict.LOWER: quantity.lower, Verdict.HIGHER: quantity.higher}
    is_open = judged is not None and judged.verdict is Verdict.INCONCLUSIVE
    level = judged.level if judged is not None else level
    return Contrast(
        quantity=quantity.name,
        ratio=estimate.ratio,
        ci=estimate.interval(level),
        level=level,
        margin=margin,
        verdict=words.get(judged.verdict, str(judged.verdict)) if judged is not None else NOT_JUDGED,
        significant=judged.significant if judged is not None else None,
        beyond_margin=is_beyond(estimate, margin=margin, level=level),
        runs=estimate.runs,
        more_runs=more_runs(estimate, margin=margin, level=level) if is_open else 0,
        drift=estimate.drift,
    )


def _too_few_runs(baseline: Measurement, candidate: Measurement) -> TooFewRuns:
    counts = [len(run_figures(LATENCY, each)) for each in (baseline, candidate)]
    if pairs_left := alternated_runs(baseline, candidate):
        counts = [sum(log_ratio_of_pairs(*pair) is not None for pair in pairs_left)] * 2
    return TooFewRuns(
        f"{_name_of(candidate)} and {_name_of(baseline)} have {counts[1]} and {counts[0]} valid runs "
        f"with a median latency; a comparison needs two of each"
    )


def _ratio_text(contrast: Contrast, *, with_verdict: bool) -> str:
    low, high = contrast.ci
    decimals = _decimals(high - low)
    interval = f"{100 * contrast.level:.4g} % {low:.{decimals}f} to {high:.{decimals}f}"
    verdict = f", {contrast.verdict}" if with_verdict else ""
    return f"{contrast.quantity} ratio {contrast.ratio:.{decimals}f} ({interval}{verdict})"


def _name_of(measurement: Measurement) -> str:
    subject = measurement.subject
    return f"{subject.variant.name} {subject.artifact.format}"


def _described(measurement: Measurement) -> dict[str, Any]:
    subject = measurement.subject
    return {
        "id": measurement.id,
        "variant": subject.variant.name,
        "format": str(subject.artifact.format),
        "artifact_sha256": subject.artifact.sha256,
        "device": subject.device.name,
        "workload": subject.label,
        "overhead_us": asdict(measurement.overhead_us) if measurement.overhead_us is not None else None,
        "valid": measurement.valid,
        "reasons": texts_of(measurement.reasons),
    }


def _decimals(width: float) -> int:
    """Return how many decimals a ratio is worth whose interval is so wide: two digits of its width, at least 3."""
    import math

    return max(3, min(6, 1 - math.floor(math.log10(width)))) if width > 0 else 3


def why_not_comparable(baseline: Measurement, candidate: Measurement) -> str | None:
    """Return why two measurements can't be compared; None where they can."""
    differs = differences(baseline, candidate)
    counts = [sum(run.valid for run in each.runs) for each in (baseline, candidate)]
    if min(counts) < 2:
        return f"{counts[0]} and {counts[1]} valid runs; a comparison needs two of each"
    return "; ".join(differs.values()) or None


def compare_rows(measurements: Sequence[Measurement], *, margin: float = MARGIN) -> list[Comparison]:
    """Return what may be said of each row against the first of its workload, judged together.

    Rows with fewer than two valid runs are left out, for they must not keep the others from being decided. Rows that
    differ in what must be the same are compared, and the comparison says so: it was the request to measure them.
    """
    pairs = [pair for pair in pairs_with_the_first(measurements) if estimate((LATENCY,), *pair) is not None]
    return compare_pairs(pairs, margin=margin, allow=ALLOWABLE) if pairs else []


def pairs_with_the_first(measurements: Sequence[Measurement]) -> list[tuple[Measurement, Measurement]]:
    """Return (baseline, candidate) pairs: the first row of each workload, threads and batch, and each other of it."""
    first: dict[tuple[object, ...], Measurement] = {}
    pairs = []
    for each in measurements:
        baseline = first.setdefault(row_key(each, formats_differ=True), each)
        if baseline is not each:
            pairs.append((baseline, each))
    return pairs
