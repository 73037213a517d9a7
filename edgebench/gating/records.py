"""Records: the results of gates that a store keeps, for the history.

gates/<session>.json     what `gate --json` wrote, by the id of its first session
"""

from __future__ import annotations

from typing import Any

from edgebench.gating.result import GateResult
from edgebench.store import Store, checked_id, read_document, replace_file, to_text, writing

FOLDER = "gates"


def keep_result(store: Store, result: GateResult) -> None:
    """Keep the result of a gate.

    Raises:
        StoreError: the store can't be written.
    """
    with writing(store.folder):
        replace_file(store.folder / FOLDER / f"{checked_id(result.id)}.json", to_text(result.to_json()))


def kept_results(store: Store) -> list[dict[str, Any]]:
    """Return the documents of all gates, the oldest first.

    Raises:
        StoreError: one can't be read, or is of a newer version.
    """
    found = [read_document(path) for path in sorted((store.folder / FOLDER).glob("[!.]*.json"))]
    return sorted(found, key=lambda values: str(values.get("started_at")))
