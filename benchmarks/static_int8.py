"""Static int8 (QDQ) of a sentence encoder, calibrated with texts of every language, against dynamic int8.

    python -m benchmarks.static_int8 --checkpoint DIR --texts udhr_parallel.json [--optimum-int8 FILE]

The fp32 file of the checkpoint is quantised with onnxruntime's quantize_static: each language gives the same number of
texts to the calibration. Each file is then timed in turn with onnx-int8 of the same checkpoint, in one process and one
thread, and its vectors are compared with those of the fp32 file. The calibration's texts are among those that are
scored, which can only favour static int8.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.onnx_files import OnnxFile, random_ids, time_in_turn
from benchmarks.real_input import PREFIX
from benchmarks.tables import print_markdown
from edgebench.export import encode_texts, export_model
from edgebench.xtreme_r.retrieval import Vectors, read_parallel, retrieve

LENGTHS = {32: 200, 128: 80}  # tokens: pairs
_CALIBRATION_TOKENS = 64  # a shorter text is repeated, a longer one cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a file is quantised; `options`: of quantize_static."""

    label: str
    method: str = "MinMax"
    symmetric: bool = False
    ops: tuple[str, ...] = ("MatMul", "Gather")
    extra: Mapping[str, Any] = field(default_factory=dict)


_FLOAT_OUTPUTS = {"OpTypesToExcludeOutputQuantization": ["MatMul"]}
RECIPES = {
    "outputs": Recipe(label="MinMax, outputs quantised"),
    "minmax": Recipe(label="MinMax, float outputs", extra=_FLOAT_OUTPUTS),
    "percentile": Recipe(label="percentile 99.99, float outputs", method="Percentile", extra=_FLOAT_OUTPUTS),
    "embedding": Recipe(label="MinMax, float outputs and embedding", ops=("MatMul",), extra=_FLOAT_OUTPUTS),
    "symmetric": Recipe(
        label="MinMax, float outputs and embedding, symmetric (as TensorRT)",
        symmetric=True,
        ops=("MatMul",),
        extra=_FLOAT_OUTPUTS,
    ),
}


class Texts:
    """The calibration's inputs, one after the other, as quantize_static reads them."""

    def __init__(self, inputs: Sequence[dict[str, Any]]) -> None:
        self._left: Iterator[dict[str, Any]] = iter(inputs)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next input; None: there are no more."""
        return next(self._left, None)


def quantise(fp32: Path, path: Path, recipe: Recipe, inputs: Sequence[dict[str, Any]]) -> None:
    """Write the static int8 file of a recipe. Products of two activations stay float32: only layers have weights."""
    import onnx
    from onnxruntime import quantization

    graph = onnx.load(fp32, load_external_data=False).graph
    constants = {each.name for each in graph.initializer}
    layers = [node.name for node in graph.node if node.op_type in recipe.ops and constants & set(node.input)]

    class Reader(Texts, quantization.CalibrationDataReader):  # type: ignore[misc]
        pass

    kind = quantization.QuantType.QInt8 if recipe.symmetric else quantization.QuantType.QUInt8
    quantization.quantize_static(
        fp32,
        path,
        Reader(inputs),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=list(recipe.ops),
        nodes_to_quantize=layers,
        per_channel=True,
        activation_type=kind,
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod[recipe.method],
        extra_options={
            "ActivationSymmetric": recipe.symmetric,
            "WeightSymmetric": True,
            "CalibPercentile": 99.99,
            **recipe.extra,
        },
    )


def quality(vectors: Vectors, reference: Vectors, languages: Sequence[str]) -> list[str]:
    """Return the mean and least cosine to the reference, retrieval, and the language that loses most."""
    cosines = (vectors * reference).sum(axis=1)
    found, expected = retrieve(vectors, languages), retrieve(reference, languages)
    lost = {lang: found.accuracy[lang] - expected.accuracy[lang] for lang in found.accuracy}
    worst = min(lost, key=lambda lang: lost[lang])
    return [f"{cosines.mean():.5f}", f"{cosines.min():.4f}", f"{found.mean:.1f} %", f"{worst} {lost[worst]:+.1f}"]


def main() -> None:
    """Print a row for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--optimum-int8", type=Path, help="model_quantized.onnx of optimum-cli, for a further row")
    parser.add_argument("--recipes", default=",".join(RECIPES), help=f"default: {','.join(RECIPES)}")
    parser.add_argument("--calibration-texts", type=int, default=2, help="of each language; default: 2")
    options = parser.parse_args()
    if unknown := set(options.recipes.split(",")) - set(RECIPES):
        parser.error(f"no recipe is called {', '.join(sorted(unknown))}; there are {', '.join(RECIPES)}")
    chosen_recipes = [RECIPES[name] for name in options.recipes.split(",")]
    logging.disable(logging.WARNING)  # of quantize_static, on a model that was not shape-inferred

    parallel = read_parallel(options.texts)
    languages = list(parallel)
    fp32 = export_model(options.checkpoint, "onnx-fp32").artifact
    int8 = export_model(options.checkpoint, "onnx-int8").artifact
    encoded = encode_texts(fp32, [PREFIX + text for part in parallel.values() for text in part], truncate=True)
    sequences = [ids.tolist() for ids in np.split(encoded.ids, np.cumsum(encoded.lengths)[:-1])]
    float32 = OnnxFile(fp32.model_path)
    reference = float32.vectors(sequences)
    size = len(parallel[languages[0]])
    chosen = [
        sequences[language * size + text]
        for language in range(len(languages))
        for text in range(0, size, size // options.calibration_texts)[: options.calibration_texts]
    ]
    natural = [float32.feeds(ids) for ids in chosen]
    # the percentile calibration takes inputs of one length only
    even = [float32.feeds(np.resize(ids, _CALIBRATION_TOKENS).tolist()) for ids in chosen]
    times = {tokens: random_ids(fp32.vocab_size or 1000, tokens) for tokens in LENGTHS}

    def row(label: str, path: Path, seconds: str) -> list[str]:
        ratios = [str(time_in_turn(int8.model_path, path, ids, pairs=LENGTHS[tokens])) for tokens, ids in times.items()]
        return [
            label,
            f"{path.stat().st_size / 1e6:.0f}",
            seconds,
            *ratios,
            *quality(OnnxFile(path).vectors(sequences), reference, languages),
        ]

    def rows() -> Iterator[list[str]]:
        yield row("fp32", fp32.model_path, "")
        yield row("onnx-int8 (dynamic)", int8.model_path, "")
        if options.optimum_int8 is not None:
            yield row("Optimum's int8 (dynamic)", options.optimum_int8, "")
        for recipe in chosen_recipes:
            with tempfile.TemporaryDirectory() as folder:
                path, start = Path(folder) / "static.onnx", time.perf_counter()
                quantise(fp32.model_path, path, recipe, natural if recipe.method == "MinMax" else even)
                yield row(f"static: {recipe.label}", path, f"{time.perf_counter() - start:.0f}")

    print(
        f"{len(chosen)} texts of {len(languages)} languages calibrate, {len(sequences)} are scored; times: x onnx-int8"
    )
    columns = [f"time, {tokens} tokens" for tokens in LENGTHS]
    print_markdown(
        ["", "MB", "s", *columns, "mean cosine", "least cosine", "retrieval", "language that loses most"],
        rows(),
    )


if __name__ == "__main__":
    main()
