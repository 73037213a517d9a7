"""JSON documents of exports: any text in a name stays what it is."""

from __future__ import annotations

import json
from typing import Any

from edgebench.text import escaped_json


def json_text(document: Any) -> str:
    """Return a document as text that is harmless in a terminal."""
    return escaped_json(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)) + "\n"
