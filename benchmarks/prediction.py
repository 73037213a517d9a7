"""Predictions of file size and peak memory, held against real exports and real runs on this machine.

    python -m benchmarks.prediction [MODEL ...] [--formats F,...] [--shapes 1x128,8x128] [--runtime NAME]

MODEL is a checkpoint folder or reference:NAME. Each is exported, and each file is run once by the agent for each shape
(inputs x tokens), with three inferences, in a store of its own: no prediction knows an earlier run. Positive errors:
the prediction is too high.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import edgebench
from benchmarks.tables import print_markdown
from edgebench.artifact import Format, parse_formats
from edgebench.cli.numbers import parts
from edgebench.errors import EdgebenchError

_HEADERS = ("model", "format", "shape", "file MB", "predicted", "error", "peak RSS MB", "predicted", "error")
_PLAN = edgebench.RunPlan(runs=1, min_count=3, min_duration_s=0, max_warmup_s=0)


def rows(model: str, format: Format, shapes: list[tuple[int, int]], *, runtime: str | None) -> Iterator[list[str]]:
    """Yield a row for each shape."""
    (plan,) = edgebench.plan_export(model, [format])
    for batch, seq_len in shapes:
        scenario = "offline" if batch > 1 else "single-stream"
        workload = edgebench.Workload(scenario=edgebench.Scenario(scenario), batch=batch, seq_len=seq_len)
        with tempfile.TemporaryDirectory() as store:
            measured = edgebench.profile(
                model,
                format=format,
                workload=workload,
                plan=_PLAN,
                store=store,
                overhead=False,
                cold=False,
                runtime=runtime,
                accept_parity=True,
            )
        artifact = measured.subject.artifact
        predicted, peak = measured.subject.prediction, measured.runs[0].memory.peak_rss
        assert predicted is not None and peak is not None
        yield [
            Path(model).name,
            f"{format}" + (f" ({runtime})" if runtime else ""),
            f"{batch} x {seq_len}",
            f"{artifact.bytes / 1e6:.1f}",
            f"{plan.file_bytes / 1e6:.1f}",
            f"{100 * (plan.file_bytes / artifact.bytes - 1):+.2f} %",
            f"{peak / 1e6:.0f}",
            f"{predicted.peak_rss_bytes / 1e6:.0f}",
            f"{100 * (predicted.peak_rss_bytes / peak - 1):+.1f} %",
        ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["reference:tiny", "reference:minilm"])
    parser.add_argument("--formats", default="all")
    parser.add_argument("--shapes", default="1x32,1x128,1x512,8x128")
    parser.add_argument("--runtime", help="of .tflite files")
    options = parser.parse_args()
    shapes = [(int(batch), int(length)) for batch, length in (each.split("x") for each in parts(options.shapes))]

    def all_rows() -> Iterator[list[str]]:
        for model in options.models:
            for format in parse_formats(parts(options.formats)):
                one = [shape for shape in shapes if format.runtime != "tflite" or shape[0] == 1]
                of_tflite = options.runtime if format.runtime == "tflite" else None
                try:
                    yield from rows(model, format, one, runtime=of_tflite)
                except EdgebenchError as error:
                    yield [Path(model).name, str(format), str(error)[:80], *[""] * 6]

    print_markdown(_HEADERS, all_rows())


if __name__ == "__main__":
    main()
