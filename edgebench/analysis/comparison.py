"""compare(): two Measurements -> is the candidate faster, slower or the same, and how sure is that?

The Run is the unit: each gives one figure (the geometric mean over inputs of their median latencies, say), and the
ratio is estimated from those, with the board's drift in the model (edgebench.stats.ratio). What decides the verdict
(edgebench.analysis.verdict_family) is judged together, the rest is described. Two measurements that differ in what
must be the same (edgebench.analysis.comparability) are refused. Measurements of different sessions, or with a side that
is not valid, are compared but not judged (edgebench.analysis.undecided), unless the board's history decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from edgebench.analysis.between_sessions import by_history, undecided, why_not_judged
from edgebench.analysis.comparability import ALLOWABLE, differences, row_key, unknown_conditions
from edgebench.analysis.contrast import BY_HISTORY, BY_SESSION, Contrast
from edgebench.analysis.quantities import (
    LATENCY,
    QUANTITIES,
    Quantity,
    alternated_runs,
    estimate,
    log_ratio_of_pairs,
    run_figures,
)
from edgebench.analysis.session_history import SessionHistory, estimate_from_history
from edgebench.analysis.undecided import (
    BETWEEN_SESSIONS,
    NOT_DECIDED,
    OTHER_SESSION,
    command_to_decide,
    is_one_session,
    name_of,
)
from edgebench.analysis.verdict_family import NOT_JUDGED, deciding_quantities, outcome_of
from edgebench.errors import ConfigError, NotComparable, TooFewRuns, UnknownName
from edgebench.measurement import Measurement
from edgebench.reason import texts_of
from edgebench.stats import LEVEL, MARGIN, PAIRS, Judgement, RatioEstimate, Verdict, is_beyond, judge_groups, more_runs
from edgebench.text import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two measurements and what may be said of them. A quantity that was not measured on both sides is None.

    `deciding`: the names of the quantities that the verdict is about, the most important first. `differs`: what must
    match and does not, but was allowed. `unchecked`: what must match and a side does not report. `looks`: how often the
    data were planned to be looked at.
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
    unchecked: tuple[str, ...] = ()

    @property
    def to_decide(self) -> str | None:
        """The command that decides what is not decided, because it was measured in different sessions."""
        return command_to_decide(self.baseline, self.candidate) if self.outcome == NOT_DECIDED else None

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
        names = [name_of(each) for each in (self.candidate, self.baseline)]
        if names[0] == names[1]:
            names = [f"{name} ({each.id})" for name, each in zip(names, (self.candidate, self.baseline), strict=True)]
        words = _SENTENCES[self.outcome].format(*names)
        where = f"on {self.candidate.subject.device.name}, {self.candidate.subject.label}"
        if self.outcome == NOT_DECIDED:
            return printable(f"{words} {where}: {self._why_not_decided()}", 4000)
        alike = len({contrast.verdict for contrast in contrasts}) == 1
        ratios = ", ".join(_ratio_text(each, with_verdict=not alike) for each in contrasts)
        contrast = contrasts[0]
        how = ", alternating" if contrast.drift == PAIRS else ""
        history = f", {contrast.reason}" if contrast.decided_by == BY_HISTORY else ""
        return printable(
            f"{words} {where}: {ratios}; margin ±{100 * contrast.margin:g} %, "
            f"{contrast.runs[0]} + {contrast.runs[1]} runs{how}{history}",
            4000,
        )

    def _why_not_decided(self) -> str:
        why = next((each.reason for each in self.decisive if each.verdict == NOT_DECIDED and each.reason), "")
        if why.startswith(OTHER_SESSION):
            details = [text for text in (self._p50_ratio_text(), *why.split("; ")[1:]) if text]
            why = f"{OTHER_SESSION} ({'; '.join(details)})" if details else OTHER_SESSION
        return why + (f". To decide: {self.to_decide}" if self.to_decide else "")

    def _p50_ratio_text(self) -> str:
        p50s = self.candidate.latency_ms.p50, self.baseline.latency_ms.p50
        return f"p50 ratio {p50s[0] / p50s[1]:.3f}" if p50s[0] and p50s[1] else ""

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
            "unchecked": list(self.unchecked),
            "to_decide": self.to_decide,
            "scores": [],
            "verdict": self.verdict,
        }


_SENTENCES = {
    "equivalent": "{} is equivalent to {}",
    "faster": "{} is faster than {}",
    "slower": "{} is slower than {}",
    "inconclusive": "{} against {} is inconclusive",
    NOT_DECIDED: "{} against {} is not decided",
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
    histories: Sequence[SessionHistory | None] = (),
) -> list[Comparison]:
    """Return what may be said of each (baseline, candidate), all judged together (Holm): say, languages or formats.

    One family: the quantities that decide the verdict, of all pairs. A pair is equivalent where all of them are. Pairs
    of different sessions, or with a side that is not valid, do not enter it.

    Args:
        histories: what a store knows of the board's sessions, for each pair; None: the sessions are not looked at.

    Raises:
        As `compare`.
    """
    _check(margin, level, allow)
    differing = [_differing(*pair, allow=allow) for pair in pairs]
    prepared = [_prepared(*pair) for pair in pairs]
    looks = [max(each.subject.looks for each in pair) for pair in pairs]
    groups = [[pair.ratios[name] for name in pair.deciding if pair.is_judged] for pair in prepared]
    judged = judge_groups(groups, margin=margin, level=level, looks=max(looks, default=1))
    # What histories decide is held to its share of what may go wrong (Bonferroni).
    by_histories = sum(len(pair.deciding) for pair in prepared if not pair.is_judged)
    level_by_history = 1 - (1 - level) / max(1, by_histories)
    compared = []
    for at, pair in enumerate(prepared):
        history = histories[at] if histories else None
        contrasts = dict(_contrasts(pair, judged[at], margin, level))
        contrasts |= dict(_undecided(pair, history, margin, level, level_by_history))
        compared.append(
            Comparison(
                baseline=pair.baseline,
                candidate=pair.candidate,
                latency=contrasts[LATENCY.name],
                **{name: contrasts.get(name) for name in QUANTITIES if name != LATENCY.name},
                deciding=pair.deciding,
                looks=looks[at],
                comparisons=len(pairs),
                differs=differing[at],
                unchecked=unknown_conditions(pair.baseline, pair.candidate),
            )
        )
    return compared


def _check(margin: float, level: float, allow: Collection[str]) -> None:
    if not 0 < margin < 1:
        raise ConfigError(f"the margin must be between 0 and 1 (0.03: ±3 %), got {margin}")
    if not 0.5 < level < 1:
        raise ConfigError(f"the level must be between 0.5 and 1 (0.95), got {level}")
    for name in allow:
        if name not in ALLOWABLE:
            raise UnknownName("condition", name, ALLOWABLE)


def _differing(baseline: Measurement, candidate: Measurement, *, allow: Collection[str]) -> tuple[str, ...]:
    """Return in what two measurements differ that must match, in words; what is not allowed is refused."""
    found = differences(baseline, candidate)
    refused = {name: text for name, text in found.items() if name not in allow}
    if refused:
        raise NotComparable(
            f"{name_of(candidate)} ({candidate.id}) can't be compared with {name_of(baseline)} ({baseline.id}): "
            f"{'; '.join(refused.values())}",
            hint=f"measure both in one session, or accept the difference: `allow={list(refused)}`",
        )
    return tuple(found.values())


class _Pair(NamedTuple):
    """Two measurements, the ratios that both have runs for, and which of them decide.

    `is_judged`: their runs allow a verdict.
    """

    baseline: Measurement
    candidate: Measurement
    ratios: dict[str, RatioEstimate]
    deciding: tuple[str, ...]
    is_judged: bool


def _prepared(baseline: Measurement, candidate: Measurement) -> _Pair:
    pair = (baseline, candidate)
    between = {} if is_one_session(*pair) else BETWEEN_SESSIONS
    found = {name: estimate(between.get(name, of), *pair) for name, of in QUANTITIES.items()}
    ratios = {name: ratio for name, ratio in found.items() if ratio is not None}
    if LATENCY.name not in ratios:
        raise _too_few_runs(*pair)
    scenarios = [each.subject.workload.get("scenario") for each in pair]
    return _Pair(*pair, ratios, deciding_quantities(scenarios, list(ratios)), why_not_judged(LATENCY, *pair) is None)


def _contrasts(pair: _Pair, judged: Sequence[Judgement], margin: float, level: float) -> Iterator[tuple[str, Contrast]]:
    """Yield what runs say of quantities that they may speak of."""
    said = dict(zip(pair.deciding, judged, strict=True)) if pair.is_judged else {}
    for name, ratio in pair.ratios.items():
        quantity = QUANTITIES[name][0]
        if why_not_judged(quantity, pair.baseline, pair.candidate) is None:
            yield name, _contrast(quantity, ratio, said.get(name), margin, level)


def _undecided(
    pair: _Pair, history: SessionHistory | None, margin: float, level: float, level_by_history: float
) -> Iterator[tuple[str, Contrast]]:
    """Yield what is said of the others: what the board's history says of those that decide, or why nothing is said."""
    for name, ratio in pair.ratios.items():
        quantity = QUANTITIES[name][0]
        why = why_not_judged(quantity, pair.baseline, pair.candidate)
        if why is None:
            continue
        if why == OTHER_SESSION and history is not None and name in pair.deciding:
            said = estimate_from_history(quantity, history, pair.candidate, margin=margin, level=level_by_history)
            yield name, by_history(quantity, ratio, history, said, margin=margin, level=level)
        else:
            yield name, undecided(quantity, ratio, why, margin=margin, level=level)


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
        decided_by=BY_SESSION if judged is not None else None,
    )


def _too_few_runs(baseline: Measurement, candidate: Measurement) -> TooFewRuns:
    counts = [len(run_figures(LATENCY, each)) for each in (baseline, candidate)]
    if pairs_left := alternated_runs(baseline, candidate):
        counts = [sum(log_ratio_of_pairs(*pair) is not None for pair in pairs_left)] * 2
    return TooFewRuns(
        f"{name_of(candidate)} and {name_of(baseline)} have {counts[1]} and {counts[0]} valid runs "
        f"with a median latency; a comparison needs two of each"
    )


def _ratio_text(contrast: Contrast, *, with_verdict: bool) -> str:
    verdict = f", {contrast.verdict}" if with_verdict else ""
    if contrast.ci is None:
        return f"{contrast.quantity} ratio {contrast.ratio:.3f} ({contrast.verdict})"
    low, high = contrast.ci
    decimals = _decimals(high - low)
    interval = f"{100 * contrast.level:.4g} % {low:.{decimals}f} to {high:.{decimals}f}"
    return f"{contrast.quantity} ratio {contrast.ratio:.{decimals}f} ({interval}{verdict})"


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
