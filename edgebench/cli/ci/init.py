"""edgebench ci init: write a CI job for this repository."""

from __future__ import annotations

from pathlib import Path

import click
import cloup
from cloup import option

from edgebench.ci_recipes import CiSystem
from edgebench.cli.options import verbosity_options
from edgebench.request import DEFAULT_MODEL
from edgebench.text import printable


@cloup.command("init")
@option(
    "--for",
    "system",
    type=click.Choice([str(system) for system in CiSystem]),
    help="The CI system. [default: what the repository's files and its remote show]",
)
@option("--device", metavar="NAME", help="Board of edgebench.toml, or local. [default: the only one there is]")
@option(
    "--model",
    metavar="MODEL",
    default=DEFAULT_MODEL,
    show_default=True,
    help="The candidate as the job finds it, as for profile.",
)
@option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write it. [default: .github/workflows/edgebench.yml, .gitlab-ci.yml or Jenkinsfile; where one of "
    "the latter two exists, a file beside it]",
)
@option("--force", is_flag=True, help="Overwrite a file that exists.")
@verbosity_options
def command(system: str | None, device: str | None, model: str, output: Path | None, force: bool) -> None:
    """Write a CI job that measures a model on a board with every change.

    The job gates the change against baseline.json (see `edgebench gate`); before that file is committed, it profiles.
    It keeps exports and results on the runner, waits for a board that is in use, and leaves the report as a page.

    \b
    Example:
      edgebench ci init --for github --device pi4 --model runs/xnli-multi
    """
    from edgebench.ci_recipes import write_ci_recipe

    recipe = write_ci_recipe(system=system, device=device, model=model, output=output, force=force)
    click.echo(f"{printable(recipe.path)}: {printable(recipe.model)} on {recipe.device}, for {recipe.system}")
    for number, step in enumerate(recipe.next_steps, start=1):
        click.echo(f"{number}. {printable(step)}")
