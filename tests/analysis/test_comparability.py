"""What must be the same: between measurements, between the runs of one, and for a study."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgebench.analysis import changed_on_board, is_same_workload
from edgebench.analysis.comparability import ALLOWABLE, CONDITIONS
from edgebench.facts import DeviceFacts

BOARD = DeviceFacts(name="pi4", governor="ondemand", memory_bytes=4, python="3.11.2", runtime_version="1.22.0")
ASKED = {"scenario": "single-stream", "seq_len": 128, "batch": 1, "threads": None, "padding": "longest"}


def test_names_are_distinct() -> None:
    names = [condition.allow for condition in CONDITIONS]
    assert len(set(names)) == len(names)
    assert set(ALLOWABLE) <= set(names)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"temperature_mc": {"temperature_mc/cpu": 1}, "throttled": 1}, None),
        ({"governor": "performance"}, "the board's governor"),
        ({"memory_bytes": 8}, "the board's memory_bytes"),
        ({"python": "3.12.0"}, "the board's python"),
        ({"runtime_version": "1.23.0"}, "the board's runtime_version"),
    ],
)
def test_runs_are_added_only_on_the_same_board(change: dict[str, Any], said: str | None) -> None:
    assert changed_on_board(replace(BOARD, **change), BOARD) == said


@pytest.mark.parametrize(
    ("asked", "measured", "same"),
    [
        ({}, {}, True),
        ({}, {"threads": 4, "affinity": [0, 1], "padding": "bucket", "choices": 2}, True),
        ({"threads": 4}, {"threads": 4}, True),
        ({"threads": 4}, {"threads": 2}, False),
        ({}, {"seq_len": 64}, False),
        ({}, {"batch": 2}, False),
        ({}, {"scenario": "offline"}, False),
        ({}, {"sustained_min": 10.0}, False),
        ({}, {"truncate": True}, False),
        ({"lang": "sw", "seq_len": None}, {"lang": "th", "seq_len": None}, False),
    ],
)
def test_a_study_counts_only_measurements_of_its_workload(
    asked: dict[str, Any], measured: dict[str, Any], same: bool
) -> None:
    assert is_same_workload(ASKED | asked, ASKED | measured) is same
