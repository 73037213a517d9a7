"""`edgebench export`: checkpoints to artifact files, with a parity report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup
from cloup import option, option_group

from edgebench.artifact import EXPORT_FORMATS, Format, parse_formats
from edgebench.cli.numbers import parts, whole_numbers
from edgebench.cli.options import json_option, store_option, verbosity_options, wide_option
from edgebench.cli.output import check_json_target, console, progress_console, to_stdout, verbosity, write_json
from edgebench.cli.planning import show_plans
from edgebench.errors import ConfigError
from edgebench.text import printable, significant

if TYPE_CHECKING:
    from edgebench.export import Exported
    from edgebench.reporting import PlainTable


@cloup.command("export")
@option_group(
    "What to export",
    option(
        "--model",
        "models",
        multiple=True,
        required=True,
        metavar="DIR_OR_HUB_ID",
        help="Checkpoint folder, hub id or reference:tiny|minilm|base|large. Repeatable.",
    ),
    option(
        "--format",
        "formats",
        metavar="F[,F...]",
        help=f"Formats: {', '.join(EXPORT_FORMATS)}, or all. [default: {Format.ONNX_INT8}; all with --compare-formats]",
    ),
    option("--task", help="Head to export. [default: the one in the checkpoint's config]"),
    option(
        "--sentence-embedding",
        is_flag=True,
        help="Export a sentence-transformers folder as one graph: encoder, Pooling, Dense, Normalize.",
    ),
    option("--max-seq-len", type=int, help="Longest input, tokens. [default: the model's limit]"),
    option(
        "--buckets",
        metavar="N[,N...]",
        help="TFLite: input lengths to make signatures for, tokens. [default: 32,64,128,256,512]",
    ),
    option(
        "--keep-langs",
        metavar="L[,L...]",
        help="Trim the vocabulary to these languages, e.g. en,sw,th. A tokenizer that fits is written beside the file.",
    ),
    option(
        "--keep-texts",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Trim the vocabulary to the pieces of these texts: one a line, or JSON or CSV by language. Repeatable.",
    ),
    option("--choices", type=int, metavar="N", help="TFLite: choices of each multiple-choice example. [default: 2]"),
)
@option_group(
    "How to judge",
    option(
        "--accept-parity",
        is_flag=True,
        help="Keep a file whose parity is below the floor for its head and format; the file is marked.",
    ),
    option(
        "--quality-floor",
        type=float,
        metavar="Q",
        help="Least cosine (of a head: share of equal answers), 0..1: as few layers as needed stay in float32. For"
        " onnx-int8 and onnx-int4.",
    ),
    option("--compare-formats", is_flag=True, help="Show the formats of one checkpoint in one table."),
    option(
        "--texts",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="With --compare-formats: retrieval accuracy on parallel texts (JSON or CSV by language), as for profile.",
    ),
    option("--text-prefix", default="", metavar="TEXT", help='Text before each text of --texts, e.g. "query: ".'),
    option("--truncate", is_flag=True, help="Cut texts of --texts that are longer than the model allows."),
)
@option_group(
    "Plan",
    option(
        "--plan",
        is_flag=True,
        help="Only predict file size, memory and time to load; config.json is enough. Nothing is exported.",
    ),
    option("--device", metavar="NAME", help="With --plan: the board, or the kind of board, that it is to run on."),
    option("--seq-len", type=int, metavar="N", help="With --plan: tokens of an input. [default: 128]"),
    option("--batch", type=int, metavar="N", help="With --plan: inputs of a batch. [default: 1]"),
)
@option_group(
    "Output",
    option(
        "--out", type=click.Path(path_type=Path, file_okay=False), help="Copy the files to DIR/<variant>/<format>/."
    ),
    store_option,
    json_option,
    wide_option,
    verbosity_options,
)
def export_command(
    models: tuple[str, ...],
    formats: str | None,
    out: Path | None,
    task: str | None,
    sentence_embedding: bool,
    max_seq_len: int | None,
    buckets: str | None,
    choices: int | None,
    keep_langs: str | None,
    keep_texts: tuple[Path, ...],
    accept_parity: bool,
    quality_floor: float | None,
    compare_formats: bool,
    texts: Path | None,
    text_prefix: str,
    truncate: bool,
    plan: bool,
    device: str | None,
    seq_len: int | None,
    batch: int | None,
    store: str,
    json_target: str | None,
) -> None:
    """Turn checkpoints into artifact files, and check them against torch.

    \b
    Example:
      edgebench export --model runs/xnli-multi --format onnx-int8 --out exported
      edgebench export --model runs/encoder --compare-formats
      edgebench export --model runs/encoder --keep-langs en,sw,th --out exported
      edgebench export --model runs/encoder --quality-floor 0.995
      edgebench export --plan --model runs/encoder --device pi-zero-2w
    """
    from edgebench.export import SENTENCE_EMBEDDING, check_floor

    if sentence_embedding and task not in (None, SENTENCE_EMBEDDING):
        raise ConfigError(f"--sentence-embedding is the task {SENTENCE_EMBEDDING}: leave --task {task} out")
    task = SENTENCE_EMBEDDING if sentence_embedding else task
    check_json_target(json_target)
    chosen = list(parse_formats(parts(formats)))
    lengths = whole_numbers(buckets, "--buckets") if buckets is not None else None
    if plan:
        if compare_formats or out is not None or accept_parity:
            raise ConfigError("--plan makes no file: leave --compare-formats, --out and --accept-parity out")
        if quality_floor is not None:
            raise ConfigError("--plan measures nothing, so it can't say what --quality-floor keeps; leave one out")
        show_plans(
            models,
            chosen or [Format.ONNX_INT8],
            device=device,
            store=store,
            json_target=json_target,
            task=task,
            max_seq_len=max_seq_len,
            buckets=lengths,
            choices=choices,
            keep_langs=parts(keep_langs),
            keep_texts=keep_texts,
            seq_len=seq_len,
            batch=batch if batch is not None else 1,
        )
        return
    if device is not None or seq_len is not None or batch is not None:
        raise ConfigError("--device, --seq-len and --batch belong to --plan")
    if compare_formats:
        if keep_langs is not None or keep_texts:
            raise ConfigError("--keep-langs and --keep-texts don't go with --compare-formats; export first")
        if quality_floor is not None:
            raise ConfigError("--quality-floor doesn't go with --compare-formats; export first")
        settings = {"out": out, "task": task, "max_seq_len": max_seq_len, "buckets": lengths, "choices": choices}
        settings["accept_parity"] = accept_parity
        _compare(models, chosen, texts, text_prefix, truncate=truncate, json_target=json_target, **settings)
        return
    if texts is not None or text_prefix or truncate:
        raise ConfigError("--texts, --text-prefix and --truncate belong to --compare-formats")
    chosen = chosen or [Format.ONNX_INT8]
    if quality_floor is not None:
        check_floor(quality_floor, chosen)  # of all formats, before the first is made
    if lengths is not None and all(format.runtime != "tflite" for format in chosen):
        raise ConfigError("--buckets are the lengths of .tflite files, and none is asked for; try --format tflite-int8")
    exported = _export_all(
        models,
        chosen,
        out,
        task=task,
        max_seq_len=max_seq_len,
        buckets=lengths,
        choices=choices,
        accept_parity=accept_parity,
        quality_floor=quality_floor,
        keep_langs=parts(keep_langs),
        keep_texts=keep_texts,
    )
    write_json(json_target, {"artifacts": [_to_json(one) for one in exported]})
    if to_stdout(json_target):
        from edgebench.reporting import floor_lines

        console().print(_table(exported))
        for one in exported:
            # One line, however long: a path is copied.
            path = printable(f"{one.variant.name} {one.artifact.format}: {one.artifact.model_path}", 5000)
            console().print(path, markup=False, soft_wrap=True)
        _print_trimming(exported)
        for one in exported:
            for line in floor_lines(one.variant.name, one.artifact):
                console().print(line, markup=False, soft_wrap=True)
        for one in exported:
            for shortfall in one.artifact.shortfalls:
                console().print(
                    f"{one.variant.name} {one.artifact.format}: parity accepted beyond its limit: {shortfall}",
                    markup=False,
                )


command = export_command


def _export_all(models: tuple[str, ...], formats: list[Format], out: Path | None, **settings: Any) -> list[Exported]:
    """Export each model to each format, under names that differ: models of one name would share a folder of `out`."""
    from edgebench.export import existing_file, export_model, unique_names

    progress = progress_console()
    exported: list[Exported] = []
    wanted: list[tuple[str, Format]] = []
    named: list[Exported] = []
    has_one = len(set(models)) == 1
    try:
        for model in models:
            for format in formats:

                def say(text: str, label: str = f"{model} {format}") -> None:
                    progress.print(f"{label}: {text}", markup=False)

                one = export_model(model, format, out=out if has_one else None, on_progress=say, **settings)
                if one.cached and verbosity() > 0:
                    say(f"in the cache: {one.artifact.path}")
                exported.append(one)
                wanted.append((model, format))
                if existing_file(model) is not None:
                    break  # an existing file is used unchanged, in its own format
    finally:  # what was exported before an error is copied as well
        names = unique_names([(one.variant.source, one.variant.name) for one in exported])
        for one, (model, format), name in zip(exported, wanted, names, strict=True):
            if out is not None and not has_one:
                named.append(export_model(model, format, name=name, out=out, **settings))
            else:
                named.append(replace(one, variant=replace(one.variant, name=name)))
    return named


def _compare(
    models: tuple[str, ...],
    formats: list[Format],
    texts: Path | None,
    prefix: str,
    *,
    truncate: bool,
    json_target: str | None,
    **settings: Any,
) -> None:
    from edgebench.cli.hints import as_options
    from edgebench.evaluation import compare_formats
    from edgebench.events import Event, LogMessage
    from edgebench.reporting import formats_table
    from edgebench.xtreme_r import read_parallel

    if len(models) > 1:
        raise ConfigError(f"--compare-formats compares the formats of one checkpoint, not of {len(models)}")
    progress = progress_console()

    def say(event: Event) -> None:
        if isinstance(event, LogMessage):
            progress.print(as_options(event.text), markup=False)

    parallel = read_parallel(texts) if texts is not None else None
    results = compare_formats(
        models[0], formats, texts=parallel, prefix=prefix, truncate=truncate, on_event=say, **settings
    )
    write_json(json_target, {"artifacts": [result.to_json() for result in results]})
    if to_stdout(json_target):
        for part in formats_table(
            [
                (one.format, one.artifact, one.retrieval, str(one.error) if one.error is not None else None)
                for one in results
            ]
        ):
            console().print(part, markup=False)
    for result in results:
        if result.error is not None:
            raise result.error


def _print_trimming(exported: list[Exported]) -> None:
    from edgebench.reporting import trimming_lines

    for name, trimming in {one.variant.name: one.artifact.trimming for one in exported}.items():
        for line in trimming_lines(name, trimming) if trimming is not None else ():
            console().print(line, markup=False)


def _to_json(exported: Exported) -> dict[str, Any]:
    return exported.artifact.to_result() | {"variant": exported.variant.to_json(), "cached": exported.cached}


def _table(exported: list[Exported]) -> PlainTable:
    from edgebench.reporting import PlainTable, parity_text

    table = PlainTable(
        *("variant", "format", "MB", "max diff", "parity", "seconds", "peak MB"), names=2,
        figures=("MB", "max diff", "parity", "seconds", "peak MB"), hide_first=("peak MB", "seconds", "max diff"),
    )  # fmt: skip
    for one in exported:
        artifact, parity = one.artifact, one.artifact.parity
        table.add_row(
            one.variant.name,
            str(artifact.format),
            significant(artifact.bytes / 1e6),
            f"{parity.max_abs_diff:.2g}" if parity else "-",
            parity_text(parity),
            significant(artifact.seconds) if artifact.seconds is not None else "-",
            significant(artifact.peak_rss_bytes / 1e6) if artifact.peak_rss_bytes is not None else "-",
        )
    return table
