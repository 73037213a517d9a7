"""ONNX files of a sentence encoder in one process, one thread: vectors of texts, and times of two files in turn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgebench.xtreme_r.retrieval import Vectors, pooled

_WARM_UP = 10
_LEVEL = 0.95
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """The median of pairwise ratios of two files' times, with its interval (bootstrap, 95 %), and their medians."""

    thread: float  # of CPU time of the calling thread
    low: float
    high: float
    wall: float
    medians_ms: tuple[float, float]  # thread time

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


def time_in_turn(baseline: OnnxFile, candidate: OnnxFile, ids: Sequence[int], *, pairs: int) -> Ratio:
    """Return how long `candidate` takes relative to `baseline` for one input; which is first changes with each pair."""
    files = (baseline, candidate)
    feeds = [file.feeds(ids) for file in files]
    times = np.zeros((pairs, 2, 2))
    for pair in range(-_WARM_UP, pairs):
        for at in (0, 1) if pair % 2 else (1, 0):
            measured = files[at].run_ns(feeds[at])
            if pair >= 0:
                times[pair, at] = measured
    ratios = times[:, 1] / times[:, 0]
    drawn = np.random.default_rng(0).integers(0, pairs, (_RESAMPLES, pairs))
    low, high = np.quantile(np.median(ratios[drawn, 0], axis=1), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    thread, wall = np.median(ratios, axis=0)
    first_ms, second_ms = np.median(times[:, :, 0], axis=0) / 1e6
    return Ratio(
        thread=float(thread), low=float(low), high=float(high), wall=float(wall), medians_ms=(first_ms, second_ms)
    )


def random_ids(vocab_size: int, tokens: int) -> list[int]:
    """Return seeded ids of that many tokens, without the special ones at the start of the vocabulary."""
    return np.random.default_rng(0).integers(5, vocab_size, tokens).tolist()
