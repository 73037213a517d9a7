"""Tiny checkpoints with each task's head and a tokenizer of single characters, and small data in XTREME's layout."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.export.conftest import build

NLI = ("contradiction", "entailment", "neutral")
NewCheckpoint = Callable[..., Path]


def write_tokenizer(folder: Path, letters: str = "abcdefghijklmnopqrstuvwxyz") -> None:
    """Write a tokenizer.json of single characters that frames texts and pairs as XLM-R's does."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    vocab = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3} | {letter: 4 + i for i, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("."), "isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B:1 </s>:1", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def encode(first: str, second: str | None = None) -> list[int]:
    """Return the ids of a text or a pair of texts, worked out apart from the tokenizer's library."""

    def of(text: str) -> list[int]:
        return [4 + ord(letter) - ord("a") for letter in text if letter != " "]

    return [0, *of(first), 2] if second is None else [0, *of(first), 2, 2, *of(second), 2]


@functools.cache
def loaded(folder: Path, architecture: str) -> Any:
    """Return the checkpoint as a model of torch."""
    import transformers

    return getattr(transformers, architecture).from_pretrained(folder).eval()


def answer(folder: Path, architecture: str, ids: Sequence[Any]) -> dict[str, Any]:
    """Return what the checkpoint answers in torch to one input, as numpy arrays without a batch's axis."""
    import torch

    model = loaded(folder, architecture)
    with torch.inference_mode():
        batch = torch.tensor([list(ids)])
        outputs = model(input_ids=batch, attention_mask=torch.ones_like(batch))
    return {name: values[0].numpy() for name, values in outputs.items() if torch.is_tensor(values)}


@pytest.fixture(autouse=True)
def one_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Artifacts are made once for all of these tests."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(cache))


@pytest.fixture(scope="session")
def new_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> NewCheckpoint:
    """A function that makes the checkpoint of a class, with labels' names; each once."""
    made: dict[tuple[str, tuple[str, ...]], Path] = {}

    def make(architecture: str, labels: Sequence[str] = ()) -> Path:
        key = (architecture, tuple(labels))
        if key not in made:
            folder = tmp_path_factory.mktemp("evaluated") / architecture
            # Without labels as many as the checkpoints of tests/export have: a graph is traced once for both.
            model = build(architecture, num_labels=len(labels) or (2 if "QuestionAnswering" in architecture else 3))
            if labels:
                model.config.id2label = dict(enumerate(labels))
                model.config.label2id = {label: at for at, label in enumerate(labels)}
            model.save_pretrained(folder)
            write_tokenizer(folder)
            made[key] = folder
        return made[key]

    return make


def texts(seed: int, count: int, *, most: int = 20) -> list[str]:
    """Return distinct texts of one to three words."""
    stream = random.Random(seed)

    def word() -> str:
        return "".join(stream.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(stream.randint(2, most // 3)))

    return [" ".join(word() for _ in range(stream.randint(1, 3))) for _ in range(count)]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_xnli(data: Path, lang: str, pairs: Sequence[tuple[str, str]], labels: Sequence[str]) -> None:
    lines = ["\t".join((*pair, label)) for pair, label in zip(pairs, labels, strict=True)]
    write(data / "xnli" / f"test-{lang}.tsv", "\n".join(lines) + "\n")


def write_tatoeba(data: Path, lang: str, queries: Sequence[str], english: Sequence[str], rights: Sequence[int]) -> Path:
    """Write Tatoeba's two files, and its labels; return the folder of labels."""
    write(data / "tatoeba" / f"{lang}-en.{lang}", "\n".join(queries) + "\n")
    write(data / "tatoeba" / f"{lang}-en.en", "\n".join(english) + "\n")
    write(data / "labels" / "tatoeba" / f"test-{lang}.tsv", "\n".join(map(str, rights)) + "\n")
    return data / "labels"


def squad(context: str, questions: Sequence[tuple[str, str, str]]) -> str:
    """Return a document in SQuAD's layout: (id, question, answer) about one context."""
    asked = [
        {"id": id, "question": question, "answers": [{"text": text, "answer_start": context.find(text)}]}
        for id, question, text in questions
    ]
    return json.dumps({"version": "1", "data": [{"paragraphs": [{"context": context, "qas": asked}]}]})
