"""Records: the results of gates that a store keeps, for the history.

gates/<session>.json     what `gate --json` wrote, by the id of its first session
"""

from __future__ import annotations

from typing import Any

from edgebench.errors import StoreError, UnknownName, UsageError
from edgebench.gating.result import GateResult
from edgebench.serialisation import from_plain
from edgebench.store import Store, checked_id, read_document, replace_file, to_text, writing

FOLDER = "gates"


def keep_result(store: Store, result: GateResult) -> None:
    """Keep the result of a gate.

    Raises:
        StoreError: the store can't be written.
    """
    path = store.folder / FOLDER / f"{checked_id(result.id)}.json"
    with writing(store.folder):
        replace_file(path, to_text(result.to_json()))
    store.document_written(path)


def kept_results(store: Store) -> list[dict[str, Any]]:
    """Return the documents of all gates, the oldest first.

    Raises:
        StoreError: one can't be read, or is of a newer version.
    """
    found = [read_document(path) for path in sorted(store.documents_folder(FOLDER).glob("[!.]*.json"))]
    return sorted(found, key=lambda values: str(values.get("started_at")))


def stored_gate(store: Store, name: str) -> GateResult:
    """Return the gate whose id begins so; `latest`: the last one.

    Raises:
        UnknownName: the store has none of that id.
        UsageError: several begin so, or the store has no gate.
        StoreError: it can't be read, or is of a newer version.
    """
    kept = {str(values.get("id")): values for values in kept_results(store)}
    if not kept:
        raise UsageError(f"{store.location} holds no gate; try: edgebench gate --baseline NAME")
    if name == "latest":
        return _result(list(kept.values())[-1], store)
    matches = [name] if name in kept else [id for id in kept if id.startswith(name)]
    if not matches:
        raise UnknownName("gate", name, (*kept, "latest"), hint=f"store {store.location}")
    if len(matches) > 1:
        raise UsageError(
            f"{name!r} is the beginning of {len(matches)} gates: {', '.join(matches[:6])}; give more of it"
        )
    return _result(kept[matches[0]], store)


def _result(values: dict[str, Any], store: Store) -> GateResult:
    anchor = values.get("anchor")
    budgets = anchor.get("budgets", []) if isinstance(anchor, dict) else []
    where = f"{store.location}/{FOLDER}/{values.get('id')}.json"
    flat = values | {"anchor_budgets": budgets}
    return from_plain(GateResult, flat, where=where, error=StoreError, allow_unknown=True)
