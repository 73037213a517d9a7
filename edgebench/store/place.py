"""Place: where the files of a store are, and what must happen before they are read and after they are written.

The files of every store are read and written in a folder. Of a store at an address, the folder is a replica, and its
place (`remote.BucketPlace`) brings what is missing there from the bucket, and what is new here to the bucket. Of a
folder there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from edgebench.errors import StoreError
from edgebench.store.digest import RunDigest


class Conflict(StoreError):
    """Somebody else replaced a document meanwhile: what the new one was made from is out of date."""


class Place:
    """The place of a store that is a folder: its files are all there.

    `folder`: where the files are. `location`: what names the store, to its user and in other processes.
    """

    is_remote = False

    def __init__(self, folder: Path, location: str) -> None:
        self.folder, self.location = folder, location

    def begin_writing(self) -> None:
        """Make sure that the store can be reached; from here on, what can't be brought there is kept here."""

    def digests(self) -> list[RunDigest] | None:
        """Return what is known of all runs without reading them; None: only the runs themselves tell."""
        return None

    def deleted_runs(self) -> set[str]:
        """Return the ids of runs that were deleted, and are not taken in again."""
        return set()

    def knows_run(self, id: str) -> bool:
        """Return whether the store has a run that may not be here yet."""
        return False

    def bring_runs(self, wanted: Callable[[str], bool] = lambda _: True) -> None:
        """Make sure that `runs/ID/run.json` is here, of the runs whose ids are wanted."""

    def bring_traces(self, ids: Collection[str]) -> None:
        """Make sure that `runs/ID/trace.parquet` is here, of these runs."""

    def bring_documents(self, kind: str, *, at_once: bool = False) -> None:
        """Make sure that the documents of a kind are here. `at_once`: those of this moment."""

    def bring_artifact(self, name: str) -> None:
        """Make sure that the files of `artifacts/SHA256` are here, if the store has them."""

    def send_runs(self, ids: Sequence[str]) -> None:
        """Bring runs to the store that were written here; what can't be brought is kept."""

    def send_document(self, path: Path) -> None:
        """Bring a document to the store that was written here; what can't be brought is kept."""

    def send_artifact(self, name: str) -> None:
        """Bring the files of `artifacts/SHA256` to the store.

        Raises:
            StoreError: they can't be brought.
        """

    def replace_document(self, path: Path, content: bytes) -> None:
        """Replace a document in the store before it is replaced here.

        Raises:
            Conflict: it is not the one that was read.
            StoreError: the store can't be written.
        """

    def remove_documents(self, paths: Sequence[Path]) -> None:
        """Remove documents from the store before they are removed here.

        Raises:
            StoreError: the store can't be written.
        """

    def remove_runs(self, ids: Sequence[str]) -> None:
        """Remove runs from the store, for good, before they are removed here.

        Raises:
            StoreError: the store can't be written.
        """

    def take_problem(self) -> str | None:
        """Return what went wrong with the store since this was asked last, while a session measured."""
        return None

    def unsent(self) -> tuple[list[str], list[Path]]:
        """Return the ids of runs, and documents, that are kept here only."""
        return [], []

    def sync(self, *, everything: bool = False) -> tuple[int, int]:
        """Bring there what is kept here only; return how many runs and documents that were.

        Args:
            everything: also take in what others put there without this program.

        Raises:
            StoreError: something can't be brought there.
        """
        return 0, 0

    def shown(self, text: str) -> str:
        """Return a message with names of files as the user knows them."""
        return text
