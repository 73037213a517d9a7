"""What is kept: immutable runs with their traces, scores, and documents of sessions.

Runs and documents come in and are written by rename; Measurements, tables and queries over them come out.
"""

from __future__ import annotations

from edgebench.store.comparison import compare_stored
from edgebench.store.scores import stored_scores, with_stored
from edgebench.store.store import Store

__all__ = [
    "Store",
    "compare_stored",
    "stored_scores",
    "with_stored",
]
