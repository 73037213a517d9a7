"""Facts of boards and runs: typed where they enter, and nothing of them is lost."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from edgebench.facts import Alternating, CooledDown, DeviceFacts, RunFacts, Tuning
from edgebench_agent.board.facts import board_facts
from edgebench_agent.home import Home

RUN: dict[str, Any] = {
    "providers_asked": ["CPUExecutionProvider"],
    "batches": 2,
    "batch_sizes": [1, 1],
    "alternating": {"process": "a-001", "models": 2},
    "queries_per_s": 20.5,
    "agent_sha256": None,
    "runtime": "onnxruntime",
    "board": {"cores": 4, "governor": "ondemand", "of_tomorrow": 1},
    "nodes": {"CPUExecutionProvider": 3},
    "warmup_steady": True,
    "cool_down": {"target_mc": 50_000, "started_mc": 49_000, "waited_ms": 10},
    "of_tomorrow": {"x": [1]},
}


def test_facts_are_typed() -> None:
    facts = RunFacts.from_json(RUN)
    assert facts.batch_sizes == (1, 1)
    assert facts.alternating == Alternating(process="a-001", models=2)
    assert facts.board is not None and facts.board.cores == 4
    assert facts.cool_down == CooledDown(target_mc=50_000, started_mc=49_000, waited_ms=10)
    assert facts.agent_sha256 is facts.lengths is None


def test_facts_come_back_as_they_were_with_what_is_not_known() -> None:
    assert json.dumps(RunFacts.from_json(RUN).to_json()) == json.dumps(RUN)


@pytest.mark.parametrize(
    "odd", [{"batches": "two"}, {"batches": True}, {"batch_sizes": [1, "x"]}, {"nodes": [3]}, {"board": 7}]
)
def test_a_fact_that_is_not_what_it_should_be_is_not_reported_but_kept(odd: dict[str, Any]) -> None:
    facts = RunFacts.from_json(odd)
    assert facts == RunFacts(unknown=odd)
    assert facts.to_json() == odd


def test_a_fact_that_is_found_later_is_written_in_the_place_of_its_null() -> None:
    facts = replace(DeviceFacts.from_json({"governor": None, "cores": 4}), governor="performance")
    assert facts.to_json() == {"cores": 4, "governor": "performance"}


def test_further_facts_are_added() -> None:
    facts = DeviceFacts(name="pi4").adding({"tune": {"parameters": ["threads"], "power_as_found": True}})
    assert facts == DeviceFacts(name="pi4", tune=Tuning(parameters=("threads",), power_as_found=True))


def test_every_fact_of_this_machine_is_known(tmp_path: Path) -> None:
    reported = board_facts(Home(tmp_path))
    assert set(reported) <= {each.name for each in fields(DeviceFacts)}
    facts = DeviceFacts.from_json(reported)
    assert {name: value for name, value in facts.unknown.items() if value is not None} == {}
    assert facts.to_json() == reported
