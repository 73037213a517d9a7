"""Ways to train compared over seeds: scores of several checkpoints of each side, one for each seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgebench.analysis import WORDS, ScoredMeasurement
from edgebench.errors import NotComparable
from edgebench.stats import SeedDifference, judge_all, seed_difference
from edgebench.study.contrasts import StudyContrast
from edgebench.study.file import Study
from edgebench.text import counted
from edgebench.variant import Variant, lineage_of

#: Fewest seeds of each side for a statement about the training: with two, Student's interval reaches 12.7 standard
#: errors to each side, and shows nothing; with three it shows large effects.
LEAST_SEEDS = 3
ALL_LANGUAGES = "mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingContrast:
    """Two ways to train compared by one score per seed: candidate minus baseline, points."""

    format: str
    task: str
    lang: str  # or ALL_LANGUAGES
    difference: float
    ci: tuple[float, float]
    level: float
    verdict: str
    seeds: int
    method: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__slots__} | {"ci": list(self.ci)}


def training_contrasts(
    study: Study, contrast: StudyContrast, measured: Sequence[ScoredMeasurement]
) -> tuple[tuple[TrainingContrast, ...], str]:
    """Return the contrasts over seeds, and a sentence on what they hold for.

    Args:
        measured: all measurements of the study with their scores.

    Raises:
        NotComparable: two variants of one side have the same seed.
    """
    seeds = [
        {seed for variant in side if (seed := lineage_of(variant).seed) is not None}
        for side in (contrast.baseline, contrast.candidate)
    ]
    counts = f"{counted(len(seeds[0]), 'seed')} of the baseline and {len(seeds[1])} of the candidate"
    if min(map(len, seeds)) < LEAST_SEEDS:
        return (), (
            f"{counts}: the result holds for these checkpoints, not for the training; that takes {LEAST_SEEDS} seeds "
            f"of each"
        )
    both = (*contrast.baseline, *contrast.candidate)
    if len({(lineage_of(each).base, lineage_of(each).target) for each in both}) > 1:
        return (), f"{counts}, but of several bases or targets: select one in the contrast to compare the training"
    found = _seed_differences(contrast, measured)
    if not found:
        return (), f"{counts}, but fewer than {LEAST_SEEDS} of each have scores: the training is not compared"
    judged = judge_all([each for _, each in found], margin=study.score_margin, level=study.level)
    return (
        tuple(
            TrainingContrast(
                format=format,
                task=task,
                lang=lang,
                difference=estimate.effect,
                ci=estimate.interval(judgement.level),
                level=judgement.level,
                verdict=WORDS.get(judgement.verdict, str(judgement.verdict)),
                seeds=estimate.n,
                method=estimate.method,
            )
            for ((format, task, lang), estimate), judgement in zip(found, judged, strict=True)
        ),
        f"{counts}: the intervals over seeds hold for the training, if only the seeds differ on a side",
    )


def _seed_differences(
    contrast: StudyContrast, measured: Sequence[ScoredMeasurement]
) -> list[tuple[tuple[str, str, str], SeedDifference]]:
    """Return the difference over seeds of each format and task: of the mean over languages, and of each language."""
    sides = [_by_seed(side, measured) for side in (contrast.baseline, contrast.candidate)]
    found = []
    for key in sides[0]:
        values = [side.get(key, {}) for side in sides]
        if min(map(len, values)) >= LEAST_SEEDS:
            found.append((key, seed_difference(*values)))
    return found


def _by_seed(
    side: Sequence[Variant], measured: Sequence[ScoredMeasurement]
) -> dict[tuple[str, str, str], dict[int, float]]:
    """Return the score of each seed, by format, task and language; two variants with one seed are refused."""
    seeds = {each.name: seed for each in side if (seed := lineage_of(each).seed) is not None}
    if len(set(seeds.values())) < len(seeds):
        raise NotComparable(
            f"two variants of one side have the same seed ({', '.join(sorted(seeds))}); select fewer in the contrast"
        )
    found: dict[tuple[str, str, str], dict[int, float]] = {}
    for each in measured:
        subject = each.measurement.subject
        if subject.variant.name not in seeds:
            continue
        format, seed = str(subject.artifact.format), seeds[subject.variant.name]
        for task, value in each.task_values().items():
            found.setdefault((format, task, ALL_LANGUAGES), {})[seed] = value
        for score in each.scores:
            found.setdefault((format, score.task, score.lang), {})[seed] = score.value
    return found
