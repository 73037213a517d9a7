"""Tables of a JSON Schema's keys, made when the documentation is built: each key is described once, in the schema.

    ```{json-schema} profile
    ```

shows the keys of `edgebench/schemas/profile.schema.json`, then one section for each object that it defines. An object
that stands inside another one is part of its table: `latency.ratio`, `runs[].id`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

Schema = dict[str, Any]

_CODE = re.compile(r"`([^`]+)`")
_NO_TYPE = "any"


@cache
def load(name: str) -> Schema:
    """Return the shipped schema of that name."""
    path = resources.files("edgebench").joinpath(f"schemas/{name}.schema.json")
    schema: Schema = json.loads(path.read_text(encoding="utf-8"))
    return schema


@dataclass(frozen=True)
class Target:
    """What a `$ref` leads to: a definition, and the schema that has it."""

    schema: str
    name: str

    @classmethod
    def of(cls, reference: str, schema: str) -> Target:
        """Return the target of a reference that stands in a schema."""
        document, _, path = reference.partition("#/$defs/")
        return cls(document.rpartition(":")[2] or schema, path)

    @property
    def definition(self) -> Schema:
        """The definition itself."""
        found: Schema = load(self.schema)["$defs"][self.name]
        return found

    @property
    def label(self) -> str:
        """The label of the definition's section."""
        return f"json-{self.schema}-{self.name.replace('_', '-')}"

    @property
    def has_section(self) -> bool:
        """Whether it has keys to show in a section of its own."""
        return "properties" in self.definition


@dataclass(frozen=True)
class Row:
    """A key, with the schema of its value and the schema's name."""

    key: str
    value: Schema
    schema: str
    is_optional: bool


def rows_of(schema: Schema, name: str, prefix: str = "") -> Iterator[Row]:
    """Yield a row for each key of an object, those of the objects inside it included."""
    for key, value in schema.get("properties", {}).items():
        yield Row(f"{prefix}{key}", value, name, key not in schema.get("required", ()))
        for inner, path in _objects_inside(value, f"{prefix}{key}"):
            yield from rows_of(inner, name, f"{path}.")


def _objects_inside(value: Schema, path: str) -> Iterator[tuple[Schema, str]]:
    """Yield the objects with keys that a value is or holds, without those that have a section."""
    if "properties" in value:
        yield value, path
    for choice in (*value.get("anyOf", ()), *value.get("oneOf", ())):
        yield from _objects_inside(choice, path)
    if isinstance(value.get("items"), dict):
        yield from _objects_inside(value["items"], f"{path}[]")
    if isinstance(value.get("additionalProperties"), dict):
        yield from _objects_inside(value["additionalProperties"], f"{path}.NAME")


def description_of(value: Schema, schema: str) -> str:
    """Return what a value means, by its own description or by that of what it refers to."""
    if "description" in value:
        return str(value["description"])
    if "$ref" in value:
        target = Target.of(value["$ref"], schema)
        return description_of(target.definition, target.schema)
    return ""


def type_of(value: Schema, schema: str) -> list[str | Target]:
    """Return the type of a value in words; a Target stands for a link to a definition's section."""
    if "$ref" in value:
        target = Target.of(value["$ref"], schema)
        if not target.has_section:
            return type_of(target.definition, target.schema)
        return [target, " with more keys"] if "properties" in value else [target]
    if "const" in value:
        return [f"`{json.dumps(value['const'])}`"]
    if "enum" in value:
        return [" | ".join(f"`{each}`" for each in value["enum"])]
    if "anyOf" in value:
        return _joined([type_of(each, schema) for each in value["anyOf"]], " or ")
    kinds = value.get("type", _NO_TYPE)
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return _joined([_plain_type(kind, value, schema) for kind in kinds], " or ")


def _plain_type(kind: str, value: Schema, schema: str) -> list[str | Target]:
    if kind == "array":
        if "prefixItems" in value:
            return ["[", *_joined([type_of(each, schema) for each in value["prefixItems"]], ", "), "]"]
        if value.get("maxItems") == value.get("minItems") == 2:
            return ["[", *type_of(value["items"], schema), ", ", *type_of(value["items"], schema), "]"]
        if "enum" in value["items"]:
            return ["array of any of " + ", ".join(f"`{each}`" for each in value["items"]["enum"])]
        return ["array of ", *type_of(value["items"], schema)]
    if kind == "object" and isinstance(value.get("additionalProperties"), dict):
        return ["object, each value ", *type_of(value["additionalProperties"], schema)]
    return [kind]


def _joined(parts: Sequence[list[str | Target]], by: str) -> list[str | Target]:
    joined: list[str | Target] = []
    for number, part in enumerate(parts):
        joined += [by, *part] if number else part
    return joined


class JsonSchema(SphinxDirective):
    """`json-schema NAME`: the keys of a schema; of `common`, its definitions."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the tables."""
        name = self.arguments[0]
        schema = load(name)
        self.env.note_dependency(str(resources.files("edgebench").joinpath(f"schemas/{name}.schema.json")))
        found: list[nodes.Node] = []
        if "description" in schema:
            found.append(self._paragraph([schema["description"]]))
        if "properties" in schema:
            found.append(self._table(list(rows_of(schema, name))))
        elif "oneOf" in schema:
            for choice in schema["oneOf"]:
                found.append(self._paragraph([description_of(choice, name).rstrip(".") + ": ", *type_of(choice, name)]))
                if "properties" in choice:
                    found.append(self._table(list(rows_of(choice, name))))
        if "$ref" in schema:
            found.insert(1, self._paragraph(["All keys of ", Target.of(schema["$ref"], name), ", and:"]))
        targets = [Target(name, key) for key in schema.get("$defs", ())]
        return [*found, *(self._section(target) for target in targets if target.has_section)]

    def _section(self, target: Target) -> nodes.section:
        section = nodes.section(ids=[target.label], names=[target.label])
        self.state.document.note_explicit_target(section, section)
        section += nodes.title("", "", nodes.literal("", target.name))
        section += self._paragraph([target.definition.get("description", "")])
        if "$ref" in target.definition:
            section += self._paragraph(["All keys of ", Target.of(target.definition["$ref"], target.schema), ", and:"])
        section += self._table(list(rows_of(target.definition, target.schema)))
        return section

    def _table(self, rows: Sequence[Row]) -> nodes.table:
        table = nodes.table(classes=["json-schema"])
        group = nodes.tgroup(cols=3)
        table += group
        for width in (26, 24, 50):
            group += nodes.colspec(colwidth=width)
        head, body = nodes.thead(), nodes.tbody()
        group += head
        group += body
        head += self._cells(["Key"], ["Type"], ["Meaning"])
        for row in rows:
            optional = [", may be missing"] if row.is_optional else []
            meaning = description_of(row.value, row.schema)
            body += self._cells([f"`{row.key}`"], [*type_of(row.value, row.schema), *optional], [meaning])
        return table

    def _cells(self, *cells: Sequence[str | Target]) -> nodes.row:
        return nodes.row("", *(nodes.entry("", self._paragraph(cell)) for cell in cells))

    def _paragraph(self, parts: Sequence[str | Target]) -> nodes.paragraph:
        paragraph = nodes.paragraph()
        for part in parts:
            paragraph += self._link(part) if isinstance(part, Target) else list(_inline(part))
        return paragraph

    def _link(self, target: Target) -> nodes.Node:
        link = pending_xref(
            "",
            nodes.literal("", target.name),
            refdomain="std",
            reftype="ref",
            reftarget=target.label,
            refexplicit=True,
            refwarn=True,
            refdoc=self.env.docname,
        )
        link.source, link.line = self.get_source_info()
        return link


def _inline(text: str) -> Iterator[nodes.Node]:
    for number, part in enumerate(_CODE.split(text)):
        if part:
            yield nodes.literal("", part) if number % 2 else nodes.Text(part)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("json-schema", JsonSchema)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
