"""Which scores a study reports: those that its tasks ask for, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgebench.analysis import ExampleScores
from edgebench.artifact import Artifact
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.store import Store, merged_scores, stored_scores
from edgebench.study.cells import StudyCell
from edgebench.study.file import Study, StudyTask
from edgebench.study.scores import Questions, with_prompt
from edgebench.xtreme_r import ScoreRow, read_scores


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyScores:
    """The scores of a study, and of single examples. `notes`: what is left out, and that sources are mixed."""

    rows: tuple[ScoreRow, ...]
    examples: tuple[ExampleScores, ...]
    notes: tuple[str, ...]


def scores_of_study(study: Study, cells: Sequence[StudyCell], store: Store, questions: Questions) -> StudyScores:
    """Return the scores that a study reports, from its file of scores and from the evaluations in the store.

    Of a task that the study evaluates, only its languages are reported, and only answers to its questions by its
    devices. Other tasks are reported from the file of scores; without any task, all that is known.

    Raises:
        StoreError, ScoresError: the store, or the file of scores, can't be read.
    """
    measured = [each for cell in cells for each in cell.measurements]
    artifacts = {each.subject.artifact.sha256: each.subject.artifact for each in measured}
    left_out: set[str] = set()

    def is_asked(evaluation: LanguageEvaluation) -> bool:
        device = evaluation.scores[0].device
        artifact = artifacts[evaluation.scores[0].artifact_sha256]
        asked = not study.tasks or any(
            _answers(task, questions, evaluation, artifact)
            for task in study.tasks
            if device in {each.name for each in task.devices}
        )
        if not asked:
            left_out.add(f"{evaluation.task} in {evaluation.lang} on {device}")
        return asked

    stored, examples = stored_scores(store, measured, wanted=is_asked)
    listed = read_scores(study.scores) if study.scores is not None else []
    kept = [row for row in listed if _is_reported(study, row)]
    left_out |= {f"{row.task} in {row.lang} of {_source(row, study)}" for row in listed if row not in kept}
    rows, examples = merged_scores(kept, stored, examples)
    return StudyScores(rows=tuple(rows), examples=tuple(examples), notes=tuple(_notes(study, rows, left_out)))


def _answers(task: StudyTask, questions: Questions, evaluation: LanguageEvaluation, artifact: Artifact) -> bool:
    question = questions.get((task.name, evaluation.task, evaluation.lang))
    if question is None:
        return False
    return with_prompt(question.protocol, artifact).items() <= evaluation.scores[0].protocol.items()


def _is_reported(study: Study, row: ScoreRow) -> bool:
    """Whether a row of the file of scores is of a language that the study's tasks have; other tasks have all."""
    of_task = [task for task in study.tasks if task.name == row.task]
    return not of_task or any(not task.langs or row.lang in task.langs for task in of_task)


def _notes(study: Study, rows: Sequence[ScoreRow], left_out: set[str]) -> list[str]:
    variants = {variant.name for variant in study.variants}
    sources: dict[str, set[str]] = {}
    for row in rows:
        if row.variant in variants:
            sources.setdefault(_source(row, study), set()).add(row.variant)
    notes = []
    if len(sources) > 1:
        parts = [f"{source} ({', '.join(sorted(names))})" for source, names in sorted(sources.items())]
        notes.append(f"scores are from {len(sources)} sources: {'; '.join(parts)}")
    if left_out:
        notes.append(f"scores that the study's tasks do not ask for are left out: {', '.join(sorted(left_out))}")
    return notes


def _source(row: ScoreRow, study: Study) -> str:
    return row.source or (study.scores.name if study.scores is not None else "the store")
