"""Exports against Optimum: one table of what must be reached and what is, from one checkpoint on this machine.

    python -m benchmarks.export --checkpoint DIR --texts udhr_parallel.json [--optimum-python PATH] [--parts speed,cost]

DIR is a sentence encoder of the multilingual-e5 kind ("query: " before each text, mean pooling), as safetensors; the
texts are aligned, by language. Optimum has an environment of its own, which is made once and kept in
~/.cache/edgebench-tests/optimum; --optimum-python names another one. Parts:

    cost      each side exports into an empty folder, in turn; wall and CPU time, and memory of the whole process tree
    speed     both sides' files in turn in one process and one thread, at 32 and 128 tokens, in CPU time of the thread
    quality   retrieval and cosine of all languages
    tflite    tflite-int8 in ai-edge-litert
    trimming  the int8 file for en, sw, th, ar, hi

Ends with 1 if a row is not met.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import optimum
from benchmarks.export_tflite import tflite_rows
from benchmarks.onnx_files import OnnxFile, random_ids, time_in_turn
from benchmarks.process_costs import Cost, cost_of
from benchmarks.real_input import PREFIX
from benchmarks.rows import Row, print_rows
from benchmarks.trimming import peak_mb
from edgebench.artifact import Artifact, Format
from edgebench.export import encode_texts, export_model
from edgebench.xtreme_r.retrieval import Vectors, read_parallel, retrieve

TRIMMED_TO = ("en", "sw", "th", "ar", "hi")
PAIRS = {32: 600, 128: 200}  # tokens: pairs of inferences
MOST_RATIO = {Format.ONNX_INT8: 0.92, Format.ONNX_FP32: 0.98}
MOST_LOST_POINTS, MOST_LOST_IN_A_LANGUAGE = 0.7, 3.4
MOST_TIME, MOST_MEMORY, MOST_TIME_AGAIN, MOST_TRIMMED = 0.45, 0.3, 0.15, 0.45
_NOISE = 1e-3  # of the weights of the second variant, relative


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What is exported, with what, and where the files of this run are."""

    checkpoint: Path
    texts: Path
    python: Path  # with Optimum
    folder: Path
    repeats: int

    @property
    def cache(self) -> Path:
        """The cache of edgebench's exports, empty at the start."""
        return self.folder / "cache"

    def optimum_file(self, format: Format) -> Path:
        """Return Optimum's file of a format; it is made if no part has made it."""
        fp32 = self.folder / "optimum-fp32" / "model.onnx"
        if not fp32.is_file():
            optimum.export_fp32(self.python, self.checkpoint, fp32.parent)
        int8 = self.folder / "optimum-int8" / "model_quantized.onnx"
        if format is Format.ONNX_INT8 and not int8.is_file():
            optimum.quantise(self.python, fp32, int8.parent)
        return int8 if format is Format.ONNX_INT8 else fp32

    def artifact(self, format: Format, *, keep_langs: Sequence[str] = ()) -> Artifact:
        """Return edgebench's artifact."""
        return export_model(self.checkpoint, format, cache=self.cache, keep_langs=keep_langs).artifact


# --- what an export costs ----------------------------------------------------------------------------------------


def cost_rows(bench: Bench) -> Iterator[Row]:
    """Yield the rows on time and memory; parity is part of edgebench's export, and Optimum's makes no such check."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        other = perturbed(bench.checkpoint, Path(folder) / "other")
        _edgebench_cost("reference:tiny", Path(folder) / "warm-up")  # compiles the sources of all that is imported
        theirs, first, again = [], [], []
        for number in range(bench.repeats):
            for part in ("optimum-fp32", "optimum-int8"):
                shutil.rmtree(bench.folder / part, ignore_errors=True)
            fp32, exporting = optimum.export_fp32(bench.python, bench.checkpoint, bench.folder / "optimum-fp32")
            _, quantising = optimum.quantise(bench.python, fp32, bench.folder / "optimum-int8")
            theirs.append(exporting + quantising)
            cache = Path(folder) / f"cache-{number}"
            first.append(_edgebench_cost(str(bench.checkpoint), cache))
            again.append(_edgebench_cost(str(other), cache))
            shutil.rmtree(cache)
            _say(f"export {number + 1}: Optimum {theirs[-1]}; edgebench {first[-1]}; second variant {again[-1]}")
    least = _least(theirs)
    yield _time_row("first export to onnx-int8", _least(first), least, MOST_TIME)
    yield Row(
        what="first export to onnx-int8: peak memory / Optimum's",
        value=_least(first).peak_rss_bytes / least.peak_rss_bytes,
        most=MOST_MEMORY,
    )
    yield _time_row("second variant of the geometry to onnx-int8", _least(again), least, MOST_TIME_AGAIN)


def _edgebench_cost(model: str, cache: Path) -> Cost:
    command = [sys.executable, "-m", "edgebench", "export", "--model", model, "--format", "onnx-int8"]
    return cost_of(command, environment={"EDGEBENCH_CACHE": str(cache)})


def _least(costs: Sequence[Cost]) -> Cost:
    """Return the least of each: what another program on the machine adds is not the export's."""
    return Cost(
        wall_s=min(cost.wall_s for cost in costs),
        cpu_s=min(cost.cpu_s for cost in costs),
        peak_rss_bytes=min(cost.peak_rss_bytes for cost in costs),
    )


def _time_row(what: str, ours: Cost, theirs: Cost, most: float) -> Row:
    ratio, cpu = ours.wall_s / theirs.wall_s, ours.cpu_s / theirs.cpu_s
    return Row(
        what=f"{what}: time / Optimum's export and quantise",
        value=ratio,
        most=most,
        shown=f"{ratio:.3f} (CPU {cpu:.3f})",
    )


def perturbed(checkpoint: Path, folder: Path) -> Path:
    """Write a checkpoint of the same geometry with slightly different weights; return its folder."""
    import torch
    from safetensors.torch import load_file, save_file

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    for path in checkpoint.iterdir():
        if path.suffix == ".safetensors":
            tensors = {
                name: value * (1 + _NOISE * torch.randn(value.shape)).to(value.dtype)
                if value.is_floating_point()
                else value
                for name, value in load_file(path).items()
            }
            save_file(tensors, folder / path.name, metadata={"format": "pt"})
        elif path.is_file():
            shutil.copy2(path, folder / path.name)
    return folder


# --- the files ---------------------------------------------------------------------------------------------------


def speed_rows(bench: Bench) -> Iterator[Row]:
    """Yield the ratio of the median latencies, edgebench's file to Optimum's."""
    for format, most in MOST_RATIO.items():
        artifact = bench.artifact(format)
        theirs = bench.optimum_file(format)
        for tokens, pairs in PAIRS.items():
            ratio = time_in_turn(
                theirs, artifact.model_path, random_ids(artifact.vocab_size or 1000, tokens), pairs=pairs
            )
            what = f"{format} p50 / Optimum's, {tokens} tokens"
            yield Row(what=what, value=ratio.thread, most=most, shown=str(ratio))


def quality_rows(bench: Bench) -> Iterator[Row]:
    """Yield what onnx-int8 keeps of retrieval; say the same of each file."""
    parallel = read_parallel(bench.texts)
    languages, lines = list(parallel), [PREFIX + text for part in parallel.values() for text in part]
    fp32 = bench.artifact(Format.ONNX_FP32)
    encoded = encode_texts(fp32, lines, truncate=True)
    sequences = [ids.tolist() for ids in np.split(encoded.ids, np.cumsum(encoded.lengths)[:-1])]
    reference = OnnxFile(fp32.model_path).vectors(sequences)
    before = retrieve(reference, languages)
    paths = {
        "onnx-int8": bench.artifact(Format.ONNX_INT8).model_path,
        "Optimum's int8": bench.optimum_file(Format.ONNX_INT8),
    }
    vectors = {name: OnnxFile(path).vectors(sequences) for name, path in paths.items()}
    for name, each in vectors.items():
        _say(f"{name}: {paths[name].stat().st_size / 1e6:.1f} MB, {_quality(each, reference, languages)}")
    ours = retrieve(vectors["onnx-int8"], languages)
    lost = {lang: ours.accuracy[lang] - before.accuracy[lang] for lang in before.accuracy}
    worst = min(lost, key=lambda lang: lost[lang])
    yield Row(
        what=f"onnx-int8: retrieval, % (fp32 {before.mean:.1f}, {len(languages)} languages)",
        value=ours.mean,
        least=before.mean - MOST_LOST_POINTS,
    )
    yield Row(
        what="onnx-int8: points of the language that loses most",
        value=lost[worst],
        least=-MOST_LOST_IN_A_LANGUAGE,
        shown=f"{lost[worst]:.1f} ({worst})",
    )


def _quality(vectors: Vectors, reference: Vectors, languages: Sequence[str]) -> str:
    cosines, found = (vectors * reference).sum(axis=1), retrieve(vectors, languages)
    lowest = f"{found.worst} {found.accuracy[found.worst]:.1f}"
    return f"cosine {cosines.mean():.5f} (least {cosines.min():.4f}), retrieval {found.mean:.1f} % (lowest {lowest})"


def tflite(bench: Bench) -> Iterator[Row]:
    """Yield the rows on tflite-int8."""
    yield from tflite_rows(bench.checkpoint, bench.texts)


def trimming_rows(bench: Bench) -> Iterator[Row]:
    """Yield size and memory of the int8 file for five languages, relative to that for all."""
    whole, trimmed = (bench.artifact(Format.ONNX_INT8, keep_langs=langs) for langs in ((), TRIMMED_TO))
    texts = read_parallel(bench.texts)["en"]
    langs = ", ".join(TRIMMED_TO)
    yield Row(what=f"onnx-int8 trimmed to {langs}: size", value=trimmed.bytes / whole.bytes, most=MOST_TRIMMED)
    (empty, peak), (empty_trimmed, peak_trimmed) = peak_mb(whole, texts), peak_mb(trimmed, texts)
    ratio = (peak_trimmed - empty_trimmed) / (peak - empty)
    yield Row(
        what="the same: peak RSS, less that of a process without a model",
        value=ratio,
        most=MOST_TRIMMED,
        shown=f"{ratio:.3f} ({peak:.0f} -> {peak_trimmed:.0f} MB with it)",
    )


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "cost": cost_rows,
    "speed": speed_rows,
    "quality": quality_rows,
    "tflite": tflite,
    "trimming": trimming_rows,
}


def _say(text: str) -> None:
    """Print what is not part of the table."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Print the table; return 1 if a row is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--optimum-python", type=Path, help="of an environment with optimum-onnx[onnxruntime]")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"default: {','.join(PARTS)}")
    parser.add_argument("--repeats", type=int, default=2, help="exports of each side; the least counts; default: 2")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if options.repeats < 1:
        parser.error("--repeats must be 1 or more")
    if not list(options.checkpoint.glob("*.safetensors")):
        parser.error(f"{options.checkpoint}: no .safetensors file there")
    python = optimum.optimum_python(options.optimum_python)
    _say(f"Optimum: {optimum.versions(python)}; {optimum.quantise_option()}")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # for torch: its waiting threads would take the others' time
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(
            checkpoint=options.checkpoint.resolve(),
            texts=options.texts,
            python=python,
            folder=Path(folder),
            repeats=options.repeats,
        )
        rows = (row for part in PARTS if part in parts for row in PARTS[part](bench))
        return 0 if print_rows(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
