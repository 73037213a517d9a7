"""edgebench runs resume, extend: what is missing of a session, and more runs of one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from edgebench.cli.options import output_options, scores_option
from edgebench.cli.output import to_stdout
from edgebench.errors import StoreError

if TYPE_CHECKING:
    from edgebench.store import Store


_host_option = cloup.option(
    "--host", metavar="[USER@]HOST[:PORT]", help="Address of a board that edgebench.toml does not name."
)


@cloup.command("resume")
@click.argument("session", required=False)
@_host_option
@scores_option
@output_options
def resume_session(
    session: str | None, host: str | None, scores: Path | None, store: str, json_target: str | None
) -> int:
    """Resume an interrupted session: measure its missing runs. Default: the latest session.

    The board is the one of this name in edgebench.toml, whatever the store says of it.

    \b
    Example:
      edgebench runs resume 20250101T120000-1a2b3c
    """
    from edgebench.cli.measuring import measure_and_show
    from edgebench.measure import resume
    from edgebench.request import request_from_json
    from edgebench.store import Store
    from edgebench.xtreme_r import read_scores

    rows = read_scores(scores) if scores is not None else []
    keep = Store(store)
    sessions = keep.sessions()
    if not sessions:
        raise StoreError(f"{store} holds no session to resume; try: edgebench profile")
    if session is None:
        click.echo(f"edgebench: going on with {max(sessions)}", err=True)
    chosen = session or max(sessions)
    return measure_and_show(
        {chosen: partial(resume, chosen, store=keep, scores=rows, host=host)},
        store=keep,
        json_target=json_target,
        scores=rows,
        margin=request_from_json(keep.read_session(chosen)).margin,
        host=host,
    )


@cloup.command("extend")
@click.argument("id")
@cloup.option("--runs", type=click.IntRange(min=1), required=True, metavar="N", help="Runs of each row.")
@_host_option
@scores_option
@output_options
def extend_session(
    id: str, runs: int, host: str | None, scores: Path | None, store: str, json_target: str | None
) -> int:
    """Measure a session again, with N runs of each row. ID is one of its measurements.

    The new session is judged by itself, and `compare` takes it as the latest. Runs of two sessions are not pooled,
    because sessions of one board differ by more than the runs of one session do.

    \b
    Example:
      edgebench runs extend 20250101T120000-1a2b3c-000 --runs 20
    """
    from edgebench.cli.measuring import measure_and_show
    from edgebench.measure import extend, request_to_extend
    from edgebench.store import Store
    from edgebench.xtreme_r import read_scores

    rows = read_scores(scores) if scores is not None else []
    keep = Store(store)
    request = request_to_extend(keep, id, runs=runs, host=host)
    began = set(keep.sessions())
    code = measure_and_show(
        {request.device.name: partial(extend, id, runs=runs, store=keep, scores=rows, host=host)},
        store=keep,
        json_target=json_target,
        scores=rows,
        margin=request.margin,
        host=host,
    )
    if to_stdout(json_target):
        for line in _beside_before(keep, began):
            click.echo(line)
    return code


def _beside_before(store: Store, before: set[str]) -> list[str]:
    """Return what was measured now beside what was measured in the session of before."""
    from edgebench.reporting import extension_lines

    new = [session for session in store.sessions() if session not in before]
    measured = [each for session in new for each in store.measurements(session=session)]
    known = {each.id: each for each in store.subjects()}
    pairs = []
    for each in measured:
        earlier = known.get(each.subject.extends or "")
        if earlier is not None and earlier.workload == each.subject.workload:  # a searched rate may be another one now
            pairs.append((store.measurement(earlier.id), each))
    return list(extension_lines(pairs))
