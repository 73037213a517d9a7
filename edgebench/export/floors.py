"""Floors: how near an exported file must come to torch, by what its outputs mean and by its format.

The figures behind them are in docs/decisions/0041-parity-in-the-terms-of-the-head.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edgebench.artifact import Format, Judgement, OutputParity, Parity
from edgebench.errors import ConfigError, ParityError
from edgebench.export.heads import Meaning
from edgebench.export.recipes import RECIPES


@dataclass(frozen=True, slots=True)
class Bound:
    """How far an artifact's outputs may differ from another runtime's before they are wrong."""

    max_abs_diff: float = float("inf")
    mean_cosine: float = -1.0
    padding_neutral: bool = True  # an example's outputs don't depend on its batch


@dataclass(frozen=True, slots=True)
class Floor:
    """A figure of `OutputParity` and its limit by precision; int4, whose matrices are int8, has that of int8."""

    figure: str
    measure: str
    fp32: float
    fp16: float
    int8: float
    smaller_is_better: bool = False

    def limit(self, format: Format) -> float:
        """Return the limit for a format."""
        return {"fp32": self.fp32, "fp16": self.fp16, "int8": self.int8, "int4": self.int8}[str(format.precision)]


_FLOAT32 = Bound(max_abs_diff=1e-3)
#: Real checkpoints reach 0.98; a wrong scale gives far less. Activation scales depend on everything in the batch.
_INT8 = Bound(mean_cosine=0.95, padding_neutral=False)
BOUNDS = {
    Format.ONNX_FP32: _FLOAT32,
    Format.TFLITE_FP32: _FLOAT32,
    Format.ONNX_FP16: Bound(mean_cosine=0.999),
    Format.ONNX_INT8: _INT8,
    Format.ONNX_INT4: _INT8,
    Format.TFLITE_INT8: _INT8,
    Format.TFLITE_INT8_PER_TENSOR: _INT8,
}


def _agreement(*, int8: float) -> Floor:
    return Floor("argmax_agreement", "argmax agreement", fp32=0.95, fp16=0.95, int8=int8)


_COSINE = Floor("mean_cosine", "mean cosine", fp32=0.999, fp16=0.999, int8=0.95)
#: One large dimension makes every cosine 1; the order of the pairs shows what is left.
_DIRECTION = (_COSINE, Floor("rank_correlation", "rank correlation", fp32=0.99, fp16=0.99, int8=0.85))

FLOORS: dict[Meaning, tuple[Floor, ...]] = {
    Meaning.CLASS: (_agreement(int8=0.85),),
    Meaning.CHOICE: (_agreement(int8=0.85),),
    Meaning.TAGS: (_agreement(int8=0.85),),
    Meaning.POSITIONS: (_agreement(int8=0.65),),
    Meaning.VOCABULARY: (_agreement(int8=0.60),),
    Meaning.LABELS: (
        Floor("label_agreement", "label agreement", fp32=0.99, fp16=0.97, int8=0.90),
        Floor("worst_label_agreement", "label agreement (worst label)", fp32=0.95, fp16=0.90, int8=0.75),
    ),
    Meaning.SCORE: (
        Floor("rank_correlation", "rank correlation", fp32=0.99, fp16=0.99, int8=0.90),
        Floor("relative_error", "relative error", fp32=0.02, fp16=0.15, int8=0.50, smaller_is_better=True),
    ),
    Meaning.REGRESSION: (
        Floor("relative_error", "relative error", fp32=0.02, fp16=0.05, int8=0.30, smaller_is_better=True),
    ),
    Meaning.STATES: _DIRECTION,
    Meaning.VECTOR: _DIRECTION,
}

#: With random weights, a head's few outputs are noise about a constant: no decision is worth judging. A broken file
#: gives unrelated directions.
RANDOM = Floor("mean_cosine", "mean cosine", fp32=0.999, fp16=0.999, int8=0.5)
_DIFFERENCE = "largest difference"
LARGEST_ACTIVATION = "largest activation"
#: float32 is compared number by number: with this difference, or this part of torch's largest number.
_LARGEST_DIFFERENCE, _LARGEST_PART = 1e-3, 1e-5
#: The same in float16, for a padded batch: a mask that is ignored changes more.
_PADDED_PART = 0.05


def judge(
    parity: Parity, meanings: Sequence[Meaning], format: Format, *, largest: float, is_random: bool
) -> tuple[Judgement, ...]:
    """Return the figures that decide whether a file is kept, with their limits.

    Args:
        meanings: of the outputs, in order.
        largest: torch's largest number.
        is_random: of a reference model.
    """
    found = []
    if format.precision == "fp32":
        limit = max(_LARGEST_DIFFERENCE, _LARGEST_PART * largest)
        value = parity.max_abs_diff
        found.append(Judgement(output=None, measure=_DIFFERENCE, value=value, limit=limit, is_met=value <= limit))
    for output, meaning in zip(parity.outputs, meanings, strict=True):
        floors = (RANDOM,) if is_random else FLOORS[meaning]
        found += _judge_output(output, floors, format, is_only=len(parity.outputs) == 1)
    return tuple(found)


def _judge_output(
    output: OutputParity, floors: Sequence[Floor], format: Format, *, is_only: bool
) -> Iterator[Judgement]:
    for floor in floors:
        value = getattr(output, floor.figure)
        if value is None:
            continue  # all of torch's values are the same: nothing to rank
        limit = floor.limit(format)
        yield Judgement(
            output=None if is_only else output.name,
            measure=floor.measure,
            value=value,
            limit=limit,
            is_met=value <= limit if floor.smaller_is_better else value >= limit,
        )


def refuse(parity: Parity, format: Format, *, where: str, accept: bool, outcome: str = "nothing was kept") -> None:
    """Raise ParityError if an artifact's figures are beyond their limits.

    Args:
        accept: the user takes the artifact as it is. Outputs that are missing or not finite are never accepted.
        outcome: what became of the file, for the message.
    """
    if not math.isfinite(parity.max_abs_diff):
        raise ParityError(
            f"{where}: {format} has outputs in {parity.runtime} that are missing, of another shape or not finite;"
            f" {outcome}",
            hint=_hint(format, may_accept=False),
        )
    if accept:
        return
    for judgement in parity.shortfalls:
        if judgement.measure == LARGEST_ACTIVATION:
            refuse_range(judgement, where=where, outcome=outcome)
        side = "at most" if judgement.value > judgement.limit else "at least"
        raise ParityError(
            f"{where}: {format} {_in_words(judgement)} over {parity.examples} inputs in {parity.runtime}"
            f" ({side} {judgement.limit:,.4g}); {outcome}",
            hint=_hint(format, may_accept=True),
        )


def refuse_range(judgement: Judgement, *, where: str, outcome: str = "nothing was kept") -> None:
    """Raise ParityError if a model's largest activation is beyond float16's largest number."""
    if not judgement.is_met:
        raise ParityError(
            f"{where}: onnx-fp16 can't hold the activations of {judgement.output}, up to {judgement.value:,.0f}: beyond"
            f" {judgement.limit:,.0f} a GPU answers infinity or NaN; {outcome}",
            hint=_hint(Format.ONNX_FP16, may_accept=True),
        )


def refuse_padded(parity: Parity, format: Format, *, alone: float, largest: float, where: str) -> None:
    """Raise ParityError if an artifact's outputs for a padded batch are not those for each example alone.

    That is a fault of the file, which nobody can accept.

    Args:
        alone: largest difference of an example alone.
        largest: torch's largest number.
    """
    part = {"fp32": _LARGEST_PART, "fp16": _PADDED_PART}[str(format.precision)]
    limit = max(_LARGEST_DIFFERENCE, part * largest, 2 * alone)
    if not parity.max_abs_diff <= limit:
        raise ParityError(
            f"{where}: in a padded batch: {format} differs from torch by {parity.max_abs_diff:.2g} in {parity.runtime}"
            f" (at most {limit:.2g}); nothing was kept"
        )


def check_floor(floor: float, formats: Iterable[Format]) -> None:
    """Raise ConfigError if a floor is out of range, or can't be set for one of these formats."""
    if not 0 < floor <= 1:
        raise ConfigError(f"a quality floor is above 0 and at most 1, got {floor:g}; try: `quality_floor=0.995`")
    able = " and ".join(format for format, recipe in RECIPES.items() if recipe.keeps_layers)
    for format in formats:
        if format.precision in ("fp32", "fp16"):
            raise ConfigError(
                f"{format} quantises nothing, so no layer can be kept: its parity is 1 but for rounding; leave"
                f" `quality_floor` out, or name a format that has one: {able}"
            )
        if not RECIPES[format].keeps_layers:
            raise ConfigError(f"{format} can't keep layers in higher precision; formats with a quality floor: {able}")


def _in_words(judgement: Judgement) -> str:
    if judgement.measure == _DIFFERENCE:
        return f"differs from torch by {judgement.value:.2g}"
    article = "an" if judgement.measure[0] in "aeiou" else "a"
    output = f" ({judgement.output})" if judgement.output is not None else ""
    return f"has {article} {judgement.measure}{output} of {judgement.value:.3g} to torch"


def _hint(format: Format, *, may_accept: bool) -> str | None:
    others = [] if format.precision == "fp32" else [f"`format='{str(format).split('-')[0]}-fp32'`"]
    if may_accept:
        others.append("`accept_parity=True`, which keeps the file and marks it")
    return f"try: {' or '.join(others)}" if others else None
