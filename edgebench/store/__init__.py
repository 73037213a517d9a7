"""Results that are kept: runs, documents and scores, as plain files in a folder.

In: subjects with their runs, sessions, evaluations. Out: measurements, put together again; pairs to be compared;
scores of the timed files; rows of SQL, CSV and Parquet.
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
