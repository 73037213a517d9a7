"""Libraries of an export: imported before anything else, so that a broken one is not taken for a broken checkpoint."""

from __future__ import annotations

import importlib
import signal
from collections.abc import Iterable

from edgebench.errors import ExportError, MissingExtra

#: Modules that read checkpoints, with the class to look up where a package imports its parts late.
READERS = ("numpy", "torch", "safetensors.torch", "transformers.modeling_utils")
#: How a process ends inside a library that was built for another processor, or is damaged.
_CRASHES = (signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE)


def import_libraries(names: Iterable[str] = READERS) -> None:
    """Import the libraries.

    Raises:
        MissingExtra: one is not installed.
        ExportError: one is installed and can't be imported.
    """
    for name in names:
        library = name.split(".")[0]
        try:
            importlib.import_module(name)
        except MemoryError:
            raise
        except ModuleNotFoundError as error:
            if error.name == library:
                raise MissingExtra(library, "export", "exporting a checkpoint") from error
            raise broken(library, f"{type(error).__name__}: {error}") from error
        except Exception as error:  # an import runs whatever code
            raise broken(library, f"{type(error).__name__}: {error}") from error


def broken(library: str, reason: str) -> ExportError:
    """Return the error for a library that is installed and can't be imported."""
    short = " ".join(reason.split())[:200]
    return ExportError(
        f"{library} can't be imported here ({short}): the library is broken, not the checkpoint",
        hint=f"reinstall {library}, or export on another machine and use the exported file here",
    )


def crash_message(source: str, status: int, *, importing: str | None) -> str | None:
    """Return the message for an export that died of a signal inside a library; None for other ends.

    Args:
        status: of the process, negative for a signal.
        importing: the library that was being imported; None: all were imported.
    """
    if -status not in _CRASHES:
        return None
    name = signal.Signals(-status).name
    library = importing or "torch or another library"
    if -status == signal.SIGILL:
        why = f"{library} has instructions that this processor lacks ({name})"
    elif importing is not None:
        why = f"{library} crashed while it was imported ({name}): the library is broken, not the checkpoint"
    else:
        return None
    return f"{source}: {why}; try to reinstall it, or export on another machine and use the exported file here"
