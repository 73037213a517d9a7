"""Memory that an export gives back: values are the same afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebench.export import memory
from edgebench.export.memory import array_in_a_file, forget_after_use, page_out, release_memory, row_blocks


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


def test_an_array_in_a_file_without_a_name_keeps_what_is_written(tmp_path: Path) -> None:
    values = array_in_a_file((512, 1024), tmp_path)
    assert list(tmp_path.iterdir()) == []
    for number, block in enumerate(row_blocks(values)):
        block += number + 1
    assert np.array_equal(values, np.ones((512, 1024), np.float32))
    page_out(values)
    assert np.array_equal(values, np.ones((512, 1024), np.float32))


def test_an_array_for_which_a_disk_has_no_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"."):
        array_in_a_file((1 << 30, 1 << 20), tmp_path)


def test_a_model_that_forgets_its_parameters_answers_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some 2 s, most of it the import of torch. One parameter is in memory, the other in a file."""
    import torch

    monkeypatch.setattr(memory, "_LARGE_MODEL_BYTES", 0)
    stored = array_in_a_file((600, 600), tmp_path)
    stored[:] = np.random.default_rng(1).normal(size=stored.shape)
    model = torch.nn.Sequential(torch.nn.Linear(600, 600), torch.nn.Linear(600, 600)).eval()
    with torch.inference_mode():
        x = torch.from_numpy(stored[:3].copy())
        model[1].weight.set_(torch.from_numpy(stored))
        expected = model(x)
        forget_after_use(model)
        assert [len(layer._forward_hooks) for layer in model] == [0, 1]
        assert all(torch.equal(model(x), expected) for _ in range(2))


def test_a_mapping_that_was_written_to_is_not_given_back(tmp_path: Path) -> None:
    np.zeros(1 << 20, np.float32).tofile(tmp_path / "values")
    changed, same = (np.memmap(tmp_path / "values", np.float32, mode="c") for _ in range(2))
    changed[12345] = 1
    assert same.sum() == 0
    ranges = memory._unchanged_files()
    assert [memory._is_within(*memory._pages_of(each), ranges) for each in (changed, same)] == [False, True]
