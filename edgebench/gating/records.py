"""Records: the results of gates that a store keeps, for the history.

gates/<session>.json     what `gate --json` wrote, by the id of its first session
"""

from __future__ import annotations

from typing import Any

from edgebench._version import __version__
from edgebench.errors import StoreError
from edgebench.gating.result import GateResult
from edgebench.measurement import FORMAT_VERSION
from edgebench.store import Store
from edgebench.store.files import checked_id, read_json, replace_file, to_text, writing

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
    found = []
    for path in sorted((store.folder / FOLDER).glob("[!.]*.json")):
        values = read_json(path)
        version = values.get("format_version")
        if type(version) is int and version > FORMAT_VERSION:
            raise StoreError(
                f"{path} has format version {version}, this edgebench ({__version__}) reads up to {FORMAT_VERSION}; "
                f"try: pip install --upgrade edgebench"
            )
        found.append(values)
    return sorted(found, key=lambda values: str(values.get("started_at")))
