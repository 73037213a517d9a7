"""What bringing runs from one store to another needs of both, beside what everybody uses."""

from __future__ import annotations

from collections.abc import Sequence

from edgebench.store.place import Place
from edgebench.store.runs import RunFolder, StoredRun
from edgebench.store.stored_documents import StoredDocuments


class StoredRuns(StoredDocuments):
    """The runs of a store as files, and its documents."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._runs = RunFolder(place)

    def stored_runs(self) -> list[StoredRun]:
        """Return all runs without their traces.

        Raises:
            StoreError: one can't be read.
        """
        return list(self._runs.each())

    def run_ids(self) -> tuple[set[str], set[str]]:
        """Return the ids of the runs that there are, readable or not, and of those that were deleted from a bucket."""
        return self._runs.ids(), self._place.deleted_runs()

    def bring_traces(self, stored: Sequence[StoredRun]) -> None:
        """Make sure that the traces of runs are in `folder`."""
        self._runs.bring_traces(stored)

    def take_in(self, ids: Sequence[str]) -> None:
        """Bring runs to the store whose files were copied into `folder`."""
        self._place.send_runs(ids)
