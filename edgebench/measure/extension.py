"""extend(): more runs of what a session measured, as a further session that is judged by itself.

Runs of two sessions are never pooled: sessions of one board differ by more than runs of one session do, and runs that
are added after a look at the data would not keep the level (docs/decisions/0043-more-runs-are-a-further-session.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgebench.errors import ConfigError, UsageError
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.measure.preparation import Prepared, prepare
from edgebench.measure.session import profile_all
from edgebench.measure.stored_devices import stored_request
from edgebench.measurement import Measurement
from edgebench.request import Request
from edgebench.store import Store
from edgebench.xtreme_r import ScoreRow


def extend(
    id: str,
    *,
    runs: int,
    store: Store,
    scores: Sequence[ScoreRow] = (),
    on_event: OnEvent = ignore,
    host: str | None = None,
) -> list[Measurement]:
    """Measure the session of a measurement again, with this number of runs of each of its rows.

    Args:
        id: of the measurement, or how it begins. All rows of its session are measured, interleaved.
        runs: of each row. The runs of before are not counted.
        scores, on_event: as for `profile_all`.
        host: as for `resume`.

    Returns:
        The measurements of the further session, in the request's order; `subject.extends` names each one's earlier one.

    Raises:
        UnknownName: the store has no such measurement, or not the request of its session.
        ConfigError: the session was tuned or sustained, or a model has changed since.
        EdgebenchError, KeyboardInterrupt: as `profile_all`.
    """
    measured = store.measurement(id)
    session = measured.subject.session
    request = request_to_extend(store, id, runs=runs, on_event=on_event, host=host)
    _check_files(prepare(request, on_event), store.measurements(session=session), session)
    on_event(LogMessage(f"a further session of {session}: {runs} runs of each row, judged by themselves"))
    return profile_all(request, store=store, scores=scores, on_event=on_event)


def request_to_extend(
    store: Store, id: str, *, runs: int, on_event: OnEvent = ignore, host: str | None = None
) -> Request:
    """Return the request of the further session.

    Raises:
        As `extend`.
    """
    if runs < 1:
        raise UsageError(f"at least one run can be added, got {runs}", hint="raise `runs`")
    session = store.measurement(id).subject.session
    request = stored_request(store, session, on_event, host=host)
    if request.tune:
        raise ConfigError(f"session {session} was tuned", hint="tune again: edgebench profile --tune")
    if request.plan.sustained_min is not None:
        raise ConfigError(f"session {session} is one long run", hint="measure again: edgebench profile --sustained")
    return replace(
        request,
        plan=replace(request.plan, runs=runs),
        extends=session,
        seed=None,
        until_decided=False,
        planned_looks=None,
        budget_s=None,
        most_runs=None,
    )


def _check_files(prepared: Sequence[Prepared], before: Sequence[Measurement], session: str) -> None:
    """Refuse models whose files are not those that were measured."""
    now = {(row.variant.source, row.artifact.format): row.artifact.sha256 for row in prepared}
    for each in before:
        subject = each.subject
        sha256 = now.get((subject.variant.source, subject.artifact.format))
        if sha256 != subject.artifact.sha256:
            raise ConfigError(
                f"{subject.variant.name} {subject.artifact.format} has changed since session {session}; runs of "
                f"another file don't extend it",
                hint="measure it as new: edgebench profile",
            )
