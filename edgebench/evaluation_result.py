"""TaskEvaluation: what an artifact's own answers score on a task in one language, with the score of each example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from edgebench.errors import StoreError
from edgebench.figures import Score
from edgebench.serialisation import from_plain
from edgebench.text import counted, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 1 << 22  # numbers that a resample holds in memory at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvaluation:
    """One metric of one task in one language, 0..100: the answers of one artifact to `n` examples.

    ids: of the examples, in order; two evaluations of the same ids can be paired. per_example: shape (n,), float64,
    0..100: each example's own value of the metric. `value` is its mean, unless there are `counts`, shape (n, 3), int64:
    correct, predicted and expected ones of each example, whose sums `value` (F1, precision or recall) is made of.
    `ci`: a two-sided 95 % percentile bootstrap interval over the examples; None where all examples are alike, which
    leaves nothing to resample. protocol: all that decides the value apart from the artifact.
    caveats: why the value may not mean what it seems to mean, a sentence each (see `xtreme_r.caveats`); empty where an
    earlier edgebench stored the evaluation, because only the figures are judged then.
    clusters: of each example, which text it is about; None where each is about its own, or where an earlier edgebench
    stored the evaluation. Texts are drawn in the place of examples, wherever these are resampled.
    """

    task: str
    lang: str
    metric: str
    value: float
    n: int
    ids: tuple[str, ...]
    per_example: NDArray[np.float64]
    protocol: Mapping[str, Any]
    artifact_sha256: str
    variant: str
    format: str
    device: str
    counts: NDArray[np.int64] | None = None
    ci: tuple[float, float] | None = None
    clusters: tuple[int, ...] | None = None
    caveats: tuple[str, ...] = ()

    def __repr__(self) -> str:
        interval = f" ({self.ci[0]:.2f} to {self.ci[1]:.2f})" if self.ci is not None else ""
        figure = f"{self.task} {self.lang}: {self.metric} {self.value:.2f}{interval}"
        return printable(f"<TaskEvaluation {figure}, {counted(self.n, 'example')}>")

    def resampled(self, draws: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the metric's value over each draw of texts, or of examples where each is by itself; shape (draws,).

        Args:
            draws: shape (draws, size), positions among `units`. The same ones for two evaluations of the same ids make
                a paired bootstrap.
        """
        import numpy as np

        rows = max(1, _BLOCK // max(1, draws.shape[1]))
        parts = [self._over(draws[at : at + rows]) for at in range(0, len(draws), rows)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _over(self, draws: NDArray[np.int64]) -> NDArray[np.float64]:
        import numpy as np

        if self.counts is None and self.clusters is None:
            return np.asarray(self.per_example[draws].mean(axis=1))
        if self.counts is None:
            totals, sizes = self._by_text(self.per_example), self._by_text(np.ones(self.n))
            return np.asarray(totals[draws].sum(axis=1) / sizes[draws].sum(axis=1))
        counts = self._by_text(self.counts)
        correct, predicted, expected = (counts[draws, column].sum(axis=1) for column in range(3))
        # F1 = 2 c / (p + e), which is 0 where nothing is right, as the harmonic mean has it
        over = {"precision": predicted, "recall": expected}.get(self.metric, (predicted + expected) / 2)
        return np.asarray(100.0 * correct / np.maximum(over, 0.5))

    @property
    def units(self) -> int:
        """How many texts or examples are independent of each other."""
        return self.n if self.clusters is None else len(set(self.clusters))

    def _by_text(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the sums of values over the examples of each text; the values where each is by itself."""
        import numpy as np

        if self.clusters is None:
            return values
        _, at = np.unique(np.asarray(self.clusters), return_inverse=True)
        totals = np.zeros((int(at.max()) + 1, *values.shape[1:]))
        np.add.at(totals, at, values)
        return totals

    def to_score(self) -> Score:
        """Return the value as a measurement shows it."""
        return Score(
            task=self.task,
            lang=self.lang,
            metric=self.metric,
            value=self.value,
            n=self.n,
            artifact_sha256=self.artifact_sha256,
            source=f"edgebench evaluate on {self.device}",
            caveats=self.caveats,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values, each example's included, as the store keeps them."""
        return {
            **{name: getattr(self, name) for name in self.__slots__},
            "ids": list(self.ids),
            "per_example": self.per_example.tolist(),
            "protocol": dict(self.protocol),
            "counts": None if self.counts is None else self.counts.tolist(),
            "ci": None if self.ci is None else list(self.ci),
            "clusters": None if self.clusters is None else list(self.clusters),
            "caveats": list(self.caveats),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TaskEvaluation:
        """Return what `to_json` described.

        Raises:
            StoreError: it is something else.
        """
        import numpy as np

        try:
            clusters = values.get("clusters")
            late = {"clusters", "caveats"}  # an earlier edgebench did not write them
            known = cls(**{name: values[name] for name in cls.__slots__ if name not in late})
            made = replace(
                known,
                ids=tuple(values["ids"]),
                per_example=np.asarray(values["per_example"], np.float64),
                counts=None if values["counts"] is None else np.asarray(values["counts"], np.int64).reshape(-1, 3),
                ci=None if values["ci"] is None else (float(values["ci"][0]), float(values["ci"][1])),
                clusters=None if clusters is None else tuple(int(each) for each in clusters),
                caveats=tuple(str(each) for each in values.get("caveats", ())),
            )
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise StoreError(f"this is no stored evaluation: {type(error).__name__}: {error}") from error
        _check_types(made)
        counted = made.n if made.counts is None else len(made.counts)
        clustered = made.n if made.clusters is None else len(made.clusters)
        if made.per_example.ndim != 1 or not len(made.ids) == len(made.per_example) == counted == clustered == made.n:
            raise StoreError(f"an evaluation of {made.task} in {made.lang} has columns of different lengths")
        return made


def _check_types(made: TaskEvaluation) -> None:
    """Refuse names that are no texts and figures that are no numbers: others may have written the document."""
    texts = (made.task, made.lang, made.metric, made.artifact_sha256, made.variant, made.format, made.device, *made.ids)
    if not (all(isinstance(text, str) for text in texts) and isinstance(made.protocol, Mapping)):
        raise StoreError("this is no stored evaluation: a name is no text")
    if type(made.value) not in (int, float) or type(made.n) is not int:
        raise StoreError("this is no stored evaluation: a figure is no number")


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageCost:
    """What the examples of a language cost, from the pass that answered them; what was not measured is None.

    latency_ms: of an example, all of its inferences together, or of a `batch` where that is more than one: mean, p50,
    p95 (None for fewer than 130) and max; each shape ran once before. tokens: of an example, mean. fertility,
    continued_words, words: as Rust et al. (2021) define them. padded_tokens: that the model works on, of an example.
    energy_j: of an example. english_tokens: of the English text that stands for an example, where the task comes
    with it (Tatoeba). latency_reasons: why the latencies do not count, although the scores do; empty: nothing is known
    against them; None: stored by an edgebench that did not judge them.
    """

    examples: int
    inferences: int
    batch: int
    latency_ms: Mapping[str, float | None]
    tokens: float
    padded_tokens: float | None
    buckets: tuple[int, ...]
    truncated: int
    fertility: float | None
    continued_words: float | None
    words: int | None
    energy_j: float | None
    energy_absent: str | None
    english_tokens: float | None = None
    latency_reasons: tuple[str, ...] | None = None

    @property
    def padding_cost(self) -> float | None:
        """How many times as many tokens the model works on as there are."""
        return self.padded_tokens / self.tokens if self.padded_tokens is not None and self.tokens else None


def _cost_from_json(values: Any) -> LanguageCost:
    return from_plain(LanguageCost, values, where="the cost", error=StoreError, allow_unknown=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageEvaluation:
    """One task in one language: its scores, what was answered, and what that cost.

    scores: one a metric, of the same examples. predictions: of each example, as the task has them. tokens: shape (n,),
    int64, of each example.
    """

    id: str
    started_at: str  # the host's clock, UTC, ISO 8601
    scores: tuple[TaskEvaluation, ...]
    predictions: tuple[Any, ...]
    tokens: NDArray[np.int64]
    cost: LanguageCost

    def __repr__(self) -> str:
        figures = ", ".join(f"{score.metric} {score.value:.2f}" for score in self.scores)
        return printable(
            f"<LanguageEvaluation {self.task} {self.lang}: {figures}, {counted(self.cost.examples, 'example')}>"
        )

    @property
    def task(self) -> str:
        """The task's name."""
        return self.scores[0].task

    @property
    def lang(self) -> str:
        """The language."""
        return self.scores[0].lang

    def with_clusters(self, clusters: tuple[int, ...] | None) -> LanguageEvaluation:
        """Return the same with the text that each example is about, if it lacks that."""
        if self.scores[0].clusters == clusters:
            return self
        return replace(self, scores=tuple(replace(score, clusters=clusters) for score in self.scores))

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as the store keeps them."""
        return {
            "id": self.id,
            "started_at": self.started_at,
            "scores": [score.to_json() for score in self.scores],
            "predictions": list(self.predictions),
            "tokens": self.tokens.tolist(),
            "cost": asdict(self.cost) | {"buckets": list(self.cost.buckets)},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LanguageEvaluation:
        """Return what `to_json` described.

        Raises:
            StoreError: it is something else.
        """
        import numpy as np

        try:
            made = cls(
                id=values["id"],
                started_at=values["started_at"],
                scores=tuple(TaskEvaluation.from_json(score) for score in values["scores"]),
                predictions=tuple(values["predictions"]),
                tokens=np.asarray(values["tokens"], np.int64),
                cost=_cost_from_json(values["cost"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise StoreError(f"this is no stored evaluation: {type(error).__name__}: {error}") from error
        if not made.scores or not all(isinstance(text, str) for text in (made.id, made.started_at)):
            raise StoreError("this is no stored evaluation: it has no score, or a name is no text")
        return made
