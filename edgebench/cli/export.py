"""`edgebench export`: checkpoints to artifact files, with a parity report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgebench.artifact import EXISTING_FORMATS, EXPORT_FORMATS, Format, parse_format
from edgebench.cli.numbers import whole_numbers
from edgebench.cli.output import (
    console,
    json_option,
    progress_console,
    to_stdout,
    verbosity,
    verbosity_options,
    write_json,
)

if TYPE_CHECKING:
    from rich.table import Table

    from edgebench.export import Exported


@click.command("export")
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="DIR_OR_HUB_ID",
    help="A checkpoint's folder, a hub id or reference:tiny|minilm|base|large; repeatable.",
)
@click.option(
    "--format",
    "formats",
    default=str(Format.ONNX_INT8),
    show_default=True,
    metavar="F[,F...]",
    help=f"Of {', '.join(EXPORT_FORMATS)}.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Copy the files to DIR/<variant>/<format>/."
)
@click.option("--task", help="The head to export. [default: the one in the checkpoint's config]")
@click.option("--max-seq-len", type=int, help="Longest input in tokens. [default: as long as the model allows]")
@click.option(
    "--buckets",
    metavar="N[,N...]",
    help="TFLite: input lengths in tokens to make signatures for. [default: 32,64,128,256,512, as far as it goes]",
)
@click.option("--choices", type=int, metavar="N", help="TFLite: sequences of a multiple choice. [default: 2]")
@json_option
@verbosity_options
def export_command(
    models: tuple[str, ...],
    formats: str,
    out: Path | None,
    task: str | None,
    max_seq_len: int | None,
    buckets: str | None,
    choices: int | None,
    json_target: str | None,
) -> None:
    """Turn checkpoints into artifact files that were checked against torch.

    \b
    Example:
      edgebench export --model runs/xnli-multi --format onnx-fp32,onnx-int8 --out exported
    """
    from edgebench.export import export_model

    chosen = list(dict.fromkeys(parse_format(name.strip()) for name in formats.split(",")))
    lengths = whole_numbers(buckets, "--buckets") if buckets is not None else None
    progress = progress_console()
    exported = []
    for model in models:
        for format in chosen:

            def say(text: str, label: str = f"{model} {format}") -> None:
                progress.print(f"{label}: {text}", markup=False)

            one = export_model(
                model,
                format,
                out=out,
                task=task,
                max_seq_len=max_seq_len,
                buckets=lengths,
                choices=choices,
                on_progress=say,
            )
            if one.cached and verbosity() > 0:
                say(f"in the cache: {one.artifact.path}")
            exported.append(one)
            if one.artifact.format in EXISTING_FORMATS.values() or Path(model).suffix in EXISTING_FORMATS:
                break  # an existing file is what it is, whatever the format
    write_json(json_target, {"artifacts": [_to_json(one) for one in exported]})
    if to_stdout(json_target):
        console().print(_table(exported))


command = export_command


def _to_json(exported: Exported) -> dict[str, Any]:
    return exported.artifact.to_result() | {"variant": exported.variant.to_json(), "cached": exported.cached}


def _table(exported: list[Exported]) -> Table:
    from edgebench.report.table import add_plain_row, plain_table

    table = plain_table("variant", "format", "MB", "max diff", "cosine", "argmax", "seconds", "peak MB", "path")
    for column in table.columns[2:-1]:
        column.justify = "right"
    for one in exported:
        artifact, parity = one.artifact, one.artifact.parity
        agreement = parity.argmax_agreement if parity else None
        add_plain_row(
            table,
            one.variant.name,
            str(artifact.format),
            f"{artifact.bytes / 1e6:.1f}",
            f"{parity.max_abs_diff:.2g}" if parity else "-",
            f"{parity.mean_cosine:.5f}" if parity else "-",
            f"{100 * agreement:.1f} %" if agreement is not None else "-",
            f"{artifact.seconds:.1f}" if artifact.seconds is not None else "-",
            f"{artifact.peak_rss_bytes / 1e6:.0f}" if artifact.peak_rss_bytes is not None else "-",
            str(artifact.model_path),
        )
    return table
