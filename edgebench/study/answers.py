"""The report of a study: each contrast with its evidence, and the fronts of quality against cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgebench.analysis import (
    ExampleScores,
    Front,
    PairedComparison,
    ScoreContrast,
    ScoredMeasurement,
    compare_pairs,
    compare_scores,
    fronts,
    join_scores,
    scores_sentence,
    why_not_comparable,
)
from edgebench.store import Store
from edgebench.study.cells import StudyCell, study_cells
from edgebench.study.contrasts import StudyContrast
from edgebench.study.file import Study
from edgebench.study.score_sources import scores_of_study
from edgebench.study.scores import pending_evaluations, questions_of_study
from edgebench.study.training import TrainingContrast, training_contrasts
from edgebench.text import counted, printable
from edgebench.variant import Variant, lineage_of
from edgebench.xtreme_r import ScoreRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of a contrast.

    training: the contrast over seeds, for each format, task and language; empty where there are too few seeds.
    about_training: whether the result holds for the ways to train, or for these checkpoints only.
    """

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
        counts = _counted(each.comparison.outcome for each in self.comparisons)
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
    """The result of each contrast, the fronts of each device and workload, and what is missing.

    `notes`: where scores come from, where that is mixed, and which are left out.
    """

    study: Study
    answers: tuple[Answer, ...]
    fronts: Mapping[str, Sequence[Front]]
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = [counted(len(self.answers), "contrast"), counted(len(self.fronts), "front")]
        missing = f", {counted(len(self.missing), 'part')} missing" if self.missing else ""
        return printable(f"<StudyReport {self.study.name}: {', '.join(parts)}{missing}>")

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "study": self.study.name,
            "contrasts": [each.to_json() for each in self.answers],
            "fronts": {where: [front.to_json() for front in each] for where, each in self.fronts.items()},
            "missing": list(self.missing),
            "notes": list(self.notes),
        }


def answer_study(
    study: Study,
    cells: Sequence[StudyCell],
    rows: Sequence[ScoreRow],
    *,
    examples: Sequence[ExampleScores] = (),
    missing: Sequence[str] = (),
    notes: Sequence[str] = (),
    allow_variant_scores: bool = False,
) -> StudyReport:
    """Return the report of a study, from the cells that are measured.

    Args:
        rows: scores, with the study's names of variants.
        examples: scores of single examples, from the timed files.
        missing: evaluations that are missing, in words.
        notes: where the scores come from, in words.
        allow_variant_scores: accept scores of other files of a variant, and label them so.

    Raises:
        NotComparable: a variant's scores are all of other files.
    """
    paired = {
        (at, each.id): join_scores(each, rows, examples=examples, allow_variant_scores=allow_variant_scores)
        for at, cell in enumerate(cells)
        for each in cell.measurements
    }
    by_cell = [[paired[at, each.id] for each in cell.measurements] for at, cell in enumerate(cells)]
    shown = {
        f"{cell.device.name}, {cell.workload.label}": fronts({_name(each): each for each in mine})
        for cell, mine in zip(cells, by_cell, strict=True)
    }
    return StudyReport(
        study=study,
        answers=tuple(_answer(study, contrast, by_cell) for contrast in study.contrasts),
        fronts={where: each for where, each in shown.items() if each},
        missing=(*(_missing(study, cell) for cell in cells if not cell.done), *missing),
        notes=tuple(notes),
    )


def study_report(study: Study, store: Store, *, allow_variant_scores: bool = False) -> StudyReport:
    """Return the report of a study from what the store and the study's file of scores have.

    Args:
        allow_variant_scores: accept scores of other files of a variant, and label them so.

    Raises:
        StoreError, ScoresError: the store, or the file of scores, can't be read.
        NotComparable: a variant's scores are all of other files.
        EdgebenchError: the data of a task can't be read.
    """
    cells, questions = study_cells(study, store), questions_of_study(study)
    scores = scores_of_study(study, cells, store, questions)
    return answer_study(
        study,
        cells,
        scores.rows,
        examples=scores.examples,
        missing=[str(each) for each in pending_evaluations(study, cells, store, questions)],
        notes=scores.notes,
        allow_variant_scores=allow_variant_scores,
    )


def _missing(study: Study, cell: StudyCell) -> str:
    lacking = [variant.name for variant in study.variants if variant.name not in cell.have]
    return f"{cell.device.name}, {cell.workload.label}: {', '.join(lacking)}"


def _name(paired: ScoredMeasurement) -> str:
    subject = paired.measurement.subject
    return f"{subject.variant.name} {subject.artifact.format}"


def _answer(study: Study, contrast: StudyContrast, by_cell: Sequence[Sequence[ScoredMeasurement]]) -> Answer:
    notes: list[str] = []
    pairs: list[tuple[ScoredMeasurement, ScoredMeasurement]] = []
    for one, other in _variant_pairs(contrast, notes):
        for mine in by_cell:
            pairs += _pairs_of_cell(one, other, mine, notes)
    compared = compare_pairs(
        [(one.measurement, other.measurement) for one, other in pairs],
        margin=study.margin,
        level=study.level,
        keep_unmeasured=True,  # scores are compared whether or not the runs count
    )
    scores = _scores_once(study, pairs)
    everything = [each for mine in by_cell for each in mine]
    training, about = training_contrasts(study, contrast, everything)
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
    """Return the pairs to compare: variants of the same base, target and seed; where there are none, all pairs."""

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


def _pairs_of_cell(
    baseline: Variant, candidate: Variant, mine: Sequence[ScoredMeasurement], notes: list[str]
) -> Iterable[tuple[ScoredMeasurement, ScoredMeasurement]]:
    """Yield the measurements of two variants in the same format, from one cell."""
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
    """Return the score contrasts of each pair of files; they are the same on every device, so they are judged once."""
    once = {_files(*sides): sides for sides in pairs}
    judged = compare_scores(list(once.values()), margin=study.score_margin, level=study.level)
    return dict(zip(once, judged, strict=True))


def _artifacts(answer: PairedComparison) -> tuple[str, ...]:
    sides = (answer.comparison.baseline.subject, answer.comparison.candidate.subject)
    return tuple(part for side in sides for part in (side.variant.name, side.artifact.sha256))


def _counted(verdicts: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for verdict in verdicts:
        counts[verdict] = counts.get(verdict, 0) + 1
    return ", ".join(f"{verdict} in {count}" for verdict, count in sorted(counts.items(), key=lambda it: -it[1]))
