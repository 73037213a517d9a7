"""A gate's result for people and for CI systems: one module for each format.

A GateResult comes in; a table, or the text of a file, comes out.
"""

from __future__ import annotations

from edgebench.reporting.gate.github import github_annotations
from edgebench.reporting.gate.gitlab import code_quality
from edgebench.reporting.gate.history import history_parts
from edgebench.reporting.gate.junit import junit_error, junit_xml
from edgebench.reporting.gate.markdown import gate_markdown
from edgebench.reporting.gate.openmetrics import openmetrics
from edgebench.reporting.gate.table import gate_parts

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
