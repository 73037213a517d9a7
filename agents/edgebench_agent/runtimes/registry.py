"""The table of the runtimes: one row each, and the module of each in this room."""

import re
import sys
from importlib import import_module
from typing import NamedTuple, Sequence, cast

from ..protocol.failure import Failure
from .interface import Description, Runtime


class Row(NamedTuple):
    """A runtime: its module in this room, and the packages that pip must install for it."""

    module: str
    packages: Sequence[str]


RUNTIMES = {
    "onnxruntime": Row("onnxruntime", ("numpy", "onnxruntime")),
    "tflite": Row("tflite", ("numpy", "ai-edge-litert")),
    "ai-edge-litert": Row("ai_edge_litert", ("numpy", "ai-edge-litert")),
    "tflite-runtime": Row("tflite_runtime", ("'numpy<2'", "tflite-runtime")),
    "null": Row("null", ()),
    "busy": Row("busy", ()),
}


#: The loader's words for a library that wants its stack to be executable, where the system does not allow it.
_STACK = "cannot enable executable stack"
#: The loader's words for a missing system library, anywhere in a message.
_LIBRARY = re.compile(r"(lib[\w+.-]+\.so[\w.]*): cannot open shared object file")


def open_runtime(name: str) -> Runtime:
    """Return the module of a runtime; the runtime itself is not imported yet.

    Raises:
        Failure: bad_request: there is no such runtime.
    """
    if name not in RUNTIMES:
        raise Failure("bad_request", f"this agent knows no runtime {name!r}; it knows {', '.join(RUNTIMES)}")
    return cast(Runtime, import_module("." + RUNTIMES[name].module, __package__))


def describe(name: str) -> Description:
    """Import a runtime and return what it is.

    Raises:
        Failure: runtime_missing or runtime_broken, with the command that repairs it.
    """
    runtime = open_runtime(name)
    fix = f"try: {install_command(name)}"
    try:
        return runtime.describe()
    except ModuleNotFoundError as error:
        raise Failure("runtime_missing", f"{sys.executable} lacks {error.name}; {fix}") from error
    except Exception as error:
        if _STACK in str(error):
            library = str(error).split(":")[0]
            raise Failure(
                "runtime_broken",
                f"{name} can't be loaded: {library} was built to need an executable stack, which this system refuses "
                f"(glibc 2.41 and later, hardened kernels, SELinux); {fix}, because newer builds do not need it, or "
                f"clear the mark: patchelf --clear-execstack {library}",
            ) from error
        lacking = _LIBRARY.search(str(error))
        if lacking:
            library = lacking.group(1)
            raise Failure(
                "runtime_broken",
                f"{name} needs the system's library {library}, which this board lacks; "
                f"try: install the package that has it (libstdc++.so.6: sudo apt install libstdc++6)",
            ) from error
        raise Failure(
            "runtime_broken",
            f"{name} can't be imported by {sys.executable}: {type(error).__name__}: {error}; {fix}",
        ) from error


def install_command(name: str) -> str:
    """Return the command that installs what a runtime needs."""
    return f"{sys.executable} -m pip install --upgrade {' '.join(RUNTIMES[name].packages)}"
