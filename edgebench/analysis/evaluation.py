"""Evaluation: what an artifact scores on tasks in several languages, and how far it is from the fp32 artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgebench._version import __version__
from edgebench.artifact import Artifact
from edgebench.errors import NotComparable
from edgebench.evaluation_result import LanguageEvaluation, TaskEvaluation
from edgebench.facts import DeviceFacts
from edgebench.measurement import FORMAT_VERSION
from edgebench.stats import LEVEL, bootstrap_interval, estimate_difference, estimate_f1_difference
from edgebench.text import counted, printable
from edgebench.variant import Variant
from edgebench.xtreme_r import XTREME_R, all_tasks, caveats_of, kinds_of, task_scores, tasks_of

#: Tasks whose test sets are translations of one another, example by example.
_PARALLEL = ("xnli", "pawsx", "xquad", "lareqa")
_PIVOT = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What an artifact's answers differ by from another's to the same examples.

    difference: of the metric's values, points. ci: its two-sided 95 % interval, as `compare` has it (edgebench.stats);
    None where no example differs. agreement: share of the same answers (tagging: of the
    same tags).
    """

    task: str
    lang: str
    metric: str
    difference: float
    ci: tuple[float, float] | None
    agreement: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What one artifact scores on one device.

    languages: one for each task and language. reference: the same of the fp32 artifact on the host; empty where that
    was not requested. missing: languages of each task that were not evaluated. is_limited: parts of test sets only.
    """

    variant: Variant
    artifact: Artifact
    device: DeviceFacts
    languages: tuple[LanguageEvaluation, ...]
    reference: tuple[LanguageEvaluation, ...]
    missing: Mapping[str, tuple[str, ...]]
    is_limited: bool

    def __repr__(self) -> str:
        tasks = ", ".join(f"{name} {value:.2f}" for name, value in self.tasks.items()) or "no task"
        parts = counted(len(self.languages), "task and language", "tasks and languages")
        marks = ", partial" if self.is_limited or any(self.missing.values()) else ""
        who = f"{self.variant.name} {self.artifact.format} on {self.device.name}"
        return printable(f"<Evaluation of {who}: {tasks} ({parts}{marks})>")

    @property
    def scores(self) -> tuple[TaskEvaluation, ...]:
        """Every metric of every task and language, with its caveats."""
        return tuple(with_caveats(score) for each in self.languages for score in each.scores)

    @property
    def tasks(self) -> dict[str, float]:
        """The mean over the languages that were evaluated, of each task; QA: of the mean of F1 and EM."""
        return {name: score.value for name, score in task_scores([score.to_score() for score in self.scores]).items()}

    @property
    def overall(self) -> float | None:
        """The mean over XTREME-R's ten tasks; None unless all test sets are complete, in all languages."""
        values, names = self.tasks, [task.name for task in tasks_of(XTREME_R)]
        is_partial = self.is_limited or "partial" in kinds_of(each for score in self.scores for each in score.caveats)
        if is_partial or not set(names) <= set(values) or set(names) & set(self.missing):
            return None
        return sum(values[name] for name in names) / len(names)

    def premium(self, each: LanguageEvaluation) -> float | None:
        """Return how many times as many tokens as in English the same examples take (Petrov et al. 2023).

        None where English was not evaluated, or the task's languages are no translations of each other.
        """
        if each.cost.english_tokens is not None:
            return each.cost.tokens / each.cost.english_tokens
        if each.task not in _PARALLEL:
            return None
        english = next((other for other in self.languages if (other.task, other.lang) == (each.task, _PIVOT)), None)
        if english is None:
            return None
        theirs = dict(zip(english.scores[0].ids, english.tokens.tolist(), strict=True))
        mine = dict(zip(each.scores[0].ids, each.tokens.tolist(), strict=True))
        common = [id for id in mine if id in theirs]
        return float(sum(mine[id] for id in common) / sum(theirs[id] for id in common)) if common else None

    def differences(self) -> list[Difference]:
        """Return what the artifact's answers differ by from the reference's; empty without one."""
        found = {(each.task, each.lang): each for each in self.reference}
        return [
            difference
            for each in self.languages
            if (other := found.get((each.task, each.lang))) is not None
            for difference in differences(each, other)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return what `evaluate --json` writes."""
        return {
            "format_version": FORMAT_VERSION,
            "edgebench_version": __version__,
            "variant": self.variant.to_json(),
            "artifact": self.artifact.to_result(),
            "device": self.device.to_json(),
            "scores": [_score_to_json(score) for score in self.scores],
            "tasks": self.tasks,
            "overall": self.overall,
            "partial": {task: list(langs) for task, langs in self.missing.items()},
            "languages": [self._language_to_json(each) for each in self.languages],
            "reference": [_score_to_json(with_caveats(score)) for each in self.reference for score in each.scores],
            "differences": [asdict(difference) for difference in self.differences()],
        }

    def _language_to_json(self, each: LanguageEvaluation) -> dict[str, Any]:
        cost = asdict(each.cost) | {"buckets": list(each.cost.buckets), "padding_cost": each.cost.padding_cost}
        return {
            "task": each.task,
            "lang": each.lang,
            "evaluation": each.id,
            "started_at": each.started_at,
            **cost,
            "token_premium": self.premium(each),
        }


def with_caveats(score: TaskEvaluation) -> TaskEvaluation:
    """Return the score with the caveats that its figures show; an earlier edgebench did not store them."""
    split, limit = score.protocol.get("split", "test"), score.protocol.get("limit")
    known = caveats_of(
        score.task,
        score.lang,
        score.metric,
        score.value,
        score.n,
        split=split,
        limit=limit,
        known=score.caveats,
    )
    return replace(score, caveats=known)


def differences(each: LanguageEvaluation, other: LanguageEvaluation) -> list[Difference]:
    """Return, for each metric of the task, what one's answers differ by from the other's to the same examples.

    Raises:
        NotComparable: they are answers to other examples.
    """
    found = []
    for score, theirs in zip(each.scores, other.scores, strict=True):
        if (score.ids, score.metric) != (theirs.ids, theirs.metric):
            raise NotComparable(f"{each.task} in {each.lang}: the two answer other examples, and can't be paired")
        found.append(
            Difference(
                task=each.task,
                lang=each.lang,
                metric=score.metric,
                difference=score.value - theirs.value,
                ci=_interval_of_difference(score, theirs),
                agreement=_agreement(each, other),
                n=score.n,
            )
        )
    return found


def _interval_of_difference(score: TaskEvaluation, other: TaskEvaluation) -> tuple[float, float] | None:
    if score.counts is None or other.counts is None:
        if (score.per_example == other.per_example).all():
            return None
        return estimate_difference(other.per_example, score.per_example, clusters=score.clusters).interval(LEVEL)
    if (score.counts == other.counts).all():
        return None
    if score.metric == "f1":
        return estimate_f1_difference(other.counts, score.counts, clusters=score.clusters).interval(LEVEL)
    return bootstrap_interval(score.units, lambda draws: score.resampled(draws) - other.resampled(draws))


def _agreement(each: LanguageEvaluation, other: LanguageEvaluation) -> float:
    pairs = list(zip(each.predictions, other.predictions, strict=True))
    group = all_tasks()[each.task].group
    if group == "tagging":
        pairs = [pair for mine, theirs in pairs for pair in zip(mine, theirs, strict=True)]
    if group == "retrieval":
        pairs = [(mine[:1], theirs[:1]) for mine, theirs in pairs]
    return sum(bool(mine == theirs) for mine, theirs in pairs) / len(pairs)


def _score_to_json(score: TaskEvaluation) -> dict[str, Any]:
    return {
        "task": score.task,
        "lang": score.lang,
        "metric": score.metric,
        "value": score.value,
        "n": score.n,
        "ci": list(score.ci) if score.ci is not None else None,
        "artifact_sha256": score.artifact_sha256,
        "variant": score.variant,
        "format": score.format,
        "device": score.device,
        "protocol": dict(score.protocol),
        "caveats": list(score.caveats),
    }
