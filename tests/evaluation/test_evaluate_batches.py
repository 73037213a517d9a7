"""The same answers in batches, in the buckets of TFLite, after an interrupt; and the tasks that no other test runs."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench.store import Store
from tests.evaluation.conftest import NLI, NewCheckpoint, answer, encode, texts, write, write_xnli
from tests.evaluation.test_evaluate import CLASSIFIER, ENCODER, nli_data, run
from tests.fork_server import edgebench_command
from tests.needed import need

need("torch", "onnxruntime")

pytestmark = pytest.mark.export


def predictions(folder: Path, pairs: list[tuple[str, str]], labels: tuple[str, ...]) -> list[str]:
    return [labels[int(answer(folder, CLASSIFIER, encode(*pair))["logits"].argmax())] for pair in pairs]


def test_batches_answer_what_single_examples_do(new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    folder = new_checkpoint(CLASSIFIER, NLI)
    data = nli_data(tmp_path / "data", langs=("sw",), count=10)
    (each,) = run(folder, tmp_path, tasks=["xnli"], data=tmp_path / "data", batch=4).languages
    assert list(each.predictions) == predictions(folder, data["pairs"]["sw"], NLI)
    assert (each.cost.batch, each.cost.inferences, each.scores[0].protocol["batch"]) == (4, 10, 4)
    assert each.cost.padding_cost is not None and each.cost.padding_cost > 1  # to the longest of each batch


@pytest.mark.long
def test_tflite_answers_in_its_buckets_and_reports_the_cost_of_padding(
    new_checkpoint: NewCheckpoint, tmp_path: Path
) -> None:
    need("litert_torch")
    folder = new_checkpoint(CLASSIFIER, NLI)
    data = nli_data(tmp_path / "data", langs=("sw",), count=10)
    (each,) = run(folder, tmp_path, tasks=["xnli"], data=tmp_path / "data", format="tflite-fp32").languages
    assert list(each.predictions) == predictions(folder, data["pairs"]["sw"], NLI)
    lengths = [len(encode(*pair)) for pair in data["pairs"]["sw"]]
    padded = [min(bucket for bucket in each.cost.buckets if bucket >= length) for length in lengths]
    assert each.cost.padding_cost == pytest.approx(sum(padded) / sum(lengths))
    assert each.scores[0].protocol["padding"] == "bucket"


@pytest.mark.long
def test_paraphrases_are_recognised_by_the_labels_of_paws_x(new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    folder = new_checkpoint(CLASSIFIER, ("0", "1"))
    pairs = list(zip(texts(3, 12), texts(4, 12), strict=True))
    labels = ["0", "1"] * 6
    write_xnli(tmp_path / "made", "de", pairs, labels)
    write(tmp_path / "data" / "pawsx" / "test-de.tsv", (tmp_path / "made" / "xnli" / "test-de.tsv").read_text())
    (each,) = run(folder, tmp_path, tasks=["PAWS-X"], data=tmp_path / "data").languages
    assert list(each.predictions) == predictions(folder, pairs, ("0", "1"))
    right = [prediction == label for prediction, label in zip(each.predictions, labels, strict=True)]
    assert each.scores[0].value == pytest.approx(100 * np.mean(right))


def test_a_mention_is_matched_with_the_entity_that_is_nearest(new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    folder = new_checkpoint(ENCODER)
    entities, sentences = texts(5, 15), texts(6, 6)
    lines = [
        {
            "context": {"language": "de", "text": text, "sentence_spans": [{"start": 0, "end": len(text)}]},
            "mentions": [{"example_id": f"m{at}", "entity_id": f"Q{at}", "mention_span": {"start": 0, "end": 2}}],
        }
        for at, text in enumerate(sentences)
    ]
    for line, text in zip(lines, sentences, strict=True):
        line["mentions"][0]["mention_span"]["text"] = text[:2]  # type: ignore[index]
    mentions = "\n".join(map(json.dumps, lines)) + "\n"
    write(tmp_path / "data" / "mewslix" / "wikinews_mentions-test.jsonl", mentions)
    described = [
        {"entity_id": f"Q{at}", "description": text, "sentence_spans": [{"start": 0, "end": len(text)}]}
        for at, text in enumerate(entities)
    ]
    write(tmp_path / "data" / "mewslix" / "candidate_set_entities.jsonl", "\n".join(map(json.dumps, described)) + "\n")
    evaluation = run(folder, tmp_path, tasks=["mewslix"], data=tmp_path / "data")
    (each,) = evaluation.languages
    assert "de" not in evaluation.missing["mewslix"]  # and no other language has a mention in the file
    assert len(evaluation.missing["mewslix"]) == 10

    def vector(ids: list[int]) -> Any:
        mean = answer(folder, ENCODER, ids)["last_hidden_state"].mean(axis=0)
        return mean / np.linalg.norm(mean)

    def of_mention(text: str) -> list[int]:
        # `xx: { xx } rest`: of the marks, the tokenizer of the tests knows the letters only
        marked = f"{text[:2]}: {{ {text[:2]} }} {text[2:]}"
        return [0, *(4 + ord(c) - ord("a") if c.isalpha() else 3 for c in marked if c != " "), 2]

    candidates = np.array([vector(encode(text)) for text in entities])
    for text, ranking in zip(sentences, each.predictions, strict=True):
        best = np.argsort(-(candidates @ vector(of_mention(text))), kind="stable")
        assert list(ranking)[:5] == [f"Q{at}" for at in best[:5]]


def test_an_interrupted_evaluation_keeps_the_languages_that_were_answered(
    new_checkpoint: NewCheckpoint, tmp_path: Path
) -> None:
    folder = new_checkpoint(CLASSIFIER, NLI)
    data = nli_data(tmp_path / "data", langs=("sw",), count=6)
    many = 20_000  # so many that the second language takes a while
    write_xnli(tmp_path / "data", "th", data["pairs"]["sw"] * (many // 6), data["labels"] * (many // 6))
    command = [
        *edgebench_command(),
        *("evaluate", "--model", str(folder), "--format", "onnx-fp32"),
        *("--task", "xnli", "--lang", "sw,th", "--data", str(tmp_path / "data"), "--store", str(tmp_path / "store")),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    store = Store(tmp_path / "store")
    deadline = time.monotonic() + 600
    while not store.evaluations():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    assert [each.lang for each in store.evaluations()] == ["sw"]
