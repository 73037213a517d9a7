"""ONNX files of a sentence encoder in one process, one thread: vectors of texts, and times of two files in turn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from edgebench.xtreme_r.retrieval import Vectors, pooled

_WARM_UP = 10
_LEVEL = 0.95
_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """The ratio of two files' times: mean over the rounds of their median of pairwise ratios, 95 % t-interval."""

    thread: float  # of CPU time of the calling thread
    low: float
    high: float
    wall: float

    def __str__(self) -> str:
        return f"{self.thread:.3f} ({self.low:.3f} to {self.high:.3f}; wall clock {self.wall:.3f})"


class OnnxFile:
    """A session on the CPU with one thread, and the inputs that the file takes."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.output = self.session.get_outputs()[0].name

    def feeds(self, ids: Sequence[int]) -> dict[str, Any]:
        """Return the inputs for one text, by name, in the types that the file declares."""
        row = np.array([ids], np.int64)
        known = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
        kinds = {each.name: np.int32 if "int32" in each.type else np.int64 for each in self.session.get_inputs()}
        return {name: known[name].astype(kind) for name, kind in kinds.items()}

    def vectors(self, sequences: Sequence[Sequence[int]]) -> Vectors:
        """Return the mean-pooled states of each text, of unit length. Shape (texts, hidden)."""
        states = (self.session.run([self.output], self.feeds(ids))[0][0] for ids in sequences)
        return np.stack([pooled(each, len(each)) for each in states])

    def run_ns(self, feeds: dict[str, Any]) -> tuple[int, int]:
        """Run one inference; return its CPU time in this thread, and its time on the wall clock."""
        wall, thread = time.perf_counter_ns(), time.thread_time_ns()
        self.session.run([self.output], feeds)
        return time.thread_time_ns() - thread, time.perf_counter_ns() - wall


def time_in_turn(baseline: Path, candidate: Path, ids: Sequence[int], *, pairs: int) -> Ratio:
    """Return how long `candidate` takes relative to `baseline` for one input.

    Each round opens both files anew, because two sessions of one file can differ by 3 %. Which file is first changes
    with each round and each pair.

    Args:
        pairs: of inferences, in all rounds together.
    """
    rounds = [
        _round((baseline, candidate), ids, pairs=-(-pairs // _ROUNDS), swapped=bool(n % 2)) for n in range(_ROUNDS)
    ]
    logs = np.log([np.median(times[:, 1, 0] / times[:, 0, 0]) for times in rounds])
    half = stats.t.ppf((1 + _LEVEL) / 2, _ROUNDS - 1) * logs.std(ddof=1) / np.sqrt(_ROUNDS)
    walls = [np.median(times[:, 1, 1] / times[:, 0, 1]) for times in rounds]
    return Ratio(
        thread=float(np.exp(logs.mean())),
        low=float(np.exp(logs.mean() - half)),
        high=float(np.exp(logs.mean() + half)),
        wall=float(np.exp(np.log(walls).mean())),
    )


def _round(paths: tuple[Path, Path], ids: Sequence[int], *, pairs: int, swapped: bool) -> NDArray[np.float64]:
    """Return the times of both files, ns. Shape (pairs, 2 files, thread and wall clock)."""
    order = (1, 0) if swapped else (0, 1)
    opened = {at: OnnxFile(paths[at]) for at in order}
    feeds = {at: file.feeds(ids) for at, file in opened.items()}
    times = np.zeros((pairs, 2, 2))
    for pair in range(-_WARM_UP, pairs):
        for at in order if pair % 2 else order[::-1]:
            measured = opened[at].run_ns(feeds[at])
            if pair >= 0:
                times[pair, at] = measured
    return times


def random_ids(vocab_size: int, tokens: int) -> list[int]:
    """Return seeded ids of that many tokens, without the special ones at the start of the vocabulary."""
    return np.random.default_rng(0).integers(5, vocab_size, tokens).tolist()
