"""Planning: what a model file will take on a board, before it is made or pushed: bytes, memory, rough time to load.

In: a config.json, or an artifact; a board's profile, its facts, what earlier runs there showed. Out: an `ExportPlan` or
a `Prediction`, and whether it fits.
"""

from __future__ import annotations

from edgebench.planning.board_memory import BoardMemory, check_memory, memory_of_facts, memory_of_profile, sizes_text
from edgebench.planning.memory import LEAST_LOAD_BYTES, Observed, Shape, predict, runtime_for
from edgebench.planning.plans import ExportPlan, PlannedBoard, plan_file

__all__ = [
    "LEAST_LOAD_BYTES",
    "BoardMemory",
    "ExportPlan",
    "Observed",
    "PlannedBoard",
    "Shape",
    "check_memory",
    "memory_of_facts",
    "memory_of_profile",
    "plan_file",
    "predict",
    "runtime_for",
    "sizes_text",
]
