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

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

#: Versions of the ONNX operators and of the file that the oldest supported runtime (onnxruntime 1.19) reads.
OPSET = 18
IR_VERSION = 10
INPUTS = ("input_ids", "attention_mask")
#: Suffix of a weight that the graph takes transposed: [inputs, outputs], where torch stores [outputs, inputs].
TRANSPOSED = ".transposed"
#: Metadata key under which the exporter stores the modules of a node.
_SCOPES = "pkg.torch.onnx.name_scopes"


def trace(geometry: Geometry, head: Head, sentence: SentenceModules | None = None) -> ir.Model:
    """Return the skeleton: int64 inputs [batch, sequence], weights as further inputs named as in the checkpoint.

    Args:
        sentence: modules after the encoder, which make its one output of the states.
    """
    import onnxscript.optimizer
    import torch

    model: ir.Model = _export(geometry, head, sentence, torch).model
    graph = model.graph
    # Weights have no data for constant folding; it leaves them alone if they are inputs of the graph.
    for name, value in list(graph.initializers.items()):
        value.const_value = None
        value.name = name.removeprefix("model.")
        graph.inputs.append(value)
    graph.initializers.clear()
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


def _export(geometry: Geometry, head: Head, sentence: SentenceModules | None, torch: Any) -> Any:
    import transformers

    class Traced(torch.nn.Module):  # type: ignore[misc]
        """The model with an additive mask and fixed token types, so that no shape depends on data."""

        def __init__(self) -> None:
            super().__init__()
            architecture = getattr(transformers, head.architecture)
            self.model = architecture(geometry.config(), **dict(head.arguments))
            self.sentence = graph_module(sentence) if sentence is not None else None

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
            shape, mask = input_ids.shape, attention_mask
            if head.has_choices:
                input_ids, attention_mask = input_ids.flatten(0, 1), attention_mask.flatten(0, 1)
            hidden = (1.0 - attention_mask.to(torch.float32))[:, None, None, :]
            arguments = {
                "input_ids": input_ids,
                "attention_mask": hidden * torch.finfo(torch.float32).min,
                "token_type_ids": torch.zeros((1, 1), dtype=torch.int64, device=input_ids.device),
            }
            if head.has_choices:
                # The class's own forward() would flatten the 4-D mask like token ids.
                pooled = self.model.roberta(**arguments)[1]
                return (self.model.classifier(pooled).reshape(shape[:-1]),)
            outputs = self.model(**arguments)
            if self.sentence is not None:
                return (self.sentence(outputs["last_hidden_state"], mask),)
            return tuple(outputs[output.name] for output in head.outputs)

    sizes = (2, 3, 16) if head.has_choices else (2, 16)
    lengths = dict.fromkeys(range(len(sizes)), torch.export.Dim.DYNAMIC)
    with torch.device("meta"), torch.no_grad():
        # Two tensors, because the tracer would take the same tensor twice as one input.
        example = tuple(torch.ones(sizes, dtype=torch.int64) for _ in INPUTS)
        program = torch.export.export(Traced().eval(), example, dynamic_shapes=(lengths, lengths), strict=False)
    return torch.onnx.export(
        program,
        (),
        dynamo=True,
        optimize=False,
        verbose=False,
        opset_version=OPSET,
        input_names=list(INPUTS),
        output_names=[output.name for output in head.outputs],
    )


def _fold_transposes(graph: ir.Graph) -> None:
    """Remove the transpositions of linear layers' weights: the graph takes these weights transposed."""
    import onnx_ir as ir

    for node in list(graph):
        weight = node.inputs[0] if node.op_type == "Transpose" else None
        if weight is None or not weight.is_graph_input() or list(node.attributes["perm"].as_ints()) != [1, 0]:
            continue
        if len(weight.uses()) > 1:
            continue  # tied to the embeddings: stored once; runtimes transpose it on loading
        shape = ir.Shape(static_shape(weight)[::-1])
        transposed = ir.Value(name=f"{weight.name}{TRANSPOSED}", shape=shape, type=weight.type)
        node.outputs[0].replace_all_uses_with(transposed)
        graph.remove(node, safe=True)
        graph.inputs.append(transposed)


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
        product.name, result.name = f"{inner.name}.product", f"{node.name}.half"
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
