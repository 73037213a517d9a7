"""Documents into dataclasses and back: what is accepted, and how an error names its place."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebench.errors import ConfigError, StoreError
from edgebench.serialisation import field_names, former_names, formerly, from_plain, refuse_blank, to_plain


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    count: int
    colour: Colour = Colour.RED
    names: tuple[str, ...] = ()
    share: float | None = None
    tags: str | tuple[str, ...] = ()
    path: Path | None = None
    wide: bool = field(default=True, metadata=formerly("broad"))

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ConfigError(f"count must not be negative, got {self.count}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    leaves: tuple[Leaf, ...]
    best: Leaf | None = None


leaves = st.builds(
    Leaf,
    count=st.integers(0, 1 << 40),
    colour=st.sampled_from(Colour),
    names=st.lists(st.text(), max_size=3).map(tuple),
    share=st.none() | st.floats(allow_nan=False),
    tags=st.text() | st.lists(st.text(), max_size=3).map(tuple),
    path=st.none() | st.just(Path("a/b")),
    wide=st.booleans(),
)


@given(st.builds(Tree, leaves=st.lists(leaves, max_size=3).map(tuple), best=st.none() | leaves))
def test_whatever_is_written_is_read_back_through_json(tree: Tree) -> None:
    plain = json.loads(json.dumps(to_plain(tree)))
    assert plain == to_plain(tree)
    assert from_plain(Tree, plain, where="it") == tree


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"leaves": [{"count": 1}, {"count": "2"}]}, "doc: leaves[1].count must be a whole number, got '2'"),
        ({"leaves": [{"count": True}]}, "doc: leaves[0].count must be a whole number, got True"),
        ({"leaves": [{"count": 1, "share": "x"}]}, "doc: leaves[0].share must be a number, got 'x'"),
        ({"leaves": [{"count": 1, "share": False}]}, "doc: leaves[0].share must be a number, got False"),
        ({"leaves": [{"count": 1, "names": "x"}]}, "doc: leaves[0].names must be a list, got 'x'"),
        ({"leaves": [{"count": 1, "names": ["x", 2]}]}, "doc: leaves[0].names[1] must be text, got 2"),
        ({"leaves": [{"count": 1, "tags": 3}]}, "doc: leaves[0].tags must be text or a list, got 3"),
        ({"leaves": [{"count": 1, "path": 3}]}, "doc: leaves[0].path must be text, got 3"),
        ({"leaves": [{"count": 1, "wide": 1}]}, "doc: leaves[0].wide must be true or false, got 1"),
        ({"leaves": [{"count": 1, "colour": "grn"}]}, "doc: leaves[0]: unknown colour 'grn'; did you mean 'green'?"),
        ({"leaves": [{"count": 1, "colour": 4}]}, "doc: leaves[0].colour must be text, got 4"),
        ({"leaves": [{"count": 1, "nmaes": []}]}, "doc: leaves[0]: unknown key 'nmaes'; did you mean 'names'?"),
        ({"leaves": [], "best": {"cuont": 1}}, "doc: best: unknown key 'cuont'; did you mean 'count'?"),
        ({"leaves": [{"names": []}]}, "doc: leaves[0] lacks count"),
        ({"laeves": []}, "doc: unknown key 'laeves'; did you mean 'leaves'?"),
        ({}, "doc lacks leaves"),
        ({"leaves": [3]}, "doc: leaves[0] must be a table, got 3"),
        ({"leaves": [{"wide": True, "broad": True}]}, "doc: leaves[0]: broad and wide are the same; keep one of them"),
        ({"leaves": [{"count": -1}]}, "doc: count must not be negative, got -1"),
        ([], "doc must be a table, got []"),
    ],
)  # fmt: skip
def test_an_error_names_the_place_and_the_value(values: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_plain(Tree, values, where="doc")
    assert str(caught.value) == message
    with pytest.raises(StoreError):
        from_plain(Tree, values, where="doc", error=StoreError)


def test_a_field_may_have_had_another_name() -> None:
    assert not from_plain(Leaf, {"count": 1, "broad": False}, where="doc").wide
    assert field_names(Leaf, without=("path", "share")) == ("count", "colour", "names", "tags", "wide")
    assert former_names(Leaf) == ("broad",)


def test_a_field_may_come_from_elsewhere() -> None:
    leaf = from_plain(Leaf, {"count": 1, "wide": False}, where="doc", given={"count": 2}, without=("names",))
    assert (leaf.count, leaf.wide) == (2, False)
    with pytest.raises(ConfigError, match="doc: unknown key 'names'; known: colour, count, path, share, tags, wide"):
        from_plain(Leaf, {"count": 1, "names": []}, where="doc", without=("names",))


def test_what_a_later_version_added_is_ignored_where_it_may_be() -> None:
    values = {"leaves": [{"count": 1, "shape": "round"}], "bark": "grey"}
    assert from_plain(Tree, values, where="doc", allow_unknown=True) == Tree(leaves=(Leaf(count=1),))


def test_an_object_that_is_there_already_is_taken_as_it_is() -> None:
    leaf = Leaf(count=1)
    tree = from_plain(Tree, {"leaves": [leaf, {"count": 2}], "best": leaf}, where="doc")
    assert tree.leaves[0] is leaf
    assert tree.best is leaf


def test_a_whole_number_is_a_number() -> None:
    share = from_plain(Leaf, {"count": 1, "share": 2}, where="doc").share
    assert isinstance(share, float)
    assert math.isclose(share, 2.0)


def test_a_blank_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="doc: name must not be empty"):
        refuse_blank({"count": 0, "name": " "}, where="doc")
