"""Activations: the largest number inside a model, which decides whether float16 can hold it.

On this machine's processor, ONNX Runtime computes float16 graphs in float32, so the outputs of the file look right. On
a GPU, a number beyond 65,504 becomes infinite, and the answer NaN. What GELU doubles inside is not counted: runtimes
compute GELU as one operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

from edgebench.artifact import Judgement
from edgebench.export.floors import LARGEST_ACTIVATION
from edgebench.export.onnx_file import MODEL_NAME, write_fp32
from edgebench.export.skeleton import GELU_PRODUCT, INPUTS
from edgebench.export.weights import Weights

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    Ids: TypeAlias = NDArray[np.int64]

#: What only repeats a constant, such as that of the mask.
_CONSTANTS = ("Expand", "ConstantOfShape")


def judge_activations(skeleton: ir.Model, weights: Weights, inputs: Sequence[Ids], folder: Path) -> Judgement:
    """Return the largest activation of a float32 model over some inputs, held against float16's largest number.

    Args:
        skeleton: is changed: it then outputs the largest magnitude of each activation.
        inputs: token ids, one array per example.
        folder: for a temporary file as large as the model.
    """
    import numpy as np
    import onnxruntime

    names = _probe(skeleton)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # the default order computes all reductions last, and keeps every activation until then
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    largest = np.zeros(len(names))
    with TemporaryDirectory(dir=folder) as place:
        write_fp32(skeleton, weights, Path(place))
        session = onnxruntime.InferenceSession(Path(place) / MODEL_NAME, options, providers=["CPUExecutionProvider"])
        for ids in inputs:
            batch = dict(zip(INPUTS, (ids[None], np.ones_like(ids)[None]), strict=True))
            found = np.array([float(value) for value in session.run(None, batch)])
            largest = np.maximum(largest, np.where(np.isnan(found), np.inf, found))
        del session
    limit = float(np.finfo(np.float16).max)
    at = int(largest.argmax())
    value = float(min(largest[at], np.finfo(np.float32).max))  # JSON has no infinity
    return Judgement(output=names[at], measure=LARGEST_ACTIVATION, value=value, limit=limit, is_met=value <= limit)


def _probe(model: ir.Model) -> list[str]:
    """Replace a graph's outputs by the largest magnitude of each float32 activation; return the nodes' names."""
    import onnx_ir as ir

    graph = model.graph
    types = _float_values(model)
    depends = {str(value.name) for value in graph.inputs if value.name in INPUTS}
    names: list[str] = []
    outputs: list[ir.Value] = []
    for node in list(graph):
        if not any(value is not None and value.name in depends for value in node.inputs):
            continue
        depends.update(str(value.name) for value in node.outputs)
        if node.op_type in _CONSTANTS or str(node.name).endswith(GELU_PRODUCT):
            continue
        for value in node.outputs:
            if value.name not in types:
                continue
            size = ir.node("Abs", [value])
            most = ir.node("ReduceMax", size.outputs, attributes={"keepdims": 0})
            size.outputs[0].name, most.outputs[0].name = f"probe.size.{len(names)}", f"probe.{len(names)}"
            most.outputs[0].shape, most.outputs[0].type = ir.Shape([]), ir.TensorType(ir.DataType.FLOAT)
            graph.insert_after(node, [size, most])
            outputs.append(most.outputs[0])
            names.append(str(node.name))
    graph.outputs.clear()
    graph.outputs.extend(outputs)
    return names


def _float_values(model: ir.Model) -> set[str]:
    """Return the names of the values that are float32."""
    import onnx
    import onnx_ir as ir

    inferred = onnx.shape_inference.infer_shapes(ir.to_proto(model)).graph
    return {
        value.name
        for value in (*inferred.value_info, *inferred.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
