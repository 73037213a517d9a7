"""XTREME-R: its tasks, examples, metrics and scores; independent of devices.

In: a folder of data, of predictions or of scores. Out: Examples, and scores with the score of each example.
"""

from __future__ import annotations

from edgebench.xtreme_r.caveats import answer_caveats, caveats_of, kinds_of
from edgebench.xtreme_r.decoding import (
    MAX_ANSWER_LEN,
    N_BEST,
    MetricScore,
    Row,
    decode,
    head_for,
    labels_of_checkpoint,
    rank,
    score_answers,
)
from edgebench.xtreme_r.encoding import TaskInputs, encode_candidates, encode_examples, fertility_of, lengths_of
from edgebench.xtreme_r.example_readers import mewslix_candidates
from edgebench.xtreme_r.example_types import Candidate, Examples
from edgebench.xtreme_r.examples import SPLITS, NoExamples, find_data, read_task
from edgebench.xtreme_r.importer_formats import Provenance
from edgebench.xtreme_r.importers import import_scores
from edgebench.xtreme_r.metrics import SEQEVAL_VERSIONS
from edgebench.xtreme_r.retrieval import Retrieval, pooled, read_parallel, retrieve
from edgebench.xtreme_r.score_files import read_scores, refuse_duplicates, write_scores
from edgebench.xtreme_r.scores import ScoreRow, TaskScore, scores_of, task_scores, task_values
from edgebench.xtreme_r.scoring import FolderScores, convention_of, score_predictions
from edgebench.xtreme_r.subsets import limited
from edgebench.xtreme_r.tasks import XTREME_R, Task, all_tasks, find_task, tasks_of

__all__ = [
    "MAX_ANSWER_LEN",
    "N_BEST",
    "SEQEVAL_VERSIONS",
    "SPLITS",
    "XTREME_R",
    "Candidate",
    "Examples",
    "FolderScores",
    "MetricScore",
    "NoExamples",
    "Provenance",
    "Retrieval",
    "Row",
    "ScoreRow",
    "Task",
    "TaskInputs",
    "TaskScore",
    "all_tasks",
    "answer_caveats",
    "caveats_of",
    "convention_of",
    "decode",
    "encode_candidates",
    "encode_examples",
    "fertility_of",
    "find_data",
    "find_task",
    "head_for",
    "import_scores",
    "kinds_of",
    "labels_of_checkpoint",
    "lengths_of",
    "limited",
    "mewslix_candidates",
    "pooled",
    "rank",
    "read_parallel",
    "read_scores",
    "read_task",
    "refuse_duplicates",
    "retrieve",
    "score_answers",
    "score_predictions",
    "scores_of",
    "task_scores",
    "task_values",
    "tasks_of",
    "write_scores",
]
