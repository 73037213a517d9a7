"""Real texts through a real checkpoint on a device, speed and quality of the same files.

    python -m benchmarks.real_input --checkpoint DIR --texts udhr_parallel.json --device NAME

DIR is a sentence encoder of the multilingual-e5 kind ("query: " before each text, mean pooling). For torch and for each
artifact, as the agent on the device ran it: retrieval accuracy of the aligned articles to English (cosine of the
mean-pooled states, nearest neighbour among the English articles), and the smallest cosine to torch's vectors.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import edgebench
from edgebench.evaluation import infer_texts
from edgebench.export import encode_texts, export_model
from edgebench.workload import EncodedInputs

PREFIX = "query: "
Vectors = NDArray[np.float64]


def pooled(states: NDArray[np.generic]) -> Vectors:
    """Return the unit-length mean of states of shape (1, tokens, hidden); one text a batch, so nothing is padding."""
    vector = states[0].astype(np.float64).mean(axis=0)
    return np.asarray(vector / np.linalg.norm(vector))


def torch_vectors(checkpoint: Path, inputs: EncodedInputs) -> Vectors:
    """Return what the checkpoint itself answers in torch. Shape (texts, hidden)."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(checkpoint).eval()
    ends = np.cumsum(inputs.lengths)
    with torch.no_grad():
        return np.stack(
            [
                pooled(
                    model(
                        torch.from_numpy(inputs.ids[end - size : end].astype(np.int64))[None]
                    ).last_hidden_state.numpy()
                )
                for end, size in zip(ends, inputs.lengths, strict=True)
            ]
        )


def accuracy(vectors: Vectors, english: Vectors) -> float:
    """Return the percentage of texts whose nearest English text is the one at the same position."""
    return 100.0 * float(np.mean((vectors @ english.T).argmax(axis=1) == np.arange(len(english))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--device", default="local")
    parser.add_argument("--formats", default="onnx-fp32,onnx-int8")
    parser.add_argument("--langs", default="", help="default: all in the file")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--store", default=".edgebench")
    options = parser.parse_args()

    articles: dict[str, list[str]] = json.loads(options.texts.read_text(encoding="utf-8"))["articles"]
    languages = options.langs.split(",") if options.langs else list(articles)
    languages = ["en", *[language for language in languages if language != "en"]]
    texts = [PREFIX + text for language in languages for text in articles[language]]
    device = edgebench.find_device(options.device)

    rows: dict[str, list[str]] = {}
    reference: Vectors | None = None
    for name in options.formats.split(","):
        artifact = export_model(options.checkpoint, name).artifact
        if reference is None:
            reference = torch_vectors(options.checkpoint, encode_texts(artifact, texts))
            rows["torch"] = ["", "", "", "", *_quality(reference, reference, languages)]
        answers = infer_texts(artifact, texts, device=device)
        vectors = np.stack([pooled(answer["last_hidden_state"]) for answer in answers])
        measured = edgebench.profile(
            options.checkpoint,
            device=device,
            format=name,
            workload=edgebench.Workload(texts=tuple(texts)),
            plan=edgebench.RunPlan(runs=options.runs, min_count=len(texts)),
            store=options.store,
        )
        memory = measured.memory_bytes.peak_pss
        rows[name] = [
            f"{artifact.bytes / 1e6:.0f}",
            f"{measured.load_ms:.0f}",
            f"{measured.latency_ms.p50:.2f}",
            f"{memory / 1e6:.0f}" if memory is not None else "",
            *_quality(vectors, reference, languages),
        ]
    headings = [
        "size MB",
        "load ms",
        "p50 ms",
        "peak PSS MB",
        "min cosine",
        "same top-1 %",
        *languages,
        "mean of others",
    ]
    table = Table("", *headings, title=f"{len(articles['en'])} aligned texts a language on {device.name}")
    for name, row in rows.items():
        table.add_row(name, *row)
    Console(width=200).print(table)


def _quality(vectors: Vectors, reference: Vectors, languages: list[str]) -> list[str]:
    """Return the smallest cosine, the share of equal top-1, then the accuracy per language and on the mean."""
    by_language, expected = np.split(vectors, len(languages)), np.split(reference, len(languages))
    same = [
        (part @ by_language[0].T).argmax(axis=1) == (ref @ expected[0].T).argmax(axis=1)
        for part, ref in zip(by_language, expected, strict=True)
    ]
    scores = [accuracy(part, by_language[0]) for part in by_language]
    cosine = float((vectors * reference).sum(axis=1).min())
    agreement = 100.0 * float(np.mean(np.concatenate(same)))
    return [f"{cosine:.7f}", f"{agreement:.1f}", *[f"{score:.1f}" for score in scores], f"{np.mean(scores[1:]):.1f}"]


if __name__ == "__main__":
    main()
