"""edgebench runs tag, delete: words for measurements, and measurements that are not needed any more."""

from __future__ import annotations

import sys

import click
import cloup

from edgebench.cli.options import store_option, verbosity_options
from edgebench.errors import UsageError


@cloup.command("tag")
@click.argument("id")
@click.argument("tags", metavar="TAG...", nargs=-1, required=True)
@cloup.option("--remove", is_flag=True, help="Remove these tags.")
@cloup.option_group("Output", store_option, verbosity_options)
def tag(id: str, tags: tuple[str, ...], remove: bool, store: str) -> None:
    """Add tags to a measurement, or remove them; `runs list --tag TAG` finds it. The ID of a session
    stands for all of its measurements.

    \b
    Example:
      edgebench runs tag 20250101T120000-1a2b3c-000 release-1
    """
    from edgebench.store import Store

    kept = Store(store)
    for each in kept.ids(id):
        now = kept.tag(each, *tags, remove=remove)
        click.echo(f"{each}: {', '.join(now) or 'no tags'}")


@cloup.command("delete")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@cloup.option("--yes", is_flag=True, help="Do not ask.")
@cloup.option_group("Output", store_option, verbosity_options)
def delete(ids: tuple[str, ...], yes: bool, store: str) -> None:
    """Delete measurements with all of their runs, for good. The ID of a session stands for all of its
    measurements.

    \b
    Example:
      edgebench runs delete 20250101T120000-1a2b3c-000
    """
    from edgebench.store import Store

    kept = Store(store)
    doomed = list(dict.fromkeys(each for id in ids for each in kept.ids(id)))
    known = {each.id: each for each in kept.subjects()}
    for each in doomed:
        subject = known[each]
        what = f"{subject.variant.name} {subject.artifact.format} on {subject.device.name}, {subject.label}"
        click.echo(f"{each}: {what}", err=True)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nothing was deleted, because nobody can be asked; try: --yes")
        if not click.confirm(f"Delete {len(doomed)} from {store}?", err=True):
            click.echo("nothing was deleted", err=True)
            return
    count = kept.delete(doomed)
    click.echo(f"{count} runs deleted", err=True)
