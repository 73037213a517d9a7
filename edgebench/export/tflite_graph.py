"""What a .tflite file says about itself: names and shapes of inputs and outputs, vocabulary, scales of int8 weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgebench.artifact import WeightScales
from edgebench.errors import CheckpointError
from edgebench_agent.protocol import plain_input_name

#: Operators whose output holds the same ids as their first input.
_PASS_ON = ("CAST", "RESHAPE", "EXPAND_DIMS", "SQUEEZE", "MAXIMUM", "MINIMUM", "QUANTIZE")
#: Operators that look ids up, with their inputs that are the table and the ids.
_LOOK_UPS = {"EMBEDDING_LOOKUP": (1, 0), "GATHER": (0, 1)}
#: Operators that take int8 weights while their other tensors are floats, with the input that is the weights.
_DYNAMIC = {"EMBEDDING_LOOKUP": 1, "FULLY_CONNECTED": 1}


class TFLiteGraph:
    """A .tflite file, read by the schema of ai-edge-litert.

    Raises:
        ImportError: ai-edge-litert is not installed.
        CheckpointError: it is not a TFLite model.
    """

    def __init__(self, path: Path) -> None:
        import numpy as np
        from ai_edge_litert import schema_py_generated as schema

        self._names: dict[int, str] = {
            value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)
        }
        try:
            self._model = schema.Model.GetRootAs(np.memmap(path, np.uint8, mode="r"))
            self._entries = list(self._inputs())
            self.inputs = [(name, _shape(graph.Tensors(at))) for name, graph, at in self._entries]
            self.outputs = {name: len(_shape(graph.Tensors(at))) for name, graph, at in self._outputs()}
            self.vocab_size = min(self._vocabularies(), default=None)
            self.tensors = list(self._constants())
            scales = set(self._weight_scales(schema.TensorType))
            self.weight_scales = next((each for each in WeightScales if each in scales), None)
        except Exception as error:  # a corrupt table can raise anything
            raise CheckpointError(f"{path} is not a TFLite model, or is truncated") from error

    def _inputs(self) -> Iterator[tuple[str, Any, int]]:
        """Yield the name, graph and number of the tensor of each input of each signature, or of the first graph."""
        model = self._model
        for position in range(model.SignatureDefsLength()):
            signature = model.SignatureDefs(position)
            graph = model.Subgraphs(signature.SubgraphIndex())
            for at in range(signature.InputsLength()):
                entry = signature.Inputs(at)
                yield entry.Name().decode(), graph, entry.TensorIndex()
        if not model.SignatureDefsLength():
            graph = model.Subgraphs(0)
            for at in range(graph.InputsLength()):
                yield graph.Tensors(graph.Inputs(at)).Name().decode(), graph, graph.Inputs(at)

    def _outputs(self) -> Iterator[tuple[str, Any, int]]:
        """Yield the same of each output, with the names that the agent gives them."""
        model = self._model
        for position in range(model.SignatureDefsLength()):
            signature = model.SignatureDefs(position)
            for at in range(signature.OutputsLength()):
                entry = signature.Outputs(at)
                yield entry.Name().decode(), model.Subgraphs(signature.SubgraphIndex()), entry.TensorIndex()
        if not model.SignatureDefsLength():
            graph = model.Subgraphs(0)
            for at in range(graph.OutputsLength()):
                name = graph.Tensors(graph.Outputs(at)).Name().decode()
                yield name.split(":")[0].removeprefix("serving_default_"), graph, graph.Outputs(at)

    def _vocabularies(self) -> Iterator[int]:
        """Yield the rows of each table in which `input_ids` are looked up."""
        for name, graph, at in self._entries:
            if plain_input_name(name) != "input_ids":
                continue
            held = {at}
            for number in range(graph.OperatorsLength()):  # in the order of their execution
                operator = graph.Operators(number)
                inputs = [operator.Inputs(i) for i in range(operator.InputsLength())]
                kind = self._kind(operator)
                if kind in _PASS_ON and inputs and inputs[0] in held:
                    held.add(operator.Outputs(0))
                elif kind in _LOOK_UPS and inputs[_LOOK_UPS[kind][1]] in held:
                    shape = _shape(graph.Tensors(inputs[_LOOK_UPS[kind][0]]))
                    if len(shape) > 1 and shape[0] > 0:
                        yield shape[0]

    def _constants(self) -> Iterator[tuple[list[int], int]]:
        """Yield the shape and the bytes of each constant of the first graph; further graphs share them."""
        graph = self._model.Subgraphs(0)
        seen = set()
        for number in range(graph.TensorsLength()):
            tensor = graph.Tensors(number)
            buffer = self._model.Buffers(tensor.Buffer())
            size = max(buffer.DataLength(), buffer.Size())
            if size > 0 and tensor.Buffer() not in seen:
                seen.add(tensor.Buffer())
                yield _shape(tensor), size

    def _weight_scales(self, types: Any) -> Iterator[WeightScales]:
        """Yield what has a scale of its own in each int8 weight of an operator whose result is floats."""
        for position in range(self._model.SubgraphsLength()):
            graph = self._model.Subgraphs(position)
            for number in range(graph.OperatorsLength()):
                operator = graph.Operators(number)
                at = _DYNAMIC.get(self._kind(operator))
                if at is None or at >= operator.InputsLength():
                    continue
                weights, result = graph.Tensors(operator.Inputs(at)), graph.Tensors(operator.Outputs(0))
                quantisation = weights.Quantization()
                if weights.Type() == types.INT8 and result.Type() == types.FLOAT32 and quantisation is not None:
                    yield WeightScales.CHANNEL if quantisation.ScaleLength() > 1 else WeightScales.TENSOR

    def _kind(self, operator: Any) -> str:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        return self._names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "")


def _shape(tensor: Any) -> list[int]:
    """Return a tensor's shape; -1 is a dynamic dimension."""
    dynamic = [tensor.ShapeSignature(i) for i in range(tensor.ShapeSignatureLength())]
    return dynamic or [tensor.Shape(i) for i in range(tensor.ShapeLength())]
