"""What the module of a runtime offers, and the types that it uses."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Protocol, Sequence

from ..protocol.failure import Failure


class Tensor(NamedTuple):
    """An input that a model declares. `dtype` is numpy's name for it; a None in `shape` is a free dimension."""

    name: str
    dtype: str
    shape: Sequence[Optional[int]]


class Description(NamedTuple):
    """A runtime that could be imported: its version, its libraries' versions, the providers that it can run on."""

    version: str
    libraries: Dict[str, str]
    providers: List[str]


class Model(NamedTuple):
    """A loaded model.

    `infer` takes arrays by input name and returns the outputs in the order of `outputs`. `explain` turns an exception
    of the runtime into a Failure; None: the exception is not one of the runtime's. `lengths`: the input lengths in
    tokens that the model accepts, ascending, where it accepts only some; else empty, and the shapes of `inputs` apply.
    `nodes` counts graph nodes by the provider that runs them; empty: unknown.
    """

    inputs: List[Tensor]
    outputs: List[str]
    infer: Callable[[Dict[str, Any]], List[Any]]
    providers: List[str]
    nodes: Dict[str, int]
    notes: List[str]
    explain: Callable[[Exception], Optional[Failure]]
    lengths: Sequence[int] = ()


class Operator(NamedTuple):
    """What one operator took, over all inferences that were profiled."""

    name: str
    type: str
    provider: str
    calls: int
    total_ns: int


class Profiler(NamedTuple):
    """A loaded model whose operators are timed.

    `keep`, called after an inference, makes it count; `stop` returns what the operators took in those that do.
    """

    model: Model
    keep: Callable[[], None]
    stop: Callable[[], List[Operator]]


class Runtime(Protocol):
    """The module of a runtime.

    Its functions may import the runtime; the module itself must not, so that it can be opened without one. Where the
    runtime has an operator profiler, there is also `open_profiler(path, *, threads, providers, folder) -> Profiler`.
    `start_session()`, where there is one, runs a small model that lies in the code: a build for another processor may
    import and die there of an illegal instruction.
    """

    def describe(self) -> Description:
        """Import the runtime and return what it is."""

    def load(self, path: str, *, threads: int, providers: Sequence[str], alternates: bool = False) -> Model:
        """Load a model; `threads` 0 is the runtime's own choice, no `providers` the CPU.

        `alternates`: other models of this process have their inferences between this one's.

        Raises:
            Failure: model_rejected, inputs_rejected, out_of_memory.
        """


def unpack_model(text: str) -> bytes:
    """Return a model file that lies in the code as text: compressed, in base 64."""
    import base64  # only here: a measuring process needs neither
    import zlib

    return zlib.decompress(base64.b64decode(text))
