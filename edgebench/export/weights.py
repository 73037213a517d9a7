"""Weights: reads the tensors of a checkpoint as float32, one at a time, or loads the model into torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import CheckpointError
from edgebench.export.checkpoint import Checkpoint
from edgebench.export.families import Family
from edgebench.export.memory import row_blocks
from edgebench.export.reference import random_tensor
from edgebench.export.sentence_graph import dense_readers
from edgebench.export.weight_files import open_file, reading
from edgebench.export.weight_names import Structure, match_names

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

#: Names of LayerNorm parameters in checkpoints from before 2020, and today's names.
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of a checkpoint; each is read on request.

    Args:
        readers: by canonical name; empty for a reference model.
        notes: what a person should know of the names in the files.
        renamed: transformers would not find the tensors by the names in the files.
        cut: names of tables of words of which only some rows are there.
    """

    checkpoint: Checkpoint
    readers: Mapping[str, Callable[[], torch.Tensor]]
    notes: tuple[str, ...] = ()
    renamed: bool = False
    cut: frozenset[str] = frozenset()

    def read(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the parameter of that name and shape, as float32.

        Raises:
            CheckpointError: it can't be read, has another shape, or holds something that is not a finite number.
        """
        if self.checkpoint.folder is None:
            return random_tensor(name, shape, self.checkpoint.geometry)
        import torch

        where = self.checkpoint.folder
        with reading(where):
            tensor = self.readers[canonical(name, self.checkpoint.geometry.family)]()
        if tensor.is_meta or tensor.layout is not torch.strided:
            what = "has no numbers (it is on torch's device meta)" if tensor.is_meta else "is sparse"
            raise CheckpointError(f"{where}: {name} {what}; save the model with all of its weights, dense")
        if tuple(tensor.shape) != shape:
            raise CheckpointError(f"{where}: {name} has shape {list(tensor.shape)}, config.json says {list(shape)}")
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
            raise CheckpointError(
                f"{where}: {name} is {tensor.dtype}; only floating-point weights of 16 bits or more can be exported"
            )
        if not _is_finite(tensor):
            raise CheckpointError(f"{where}: {name} holds NaN or infinite values")
        values: NDArray[np.float32] = tensor.to(torch.float32).numpy()
        return values

    def check_labels(self) -> None:
        """Raise CheckpointError if the head's number of labels differs from config.json's."""
        name = self.checkpoint.head.labels_weight
        if self.checkpoint.folder is None or name is None:
            return
        self.require([name])
        with reading(self.checkpoint.folder):
            found = len(self.readers[canonical(name, self.checkpoint.geometry.family)]())
        expected = self.checkpoint.geometry.num_labels
        if found != expected:
            raise CheckpointError(
                f"{self.checkpoint.folder}: config.json means {expected} labels (2 where it names none), but {name} has"
                f" {found}; set num_labels or id2label there"
            )

    def require(self, names: list[str]) -> None:
        """Raise CheckpointError unless the checkpoint contains all these parameters."""
        if self.checkpoint.folder is None:
            return
        missing = [name for name in names if canonical(name, self.checkpoint.geometry.family) not in self.readers]
        if missing:
            shown = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
            raise CheckpointError(
                f"{self.checkpoint.folder} lacks {len(missing)} of the {len(names)} tensors"
                f" of {self.checkpoint.head.architecture}: {shown}"
            )


def _is_finite(tensor: torch.Tensor) -> bool:
    """Whether all values are; no more than a block of a large tensor is in memory for that."""
    import torch

    if tensor.dtype != torch.float32 or not tensor.ndim:
        return all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(tensor))
    blocks = map(torch.from_numpy, row_blocks(tensor.numpy()))
    return all(bool(torch.isfinite(extreme)) for block in blocks for extreme in torch.aminmax(block))


def canonical(name: str, family: Family) -> str:
    """Return a name without the prefix and spelling that differ between ways to save the same encoder."""
    for old, new in _OLD_NAMES.items():
        name = name.replace(old, new)
    name = name.removeprefix(f"{family.encoder}.")
    return family.tied.get(name, name)


def open_weights(checkpoint: Checkpoint) -> Weights:
    """Return the weights of a checkpoint.

    Raises:
        CheckpointError: a weight file can't be read, or its tensors are not those of the checkpoint's class.
    """
    if checkpoint.folder is None:
        return Weights(checkpoint, {})
    readers: dict[str, Callable[[], torch.Tensor]] = {}
    tables = set()
    for path in checkpoint.weight_files:
        opened = open_file(path)
        readers |= opened.readers
        tables |= {opened.table} - {None}
    named = partial(canonical, family=checkpoint.geometry.family)
    match = match_names(readers.keys(), structure_of(checkpoint), named, where=str(checkpoint.folder))
    _refuse_different(match.doubles, readers, checkpoint)
    notes = [f"the tensors stand under {table!r} in the file" for table in sorted(map(str, tables))]
    dense = dense_readers(checkpoint.sentence) if checkpoint.sentence is not None else {}
    return Weights(
        checkpoint,
        {name: readers[stored] for name, stored in match.stored.items()} | dense,
        notes=(*notes, *match.notes),
        renamed=match.renamed or bool(tables),
    )


def _refuse_different(
    doubles: Iterable[tuple[str, str]], readers: Mapping[str, Callable[[], torch.Tensor]], checkpoint: Checkpoint
) -> None:
    """Refuse files with different numbers for one parameter: which of them counts depends on who loads them."""
    import torch

    for first, second in doubles:
        with reading(checkpoint.folder or Path()):
            one, other = readers[first](), readers[second]()
        if one.shape == other.shape and (one.data_ptr() == other.data_ptr() or torch.equal(one, other)):
            continue
        raise CheckpointError(
            f"{checkpoint.folder}: {first} and {second} are one parameter of {checkpoint.head.architecture}, and the"
            " weights have different numbers for them",
            hint="save the one that was trained alone; a decoder that is not tied to its embeddings is not supported",
        )


def structure_of(checkpoint: Checkpoint) -> Structure:
    """Return the parameters of the checkpoint's class, which is built without data."""
    import torch
    import transformers

    architecture = getattr(transformers, checkpoint.head.architecture)
    try:
        with torch.device("meta"):
            model = architecture(checkpoint.geometry.config(), **dict(checkpoint.head.arguments))
    except Exception as error:  # whatever a value that it can't use raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointError(
            f"{checkpoint.folder}: transformers can't make {checkpoint.head.architecture} of its config.json"
            f" ({reason}); correct the entry there"
        ) from error
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    names = [name for name, _ in model.named_parameters() if name not in tied]
    prefix = f"{model.base_model_prefix}."
    return Structure(
        architecture=checkpoint.head.architecture,
        required=tuple(names),
        aliases=tuple(name for name in model.state_dict() if name not in names),
        encoder=prefix if any(name.startswith(prefix) for name in names) else "",
    )


def load_stock_model(checkpoint: Checkpoint) -> torch.nn.Module:
    """Return the checkpoint as transformers loads it: float32, in evaluation mode.

    Raises:
        CheckpointError: transformers can't load it.
    """
    import torch
    import transformers

    architecture = getattr(transformers, checkpoint.head.architecture)
    arguments = dict(checkpoint.head.arguments)
    with torch.no_grad():
        if checkpoint.folder is None:
            with torch.device("meta"):
                shapes = architecture(checkpoint.geometry.config(), **arguments).state_dict()
            state = {
                name: torch.from_numpy(random_tensor(name, tuple(tensor.shape), checkpoint.geometry))
                for name, tensor in shapes.items()
                if name not in checkpoint.geometry.family.tied
            }
            model = architecture.from_pretrained(
                None, config=checkpoint.geometry.config(), state_dict=state, **arguments
            )
        else:
            weights, config = open_weights(checkpoint), _config_in(checkpoint)
            with reading(checkpoint.folder):
                model = architecture.from_pretrained(
                    None if weights.renamed else checkpoint.folder,
                    config=config,
                    state_dict=_state(weights) if weights.renamed else None,
                    attn_implementation="eager",
                    dtype=torch.float32,
                    local_files_only=True,
                    **arguments,
                )
    evaluated: torch.nn.Module = model.float().eval()
    return evaluated


def _config_in(checkpoint: Checkpoint) -> Any:
    """Return the config in the checkpoint's folder, with named outputs and a padding token."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(checkpoint.folder), local_files_only=True)
    except Exception as error:  # whatever a value of another type raises
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{checkpoint.folder}: transformers can't use its config.json: {reason}") from error
    config.return_dict = True
    config.torchscript = False
    config.chunk_size_feed_forward = 0  # saves memory, and refuses most lengths
    config.pad_token_id = checkpoint.geometry.pad_token_id
    return config


def _state(weights: Weights) -> dict[str, torch.Tensor]:
    """Return the tensors by the names that transformers gives them."""
    names = structure_of(weights.checkpoint).required
    return {name: weights.readers[canonical(name, weights.checkpoint.geometry.family)]() for name in names}
