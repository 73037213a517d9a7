"""Plain values, as JSON and TOML hold them, into the project's dataclasses and back. msgspec converts and checks types.

A dataclass is the only description of its document: a key is a field, a key that is missing takes the field's default.
Added here: unknown and missing keys are errors that name the key and the nearest known one, a field may have had
another name in earlier versions (`formerly`), and every error is one line in plain words.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from edgebench.errors import ConfigError, EdgebenchError, UnknownName, nearest

if TYPE_CHECKING:
    import msgspec

T = TypeVar("T")

_FORMERLY = "formerly"


def formerly(name: str) -> dict[str, str]:
    """Return metadata for a dataclass field that documents of earlier versions have under another name."""
    return {_FORMERLY: name}


def to_plain(value: Any) -> Any:
    """Return dictionaries, lists, texts, numbers, booleans and None; enumerations by value, paths as text.

    Every field of a dataclass is written, defaults included: a document keeps its meaning when a default changes.
    """
    import msgspec

    return _lists_for_tuples(msgspec.to_builtins(value, enc_hook=_encode))


def from_plain(
    kind: type[T],
    values: Any,
    *,
    where: str,
    given: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
    error: type[EdgebenchError] = ConfigError,
    allow_unknown: bool = False,
) -> T:
    """Return the object of class `kind` that plain values describe.

    Args:
        kind: a dataclass. Its `__post_init__` checks what types can't say.
        values: plain values; an object that is already of the class that a field needs is taken as it is.
        where: what the values were read from, for messages: a file, or a table of one.
        given: values of fields that come from elsewhere; they take precedence.
        without: fields that `values` must not name.
        error: what to raise.
        allow_unknown: ignore unknown keys, as a document that a later version wrote may have.

    Raises:
        EdgebenchError: of class `error`; a key is unknown or missing, or a value has another type or is out of bounds.
            The message names the place of the value, e.g. `workloads[0].lang`.
    """
    import msgspec

    try:
        if isinstance(values, Mapping):
            if not allow_unknown:
                _refuse_unknown(values, field_names(kind, without=without), former_names(kind))
            values = {**values, **(given or {})}
        prepared = _prepare(_type_info(cast(Hashable, kind)), values, "", allow_unknown=allow_unknown)
    except _Problem as problem:
        raise error(f"{where}{problem}") from None
    try:
        return msgspec.convert(prepared, kind, dec_hook=_decode)
    except msgspec.ValidationError as invalid:
        raise error(f"{where}{_reword(str(invalid), prepared)}") from invalid
    except UnicodeEncodeError as invalid:  # where a text is compared with the names of an enumeration, say
        raise error(f"{where}: a text has half a surrogate pair") from invalid
    except EdgebenchError as invalid:
        raise error(f"{where}: {invalid}") from invalid


def field_names(kind: Any, *, without: Collection[str] = ()) -> tuple[str, ...]:
    """Return the keys of a dataclass's document."""
    return tuple(each.name for each in fields(kind) if each.name not in without)


def former_names(kind: Any) -> tuple[str, ...]:
    """Return the keys that documents of earlier versions may have instead of today's."""
    return tuple(each.metadata[_FORMERLY] for each in fields(kind) if _FORMERLY in each.metadata)


def refuse_unknown_keys(
    values: Iterable[str], known: Collection[str], *, where: str, former: Collection[str] = ()
) -> None:
    """Raise ConfigError for the first key that is not known, naming the nearest that is; `former` keys are accepted."""
    try:
        _refuse_unknown(values, known, former)
    except _Problem as problem:
        raise ConfigError(f"{where}{problem}") from None


def refuse_blank(values: Mapping[str, Any], *, where: str) -> None:
    """Raise ConfigError for the first text that is empty."""
    for key, value in values.items():
        if isinstance(value, str) and not value.strip():
            raise ConfigError(f"{where}: {key} must not be empty")


class _Problem(Exception):
    """What is wrong with a document, and at which place in it; the text continues the name of the document."""


def _refuse_unknown(values: Iterable[str], known: Collection[str], former: Collection[str], *, at: str = "") -> None:
    for key in values:
        if key not in known and key not in former:
            near = nearest(str(key), known)
            hint = f"did you mean {near!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise _Problem(f"{at}: unknown key {key!r}; {hint}")


@cache
def _type_info(kind: Hashable) -> msgspec.inspect.Type:
    import msgspec

    return msgspec.inspect.type_info(kind)


def _prepare(info: msgspec.inspect.Type, value: Any, place: str, *, allow_unknown: bool) -> Any:
    """Return the value with the fields' names as keys; values of the wrong type stay, for msgspec to refuse."""
    from msgspec import inspect

    if isinstance(info, inspect.UnionType):
        # The fields of a union differ in shape (a text or a list of texts), so at most one matches.
        info = next((each for each in info.types if _has_shape(each, value)), inspect.AnyType())
    if isinstance(info, inspect.DataclassType) and isinstance(value, Mapping):
        return _prepare_dataclass(info, value, place, allow_unknown=allow_unknown)
    if isinstance(info, inspect.VarTupleType | inspect.ListType) and isinstance(value, list | tuple):
        return [
            _prepare(info.item_type, each, f"{place}[{index}]", allow_unknown=allow_unknown)
            for index, each in enumerate(value)
        ]
    if isinstance(info, inspect.EnumType) and isinstance(value, str) and value not in {*map(str, info.cls)}:
        parent, _, name = place.rpartition(".")
        at = f": {parent}" if parent else ""
        raise _Problem(f"{at}: {UnknownName(name.partition('[')[0], value, [*map(str, info.cls)])}")
    return value


def _prepare_dataclass(
    info: msgspec.inspect.DataclassType, values: Mapping[str, Any], place: str, *, allow_unknown: bool
) -> dict[str, Any]:
    at = f": {place}" if place else ""
    known = {each.name: each for each in info.fields}
    today = {each.metadata[_FORMERLY]: each.name for each in fields(info.cls) if _FORMERLY in each.metadata}
    if not allow_unknown:
        _refuse_unknown(values, known, today, at=at)
    for former, name in today.items():
        if former in values and name in values:
            raise _Problem(f"{at}: {former} and {name} are the same; keep one of them")
    found = {}
    for key, value in values.items():
        name = today.get(key, key)
        if name in known:
            inner = f"{place}.{name}" if place else name
            found[name] = _prepare(known[name].type, value, inner, allow_unknown=allow_unknown)
    missing = [name for name, each in known.items() if each.required and name not in found]
    if missing:
        raise _Problem(f"{at} lacks {', '.join(missing)}")
    return found


def _has_shape(info: msgspec.inspect.Type, value: Any) -> bool:
    from msgspec import inspect

    if isinstance(info, inspect.DataclassType):
        return isinstance(value, Mapping)
    if isinstance(info, inspect.VarTupleType | inspect.ListType):
        return isinstance(value, list | tuple)
    return isinstance(info, inspect.EnumType) and isinstance(value, str)


def _encode(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no plain form")


def _decode(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise TypeError(f"Expected `str`, got `{type(value).__name__}`")


def _lists_for_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists_for_tuples(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_lists_for_tuples(entry) for entry in value]
    return value


# --- msgspec's messages in plain words ------------------------------------------------------------------------------

_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}


def _reword(message: str, values: Any) -> str:
    """Return `: port must be a whole number, got '22'` for msgspec's "Expected `int`, got `str` - at `$.port`"."""
    text, _, path = message.partition(" - at `$")
    place = path.rstrip("`").removeprefix(".")
    expected = re.match(r"Expected `([a-z |]+)`", text)
    names = expected.group(1).split(" | ") if expected else []
    words = [_WORDS[name] for name in names if name in _WORDS]
    if not words:
        return f": {place}: {text}" if place else f": {text}"
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", place):
        values = values[int(index)] if index else values[key]
    start = f": {place}" if place else ""
    return f"{start} must be {' or '.join(words)}, got {values!r}"
