"""What the graph of an ONNX file says about its inputs: how many tokens, examples, ids and positions it takes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgebench_agent.protocol import plain_input_name

if TYPE_CHECKING:
    import onnx

#: Operators whose output holds the same ids as their first input.
_PASS_ON = ("Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Clip")
#: Operators between a table of weights and the look-up in it.
_UNPACK = ("DequantizeLinear", "Cast", "Identity")
#: ONNX Runtime's fused embeddings: the inputs that are the tables of words and of positions.
_FUSED = {"EmbedLayerNormalization": (2, 3), "QEmbedLayerNormalization": (2, 3)}
_LOOK_UPS = {"Gather": (0, 1), "GatherBlockQuantized": (0, 1)}  # the inputs that are the table and the ids
_FEWEST_POSITIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxGraph:
    """Inputs and outputs by their names in the file; None where the graph does not say.

    Args:
        outputs: the number of dimensions of each.
        tokens: the only length of inputs, where the file fixes it.
        vocab_size: rows of the table that `input_ids` look up: ids are smaller.
        positions: rows of the table of positions.
    """

    inputs: tuple[str, ...]
    outputs: Mapping[str, int | None]
    tokens: int | None
    vocab_size: int | None
    positions: int | None


def read_graph(model: onnx.ModelProto) -> OnnxGraph:
    """Return what a model's graph says; the weights themselves are not needed, only their shapes."""
    graph = model.graph
    tables = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    tables |= {tensor.values.name: tuple(tensor.dims) for tensor in graph.sparse_initializer}
    inputs = [value for value in graph.input if value.name not in tables]  # old files list their weights as inputs, too
    tracer = _Tracer(graph.node, tables)
    ids = next((value for value in inputs if plain_input_name(value.name) == "input_ids"), None)
    words = tracer.tables_of(ids.name) if ids is not None else []
    width = _row_length(words[0]) if words else None
    taken = [value for value in inputs if plain_input_name(value.name) == "position_ids"]
    positions = [table for value in taken for table in tracer.tables_of(value.name)]
    positions += tracer.fused(1) or tracer.other_tables(words, width)
    return OnnxGraph(
        inputs=tuple(value.name for value in inputs),
        outputs={value.name: _dimensions(value) for value in graph.output},
        tokens=_fixed_tokens(ids) if ids is not None else None,
        vocab_size=min((table[0] for table in words), default=None),
        positions=min((table[0] for table in positions), default=None),
    )


def _row_length(table: tuple[int, ...]) -> int:
    """Return the numbers in a row of a table; two share a byte where a row is blocks of them."""
    return table[-1] if len(table) == 2 else 2 * math.prod(table[1:])


def _dimensions(value: onnx.ValueInfoProto) -> int | None:
    tensor = value.type.tensor_type
    return len(tensor.shape.dim) if tensor.HasField("shape") else None


def _fixed_tokens(ids: onnx.ValueInfoProto) -> int | None:
    dims = ids.type.tensor_type.shape.dim
    return dims[-1].dim_value or None if dims else None


class _Tracer:
    """Follows values through a graph's nodes."""

    def __init__(self, nodes: Sequence[onnx.NodeProto], tables: Mapping[str, tuple[int, ...]]) -> None:
        self._tables = dict(tables)
        self._users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        self._nodes = nodes
        for node in nodes:
            for name in node.input:
                self._users[name].append(node)
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self._tables[node.output[0]] = tuple(attribute.t.dims)
            elif node.op_type in _UNPACK and node.input[0] in self._tables:
                self._tables[node.output[0]] = self._tables[node.input[0]]

    def tables_of(self, name: str) -> list[tuple[int, ...]]:
        """Return the shapes of the tables in which the ids of value `name` are looked up."""
        found = []
        waiting, seen = [name], {name}
        while waiting:
            value = waiting.pop()
            for node in self._users[value]:
                if node.op_type in _PASS_ON and node.input[0] == value and node.output[0] not in seen:
                    seen.add(node.output[0])
                    waiting.append(node.output[0])
                found += list(self._looked_up(node, value))
        return found

    def _looked_up(self, node: onnx.NodeProto, value: str) -> Iterator[tuple[int, ...]]:
        if node.op_type in _LOOK_UPS:
            table, ids = _LOOK_UPS[node.op_type]
            if len(node.input) > ids and node.input[ids] == value and _axis(node) == 0:
                yield from self._table(node.input[table])
        elif node.op_type in _FUSED and node.input[0] == value and len(node.input) > _FUSED[node.op_type][0]:
            yield from self._table(node.input[_FUSED[node.op_type][0]])

    def _table(self, name: str) -> Iterator[tuple[int, ...]]:
        shape = self._tables.get(name, ())
        if len(shape) > 1:
            yield shape

    def fused(self, which: int) -> list[tuple[int, ...]]:
        """Return the tables of words (0) or positions (1) of fused embeddings."""
        fused = [(node, _FUSED[node.op_type][which]) for node in self._nodes if node.op_type in _FUSED]
        return [table for node, at in fused if len(node.input) > at for table in self._table(node.input[at])]

    def other_tables(self, words: Sequence[tuple[int, ...]], width: int | None) -> list[tuple[int, ...]]:
        """Return the tables, as wide as the words', that are looked up by something else: those of positions.

        Tables of token types have few rows. Where several others are left, it is not known which is which.
        """
        looked_up = [node for node in self._nodes if node.op_type == "Gather" and _axis(node) == 0]
        tables = {
            node.input[0]: table
            for node in looked_up
            for table in self._table(node.input[0])
            if table not in words and table[-1] == width and table[0] >= _FEWEST_POSITIONS
        }
        return list(tables.values()) if len(tables) == 1 else []


def _axis(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name in ("axis", "gather_axis")), 0)
