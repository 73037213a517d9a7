"""Variants of one session have names of their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebench.export import unique_names


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        ([("m/en/best.onnx", "best"), ("m/multi/best.onnx", "best")], ["en/best", "multi/best"]),
        ([("a/checkpoint-500", "checkpoint-500"), ("b/checkpoint-500/", "checkpoint-500")],
         ["a/checkpoint-500", "b/checkpoint-500"]),
        ([("a/x/m.onnx", "m"), ("b/x/m.onnx", "m"), ("b/y/m.onnx", "m")], ["a/x/m", "b/x/m", "y/m"]),
        # The name of model.onnx is its folder's, or the one above that of its format.
        ([("a/en/model.onnx", "en"), ("b/en/onnx-int8/model.onnx", "en")], ["a/en", "b/en"]),
        # A lengthened name must not be another's.
        ([("m/en/best.onnx", "best"), ("m/de/best.onnx", "best"), ("en/best", "en/best")],
         ["m/en/best", "de/best", "en/best"]),
        ([("runs/en", "en"), ("runs/multi", "multi")], ["en", "multi"]),
        ([("runs/en", "en"), ("runs/en", "en")], ["en", "en"]),
        ([("reference:tiny", "reference:tiny")], ["reference:tiny"]),
        # The same file in two words: only the words differ.
        ([("m/a.onnx", "a"), ("./m/a.onnx", "a")], ["m/a.onnx", "./m/a.onnx"]),
    ],
)  # fmt: skip
def test_equal_names_of_different_sources_are_lengthened(sources: list[tuple[str, str]], names: list[str]) -> None:
    assert unique_names(sources) == names


FOLDERS = st.lists(st.sampled_from(["a", "b", "best"]), min_size=1, max_size=4)


@given(st.lists(FOLDERS, max_size=8))
def test_no_two_sources_share_a_name(paths: list[list[str]]) -> None:
    sources = [("/".join(parts), parts[-1]) for parts in paths]
    names = unique_names(sources)
    assert len(names) == len(sources)
    assert len(set(names)) == len({source for source, _ in sources})
