"""Prediction: what a model file will take on a board, said before anything is pushed, and how far off that was."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edgebench.errors import StoreError
from edgebench.serialisation import from_plain

_MOST = 1 << 50  # bytes or numbers; above any model's


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSizes:
    """What the memory of a model file depends on, apart from its own size.

    Args:
        largest_bytes: of the largest weight as the file stores it, nearly always the table of words.
        parameters: numbers in all weights.
        matrix_parameters: numbers in the matrices that multiply the states of all tokens.
        hidden_size, intermediate_size, heads: of the encoder.
        outputs: numbers that the file answers for each token, e.g. the vocabulary; 0: few.
        by_distance: attention by distance (DeBERTa), which has further tables of scores.
        is_estimate: some are estimates, of a file that edgebench did not make.
    """

    largest_bytes: int
    parameters: int
    matrix_parameters: int
    hidden_size: int
    intermediate_size: int
    heads: int
    outputs: int = 0
    by_distance: bool = False
    is_estimate: bool = False

    def __post_init__(self) -> None:
        for name in ("largest_bytes", "parameters", "matrix_parameters", "outputs"):
            _check(name, getattr(self, name), least=0)
        for name in ("hidden_size", "intermediate_size", "heads"):
            _check(name, getattr(self, name), least=1)


def _check(name: str, value: int, *, least: int) -> None:
    if not least <= value <= _MOST:
        raise StoreError(f"{name} can't be {value}")


class Fit(StrEnum):
    """Whether a file fits into the memory of a board."""

    FITS = "fits"
    TIGHT = "tight"  # it fits if other programs need little, or if the prediction is a little too high
    TOO_LARGE = "does not fit"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What was predicted of a file on a board for batches of `batch` inputs of `seq_len` tokens. Bytes and ms.

    `load_rss_bytes`: the highest RSS while the file is loaded; `run_rss_bytes`: while it runs. The peak of a run is the
    larger. `range_ratio`: the peak is this times lower or higher at most, as far as the evidence goes.
    `mapped_bytes`: of the peak, weights that the runtime maps from the file; the kernel can drop them. `load_ms` is
    rough, by files that the board has loaded before; None: it has loaded none.
    """

    runtime: str
    batch: int
    seq_len: int
    file_bytes: int
    load_rss_bytes: int
    run_rss_bytes: int
    range_ratio: float
    mapped_bytes: int = 0
    load_ms: float | None = None

    def __post_init__(self) -> None:
        for name in ("file_bytes", "load_rss_bytes", "run_rss_bytes", "mapped_bytes"):
            _check(name, getattr(self, name), least=0)
        _check("batch", self.batch, least=1)
        _check("seq_len", self.seq_len, least=1)
        if not 0 <= self.range_ratio <= 1:
            raise StoreError(f"range_ratio can't be {self.range_ratio}")

    @property
    def peak_rss_bytes(self) -> int:
        """The highest RSS of a run, bytes."""
        return max(self.load_rss_bytes, self.run_rss_bytes)

    @property
    def peak_rss_range(self) -> tuple[int, int]:
        """The least and the greatest value that the peak should have, bytes."""
        peak = self.peak_rss_bytes
        return round(peak * (1 - self.range_ratio)), round(peak * (1 + self.range_ratio))

    def fit(self, *, available_bytes: int) -> Fit:
        """Return whether the file fits into memory that is free."""
        low, high = self.peak_rss_range
        if high <= available_bytes:
            return Fit.FITS
        return Fit.TOO_LARGE if low - self.mapped_bytes > available_bytes else Fit.TIGHT

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with the peak and its range."""
        low, high = self.peak_rss_range
        return {
            "runtime": self.runtime,
            "batch": self.batch,
            "seq_len": self.seq_len,
            "file_bytes": self.file_bytes,
            "load_rss_bytes": self.load_rss_bytes,
            "run_rss_bytes": self.run_rss_bytes,
            "range_ratio": self.range_ratio,
            "mapped_bytes": self.mapped_bytes,
            "load_ms": self.load_ms,
            "peak_rss_bytes": self.peak_rss_bytes,
            "peak_rss_range_bytes": [low, high],
        }

    @classmethod
    def from_json(cls, values: Any) -> Prediction:
        """Return what `to_json` described.

        Raises:
            StoreError: the values are not valid.
        """
        return from_plain(cls, values, where="prediction", error=StoreError, allow_unknown=True)


def relative_error(predicted: float | None, measured: float | None) -> float | None:
    """Return how far a prediction is from what was measured, as a ratio of that; above 0: it was too high."""
    if predicted is None or not measured:
        return None
    return predicted / measured - 1
