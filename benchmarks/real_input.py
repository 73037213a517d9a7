"""Real texts through a real checkpoint on a device, speed and quality of the same files.

    python -m benchmarks.real_input --checkpoint DIR --texts udhr_parallel.json [--device NAME]

NAME is a board of edgebench.toml or `local`; without it an OpenSSH server is started on loopback for the purpose.
DIR is a sentence encoder of the multilingual-e5 kind ("query: " before each text, mean pooling). For torch and for each
artifact, as the agent on the device ran it: retrieval accuracy of the aligned articles to English (cosine of the
mean-pooled states, nearest neighbour among the English articles), and the smallest cosine to torch's vectors.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
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


def shortened(texts: list[str], checkpoint: Path, most: int = 512) -> list[str]:
    """Return the texts, those of more than `most` tokens cut off there; say how many that were."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    cut = []
    for text in texts:
        offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        cut.append(text if len(offsets) <= most else text[: offsets[most - 2][1]])
    print(f"{sum(map(str.__ne__, cut, texts))} of {len(texts)} texts cut to {most} tokens", flush=True)
    return cut


def accuracy(vectors: Vectors, english: Vectors) -> float:
    """Return the percentage of texts whose nearest English text is the one at the same position."""
    return 100.0 * float(np.mean((vectors @ english.T).argmax(axis=1) == np.arange(len(english))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--device")
    parser.add_argument("--formats", default="onnx-fp32,onnx-int8")
    parser.add_argument("--langs", default="", help="default: all in the file")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--store", default=".edgebench")
    options = parser.parse_args()

    articles: dict[str, list[str]] = json.loads(options.texts.read_text(encoding="utf-8"))["articles"]
    languages = options.langs.split(",") if options.langs else list(articles)
    languages = ["en", *[language for language in languages if language != "en"]]
    texts = shortened([PREFIX + text for language in languages for text in articles[language]], options.checkpoint)
    with device_for(options.device) as device:
        tables = tables_of(options, languages, texts, device)
    print(f"{len(articles['en'])} aligned texts a language on {device.name}, {options.runs} runs")
    for table in tables:
        Console(width=200).print(table)


@contextmanager
def device_for(name: str | None) -> Iterator[edgebench.Device]:
    """Give the board of that name, or this machine behind an OpenSSH server of its own."""
    if name is not None:
        yield edgebench.find_device(name)
        return
    from benchmarks.loopback import openssh_device

    with openssh_device() as device:
        yield device


def tables_of(
    options: argparse.Namespace, languages: list[str], texts: list[str], device: edgebench.Device
) -> list[Table]:
    """Run every format on the device; return sizes and times, and the accuracy per language."""
    speed = Table(
        "", "size MB", "load ms", "p50 ms", "p95 ms", "PSS MB", "least cosine", "top-1 as torch %", box=SIMPLE
    )
    accuracies = Table("top-1 %", *languages, "mean but en", box=SIMPLE, padding=(0, 1, 0, 0))
    reference: Vectors | None = None
    for name in options.formats.split(","):
        artifact = export_model(options.checkpoint, name).artifact
        if reference is None:
            reference = torch_vectors(options.checkpoint, encode_texts(artifact, texts))
            accuracies.add_row("torch", *_accuracies(reference, languages))
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
        speed.add_row(
            name,
            f"{artifact.bytes / 1e6:.0f}",
            _figure(measured.load_ms, 0),
            _figure(measured.latency_ms.p50, 2),
            _figure(measured.latency_ms.p95, 2),
            _figure(measured.memory_bytes.peak_pss, 0, 1e6),
            f"{float((vectors * reference).sum(axis=1).min()):.7f}",
            f"{_agreement(vectors, reference, languages):.1f}",
        )
        accuracies.add_row(name, *_accuracies(vectors, languages))
    return [speed, accuracies]


def _figure(value: float | None, digits: int, unit: float = 1.0) -> str:
    return "" if value is None else f"{value / unit:.{digits}f}"


def _agreement(vectors: Vectors, reference: Vectors, languages: list[str]) -> float:
    """Return the percentage of texts whose nearest English text is the same as by the reference."""
    found, expected = np.split(vectors, len(languages)), np.split(reference, len(languages))
    same = [
        (ours @ found[0].T).argmax(axis=1) == (theirs @ expected[0].T).argmax(axis=1)
        for ours, theirs in zip(found, expected, strict=True)
    ]
    return 100.0 * float(np.mean(np.concatenate(same)))


def _accuracies(vectors: Vectors, languages: list[str]) -> list[str]:
    """Return the retrieval accuracy of each language, then the mean of all but English."""
    by_language = np.split(vectors, len(languages))
    scores = [accuracy(part, by_language[0]) for part in by_language]
    return [f"{score:.1f}" for score in [*scores, float(np.mean(scores[1:]))]]


if __name__ == "__main__":
    main()
