"""The rows on TFLite in the table of exports: what tflite-int8 keeps of a sentence encoder in ai-edge-litert."""

from __future__ import annotations

from pathlib import Path

import edgebench
from benchmarks.real_input import PREFIX, torch_vectors
from benchmarks.rows import Row
from edgebench.evaluation.inference import sentence_vectors
from edgebench.export import encode_texts, export_model
from edgebench.xtreme_r.retrieval import read_parallel, retrieve

#: Least mean cosine to torch's vectors, and most points of retrieval that may be lost.
LEAST_COSINE, MOST_LOST_POINTS = 0.997, 0.7


def tflite_rows(checkpoint: Path, texts: Path) -> list[Row]:
    """Return what tflite-int8 reaches on this machine in ai-edge-litert, against the checkpoint in torch.

    Args:
        checkpoint: the folder of a sentence encoder of the multilingual-e5 kind.
        texts: parallel texts by language, as for `benchmarks.real_input`.
    """
    parallel = read_parallel(texts)
    languages, lines = list(parallel), [PREFIX + text for part in parallel.values() for text in part]
    artifact = export_model(checkpoint, edgebench.Format.TFLITE_INT8).artifact
    reference = torch_vectors(checkpoint, encode_texts(artifact, lines, truncate=True))
    here = edgebench.find_device("local")
    vectors = sentence_vectors(artifact, lines, device=here, truncate=True, runtime="ai-edge-litert")
    fp32 = retrieve(reference, languages).mean
    cosine = float((vectors * reference).sum(axis=1).mean())
    return [
        Row(what="tflite-int8 in ai-edge-litert: mean cosine", value=cosine, least=LEAST_COSINE),
        Row(
            what=f"tflite-int8 in ai-edge-litert: retrieval, % (fp32 {fp32:.1f})",
            value=retrieve(vectors, languages).mean,
            least=fp32 - MOST_LOST_POINTS,
        ),
    ]
