"""Stored documents: what a store keeps beside its runs, each a file of JSON under an id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from edgebench.errors import StoreError, UsageError
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.figures import ColdStart
from edgebench.operators import OperatorProfile
from edgebench.stats import RateSearch
from edgebench.store import documents
from edgebench.store.files import checked_id
from edgebench.store.place import Place
from edgebench.store.runs import unknown_name
from edgebench.text import counted

#: Kinds of documents, each a folder of ID.json.
KINDS = ("sessions", "operators", "cold_starts", "searches", "tags", "evaluations", "gates", "baselines")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """How many runs and documents were brought to a store."""

    runs: int
    documents: int


class StoredDocuments:
    """Sessions, operators, cold starts, searches and evaluations of a store.

    `folder`: where the files are read and written: the store, or the replica of one in a bucket.
    """

    def __init__(self, place: Place) -> None:
        self.folder: Path = place.folder
        self._place = place
        self._sessions = documents.sessions(place)
        self._operators = documents.operators(place)
        self._cold_starts = documents.cold_starts(place)
        self._searches = documents.searches(place)
        self._evaluations = documents.evaluations(place)

    def write_session(self, id: str, values: Mapping[str, Any]) -> None:
        """Keep what a session needs to be resumed; what was there under this id is replaced.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._sessions.write(id, values)

    def read_session(self, id: str) -> dict[str, Any]:
        """Return what `write_session` kept.

        Raises:
            UnknownName: there is no such session.
            StoreError: it can't be read.
        """
        values = self._sessions.read(id) if id in (known := self.sessions()) else None
        if values is None:
            raise unknown_name("session", id, known, f"store {self._place.location}")
        return dict(values)

    def sessions(self) -> list[str]:
        """Return the ids of the stored sessions, sorted."""
        return self._sessions.ids()

    def write_operators(self, id: str, profile: OperatorProfile) -> None:
        """Keep the operators of a measurement; an earlier profile is replaced.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._operators.write(id, profile)

    def operators(self, id: str) -> OperatorProfile | None:
        """Return the operators of a measurement; None where they were not profiled.

        Raises:
            StoreError: they can't be read.
        """
        return self._operators.read(id)

    def write_cold_start(self, id: str, started: ColdStart) -> None:
        """Keep the cold start of a measurement.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._cold_starts.write(id, started)

    def cold_start(self, id: str) -> ColdStart | None:
        """Return the cold start of a measurement; None where it was not measured.

        Raises:
            StoreError: it can't be read.
        """
        return self._cold_starts.read(id)

    def write_search(self, id: str, search: RateSearch) -> None:
        """Keep how far the search of a server's rate got; what was there is replaced. `id`: of its first measurement.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._searches.write(id, search)

    def search(self, id: str) -> RateSearch | None:
        """Return how a server's rate was found, or how far that got; None where none was searched.

        Raises:
            StoreError: it can't be read.
        """
        return self._searches.read(id.partition(".")[0])

    def write_evaluation(self, evaluation: LanguageEvaluation) -> None:
        """Keep what an artifact's answers score on a task in one language; what was there under this id is replaced.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        self._evaluations.write(evaluation.id, evaluation)

    def evaluation(self, id: str) -> LanguageEvaluation | None:
        """Return the evaluation of that id; None where there is none.

        Raises:
            StoreError: it can't be read.
        """
        return self._evaluations.read(id)

    def evaluations(self, *, artifact_sha256: str | None = None) -> list[LanguageEvaluation]:
        """Return the stored evaluations, of that artifact or of all, by id.

        Raises:
            StoreError: one can't be read.
        """
        found = [each for each in map(self.evaluation, self._evaluations.ids()) if each is not None]
        return [each for each in found if artifact_sha256 in (None, each.scores[0].artifact_sha256)]

    # --- files that other rooms read and write themselves --------------------------------------------------------

    def documents_folder(self, kind: str) -> Path:
        """Return the folder of the documents of a kind, `gates` say, as they are now.

        Raises:
            StoreError: the store can't be read.
        """
        self._place.bring_documents(kind)
        return self.folder / kind

    def document_written(self, path: Path) -> None:
        """Bring a document of `documents_folder` to the store, after it was written.

        Raises:
            StoreError: it can't be brought there.
        """
        self._place.send_document(path)

    def artifact_folder(self, sha256: str) -> Path:
        """Return the folder of an artifact's files, which has them if the store does.

        Raises:
            StoreError: the id can't name a folder, or the store can't be read.
        """
        self._place.bring_artifact(f"artifacts/{checked_id(sha256)}")
        return self.folder / "artifacts" / sha256

    def keep_artifact_folder(self, sha256: str) -> None:
        """Bring the files of an artifact to the store, after they were written.

        Raises:
            StoreError: they can't be brought there.
        """
        self._place.send_artifact(f"artifacts/{checked_id(sha256)}")

    # --- what is kept here only ---------------------------------------------------------------------------------

    @property
    def is_remote(self) -> bool:
        """Whether the store is in a bucket, and `folder` is a replica."""
        return self._place.is_remote

    def take_problem(self) -> str | None:
        """Return what went wrong with a bucket since this was asked last: what was measured is kept here."""
        return self._place.take_problem()

    def sync(self) -> SyncResult:
        """Bring to a bucket what is kept here only, and take in what was copied into it by hand.

        Raises:
            UsageError: the store is a folder.
            StoreError: something can't be brought there; nothing is lost.
        """
        if not self._place.is_remote:
            raise UsageError(f"{self._place.location} is a folder: what it has is not kept anywhere else")
        runs, documents = self._place.sync(everything=True)
        return SyncResult(runs=runs, documents=documents)

    def deliver(self) -> None:
        """Bring to a bucket what a session could not bring there; of a folder, there is nothing to do.

        Raises:
            StoreError: something can't be brought there. It is kept here, and `sync` brings it later.
        """
        runs, documents = self._place.unsent()
        if not runs and not documents:
            return
        try:
            self._place.sync()
        except StoreError as error:
            runs, documents = self._place.unsent()
            kept = " and ".join(
                counted(number, name) for number, name in ((len(runs), "run"), (len(documents), "document")) if number
            )
            raise StoreError(
                f"{error.args[0]}; {kept or 'nothing'} of it is kept only here, in {self.folder}",
                hint=f"bring it there later: edgebench runs sync --store {quote(self._place.location)}",
            ) from error
