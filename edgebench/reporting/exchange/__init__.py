"""Results for other tools: one module for each format.

Measurements, with the scores of their files, come in; documents that other tools read, or runs of a tracking server,
come out.
"""

from __future__ import annotations

from edgebench.reporting.exchange.exporting import (
    DEFAULT_EXPERIMENT,
    EXCHANGE_FORMATS,
    ExportedResults,
    export_results,
)

__all__ = ["DEFAULT_EXPERIMENT", "EXCHANGE_FORMATS", "ExportedResults", "export_results"]
