"""Files that answer quantised integers: their numbers have a scale and a zero point that nothing has applied."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgebench
from edgebench.errors import AgentError
from edgebench.evaluation.outputs import refuse_quantised
from tests.evaluation.conftest import write_tatoeba
from tests.field.foreign_models import encoder, optimum_folder
from tests.needed import need

need("onnx", "onnxruntime")
np = pytest.importorskip("numpy")


def quantised_encoder() -> object:
    """Return an encoder whose states are uint8 with the zero point 128, as fully integer models answer."""
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node("QuantizeLinear", ["states", "scale", "zero"], ["last_hidden_state"])
    model = encoder(nodes=[node])
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(0.02, np.float32), "scale"),
            numpy_helper.from_array(np.array(128, np.uint8), "zero"),
        ]
    )
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    return model


def test_vectors_are_never_made_of_quantised_states(tmp_path: Path) -> None:
    folder = optimum_folder(tmp_path / "quantised", "model.onnx", model=quantised_encoder())
    labels = write_tatoeba(tmp_path / "data", "sw", ["ab", "cd"], ["ef", "gh"], [0, 1])
    with pytest.raises(AgentError, match="the output last_hidden_state is uint8: quantised numbers"):
        edgebench.evaluate(folder, tasks=["tatoeba"], data=tmp_path / "data", labels=labels, store=tmp_path / "store")


def test_logits_that_are_added_are_never_quantised() -> None:
    """The sum of two int8 overflows, and their scales may differ."""
    floats = {"start_logits": np.zeros((1, 4), np.float16), "end_logits": np.zeros((1, 4), np.float32)}
    names = ("start_logits", "end_logits")
    refuse_quantised([floats], names, source="here")
    with pytest.raises(AgentError, match="the output end_logits is int8"):
        refuse_quantised([floats | {"end_logits": np.zeros((1, 4), np.int8)}], names, source="here")
