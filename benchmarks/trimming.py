"""A trimmed vocabulary: the same vectors and segmentation on held-out texts, retrieval, size and memory.

    python -m benchmarks.trimming --checkpoint DIR --texts udhr_parallel.json --langs en,sw,th,ar,hi

DIR is a sentence encoder of the multilingual-e5 kind ("query: " before each text, mean pooling); the texts are aligned,
by language. The checkpoint is exported twice, as it is and trimmed with --keep-langs, in fp32 and int8. Retrieval is
that of each language's texts to English among all English texts. Memory is the peak RSS of a process of its own that
loads a file in onnxruntime with one thread and runs all texts of the first language.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgebench.artifact import Artifact
from edgebench.cli.numbers import parts
from edgebench.export import encode_texts, export_model
from edgebench.input_texts import read_input_texts
from edgebench.reporting import trimming_lines

PREFIX = "query: "
FORMATS = ("onnx-fp32", "onnx-int8")


def vectors(path: str, sequences: Sequence[Sequence[int]]) -> Any:
    """Return the mean-pooled states of each sequence as unit vectors. Shape (texts, hidden)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    found = []
    for ids in sequences:
        array = np.array([ids], np.int64)
        feeds = {"input_ids": array, "attention_mask": np.ones_like(array)}
        wanted = {each.name: np.int32 if "int32" in each.type else np.int64 for each in session.get_inputs()}
        states = session.run(None, {name: feeds[name].astype(kind) for name, kind in wanted.items()})[0]
        found.append(states[0].mean(axis=0))
    stacked = np.stack(found)
    return stacked / np.linalg.norm(stacked, axis=1, keepdims=True)


def encode(artifact: Artifact, texts: Sequence[str]) -> list[list[int]]:
    """Return the ids of texts with the prefix, special tokens included."""
    encoded = encode_texts(artifact, texts, prefix=PREFIX)
    ends = np.cumsum(encoded.lengths)
    return [ids.tolist() for ids in np.split(encoded.ids, ends[:-1])]


def peak_mb(artifact: Artifact, texts: Sequence[str]) -> tuple[float, float]:
    """Return the peak RSS of a process that loads and runs a file, before it loads the file and at the end, MB."""
    job = json.dumps({"path": str(artifact.model_path), "sequences": encode(artifact, texts)})
    command = [sys.executable, "-m", "benchmarks.trimming", "--measure"]
    done = subprocess.run(command, input=job, capture_output=True, text=True, check=True)
    before, peak = map(float, done.stdout.split()[-2:])
    return before, peak


def measure() -> None:
    """Run the file that standard input names; print this process's peak RSS before it is loaded and after, in MB."""
    import onnxruntime  # noqa: F401 - part of the process without a model

    job = json.load(sys.stdin)
    before = _peak_mb()
    vectors(job["path"], job["sequences"])
    print(before, _peak_mb())


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")  # getrusage would include the parent at the fork
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def main() -> None:
    """Print the tables of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--langs", default="en,sw,th,ar,hi")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure()
        return
    langs = parts(options.langs)
    texts = read_input_texts(options.texts).parallel
    assert texts is not None
    made = {
        (format, kept): export_model(options.checkpoint, format, keep_langs=langs if kept else ()).artifact
        for format in FORMATS
        for kept in (False, True)
    }
    trimming = made["onnx-fp32", True].trimming
    assert trimming is not None
    print("\n".join(trimming_lines("trimmed", trimming)))
    for format in FORMATS:
        sizes = [made[format, kept].bytes / 1e6 for kept in (False, True)]
        peaks = [peak_mb(made[format, kept], texts[langs[0]]) for kept in (False, True)]
        rows = [
            ("file MB", sizes),
            ("peak RSS MB", [peak for _, peak in peaks]),
            ("peak RSS MB less that without a model", [peak - before for before, peak in peaks]),
        ]
        for name, (before, after) in rows:
            print(f"{format} {name}: {before:.1f} -> {after:.1f} ({after / before:.3f})")
    pools = {
        key: {lang: vectors(str(one.model_path), encode(one, texts[lang])) for lang in langs}
        for key, one in made.items()
    }
    names = [f"{format} {'trimmed' if kept else 'as it is'}" for format, kept in made]
    print(f"lang | fp32: largest difference | same token counts | retrieval to en: {', '.join(names)}")
    for lang in langs:
        pair = [pools["onnx-fp32", kept][lang] for kept in (False, True)]
        counts = [[len(ids) for ids in encode(made["onnx-fp32", kept], texts[lang])] for kept in (False, True)]
        rates = []
        for pool in pools.values():
            nearest = (pool[lang] @ pool["en"].T).argmax(axis=1)
            rates.append(f"{100 * float((nearest == np.arange(len(nearest))).mean()):.1f}")
        print(f"{lang} | {np.abs(pair[0] - pair[1]).max():.2g} | {counts[0] == counts[1]} | {' | '.join(rates)}")


if __name__ == "__main__":
    main()
