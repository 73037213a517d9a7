"""Checks of everything that arrives: types, sizes and bounds. Neither side trusts the other."""

import json
import re
from dataclasses import MISSING, field, fields
from typing import Any, Callable, Dict, Type

from .wire import MAX_INT, MAX_LINE_BYTES, one_line

MAX_ITEMS = 4096  # entries in a list or table, unless its field has another limit
MAX_MODELS = 16  # in one run
MAX_PARTS = 1 << 16  # lists and objects in a line: each takes many times its two bytes in memory


_LARGE = re.compile(rb"[0-9]{19}")


class ProtocolError(ValueError):
    """What arrived does not follow this protocol."""


#: Says whether a value is acceptable.
Check = Callable[[Any], bool]


def is_integer(low: int = 0, high: int = MAX_INT) -> Check:
    """Accept whole numbers from `low` to `high`, both included."""
    return lambda value: type(value) is int and low <= value <= high


def is_text(limit: int = 1024) -> Check:
    """Accept strings of at most `limit` characters."""
    return lambda value: type(value) is str and len(value) <= limit


def is_one_of(*known: str) -> Check:
    """Accept these strings."""
    return lambda value: type(value) is str and value in known


def is_matching(pattern: str) -> Check:
    """Accept strings that match all of a regular expression."""
    compiled = re.compile(pattern)
    return lambda value: type(value) is str and compiled.fullmatch(value) is not None


def is_list(item: Check, limit: int = MAX_ITEMS) -> Check:
    """Accept lists of at most `limit` acceptable items."""
    return lambda value: type(value) is list and len(value) <= limit and all(item(entry) for entry in value)


def is_table(item: Check, limit: int = MAX_ITEMS) -> Check:
    """Accept objects of at most `limit` acceptable values."""
    key = is_text(256)
    return lambda value: (
        type(value) is dict and len(value) <= limit and all(key(name) and item(entry) for name, entry in value.items())
    )


def is_none_or(check: Check) -> Check:
    """Accept null, and what `check` accepts."""
    return lambda value: value is None or check(value)


def is_empty_or(check: Check) -> Check:
    """Accept the empty string, and what `check` accepts."""
    return lambda value: value == "" or check(value)


def is_boolean(value: Any) -> bool:
    """Accept true and false."""
    return type(value) is bool


def is_scalar(value: Any) -> bool:
    """Accept null, true, false, whole numbers and strings."""
    return value is None or type(value) is bool or is_integer(-MAX_INT)(value) or is_text(4096)(value)


def is_file_name(value: Any) -> bool:
    """Accept printable names of a file in a folder, which lead nowhere else."""
    fits = type(value) is str and value.isprintable() and len(value.encode()) <= 255
    return fits and "/" not in value and value not in ("", ".", "..")


def is_file_path(value: Any) -> bool:
    """Accept relative paths of a file, which lead nowhere out of their folder."""
    return type(value) is str and len(value) <= 1024 and all(is_file_name(part) for part in value.split("/"))


#: A fact about the board: a scalar, a list of scalars, or a table of scalars.
is_board_facts = is_table(lambda value: is_scalar(value) or is_list(is_scalar)(value) or is_table(is_scalar)(value))
is_sha256 = is_matching("[0-9a-f]{64}")
is_identifier = is_matching("[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
#: Which of the run's models a message is about: 0, or the position in `beside` from 1 on.
is_model_number = is_integer(0, MAX_MODELS - 1)


def checked(check: Check, **options: Any) -> Any:
    """Return a dataclass field whose value must pass `check` when it comes over the wire."""
    return field(metadata={"check": check}, **options)


def from_mapping(kind: Type[Any], values: Any, what: str) -> Any:
    """Return a dataclass `kind` made of an object that arrived; keys that it does not know are ignored.

    Raises:
        ProtocolError: a field is missing or out of bounds; the message names it, and `what` it belongs to.
    """
    if type(values) is not dict:
        raise ProtocolError(f"{what} is not an object")
    arguments = {}
    for slot in fields(kind):
        if slot.name not in values:
            if slot.default is MISSING and slot.default_factory is MISSING:
                raise ProtocolError(f"{what} lacks {slot.name!r}")
            continue
        value = values[slot.name]
        if not slot.metadata["check"](value):
            raise ProtocolError(f"{what} has a {slot.name!r} out of bounds: {repr(value)[:80]}")
        arguments[slot.name] = value
    return kind(**arguments)


def decode_object(line: bytes) -> Dict[str, Any]:
    """Return the JSON object of a bounded line.

    Raises:
        ProtocolError: it is too long, not UTF-8 JSON, not an object, or it holds a float or a string that is not text.
    """
    if len(line) > MAX_LINE_BYTES:
        raise ProtocolError(f"a line of {len(line)} bytes (at most {MAX_LINE_BYTES})")
    if line.count(b"[") + line.count(b"{") > MAX_PARTS:
        raise ProtocolError(f"a line of more than {MAX_PARTS} lists and objects")
    try:
        values = parse_json(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not a line of JSON ({one_line(str(error), 100)}): {line[:80]!r}") from error
    if type(values) is not dict:
        raise ProtocolError(f"not an object: {line[:80]!r}")
    return values


def parse_json(line: bytes) -> Any:
    """Return the value of a line of JSON.

    Raises:
        ValueError, RecursionError: it is not JSON, or holds a float, a number of more than 64 bits, or a string that is
            not text.
    """
    # Most lines have no such digits, and are parsed several times as fast without a function for each number.
    options: Dict[str, Any] = {"parse_int": _bounded} if _LARGE.search(line) else {}
    values = json.loads(line.decode("utf-8"), parse_constant=_no_number, parse_float=_no_number, **options)
    if b"\\u" in line:  # only an escape can encode what is not text
        _check_texts(values)
    return values


def _bounded(literal: str) -> int:
    number = int(literal) if len(literal) <= 20 else MAX_INT + 1
    if abs(number) > MAX_INT:
        raise ValueError(f"a number of more than 64 bits: {literal[:40]}")
    return number


def _no_number(literal: str) -> Any:
    raise ValueError(f"{literal[:80]} is not a whole number, and no other numbers are sent")


def _check_texts(value: Any) -> None:
    if type(value) is str:
        if "\0" in value:
            raise ValueError("NUL in a string")
        value.encode("utf-8")  # half a surrogate pair can't be
    elif type(value) is list:
        for entry in value:
            _check_texts(entry)
    elif type(value) is dict:
        for entry in (*value, *value.values()):
            _check_texts(entry)
