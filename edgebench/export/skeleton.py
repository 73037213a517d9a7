"""Skeleton: the ONNX graph of a geometry and head, without weights.

It is traced on torch's meta device, where tensors have shapes but no data, so XLM-R large needs half a gigabyte. In the
skeleton, the weights are further inputs of the graph, so variants of the same geometry share it.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from edgebench.export.geometry import Geometry
from edgebench.export.heads import Head
from edgebench.export.sentence_graph import graph_module
from edgebench.export.sentence_modules import SentenceModules
from edgebench.export.traceable import traceable

if TYPE_CHECKING:
    import onnx_ir as ir

#: Versions of the ONNX operators and of the file that the oldest supported runtime (onnxruntime 1.19) reads.
OPSET = 18
IR_VERSION = 10
INPUTS = ("input_ids", "attention_mask")
#: Suffix of a weight that the graph takes transposed: [inputs, outputs], where torch stores [outputs, inputs].
TRANSPOSED = ".transposed"
#: Suffix of the node inside GELU whose value is twice that of GELU.
GELU_PRODUCT = ".product"
#: Metadata key under which the exporter stores the modules of a node.
_SCOPES = "pkg.torch.onnx.name_scopes"


def trace(geometry: Geometry, head: Head, sentence: SentenceModules | None = None) -> ir.Model:
    """Return the skeleton: int64 inputs [batch, sequence], weights as further inputs named as in the checkpoint.

    Args:
        sentence: modules after the encoder, which make its one output of the states.
    """
    import onnxscript.optimizer
    import torch

    program, weights = _export(geometry, head, sentence, torch)
    model: ir.Model = program.model
    graph = model.graph
    # Weights have no data for constant folding; it leaves them alone if they are inputs of the graph.
    for name, value in list(graph.initializers.items()):
        if name not in weights:
            continue  # a constant of the code
        del graph.initializers[name]
        value.const_value = None
        value.name = name.removeprefix("model.")
        graph.inputs.append(value)
    onnxscript.optimizer.optimize(model)
    _fold_transposes(graph)
    _reorder_gelu(graph)
    for value in [value for value in graph.inputs if not value.uses()]:
        graph.inputs.remove(value)
    _name_nodes(graph)
    _name_dimensions(graph)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "edgebench", ""
    _strip_metadata(model)
    return model


def static_shape(value: ir.Value) -> tuple[int, ...]:
    """Return the shape of a weight, which has no dynamic dimension."""
    dims = tuple(value.shape or ())
    return tuple(dim for dim in dims if isinstance(dim, int))


def _export(geometry: Geometry, head: Head, sentence: SentenceModules | None, torch: Any) -> tuple[Any, set[str]]:
    """Return torch's ONNX program, and the names of those of its initializers that are weights."""
    import transformers

    sizes = (2, 3, 16) if head.has_choices else (2, 16)
    lengths = dict.fromkeys(range(len(sizes)), torch.export.Dim.DYNAMIC)
    with torch.device("meta"), torch.no_grad():
        # Two tensors, because the tracer would take the same tensor twice as one input.
        example = tuple(torch.ones(sizes, dtype=torch.int64) for _ in INPUTS)
        model = getattr(transformers, head.architecture)(geometry.config(), **dict(head.arguments))
        modules = graph_module(sentence) if sentence is not None else None
    masked = torch.finfo(torch.float32).min
    module = traceable(model, geometry, head, masked=masked, fixed_length=False, sentence=modules)
    # Not on the meta device: constants that the code makes keep their values.
    with torch.no_grad():
        program = torch.export.export(module, example, dynamic_shapes=(lengths, lengths), strict=False)
    exported = torch.onnx.export(
        program,
        (),
        dynamo=True,
        optimize=False,
        verbose=False,
        opset_version=OPSET,
        input_names=list(INPUTS),
        output_names=[output.name for output in head.outputs],
    )
    return exported, set(module.state_dict())


def _fold_transposes(graph: ir.Graph) -> None:
    """Remove the transpositions of linear layers' weights: the graph takes these weights transposed."""
    import onnx_ir as ir

    for weight in [value for value in graph.inputs if value.name not in INPUTS]:
        nodes = [node for node, _ in weight.uses()]
        if not nodes or not all(_swaps_two_axes(node) for node in nodes):
            continue  # also looked up, as an embedding: stored once; runtimes transpose it on loading
        shape = ir.Shape(static_shape(weight)[::-1])
        transposed = ir.Value(name=f"{weight.name}{TRANSPOSED}", shape=shape, type=weight.type)
        for node in nodes:
            node.outputs[0].replace_all_uses_with(transposed)
            graph.remove(node, safe=True)
        graph.inputs.append(transposed)


def _swaps_two_axes(node: ir.Node) -> bool:
    return node.op_type == "Transpose" and list(node.attributes["perm"].as_ints()) == [1, 0]


def _reorder_gelu(graph: ir.Graph) -> None:
    """Write x * (0.5 * y) as (x * y) * 0.5: bit-identical, and ONNX Runtime fuses this order to one operator."""
    import onnx_ir as ir

    for node in list(graph):
        inner = node.inputs[1].producer() if node.op_type == "Mul" and node.inputs[1] is not None else None
        if inner is None or inner.op_type != "Mul" or inner.inputs[0] is None:
            continue
        half = inner.inputs[0].const_value
        if half is None or half.size != 1 or half.numpy().item() != 0.5:
            continue
        product = ir.node("Mul", [node.inputs[0], inner.inputs[1]])
        result = ir.node("Mul", [product.outputs[0], inner.inputs[0]])
        for made in (product, result):
            made.outputs[0].shape, made.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
        product.name, result.name = f"{inner.name}{GELU_PRODUCT}", f"{node.name}.half"
        for made in (product, result):
            made.metadata_props.update(node.metadata_props)
        product.outputs[0].name, result.outputs[0].name = f"{node.outputs[0].name}.erf", f"{node.outputs[0].name}.half"
        graph.insert_before(node, [product, result])
        node.outputs[0].replace_all_uses_with(result.outputs[0])
        graph.remove([node, inner], safe=True)


def _name_nodes(graph: ir.Graph) -> None:
    """Prefix each node's name with its module: `roberta.encoder.layer.3.output.dense/node_linear_23`."""
    for node in graph:
        scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "['', '']"))
        module = scopes[-2].removeprefix("model").removeprefix(".") if len(scopes) > 1 else ""
        node.name = f"{module}/{node.name}" if module else node.name


def _name_dimensions(graph: ir.Graph) -> None:
    """Rename the dynamic dimensions from torch's symbols to batch, choices and sequence."""
    import onnx_ir as ir

    symbols = [str(dim) for dim in graph.inputs[0].shape or ()]
    dims = ("batch", "choices", "sequence") if len(symbols) > 2 else ("batch", "sequence")
    names = dict(zip(symbols, dims, strict=True))
    for value in (*graph.inputs, *(output for node in graph for output in node.outputs)):
        if value.shape is not None:
            value.shape = ir.Shape([dim if isinstance(dim, int) else names.get(str(dim)) for dim in value.shape])


def _strip_metadata(model: ir.Model) -> None:
    """Remove the exporter's metadata from every node: stack traces, which contain local paths."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
