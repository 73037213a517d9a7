"""A gate's result as Markdown: a comment on a change, a step summary."""

from __future__ import annotations

from edgebench.gating import GateResult
from edgebench.reporting.gate.rows import HEADERS, budget_rows
from edgebench.text import printable

_MARKS = {"pass": "✅", "fail": "❌", "undecided": "❔"}
#: What is markup somewhere in a line, in HTML or in GitHub's tables and mentions.
_SPECIAL = frozenset("|\\`*_<>[]#~!&")


def gate_markdown(result: GateResult) -> str:
    """Return the text of a Markdown file: a heading, the sentence, a table of the budgets, and notes."""
    mark = _MARKS[str(result.result)]
    device = str(result.device.get("name"))
    lines = [
        f"### {mark} edgebench gate: {_escaped(result.candidate.name)} on {_escaped(device)}",
        "",
        _escaped(result.sentence),
        "",
        f"| {' | '.join(HEADERS)} |",
        f"|{' --- |' * len(HEADERS)}",
        *(f"| {' | '.join(map(_escaped, row))} |" for row in budget_rows(result)),
    ]
    for note in result.notes:
        lines += ["", _escaped(note)]
    sides = [result.baseline, result.candidate, *([result.anchor] if result.anchor is not None else [])]
    files = ", ".join(f"{_escaped(side.name)} {side.format} {side.artifact_sha256[:12]}" for side in sides)
    lines += ["", f"Files: {files}. Sessions: {', '.join(session.id for session in result.sessions)}."]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Return text from elsewhere as one line in which nothing is markup, ends a cell or mentions anybody."""
    clean = printable(text, 4000)
    return "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in clean).replace("@", "@\u200b")
