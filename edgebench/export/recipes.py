"""Recipes: which tools make each format, and from what. Their versions are part of the cache key."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from edgebench.artifact import Format, WeightScales
from edgebench.errors import MissingExtra

_TORCH = ("torch", "transformers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a format is made.

    Attributes:
        tracers: distributions whose versions determine the graph.
        writers: further distributions whose versions determine the file.
        checkers: distributions that the parity check uses.
        extra: the extra of edgebench that installs them.
        made_from: the format that it is made from, instead of from the checkpoint.
        keeps_layers: some layers can be in a higher precision, for a quality floor.
        scales: what has a scale of its own in the int8 weights of a .tflite file.
    """

    tracers: tuple[str, ...]
    writers: tuple[str, ...] = ()
    checkers: tuple[str, ...]
    extra: str
    made_from: Format | None = None
    keeps_layers: bool = False
    scales: WeightScales | None = None


_ONNX = Recipe(tracers=(*_TORCH, "onnx", "onnx-ir", "onnxscript"), checkers=("onnxruntime",), extra="export")
_ONNX_INTEGER = replace(_ONNX, keeps_layers=True)
_TFLITE = Recipe(tracers=(*_TORCH, "litert-torch", "litert-converter"), checkers=("ai-edge-litert",), extra="tflite")
_TFLITE_INT8 = replace(_TFLITE, writers=("ai-edge-quantizer",), made_from=Format.TFLITE_FP32)

RECIPES = {
    Format.ONNX_FP32: _ONNX,
    Format.ONNX_FP16: _ONNX,
    Format.ONNX_INT8: _ONNX_INTEGER,
    Format.ONNX_INT4: _ONNX_INTEGER,
    Format.TFLITE_FP32: _TFLITE,
    Format.TFLITE_INT8: replace(_TFLITE_INT8, scales=WeightScales.CHANNEL),
    Format.TFLITE_INT8_PER_TENSOR: replace(_TFLITE_INT8, scales=WeightScales.TENSOR),
}


def versions(distributions: tuple[str, ...], *, extra: str) -> dict[str, str]:
    """Return the versions of these distributions.

    Raises:
        MissingExtra: one is not installed; `extra` installs it.
    """
    found = {}
    for distribution in distributions:
        try:
            found[distribution] = version(distribution)
        except PackageNotFoundError as error:
            raise MissingExtra(distribution, extra, "exporting a checkpoint") from error
    return found
