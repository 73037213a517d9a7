"""Wheels made by hand: whole ones, and ones that are wrong in one way."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping

INFO = "thing-1.0.dist-info"


def record_line(path: str, data: bytes) -> str:
    """Return a line of RECORD, as PEP 376 and PEP 427 define it."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"{path},sha256={digest},{len(data)}\n"


def make_wheel(
    files: Mapping[str, bytes],
    *,
    record: str | None = None,
    requires: str = "",
    name: str = "thing",
    version: str = "1.0",
) -> bytes:
    """Return a wheel of these files with METADATA and WHEEL, and a RECORD of them all unless one is given."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}".encode()
    wheel = b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel}
    if record is None:
        record = "".join(record_line(path, data) for path, data in content.items()) + f"{info}/RECORD,,\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in {**content, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(path, data)
    return buffer.getvalue()
