"""How long scoring takes: tags, answers, and queries against a million candidates.

    python -m benchmarks.scoring

Random, seeded. The candidates are a file that is memory-mapped, in a folder that is removed; peak memory is the whole
process's, in which nothing else runs.
"""

from __future__ import annotations

import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgebench.xtreme_r.metrics import SEQEVAL_VERSIONS, answers, mlqa_normaliser, normalise_squad, tagging
from edgebench.xtreme_r.retrieval import nearest_candidates
from edgebench.xtreme_r.tasks import all_tasks

_TOKENS, _ANSWERS = 1_000_000, 100_000
_QUERIES, _CANDIDATES, _HIDDEN = 1_000, 1_000_000, 384
_WORDS = ["the", "a", "Haus", "casa", "北京", "là", "của", "ال", "in", "1998", "(Paris)", "river,", "mountain"]


def main() -> None:
    """Print a line per measurement."""
    chance = random.Random(1)
    tags = all_tasks()["udpos"].labels
    labels = [[chance.choice(tags) for _ in range(20)] for _ in range(_TOKENS // 20)]
    found = [[tag if chance.random() < 0.8 else chance.choice(tags) for tag in sentence] for sentence in labels]
    for version in SEQEVAL_VERSIONS:
        _timed(f"{_TOKENS:,} tags, as seqeval {version}", lambda v=version: tagging(labels, found, seqeval=v))
    golds = {str(n): [" ".join(chance.choices(_WORDS, k=4))] for n in range(_ANSWERS)}
    guesses = {id: " ".join(chance.choices(_WORDS, k=4)) for id in golds}
    _timed(f"{_ANSWERS:,} answers, SQuAD's normaliser", lambda: answers(golds, guesses, normalise_squad))
    _timed(f"{_ANSWERS:,} answers, MLQA's for zh", lambda: answers(golds, guesses, mlqa_normaliser("zh")))
    _retrieval()
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def _retrieval() -> None:
    numbers = np.random.default_rng(1)
    queries = numbers.standard_normal((_QUERIES, _HIDDEN), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidates.npy"
        written = np.lib.format.open_memmap(path, "w+", np.float32, (_CANDIDATES, _HIDDEN))
        for start in range(0, _CANDIDATES, 50_000):
            written[start : start + 50_000] = numbers.standard_normal((50_000, _HIDDEN), np.float32)
        del written
        _timed(
            f"{_QUERIES:,} queries against {_CANDIDATES:,} candidates of {_HIDDEN} dimensions, 20 nearest",
            lambda: nearest_candidates(queries, np.load(path, mmap_mode="r"), count=20),
        )


def _timed(what: str, work: Callable[[], object]) -> None:
    start = time.perf_counter()
    work()
    print(f"{time.perf_counter() - start:6.2f} s  {what}", flush=True)


if __name__ == "__main__":
    main()
