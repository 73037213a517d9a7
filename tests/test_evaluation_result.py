"""A score of an artifact's own answers: what its examples' shares amount to, and what a resample of them gives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebench.analysis.evaluation import differences
from edgebench.errors import ConfigError, StoreError
from edgebench.evaluation_result import LanguageCost, LanguageEvaluation, TaskEvaluation
from edgebench.stats import bootstrap_interval
from edgebench.store import Store
from edgebench.xtreme_r import metrics
from edgebench.xtreme_r.decoding import labels_of_checkpoint, rank, score_answers
from edgebench.xtreme_r.example_types import Candidate, Examples
from edgebench.xtreme_r.subsets import limited
from edgebench.xtreme_r.tasks import find_task


def evaluation(values: list[float], **changes: Any) -> TaskEvaluation:
    array = np.array(values)
    made = TaskEvaluation(
        task="xnli",
        lang="sw",
        metric="accuracy",
        value=float(array.mean()),
        n=len(values),
        ids=tuple(map(str, range(len(values)))),
        per_example=array,
        protocol={"batch": 1},
        artifact_sha256="a" * 64,
        variant="v",
        format="onnx-int8",
        device="pi4",
    )
    return replace(made, **changes)


def language(score: TaskEvaluation, predictions: list[str]) -> LanguageEvaluation:
    cost = LanguageCost(
        examples=score.n,
        inferences=score.n,
        batch=1,
        latency_ms={"p50": 2.0, "p95": None},
        tokens=7.5,
        padded_tokens=15.0,
        buckets=(16,),
        truncated=0,
        fertility=None,
        continued_words=None,
        words=None,
        energy_j=None,
        energy_absent="no sensor",
    )
    return LanguageEvaluation(
        id="ab12",
        started_at="2026-01-01T00:00:00Z",
        scores=(score,),
        predictions=tuple(predictions),
        tokens=np.arange(score.n),
        cost=cost,
    )


def test_a_resample_is_the_mean_of_its_examples() -> None:
    score = evaluation([100, 0, 100, 100])
    assert score.resampled(np.array([[0, 1], [2, 3], [1, 1]])).tolist() == [50, 100, 0]


def test_a_resample_of_counts_is_scored_as_a_whole() -> None:
    counts = np.array([[1, 2, 1], [0, 3, 1], [0, 0, 2]])
    for metric in ("f1", "precision", "recall"):
        score = evaluation([0, 0, 0], metric=metric, counts=counts)
        for draw in ([0, 1, 2], [0, 0, 1], [2, 2, 2]):
            correct, predicted, expected = counts[draw].sum(axis=0).tolist()
            whole = metrics.PrecisionRecall.of(correct=correct, predicted=predicted, expected=expected)
            assert score.resampled(np.array([draw])) == pytest.approx([getattr(whole, metric)])


def test_what_the_store_keeps_comes_back(tmp_path: Path) -> None:
    score = evaluation([100, 0], ci=(0.0, 100.0), counts=np.array([[1, 1, 1], [0, 1, 2]]))
    store = Store(tmp_path)
    store.write_evaluation(language(score, ["a", "b"]))
    found = store.evaluation("ab12")
    assert found is not None and store.evaluation("cd34") is None
    assert found.to_json() == language(score, ["a", "b"]).to_json()
    assert found.cost.padding_cost == 2
    assert store.evaluations(artifact_sha256="b" * 64) == []
    path = tmp_path / "evaluations" / "ab12.json"
    values = json.loads(path.read_text())
    values["scores"][0]["per_example"].pop()
    path.write_text(json.dumps(values))
    with pytest.raises(StoreError, match=r"ab12.json is damaged: .*columns of different lengths"):
        store.evaluation("ab12")


def test_a_bootstrap_interval_has_the_width_that_theory_gives() -> None:
    right = np.where(np.arange(400) % 4 == 0, 0.0, 100.0)  # 75 %
    interval = bootstrap_interval(400, lambda draws: right[draws].mean(axis=1))
    assert interval is not None
    half = 1.96 * 100 * (0.75 * 0.25 / 400) ** 0.5
    assert interval == pytest.approx((75 - half, 75 + half), abs=0.6)
    assert bootstrap_interval(5, lambda draws: np.full(len(draws), 100.0)) is None


def test_paired_differences_are_over_the_same_examples() -> None:
    ours, theirs = evaluation([100, 100, 0, 0] * 25), evaluation([100, 0, 0, 0] * 25)
    (found,) = differences(language(ours, ["a", "b", "c", "d"] * 25), language(theirs, ["a", "x", "c", "d"] * 25))
    assert (found.difference, found.agreement, found.n) == (25, 0.75, 100)
    # Of 100 examples 25 differ, all one way. The exact interval of a share of 25 % is 16.9 to 34.7; this one is wider,
    # because whether all differ one way is uncertain as well.
    assert found.ci == pytest.approx((14.7, 35.3), abs=0.7)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(1, 60), st.integers(0, 5))
def test_a_limit_keeps_shares_to_the_nearest_example(labels: list[str], limit: int, seed: int) -> None:
    ids = tuple(map(str, range(len(labels))))
    some = limited(
        Examples(task="xnli", lang="sw", ids=ids, inputs=tuple(labels), labels=tuple(labels)), limit, seed=seed
    )
    assert len(some) == min(limit, len(labels)) and list(some.ids) == sorted(set(some.ids), key=int)
    for label in set(labels):
        exact = len(some) * labels.count(label) / len(labels)
        assert some.labels is not None and abs(some.labels.count(label) - exact) < 1
    assert some.inputs == some.labels


def test_labels_are_taken_by_name_or_where_they_are_numbers_by_number(tmp_path: Path) -> None:
    def named(task: str, *names: str) -> tuple[str, ...]:
        (tmp_path / "config.json").write_text(json.dumps({"id2label": dict(enumerate(names))}))
        return labels_of_checkpoint(tmp_path, find_task(task))

    assert named("xnli", "ENTAILMENT", "neutral", "contradiction") == ("entailment", "neutral", "contradiction")
    assert named("pawsx", "LABEL_0", "LABEL_1") == ("0", "1")
    assert named("pawsx", "1", "0") == ("1", "0")
    for task, names in (("xnli", ("LABEL_0", "LABEL_1", "LABEL_2")), ("xnli", ("yes", "no")), ("xnli", ())):
        with pytest.raises(ConfigError):
            named(task, *names)


def test_rankings_are_scored_by_average_precision() -> None:
    task = find_task("lareqa")
    candidates = tuple(Candidate(name, name) for name in "abcd")
    examples = Examples(
        task="lareqa", lang="de", ids=("q", "r"), inputs=("", ""), labels=(("b",), ("a", "d")), candidates=candidates
    )
    vectors = np.eye(4, dtype=np.float32)
    queries = np.array([[0.9, 0.5, 0.1, 0], [0.9, 0.1, 0.2, 0.5]], np.float32)
    rankings = rank(task, examples, queries, vectors)
    assert rankings == [["a", "b", "c", "d"], ["a", "d", "c", "b"]]
    (score,) = score_answers(task, examples, rankings)
    assert (score.metric, score.per_example.tolist(), score.value) == ("map@20", [50, 100], 75)
