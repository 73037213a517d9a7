"""What an artifact answers on a board scores what the checkpoint's own answers in torch score."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgebench
from edgebench.analysis import Evaluation
from edgebench.store import Store
from tests.evaluation.conftest import (
    NLI,
    NewCheckpoint,
    answer,
    encode,
    texts,
    write_tatoeba,
    write_xnli,
)
from tests.needed import need
from tests.schemas import check_schema

need("torch", "onnxruntime")

pytestmark = pytest.mark.export
CLASSIFIER, ENCODER = "XLMRobertaForSequenceClassification", "XLMRobertaModel"


def nli_data(folder: Path, *, langs: tuple[str, ...] = ("sw", "en"), count: int = 24) -> dict[str, Any]:
    """Write XNLI in some languages; return the pairs of each and the labels, which are the same in all."""
    labels = [NLI[at % 3] for at in range(count)]
    pairs = {
        lang: list(zip(texts(7 * at, count), texts(7 * at + 1, count), strict=True)) for at, lang in enumerate(langs)
    }
    for lang in langs:
        write_xnli(folder, lang, pairs[lang], labels)
    return {"pairs": pairs, "labels": labels}


def run(folder: Path, tmp_path: Path, **options: Any) -> Evaluation:
    return edgebench.evaluate(folder, store=tmp_path / "store", **{"format": "onnx-fp32", **options})


def test_a_classification_scores_what_torch_scores(new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    folder = new_checkpoint(CLASSIFIER, NLI)
    data = nli_data(tmp_path / "data")
    evaluation = run(folder, tmp_path, tasks=["xnli"], data=tmp_path / "data", langs=["sw", "en"])
    for score in evaluation.scores:
        pairs = data["pairs"][score.lang]
        ids = [encode(*pair) for pair in pairs]
        guesses = [NLI[int(answer(folder, CLASSIFIER, each)["logits"].argmax())] for each in ids]
        right = [100.0 * (guess == label) for guess, label in zip(guesses, data["labels"], strict=True)]
        assert score.per_example.tolist() == right
        assert score.value == pytest.approx(sum(right) / len(right))
        assert (score.n, score.metric, score.artifact_sha256) == (24, "accuracy", evaluation.artifact.sha256)
        assert score.ci is not None and score.ci[0] <= score.value <= score.ci[1]
    sw, en = evaluation.languages
    lengths = {lang: [len(encode(*pair)) for pair in data["pairs"][lang]] for lang in ("sw", "en")}
    assert sw.tokens.tolist() == lengths["sw"]
    assert evaluation.premium(sw) == pytest.approx(sum(lengths["sw"]) / sum(lengths["en"]))
    assert evaluation.premium(en) == 1
    words = " ".join(f"{a} {b}" for a, b in data["pairs"]["sw"]).split()
    assert sw.cost.fertility == pytest.approx(sum(map(len, words)) / len(words))  # a piece is a letter
    assert sw.cost.continued_words == 1
    assert sw.cost.padding_cost == 1
    assert 0 < sw.cost.latency_ms["p50"] <= sw.cost.latency_ms["max"]
    assert sw.cost.latency_ms["p95"] is None  # 24 examples are too few
    assert evaluation.tasks == {"xnli": pytest.approx((sw.scores[0].value + en.scores[0].value) / 2)}
    assert evaluation.overall is None


@pytest.mark.long
def test_retrieval_finds_what_torch_finds_nearest(new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    folder = new_checkpoint(ENCODER)
    queries, english = texts(1, 20), texts(2, 20)
    rights = list(range(20))
    labels = write_tatoeba(tmp_path / "data", "sw", queries, english, rights)
    evaluation = run(folder, tmp_path, tasks=["tatoeba"], data=tmp_path / "data", labels=labels)

    def vectors(lines: list[str]) -> Any:
        means = [answer(folder, ENCODER, encode(line))["last_hidden_state"].mean(axis=0) for line in lines]
        return np.array([mean / np.linalg.norm(mean) for mean in means])

    nearest = (vectors(queries) @ vectors(english).T).argmax(axis=1)
    (each,) = evaluation.languages
    assert [prediction for (prediction,) in each.predictions] == [str(at) for at in nearest]
    assert each.scores[0].value == pytest.approx(100 * np.mean(nearest == np.arange(20)))
    tokens = [sum(len(encode(line)) for line in lines) for lines in (queries, english)]
    assert evaluation.premium(each) == pytest.approx(tokens[0] / tokens[1])


@pytest.mark.long
def test_what_the_store_has_is_not_answered_again(new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    folder = new_checkpoint(CLASSIFIER, NLI)
    nli_data(tmp_path / "data")
    options: dict[str, Any] = {"tasks": ["xnli"], "data": tmp_path / "data"}
    first = run(folder, tmp_path, langs=["sw"], **options)
    second = run(folder, tmp_path, langs=["sw", "en"], **options)
    assert [each.started_at == first.languages[0].started_at for each in second.languages] == [True, False]
    assert second.languages[0].scores[0].per_example.tolist() == first.scores[0].per_example.tolist()
    again = run(folder, tmp_path, langs=["sw"], again=True, **options)
    assert again.languages[0].started_at != first.languages[0].started_at
    limited = run(folder, tmp_path, langs=["sw"], limit=6, **options)
    assert limited.languages[0].id != first.languages[0].id
    kept = Store(tmp_path / "store").evaluations(artifact_sha256=first.artifact.sha256)
    assert {each.id for each in kept} == {each.id for each in (*second.languages, *limited.languages)}
    assert Store(tmp_path / "store").evaluations(artifact_sha256="0" * 64) == []


def test_a_limit_keeps_the_shares_of_the_labels_and_the_same_examples_in_each_language(
    new_checkpoint: NewCheckpoint, tmp_path: Path
) -> None:
    folder = new_checkpoint(CLASSIFIER, NLI)
    data = nli_data(tmp_path / "data")
    evaluation = run(folder, tmp_path, tasks=["xnli"], data=tmp_path / "data", langs=["sw", "en"], limit=9)
    sw, en = evaluation.scores
    assert sw.ids == en.ids
    assert sorted(data["labels"][int(id)] for id in sw.ids) == sorted(NLI * 3)
    assert (sw.n, sw.protocol["limit"], sw.protocol["seed"]) == (9, 9, 0)


def test_the_fp32_artifact_on_the_host_shows_what_the_format_changed(
    new_checkpoint: NewCheckpoint, tmp_path: Path
) -> None:
    folder = new_checkpoint(CLASSIFIER, NLI)
    nli_data(tmp_path / "data")
    evaluation = run(
        folder, tmp_path, format="onnx-int8", tasks=["xnli"], data=tmp_path / "data", langs=["sw"], also=["host-fp32"]
    )
    (each,), (other,) = evaluation.languages, evaluation.reference
    assert (each.scores[0].format, other.scores[0].format) == ("onnx-int8", "onnx-fp32")
    (difference,) = evaluation.differences()
    same = [a == b for a, b in zip(each.predictions, other.predictions, strict=True)]
    assert difference.agreement == sum(same) / len(same)
    assert difference.difference == pytest.approx(each.scores[0].value - other.scores[0].value)
    changed = each.scores[0].per_example - other.scores[0].per_example
    if changed.any():
        assert difference.ci is not None
        spread = 1.96 * changed.std() / math.sqrt(len(changed))  # what a normal approximation gives
        assert difference.ci[1] - difference.ci[0] == pytest.approx(2 * spread, rel=0.4)
    else:
        assert difference.ci is None


@pytest.mark.long
def test_a_board_behind_ssh_scores_the_same(new_checkpoint: NewCheckpoint, tmp_path: Path, ssh_board: Any) -> None:
    folder = new_checkpoint(CLASSIFIER, NLI)
    nli_data(tmp_path / "data", count=12)
    options: dict[str, Any] = {"tasks": ["xnli"], "data": tmp_path / "data", "langs": ["sw"]}
    board = replace(ssh_board.device(), python=sys.executable)
    here = run(folder, tmp_path, **options)
    there = run(folder, tmp_path, device=board, **options)
    assert there.languages[0].id != here.languages[0].id  # another device: its latencies are its own
    assert there.scores[0].per_example.tolist() == here.scores[0].per_example.tolist()
    document = json.loads(json.dumps(there.to_json()))
    check_schema(document, "evaluate")
    for path in (tmp_path / "store" / "evaluations").glob("*.json"):
        check_schema(json.loads(path.read_text(encoding="utf-8")), "store-evaluation")
    (kind, _), *_ = (each.split(": ", 1) for each in document["scores"][0]["caveats"])
    assert kind == "partial"
    assert document["scores"][0] | {"protocol": {}, "caveats": []} == {
        "task": "xnli",
        "lang": "sw",
        "metric": "accuracy",
        "value": here.scores[0].value,
        "n": 12,
        "ci": list(here.scores[0].ci) if here.scores[0].ci else None,
        "artifact_sha256": here.artifact.sha256,
        "variant": CLASSIFIER,
        "format": "onnx-fp32",
        "device": board.name,
        "protocol": {},
        "caveats": [],
    }
