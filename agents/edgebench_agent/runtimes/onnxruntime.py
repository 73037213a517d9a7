"""ONNX Runtime, with the options that a user's own loop would set."""

from collections import Counter
from functools import partial
from typing import Any, Dict, List, Optional, Sequence

from ..failure import Failure
from ..protocol import one_line
from . import Description, Model, Tensor

_CPU = "CPUExecutionProvider"
_RECORD_NODES = "session.record_ep_graph_assignment_info"


def describe() -> Description:
    """Import ONNX Runtime and numpy."""
    import numpy as np
    import onnxruntime

    return Description(str(onnxruntime.__version__), {"numpy": np.__version__}, onnxruntime.get_available_providers())


def load(path: str, *, threads: int, providers: Sequence[str]) -> Model:
    """Load a model; `threads` 0 is the runtime's own choice, no `providers` the CPU.

    Raises:
        Failure: model_rejected, out_of_memory.
    """
    import onnxruntime

    asked = list(providers) or [_CPU]
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = 1
    if threads:
        options.intra_op_num_threads = threads
    # Costs nothing that can be measured, while loading or after; versions that don't know it ignore it.
    options.add_session_config_entry(_RECORD_NODES, "1")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=asked)
    except Exception as error:
        raise _failure("model_rejected", "ONNX Runtime refuses the model", error) from error
    runs_on = list(session.get_providers())
    return Model(
        inputs=[
            Tensor(entry.name, _dtype(entry.type), [_size(n) for n in entry.shape]) for entry in session.get_inputs()
        ],
        outputs=[entry.name for entry in session.get_outputs()],
        infer=partial(session.run, None),
        providers=runs_on,
        nodes=_nodes(session),
        notes=[f"asked for {name}, runs on {', '.join(runs_on)}" for name in asked if name not in runs_on],
        explain=_explain,
    )


def _explain(error: Exception) -> Optional[Failure]:
    if not isinstance(error, MemoryError) and not type(error).__module__.startswith("onnxruntime"):
        return None
    return _failure("inputs_rejected", "ONNX Runtime can't run the model on these inputs", error)


def _failure(kind: str, what: str, error: Exception) -> Failure:
    message = one_line(str(error))
    if isinstance(error, MemoryError) or "bad_alloc" in message or "Failed to allocate memory" in message:
        return Failure("out_of_memory", f"there is not enough memory: {message}")
    return Failure(kind, f"{what}: {message}")


def _dtype(declared: str) -> str:
    """Return numpy's name for a type such as `tensor(int64)`."""
    name = declared[len("tensor(") : -1] if declared.startswith("tensor(") else declared
    return {"float": "float32", "double": "float64"}.get(name, name)


def _size(declared: Any) -> Optional[int]:
    return declared if isinstance(declared, int) and declared > 0 else None


def _nodes(session: Any) -> Dict[str, int]:
    """Return how many nodes each provider runs; empty where this version of the runtime does not tell."""
    try:
        subgraphs: List[Any] = session.get_provider_graph_assignment_info()
        counts = Counter({graph.ep_name: 0 for graph in subgraphs})
        for graph in subgraphs:
            counts[graph.ep_name] += len(graph.get_nodes())
    except (AttributeError, RuntimeError):
        return {}
    return dict(counts)
