"""compare(): two Measurements -> is the candidate faster, slower or the same, and how sure is that?

The Run is the unit: each gives one figure (its median latency, say), and the ratio is estimated from those, with the
board's drift in the model (edgebench.stats.ratio). Two measurements that differ in what must be the same
(edgebench.analysis.comparability) are refused. Measurements of different sessions, or with a side that is not valid,
are compared but not judged (edgebench.analysis.undecided), unless the board's history decides.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgebench.analysis.between_sessions import by_history, by_runs_of_two_sessions, undecided, why_not_judged
from edgebench.analysis.comparability import ALLOWABLE, differences, row_key, unknown_conditions
from edgebench.analysis.contrast import BY_HISTORY, Contrast
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
from edgebench.errors import ConfigError, NotComparable, TooFewRuns, UnknownName
from edgebench.measurement import Measurement
from edgebench.reason import texts_of
from edgebench.stats import (
    LEVEL,
    MARGIN,
    PAIRS,
    Judgement,
    RatioEstimate,
    Verdict,
    is_beyond,
    judge_all,
    more_runs,
)
from edgebench.text import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two measurements and what may be said of them. A quantity that was not measured on both sides is None.

    `differs`: what must match and does not, but was allowed. `unchecked`: what must match and a side does not report.
    `looks`: how often the data were planned to be looked at.
    """

    baseline: Measurement
    candidate: Measurement
    latency: Contrast
    p95: Contrast | None
    throughput: Contrast | None
    memory: Contrast | None
    energy: Contrast | None = None
    looks: int = 1
    comparisons: int = 1  # judged together
    differs: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def to_decide(self) -> str | None:
        """The command that decides what is not decided, because it was measured in different sessions."""
        return command_to_decide(self.baseline, self.candidate) if self.latency.verdict == NOT_DECIDED else None

    @property
    def verdict(self) -> str:
        """The answer in one sentence, to be pasted."""
        contrast = self.latency
        names = [name_of(each) for each in (self.candidate, self.baseline)]
        if names[0] == names[1]:
            names = [f"{name} ({each.id})" for name, each in zip(names, (self.candidate, self.baseline), strict=True)]
        words = _SENTENCES[contrast.verdict].format(*names)
        where = f"on {self.candidate.subject.device.name}, {self.candidate.subject.label}"
        if contrast.ci is None:
            why, command = contrast.reason or "", self.to_decide
            if why.startswith(OTHER_SESSION):
                details = [f"p50 ratio {contrast.ratio:.3f}", *why.split("; ")[1:]]
                why = f"{OTHER_SESSION} ({'; '.join(details)})"
            return printable(f"{words} {where}: {why}" + (f". To decide: {command}" if command else ""), 4000)
        low, high = contrast.ci
        level = f"{100 * contrast.level:.4g}"
        decimals = _decimals(high - low)
        what, how = "p50 ratio", ""
        if contrast.drift == PAIRS:
            what, how = "ratio of pairs", ", alternating"
        history = f", {contrast.reason}" if contrast.decided_by == BY_HISTORY else ""
        return printable(
            f"{words} {where}: {what} "
            f"{contrast.ratio:.{decimals}f} ({level} % {low:.{decimals}f} to {high:.{decimals}f}, margin "
            f"±{100 * contrast.margin:g} %, {contrast.runs[0]} + {contrast.runs[1]} runs{how}){history}",
            4000,
        )

    def to_json(self) -> dict[str, Any]:
        """Return one comparison of `compare --json`, without scores."""
        parts = {name: getattr(self, name) for name in QUANTITIES}
        return {
            "baseline": _described(self.baseline),
            "candidate": _described(self.candidate),
            **{name: part.to_json() if part is not None else None for name, part in parts.items()},
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

    Args:
        histories: what a store knows of the board's sessions, for each pair; None: the sessions are not looked at.

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
                f"{name_of(candidate)} ({candidate.id}) can't be compared with {name_of(baseline)} ({baseline.id}): "
                f"{'; '.join(refused.values())}",
                hint=f"measure both in one session, or accept the difference: `allow={list(refused)}`",
            )
    looks = [max(each.subject.looks for each in pair) for pair in pairs]
    known = histories or [None for _ in pairs]
    contrasts = {
        name: _contrasts(quantities, pairs, known, max(looks, default=1), margin=margin, level=level)
        for name, quantities in QUANTITIES.items()
    }
    compared = []
    for at, (baseline, candidate) in enumerate(pairs):
        latency = contrasts["latency"][at]
        if latency is None:
            counts = [len(run_figures(LATENCY, each)) for each in (baseline, candidate)]
            if pairs_left := alternated_runs(baseline, candidate):
                counts = [sum(log_ratio_of_pairs(*pair) is not None for pair in pairs_left)] * 2
            raise TooFewRuns(
                f"{name_of(candidate)} and {name_of(baseline)} have {counts[1]} and {counts[0]} valid runs "
                f"with a median latency; a comparison needs two of each"
            )
        compared.append(
            Comparison(
                baseline=baseline,
                candidate=candidate,
                latency=latency,
                p95=contrasts["p95"][at],
                throughput=contrasts["throughput"][at],
                memory=contrasts["memory"][at],
                energy=contrasts["energy"][at],
                looks=looks[at],
                comparisons=len(pairs),
                differs=tuple(differing[at].values()),
                unchecked=unknown_conditions(baseline, candidate),
            )
        )
    return compared


def _contrasts(
    quantities: Sequence[Quantity],
    pairs: Sequence[tuple[Measurement, Measurement]],
    histories: Sequence[SessionHistory | None],
    looks: int,
    *,
    margin: float,
    level: float,
) -> list[Contrast | None]:
    quantity, apart = quantities[0], sum(not is_one_session(*pair) for pair in pairs)
    between = BETWEEN_SESSIONS.get(quantity.name, quantities)
    estimates = [estimate(quantities if is_one_session(*pair) else between, *pair) for pair in pairs]
    why_not = [why_not_judged(quantity, *pair) for pair in pairs]
    may_be_judged = [each for each, why in zip(estimates, why_not, strict=True) if each is not None and why is None]
    judged = iter(judge_all(may_be_judged, margin=margin, level=level, looks=looks))
    found: list[Contrast | None] = []
    for pair, history, estimated, why in zip(pairs, histories, estimates, why_not, strict=True):
        if estimated is None:
            found.append(None)
        elif why is None:
            contrast = _contrast(quantity, estimated, next(judged), margin)
            found.append(contrast if is_one_session(*pair) else by_runs_of_two_sessions(contrast))
        elif why == OTHER_SESSION and history is not None:
            # Each of several is held to its share of what may go wrong (Bonferroni).
            said = estimate_from_history(quantity, history, pair[1], margin=margin, level=1 - (1 - level) / apart)
            found.append(by_history(quantity, estimated, history, said, margin=margin, level=level))
        else:
            found.append(undecided(quantity, estimated, why, margin=margin, level=level))
    return found


def _contrast(quantity: Quantity, estimate: RatioEstimate, judged: Judgement, margin: float) -> Contrast:
    words = {Verdict.LOWER: quantity.lower, Verdict.HIGHER: quantity.higher}
    is_open = judged.verdict is Verdict.INCONCLUSIVE
    return Contrast(
        quantity=quantity.name,
        ratio=estimate.ratio,
        ci=estimate.interval(judged.level),
        level=judged.level,
        margin=margin,
        verdict=words.get(judged.verdict, str(judged.verdict)),
        significant=judged.significant,
        beyond_margin=is_beyond(estimate, margin=margin, level=judged.level),
        runs=estimate.runs,
        more_runs=more_runs(estimate, margin=margin, level=judged.level) if is_open else 0,
        drift=estimate.drift,
    )


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
