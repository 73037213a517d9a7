"""Runtimes: what can run a model on the board. One file each, one row each in RUNTIMES.

The file has `describe() -> Description` and `load(path, *, threads, providers) -> Model`; both may import the runtime.
"""

import re
import sys
from importlib import import_module
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from ..protocol.failure import Failure


class Tensor(NamedTuple):
    """An input that a model declares. `dtype` as numpy names it; a None in `shape` is free."""

    name: str
    dtype: str
    shape: Sequence[Optional[int]]


class Description(NamedTuple):
    """A runtime that imports: its version, those of the libraries it stands on, what it can run on."""

    version: str
    libraries: Dict[str, str]
    providers: List[str]


class Model(NamedTuple):
    """A loaded model.

    `infer` takes arrays by input name and returns the outputs in the order of `outputs`. `explain` turns an exception
    of the runtime into a Failure; None where the exception isn't the runtime's. `lengths`: the numbers of tokens that
    an input may have, ascending, where the model is made for some only; empty where `inputs` tell all.
    """

    inputs: List[Tensor]
    outputs: List[str]
    infer: Callable[[Dict[str, Any]], List[Any]]
    providers: List[str]
    nodes: Dict[str, int]
    notes: List[str]
    explain: Callable[[Exception], Optional[Failure]]
    lengths: Sequence[int] = ()


class Row(NamedTuple):
    """A runtime: its module in this package, and what pip must install for it."""

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


#: How the loader says that a library of the system is missing, wherever it stands in a message.
_LIBRARY = re.compile(r"(lib[\w+.-]+\.so[\w.]*): cannot open shared object file")


def open_runtime(name: str) -> Any:
    """Return a runtime's module, unimported what it stands on.

    Raises:
        Failure: bad_request: there is no such runtime.
    """
    if name not in RUNTIMES:
        raise Failure("bad_request", f"this agent knows no runtime {name!r}; it knows {', '.join(RUNTIMES)}")
    return import_module("." + RUNTIMES[name].module, __package__)


def describe(name: str) -> Description:
    """Import a runtime and return what it is.

    Raises:
        Failure: runtime_missing or runtime_broken, with the command that mends it.
    """
    runtime = open_runtime(name)
    try:
        found: Description = runtime.describe()
    except ModuleNotFoundError as error:
        raise Failure("runtime_missing", f"{sys.executable} lacks {error.name}; try: {mending(name)}") from error
    except Exception as error:
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
            f"{name} can't be imported by {sys.executable}: {type(error).__name__}: {error}; try: {mending(name)}",
        ) from error
    return found


def mending(name: str) -> str:
    """Return the command that installs what a runtime needs."""
    return f"{sys.executable} -m pip install --upgrade {' '.join(RUNTIMES[name].packages)}"
