"""Scores of the very file that is timed: examples of XTREME-R's tasks come in, a device answers, Evaluations come out.

`evaluator` tells the story; each language is stored as soon as it is answered.
"""

from __future__ import annotations

from edgebench.evaluation.embeddings import prefix_of
from edgebench.evaluation.evaluator import evaluate, evaluate_all
from edgebench.evaluation.examples import questions_and_counts
from edgebench.evaluation.format_comparison import compare_formats
from edgebench.evaluation.identity import checkpoint_protocol
from edgebench.evaluation.inference import BoardModel
from edgebench.evaluation.outputs import Outputs
from edgebench.evaluation.request import EvaluationRequest

__all__ = [
    "BoardModel",
    "EvaluationRequest",
    "Outputs",
    "checkpoint_protocol",
    "compare_formats",
    "evaluate",
    "evaluate_all",
    "prefix_of",
    "questions_and_counts",
]
