"""Outputs that a model can't have answered are refused: too many bytes, other names, types and shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench.artifact import Artifact, ArtifactFile, Format, Parity
from edgebench.errors import AgentError
from edgebench.evaluation.outputs import check_outputs, most_output_bytes, read_outputs, require_names
from edgebench_agent import protocol
from tests.evaluation.test_outputs import records
from tests.measure.test_plausible import SPEC

PARITY = Parity(max_abs_diff=0.0, cosine=1.0, mean_cosine=1.0, argmax_agreement=1.0, examples=1)
ARTIFACT = Artifact(
    format=Format.ONNX_FP32,
    files=(ArtifactFile(name="model.onnx", sha256="0" * 64, bytes=1),),
    path=Path("/models"),
    parity=PARITY,
    head="XLMRobertaForSequenceClassification",
)
TAGS = replace(ARTIFACT, head="XLMRobertaForTokenClassification")
ANSWERS = replace(ARTIFACT, head="XLMRobertaForQuestionAnswering")
CHOICES = replace(ARTIFACT, head="XLMRobertaForMultipleChoice")
STATES = replace(ARTIFACT, head="XLMRobertaModel")
FOREIGN = replace(ARTIFACT, parity=None, head=None)
INFER = replace(SPEC, mode="infer", batch=2, lengths=[4, 6, 5])


def check(artifact: Artifact, *batches: Any, name: str = "logits", **changes: Any) -> None:
    check_outputs([{name: batch} for batch in batches], artifact, replace(INFER, **changes), source="board: run r")


def numbers(*shape: int, dtype: Any = np.float32) -> Any:
    return np.ones(shape, dtype)


def test_what_a_head_answers_is_taken() -> None:
    check(ARTIFACT, numbers(2, 3), numbers(1, 3))
    check(TAGS, numbers(2, 6, 7), numbers(1, 5, 7))
    check(TAGS, numbers(2, 16, 7), numbers(1, 16, 7))  # padded to a length of the file
    check(ANSWERS, numbers(2, 6), numbers(1, 5), name="start_logits")
    check(CHOICES, numbers(1, 3), lengths=[4, 6, 5], choices=3, batch=1)
    check(STATES, numbers(2, 8), numbers(1, 8), reduce="mean")
    check(STATES, numbers(2, 6, 8), numbers(1, 5, 8))
    check(FOREIGN, numbers(2, 6, dtype=np.int64), numbers(1, 5, dtype=np.int64))
    padding = numbers(2, 6, 7)
    padding[0, 4:] = np.nan  # of the shorter input
    check(TAGS, padding, numbers(1, 5, 7))


@pytest.mark.parametrize(
    ("artifact", "batches", "changes"),
    [
        (ARTIFACT, [numbers(2, 3), numbers(1, 4)], {}),
        (ARTIFACT, [numbers(2, 3), numbers(1, 3, dtype=np.float64)], {}),
        (ARTIFACT, [numbers(2, 3, dtype=np.int64), numbers(1, 3, dtype=np.int64)], {}),
        (ARTIFACT, [numbers(2, 6, 3), numbers(1, 5, 3)], {}),
        (ARTIFACT, [numbers(2, 0), numbers(1, 0)], {}),
        (ARTIFACT, [numbers(2, 3) * np.nan, numbers(1, 3)], {}),
        (ARTIFACT, [numbers(2, 3) * np.inf, numbers(1, 3)], {}),
        (TAGS, [numbers(2, 5, 7), numbers(1, 5, 7)], {}),
        (TAGS, [numbers(2, 7), numbers(1, 7)], {}),
        (CHOICES, [numbers(1, 2)], {"choices": 3, "batch": 1}),
        (STATES, [numbers(2, 6, 8), numbers(1, 5, 8)], {"reduce": "mean"}),
        (FOREIGN, [numbers(2, 6), numbers(1, 5, 2)], {}),
    ],
)
def test_what_it_can_not_have_answered_is_refused(
    artifact: Artifact, batches: list[Any], changes: dict[str, Any]
) -> None:
    with pytest.raises(AgentError, match="board: run r: the output logits"):
        check(artifact, *batches, **changes)


@pytest.mark.parametrize("dtype", [np.bool_, np.complex64])
def test_complex_and_bool_are_no_answers(dtype: Any) -> None:
    with pytest.raises(AgentError, match="no kind of number"):
        read_outputs(records(numbers(2, 3, dtype=dtype)), ["logits"], [2], source="board")


@pytest.mark.parametrize("artifact", [ARTIFACT, TAGS, ANSWERS, CHOICES, STATES])
def test_outputs_are_bounded_by_the_inputs(artifact: Artifact) -> None:
    spec: protocol.RunSpec = replace(INFER, lengths=[64] * 30, batch=1, reduce="mean" if artifact is STATES else "")
    most = most_output_bytes(artifact, spec)
    assert 30 * 8 < most <= 50_000_000
    assert most_output_bytes(artifact, replace(spec, lengths=[64] * 60)) == 2 * most


def test_outputs_of_a_padded_file_may_be_longer() -> None:
    spec = replace(INFER, lengths=[10], batch=1)
    assert most_output_bytes(TAGS, spec, [128]) > most_output_bytes(TAGS, spec)
    assert most_output_bytes(TAGS, spec, [1 << 19]) == most_output_bytes(TAGS, spec, [8192])


def test_an_output_of_another_name_is_one_error() -> None:
    require_names(["logits", "states"], ["logits"], source="board: run r")
    with pytest.raises(AgentError, match=r"board: run r: answers no logits; its outputs: loglts"):
        require_names(["loglts"], ["logits"], source="board: run r")
