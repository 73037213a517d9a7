"""The further Python environments in which a .tflite file is checked, created on first use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from edgebench.artifact import Format
from edgebench.errors import EdgebenchError, ExportError
from edgebench.export import cache as artifacts
from edgebench.export.tflite_runtimes import tflite_runtime_python
from edgebench.runtimes import TFLITE_RUNTIME, format_for

_RETRY_S = 3600  # wait after a failed attempt to create an environment


def computed_by_older(format: Format) -> bool:
    """Whether files of a format are for tflite-runtime, too, and are therefore checked in it."""
    return format.runtime == "tflite" and format_for(TFLITE_RUNTIME, format) is format


def other_runtimes(versions: Iterable[str], cache: Path, say: Callable[[str], None]) -> list[tuple[str, str]]:
    """Return (version, path of a Python) for each of these TFLite runtimes, which older boards have.

    Missing environments are created. If that fails, the runtime is left out with a message, and the next attempt is
    made an hour later.
    """
    found = []
    for version in versions:
        failed = cache / "environments" / f"tflite-runtime-{version}.failed"
        try:
            reason = _recent_failure(failed)
            if reason is None:
                found.append((version, str(tflite_runtime_python(version, cache=cache, on_progress=say))))
                failed.unlink(missing_ok=True)
        except EdgebenchError as error:
            reason = str(error)
            with suppress(ExportError):  # the cache may be read-only
                artifacts.write_atomically(failed, reason.encode())
        if reason is not None:
            say(f"not checked in tflite-runtime {version}: {reason}")
    return found


def _recent_failure(note: Path) -> str | None:
    """Return why an environment could not be created, if that was recently; else None."""
    try:
        return note.read_text(encoding="utf-8") if time.time() - note.stat().st_mtime < _RETRY_S else None
    except OSError:
        return None
