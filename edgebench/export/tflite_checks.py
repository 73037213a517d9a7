"""The Pythons in which a .tflite file is checked beside this one's runtime, made when they are first needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from edgebench.errors import EdgebenchError, ExportError
from edgebench.export import cache as artifacts
from edgebench.export.tflite_runtimes import tflite_runtime_python

_TRY_AGAIN_S = 3600  # to make an environment that could not be made


def other_runtimes(versions: Iterable[str], cache: Path, say: Callable[[str], None]) -> list[tuple[str, str]]:
    """Return the Pythons of these TFLite runtimes, which older boards have, as (version, path), made where they are not
    there yet. A machine that can't make one checks without it, and says so; it tries again an hour later."""
    found = []
    for version in versions:
        failed = cache / "environments" / f"tflite-runtime-{version}.failed"
        try:
            reason = _failed_lately(failed)
            if reason is None:
                found.append((version, str(tflite_runtime_python(version, cache=cache, on_progress=say))))
                failed.unlink(missing_ok=True)
        except EdgebenchError as error:
            reason = str(error)
            with suppress(ExportError):  # a cache that can't be written
                artifacts.write_whole(failed, reason.encode())
        if reason is not None:
            say(f"not checked in tflite-runtime {version}: {reason}")
    return found


def _failed_lately(note: Path) -> str | None:
    """Return why an environment could not be made, where that is not long ago."""
    try:
        return note.read_text(encoding="utf-8") if time.time() - note.stat().st_mtime < _TRY_AGAIN_S else None
    except OSError:
        return None
