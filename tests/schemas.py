"""Checks documents against the JSON Schemas that edgebench ships: `check_schema(document, "profile")`."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource

_ENDING = ".schema.json"


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """Return the shipped schemas, by name."""
    folder = resources.files("edgebench").joinpath("schemas")
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.name.endswith(_ENDING)}
    return {name.removesuffix(_ENDING): json.loads(found[name]) for name in sorted(found)}


def check_schema(document: Any, name: str, *, is_old: bool = False) -> None:
    """Assert that a document is as its schema says.

    Args:
        document: what Python's json reads, or what it would write.
        name: of the schema.
        is_old: an older edgebench of the same format version wrote it, so that keys which came later may be missing.
    """
    written = json.loads(json.dumps(document, allow_nan=False))
    error = best_match(_validator(name, is_old).iter_errors(written))
    assert error is None, f"{name}: {error.json_path}: {error.message[:500]}"


def is_described(document: Any, name: str) -> bool:
    """Whether a document, as Python's json reads it, is as its schema says."""
    return _validator(name, False).is_valid(document)


@cache
def _validator(name: str, is_old: bool) -> Draft202012Validator:
    known = {each: _without_required(schema) if is_old else schema for each, schema in schemas().items()}
    registry = Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in known.values())
    return Draft202012Validator(known[name], registry=registry)


def _without_required(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_required(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key != "required"}
    if all(set(each) == {"required"} for each in kept.get("oneOf", [{}])):
        kept.pop("oneOf", None)
    return {key: _without_required(value) for key, value in kept.items()}
