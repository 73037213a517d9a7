"""Which inputs of a model file the agent can make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgebench.errors import CheckpointError
from edgebench.export.skeleton import INPUTS
from edgebench_agent.protocol import INPUT_NAMES, plain_input_name


def refuse_inputs(path: Path, names: Sequence[str]) -> None:
    """Raise CheckpointError if a model takes no token ids, or takes an input that the agent can't make."""
    takes = ", ".join(names[:5]) or "nothing"
    kinds = [plain_input_name(name) for name in names]
    if INPUTS[0] not in kinds:
        raise CheckpointError(
            f"{path}: the model takes no {INPUTS[0]!r} (it takes {takes}); try to convert it with inputs of the names"
            f" {' and '.join(INPUTS)}"
        )
    if unknown := [name for name, kind in zip(names, kinds, strict=True) if kind not in INPUT_NAMES]:
        raise CheckpointError(
            f"{path}: the model also takes {', '.join(unknown[:5])}, which edgebench does not make (it makes"
            f" {', '.join(INPUT_NAMES)}); try to convert it without"
        )
