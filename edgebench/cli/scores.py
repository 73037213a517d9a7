"""edgebench scores: score predictions in XTREME's format, import scores of other tools, show them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import cloup

from edgebench.cli.groups import Group
from edgebench.cli.options import json_option, result_options, verbosity_options, wide_option
from edgebench.cli.output import check_json_target, console, progress_console, to_stdout, write_json
from edgebench.text import counted

_FOLDER = click.Path(path_type=Path)


@cloup.group("scores", cls=Group)
def command() -> None:
    """Scores of XTREME-R: score predictions, import other tools' scores, show.

    \b
    Example:
      edgebench scores eval --predictions predictions --labels labels
    """


@command.command("eval")
@cloup.option("--predictions", type=_FOLDER, required=True, metavar="DIR", help="Folder with TASK/test-LANG.tsv ...")
@cloup.option(
    "--labels", type=_FOLDER, required=True, metavar="DIR", help="Folder of the same layout with the correct labels."
)
@cloup.option(
    "--benchmark",
    default="xtreme-r",
    show_default=True,
    help="Tasks and languages to average over: xtreme-r or xtreme.",
)
@cloup.option(
    "--seqeval",
    default="0.0.12",
    show_default=True,
    metavar="VERSION",
    help="Version of seqeval whose tag rules apply: 0.0.12 (XTREME's) or 1.2.2.",
)
@result_options
def evaluate(predictions: Path, labels: Path, benchmark: str, seqeval: str, json_target: str | None) -> None:
    """Score a folder of predictions in XTREME's format, as its evaluate.py does, and LAReQA.

    LAReQA's files have Mewsli-X's layout: {id: [candidates]}. A task with missing languages gets a partial score.

    \b
    Example:
      edgebench scores eval --predictions predictions --labels labels
    """
    from edgebench.xtreme_r import score_predictions

    check_json_target(json_target)
    scores = score_predictions(predictions, labels, benchmark=benchmark, seqeval=seqeval)
    write_json(json_target, scores.to_json())
    if to_stdout(json_target):
        from edgebench.reporting import folder_parts

        for part in folder_parts(scores):
            console().print(part, markup=False)


@command.command("import")
@click.argument("files", type=_FOLDER, nargs=-1, required=True, metavar="FILE...")
@cloup.option_group(
    "What is imported",
    cloup.option("--from", "kind", metavar="TOOL", help="Format of the files. [default: recognised]"),
    cloup.option("--variant", metavar="NAME", help="Variant that was scored."),
    cloup.option("--format", metavar="NAME", help="Format of the scored model, for example onnx-int8."),
    cloup.option("--artifact-sha256", metavar="SHA256", help="Hash of the scored artifact."),
    cloup.option("--runtime", metavar="NAME", help="Runtime that ran the scored model."),
    cloup.option("--batch", type=click.IntRange(min=1), metavar="N", help="Its batch size."),
    cloup.option("--padding", metavar="TEXT", help="Its padding."),
    cloup.option("--encoder", metavar="TEXT", help="How the encoder was trained: frozen, tuned ..."),
    cloup.option("--task", metavar="TASK", help="Task, for files that name none (Hugging Face Trainer)."),
    cloup.option("--lang", metavar="LANG", help="Language, for files that name none (Hugging Face Trainer)."),
    cloup.option("--scale", type=click.Choice(["1", "100"]), help="Scale of the figures, if it is in doubt."),
)
@cloup.option_group(
    "Output",
    cloup.option("--out", type=_FOLDER, required=True, metavar="FILE", help="Scores file to write: .csv or .jsonl."),
    json_option,
    wide_option,
    verbosity_options,
)
def import_files(files: tuple[Path, ...], out: Path, kind: str | None, json_target: str | None, **options: Any) -> None:
    """Convert scores of other tools to a scores file, for the option --scores.

    Supported: the output of XTREME's evaluate.py, lm-evaluation-harness results, MTEB's TaskResult, the Trainer's
    all_results.json and eval_results.json, nlu-evals' all_results.json, SQuAD's evaluate.py, `scores eval --json`, and
    CSV (with commas, semicolons or tabs), JSON lines or JSON with variant, task, lang, metric and value. Entries
    without a number are left out and named; partial and suspicious scores are marked with !.

    \b
    Example:
      edgebench scores import report.json --variant xnli-multi --out scores.csv
    """
    from edgebench.errors import ConfigError, ScoresError
    from edgebench.xtreme_r import Provenance, import_scores, refuse_duplicates, write_scores

    check_json_target(json_target)
    if out.suffix not in (".csv", ".jsonl"):
        raise ConfigError(f"--out takes a name that ends in .csv or .jsonl, not {out.name!r}")
    sha256 = options["artifact_sha256"]
    if sha256 is not None and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
        raise ScoresError(f"--artifact-sha256 must be 64 hexadecimal digits, got {sha256!r}")
    provenance = Provenance(**options | {"scale": int(options["scale"]) if options["scale"] else None})
    imported = [import_scores(path, provenance, kind=kind) for path in files]
    rows = [row for each in imported for row in each.rows]
    refuse_duplicates(rows)
    write_scores(out, rows)
    for path, each in zip(files, imported, strict=True):
        progress_console().print(f"{path}: {counted(len(each.rows), 'score')} ({each.kind})", markup=False)
        for skipped in each.skipped:
            progress_console().print(f"  left out: {skipped}", markup=False)
    _show(
        rows,
        json_target,
        left_out=[f"{path}: {each}" for path, of in zip(files, imported, strict=True) for each in of.skipped],
    )


@command.command("show")
@click.argument("file", type=_FOLDER, metavar="FILE")
@result_options
def show(file: Path, json_target: str | None) -> None:
    """Show a scores file: each variant's tasks, and their languages.

    \b
    Example:
      edgebench scores show scores.csv
    """
    from edgebench.xtreme_r import read_scores

    check_json_target(json_target)
    _show(read_scores(file), json_target)


def _show(rows: list[Any], json_target: str | None, *, left_out: list[str] | None = None) -> None:
    from dataclasses import asdict

    document: dict[str, Any] = {"scores": [asdict(row) | {"caveats": list(row.caveats)} for row in rows]}
    write_json(json_target, document if left_out is None else document | {"left_out": left_out})
    if to_stdout(json_target):
        from edgebench.reporting import rows_parts

        for part in rows_parts(rows):
            console().print(part, markup=False)
