"""Skeletons in the cache: each carries a checksum, and a damaged one is traced again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.export.cache import write_atomically
from edgebench.export.geometry import Geometry
from edgebench.export.heads import Head
from edgebench.export.sentence_modules import SentenceModules
from edgebench.export.skeleton import trace

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir


def load_skeleton(
    path: Path,
    geometry: Geometry,
    head: Head,
    sentence: SentenceModules | None = None,
    *,
    on_progress: Callable[[str], None],
) -> ir.Model:
    """Return the skeleton in a file; it is traced and written if the file is missing or damaged.

    Raises:
        ExportError: it can't be written.
    """
    import onnx_ir as ir

    skeleton = _read(path)
    if skeleton is None:
        on_progress("tracing the model")
        proto = ir.to_proto(trace(geometry, head, sentence))
        proto.doc_string = _checksum(proto)
        write_atomically(path, proto.SerializeToString(deterministic=True))
        skeleton = ir.from_proto(proto)
    skeleton.doc_string = None
    return skeleton


def _read(path: Path) -> ir.Model | None:
    import onnx
    import onnx_ir as ir

    try:
        proto = onnx.load_model_from_string(path.read_bytes())
    except Exception:  # noqa: BLE001 - it is missing or damaged; the exception class depends on protobuf's implementation
        return None
    return ir.from_proto(proto) if proto.doc_string == _checksum(proto) else None


def _checksum(model: onnx.ModelProto) -> str:
    """Return the hash of everything but the field that holds it."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.ClearField("doc_string")
    return hashlib.sha256(copy.SerializeToString(deterministic=True)).hexdigest()
