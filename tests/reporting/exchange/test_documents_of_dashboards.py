"""Bencher Metric Format, github-action-benchmark and OpenMetrics: what their readers find in them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from edgebench import NotValid, Store, export_results
from edgebench.figures import LatencySummary
from edgebench.measurement import Measurement
from edgebench.run import Memory
from edgebench.text import harmless
from tests.reporting.exchange.sample_store import AWKWARD, throttled, unusual
from tests.reporting.sample_results import by_language, measured

#: As bencher.dev describes it: names of at most 1,024 bytes, measures of at most 64 characters.
BENCHER = {
    "type": "object",
    "propertyNames": {"minLength": 1, "maxLength": 1024},
    "additionalProperties": {
        "type": "object",
        "propertyNames": {"minLength": 1, "maxLength": 64},
        "additionalProperties": {
            "type": "object",
            "required": ["value"],
            "properties": {name: {"type": "number"} for name in ("value", "lower_value", "upper_value")},
            "additionalProperties": False,
        },
    },
}
#: What the action reads of its custom tools.
GITHUB = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "unit", "value"],
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "unit": {"type": "string", "minLength": 1},
            "value": {"type": "number"},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
        "additionalProperties": False,
    },
}
LATER = "2025-06-01T00:00:00.000+00:00"


def document(*measurements: Measurement, to: str, **options: Any) -> Any:
    text = export_results(measurements, to=to, **options).text
    assert text is not None
    return json.loads(text)


def bare() -> Measurement:
    """Return a valid measurement of which little was measured."""
    nothing = LatencySummary(p50=40.0)
    return replace(measured(0), latency_ms=nothing, memory_bytes=Memory(), throughput_per_s=None, tokens_per_s=None,
                   load_ms=None, first_ms=None, temperature_c=None)  # fmt: skip


def repeated() -> Measurement:
    """Return a later measurement of the same as `measured(0)`."""
    later = measured(5, ms=50.0)
    of = replace(later.subject, id="20250601T000000-abcdef-000", artifact=measured(0).subject.artifact)
    return replace(later, subject=of, runs=tuple(replace(each, started_at=LATER) for each in later.runs))


def test_bencher_has_values_with_bounds_in_its_units() -> None:
    measurement = measured(0)
    found = document(measurement, unusual(), *by_language(), to="bmf")
    jsonschema.validate(found, BENCHER)
    measures = found["xnli-multi onnx-int8 on pi4, 128 tok, threads 4"]
    latency = measurement.latency_ms
    assert latency.p50 is not None
    assert latency.p50_ci is not None
    assert measures["latency"]["value"] == pytest.approx(latency.p50 * 1e6)
    assert measures["latency"]["lower_value"] == pytest.approx(latency.p50_ci[0] * 1e6)
    assert measures["latency"]["upper_value"] == pytest.approx(latency.p50_ci[1] * 1e6)
    assert measures["peak-rss"] == {"value": 300_000_000}
    assert f"{AWKWARD} onnx-int8 on pi4, 128 tok, threads 4" in found
    assert found["xnli-multi onnx-int8 on pi5, sw, threads 4"]["score-xnli-sw-accuracy"] == {"value": 76.0}


def test_long_names_stay_names_of_their_own() -> None:
    long = [measured(at, name="é" * 600 + str(at)) for at in range(2)]
    found = document(*long, to="bmf")
    assert len(found) == 2
    assert all(len(name.encode()) <= 1024 for name in found)


def test_github_action_benchmark_has_a_list_for_each_direction() -> None:
    smaller = document(measured(0), *by_language(), to="github-action-benchmark")
    bigger = document(measured(0), *by_language(), to="github-action-benchmark", better="bigger")
    jsonschema.validate(smaller, GITHUB)
    jsonschema.validate(bigger, GITHUB)
    name = "xnli-multi onnx-int8 on pi4, 128 tok, threads 4"
    (p50,) = [it for it in smaller if it["name"] == f"{name}: latency p50"]
    assert (p50["unit"], p50["value"]) == ("ms", measured(0).latency_ms.p50)
    assert re.fullmatch(r"3\d\.\d+ to 4\d\.\d+", p50["range"])
    assert "measurement: 20250102T030405-abcdef-000" in p50["extra"].splitlines()
    assert {it["unit"] for it in bigger} == {"1/s", "points"}
    assert not {it["name"] for it in smaller} & {it["name"] for it in bigger}
    assert len({it["name"] for it in smaller}) == len(smaller)


def test_names_stay_one_cell_of_the_table_that_the_action_writes() -> None:
    (name, *_) = {it["name"] for it in document(unusual(), to="github-action-benchmark")}
    cells = re.split(r"(?<!\\)\|", f"| `{name}` | `40` |")
    assert len(cells) == 4
    assert "`" not in name
    assert "\n" not in name


def test_openmetrics_are_read_by_prometheus() -> None:
    found = families(measured(0), unusual(), *by_language())
    latency = found["edgebench_latency_seconds"]
    assert (latency.type, latency.unit) == ("gauge", "seconds")
    (p50,) = [it.value for it in latency.samples
              if it.labels["statistic"] == "p50" and it.labels["variant"] == harmless(AWKWARD)]  # fmt: skip
    expected = unusual().latency_ms.p50
    assert expected is not None
    assert p50 == pytest.approx(expected / 1000)
    assert found["edgebench_peak_rss_bytes"].unit == "bytes"
    assert {it.value for it in found["edgebench_peak_rss_bytes"].samples} == {300e6}
    scores = {it.labels["lang"]: it.value for it in found["edgebench_score_points"].samples}
    assert scores == {"en": 80.0, "sw": 76.0, "th": 72.0}
    assert found["edgebench_temperature_max_celsius"].unit == "celsius"


def test_openmetrics_says_that_a_measurement_is_not_valid_and_has_no_figures_of_it() -> None:
    found = families(measured(0), throttled())
    states = {it.labels["variant"]: (it.labels["state"], it.value)
              for it in found["edgebench_measurement_valid"].samples}  # fmt: skip
    assert states == {"xnli-multi": ("valid", 1.0), "throttled": ("not valid", 0.0)}
    others = [it for name, family in found.items() if name != "edgebench_measurement_valid" for it in family.samples]
    assert {it.labels["variant"] for it in others} == {"xnli-multi"}


def families(*measurements: Measurement) -> dict[str, Any]:
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    text = export_results(measurements, to="openmetrics").text
    assert text is not None
    assert text.endswith("\n# EOF\n")
    return {each.name: each for each in parser.text_string_to_metric_families(text)}


@pytest.mark.parametrize("to", ["bmf", "github-action-benchmark", "model-index"])
def test_what_is_not_valid_is_left_out_with_a_line(to: str) -> None:
    short = replace(measured(3, name="short"), runs=tuple(replace(it, judged=False) for it in measured(3).runs))
    exported = export_results([measured(0), throttled(), short], to=to)
    assert exported.measurements == 1
    assert exported.text is not None
    assert "throttled" not in exported.text
    first, second = exported.notes
    assert "-020 (throttled onnx-int8 on pi4, 128 tok) is not valid: " in first
    assert "under-voltage" in first
    assert "(short onnx-int8 on pi4, 128 tok) is not judged: its runs are too short" in second
    with pytest.raises(NotValid, match=r"nothing to export: .* is not valid: .* more"):
        export_results([throttled(), short], to=to)


@pytest.mark.parametrize("to", ["bmf", "github-action-benchmark", "openmetrics", "model-index"])
def test_of_one_name_the_latest_is_written(to: str) -> None:
    exported = export_results([repeated(), measured(0)], to=to)
    assert exported.measurements == 1
    assert exported.notes[0].startswith("20250102T030405-abcdef-000: 20250601T000000-abcdef-000 is later")


def test_what_was_not_measured_is_left_out() -> None:
    assert set(document(bare(), to="bmf").popitem()[1]) == {"latency", "file-size"}
    assert len(document(bare(), to="github-action-benchmark")) == 2
    found = families(bare())
    assert "edgebench_peak_rss_bytes" not in found
    assert [it.labels["statistic"] for it in found["edgebench_latency_seconds"].samples] == ["p50"]


def test_scores_of_stored_evaluations_are_added(exported_store: Store) -> None:
    found = document(*exported_store.each_measurement(), to="bmf", store=exported_store)
    with_scores = {name: measures for name, measures in found.items() if any("score" in key for key in measures)}
    assert list(with_scores) == ["xnli-multi onnx-int8 on pi5, sw, threads 4"]
    assert with_scores.popitem()[1]["score-xnli-sw-accuracy"] == {"value": 75.0}
