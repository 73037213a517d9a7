"""A gate's result for people and for CI systems: one module for each format.

A GateResult comes in; a table, or the text of a file, comes out.
"""

from __future__ import annotations

from edgebench.report.gate.github import github_annotations
from edgebench.report.gate.gitlab import code_quality
from edgebench.report.gate.history import history_parts
from edgebench.report.gate.junit import junit_error, junit_xml
from edgebench.report.gate.markdown import gate_markdown
from edgebench.report.gate.openmetrics import openmetrics
from edgebench.report.gate.table import gate_parts

__all__ = [
    "code_quality",
    "gate_markdown",
    "gate_parts",
    "github_annotations",
    "history_parts",
    "junit_error",
    "junit_xml",
    "openmetrics",
]
