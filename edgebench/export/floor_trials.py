"""Floor trials: small stand-ins for a quantised file, in which any layers have a higher precision.

A stand-in has the rows of the table of words that its inputs need, and no others: its answers are those of the file,
but it is written and loaded in a fraction of the time.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.artifact import Format
from edgebench.export import onnx_file
from edgebench.export.cache import TEMPORARY
from edgebench.export.checkpoint import Checkpoint
from edgebench.export.floor_measure import Examples
from edgebench.export.floor_search import Choice, Trial
from edgebench.export.int4 import block_size
from edgebench.export.int8 import is_quantised
from edgebench.export.onnx_file import FLOAT32, INT8, tables_of_words
from edgebench.export.skeleton import INPUTS, TRANSPOSED, static_shape
from edgebench.export.skeleton_file import load_skeleton
from edgebench.export.weights import Weights

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

#: How each format that can keep layers is written.
_WRITERS = {Format.ONNX_INT8: onnx_file.write_int8, Format.ONNX_INT4: onnx_file.write_int4}
#: Of weights that stay in memory between two stand-ins; others are read and checked again.
_MOST_KEPT_BYTES = 512 << 20
_FLOAT_BYTES, _SCALE_BYTES, _HALF_BYTES = 4, 4, 2


def precisions(choices: frozenset[Choice]) -> dict[str, str]:
    """Return the precision of each weight that these choices keep, by its name in the graph."""
    return {name: choice.precision for choice in choices for name in choice.weights}


def layers_of(graph: ir.Graph, weights: Weights, format: Format) -> list[Choice]:
    """Return the layers that a format quantises, in all higher precisions there are.

    Products of the same input are one layer: attention's query, key and value.
    """
    alike: dict[frozenset[str], list[ir.Value]] = defaultdict(list)
    for value in graph.inputs:
        if value.name in INPUTS or not is_quantised(value):
            continue
        nodes = [node for node, index in value.uses() if index == 1]
        inputs = frozenset(str(node.inputs[0].name) for node in nodes if node.inputs[0] is not None)
        alike[inputs or frozenset([str(value.name)])].append(value)
    choices = []
    words = [str(table.name) for table in tables_of_words(graph, weights)] if format is Format.ONNX_INT4 else []
    for values in alike.values():
        layer, names = _layer_name(values), tuple(str(value.name) for value in values)
        as_int8, as_floats = (sum(size(static_shape(value), value) for value in values) for size in (_int8, _floats))
        stored = as_int8
        if names[0] in words and (packed := _packed(values[0])) is not None:
            stored = packed
            choices.append(Choice(layer=layer, weights=names, precision=INT8, bytes=as_int8 - stored))
        choices.append(Choice(layer=layer, weights=names, precision=FLOAT32, bytes=as_floats - stored))
    return choices


def checkpoint_name(name: str) -> str:
    """Return the name in the checkpoint of a weight of the graph."""
    return name.removesuffix(TRANSPOSED)


def _layer_name(values: Sequence[ir.Value]) -> str:
    """Return what the modules of some weights have in common, and then what differs: encoder.layer.0.query+key."""
    modules = [checkpoint_name(str(value.name)).removesuffix(".weight").split(".") for value in values]
    if len(modules) == 1:
        return ".".join(modules[0])
    common = [parts[0] for parts in takewhile(lambda parts: len({*parts}) == 1, zip(*modules, strict=False))]
    return ".".join([*common, "+".join(".".join(module[len(common) :]) for module in modules)])


def _floats(shape: tuple[int, ...], _value: ir.Value) -> int:
    return _FLOAT_BYTES * shape[0] * shape[1]


def _int8(shape: tuple[int, ...], value: ir.Value) -> int:
    """Return the bytes of an int8 weight: of a table one scale a row, of a matrix one a column."""
    is_table = any(node.op_type == "Gather" for node, _ in value.uses())
    return shape[0] * shape[1] + _SCALE_BYTES * (shape[0] if is_table else shape[1])


def _packed(table: ir.Value) -> int | None:
    rows, columns = static_shape(table)
    block = block_size(columns, is_tied=any(node.op_type == "Transpose" for node, _ in table.uses()))
    return rows * columns // 2 + _HALF_BYTES * rows * (columns // block) if block is not None else None


@dataclass(frozen=True, slots=True)
class _SomeRows(Weights):
    """Weights of which some tables are other values: the rows that are needed. What was read once may be kept.

    Args:
        kept: by name.
    """

    tables: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    kept: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def read(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the table, or what the checkpoint has."""
        if name in self.tables:
            return self.tables[name]
        if name in self.kept:
            return self.kept[name]
        values = Weights.read(self, name, shape)
        if sum(each.nbytes for each in self.kept.values()) + values.nbytes <= _MOST_KEPT_BYTES:
            self.kept[name] = values
        return values


class Stand:
    """Writes stand-ins and measures them."""

    def __init__(
        self,
        skeleton: Path,
        weights: Weights,
        format: Format,
        ranges: Mapping[str, NDArray[np.float32]],
        examples: Examples,
        *,
        folder: Path,
    ) -> None:
        """Prepare stand-ins.

        Args:
            folder: existing folder for files that are removed again.
            skeleton: file of the skeleton.
            ranges: as for `onnx_file.write_int8`.
            examples: the inputs and what torch answers.
        """
        self._skeleton, self._weights, self._format, self._ranges = skeleton, weights, format, ranges
        self._examples, self._folder = examples, folder
        self._tables: dict[str, NDArray[np.float32]] = {}
        self._read: dict[str, NDArray[np.float32]] = {}
        self.choices = layers_of(self._load().graph, weights, format)

    def measure(self, kept: frozenset[Choice]) -> Trial:
        """Return what the file with these choices gives for the search's inputs."""
        with self._stand_in(kept) as path:
            return self._examples.measure(path)

    def measure_held_out(self, kept: frozenset[Choice]) -> float:
        """Return the floor's measure of the file with these choices for the inputs held out."""
        with self._stand_in(kept) as path:
            return self._examples.measure_held_out(path)

    @contextmanager
    def _stand_in(self, kept: frozenset[Choice]) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=self._folder) as folder:
            skeleton = self._load()
            some = self._cut_tables(skeleton)
            _WRITERS[self._format](skeleton, some, Path(folder), self._ranges, precisions(kept))
            yield Path(folder) / onnx_file.MODEL_NAME

    def write(self, folder: Path, kept: frozenset[Choice]) -> None:
        """Write the file itself with these choices."""
        _WRITERS[self._format](self._load(), self._weights, folder, self._ranges, precisions(kept))

    def _load(self) -> Any:
        checkpoint: Checkpoint = self._weights.checkpoint
        return load_skeleton(
            self._skeleton, checkpoint.geometry, checkpoint.head, checkpoint.sentence, on_progress=lambda _: None
        )

    def _cut_tables(self, skeleton: ir.Model) -> Weights:
        """Give tables that are looked up by ids, and used for nothing else, only the rows that are needed."""
        import numpy as np
        import onnx_ir as ir

        graph, ids = skeleton.graph, self._examples.ids()
        for table in tables_of_words(graph, self._weights):
            if not all(node.op_type == "Gather" and _are_ids(node.inputs[1]) for node, _ in table.uses()):
                continue
            name, shape = checkpoint_name(str(table.name)), static_shape(table)
            if name not in self._tables:
                self._weights.require([name])
                self._tables[name] = self._weights.read(name, shape)[ids].copy()
            place = np.zeros(shape[0], np.int64)
            place[ids] = np.arange(len(ids))
            places = ir.Value(
                name=f"{name}.places",
                shape=ir.Shape(place.shape),
                type=ir.TensorType(ir.DataType.INT64),
                const_value=ir.tensor(place, name=f"{name}.places"),
            )
            graph.register_initializer(places)
            table.shape = ir.Shape([len(ids), shape[1]])
            for number, (node, _) in enumerate(list(table.uses())):
                wanted = node.inputs[1]
                found = ir.node("Gather", [places, wanted], name=f"{name}.place.{number}", attributes={"axis": 0})
                (output,) = found.outputs
                assert wanted is not None  # noqa: S101 - Gather has two inputs
                output.name, output.shape, output.type = f"{name}.row.{number}", wanted.shape, wanted.type
                graph.insert_before(node, found)
                node.replace_input_with(1, output)
        source, cut = self._weights, frozenset(self._tables)
        return _SomeRows(source.checkpoint, source.readers, source.notes, source.renamed, cut, self._tables, self._read)


def _are_ids(value: ir.Value | None) -> bool:
    """Return whether a value is the ids that the graph takes, perhaps in another shape."""
    while value is not None and (node := value.producer()) is not None and node.op_type == "Reshape":
        value = node.inputs[0]
    return value is not None and value.name == INPUTS[0]
