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

from edgebench.analysis.between_sessions import by_history, undecided, why_not_judged, without_ratio
from edgebench.analysis.comparability import ALLOWABLE, differences, unknown_conditions
from edgebench.analysis.contrast import BY_SESSION, Contrast
from edgebench.analysis.quantities import (
    LATENCY,
    QUANTITIES,
    Quantity,
    alternated_runs,
    estimate,
    log_ratio_of_pairs,
    run_figures,
)
from edgebench.analysis.sentences import comparison_text, verdict_sentence
from edgebench.analysis.session_history import SessionHistory, estimate_from_history
from edgebench.analysis.undecided import (
    BETWEEN_SESSIONS,
    NOT_DECIDED,
    OTHER_SESSION,
    command_to_decide,
    is_one_session,
    name_of,
    too_few_runs,
)
from edgebench.analysis.verdict_family import NOT_JUDGED, deciding_quantities, outcome_of
from edgebench.errors import ConfigError, NotComparable, TooFewRuns, UnknownName
from edgebench.measurement import Measurement
from edgebench.reason import texts_of
from edgebench.stats import LEVEL, MARGIN, Judgement, RatioEstimate, Verdict, is_beyond, judge_groups, more_runs


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
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
        return verdict_sentence(self)

    def __repr__(self) -> str:
        return comparison_text(self)

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
    keep_unmeasured: bool = False,
) -> list[Comparison]:
    """Return what may be said of each (baseline, candidate), all judged together (Holm): say, languages or formats.

    One family: the quantities that decide the verdict, of all pairs. A pair is equivalent where all of them are. Pairs
    of different sessions, or with a side that is not valid, do not enter it.

    Args:
        histories: what a store knows of the board's sessions, for each pair; None: the sessions are not looked at.
        keep_unmeasured: a pair with too few valid runs is not decided, instead of an error: its scores are still there.

    Raises:
        As `compare`.
    """
    _check(margin, level, allow)
    differing = [_differing(*pair, allow=allow) for pair in pairs]
    prepared = [_prepared(*pair, keep_unmeasured=keep_unmeasured) for pair in pairs]
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
        if pair.too_few is not None:
            runs = _valid_runs(pair)
            contrasts[LATENCY.name] = without_ratio(LATENCY, pair.too_few, runs, margin=margin, level=level)
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
            hint=f"{_how_to_make_alike(baseline, candidate)}accept the difference: `allow={list(refused)}`",
        )
    return tuple(found.values())


def _how_to_make_alike(baseline: Measurement, candidate: Measurement) -> str:
    """Return what to try instead of allowing a difference; nothing helps where one session measured both so."""
    if is_one_session(baseline, candidate):
        return "one session measured them so; "
    return "measure both in one session, or "


class _Pair(NamedTuple):
    """Two measurements, the ratios that both have runs for, and which of them decide.

    `is_judged`: their runs allow a verdict. `too_few`: why there is no ratio of their latencies.
    """

    baseline: Measurement
    candidate: Measurement
    ratios: dict[str, RatioEstimate]
    deciding: tuple[str, ...]
    is_judged: bool
    too_few: str | None = None


def _prepared(baseline: Measurement, candidate: Measurement, *, keep_unmeasured: bool) -> _Pair:
    pair = (baseline, candidate)
    between = {} if is_one_session(*pair) else BETWEEN_SESSIONS
    found = {name: estimate(between.get(name, of), *pair) for name, of in QUANTITIES.items()}
    ratios = {name: ratio for name, ratio in found.items() if ratio is not None}
    if LATENCY.name not in ratios:
        error = _too_few_runs(*pair)
        if not keep_unmeasured:
            raise error
        return _Pair(*pair, {}, (LATENCY.name,), False, too_few_runs(*pair) or str(error))
    scenarios = [each.subject.workload.get("scenario") for each in pair]
    return _Pair(*pair, ratios, deciding_quantities(scenarios, list(ratios)), why_not_judged(LATENCY, *pair) is None)


def _valid_runs(pair: _Pair) -> tuple[int, int]:
    one, other = (sum(run.valid for run in each.runs) for each in (pair.baseline, pair.candidate))
    return one, other


def _contrasts(pair: _Pair, judged: Sequence[Judgement], margin: float, level: float) -> Iterator[tuple[str, Contrast]]:
    """Yield what runs say of quantities that they may speak of."""
    said = dict(zip(pair.deciding, judged, strict=True)) if pair.is_judged else {}
    level = max((_two_sided(each) for each in said.values()), default=level)
    for name, ratio in pair.ratios.items():
        quantity = QUANTITIES[name][0]
        if why_not_judged(quantity, pair.baseline, pair.candidate) is None:
            yield name, _contrast(quantity, ratio, said.get(name), margin, level)


def _two_sided(judged: Judgement) -> float:
    """Return the level of the two-sided test; the interval of an equivalence leaves out alpha on each side."""
    return 1 - (1 - judged.level) / 2 if judged.verdict is Verdict.EQUIVALENT else judged.level


def _shown_level(estimate: RatioEstimate, judged: Judgement, level: float) -> float:
    """Return the level of a judged interval: that of the other rows, unless only its own bears the verdict out.

    Holm's procedure judges the second of two quantities at a lower level than the first.
    """
    low, high = estimate.interval(level)
    holds = {
        Verdict.LOWER: high < 1,
        Verdict.HIGHER: low > 1,
        Verdict.INCONCLUSIVE: True,
        Verdict.EQUIVALENT: False,
    }
    return level if holds[judged.verdict] else judged.level


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
    """Return what is said of a quantity. `level`: of all rows; a judged one may need its own."""
    words = {Verdict.LOWER: quantity.lower, Verdict.HIGHER: quantity.higher}
    is_open = judged is not None and judged.verdict is Verdict.INCONCLUSIVE
    decided_at = judged.level if judged is not None else level
    if judged is not None:
        level = _shown_level(estimate, judged, level)
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
        more_runs=more_runs(estimate, margin=margin, level=decided_at) if is_open else 0,
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


def _described(measurement: Measurement) -> dict[str, Any]:
    subject = measurement.subject
    return {
        "id": measurement.id,
        "session": subject.session,
        "started_at": min((run.started_at for run in measurement.runs), default=None),
        "variant": subject.variant.name,
        "format": str(subject.artifact.format),
        "artifact_sha256": subject.artifact.sha256,
        "device": subject.device.name,
        "workload": subject.label,
        "overhead_us": asdict(measurement.overhead_us) if measurement.overhead_us is not None else None,
        "valid": measurement.valid,
        "reasons": texts_of(measurement.reasons),
    }


def why_not_comparable(baseline: Measurement, candidate: Measurement) -> str | None:
    """Return why two measurements can't be compared; None where they can."""
    differs = differences(baseline, candidate)
    return "; ".join(differs.values()) or None
