"""Cold starts: the model's files out of the page cache, one load, one inference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgebench_agent.protocol import Done, First, Latencies, Loaded, Phase, Readings
from edgebench_agent.run import page_cache
from tests.agent.agent_board import AgentBoard, of


@pytest.fixture
def file_on_disk(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.write_bytes(bytes(1 << 22) + b"x")
    return path


def test_what_was_just_written_is_in_memory_until_it_is_dropped(file_on_disk: Path) -> None:
    size = (1 << 22) + 1
    assert page_cache.residency([file_on_disk]) == {"model_bytes": size, "model_resident_bytes": size}
    page_cache.drop([file_on_disk])
    if page_cache.residency([file_on_disk])["model_resident_bytes"] == size:
        pytest.skip("this file system keeps its files in memory")
    assert page_cache.residency([file_on_disk]) == {"model_bytes": size, "model_resident_bytes": 0}
    file_on_disk.read_bytes()
    assert page_cache.residency([file_on_disk])["model_resident_bytes"] == size


def test_an_empty_file_and_no_file_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert page_cache.residency([tmp_path / "empty"]) == {"model_bytes": 0, "model_resident_bytes": 0}
    assert page_cache.residency([]) == {"model_bytes": 0, "model_resident_bytes": 0}
    page_cache.drop([tmp_path / "gone"])


def cached_before_load(messages: Sequence[Any]) -> dict[str, int]:
    (values,) = [each.values for each in of(Readings, messages) if "model_bytes" in each.values]
    return {name: value for name, value in values.items() if name.startswith("model_")}


@pytest.mark.slow
def test_a_cold_start_loads_and_infers_once_with_the_model_out_of_memory(board: AgentBoard, tiny_model: bytes) -> None:
    warm = cached_before_load(board.run(board.model_spec(tiny_model)))
    assert warm == {"model_bytes": len(tiny_model), "model_resident_bytes": len(tiny_model)}
    messages = board.run(board.model_spec(tiny_model, mode="load"))
    assert cached_before_load(messages)["model_resident_bytes"] in (0, len(tiny_model))  # the latter on a tmpfs
    assert of(Latencies, messages) == []
    assert [phase.name for phase in of(Phase, messages)] == ["loading", "first", "finishing"]
    assert of(Loaded, messages)[0].load_ns > 0
    assert of(First, messages)[0].first_ns > 0
    assert messages[-1] == Done(0, 0)
