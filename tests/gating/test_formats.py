"""The files for CI systems, each read by a reader that is not ours, with hostile names in them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from edgebench.gating.metrics import Metric
from edgebench.gating.result import GateResult
from edgebench.gating.rules import GateVerdict
from edgebench.reporting import (
    code_quality,
    gate_markdown,
    gate_parts,
    github_annotations,
    junit_error,
    junit_xml,
    openmetrics,
)
from tests.gating.stored import found, gate_result
from tests.schemas import check_schema

FAILED = found("fail", ratio=1.052, upper_bound=1.061, interval=(1.041, 1.063), repeated=1.049)
OPEN = found("undecided", ratio=1.03, interval=(0.97, 1.09), runs=(20, 20), detectable=0.09)
DISAGREE = found("undecided", ratio=1.041, interval=(1.03, 1.052), repeated=0.998)
BEHIND = found("fail", ratio=1.041, interval=(1.03, 1.052), repeated=1.04, against="release v1.2")
TOO_LARGE = found(
    "fail",
    metric=Metric.MEMORY,
    against=None,
    ratio=None,
    margin=None,
    ceiling=400e6,
    unit="bytes",
    value=412e6,
    baseline_value=380e6,
    upper_bound=415e6,
    interval=(409e6, 415e6),
    repeated=411e6,
    detectable=None,
)
HOSTILE = "a|b`<img src=x>&\"'\x1b[31m\n::error::x, 100% @all ]]>"


def hostile() -> GateResult:
    """Return a result with a name that is markup in all formats."""
    result = gate_result(found("fail", repeated=1.05, workload=HOSTILE, against=HOSTILE), OPEN, found())
    candidate = replace(result.candidate, name=HOSTILE, variant=HOSTILE)
    return replace(result, candidate=candidate, device={**result.device, "name": HOSTILE}, notes=(HOSTILE,))


# --- sentences ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budgets", "anchored", "sentence"),
    [
        (
            [found()],
            (),
            "passed: not slower than main by 3 % or more (ratio 1.002, 98.1 % upper bound 1.011; baseline measured "
            "again, alternating, 6 + 6 runs; a slowdown of 1.6 % would have been seen)",
        ),
        ([FAILED], (), "failed: slower in two sessions (1.052, 1.049; 98.1 % 1.041 to 1.063)"),
        ([OPEN], (), "undecided: 0.97 to 1.09 after 20 + 20 runs; only a slowdown of 9 % would have been seen"),
        ([DISAGREE], (), "two sessions disagree (1.041, 0.998)"),
        ([found()], (BEHIND,), "new passes, but is 4.1 % slower than release v1.2"),
        (
            [found(), TOO_LARGE],
            (),
            "failed: peak memory is above 400 MB in two sessions (412 MB, 411 MB); 1 other budget holds",
        ),
    ],
)
def test_the_sentence(budgets: list, anchored: tuple, sentence: str) -> None:  # type: ignore[type-arg]
    assert gate_result(*budgets, anchored=anchored).sentence == sentence


def test_the_result_counts_the_anchor_and_is_as_described() -> None:
    behind = gate_result(found(), anchored=(BEHIND,))
    assert (behind.result, behind.failed, behind.passed) == (GateVerdict.FAIL, True, False)
    for result in (behind, gate_result(found()), gate_result(DISAGREE, TOO_LARGE), hostile()):
        document = result.to_json()
        check_schema(document, "gate")
        document["surprise"] = 1
        with pytest.raises(AssertionError):
            check_schema(document, "gate")


# --- formats --------------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_budget() -> None:
    from rich.console import Console

    console = Console(width=200, record=True)
    for part in gate_parts(gate_result(found(), DISAGREE, TOO_LARGE, anchored=(BEHIND,))):
        console.print(part, markup=False)
    text = console.export_text()
    for shown in (
        "+3 %",
        "1.6 %",
        "undecided, not repeated",
        "412 MB, 411 MB again",
        "release v1.2",
        "6 + 6 valid runs",
    ):
        assert shown in text


def test_junit_is_read_by_junitparser() -> None:
    junitparser = pytest.importorskip("junitparser")
    for result in (gate_result(FAILED, OPEN, found(), anchored=(BEHIND,)), hostile()):
        (suite,) = junitparser.JUnitXml.fromstring(junit_xml(result).encode())
        cases = list(suite)
        outcomes = [type(case.result[0]).__name__ if case.result else "passed" for case in cases]
        expected = {GateVerdict.FAIL: "Failure", GateVerdict.UNDECIDED: "Skipped", GateVerdict.PASS: "passed"}
        budgets = (*result.budgets, *result.anchor_budgets)
        assert outcomes == [expected[each.result] for each in budgets]
        assert (suite.tests, suite.failures, suite.skipped, suite.errors) == (
            len(cases),
            outcomes.count("Failure"),
            outcomes.count("Skipped"),
            0,
        )
        assert {each.name: each.value for each in suite.properties()}["result"] == str(result.result)
    (suite,) = junitparser.JUnitXml.fromstring(junit_error(HOSTILE, device="pi4").encode())
    assert (suite.errors, [type(case.result[0]).__name__ for case in suite]) == (1, ["Error"])


def test_metrics_are_read_by_prometheus() -> None:
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    result = gate_result(FAILED, found(metric=Metric.P95), TOO_LARGE, anchored=(BEHIND,))
    families = {each.name: each for each in parser.text_string_to_metric_families(openmetrics(result))}
    assert {each.type for each in families.values()} == {"gauge"}
    ratios = {
        (each.labels["metric"], each.labels["against"]): each.value for each in families["edgebench_gate_ratio"].samples
    }
    assert ratios == {("latency", "main"): 1.052, ("p95", "main"): 1.002, ("latency", "release v1.2"): 1.041}
    assert [each.value for each in families["edgebench_gate_candidate_bytes"].samples] == [412e6]
    assert sorted(each.value for each in families["edgebench_gate_result"].samples) == [-1, -1, -1, 1]
    (sample, *_) = next(iter(parser.text_string_to_metric_families(openmetrics(hostile())))).samples
    assert sample.labels["device"].startswith("a|b`<img src=x>&\"'")


#: What GitLab requires of an issue: https://docs.gitlab.com/ci/testing/code_quality/
GITLAB = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string"},
            "fingerprint": {"type": "string", "minLength": 1},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^[^./]"},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}


def test_the_code_quality_report_is_as_gitlab_wants_it() -> None:
    validator = Draft202012Validator(GITLAB)
    issues = json.loads(code_quality(gate_result(FAILED, OPEN, found(), anchored=(BEHIND,)), path="edgebench.toml"))
    validator.validate(issues)
    assert [each["severity"] for each in issues] == ["major", "info", "major"]
    assert len({each["fingerprint"] for each in issues}) == 2 + 1 - 1  # one figure against main, twice; one the anchor
    again = json.loads(code_quality(gate_result(replace(FAILED, ratio=1.07)), path="edgebench.toml"))
    assert again[0]["fingerprint"] == issues[0]["fingerprint"]  # the same budget on another day
    validator.validate(json.loads(code_quality(hostile(), path="edgebench.toml")))
    assert json.loads(code_quality(gate_result(found()), path="edgebench.toml")) == []


def test_markdown_is_read_by_a_markdown_parser() -> None:
    markdown_it = pytest.importorskip("markdown_it")
    parser = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table")
    for result in (gate_result(FAILED, TOO_LARGE, found(), anchored=(BEHIND,)), hostile()):
        tokens = parser.parse(gate_markdown(result))
        kinds = [token.type for token in tokens]
        assert kinds[:3] == ["heading_open", "inline", "heading_close"]
        assert kinds.count("table_open") == 1
        assert kinds.count("tr_open") == 1 + len(result.budgets) + len(result.anchor_budgets)
        assert kinds.count("td_open") == 8 * (len(result.budgets) + len(result.anchor_budgets))
        inside = [child.type for token in tokens for child in token.children or ()]
        assert set(inside) <= {"text", "text_special", "softbreak"}, set(inside)  # no markup, no HTML, no link
    text = "".join(child.content for token in tokens for child in token.children or ())
    assert "<img src=x>" in text
    assert "@all" not in text  # mentions nobody


def test_annotations_are_one_escaped_line() -> None:
    (line,) = github_annotations(hostile())
    assert line.startswith("::error title=edgebench gate%3A a|b`<img")
    assert line.count("::") == 2 + line.partition("::")[2].partition("::")[2].count("::")
    title = line.removeprefix("::error title=").partition("::")[0]
    assert not set(":,\r\n") & set(title)
    assert "100%25" in title
    assert github_annotations(gate_result(OPEN))[0].startswith("::warning ")
    assert github_annotations(gate_result(found()))[0].startswith("::notice ")
