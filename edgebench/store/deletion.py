"""Deletion: whether measurements may go, and what is left then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgebench.errors import UsageError
from edgebench.store.runs import StoredRun


def runs_left(doomed: Sequence[StoredRun], everything: Iterable[StoredRun]) -> list[StoredRun]:
    """Return the runs that are left without these.

    Raises:
        UsageError: a run that is left alternated with one that goes: it would not count any more.
    """
    gone, processes = {each.subject.id for each in doomed}, {each.run.process for each in doomed}
    left = [each for each in everything if each.subject.id not in gone]
    partners = sorted({each.subject.id for each in left if each.run.process in processes})
    if partners:
        raise UsageError(
            f"{', '.join(sorted(gone))} alternated in its runs with {', '.join(partners)}; they count only together",
            hint=f"delete the session: edgebench runs delete {doomed[0].subject.session}",
        )
    return left
