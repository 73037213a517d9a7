"""Quality floors of a real checkpoint: what is kept, what it costs, and what it gives on texts of no search.

    python -m benchmarks.quality_floor --checkpoint DIR --texts udhr_parallel.json [--floors 0.99,0.9998]

DIR is a sentence encoder of the multilingual-e5 kind; the texts are aligned, by language. No floor finds another one's
file in the cache, so the seconds are those of its search.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.onnx_files import OnnxFile
from benchmarks.real_input import PREFIX
from edgebench.artifact import Artifact, Format, parse_format
from edgebench.errors import EdgebenchError
from edgebench.export import encode_texts, export_model
from edgebench.xtreme_r.retrieval import Vectors, read_parallel, retrieve

HEADERS = (
    *("format", "floor", "before: search, held out", "after: search, held out", "layers kept", "MB", "size", "p50"),
    *("mean cosine of the texts", "least", "retrieval %", "trials", "search s"),
)


def row_of(artifact: Artifact, vectors: Vectors, reference: Vectors, languages: list[str]) -> Iterator[str]:
    """Yield the cells of a file."""
    quality = artifact.quality
    assert quality is not None
    cosines = (vectors * reference).sum(axis=1)
    yield from (str(artifact.format), f"{quality.floor:g}")
    yield from (f"{values.search:.5f}, {values.held_out:.5f}" for values in (quality.before, quality.after))
    yield f"{len(quality.kept)}{' (held out decided)' if quality.held_out_decided else ''}"
    yield from (f"{artifact.bytes / 1e6:.1f}", f"{quality.size_ratio:.3f}")
    yield f"{quality.p50_ratio:.3f}" if quality.p50_ratio is not None else ""
    yield from (f"{cosines.mean():.5f}", f"{cosines.min():.4f}", f"{retrieve(vectors, languages).mean:.1f}")
    yield from (str(quality.trials), f"{quality.seconds:.0f}")


def main() -> None:
    """Print a table in Markdown, then the layers of each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--formats", default="onnx-int8,onnx-int4")
    parser.add_argument("--floors", default="0.99,0.995,0.999,0.9998")
    options = parser.parse_args()
    parallel = read_parallel(options.texts)
    languages, lines = list(parallel), [PREFIX + text for part in parallel.values() for text in part]
    kept: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        fp32 = export_model(options.checkpoint, Format.ONNX_FP32, cache=cache).artifact
        encoded = encode_texts(fp32, lines, truncate=True)
        sequences = [ids.tolist() for ids in np.split(encoded.ids, np.cumsum(encoded.lengths)[:-1])]
        reference = OnnxFile(fp32.model_path).vectors(sequences)
        shutil.rmtree(fp32.path)
        print(f"fp32: {fp32.bytes / 1e6:.1f} MB, retrieval {retrieve(reference, languages).mean:.1f} %\n")
        print("| " + " | ".join(HEADERS) + " |")
        print("|" + " --- |" * len(HEADERS), flush=True)
        for format in map(parse_format, options.formats.split(",")):
            for floor in map(float, options.floors.split(",")):
                try:
                    artifact = export_model(options.checkpoint, format, cache=cache, quality_floor=floor).artifact
                except EdgebenchError as error:
                    print(f"{format} {floor:g}: {error}", file=sys.stderr, flush=True)
                    continue
                vectors = OnnxFile(artifact.model_path).vectors(sequences)
                print("| " + " | ".join(row_of(artifact, vectors, reference, languages)) + " |", flush=True)
                assert artifact.quality is not None
                kept += [f"{format} {floor:g}: {line}" for line in artifact.quality.lines()]
                shutil.rmtree(artifact.path)
    print("\n" + "\n".join(kept))


if __name__ == "__main__":
    main()
