"""Retrieval of parallel texts: what a file may look like, and accuracies worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench.errors import ScoresError
from edgebench.xtreme_r.retrieval import nearest, nearest_candidates, pooled, read_parallel, retrieve


def written(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "parallel.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


TEXTS = {"sw": ["moja", "mbili"], "en": ["one", "two"]}


@pytest.mark.parametrize("document", [TEXTS, {"_readme": "where it is from", "articles": TEXTS}])
def test_the_pivot_comes_first(tmp_path: Path, document: Any) -> None:
    found = read_parallel(written(tmp_path, document))
    assert list(found) == ["en", "sw"]
    assert found["sw"] == ["moja", "mbili"]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("{", "not JSON"),
        (["one"], "not parallel texts"),
        ({"en": ["one", 2], "sw": ["moja", "mbili"]}, "not parallel texts"),
        ({"sw": ["moja", "mbili"]}, "retrieval needs en and one more"),
        ({"en": ["one", "two"]}, "retrieval needs en and one more"),
        ({"en": ["one", "two"], "sw": ["moja"]}, "sw has 1 text and en has 2"),
        ({"en": ["one"], "sw": ["moja"]}, "needs two or more"),
        ({}, "has no text in it"),
    ],
)
def test_another_file_is_one_clear_line(tmp_path: Path, document: Any, problem: str) -> None:
    path = written(tmp_path, document)
    with pytest.raises(ScoresError, match=problem) as error:
        read_parallel(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScoresError, match=r"can't read .*nothing\.json"):
        read_parallel(tmp_path / "nothing.json")


def test_padding_is_no_part_of_a_vector() -> None:
    states = np.array([[3.0, 0.0], [1.0, 4.0], [99.0, 99.0]], np.float32)
    assert pooled(states, 2) == pytest.approx(np.array([2.0, 2.0]) / np.sqrt(8))


def test_accuracy_is_the_share_of_texts_whose_nearest_is_their_own() -> None:
    en = np.eye(4)
    sw = np.eye(4)[[0, 1, 3, 3]]  # the third is taken for the fourth
    yo = np.eye(4)[[1, 0, 3, 2]]
    found = retrieve(np.concatenate([en, sw, yo]), ["en", "sw", "yo"])
    assert found.accuracy == {"sw": 75.0, "yo": 0.0}
    assert (found.n, found.mean, found.worst) == (4, 37.5, "yo")
    assert nearest(sw, en).tolist() == [0, 1, 3, 3]
    assert found.to_json()["pivot"] == "en"


# --- many candidates --------------------------------------------------------------------------------------------


def test_the_nearest_candidates_are_those_of_all_blocks() -> None:
    chance = np.random.default_rng(3)
    queries, candidates = (chance.normal(size=(count, 8)).astype(np.float32) for count in (7, 301))
    cosine = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float64) @ (
        candidates / np.linalg.norm(candidates, axis=1, keepdims=True)
    ).T.astype(np.float64)
    expected = np.argsort(-cosine, axis=1)[:, :20]
    for block in (10, 64, 1000):
        assert nearest_candidates(queries, candidates, count=20, block=block).tolist() == expected.tolist()


def test_of_equally_near_candidates_the_first_comes_first() -> None:
    candidates = np.array([[0, 1], [1, 0], [2, 0], [3, 0], [1, 0]], np.float32)
    for block in (1, 2, 5):
        assert nearest_candidates(np.array([[5, 0]], np.float32), candidates, count=3, block=block).tolist() == [
            [1, 2, 3]
        ]


def test_fewer_candidates_than_asked_for_are_all_returned() -> None:
    assert nearest_candidates(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), count=20).tolist() == [
        [0, 1],
        [1, 0],
    ]


def test_candidates_may_stay_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "candidates.npy", np.eye(4, dtype=np.float32))
    mapped = np.load(tmp_path / "candidates.npy", mmap_mode="r")
    assert nearest_candidates(np.eye(4, dtype=np.float32)[[2]], mapped, count=1, block=3).tolist() == [[2]]


@pytest.mark.parametrize(
    ("vector", "problem"), [([0.0, 0.0], "candidate 1 is zero"), ([np.nan, 1.0], "candidate 1 is zero or not finite")]
)
def test_a_vector_without_a_direction_is_refused(vector: list[float], problem: str) -> None:
    candidates = np.array([[1.0, 0.0], vector], np.float32)
    with pytest.raises(ScoresError, match=problem):
        nearest_candidates(np.eye(2, dtype=np.float32), candidates, count=1, block=1)


def test_other_dimensions_are_refused() -> None:
    with pytest.raises(ScoresError, match=r"queries of shape \(2, 2\) can't be matched with candidates of \(3, 3\)"):
        nearest_candidates(np.eye(2, dtype=np.float32), np.eye(3, dtype=np.float32), count=1)
