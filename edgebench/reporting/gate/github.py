"""A gate's result as workflow commands of GitHub Actions, which show it beside the change."""

from __future__ import annotations

from edgebench.gating import GateResult, GateVerdict
from edgebench.text import printable

_LEVELS = {GateVerdict.FAIL: "error", GateVerdict.UNDECIDED: "warning", GateVerdict.PASS: "notice"}


def github_annotations(result: GateResult) -> list[str]:
    """Return the lines to print: one annotation with the sentence."""
    title = f"edgebench gate: {result.candidate.name} on {result.device.get('name')}"
    return [f"::{_LEVELS[result.result]} title={_property(title)}::{_data(result.sentence)}"]


def _data(text: str) -> str:
    """Return a message as a workflow command takes it; see actions/toolkit, `escapeData`."""
    return printable(text, 4000).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Return the value of a property; see actions/toolkit, `escapeProperty`."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
