"""Outputs that are not finite: refused before a mean or a share over many examples could hide one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edgebench.errors import CheckpointError, ParityError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def refuse_torch_outputs(expected: Iterable[Mapping[str, NDArray[np.float32]]], *, where: str) -> None:
    """Raise CheckpointError if the checkpoint itself answers NaN or infinity in torch."""
    if (name := _first_not_finite(expected)) is not None:
        raise CheckpointError(
            f"{where}: the checkpoint's {name} is not finite (NaN or infinity) in torch; its weights or its training "
            "went wrong, and no file of it can answer"
        )


def refuse_file_outputs(
    actual: Iterable[Mapping[str, NDArray[np.float32]]], *, format: str, runtime: str, where: str
) -> None:
    """Raise ParityError if the exported file answers NaN or infinity to any example."""
    if (name := _first_not_finite(actual)) is not None:
        raise ParityError(
            f"{where}: the {name} of {format} is not finite (NaN or infinity) in {runtime}; nothing was kept",
            hint=f"try `format='{format.split('-')[0]}-fp32'`" if not format.endswith("fp32") else None,
        )


def _first_not_finite(answers: Iterable[Mapping[str, NDArray[np.float32]]]) -> str | None:
    import numpy as np

    for answer in answers:
        for name, values in answer.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                return name
    return None
