"""Documents: JSON files of one kind, by id, in one folder of a store.

Unlike runs they may be replaced: a session's plan changes, a search goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from edgebench.errors import StoreError
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.figures import ColdStart
from edgebench.measurement import FORMAT_VERSION
from edgebench.operators import OperatorProfile
from edgebench.stats import RateSearch
from edgebench.store.files import checked_id, is_id, read_json, replace_file, to_text, writing

T = TypeVar("T")


class Documents(Generic[T]):
    """The documents of one kind, `store/kind/ID.json`; what each one is, `from_json` knows."""

    def __init__(
        self,
        store: Path,
        kind: str,
        to_json: Callable[[T], Mapping[str, Any]],
        from_json: Callable[[dict[str, Any]], T],
    ) -> None:
        self.folder = store / kind
        self._store = store
        self._to_json = to_json
        self._from_json = from_json

    def write(self, id: str, document: T) -> None:
        """Keep a document; what was there under this id is replaced.

        Raises:
            StoreError: the id can't name a file, or the store can't be written.
        """
        target = self.folder / f"{checked_id(id)}.json"
        text = to_text(self._to_json(document))
        with writing(self._store):
            replace_file(target, text)

    def read(self, id: str) -> T | None:
        """Return the document of that id; None where there is none.

        Raises:
            StoreError: it can't be read.
        """
        path = self.folder / f"{id}.json"
        if not is_id(id) or not path.exists():
            return None
        values = read_json(path)
        try:
            return self._from_json(values)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, StoreError) as error:
            raise StoreError(f"{path} is damaged: {error}; remove it to go on without it") from error

    def remove(self, id: str) -> None:
        """Remove the document of that id, if there is one.

        Raises:
            StoreError: the store can't be written.
        """
        with writing(self._store):
            (self.folder / f"{checked_id(id)}.json").unlink(missing_ok=True)

    def ids(self) -> list[str]:
        """Return the ids of what is there, sorted."""
        return sorted(path.stem for path in self.folder.glob("[!.]*.json"))


def sessions(store: Path) -> Documents[Mapping[str, Any]]:
    """Return what sessions need to be resumed; it means nothing here."""
    return Documents(store, "sessions", dict, dict)


def operators(store: Path) -> Documents[OperatorProfile]:
    """Return the operator profiles, by measurement."""
    return Documents(
        store, "operators", lambda profile: _versioned(profile.to_json()), _typed(OperatorProfile.from_json)
    )


def cold_starts(store: Path) -> Documents[ColdStart]:
    """Return the cold starts, by measurement."""
    names = ("load_ns", "first_ns", "resident_share")
    return Documents(
        store,
        "cold_starts",
        lambda started: _versioned(asdict(started)),
        _typed(lambda values: ColdStart(**{name: values[name] for name in names})),
    )


def searches(store: Path) -> Documents[RateSearch]:
    """Return the searches of a server's rate, by the first measurement of each."""
    return Documents(store, "searches", lambda search: _versioned(search.to_json()), _typed(RateSearch.from_json))


def evaluations(store: Path) -> Documents[LanguageEvaluation]:
    """Return what artifacts answered to a task's examples in one language, with the scores, by evaluation."""
    return Documents(
        store, "evaluations", lambda evaluation: _versioned(evaluation.to_json()), LanguageEvaluation.from_json
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
