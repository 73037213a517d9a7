"""Memory that an export gives back: values are the same afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgebench.export.memory import page_out, release_memory


def test_values_of_a_mapped_file_are_read_again(tmp_path: Path) -> None:
    expected = np.arange(1 << 18, dtype=np.float32)
    expected.tofile(tmp_path / "values")
    mapped = np.memmap(tmp_path / "values", np.float32, mode="r")
    page_out(mapped)
    assert np.array_equal(mapped, expected)


def test_values_in_no_file_are_kept() -> None:
    for size in (0, 3, 1 << 18):
        values = np.arange(size, dtype=np.float32)
        page_out(values)
        assert np.array_equal(values, np.arange(size, dtype=np.float32))


def test_every_second_value_of_an_array_is_kept_too() -> None:
    values = np.arange(1 << 18, dtype=np.float32)
    page_out(values[::2])
    assert np.array_equal(values, np.arange(1 << 18, dtype=np.float32))


def test_cycles_are_collected() -> None:
    import weakref

    class Node:
        pass

    node = Node()
    node.itself = node  # type: ignore[attr-defined]
    seen = weakref.ref(node)
    del node
    release_memory()
    assert seen() is None
