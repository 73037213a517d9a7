"""Two measurements with their scores: does the candidate still score as well as the baseline?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgebench.analysis.comparison import Comparison
from edgebench.analysis.pairing import (
    OF_OTHER_FILE,
    OF_VARIANT,
    ExampleScores,
    LanguageScore,
    ScoredMeasurement,
    join_scores,
    weakest,
)
from edgebench.analysis.undecided import NOT_DECIDED
from edgebench.errors import ConfigError, NotComparable
from edgebench.stats import (
    LEVEL,
    Judgement,
    PairedEstimate,
    Verdict,
    align,
    estimate_difference,
    estimate_f1_difference,
    holm_alphas,
    judge_all,
)
from edgebench.text import counted, printable
from edgebench.xtreme_r import ScoreRow, kinds_of

SCORE_MARGIN = 1.0  # points
#: How far the mean over the examples may be off the score: rounding. Further off, the metric is no mean over examples.
_ROUNDING = 0.05
WORDS = {Verdict.LOWER: "worse", Verdict.HIGHER: "better", Verdict.EQUIVALENT: "comparable"}
NO_EXAMPLES = "no results per example: a difference without an interval"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreContrast:
    """What is said of a task's score in one language: candidate less baseline, points.

    `ci` is at `level`, the corrected one where several were compared; None where nothing stands behind an interval, and
    `without_interval` says why. `not_worse`: it was shown that it is not worse by more than the margin. `caveats`: why
    the scores may not mean what they seem to mean, of either side.
    """

    task: str
    lang: str
    baseline: float
    candidate: float
    difference: float
    margin: float
    verdict: str
    whose: str
    ci: tuple[float, float] | None = None
    level: float | None = None
    not_worse: bool = False
    n: int | None = None
    method: str | None = None
    without_interval: str | None = None
    caveats: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"ci": list(self.ci) if self.ci else None, "caveats": list(self.caveats)}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PairedComparison:
    """A comparison of two measurements, and of their scores, which may be none.

    `notes`: which scores are left out, and how the measurements were chosen where the names left that open.
    """

    comparison: Comparison
    scores: tuple[ScoreContrast, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """The answer in one sentence, to be pasted."""
        about_scores = scores_sentence(self.scores)
        return self.comparison.verdict + (f", and {about_scores}" if about_scores else "")

    def __repr__(self) -> str:
        first, *rest = repr(self.comparison).split("\n")
        about_scores = scores_sentence(self.scores)
        return "\n".join([first, *rest, *([f"  {about_scores}"] if about_scores else [])])

    def verdicts(self) -> set[str]:
        """Return the verdicts on speed and on the scores; what is not decided counts as inconclusive, too."""
        outcome = self.comparison.outcome
        found = {outcome, *(each.verdict for each in self.scores)}
        return found | {"inconclusive"} if outcome == NOT_DECIDED else found

    def to_json(self) -> dict[str, Any]:
        """Return one comparison of `compare --json`, as `schemas/common.schema.json` describes it."""
        return self.comparison.to_json() | {
            "scores": [each.to_json() for each in self.scores],
            "notes": list(self.notes),
            "verdict": self.verdict,
        }


def compare_scores(
    pairs: Sequence[tuple[ScoredMeasurement, ScoredMeasurement]], *, margin: float = SCORE_MARGIN, level: float = LEVEL
) -> list[tuple[ScoreContrast, ...]]:
    """Return what may be said of the scores of each (baseline, candidate), all judged together (Holm).

    Comparable: the 1 - 2 alpha interval of the difference lies inside ±margin; else better or worse: the 1 - alpha
    interval excludes 0; else inconclusive. So a small difference that is surely there is comparable.

    Raises:
        ConfigError: a margin or level that is none.
    """
    if not 0 < margin < 100:
        raise ConfigError(f"the score margin must be between 0 and 100 points (1.0), got {margin}")
    if not 0.5 < level < 1:
        raise ConfigError(f"the level must be between 0.5 and 1 (0.95), got {level}")
    open_ = [
        [(_without_interval(one, other, margin), _estimated(one, other)) for one, other in _in_common(*sides)]
        for sides in pairs
    ]
    estimates = [each for row in open_ for _, each in row if not isinstance(each, str)]
    judged = iter(judge_all(estimates, margin=margin, level=level))
    not_worse = [each.p_above(-margin) for each in estimates]
    alphas = iter(zip(not_worse, holm_alphas(not_worse, 1 - level), strict=True))
    result = []
    for row in open_:
        said = []
        for contrast, estimate in row:
            if isinstance(estimate, str):
                said.append(replace(contrast, without_interval=estimate))
            else:
                p_value, alpha = next(alphas)
                said.append(_with_interval(contrast, estimate, next(judged), p_value <= alpha))
        result.append(tuple(said))
    return result


def compare_with_scores(
    comparisons: Sequence[Comparison],
    rows: Sequence[ScoreRow],
    *,
    examples: Sequence[ExampleScores] = (),
    margin: float = SCORE_MARGIN,
    level: float = LEVEL,
    allow_variant_scores: bool = False,
) -> list[PairedComparison]:
    """Return the comparisons with what may be said of the scores, judged together; without rows, as they are.

    Raises:
        NotComparable: all scores of a variant are of other files.
        ConfigError: a margin or level that is none.
    """
    sides = {
        each.id: join_scores(each, rows, examples=examples, allow_variant_scores=allow_variant_scores)
        for comparison in comparisons
        for each in (comparison.baseline, comparison.candidate)
    }
    pairs = [(sides[each.baseline.id], sides[each.candidate.id]) for each in comparisons]
    judged = compare_scores(pairs, margin=margin, level=level)
    return [
        PairedComparison(comparison=one, scores=scores, notes=tuple(_notes(of, scores)) if rows else ())
        for one, scores, of in zip(comparisons, judged, pairs, strict=True)
    ]


def _notes(sides: tuple[ScoredMeasurement, ScoredMeasurement], scores: Sequence[ScoreContrast]) -> Iterable[str]:
    for side in sides:
        name = printable(side.measurement.subject.variant.name)
        if side.measurement.subject.variant.is_reference:
            yield f"{name} has random weights, and no scores"
        elif not side.scores:
            yield f"no scores of {name} are there"
        if side.left_out:
            yield f"{counted(side.left_out, 'score')} of {name} left out, because of another file"
    apart = {(each.task, each.lang) for side in sides for each in side.scores} - {(s.task, s.lang) for s in scores}
    if apart and all(side.scores for side in sides):
        yield f"scored on one side only, and left out: {', '.join(f'{task} {lang}' for task, lang in sorted(apart))}"


def _in_common(baseline: ScoredMeasurement, candidate: ScoredMeasurement) -> list[tuple[LanguageScore, LanguageScore]]:
    theirs = {(score.task, score.lang): score for score in candidate.scores}
    return [(score, theirs[score.task, score.lang]) for score in baseline.scores if (score.task, score.lang) in theirs]


def _estimated(baseline: LanguageScore, candidate: LanguageScore) -> PairedEstimate | str:
    """Return the estimate, or why there is none."""
    if baseline.examples is None or candidate.examples is None:
        return NO_EXAMPLES
    one, other = baseline.examples, candidate.examples
    if one.protocol != other.protocol:
        names = sorted(one.protocol.keys() | other.protocol.keys())
        differs = next(name for name in names if one.protocol.get(name) != other.protocol.get(name))
        return f"{differs} is {other.protocol.get(differs)!r} and {one.protocol.get(differs)!r}: not the same question"
    try:
        if one.metric == other.metric == "f1" and one.counts is not None and other.counts is not None:
            counts = align((one.ids, one.counts), (other.ids, other.counts))
            return estimate_f1_difference(*counts, clusters=_clusters(one, other))
        for side, score in ((one, baseline), (other, candidate)):
            if abs(float(side.values.mean()) - score.value) > _ROUNDING:
                return "the metric is no mean over examples: a difference without an interval"
        values = align((one.ids, one.values), (other.ids, other.values))
        return estimate_difference(*values, clusters=_clusters(one, other))
    except NotComparable as error:
        return str(error)


def _clusters(one: ExampleScores, other: ExampleScores) -> Sequence[int] | None:
    """Return which text each of the baseline's examples is about; an earlier edgebench may have stored one side."""
    if one.clusters is not None or other.clusters is None:
        return one.clusters
    known = dict(zip(other.ids, other.clusters, strict=True))
    return [known[id] for id in one.ids]


def _without_interval(baseline: LanguageScore, candidate: LanguageScore, margin: float) -> ScoreContrast:
    labels = {baseline.whose, candidate.whose}
    return ScoreContrast(
        task=baseline.task,
        lang=baseline.lang,
        baseline=baseline.value,
        candidate=candidate.value,
        difference=candidate.value - baseline.value,
        margin=margin,
        verdict=str(Verdict.INCONCLUSIVE),
        whose=weakest(labels),
        caveats=_caveats(baseline, candidate),
    )


def _caveats(baseline: LanguageScore, candidate: LanguageScore) -> tuple[str, ...]:
    """Return the caveats of two scores; one that only one side has says whose it is."""
    both = [caveat for caveat in baseline.caveats if caveat in candidate.caveats]
    of_one = [
        f"{caveat} (only {name})"
        for name, side, other in (("the baseline", baseline, candidate), ("the candidate", candidate, baseline))
        for caveat in side.caveats
        if caveat not in other.caveats
    ]
    return (*both, *of_one)


def _with_interval(
    contrast: ScoreContrast, estimate: PairedEstimate, judged: Judgement, not_worse: bool
) -> ScoreContrast:
    return replace(
        contrast,
        verdict=WORDS.get(judged.verdict, str(judged.verdict)),
        ci=estimate.interval(judged.level),
        level=judged.level,
        not_worse=not_worse,
        n=estimate.n,
        method=estimate.method,
    )


_ORDER = ("worse", "better", "comparable", "inconclusive")


def scores_sentence(scores: Sequence[ScoreContrast], *, units: str = "languages") -> str:
    """Return what is said of the scores in the combined sentence; empty where there are none."""
    if not scores:
        return ""
    worst = min(scores, key=lambda each: each.difference)
    names = list(dict.fromkeys(each.task for each in scores))
    where = f"{worst.lang} {worst.difference:+.1f} points"
    if len(names) > 1:
        where = f"{worst.task} {where}"
    labels = [label for label in (OF_OTHER_FILE, OF_VARIANT) if any(each.whose == label for each in scores)]
    labels += kinds_of(caveat for each in scores for caveat in each.caveats)
    label = f" ({', '.join(labels)})" if labels else ""
    its = f"its {names[0] + ' ' if len(names) == 1 else ''}scores{label}"
    of = f"{len(scores)} {units if len(scores) > 1 else units.replace('languages', 'language')}" + (
        f" of {len(names)} tasks" if len(names) > 1 else ""
    )
    if all(each.ci is None for each in scores):
        mean = sum(each.difference for each in scores) / len(scores)
        return f"{its} differ by {mean:+.1f} points on the mean of {of}, without an interval (worst: {where})"
    counts = {word: sum(each.verdict == word for each in scores) for word in _ORDER}
    said = [word for word in _ORDER if counts[word]]
    parts = [f"{said[0]} in {counts[said[0]]} of {of}", *(f"{word} in {counts[word]}" for word in said[1:])]
    return f"{its} are {', '.join(parts)} (worst: {where})"
