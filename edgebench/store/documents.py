"""Documents: JSON files of one kind, by id, in one folder of a store.

Unlike runs they may be replaced: a session's plan changes, a search goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Generic, TypeVar

import msgspec

from edgebench.errors import StoreError
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.figures import ColdStart
from edgebench.measurement import FORMAT_VERSION
from edgebench.operators import OperatorProfile
from edgebench.stats import RateSearch
from edgebench.store.files import checked_id, is_id, read_json, replace_file, to_text, writing
from edgebench.store.place import Place

T = TypeVar("T")


class Documents(Generic[T]):
    """The documents of one kind, `store/kind/ID.json`; what each one is, `from_json` knows."""

    def __init__(
        self,
        place: Place,
        kind: str,
        to_json: Callable[[T], Mapping[str, Any]],
        from_json: Callable[[dict[str, Any]], T],
    ) -> None:
        self.folder = place.folder / kind
        self._place, self._kind = place, kind
        self._to_json = to_json
        self._from_json = from_json

    def write(self, id: str, document: T) -> None:
        """Keep a document; what was there under this id is replaced.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        target = self.folder / f"{checked_id(id)}.json"
        text = to_text(self._to_json(document))
        with writing(self._place.folder):
            replace_file(target, text)
        self._place.send_document(target)

    def replace(self, id: str, document: T) -> None:
        """Keep a document that was made from the one that `read` returned with `at_once`.

        Raises:
            Conflict: somebody replaced that meanwhile.
            StoreError: as `write`; nothing is kept.
        """
        target = self.folder / f"{checked_id(id)}.json"
        text = to_text(self._to_json(document))
        if self._place.is_remote:
            self._place.replace_document(target, text.encode())
            return
        with writing(self._place.folder):
            replace_file(target, text)

    def read(self, id: str, *, at_once: bool = False) -> T | None:
        """Return the document of that id; None where there is none. `at_once`: that of this moment.

        Raises:
            StoreError: it can't be read.
        """
        self._place.bring_documents(self._kind, at_once=at_once)
        path = self.folder / f"{id}.json"
        if not is_id(id) or not path.exists():
            return None
        try:
            values = read_json(path)
        except StoreError as error:
            raise StoreError(self._place.shown(str(error))) from error
        try:
            return self._from_json(values)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, StoreError) as error:
            where = self._place.shown(str(path))
            raise StoreError(f"{where} is damaged: {error}; remove it to go on without it") from error

    def remove(self, id: str) -> None:
        """Remove the document of that id, if there is one.

        Raises:
            StoreError: the store can't be written.
        """
        path = self.folder / f"{checked_id(id)}.json"
        self._place.remove_documents([path])
        with writing(self._place.folder):
            path.unlink(missing_ok=True)

    def ids(self) -> list[str]:
        """Return the ids of what is there, sorted."""
        self._place.bring_documents(self._kind)
        return sorted(path.stem for path in self.folder.glob("[!.]*.json"))


def sessions(place: Place) -> Documents[Mapping[str, Any]]:
    """Return what sessions need to be resumed; it means nothing here."""
    return Documents(place, "sessions", dict, dict)


def operators(place: Place) -> Documents[OperatorProfile]:
    """Return the operator profiles, by measurement."""
    return Documents(
        place, "operators", lambda profile: _versioned(profile.to_json()), _typed(OperatorProfile.from_json)
    )


def cold_starts(place: Place) -> Documents[ColdStart]:
    """Return the cold starts, by measurement."""
    names = ("load_ns", "first_ns", "resident_share")
    return Documents(
        place,
        "cold_starts",
        lambda started: _versioned(asdict(started)),
        _typed(lambda values: ColdStart(**{name: values[name] for name in names})),
    )


def searches(place: Place) -> Documents[RateSearch]:
    """Return the searches of a server's rate, by the first measurement of each."""
    return Documents(place, "searches", lambda search: _versioned(search.to_json()), _typed(RateSearch.from_json))


def evaluations(place: Place) -> Documents[LanguageEvaluation]:
    """Return what artifacts answered to a task's examples in one language, with the scores, by evaluation."""
    return Documents(
        place, "evaluations", lambda evaluation: _versioned(evaluation.to_json()), LanguageEvaluation.from_json
    )


def _typed(from_json: Callable[[dict[str, Any]], T]) -> Callable[[dict[str, Any]], T]:
    """Return the function with a check of the types of what it makes: others may have written the document."""

    def read(values: dict[str, Any]) -> T:
        made = from_json(values)
        try:
            return msgspec.convert(msgspec.to_builtins(made), type(made))
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error

    return read


def _versioned(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"format_version": FORMAT_VERSION, **values}
