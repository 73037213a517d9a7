"""A gate's result as JUnit XML, which most CI systems show: a test case for each budget; undecided is skipped."""

from __future__ import annotations

from xml.etree import ElementTree

from edgebench.gating import BudgetResult, GateResult, GateVerdict, budget_sentence
from edgebench.reporting.gate.rows import limit_of, title_of
from edgebench.text import printable

_SUITE = "edgebench gate"


def junit_xml(result: GateResult) -> str:
    """Return the text of a JUnit XML file."""
    found = (*result.budgets, *result.anchor_budgets)
    counts = {verdict: sum(each.result is verdict for each in found) for verdict in GateVerdict}
    suite = _suite(
        tests=len(found),
        failures=counts[GateVerdict.FAIL],
        errors=0,
        skipped=counts[GateVerdict.UNDECIDED],
        timestamp=result.started_at.partition(".")[0].partition("+")[0],
    )
    properties = ElementTree.SubElement(suite, "properties")
    known = {
        "result": str(result.result),
        "sentence": result.sentence,
        "device": str(result.device.get("name")),
        "baseline": f"{result.baseline.name} {result.baseline.artifact_sha256}",
        "candidate": f"{result.candidate.name} {result.candidate.artifact_sha256}",
    }
    for name, value in known.items():
        ElementTree.SubElement(properties, "property", name=name, value=printable(value, 4000))
    mode = next((each.mode for each in reversed(result.sessions) if each.purpose != "spread"), "interleaved")
    for each in found:
        _add_case(suite, each, device=str(result.device.get("name")), mode=mode)
    return _text(suite)


def junit_error(message: str, *, device: str) -> str:
    """Return the text of a JUnit XML file for a gate that could not be measured, or is not valid."""
    suite = _suite(tests=1, failures=0, errors=1, skipped=0, timestamp=None)
    case = ElementTree.SubElement(suite, "testcase", classname=f"edgebench.{printable(device)}", name="gate", time="0")
    ElementTree.SubElement(case, "error", type="NotValid", message=printable(message, 4000))
    return _text(suite)


def _suite(*, tests: int, failures: int, errors: int, skipped: int, timestamp: str | None) -> ElementTree.Element:
    counts = {"tests": tests, "failures": failures, "errors": errors, "skipped": skipped}
    attributes = {"name": _SUITE, **{name: str(count) for name, count in counts.items()}, "time": "0"}
    return ElementTree.Element("testsuite", attributes | ({"timestamp": timestamp} if timestamp else {}))


def _add_case(suite: ElementTree.Element, found: BudgetResult, *, device: str, mode: str) -> None:
    against = f" against {found.against}" if found.against is not None else ""
    where = f"edgebench.{device}" + (f".{found.workload}" if found.workload is not None else "")
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=printable(where),
        name=printable(f"{title_of(found)}{against}, at most {limit_of(found)}"),
        time="0",
    )
    message = printable(budget_sentence(found, mode=mode), 4000)
    if found.result is GateVerdict.FAIL:
        ElementTree.SubElement(case, "failure", type="budget", message=message)
    elif found.result is GateVerdict.UNDECIDED:
        ElementTree.SubElement(case, "skipped", message=message)
    else:
        ElementTree.SubElement(case, "system-out").text = message


def _text(suite: ElementTree.Element) -> str:
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
