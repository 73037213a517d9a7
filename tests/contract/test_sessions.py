"""Session documents of earlier versions: a session that was interrupted before an upgrade can still be resumed.

session-v1.json was written by an edgebench of format version 1. It is never made anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgebench.artifact import Format
from edgebench.device import load_profile
from edgebench.errors import StoreError
from edgebench.request import Request, request_from_json, request_to_json
from edgebench.workload import Padding, RunPlan, Scenario, Workload

#: What the first edgebench that kept sessions wrote at the top of a document.
FIRST_KEYS = ("device", "models", "formats", "workloads", "plan", "seed")


@pytest.fixture
def document() -> dict[str, Any]:
    values: dict[str, Any] = json.loads(Path(__file__).with_name("session-v1.json").read_text(encoding="utf-8"))
    return values


def test_a_session_of_an_earlier_version_is_read(document: dict[str, Any]) -> None:
    request = request_from_json(document)
    assert request.device.profile == load_profile("pi4")
    assert (request.device.address, request.device.origin) == ("pi@shed.lab:2222", "edgebench.toml")
    assert request.models == ("runs/english-1", "runs/multilingual-1")
    assert request.formats == (Format.ONNX_INT8, Format.TFLITE_INT8)
    assert request.workloads == (
        Workload(lang="sw", batch=4, scenario=Scenario.MULTI_STREAM, threads=4),
        Workload(texts=("Habari ya asubuhi.", "Karibu sana."), padding=Padding.BUCKET, truncate=True, affinity=(2, 3)),
        Workload(scenario=Scenario.SERVER, queries_per_s=12.5),
    )
    assert request.plan == RunPlan(runs=8, min_count=50, min_duration_s=1.5, max_duration_s=30.0)
    assert not request.overhead  # own_cost in this document
    assert (request.operators, request.cold, request.until_decided, request.alternate) == (True, False, True, False)
    assert (request.wait_s, request.margin, request.budget_s, request.most_runs) == (60.0, 0.05, 1800.0, 12)
    assert (request.cool_below_c, request.cool_wait_s, request.seed) == (55.0, 300.0, 123456789)
    assert request.runtime == "ai-edge-litert"


def test_what_an_earlier_version_did_not_write_takes_its_default(document: dict[str, Any]) -> None:
    first = {key: document[key] for key in FIRST_KEYS}
    first["workloads"] = [{"scenario": "single-stream", "seq_len": 16, "texts": None, "padding": "longest"}]
    request = request_from_json(first)
    device = request_from_json(document).device
    assert request == Request(
        device=device,
        models=request.models,
        formats=request.formats,
        workloads=(Workload(seq_len=16),),
        plan=request.plan,
        seed=123456789,
    )


def test_a_session_is_written_as_it_is_read(document: dict[str, Any]) -> None:
    request = request_from_json(document)
    written = json.loads(json.dumps(request_to_json(request), allow_nan=False))
    came_later = {
        "overhead": False,
        "planned_looks": None,
        "wait_idle_s": None,
        "extends": None,
        "sentence_embedding": False,
        "accept_parity": False,
        "plan": document["plan"] | {"max_warmup_s": 30.0},
        "workloads": [workload | {"texts_lang": None} for workload in document["workloads"]],
    }
    assert written == {key: value for key, value in document.items() if key != "own_cost"} | came_later
    assert request_from_json(written) == request


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sede": 1}, "unknown key 'sede'; did you mean 'seed'"),
        ({"workloads": [{"seq_len": "x"}]}, r"workloads\[0\].seq_len must be a whole number, got 'x'"),
        ({"workloads": [{"scenario": "serve"}]}, "unknown scenario 'serve'; did you mean 'server'"),
        ({"formats": ["onnx"]}, "unknown format 'onnx'"),
        ({"device": {"name": "x", "profile": "pi44"}}, "unknown device profile 'pi44'"),
        ({"device": {"name": "x"}}, "device lacks profile"),
        ({"plan": {"runs": 0}}, "runs must be >= 1"),
    ],
)  # fmt: skip
def test_a_damaged_session_says_where(document: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(StoreError, match=f"the stored session can't be read: .*{message}"):
        request_from_json(document | change)
