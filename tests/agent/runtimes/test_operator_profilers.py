"""Operators as the runtimes' own profilers tell of them: ONNX Runtime's trace, TFLite's events, bad answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgebench.errors import AgentError
from edgebench.measure.probes.operator_profiling import profile_of
from edgebench.operators import Operator, OperatorProfile
from edgebench_agent.protocol import Failed, Operators, Phase, ProtocolError, decode_message
from edgebench_agent.runtimes.onnxruntime import read_trace
from edgebench_agent.runtimes.tflite_events import DELEGATED, NODE, WITHIN, Event
from edgebench_agent.runtimes.tflite_profiler import Node, Totals, module_path, name_events
from tests.agent.agent_board import AgentBoard, of

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def node(name: str, type: str, provider: str, ts: int, dur: int) -> dict[str, Any]:
    """A node's event as ONNX Runtime's profiler writes it, microseconds."""
    about = {"op_name": type, "provider": provider, "node_index": "3", "input_type_shape": []}
    return {
        "cat": "Node",
        "pid": 1,
        "tid": 1,
        "ph": "X",
        "name": f"{name}_kernel_time",
        "ts": ts,
        "dur": dur,
        "args": about,
    }


def session(name: str, ts: int, dur: int) -> dict[str, Any]:
    return {"cat": "Session", "pid": 1, "tid": 1, "ph": "X", "name": name, "ts": ts, "dur": dur, "args": {}}


DENSE, NORM = (
    "/roberta/encoder/encoder.layer.0/output/dense/MatMul",
    "/roberta/encoder/encoder.layer.1/output/LayerNorm",
)


def trace(inferences: int) -> bytes:
    """A trace of a session on a GPU that leaves one kind of node to the CPU: 30 and 10 us, the first inference slow."""
    events = [session("model_loading_uri", 0, 500), session("session_initialization", 500, 900)]
    for at in range(inferences):
        began, slow = 10_000 * (at + 1), 10 if at == 0 else 1
        events += [
            node(DENSE, "MatMul", CUDA, began + 10, 10 * slow),
            node(NORM, "SkipLayerNormalization", CPU, began + 200, 30 * slow),
            session("SequentialExecutor::Execute", began + 5, 500),
            session("model_run", began, 600),
        ]
    events.append({"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "onnxruntime"}})
    return json.dumps(events).encode()


def test_a_trace_is_summed_without_the_inferences_that_do_not_count() -> None:
    found = {each.name: each for each in read_trace(trace(5), skip_runs=2)}
    assert set(found) == {DENSE, NORM}
    assert (found[DENSE].type, found[DENSE].provider) == ("MatMul", CUDA)
    assert (found[DENSE].calls, found[DENSE].total_ns) == (3, 30_000)
    assert (found[NORM].calls, found[NORM].total_ns) == (3, 90_000)


def test_what_fell_back_to_the_cpu_is_named_with_its_share() -> None:
    found = read_trace(trace(3), skip_runs=1)
    profile = OperatorProfile(
        inferences=2, wall_ns=100_000, operators=tuple(Operator(**each._asdict()) for each in found)
    )
    (fallen,) = profile.fallen_back()
    assert fallen.name == NORM
    assert profile.share(fallen.total_ns) == pytest.approx(0.75)
    assert profile.by_provider() == [(CPU, 60_000), (CUDA, 20_000)]
    assert profile.by_layer() == [("layer 1", 60_000), ("layer 0", 20_000)]


def test_nothing_fell_back_where_there_is_no_accelerator() -> None:
    rows = [("CPU", 1), ("XNNPACK", 2)]
    operators = tuple(Operator(name=name, type="ADD", provider=name, calls=1, total_ns=ns) for name, ns in rows)
    assert OperatorProfile(inferences=1, wall_ns=3, operators=operators).fallen_back() == ()


# --- TFLite ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tensor", "path"),
    [
        (
            "a.b._wrapped.<locals>.Wrapped/t.m.XLMRobertaForX_model/t.m.XLMRobertaEncoder_encoder/t.m.XLMRobertaLayer_3/"
            "t.m.XLMRobertaOutput_output/torch.nn.modules.linear.Linear_dense;1",
            "model.encoder.3.output.dense",
        ),
        ("a.Wrapped/t.M_model/t.S_self;;a.Wrapped/t.M_model/t.S_self/torch.nn.Linear_query;1", "model.self.query"),
        ("a.b._wrapped.<locals>.Wrapped;2", ""),
        ("tf_roberta/encoder/layer_._0/MatMul", "tf_roberta.encoder.layer_._0.MatMul"),
        ("StatefulPartitionedCall:0", "StatefulPartitionedCall:0"),
        ("", ""),
    ],
)
def test_a_tensors_name_tells_its_module(tensor: str, path: str) -> None:
    assert module_path(tensor) == path


NODES = [
    Node("EMBEDDING_LOOKUP", "embeddings.word"),
    Node("FULLY_CONNECTED", "encoder.0.query"),
    Node("ADD", "encoder.0"),
    Node("FULLY_CONNECTED", "encoder.0.output"),
    Node("ADD", "encoder"),
    Node("FULLY_CONNECTED", "encoder.1.query"),
]


def names(events: list[Event], nodes: list[Node]) -> list[str]:
    return [name for name, _, _ in name_events(events, nodes)]


def test_xnnpacks_operators_are_named_by_the_dense_layers_around_them() -> None:
    dense, add = Event("Fully Connected (NC, F32) GEMM", WITHIN, 0, 5), Event("Add (ND)", WITHIN, 1, 1)
    events = [Event("EMBEDDING_LOOKUP", NODE, 0, 3), dense, add, dense, add, dense]
    assert names(events, NODES) == [
        "embeddings.word/EMBEDDING_LOOKUP",
        "encoder.0.query/Fully Connected (NC, F32) GEMM",
        "encoder.0/Add (ND)",
        "encoder.0.output/Fully Connected (NC, F32) GEMM",
        "encoder/Add (ND)",
        "encoder.1.query/Fully Connected (NC, F32) GEMM",
    ]
    providers = [provider for _, _, provider in name_events(events, NODES)]
    assert providers == ["CPU", *["XNNPACK"] * 5]


def test_what_does_not_fit_the_graph_gets_no_module() -> None:
    dense = Event("Fully Connected (NC, F32) GEMM", WITHIN, 0, 5)
    assert names([dense, dense], NODES) == [dense.tag, dense.tag]  # the graph has three
    assert names([Event("MUL", NODE, 2, 1), Event("ADD", NODE, 99, 1)], NODES) == ["MUL", "ADD"]
    assert name_events([Event("TfLiteGpuDelegateV2", DELEGATED, 9, 1)], []) == [
        ("TfLiteGpuDelegateV2", "TfLiteGpuDelegateV2", "TfLiteGpuDelegateV2")
    ]


def test_events_of_inferences_add_up_and_others_are_left_out() -> None:
    totals = Totals(NODES)
    for elapsed_ns in (3, 4):
        totals.add([Event("Invoke", 1, 0, 100), Event("EMBEDDING_LOOKUP", NODE, 0, elapsed_ns)])
    (only,) = totals.operators()
    assert (only.name, only.calls, only.total_ns) == ("embeddings.word/EMBEDDING_LOOKUP", 2, 7)


# --- runs, and what a board may answer -----------------------------------------------------------------------------


def test_a_run_tells_what_each_operator_takes(board: AgentBoard, tiny_model: bytes) -> None:
    messages = board.run(board.model_spec(tiny_model, (8, 8), mode="operators"))
    (told,) = of(Operators, messages)
    assert [phase.name for phase in of(Phase, messages)] == ["loading", "warmup", "measuring", "finishing"]
    assert told.inferences >= 10
    assert set(told.calls) == {told.inferences}
    assert "Gather" in told.types
    assert 0 < sum(told.total_ns) <= told.wall_ns
    assert not of(Failed, messages)


def test_the_profilers_own_file_is_not_left_behind(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.model_spec(tiny_model, mode="operators")
    board.run(spec)
    assert not list(board.home.rglob("operators*.json"))


def test_a_runtime_without_a_profiler_says_which_have_one(board: AgentBoard) -> None:
    (failed,) = of(Failed, board.run(board.spec(runtime="null", files=[], mode="operators")))
    assert failed.kind == "bad_request"
    assert "null has no operator profiler" in failed.message
    assert "onnxruntime" in failed.message


def operators(**changes: Any) -> Operators:
    values: dict[str, Any] = {
        "inferences": 2,
        "wall_ns": 100,
        "names": ["a", "b"],
        "types": ["MatMul", "Add"],
        "providers": [CPU, CPU],
        "calls": [2, 2],
        "total_ns": [10, 70],
    }
    return Operators(**{**values, **changes})


def test_parts_are_put_together_the_slowest_first() -> None:
    profile = profile_of([operators(), operators(names=["c", "d"], total_ns=[99, 1])], source="pi4: run r")
    assert [each.name for each in profile.operators] == ["c", "b", "a", "d"]
    assert profile.ms(profile.total_ns) == pytest.approx(180 / 2 / 1e6)


@pytest.mark.parametrize(
    "parts",
    [[], [operators(names=[], types=[], providers=[], calls=[], total_ns=[])]],
    ids=["none", "empty"],
)
def test_operators_that_make_no_sense_are_refused(parts: list[Operators]) -> None:
    with pytest.raises(AgentError, match=r"pi4: run r: reported"):
        profile_of(parts, source="pi4: run r")


def test_control_characters_of_a_board_are_not_printed() -> None:
    profile = profile_of([operators(names=["\x1b[31mred", "b"])], source="pi4: run r")
    assert all("\x1b" not in each.name for each in profile.operators)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("wall_ns", -1, "wall_ns"),
        ("inferences", 0, "inferences"),
        ("names", ["x" * 257, "y"], "names"),
        ("calls", [1], "columns of different lengths"),
    ],
)
def test_a_message_out_of_bounds_is_refused(name: str, value: Any, problem: str) -> None:
    told = {"type": "operators", "seq": 1, "t_ns": 1, **vars(operators(**{name: value}))}
    with pytest.raises(ProtocolError, match=problem):
        decode_message(json.dumps(told).encode())
