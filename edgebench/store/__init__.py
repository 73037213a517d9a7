"""What is kept: immutable runs with their traces, scores, and documents of sessions.

Runs and documents come in and are written by rename; Measurements, tables and queries over them come out.
"""

from __future__ import annotations

from edgebench.store.bringing import bring_from
from edgebench.store.comparison import compare_stored
from edgebench.store.digest import ListedMeasurement
from edgebench.store.files import checked_id, read_document, replace_file, to_text, writing
from edgebench.store.kept_artifacts import find_artifact_files, keep_artifact
from edgebench.store.location import absolute_location, relative_location
from edgebench.store.observed import latest_facts, observed_on
from edgebench.store.opening import default_folder, open_store
from edgebench.store.result_files import is_file_name, measurement_ids
from edgebench.store.scores import merged_scores, stored_scores, with_stored
from edgebench.store.selection import Selection, moment
from edgebench.store.sql import QueryResult
from edgebench.store.store import EVERYTHING, Store
from edgebench.store.traces import import_libraries

__all__ = [
    "EVERYTHING",
    "ListedMeasurement",
    "QueryResult",
    "Selection",
    "Store",
    "absolute_location",
    "bring_from",
    "checked_id",
    "compare_stored",
    "default_folder",
    "find_artifact_files",
    "import_libraries",
    "is_file_name",
    "keep_artifact",
    "latest_facts",
    "measurement_ids",
    "merged_scores",
    "moment",
    "observed_on",
    "open_store",
    "read_document",
    "relative_location",
    "replace_file",
    "stored_scores",
    "to_text",
    "with_stored",
    "writing",
]
