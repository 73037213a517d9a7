"""edgebench evaluate: what the very file that is timed scores on the board."""

from __future__ import annotations

from pathlib import Path

import click

from edgebench.artifact import EXPORT_FORMATS, parse_format
from edgebench.cli.numbers import parts
from edgebench.cli.output import (
    check_json_target,
    console,
    json_option,
    progress_console,
    store_option,
    to_stdout,
    verbosity_options,
    wait_option,
    write_json,
)

_FOLDER = click.Path(path_type=Path)


@click.command("evaluate")
@click.option("--device", metavar="NAME", help="Board. [default: local]")
@click.option("--host", metavar="[USER@]HOST[:PORT]", help="Address of a board that edgebench.toml does not name.")
@click.option("--host-key", metavar="KEY", help='The only host key to accept there: "ssh-ed25519 AAAA...".')
@click.option("--model", required=True, metavar="MODEL", help="Hugging Face folder or hub id, or an exported file.")
@click.option(
    "--format", "format_name", metavar="F", help=f"Of {', '.join(EXPORT_FORMATS)}. [default: the device profile's]"
)
@click.option("--task", required=True, metavar="T[,T...]", help="Of XTREME-R: xnli, panx, xquad, tatoeba ...")
@click.option("--lang", metavar="L[,L...]", help="Languages. [default: all whose files are there]")
@click.option("--data", type=_FOLDER, required=True, metavar="DIR", help="The folder download/ of XTREME's scripts.")
@click.option(
    "--labels", type=_FOLDER, metavar="DIR", help="Right answers, TASK/test-LANG.tsv ..., where the data has none."
)
@click.option("--split", type=click.Choice(["test", "dev"]), default="test", show_default=True, help="Which examples.")
@click.option("--limit", type=int, metavar="N", help="Of each language at most N examples, labels in their shares.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the limit's draw and of the intervals.")
@click.option(
    "--also",
    type=click.Choice(["host-fp32"]),
    help="host-fp32: also the fp32 artifact on this machine, and what the format changed.",
)
@click.option("--batch", type=int, default=1, show_default=True, metavar="N", help="Examples per inference.")
@click.option("--threads", type=int, metavar="N", help="Threads of the runtime. [default: the device profile's]")
@click.option("--runtime", metavar="NAME", help="For .tflite: ai-edge-litert or tflite-runtime.")
@click.option("--prefix", default="", metavar="TEXT", help='Before each text of a retrieval task: "query: " for E5.')
@click.option(
    "--seqeval",
    default="0.0.12",
    show_default=True,
    metavar="VERSION",
    help="Whose reading of tags counts: 0.0.12 (XTREME's own figures) or 1.2.2 (today's).",
)
@click.option("--again", is_flag=True, help="Answer anew what the store has already.")
@wait_option
@store_option
@json_option
@verbosity_options
def command(
    device: str | None,
    host: str | None,
    host_key: str | None,
    model: str,
    format_name: str | None,
    task: str,
    lang: str | None,
    data: Path,
    labels: Path | None,
    split: str,
    limit: int | None,
    seed: int,
    also: str | None,
    batch: int,
    threads: int | None,
    runtime: str | None,
    prefix: str,
    seqeval: str,
    again: bool,
    wait_s: int,
    store: Path,
    json_target: str | None,
) -> None:
    """Answer tasks' examples on a board with the file that is timed there, and score the answers.

    What is answered is kept, language by language: an interrupted evaluation goes on where it was.

    \b
    Example:
      edgebench evaluate --device pi4 --model runs/xnli-multi --task xnli --lang sw,th --data download
    """
    from edgebench.cli.measuring import terminated_like_interrupted
    from edgebench.cli.profile import named_device
    from edgebench.evaluation.evaluator import EvaluationRequest, evaluate_all
    from edgebench.events import Event, LogMessage
    from edgebench.store.store import Store

    check_json_target(json_target)
    request = EvaluationRequest(
        device=named_device(device, host, host_key),
        model=model,
        format=parse_format(format_name) if format_name is not None else None,
        tasks=tuple(parts(task)),
        langs=tuple(parts(lang)),
        data=data,
        labels=labels,
        split=split,
        limit=limit,
        seed=seed,
        prefix=prefix,
        seqeval=seqeval,
        batch=batch,
        threads=threads,
        runtime=runtime,
        also_host=also is not None,
        again=again,
        wait_s=wait_s,
    )
    progress = progress_console()

    def tell(event: Event) -> None:
        if isinstance(event, LogMessage):
            progress.print(event.text, markup=False)

    try:
        with terminated_like_interrupted():
            evaluation = evaluate_all(request, store=Store(store), on_event=tell)
    except KeyboardInterrupt:
        click.echo(f"edgebench: the languages that were answered are in {store}; the same command goes on", err=True)
        raise
    if to_stdout(json_target):
        from edgebench.report.evaluation import evaluation_parts

        for part in evaluation_parts(evaluation):
            console().print(part, markup=False)
    write_json(json_target, evaluation.to_json())
