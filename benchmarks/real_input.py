"""Real texts through a real checkpoint on a device, speed and quality of the same files.

    python -m benchmarks.real_input --checkpoint DIR --texts udhr_parallel.json [--device NAME]

NAME is a board of edgebench.toml or `local`; without it an OpenSSH server is started on loopback for the purpose.
DIR is a sentence encoder of the multilingual-e5 kind ("query: " before each text, mean pooling). For torch and for each
artifact in each runtime, as the agent on the device ran it: retrieval accuracy of the aligned articles to English
(cosine of the mean-pooled states, nearest neighbour among the English articles), and the cosine to torch's vectors.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

import edgebench
from edgebench.artifact import EXPORT_FORMATS, Format
from edgebench.errors import BoardError
from edgebench.evaluation.inference import sentence_vectors
from edgebench.export import cache_folder, encode_texts, export_model
from edgebench.export.tflite_checks import computed_by_older
from edgebench.export.tflite_runtimes import TFLITE_RUNTIMES, tflite_runtime_python
from edgebench.workload import EncodedInputs
from edgebench.xtreme_r.retrieval import Vectors, nearest, pooled, read_parallel, retrieve, split

PREFIX = "query: "
FORMATS = tuple(map(str, EXPORT_FORMATS))


@dataclass(frozen=True, slots=True)
class Case:
    """A format, in the device's default runtime or in an older one that this machine has a Python for."""

    format: str
    label: str
    python: str | None = None


def cases(formats: Sequence[str], *, old_runtimes: bool) -> Iterator[Case]:
    """Yield what to measure: .tflite files in each runtime that computes them."""
    for format in formats:
        yield Case(format, format)
        if old_runtimes and computed_by_older(Format(format)):
            for version in TFLITE_RUNTIMES:
                try:
                    python = tflite_runtime_python(version, cache=cache_folder(), on_progress=print)
                except BoardError as error:
                    print(f"left out: {error}")
                    continue
                yield Case(format, f"{format}, tflite-runtime {version}", str(python))


def torch_vectors(checkpoint: Path, inputs: EncodedInputs) -> Vectors:
    """Return the checkpoint's outputs in torch. Shape (texts, hidden)."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(checkpoint).eval()
    ends = np.cumsum(inputs.lengths)
    vectors = []
    with torch.no_grad():
        for end, size in zip(ends, inputs.lengths, strict=True):
            ids = torch.from_numpy(inputs.ids[end - size : end].astype(np.int64))[None]
            vectors.append(pooled(model(ids).last_hidden_state.numpy()[0], size))
    return np.stack(vectors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--device")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--langs", default="", help="default: all in the file")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--timed-texts", type=int, default=0, help="time only every n-th of so many; default: all")
    parser.add_argument("--no-old-runtimes", action="store_true", help="leave tflite-runtime out")
    parser.add_argument("--store", default=".edgebench")
    options = parser.parse_args()

    parallel = read_parallel(options.texts)
    languages = [lang for lang in parallel if not options.langs or lang in ("en", *options.langs.split(","))]
    texts = [PREFIX + text for language in languages for text in parallel[language]]
    with device_for(options.device) as device:
        tables = tables_of(options, languages, texts, device)
    print(f"{len(parallel['en'])} aligned texts a language on {device.name}, {options.runs} runs")
    for table in tables:
        Console(width=220).print(table)


@contextmanager
def device_for(name: str | None) -> Iterator[edgebench.Device]:
    """Provide the board of that name, or this machine behind a separate OpenSSH server."""
    if name is not None:
        yield edgebench.find_device(name)
        return
    from benchmarks.loopback import openssh_device

    with openssh_device() as device:
        yield device


def tables_of(
    options: argparse.Namespace, languages: list[str], texts: list[str], device: edgebench.Device
) -> list[Table]:
    """Run every case on the device; return sizes and times, and the accuracy per language."""
    speed = Table("", "size MB", "load ms", "p50 ms", "p95 ms", "PSS MB", "padded x", "p50 x the first", box=SIMPLE)
    quality = Table("", "least cosine", "mean cosine", "to the runtime above", "top-1 as torch %", box=SIMPLE)
    accuracies = Table("top-1 %", *languages, "mean but en", box=SIMPLE, padding=(0, 1, 0, 0))
    timed = texts[:: len(texts) // options.timed_texts] if options.timed_texts else texts
    reference: Vectors | None = None
    first: dict[str, Vectors] = {}  # of each format
    first_ms: float | None = None
    for case in cases(options.formats.split(","), old_runtimes=not options.no_old_runtimes):
        print(case.label, flush=True)
        artifact = export_model(options.checkpoint, case.format).artifact
        if reference is None:
            reference = torch_vectors(options.checkpoint, encode_texts(artifact, texts, truncate=True))
            accuracies.add_row("torch", *_accuracies(reference, languages))
        board = replace(device, python=case.python) if case.python is not None else device
        vectors = sentence_vectors(artifact, texts, device=board, truncate=True)
        measured = edgebench.profile(
            options.checkpoint,
            device=board,
            format=case.format,
            workload=edgebench.Workload(texts=tuple(timed), truncate=True),
            plan=edgebench.RunPlan(runs=options.runs, min_count=len(timed)),
            store=options.store,
        )
        padding, p50_ms = measured.padding, measured.latency_ms.p50
        first_ms = first_ms or p50_ms
        speed.add_row(
            case.label,
            f"{artifact.bytes / 1e6:.0f}",
            _figure(measured.load_ms, 0),
            _figure(p50_ms, 2),
            _figure(measured.latency_ms.p95, 2),
            _figure(measured.memory_bytes.peak_pss, 0, 1e6),
            _figure(padding.cost if padding is not None else None, 2),
            _figure(p50_ms / first_ms if p50_ms is not None and first_ms is not None else None, 2),
        )
        cosines = (vectors * reference).sum(axis=1)
        above = (vectors * first.setdefault(case.format, vectors)).sum(axis=1)
        quality.add_row(
            case.label,
            f"{cosines.min():.7f}",
            f"{cosines.mean():.7f}",
            f"{above.mean():.7f}",
            f"{_agreement(vectors, reference, languages):.1f}",
        )
        accuracies.add_row(case.label, *_accuracies(vectors, languages))
    return [speed, quality, accuracies]


def _figure(value: float | None, digits: int, unit: float = 1.0) -> str:
    return "" if value is None else f"{value / unit:.{digits}f}"


def _agreement(vectors: Vectors, reference: Vectors, languages: list[str]) -> float:
    """Return the percentage of texts whose nearest English text is the same as with the reference."""
    found, expected = split(vectors, languages), split(reference, languages)
    same = [nearest(found[lang], found["en"]) == nearest(expected[lang], expected["en"]) for lang in languages]
    return 100.0 * float(np.mean(np.concatenate(same)))


def _accuracies(vectors: Vectors, languages: list[str]) -> list[str]:
    """Return the retrieval accuracy of each language, then the mean of all but English."""
    found = retrieve(vectors, languages)
    scores = [100.0, *(found.accuracy[lang] for lang in languages[1:]), found.mean]
    return [f"{score:.1f}" for score in scores]


if __name__ == "__main__":
    main()
