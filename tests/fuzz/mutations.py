"""Mutations: documents with one or a few values changed to what readers forget, so that they stay documents.

Bytes that are changed anywhere rarely remain JSON; these do, so they reach the code behind the parser.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from random import Random
from typing import Any

#: Text that stands in a document as it is, e.g. a number that json.dumps can't write.
_RAW = "raw:"
_RAW_NUMBERS = ("1e400", "-1e400", "9" * 39, "9" * 60, "1e-400", "-0", "NaN", "Infinity", "0.1", "1E5")
_NUMBERS = (0, 1, -1, 255, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**19, 0.5, -0.0, 1e308, 5e-324)
_TEXTS = (
    "",
    " ",
    "\0",
    "\x1b]0;title\x07\x1b[2J",
    "\u202e\u200b\ufeff",
    "\ud800",
    "\U0001f600",
    "\u0130\u00df",
    "..",
    "../x",
    "/etc/passwd",
    "a/b",
    "a.b[0]",
    "$.a",
    "~",
    "%s{0}",
    "x" * 300,
    "x" * 70_000,
    "nan",
    "1e999",
    "1_0",
    "\u0661\u0662",
    "true",
    "\n",
    "2025-13-45T99:99:99",
)
_DEEP = (10, 63, 64, 65, 200)


def mutated(data: bytes, syntax: str, random: Random) -> bytes | None:
    """Return a document in which something is changed; None where the bytes are no document of that syntax.

    Args:
        syntax: json, lines (a JSON document each), toml; of text there is no mutation.
    """
    if syntax == "json":
        document = _parsed(data)
        return None if document is None else _json(_changed(document, random), random)
    if syntax == "lines":
        return _mutated_lines(data, random)
    if syntax == "toml":
        try:
            return _toml(_changed(tomllib.loads(data.decode()), random))
        except (ValueError, RecursionError):
            return None
    return None


def _mutated_lines(data: bytes, random: Random) -> bytes | None:
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    action = random.randrange(6)
    if action == 0:
        lines.insert(at, lines[random.randrange(len(lines))])
    elif action == 1:
        del lines[at]
    else:
        document = _parsed(lines[at])
        if document is None:
            return None
        lines[at] = _json(_changed(document, random), random)
    return b"\n".join(lines)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


# --- values ---------------------------------------------------------------------------------------------------------


def hostile(random: Random) -> Any:
    """Return a value that a reader may not expect."""
    kind = random.randrange(8)
    if kind == 0:
        return random.choice((None, True, False, [], {}, [[]], [None], {"": None}))
    if kind == 1:
        return random.choice(_NUMBERS)
    if kind == 2:
        return _RAW + random.choice(_RAW_NUMBERS)
    if kind == 3:
        return _nested(random.choice(_DEEP), random)
    if kind == 4:
        return [hostile(random) for _ in range(random.randrange(1, 4))]
    if kind == 5:
        return {random.choice(_TEXTS): hostile(random) for _ in range(random.randrange(1, 3))}
    return random.choice(_TEXTS)


def _nested(depth: int, random: Random) -> Any:
    value: Any = 1
    makes: Callable[[Any], Any] = random.choice((lambda inner: [inner], lambda inner: {"a": inner}))
    for _ in range(depth):
        value = makes(value)
    return value


def _changed(document: Any, random: Random) -> Any:
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        document = _changed_once(document, random)
    return document


def _changed_once(document: Any, random: Random) -> Any:
    """Return the document with one place changed; the places are drawn alike, however deep they lie."""
    places: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        value = waiting.pop()
        keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        places += [(value, key) for key in keys]
        waiting += [value[key] for key in keys]
    if not places or random.randrange(20) == 0:
        return hostile(random)
    inside, key = random.choice(places)
    action = random.randrange(8)
    if action == 0:
        del inside[key]
    elif action == 1 and isinstance(inside, dict):
        inside[random.choice(_TEXTS)] = inside.pop(key)
    elif action == 2 and isinstance(inside, dict):
        inside[random.choice(_TEXTS)] = hostile(random)
    elif action == 3:
        other, at = random.choice(places)
        inside[key] = _copied(other[at]) if _holds(other, at) else hostile(random)
    elif action == 4 and isinstance(inside, list):
        inside[key:key] = [_copied(inside[key])] * random.choice((1, 2, 100))
    elif action == 5 and type(inside[key]) is int:
        inside[key] += random.choice((-1, 1, 2**31, -(2**63)))
    else:
        inside[key] = hostile(random)
    return document


def _holds(value: Any, key: Any) -> bool:
    return key in value if isinstance(value, dict) else key < len(value)


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


# --- texts ----------------------------------------------------------------------------------------------------------


def _json(value: Any, random: Random) -> bytes:
    text = json.dumps(value, ensure_ascii=random.randrange(2) == 0)
    text = _with_raw(text)
    if random.randrange(20) == 0:  # a key twice
        text = text.replace("{", '{"a": 1, "a": 2, ', 1) if text.startswith("{") and len(text) > 2 else text
    return text.encode("utf-8", "surrogatepass")


def _toml(value: Any) -> bytes:
    """Return the tables as TOML, those inside as inline tables; what is no table becomes one."""
    tables = value if isinstance(value, dict) else {"a": value}
    lines = [f"{_text(key)} = {_toml_value(inner)}\n" for key, inner in tables.items()]
    return "".join(lines).encode("utf-8", "surrogatepass")


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)} = {_toml_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if value is None:
        return "nan"
    if isinstance(value, str):
        return value.removeprefix(_RAW).lower() if value.startswith(_RAW) else _text(value)
    return json.dumps(value) if isinstance(value, bool | int | float) else str(value)


def _text(value: str) -> str:
    return json.dumps(value)


def _with_raw(text: str) -> str:
    for number in _RAW_NUMBERS:
        text = text.replace(f'"{_RAW}{number}"', number)
    return text
