"""Outputs that are not finite (NaN, infinity) are refused wherever they enter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgebench import Workload, evaluate
from edgebench.device import find_device
from edgebench.errors import AgentError, CheckpointError, ParityError, RunFailed
from edgebench.evaluation.outputs import refuse_not_finite as refuse_on_the_host
from edgebench.measure import profile_all
from edgebench.request import Request
from edgebench.store import Store
from edgebench.workload import RunPlan
from tests.agent.agent_board import AgentBoard
from tests.agent.runs import failed_of
from tests.evaluation.conftest import texts, write_xnli
from tests.needed import need

need("onnx", "onnxruntime", "tokenizers")

import numpy as np  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

from tests.field.foreign_models import encoder, optimum_folder, save  # noqa: E402

NLI = {"0": "entailment", "1": "neutral", "2": "contradiction"}


@pytest.fixture
def board(tmp_path: Path) -> Any:
    board = AgentBoard(tmp_path)
    yield board
    board.end_runs()


def spoiled(by: str, *, longer_than: int = 0, classes: int = 0) -> Any:
    """Return an encoder (or classifier) that answers NaN or infinity to inputs of more tokens than that."""
    value = numpy_helper.from_array(np.array(float(by), np.float32), "bad")
    nodes = [
        helper.make_node("Shape", ["input_ids"], ["sizes"], start=1, end=2),
        helper.make_node("Constant", [], ["most"], value=numpy_helper.from_array(np.array([longer_than]), "v")),
        helper.make_node("Constant", [], ["bad"], value=value),
        helper.make_node("Greater", ["sizes", "most"], ["is_long"]),
        helper.make_node("Where", ["is_long", "bad", "states"], ["answers"]),
    ]
    if classes:
        axes = numpy_helper.from_array(np.array([1]), "v")
        weights = numpy_helper.from_array(np.ones((4, classes), np.float32), "v")
        nodes += [
            helper.make_node("Constant", [], ["axes"], value=axes),
            helper.make_node("Constant", [], ["weights"], value=weights),
            helper.make_node("ReduceSum", ["answers", "axes"], ["pooled"], keepdims=0),
            helper.make_node("MatMul", ["pooled", "weights"], ["logits"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["answers"], ["last_hidden_state"]))
    model = encoder(nodes=nodes, output="logits" if classes else "last_hidden_state")
    model.opset_import[0].version = 15  # Shape of a part of the axes
    return model


@pytest.mark.parametrize("mode", ["measure", "infer", "operators", "load"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_run_whose_outputs_are_not_finite_fails(board: AgentBoard, mode: str, value: str) -> None:
    failed = failed_of(board, board.model_spec(spoiled(value).SerializeToString(), mode=mode))
    assert failed.kind == "outputs_rejected"
    assert "last_hidden_state is not finite" in failed.message


def test_a_measurement_looks_at_the_outputs_of_each_shape(board: AgentBoard) -> None:
    model = spoiled("nan", longer_than=8).SerializeToString()
    failed = failed_of(board, board.model_spec(model, [4, 8, 12]))
    assert (failed.kind, failed.model) == ("outputs_rejected", 0)
    assert "an input of 12 tokens" in failed.message
    assert board.run(board.model_spec(model, [4, 8]))[-1].count >= 50


def test_a_measurement_looks_at_other_inputs_of_one_shape_afterwards(board: AgentBoard) -> None:
    """Only the last of several inputs of one length is answered with NaN: no shape of its own shows it."""
    table = np.ones((300, 4), np.float32)
    table[53] = np.nan
    model = encoder()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(table, "words"))
    # The inputs hold the ids 4, 5, 6, ...: the token 53 is in the last one.
    spec = board.model_spec(model.SerializeToString(), [10] * 5, seed=4)
    assert failed_of(board, spec).kind == "outputs_rejected"


def test_what_is_not_finite_in_padding_alone_does_not_count(board: AgentBoard) -> None:
    table = np.ones((300, 4), np.float32)
    table[1] = np.nan  # the padding's id
    model = encoder()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(table, "words"))
    messages = board.run(board.model_spec(model.SerializeToString(), [3, 9], batch=2, mode="infer"))
    assert messages[-1].count == 1


def test_of_models_that_alternate_the_one_at_fault_is_named(board: AgentBoard) -> None:
    good, bad = encoder().SerializeToString(), spoiled("nan").SerializeToString()
    other = board.model_spec(bad)
    beside = {name: getattr(other, name) for name in ("files", "inputs_sha256", "lengths", "pad_token_id")}
    failed = failed_of(board, board.model_spec(good, beside=[beside]))
    assert (failed.kind, failed.model) == ("outputs_rejected", 1)


def test_a_profile_of_such_a_file_ends_in_one_line(tmp_path: Path) -> None:
    request = Request(
        device=find_device("local"),
        models=(str(save(spoiled("nan"), tmp_path / "model.onnx")),),
        workloads=(Workload(seq_len=8),),
        plan=RunPlan(runs=1, min_count=3, min_duration_s=0, max_warmup_s=0),
        overhead=False,
        cold=False,
    )
    with pytest.raises(RunFailed, match="not finite"):
        profile_all(request, store=Store(tmp_path / "store"))


def test_an_evaluation_of_such_a_file_scores_nothing(tmp_path: Path) -> None:
    folder = optimum_folder(
        tmp_path / "model",
        "model.onnx",
        model=spoiled("nan", classes=3),
        architectures=["XLMRobertaForSequenceClassification"],
        id2label=NLI,
    )
    pairs = list(zip(texts(1, 4), texts(2, 4), strict=True))
    write_xnli(tmp_path / "download", "en", pairs, ["neutral"] * 4)
    store = Store(tmp_path / "store")
    with pytest.raises(RunFailed, match="logits is not finite"):
        evaluate(folder, tasks=["xnli"], data=tmp_path / "download", langs=["en"], store=store)


def test_outputs_that_an_agent_lets_through_are_refused_on_the_host() -> None:
    spec = AgentBoardSpec()
    batch = {"logits": np.array([[1, 2, np.nan]], np.float32)}
    with pytest.raises(AgentError, match="logits is not finite"):
        refuse_on_the_host([batch], spec, source="board: run one")  # type: ignore[arg-type]
    states = np.ones((1, 4, 2), np.float32)
    states[0, 3] = np.inf  # padding: the input has two tokens
    refuse_on_the_host([{"states": states}], spec, taken=(4,), source="board: run one")  # type: ignore[arg-type]


class AgentBoardSpec:
    """What the checks of host and agent read of a specification."""

    pad_token_id = 1

    def __init__(self, lengths: tuple[int, ...] = (2,), *, choices: int = 1) -> None:
        self.lengths, self.choices = lengths, choices
        self.batch = len(lengths) // choices


@pytest.mark.parametrize(
    ("shape", "bad", "lengths", "taken", "is_refused"),
    [
        ((2, 9), (0, 5), (3, 9), (), False),  # a value for each token, whatever its name
        ((2, 9), (0, 2), (3, 9), (), True),
        ((2, 16), (1, 9), (3, 9), (4, 16), False),  # padded to a bucket
        ((2, 9), (0, 5), (3, 9), (4, 16), True),  # nine labels, not nine tokens
        ((2, 8), (0, 5), (3, 9), (), True),
        ((2, 9, 4), (0, 5, 1), (3, 9), (), False),
        ((2, 7, 4), (0, 5, 1), (3, 9), (), True),  # seven regions of an image, not tokens
        ((1, 9), (0, 5), (3, 9), (), True),  # one row for two sequences
        ((2,), (0,), (3, 9), (), True),
        ((2, 12), (1, 8), (3, 8), (12,), False),  # of a fixed length
    ],
)
@pytest.mark.parametrize("name", ["start_logits", "logits", "scores"])
def test_host_and_agent_take_the_same_for_padding(
    tmp_path: Path,
    name: str,
    shape: tuple[int, ...],
    bad: tuple[int, ...],
    lengths: tuple[int, ...],
    taken: tuple[int, ...],
    is_refused: bool,
) -> None:
    from edgebench_agent.protocol.failure import Failure
    from edgebench_agent.run.finite import refuse_not_finite
    from edgebench_agent.run.inputs import Batches
    from edgebench_agent.runtimes.interface import Tensor

    output = np.ones(shape, np.float32)
    output[bad] = np.nan
    spec: Any = AgentBoardSpec(lengths)
    (tmp_path / "ids").write_bytes(np.ones(sum(lengths), np.int32).tobytes())
    tensors = [Tensor("input_ids", "int64", [None, None])]
    batches = Batches(spec, str(tmp_path / "ids"), tensors, taken)
    on_host = on_board = False
    try:
        refuse_not_finite([name], [output], batches, 0)
    except Failure:
        on_board = True
    try:
        refuse_on_the_host([{name: output}], spec, taken=taken, source="board: run one")
    except AgentError:
        on_host = True
    assert (on_board, on_host) == (is_refused, is_refused)


def test_one_bad_example_of_many_is_no_parity() -> None:
    """The mean cosine of 39 good examples and one of NaN is 0.975, above the bound of int8."""
    from edgebench.artifact import Format
    from edgebench.export import parity
    from edgebench.export.checkpoint import reference_checkpoint

    checkpoint = reference_checkpoint("reference:tiny", task=None)
    expected = [{"logits": np.ones(3, np.float32)} for _ in range(40)]
    actual = [dict(answer) for answer in expected]
    actual[17] = {"logits": np.array([1, np.nan, 1], np.float32)}
    with pytest.raises(ParityError, match="logits of onnx-int8 is not finite"):
        parity.check(actual, checkpoint, Format.ONNX_INT8, expected, runtime=lambda: "onnxruntime")
    with pytest.raises(CheckpointError, match="not finite"):
        from edgebench.export.finite import refuse_torch_outputs

        refuse_torch_outputs(actual, where="runs/model")
