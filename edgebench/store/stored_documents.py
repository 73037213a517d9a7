"""Stored documents: what a store keeps beside its runs, each a file of JSON under an id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebench.evaluation_result import LanguageEvaluation
from edgebench.figures import ColdStart
from edgebench.operators import OperatorProfile
from edgebench.stats import RateSearch
from edgebench.store import documents
from edgebench.store.runs import unknown_name


class StoredDocuments:
    """Sessions, operators, cold starts, searches and evaluations in a store's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sessions = documents.sessions(self.folder)
        self._operators = documents.operators(self.folder)
        self._cold_starts = documents.cold_starts(self.folder)
        self._searches = documents.searches(self.folder)
        self._evaluations = documents.evaluations(self.folder)

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
            raise unknown_name("session", id, known, f"store {self.folder}")
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
