"""What a checkpoint scores in languages that its target was not tuned in, by torch on this machine.

    python zero_shot.py runs/* --data data

For classification (XNLI, PAWS-X). What the exported file scores on a board, and of every task: `edgebench evaluate`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from edgebench.xtreme_r.example_types import Pair
from edgebench.xtreme_r.examples import find_data, read_task

BATCH = 32
MAX_LEN = 128  # tokens, as XTREME's evaluation has it


def accuracy(checkpoint: Path, task: str, lang: str, data: Path) -> float:
    """Return the percentage of a task's test examples that are answered rightly."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    examples = read_task(data, task, lang)
    if examples.labels is None:
        raise SystemExit(f"{data}: {task} in {lang} has no labels")
    max_len = min(MAX_LEN, model.config.max_position_embeddings - 2)
    pairs = [example for example in examples.inputs if isinstance(example, Pair)]
    answers: list[str] = []
    for start in range(0, len(pairs), BATCH):
        of = pairs[start : start + BATCH]
        batch = tokenizer(
            [pair.first for pair in of],
            [pair.second for pair in of],
            truncation=True,
            max_length=max_len,
            padding=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            answers += [model.config.id2label[int(best)] for best in model(**batch).logits.argmax(-1)]
    return 100 * sum(a == b for a, b in zip(answers, examples.labels, strict=True)) / len(answers)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--task", default="xnli", choices=("xnli", "pawsx"))
    options = parser.parse_args(arguments)
    langs = find_data(options.data)[options.task].langs
    print("checkpoint", *langs, sep="\t")
    for checkpoint in options.checkpoints:
        scores = [accuracy(checkpoint, options.task, lang, options.data) for lang in langs]
        print(checkpoint.name, *(f"{score:.1f}" for score in scores), sep="\t", flush=True)


if __name__ == "__main__":
    main()
