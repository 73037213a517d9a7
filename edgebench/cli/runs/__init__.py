"""edgebench runs: what is stored."""

from __future__ import annotations

import cloup

from edgebench.cli.groups import Group
from edgebench.cli.runs import changes, export, listing, measuring, sql, sync


@cloup.group("runs", cls=Group)
def command() -> None:
    """What is stored: list, show, export, query, resume, extend, tag, delete, sync.

    \b
    Example:
      edgebench runs list
    """


for each in (
    listing.list_runs,
    listing.show,
    export.command,
    sql.command,
    measuring.resume_session,
    measuring.extend_session,
    changes.tag,
    changes.delete,
    sync.command,
):
    command.add_command(each)
