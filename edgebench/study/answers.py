"""What a study answers: each contrast with its evidence, the fronts, and whether it may speak of the training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgebench.analysis.comparison import compare_pairs, why_not_comparable
from edgebench.analysis.pairing import ExampleScores, ScoredMeasurement, join_scores
from edgebench.analysis.pareto import Front, fronts
from edgebench.analysis.score_comparison import WORDS, PairedComparison, ScoreContrast, compare_scores, scores_sentence
from edgebench.errors import NotComparable
from edgebench.stats.paired import SeedDifference, seed_difference
from edgebench.stats.verdicts import judge_all
from edgebench.study.cells import StudyCell
from edgebench.study.file import Study, StudyContrast, lineage_of
from edgebench.variant import Variant
from edgebench.xtreme_r.scores import ScoreRow

#: Seeds of each side from which on the training is spoken of, not the checkpoints alone: with two, Student's interval
#: is 12.7 standard errors wide to each side, and shows nothing; from three on it does, if the effect is large.
LEAST_SEEDS = 3
ALL_LANGUAGES = "mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingContrast:
    """What is said of two ways to train, from one score per seed: candidate less baseline, points."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a contrast came to. `training` is empty where seeds are too few; `about_training` says what may be said."""

    name: str
    comparisons: tuple[PairedComparison, ...]
    training: tuple[TrainingContrast, ...]
    about_training: str
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The answer in one sentence, over all devices, formats, workloads and languages."""
        if not self.comparisons:
            return f"{self.name}: nothing is measured that could be compared"
        counts = _counted(each.comparison.latency.verdict for each in self.comparisons)
        total = len(self.comparisons)
        # The scores of two files are the same wherever they were timed.
        once = {_artifacts(each): each.scores for each in self.comparisons}
        units = "languages" if len(once) == 1 else "cases (two files, one language)"
        about_scores = scores_sentence([score for scores in once.values() for score in scores], units=units)
        latency = f"{self.name}: latency is {counts} of {total} comparisons"
        return latency + (f", and {about_scores}" if about_scores else "")

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "comparisons": [each.to_json() for each in self.comparisons],
            "training": [each.to_json() for each in self.training],
            "about_training": self.about_training,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyReport:
    """All answers of a study, the fronts of each device and workload, and what is missing."""

    study: Study
    answers: tuple[Answer, ...]
    fronts: Mapping[str, Sequence[Front]]
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "study": self.study.name,
            "contrasts": [each.to_json() for each in self.answers],
            "fronts": {where: [front.to_json() for front in each] for where, each in self.fronts.items()},
            "missing": list(self.missing),
        }


def answer_study(
    study: Study,
    parts: Sequence[StudyCell],
    rows: Sequence[ScoreRow],
    *,
    examples: Sequence[ExampleScores] = (),
    missing: Sequence[str] = (),
    allow_variant_scores: bool = False,
) -> StudyReport:
    """Return what a study answers, from what of it is measured.

    Args:
        rows: scores, by the study's names of variants.
        examples: what single examples scored, of the timed files.
        missing: what is not scored yet.

    Raises:
        NotComparable: a variant's scores are all of other files.
    """
    paired = {
        (at, each.id): join_scores(each, rows, examples=examples, allow_variant_scores=allow_variant_scores)
        for at, part in enumerate(parts)
        for each in part.measurements
    }
    of_parts = [[paired[at, each.id] for each in part.measurements] for at, part in enumerate(parts)]
    shown = {
        f"{part.device.name}, {part.workload.label}": fronts({_name(each): each for each in mine})
        for part, mine in zip(parts, of_parts, strict=True)
    }
    return StudyReport(
        study=study,
        answers=tuple(_answer(study, contrast, of_parts) for contrast in study.contrasts),
        fronts={where: each for where, each in shown.items() if each},
        missing=(*(_missing(study, part) for part in parts if not part.done), *missing),
    )


def _missing(study: Study, part: StudyCell) -> str:
    lacking = [variant.name for variant in study.variants if variant.name not in part.have]
    return f"{part.device.name}, {part.workload.label}: {', '.join(lacking)}"


def _name(paired: ScoredMeasurement) -> str:
    subject = paired.measurement.subject
    return f"{subject.variant.name} {subject.artifact.format}"


def _answer(study: Study, contrast: StudyContrast, of_parts: Sequence[Sequence[ScoredMeasurement]]) -> Answer:
    notes: list[str] = []
    pairs: list[tuple[ScoredMeasurement, ScoredMeasurement]] = []
    for one, other in _variant_pairs(contrast, notes):
        for mine in of_parts:
            pairs += _pairs_of_part(one, other, mine, notes)
    compared = compare_pairs(
        [(one.measurement, other.measurement) for one, other in pairs], margin=study.margin, level=study.level
    )
    scores = _scores_once(study, pairs)
    everything = [each for mine in of_parts for each in mine]
    training, about = _training(study, contrast, everything)
    return Answer(
        name=contrast.name,
        comparisons=tuple(
            PairedComparison(comparison=each, scores=scores[_files(*sides)])
            for each, sides in zip(compared, pairs, strict=True)
        ),
        training=training,
        about_training=about,
        notes=tuple(dict.fromkeys(notes)),
    )


def _variant_pairs(contrast: StudyContrast, notes: list[str]) -> list[tuple[Variant, Variant]]:
    """Return which variants are compared: those of the same base, target and seed; where none are, each with each."""

    def like(variant: Variant) -> tuple[Any, ...]:
        lineage = lineage_of(variant)
        return (lineage.base, lineage.target, lineage.seed)

    matched = [(one, other) for one in contrast.baseline for other in contrast.candidate if like(one) == like(other)]
    if not matched:
        return [(one, other) for one in contrast.baseline for other in contrast.candidate]
    in_a_pair = {each.name for pair in matched for each in pair}
    alone = [each.name for each in (*contrast.baseline, *contrast.candidate) if each.name not in in_a_pair]
    if alone:
        notes.append(f"without a counterpart of the same base, target and seed, and left out: {', '.join(alone)}")
    return matched


def _pairs_of_part(
    baseline: Variant, candidate: Variant, mine: Sequence[ScoredMeasurement], notes: list[str]
) -> Iterable[tuple[ScoredMeasurement, ScoredMeasurement]]:
    """Yield the measurements of two variants in the same format, of one device and workload."""
    for one in (each for each in mine if each.measurement.subject.variant.name == baseline.name):
        for other in (each for each in mine if each.measurement.subject.variant.name == candidate.name):
            if one.measurement.subject.artifact.format != other.measurement.subject.artifact.format:
                continue
            why = why_not_comparable(one.measurement, other.measurement)
            if why is None:
                yield one, other
            else:
                where = f"{one.measurement.subject.device.name}, {one.measurement.subject.label}"
                notes.append(f"{_name(other)} against {_name(one)} on {where} is not compared: {why}")


def _files(one: ScoredMeasurement, other: ScoredMeasurement) -> tuple[str, ...]:
    sides = [side.measurement.subject for side in (one, other)]
    return tuple(part for side in sides for part in (side.variant.name, side.artifact.sha256))


def _scores_once(
    study: Study, pairs: Sequence[tuple[ScoredMeasurement, ScoredMeasurement]]
) -> dict[tuple[str, ...], tuple[ScoreContrast, ...]]:
    """Return the score contrasts of each two files: the same on every device, so they are judged once."""
    once = {_files(*sides): sides for sides in pairs}
    judged = compare_scores(list(once.values()), margin=study.score_margin, level=study.level)
    return dict(zip(once, judged, strict=True))


# --- the training, over seeds -------------------------------------------------------------------------------------


def _training(
    study: Study, contrast: StudyContrast, everything: Sequence[ScoredMeasurement]
) -> tuple[tuple[TrainingContrast, ...], str]:
    seeds = [
        {seed for variant in side if (seed := lineage_of(variant).seed) is not None}
        for side in (contrast.baseline, contrast.candidate)
    ]
    counts = f"{len(seeds[0])} seeds of the baseline and {len(seeds[1])} of the candidate"
    if min(map(len, seeds)) < LEAST_SEEDS:
        return (), (
            f"{counts}: what is said holds for these checkpoints, not for the training; that takes {LEAST_SEEDS} seeds "
            f"of each"
        )
    if (
        len({(lineage_of(each).base, lineage_of(each).target) for each in (*contrast.baseline, *contrast.candidate)})
        > 1
    ):
        return (), f"{counts}, but of several bases or targets: choose one in the contrast to speak about the training"
    found = _seed_differences(contrast, everything)
    if not found:
        return (), f"{counts}, but fewer than {LEAST_SEEDS} of each have scores: nothing is said about the training"
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
        f"{counts}: the intervals over seeds speak about the training, if the seeds are all that differs on a side",
    )


def _seed_differences(
    contrast: StudyContrast, everything: Sequence[ScoredMeasurement]
) -> list[tuple[tuple[str, str, str], SeedDifference]]:
    """Return the difference over seeds of each format and task: of the mean over languages, and of each language."""
    sides = [_by_seed(side, everything) for side in (contrast.baseline, contrast.candidate)]
    found = []
    for key in sides[0]:
        values = [side.get(key, {}) for side in sides]
        if min(map(len, values)) >= LEAST_SEEDS:
            found.append((key, seed_difference(*values)))
    return found


def _by_seed(
    side: Sequence[Variant], everything: Sequence[ScoredMeasurement]
) -> dict[tuple[str, str, str], dict[int, float]]:
    """Return the score of each seed, by format, task and language; a seed of which there are two is no unit."""
    seeds = {each.name: seed for each in side if (seed := lineage_of(each).seed) is not None}
    if len(set(seeds.values())) < len(seeds):
        raise NotComparable(
            f"two variants of one side have the same seed ({', '.join(sorted(seeds))}); choose more narrowly in the "
            f"contrast"
        )
    found: dict[tuple[str, str, str], dict[int, float]] = {}
    for each in everything:
        subject = each.measurement.subject
        if subject.variant.name not in seeds:
            continue
        format, seed = str(subject.artifact.format), seeds[subject.variant.name]
        for task, value in each.task_values().items():
            found.setdefault((format, task, ALL_LANGUAGES), {})[seed] = value
        for score in each.scores:
            found.setdefault((format, score.task, score.lang), {})[seed] = score.value
    return found


def _artifacts(answer: PairedComparison) -> tuple[str, ...]:
    sides = (answer.comparison.baseline.subject, answer.comparison.candidate.subject)
    return tuple(part for side in sides for part in (side.variant.name, side.artifact.sha256))


def _counted(verdicts: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for verdict in verdicts:
        counts[verdict] = counts.get(verdict, 0) + 1
    return ", ".join(f"{verdict} in {count}" for verdict, count in sorted(counts.items(), key=lambda it: -it[1]))
