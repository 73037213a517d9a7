"""The memory of a board, and whether a file fits into it: as far as a profile, or a board itself, tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgebench.artifact import Artifact
from edgebench.device import DeviceProfile
from edgebench.errors import BoardError
from edgebench.facts import DeviceFacts
from edgebench.prediction import Fit, Prediction

#: Of a board whose free memory was not read, so much is taken to be free: the rest is the system's and the GPU's.
FREE_SHARE = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardMemory:
    """What is known of a board's memory, bytes; None: nothing.

    Args:
        total: of the board, or the smallest that it is sold with.
        free: when it was last read there; None: it never was.
        sold_with: the sizes that such a board is sold with, where it is not known which one it is.
    """

    total: int | None = None
    free: int | None = None
    sold_with: tuple[int, ...] = ()

    def fit(self, prediction: Prediction | None) -> Fit:
        """Return whether a file fits."""
        return Fit.UNKNOWN if prediction is None else self._fit(prediction, self.total, self.free)

    def smallest_fitting(self, prediction: Prediction) -> int | None:
        """Return the smallest size, of those that such a board is sold with, into which a file fits; None: none."""
        fitting = (size for size in sorted(self.sold_with) if self._fit(prediction, size, None) is Fit.FITS)
        return next(fitting, None)

    @staticmethod
    def _fit(prediction: Prediction, total: int | None, free: int | None) -> Fit:
        if free is not None:
            return prediction.fit(available_bytes=free)
        if total is None:
            return Fit.UNKNOWN
        if prediction.fit(available_bytes=round(FREE_SHARE * total)) is Fit.FITS:
            return Fit.FITS
        return Fit.TOO_LARGE if prediction.fit(available_bytes=total) is Fit.TOO_LARGE else Fit.TIGHT


def memory_of_profile(profile: DeviceProfile) -> BoardMemory:
    """Return what the profile of a kind of board says of its memory."""
    return BoardMemory(total=min(profile.memory_bytes, default=None), sold_with=profile.memory_bytes)


def memory_of_facts(facts: DeviceFacts) -> BoardMemory:
    """Return what a board reported of its memory, less what a control group keeps from us."""
    limit = facts.memory_limit_bytes
    found = [size for size in (facts.memory_available_bytes, limit) if size is not None]
    return BoardMemory(total=facts.memory_bytes, free=min(found, default=None) if found else None)


def check_memory(device: str, artifact: Artifact, prediction: Prediction | None, facts: DeviceFacts) -> str | None:
    """Return a warning if a file may not fit into the memory that is free on a board; None: it fits, or is not known.

    Raises:
        BoardError: it can't fit, even if the prediction is too high by as much as it may be, and swap is used.
    """
    memory = memory_of_facts(facts)
    if prediction is None or memory.free is None:
        return None
    low, _ = prediction.peak_rss_range
    free, swap = memory.free, facts.swap_bytes or 0
    said = (
        f"{device}: {artifact.model_path.name} ({artifact.format}) is predicted to need"
        f" {_mb(prediction.peak_rss_bytes)} MB of memory (±{100 * prediction.range_ratio:.0f} %), and the board has"
        f" {_mb(free)} MB free"
    )
    if low - prediction.mapped_bytes > free + swap:
        raise BoardError(said, hint="try a smaller format (`format='onnx-int8'`) or `batch`, or free memory there")
    return said if prediction.fit(available_bytes=free) is not Fit.FITS else None


def sizes_text(sizes: Sequence[int]) -> str:
    """Return sizes of memory in words, as vendors give them: `512 MB or 1 GB`."""
    named = [f"{size >> 30} GB" if size >= 1 << 30 else f"{size >> 20} MB" for size in sizes]
    return " or ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _mb(value: int) -> str:
    return f"{value / 1e6:.0f}"
