"""edgebench evaluate: scores the same file that is timed, on the board."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click
import cloup
from cloup import option, option_group

from edgebench.artifact import EXPORT_FORMATS, parse_format
from edgebench.cli.numbers import parts
from edgebench.cli.options import output_options, wait_idle_option, wait_option
from edgebench.cli.output import check_json_target, console, progress_console, to_stdout, write_json
from edgebench.text import printable

_FOLDER = click.Path(path_type=Path)


@cloup.command("evaluate")
@option_group(
    "What to evaluate",
    option("--model", required=True, metavar="MODEL", help="Hugging Face folder, hub id, exported file or its folder."),
    option(
        "--format",
        "format_name",
        metavar="F",
        help=f"Format: {', '.join(EXPORT_FORMATS)}. [default: the device profile's]",
    ),
    option("--task", required=True, metavar="T[,T...]", help="Tasks of XTREME-R: xnli, panx, xquad, tatoeba ..."),
    option("--lang", metavar="L[,L...]", help="Languages. [default: all that the data has]"),
    option("--data", type=_FOLDER, required=True, metavar="DIR", help="Folder download/ that XTREME's scripts write."),
    option("--labels", type=_FOLDER, metavar="DIR", help="Labels TASK/test-LANG.tsv ... that the data lacks."),
    option(
        "--split", type=click.Choice(["test", "dev"]), default="test", show_default=True, help="Split of the examples."
    ),
    option("--limit", type=int, metavar="N", help="At most N examples per language, with the labels' proportions."),
    option("--seed", type=int, default=0, show_default=True, help="Seed of the limit's draw and of the intervals."),
    option("--prefix", default="", metavar="TEXT", help='Text before each retrieval input: "query: " for E5.'),
    option("--again", is_flag=True, help="Answer again what the store already has."),
)
@option_group(
    "Where",
    option("--device", metavar="NAME", help="Board of edgebench.toml. [default: local]"),
    option("--host", metavar="[USER@]HOST[:PORT]", help="Address of a board that is not in edgebench.toml."),
    option("--host-key", metavar="KEY", help='Only host key to accept there: "ssh-ed25519 AAAA...".'),
    wait_option,
    wait_idle_option,
    option("--runtime", metavar="NAME", help="ai-edge-litert or tflite-runtime. [default: the one on the board]"),
    option("--threads", type=int, metavar="N", help="Threads of the runtime. [default: the device profile's]"),
    option("--batch", type=int, default=1, show_default=True, metavar="N", help="Examples per inference."),
)
@option_group(
    "How to judge",
    option(
        "--also",
        type=click.Choice(["host-fp32"]),
        help="host-fp32: also run the fp32 artifact on this machine, and report what the format changed.",
    ),
    option(
        "--accept-parity",
        is_flag=True,
        help="Also score a file whose parity is below the floor for its head and format; it is marked.",
    ),
    option(
        "--seqeval",
        default="0.0.12",
        show_default=True,
        metavar="VERSION",
        help="Version of seqeval whose tag rules apply: 0.0.12 (XTREME's) or 1.2.2.",
    ),
)
@output_options
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
    accept_parity: bool,
    wait_s: int,
    wait_idle_s: int | None,
    store: str,
    json_target: str | None,
) -> None:
    """Run a model on the examples of tasks, on a board, and score its answers.

    The file is the one that `profile` times. Answers are stored per language, and the same command continues an
    interrupted evaluation.

    \b
    Example:
      edgebench evaluate --model runs/xnli-multi --task xnli --data download
    """
    from edgebench.cli.interrupts import last_line
    from edgebench.cli.live import LiveDisplay
    from edgebench.cli.requested import named_device
    from edgebench.evaluation import EvaluationRequest, evaluate_all
    from edgebench.store import Store

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
        accept_parity=accept_parity,
        wait_s=wait_s,
        wait_idle_s=wait_idle_s,
    )
    answered = f"the languages that were answered are in {printable(str(store))}; the same command goes on"
    last_line.say(answered, only_interrupted=True)
    kept = Store(store)
    with LiveDisplay(progress_console()) as display:
        evaluation = evaluate_all(request, store=kept, on_event=partial(display, ""))
    if to_stdout(json_target):
        from edgebench.reporting import evaluation_parts

        for part in evaluation_parts(evaluation):
            console().print(part, markup=False)
    write_json(json_target, evaluation.to_json())
    kept.deliver()
