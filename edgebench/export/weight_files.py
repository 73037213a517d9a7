"""Weight files: safetensors and torch's .bin, opened so that tensors are read on request and no code runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import CheckpointError
from edgebench.export.placeholders import describe_placeholder

if TYPE_CHECKING:
    import torch

#: How torch names the class that a pickle asks for.
_GLOBAL = re.compile(r"(?:GLOBAL|Unsupported class|Unsupported global:) +(?:GLOBAL +)?([\w.]+)")
_SAVE_TENSORS = "save its tensors where it was made: model.save_pretrained(), or torch.save(model.state_dict())"


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """The tensors of a file by the names in it; `table`: the key they stand under, None: they stand at the top."""

    readers: Mapping[str, Callable[[], torch.Tensor]]
    table: str | None = None


def open_file(path: Path) -> OpenedFile:
    """Return the tensors of a weight file.

    Raises:
        CheckpointError: it can't be read, holds pickled objects, or has several tables of tensors.
    """
    with reading(path):
        return _open_safetensors(path) if path.suffix == ".safetensors" else _open_bin(path)


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
        if (placeholder := describe_placeholder(self.path)) is not None:
            reason, hint = f"it is {placeholder[0]}, not the weights", placeholder[1]
        raise CheckpointError(f"{self.path} can't be read as weights: {reason}; {hint}") from error


def _open_safetensors(path: Path) -> OpenedFile:
    from safetensors import safe_open

    file: Any = safe_open(path, framework="pt")
    return OpenedFile({name: partial(file.get_tensor, name) for name in file.keys()})  # noqa: SIM118 - not a dict


def _open_bin(path: Path) -> OpenedFile:
    import torch

    # only the zip format, torch's default since 1.6, can be memory-mapped
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:
        _refuse_objects(path, error)
        raise
    table, tensors = _find_table(state, path)
    return OpenedFile({name: partial(torch.Tensor.detach, value) for name, value in tensors.items()}, table)


def _refuse_objects(path: Path, error: Exception) -> None:
    """Raise CheckpointError if torch refused a file because it holds more than tensors."""
    message = str(error)
    if "TorchScript" in message:
        raise CheckpointError(
            f"{path} can't be read as weights: it is a TorchScript archive, a whole program", hint=_SAVE_TENSORS
        ) from error
    if "global" in message.lower() or "Unsupported class" in message:
        named = _GLOBAL.search(message)
        what = f"a pickled object ({named[1]})" if named else "a pickled object"
        raise CheckpointError(
            f"{path} can't be read as weights: it holds {what}, not only tensors; reading it would run code from it,"
            " which edgebench never does",
            hint=_SAVE_TENSORS,
        ) from error


def _find_table(state: Any, path: Path) -> tuple[str | None, dict[str, Any]]:
    """Return the table of tensors in what a .bin holds, and its key: None, or `state_dict` as of Lightning."""
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{path} can't be read as weights: it holds {type(state).__name__}, not a table of tensors",
            hint=_SAVE_TENSORS,
        )
    tensors = _tensors(state)
    tables = {str(key): found for key, value in state.items() if isinstance(value, dict) and (found := _tensors(value))}
    if tensors and all(len(found) <= len(tensors) for found in tables.values()):  # else a step or a loss beside a table
        return None, tensors
    if len(tables) == 1:
        return next(iter(tables.items()))
    if not tables:
        raise CheckpointError(
            f"{path} can't be read as weights: it holds no tensors (it holds {', '.join(map(str, list(state)[:5]))})"
        )
    raise CheckpointError(
        f"{path} holds several tables of tensors ({', '.join(tables)}); save the one to export as a file of its own"
    )


def _tensors(values: dict[Any, Any]) -> dict[str, Any]:
    import torch

    return {name: value for name, value in values.items() if isinstance(name, str) and torch.is_tensor(value)}
