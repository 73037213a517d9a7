"""Quality floor: which layers of a quantised file have a higher precision so that it is near enough to torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgebench.errors import StoreError
from edgebench.serialisation import from_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorValues:
    """A measure of parity over the inputs that the search for layers uses, and over others that are held out."""

    search: float
    held_out: float

    @property
    def least(self) -> float:
        """The smaller of the two."""
        return min(self.search, self.held_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLayer:
    """A layer that is in a higher precision than the format's.

    Attributes:
        name: of its modules in the checkpoint; those that multiply the same input are one layer.
        weights: names of its weights in the checkpoint.
        precision: float32, or int8 for a table that the format has in four bits.
        bytes: what it takes more than in the format's precision.
        without: the measure if this layer alone had the format's precision: below the floor.
        reason: the same in words, with the inputs that it is of (search or held out).
    """

    name: str
    weights: tuple[str, ...]
    precision: str
    bytes: int
    without: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFloor:
    """A floor that a quantised file was made to reach.

    Attributes:
        floor: what was asked for, above 0 and at most 1.
        measure: of what, e.g. "mean cosine": the measure by which parity is judged for the head.
        before: the measure of the file with all layers in the format's precision.
        after: the same of the file that was kept.
        search_inputs, held_out_inputs: how many inputs each is of.
        held_out_decided: the layers that suffice for the search's inputs did not suffice for those held out, so more
            were kept: `held_out` is no independent figure then.
        kept: the layers in a higher precision; none if the format's was enough.
        bytes_before: size of the file with all layers in the format's precision.
        size_ratio: size of the file that was kept / bytes_before.
        p50_ratio: median time of an inference, kept / before, on the machine that exported, in one thread; None: not
            measured.
        trials: files that the search measured.
    """

    floor: float
    measure: str
    before: FloorValues
    after: FloorValues
    search_inputs: int
    held_out_inputs: int
    held_out_decided: bool
    kept: tuple[KeptLayer, ...]
    bytes_before: int
    size_ratio: float
    p50_ratio: float | None
    trials: int
    seconds: float

    @classmethod
    def from_json(cls, values: Any) -> QualityFloor:
        """Return the floor that plain values describe.

        Raises:
            StoreError: the values are not valid.
        """
        return from_plain(cls, values, where="quality", error=StoreError, allow_unknown=True)

    def __str__(self) -> str:
        """Return it in words."""
        values = f"{self.measure} {self.after.search:.5g}, held out {self.after.held_out:.5g}"
        if not self.kept:
            return f"quality floor {self.floor:g} reached with no layer kept: {values}"
        before = f"before {self.before.search:.5g} and {self.before.held_out:.5g}"
        layers = f"{len(self.kept)} layer{'s' if len(self.kept) > 1 else ''}"
        cost = f"{self.size_ratio:.3f} of the bytes"
        if self.p50_ratio is not None:
            cost += f", {self.p50_ratio:.3f} of the time here"
        return f"quality floor {self.floor:g} reached with {layers} kept: {values} ({before}); {cost}"

    def lines(self) -> Iterator[str]:
        """Yield each layer that was kept, with the reason."""
        for layer in self.kept:
            yield f"{layer.name} in {layer.precision}, {layer.bytes / 1e6:+.3g} MB: {layer.reason}"
