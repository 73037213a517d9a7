"""edgebench runs sync: bring to a bucket what is kept on this machine only, and runs of other stores."""

from __future__ import annotations

import click
import cloup

from edgebench.cli.options import json_option, store_option, verbosity_options
from edgebench.cli.output import check_json_target, write_json
from edgebench.errors import UsageError
from edgebench.text import counted


@cloup.command("sync")
@cloup.option(
    "--from",
    "source",
    metavar="WHERE",
    help="Also bring everything from this store, a folder or a bucket; it stays there.",
)
@cloup.option_group("Output", store_option, json_option, verbosity_options)
def command(source: str | None, store: str, json_target: str | None) -> None:
    """Bring to a store in a bucket what is kept on this machine only, because the bucket could not be
    reached. With --from, also the runs and documents of another store. Nothing is brought twice.

    \b
    Example:
      edgebench runs sync --store s3://bucket/results
    """
    from edgebench.store import Store, bring_from

    check_json_target(json_target)
    kept = Store(store)
    brought = bring_from(Store(source), kept) if source is not None else None
    if brought is None and not kept.is_remote:
        raise UsageError(
            f"{store} is a folder, and what it has is kept there; --store s3://BUCKET/PREFIX names a bucket, and "
            "--from WHERE another store to bring runs from"
        )
    sent = kept.sync() if kept.is_remote else None
    runs = brought.runs if brought is not None else sent.runs if sent is not None else 0
    documents = brought.documents if brought is not None else sent.documents if sent is not None else 0
    if brought is not None and sent is not None:
        runs, documents = runs + sent.runs, documents + sent.documents
    write_json(json_target, {"store": kept.location, "runs": runs, "documents": documents})
    if json_target != "-":
        click.echo(f"{counted(runs, 'run')} and {counted(documents, 'document')} brought to {kept.location}")
