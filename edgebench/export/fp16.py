"""float16: weights and arithmetic at half the size, for GPUs. Token ids stay integers, outputs stay float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgebench.errors import CheckpointError
from edgebench.export.skeleton import INPUTS

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray


def halve(skeleton: ir.Model) -> ir.Model:
    """Return the skeleton in float16, made by ONNX Runtime's converter. It contains no weights to round."""
    import onnx_ir as ir
    from onnxruntime.transformers.float16 import convert_float_to_float16

    kept = [*INPUTS, *(str(output.name) for output in skeleton.graph.outputs)]
    proto = convert_float_to_float16(ir.to_proto(skeleton), keep_io_types=kept, disable_shape_infer=True)
    halved: ir.Model = ir.from_proto(proto)
    return halved


def to_half(values: NDArray[np.float32], *, where: str) -> NDArray[np.float16]:
    """Return the values as float16.

    Raises:
        CheckpointError: a value is outside the range of float16.
    """
    import numpy as np

    largest = np.finfo(np.float16).max
    if max(values.max(), -values.min()) > largest:
        raise CheckpointError(f"{where} holds values beyond {largest:.0f}, float16's largest; try `format='onnx-fp32'`")
    return values.astype(np.float16)
