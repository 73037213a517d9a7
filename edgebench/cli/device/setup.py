"""edgebench device setup: make a bare board ready, or remove everything from it again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup
from cloup import option, option_group

from edgebench.cli.options import json_option, verbosity_options, wait_option, wide_option
from edgebench.cli.output import check_json_target, console, progress_console, to_stdout, write_json
from edgebench.errors import UsageError

if TYPE_CHECKING:
    from edgebench.provision import Removal, Setup


@cloup.command("setup")
@click.argument("name")
@option_group(
    "What to install",
    option(
        "--runtime",
        "runtimes",
        multiple=True,
        metavar="R",
        help="onnxruntime, ai-edge-litert or tflite-runtime. Repeatable. [default: all that the board can run]",
    ),
    option(
        "--wheel",
        "wheels",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A wheel of your own, such as a GPU build for a Jetson. Repeatable.",
    ),
    option("--system-python", is_flag=True, help="Use the runtimes of the board's own Python; install nothing."),
    option("--upgrade", is_flag=True, help="Look for newer wheels."),
    option(
        "--download",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Folder on this machine that keeps the wheels, also for offline use. [default: edgebench's cache]",
    ),
    option("--remove", is_flag=True, help="Instead, remove everything of edgebench from the board."),
)
@option_group("Where", wait_option)
@option_group("Output", json_option, wide_option, verbosity_options)
def command(
    name: str,
    runtimes: tuple[str, ...],
    wheels: tuple[Path, ...],
    system_python: bool,
    upgrade: bool,
    download: Path | None,
    wait_s: int,
    remove: bool,
    json_target: str | None,
) -> int:
    """Install the agent and runtimes on a board; it needs no internet, root or pip.

    Each runtime runs a tiny model, whose outputs must equal those on this machine. Existing installations stay. The
    exit status is 0 if everything works, else 1.

    \b
    Example:
      edgebench device setup pi4
    """
    from edgebench.cli.live import LiveDisplay
    from edgebench.device import find_device
    from edgebench.provision import SetupPlan, remove_setup, set_up_device

    check_json_target(json_target)
    if remove:
        if runtimes or wheels or system_python or upgrade or download is not None:
            raise UsageError("--remove takes everything off the board: leave the other options out")
        with LiveDisplay(progress_console()) as display:
            removal = remove_setup(find_device(name), wait_s=wait_s, on_event=partial(display, ""))
        write_json(json_target, removal.to_json())
        if to_stdout(json_target):
            _show_removal(removal)
        return 0

    plan = SetupPlan(
        runtimes=runtimes,
        wheels=wheels,
        system_python=system_python,
        upgrade=upgrade,
        folder=download,
        wait_s=wait_s,
    )
    with LiveDisplay(progress_console()) as display:
        done = set_up_device(find_device(name), plan, partial(display, ""))
    write_json(json_target, done.to_json())
    if to_stdout(json_target):
        _show_setup(done)
    return 0 if done.is_ready else 1


def _show_setup(done: Setup) -> None:
    from edgebench.cli.hints import as_options
    from edgebench.reporting import PlainTable

    verdict = "ready" if done.is_ready else "something requested does not work"
    table = PlainTable("what", "seen", "", "how to fix it", verdict="", title=f"{done.device}: {verdict}")
    for finding in done.findings:
        table.add_row(finding.what, as_options(finding.seen), str(finding.state), finding.fix or "")
    console().print(table)


def _show_removal(removal: Removal) -> None:
    parts = [f"{count} {kind} ({size / 1e6:,.1f} MB)" for kind, (count, size) in removal.removed.items()]
    click.echo(f"{removal.device}: removed {', '.join(parts) or 'nothing: there was nothing'}")
    if removal.left:
        click.echo(f"{removal.device}: left, for they are not edgebench's: {', '.join(removal.left)}")
