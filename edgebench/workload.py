"""Workload: what a device runs, whatever the device is; RunPlan: how often and how long; the encoded inputs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from edgebench.errors import ConfigError, UnknownName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_SEQ_LEN = 128

#: Bounds of a run; the agent refuses more (RunSpec in its protocol).
MAX_SEQ_LEN = 1 << 20
MAX_BATCH = 1 << 16
MAX_TEXTS = 1 << 20
MAX_THREADS = 4096
MAX_CHOICES = 1 << 10
MAX_COUNT = 10_000_000
MIN_RATE, MAX_RATE = 0.001, 1e6  # queries a second
MAX_BOUND_MS = 3.6e6
MAX_RUNS = 10_000
MAX_DURATION_S = 7 * 86_400.0
MAX_SUSTAINED_MIN = 24 * 60.0
_LAST_PASS_S = 60.0


class Scenario(StrEnum):
    """How inferences follow each other, under MLPerf Inference's names for its scenarios."""

    SINGLE_STREAM = "single-stream"  # the next query starts when the last has ended; latency
    MULTI_STREAM = "multi-stream"  # the same, each query of several samples at once (a batch); latency of the query
    OFFLINE = "offline"  # all samples are available from the start, in any order; throughput
    SERVER = "server"  # queries arrive at random (Poisson); latency from the arrival on, waiting included


class Padding(StrEnum):
    """To which length the inputs of a batch are padded."""

    LONGEST = "longest"  # to the longest of its batch
    BUCKET = "bucket"  # to the smallest length that the model is made for and that holds it


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a device runs, whatever the device is.

    At most one of `seq_len`, `lang` and `texts` gives the inputs; without any, they have 128 tokens. Token counts
    include special tokens.

    Args:
        seq_len: random tokens, so many in each input.
        lang: random tokens, in the lengths that parallel text has in this language.
        texts: texts, tokenised with the model's own tokenizer.
        texts_lang: the language of the texts, where they are parallel texts of several.
        batch: inputs in one inference.
        threads: of the runtime; None: the device profile's number.
        choices: sequences of one multiple-choice example; texts are taken so many in a row. None: what the model takes.
        truncate: cut inputs (of `texts` or `lang`) that are longer than the model allows, instead of refusing them.
        queries_per_s: rate of a server's queries, of one input each.
        latency_bound_ms: search the highest rate of a server whose p99 stays below this; then `queries_per_s` is None.
        affinity: numbers of the cores that the measuring process keeps to; None: all.

    Raises:
        ConfigError: a value is out of bounds, or values contradict each other.
        UnknownName: there are no token lengths for the language.
    """

    scenario: Scenario = Scenario.SINGLE_STREAM
    seq_len: int | None = None
    lang: str | None = None
    texts: tuple[str, ...] | None = None
    batch: int = 1
    threads: int | None = None
    padding: Padding = Padding.LONGEST
    choices: int | None = None
    truncate: bool = False
    queries_per_s: float | None = None
    latency_bound_ms: float | None = None
    affinity: tuple[int, ...] | None = None
    texts_lang: str | None = None

    def __post_init__(self) -> None:
        self._check_server()
        if self.affinity is not None and not (self.affinity and all(0 <= core < MAX_THREADS for core in self.affinity)):
            raise ConfigError(f"the cores to keep to must be 0 to {MAX_THREADS - 1}, got {self.affinity}")
        given = [name for name in ("seq_len", "lang", "texts") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"a workload has one of seq_len, lang and texts, got {' and '.join(given)}")
        if not given:
            object.__setattr__(self, "seq_len", DEFAULT_SEQ_LEN)
        if self.seq_len is not None:
            _check_count("seq_len", self.seq_len, MAX_SEQ_LEN)
        if self.lang is not None and self.lang not in token_lengths():
            raise UnknownName("language", self.lang, token_lengths())
        if self.texts_lang is not None and self.texts is None:
            raise ConfigError("texts_lang is the language of texts, and there are none; for token lengths use lang")
        if self.texts is not None and not self.texts:
            raise ConfigError("texts is empty; give at least one text")
        if self.texts is not None and len(self.texts) > MAX_TEXTS:
            raise ConfigError(f"{len(self.texts)} texts are too many; give at most {MAX_TEXTS}")
        _check_count("batch", self.batch, MAX_BATCH)
        if self.threads is not None:
            _check_count("threads", self.threads, MAX_THREADS)
        if self.choices is not None:
            _check_count("choices", self.choices, MAX_CHOICES)
        inputs = len(self.texts) // (self.choices or 1) if self.texts is not None else len(self.token_counts())
        if self.batch > inputs:
            raise ConfigError(f"batch {self.batch} is more than the {inputs} inputs of {self.label!r}; try {inputs}")

    def _check_server(self) -> None:
        rate, bound = self.queries_per_s, self.latency_bound_ms
        if (rate is not None or bound is not None) != (self.scenario is Scenario.SERVER):
            raise ConfigError(
                "a server needs the rate of its queries, or a bound to search one for; other scenarios take neither; "
                "try `scenario='server'` with `queries_per_s=N` or `latency_bound_ms=MS`"
            )
        if rate is not None and not MIN_RATE <= rate <= MAX_RATE:
            raise ConfigError(f"queries_per_s must be {MIN_RATE:g} to {MAX_RATE:g}, got {rate:g}")
        if bound is not None and not 0 < bound <= MAX_BOUND_MS:
            raise ConfigError(f"latency_bound_ms must be more than 0 and at most {MAX_BOUND_MS:g}, got {bound:g}")
        if self.scenario is Scenario.SERVER and self.batch != 1:
            raise ConfigError(f"a server's query is one input, not {self.batch}; leave `batch` out")

    @property
    def label(self) -> str:
        """A few characters for a table: `128 tok`, `sw`, `texts`, `sw texts`."""
        inputs = f"{self.seq_len} tok" if self.seq_len is not None else self.lang or "texts"
        if self.texts_lang is not None:
            inputs = f"{self.texts_lang} texts"
        if self.scenario is Scenario.SINGLE_STREAM:
            return inputs
        rate = f" {self.queries_per_s:g}/s" if self.queries_per_s is not None else ""
        return f"{inputs} {self.scenario}{rate}"

    def token_counts(self) -> list[int]:
        """Return the number of tokens of each input; empty for texts, which only a tokenizer can count."""
        if self.texts is not None:
            return []
        if self.lang is not None:
            return list(token_lengths()[self.lang])
        return [self.seq_len or DEFAULT_SEQ_LEN] * self.batch

    def to_json(self) -> dict[str, Any]:
        """Return plain values; texts by their hash, for they may be large or private."""
        values: dict[str, Any] = {"scenario": str(self.scenario)}
        if self.texts is not None:
            values["texts_sha256"] = texts_sha256(self.texts)
        elif self.lang is not None:
            values["lang"] = self.lang
        else:
            values["seq_len"] = self.seq_len
        values |= {"batch": self.batch, "threads": self.threads, "padding": str(self.padding)}
        special: dict[str, Any] = {
            "choices": self.choices,
            "queries_per_s": self.queries_per_s,
            "latency_bound_ms": self.latency_bound_ms,
            "truncate": self.truncate or None,
            "affinity": list(self.affinity) if self.affinity is not None else None,
            "texts_lang": self.texts_lang,
        }
        return values | {name: value for name, value in special.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """How often and how long: `runs` fresh processes, each until both minima are reached, at most `max_duration_s`.

    Args:
        runs: fresh processes for each cell.
        min_count: fewest inferences of a run.
        min_duration_s, max_duration_s: of a run, seconds.
        max_warmup_s: longest warm-up of a run, seconds. It ends as soon as latencies are known not to fall any more.
        sustained_min: one run of so many minutes instead, to measure what a board sustains when it gets hot.

    Raises:
        ConfigError: a value is out of bounds.
    """

    runs: int = 6
    min_count: int = 100
    min_duration_s: float = 2.0
    max_duration_s: float = 60.0
    max_warmup_s: float = 30.0
    sustained_min: float | None = None

    def __post_init__(self) -> None:
        if self.sustained_min is not None:
            self._make_sustained(self.sustained_min)
        _check_count("runs", self.runs, MAX_RUNS)
        _check_count("min_count", self.min_count, MAX_COUNT)
        # Not-a-number fails every comparison.
        if not (0 <= self.min_duration_s <= self.max_duration_s <= MAX_DURATION_S and self.max_duration_s > 0):
            raise ConfigError(
                f"durations must be 0 <= min_duration_s <= max_duration_s <= {MAX_DURATION_S:.0f} (7 days), "
                f"got {self.min_duration_s} and {self.max_duration_s}"
            )
        if not 0 <= self.max_warmup_s <= MAX_DURATION_S:
            raise ConfigError(f"max_warmup_s must be 0 to {MAX_DURATION_S:.0f} (7 days), got {self.max_warmup_s}")

    def _make_sustained(self, minutes: float) -> None:
        if not 0 < minutes <= MAX_SUSTAINED_MIN:
            raise ConfigError(f"sustained_min must be more than 0 and at most {MAX_SUSTAINED_MIN:.0f}, got {minutes}")
        long_s = 60 * minutes
        values = {"runs": 1, "min_count": 1, "min_duration_s": long_s, "max_duration_s": long_s + _LAST_PASS_S}
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _check_count(name: str, value: int, most: int) -> None:
    if value < 1:
        raise ConfigError(f"{name} must be >= 1, got {value}")
    if value > most:
        raise ConfigError(f"{name} must be <= {most}, got {value}")


@dataclass(frozen=True, slots=True)
class EncodedInputs:
    """Token ids of every input, end to end.

    ids: shape (total tokens,), int32. lengths: shape (inputs,), int32, tokens of each, special ones included.
    truncated: how many inputs were longer than the model allows, and were cut.
    """

    ids: NDArray[np.int32]
    lengths: NDArray[np.int32]
    truncated: int = 0

    def to_bytes(self) -> bytes:
        """Return the ids as the agent reads them: int32, little-endian."""
        return self.ids.astype("<i4").tobytes()


def texts_sha256(texts: tuple[str, ...]) -> str:
    """Return the hash that represents these texts in a result."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


@cache
def token_lengths() -> dict[str, list[int]]:
    """Return, per language, the token counts of 30 parallel texts under XLM-R's vocabulary.

    The texts are the articles of the Universal Declaration of Human Rights; position i is the same article everywhere.
    """
    text = resources.files("edgebench").joinpath("data/xlmr_token_lengths.json").read_text(encoding="utf-8")
    lengths: dict[str, list[int]] = json.loads(text)["tokens"]
    return lengths


def random_inputs(lengths: list[int], *, vocab_size: int | None, seed: int = 0) -> EncodedInputs:
    """Return inputs of these lengths with seeded random ids, framed by XLM-R's <s> (0) and </s> (2).

    `vocab_size` None (unknown, of an existing file): ids stay below 1,000. A smaller vocabulary than the frame's ids
    has its last id instead.
    """
    import numpy as np

    sizes = np.asarray(lengths, dtype=np.int32)
    high = max(1, min(vocab_size, np.iinfo(np.int32).max)) if vocab_size is not None else 1000
    ids = np.random.default_rng(seed).integers(min(4, high - 1), high, int(sizes.sum()), dtype=np.int32)
    ends = np.cumsum(sizes)
    ids[ends - 1] = min(2, high - 1)
    ids[ends - sizes] = 0
    return EncodedInputs(ids, sizes)
