"""Weights: reads the tensors of a checkpoint as float32, one at a time, or loads the model into torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import CheckpointError
from edgebench.export.checkpoint import Checkpoint
from edgebench.export.families import Family
from edgebench.export.reference import random_tensor

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

#: Names of LayerNorm parameters in checkpoints from before 2020, and today's names.
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of a checkpoint; each is read on request."""

    checkpoint: Checkpoint
    readers: Mapping[str, Callable[[], torch.Tensor]]  # by canonical name; empty for a reference model

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
        if tuple(tensor.shape) != shape:
            raise CheckpointError(f"{where}: {name} has shape {list(tensor.shape)}, config.json says {list(shape)}")
        if not tensor.is_floating_point():
            raise CheckpointError(f"{where}: {name} is {tensor.dtype}; only floating-point weights can be exported")
        if not all(torch.isfinite(extreme) for extreme in torch.aminmax(tensor)):
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


def canonical(name: str, family: Family) -> str:
    """Return a name without the prefix and spelling that differ between ways to save the same encoder."""
    for old, new in _OLD_NAMES.items():
        name = name.replace(old, new)
    name = name.removeprefix(f"{family.encoder}.")
    return family.tied.get(name, name)


def open_weights(checkpoint: Checkpoint) -> Weights:
    """Return the weights of a checkpoint.

    Raises:
        CheckpointError: a weight file can't be read.
    """
    readers: dict[str, Callable[[], torch.Tensor]] = {}
    for path in checkpoint.weight_files:
        with reading(path):
            opened = _open_safetensors(path) if path.suffix == ".safetensors" else _open_bin(path)
        readers |= {canonical(name, checkpoint.geometry.family): reader for name, reader in opened.items()}
    return Weights(checkpoint, readers)


def load_model(checkpoint: Checkpoint) -> torch.nn.Module:
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
            with reading(checkpoint.folder):
                model = architecture.from_pretrained(
                    checkpoint.folder, dtype=torch.float32, local_files_only=True, **arguments
                )
    evaluated: torch.nn.Module = model.float().eval()
    return evaluated


class reading:  # noqa: N801 - reads as a statement
    """Translate exceptions of safetensors, torch and transformers over a bad file into CheckpointError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is None or not isinstance(error, Exception) or isinstance(error, (CheckpointError, MemoryError)):
            return
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        hint = "try to download it again"
        if self.path.is_file():
            with self.path.open("rb") as file:
                if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
                    reason, hint = "it is a git-lfs pointer, not the weights", "try: git lfs pull"
        raise CheckpointError(f"{self.path} can't be read as weights: {reason}; {hint}") from error


def _open_safetensors(path: Path) -> dict[str, Callable[[], Any]]:
    from safetensors import safe_open

    file: Any = safe_open(path, framework="pt")
    return {name: partial(file.get_tensor, name) for name in file.keys()}  # noqa: SIM118 - not a dict


def _open_bin(path: Path) -> dict[str, Callable[[], Any]]:
    import torch

    # only the zip format, torch's default since 1.6, can be memory-mapped
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} does not hold a table of tensors")
    return {name: partial(torch.Tensor.detach, value) for name, value in state.items() if torch.is_tensor(value)}
