"""Tables and documents made of results, for people.

Measurements, Comparisons, Evaluations and study reports come in; tables and Markdown come out.
"""

from __future__ import annotations

from edgebench.reporting.checkup import overhead_findings
from edgebench.reporting.comparison import comparison_parts
from edgebench.reporting.details import details_of, list_of_lines, list_of_measurements
from edgebench.reporting.evaluation import evaluation_parts
from edgebench.reporting.extension import extension_lines
from edgebench.reporting.extra_tables import tables_below
from edgebench.reporting.formats import formats_table, parity_text
from edgebench.reporting.gate import (
    code_quality,
    gate_markdown,
    gate_parts,
    github_annotations,
    history_parts,
    junit_error,
    junit_xml,
    openmetrics,
)
from edgebench.reporting.layout import PlainTable, ResultTable
from edgebench.reporting.plans import plans_table
from edgebench.reporting.quality import floor_lines
from edgebench.reporting.scores import folder_parts, rows_parts
from edgebench.reporting.study import status_parts, study_markdown, study_parts
from edgebench.reporting.table import measurement_table
from edgebench.reporting.trimming import trimming_lines

__all__ = [
    "PlainTable",
    "ResultTable",
    "code_quality",
    "comparison_parts",
    "details_of",
    "evaluation_parts",
    "extension_lines",
    "floor_lines",
    "folder_parts",
    "formats_table",
    "gate_markdown",
    "gate_parts",
    "github_annotations",
    "history_parts",
    "junit_error",
    "junit_xml",
    "list_of_lines",
    "list_of_measurements",
    "measurement_table",
    "openmetrics",
    "overhead_findings",
    "parity_text",
    "plans_table",
    "rows_parts",
    "status_parts",
    "study_markdown",
    "study_parts",
    "tables_below",
    "trimming_lines",
]
