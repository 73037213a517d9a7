"""TFLite: ai_edge_litert, else tflite_runtime, through the interpreter's own Python class, as a user's loop would."""

from functools import partial
from importlib import import_module
from typing import Any, Callable, NamedTuple, Sequence

from .interface import Description, Model, Profiler
from .tflite_interpreter import interpreter_module, model_of, open_interpreter, run_smallest

#: What pip calls each library, by its module.
LIBRARIES = {"ai_edge_litert": "ai-edge-litert", "tflite_runtime": "tflite-runtime"}


class Functions(NamedTuple):
    """What the module of a runtime offers."""

    describe: Callable[[], Description]
    start_session: Callable[[], None]
    load: Callable[..., Model]
    open_profiler: Callable[..., Profiler]


def bind(modules: Sequence[str]) -> Functions:
    """Return the functions for the first of these libraries that is installed."""
    return Functions(
        describe=partial(_describe, modules),
        start_session=partial(run_smallest, modules),
        load=partial(_load, modules),
        open_profiler=partial(_open_profiler, modules),
    )


def _describe(modules: Sequence[str]) -> Description:
    import numpy as np

    name, _ = interpreter_module(modules)
    version = str(getattr(import_module(name), "__version__", "of unknown version"))
    return Description(f"{LIBRARIES[name]} {version}", {"numpy": np.__version__}, ["CPU"])


def _load(
    modules: Sequence[str], path: str, *, threads: int, providers: Sequence[str], alternates: bool = False
) -> Model:
    """Load a model; `threads` 0 is the runtime's own choice. There is one provider, the CPU, with or without XNNPACK.

    Raises:
        Failure: model_rejected, inputs_rejected, out_of_memory.
    """
    return model_of(open_interpreter(modules, path, threads=threads), providers)


def _open_profiler(modules: Sequence[str], path: str, **options: Any) -> Profiler:
    from .tflite_profiler import open_tflite_profiler  # only where operators are profiled

    return open_tflite_profiler(modules, path, **options)


describe, start_session, load, open_profiler = bind(("ai_edge_litert", "tflite_runtime"))
