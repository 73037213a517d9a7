"""Tagging, questions and choices: each with its own way from an example to sequences and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgebench
from edgebench.analysis import Evaluation
from tests.evaluation.conftest import NewCheckpoint, answer, encode, loaded, squad, texts, write
from tests.needed import need

need("torch", "onnxruntime")

pytestmark = pytest.mark.export
TAGGER, READER, CHOOSER = (
    f"XLMRobertaFor{kind}" for kind in ("TokenClassification", "QuestionAnswering", "MultipleChoice")
)
TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
ROOM = 62  # of the 64 tokens that a tiny checkpoint takes, two frame them


def run(folder: Path, tmp_path: Path, task: str, lang: str, **options: Any) -> Evaluation:
    return edgebench.evaluate(
        folder,
        store=tmp_path / "store",
        data=tmp_path / "data",
        tasks=[task],
        langs=[lang],
        format="onnx-fp32",
        **options,
    )


def entities(tags: list[str]) -> set[tuple[int, int, str]]:
    """Return (first, last, type) of each entity: what begins with B, or with I after another type, and goes on."""
    found: list[list[Any]] = []
    before = "O"
    for at, tag in enumerate(tags):
        if tag[0] == "B" or (tag[0] == "I" and before[2:] != tag[2:]):
            found.append([at, at, tag[2:]])
        elif tag[0] == "I":
            found[-1][1] = at
        before = tag
    return {(first, last, kind) for first, last, kind in found}


def entity_scores(labels: list[list[str]], guesses: list[list[str]]) -> dict[str, float]:
    pairs = [(entities(right), entities(guess)) for right, guess in zip(labels, guesses, strict=True)]
    correct, predicted, expected = (
        sum(map(len, sets)) for sets in ([a & b for a, b in pairs], [b for _, b in pairs], [a for a, _ in pairs])
    )
    return {
        "f1": 200 * correct / (predicted + expected) if predicted + expected else 0.0,
        "precision": 100 * correct / predicted if predicted else 0.0,
        "recall": 100 * correct / expected if expected else 0.0,
    }


@pytest.mark.long
def test_a_words_tag_is_that_of_its_first_piece_also_in_a_sentence_of_several_parts(
    new_checkpoint: NewCheckpoint, tmp_path: Path
) -> None:
    folder = new_checkpoint(TAGGER, TAGS)
    sentences = [line.split() for line in texts(3, 10)] + [" ".join(texts(4, 8, most=40)).split()]
    assert sum(map(len, sentences[-1])) > ROOM
    stream = np.random.default_rng(0)
    labels = [[TAGS[at] for at in stream.integers(0, 3, len(words))] for words in sentences]
    blocks = ["\n".join(map("\t".join, zip(*pair, strict=True))) for pair in zip(sentences, labels, strict=True)]
    write(tmp_path / "data" / "panx" / "test-sw.tsv", "\n\n".join(blocks) + "\n")

    def tags(words: list[str]) -> list[str]:
        """Cut a sentence where the next word has no more room, and take the label at each word's first letter."""
        parts: list[list[str]] = [[]]
        for word in words:
            if sum(map(len, parts[-1])) + len(word) > ROOM:
                parts.append([])
            parts[-1].append(word)
        found = []
        for part in parts:
            best = answer(folder, TAGGER, encode("".join(part)))["logits"].argmax(axis=-1)
            starts = [1 + sum(map(len, part[:at])) for at in range(len(part))]
            found += [TAGS[best[start]] for start in starts]
        return found

    expected = [tags(words) for words in sentences]
    evaluation = run(folder, tmp_path, "panx", "sw", seqeval="1.2.2")
    (each,) = evaluation.languages
    assert list(each.predictions) == expected
    scores = {score.metric: score.value for score in each.scores}
    assert scores == pytest.approx(entity_scores(labels, expected))
    assert each.cost.inferences > len(sentences)
    draw = np.arange(len(sentences))[None]
    for score in each.scores:
        assert score.resampled(draw) == pytest.approx([score.value])
        alone = [entity_scores([r], [g])[score.metric] for r, g in zip(labels, expected, strict=True)]
        assert score.per_example.tolist() == pytest.approx(alone)
    assert each.cost.words == sum(map(len, sentences))


@pytest.mark.long
def test_an_answer_is_the_best_span_over_all_windows(new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    folder = new_checkpoint(READER)
    context = " ".join(texts(5, 14))  # some 140 letters: several windows of 64 tokens
    questions = [(f"q{at}", text, context.split()[at]) for at, text in enumerate(texts(6, 6, most=9))]
    write(tmp_path / "data" / "xquad" / "xquad.de.json", squad(context, questions))
    letters = [at for at, letter in enumerate(context) if letter != " "]

    def best(question: str) -> str:
        """Windows of 64 tokens that share 64 // 3, as run_qa.py's; the largest sum of a start and an end in one."""
        asked = encode(question)[1:-1]
        asked = asked[: 64 // 6]
        room = 64 - len(asked) - 4
        found = []
        at = 0
        while True:
            window = letters[at : at + room]
            ids = [0, *asked, 2, 2, *(4 + ord(context[p]) - ord("a") for p in window), 2]
            told = answer(folder, READER, ids)
            skip = len(asked) + 3
            starts, ends = (told[f"{side}_logits"] for side in ("start", "end"))
            top = [set(np.argsort(logits)[-20:]) for logits in (starts, ends)]
            for s in range(len(window)):
                for e in range(s, min(len(window), s + 30)):
                    if s + skip in top[0] and e + skip in top[1]:
                        score = float(starts[s + skip]) + float(ends[e + skip])
                        found.append((score, context[window[s] : window[e] + 1]))
            if at + room >= len(letters):
                return max(found)[1]
            at += room - 64 // 3

    expected = [best(question) for _, question, _ in questions]
    evaluation = run(folder, tmp_path, "xquad", "de")
    (each,) = evaluation.languages
    assert list(each.predictions) == expected
    assert {score.metric for score in each.scores} == {"f1", "em"}
    em = [100.0 * (guess == text) for guess, (_, _, text) in zip(expected, questions, strict=True)]
    assert next(score for score in each.scores if score.metric == "em").per_example.tolist() == em
    assert each.cost.inferences > len(questions)
    assert each.scores[0].protocol["max_len"] == 64


@pytest.mark.long
def test_a_choice_is_phrased_as_in_xtreme_r(new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    folder = new_checkpoint(CHOOSER)
    lines = [
        {"premise": a, "choice1": b, "choice2": c, "question": ("cause", "effect")[at % 2], "label": at % 2, "idx": at}
        for at, (a, b, c) in enumerate(zip(texts(8, 12, most=12), texts(9, 12), texts(10, 12), strict=True))
    ]
    write(tmp_path / "data" / "xcopa" / "test.sw.jsonl", "\n".join(map(json.dumps, lines)) + "\n")

    def chosen(line: dict[str, Any]) -> int:
        import torch

        model = loaded(folder, CHOOSER)
        unknown = {"W": 3, "?": 3}  # no letters of the tokenizer
        asked = f"{line['premise']} What was the {line['question']}?".replace(" ", "")
        first = [unknown.get(letter) or 4 + ord(letter) - ord("a") for letter in asked]
        rows = [[0, *first, 2, *encode("", line[choice])[2:]] for choice in ("choice1", "choice2")]
        longest = max(map(len, rows))
        ids = torch.tensor([[row + [1] * (longest - len(row)) for row in rows]])
        with torch.inference_mode():
            return int(model(input_ids=ids, attention_mask=(ids != 1).long()).logits[0].argmax())

    evaluation = run(folder, tmp_path, "xcopa", "sw")
    (each,) = evaluation.languages
    expected = [chosen(line) for line in lines]
    assert list(each.predictions) == expected
    right = [100.0 * (guess == line["label"]) for guess, line in zip(expected, lines, strict=True)]
    assert each.scores[0].per_example.tolist() == right
