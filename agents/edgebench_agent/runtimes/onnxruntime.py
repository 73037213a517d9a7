"""ONNX Runtime, with the options that a user's own loop would set."""

import json
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..protocol.failure import Failure
from ..protocol.wire import one_line
from .interface import Description, Model, Operator, Profiler, Tensor, unpack_model

_CPU = "CPUExecutionProvider"
#: Names in the profiler's trace: an inference, and the work of a node in it.
_RUN, _KERNEL = "model_run", "_kernel_time"
_NO_MEMORY = re.compile(r"bad_alloc|Failed to allocate memory")
#: Of Jetsons (NvMap) and of CUDA, cuDNN, cuBLAS and TensorRT.
_NO_GPU_MEMORY = re.compile(
    r"NvMap(MemAlloc|MemHandleAlloc|.*error)|CUDA.*out of memory|out of memory.*CUDA|cudaErrorMemoryAllocation"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|CUDA (error|failure) 2\b|OutOfMemory|out of memory",
    re.IGNORECASE,
)

#: A model that multiplies a matrix of 16 x 16 floats by itself, quantises the product and multiplies it in 8-bit
#: integers: MatMul, DynamicQuantizeLinear, MatMulInteger; IR 4, opset 11.
_SMALLEST = (
    "eNrjYBFisJrIzCXIxVgBREKMlUpsvoklvqU5XMpcjJVCjIVCjMVCjPlKoi6VeYm5mcmBpYl5JZlVqT6ZeamJRVzSXIyFXIzlXIz5QoxVSrwQrZ55"
    "JanpqUVCjOlaPUwcAhwCAsxOjOVeDUyMDGhghAlECYPCmI+Lh4NRiIMLGDQgnAQUrAILsiEEnVi4GAS4AUFkHhU="
)
#: What ONNX Runtime says of an operator that it does not have, in a file that may be right.
_NO_OPERATOR = re.compile(
    r"(?P<unknown>[\w.:]+)\(-?\d+\) is not a registered function/op"
    r"|Could not find an implementation for (?P<kernel>[\w.:]+)\(\d+\)"
)
_RECORD_NODES = "session.record_ep_graph_assignment_info"
#: https://github.com/microsoft/onnxruntime/pull/11841, since 1.12
_STOP_SPINNING = "session.force_spinning_stop"


def describe() -> Description:
    """Import ONNX Runtime and numpy."""
    import numpy as np
    import onnxruntime

    return Description(str(onnxruntime.__version__), {"numpy": np.__version__}, onnxruntime.get_available_providers())


def start_session() -> None:
    """Run the smallest model once: floats and 8-bit integers have instructions of their own.

    Raises:
        Failure: runtime_broken: it can't run the model.
    """
    import numpy
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(unpack_model(_SMALLEST), _options(1), providers=[_CPU])
        session.run(None, {"x": numpy.ones((16, 16), numpy.float32)})
    except Exception as error:
        raise Failure("runtime_broken", f"ONNX Runtime can't run a model: {one_line(str(error))}") from error


def load(path: str, *, threads: int, providers: Sequence[str], alternates: bool = False) -> Model:
    """Load a model; `threads` 0 is the runtime's own choice, no `providers` the CPU.

    Idle threads go on looking for work for a moment, up to a second, to be there for the next inference. Where models
    alternate, that is another model's, whose threads would have to share the processor with them: so they stop then.

    Raises:
        Failure: model_rejected, out_of_memory.
    """
    options = _options(threads)
    if alternates:
        options.add_session_config_entry(_STOP_SPINNING, "1")
    return _model(_session(path, options, providers), providers)


def open_profiler(path: str, *, threads: int, providers: Sequence[str], folder: Path) -> Profiler:
    """Load a model as `load` does, with ONNX Runtime's own profiler, which writes a trace of every node.

    Raises:
        Failure: as `load`.
    """
    options = _options(threads)
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "operators")
    session = _session(path, options, providers)
    runs = Counter({"all": 0, "kept": 0})
    model = _model(session, providers)

    def infer(arrays: Dict[str, Any]) -> List[Any]:
        runs["all"] += 1
        return model.infer(arrays)

    def keep() -> None:
        runs["kept"] += 1

    def stop() -> List[Operator]:
        written = Path(session.end_profiling())
        try:
            return read_trace(written.read_bytes(), skip_runs=runs["all"] - runs["kept"])
        finally:
            written.unlink()

    return Profiler(model._replace(infer=infer), keep, stop)


def read_trace(trace: bytes, *, skip_runs: int) -> List[Operator]:
    """Return what each node took in a trace of ONNX Runtime's profiler (Chrome's format), the first runs left out."""
    events = [event for event in json.loads(trace) if event.get("ph") == "X"]
    ends = sorted(event["ts"] + event["dur"] for event in events if event.get("name") == _RUN)
    since = ends[skip_runs - 1] if skip_runs else 0
    totals: Dict[Tuple[str, str, str], List[int]] = {}
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith(_KERNEL) or event["ts"] < since:
            continue
        about = event.get("args", {})
        key = (event["name"][: -len(_KERNEL)], str(about.get("op_name", "")), str(about.get("provider", "")))
        total = totals.setdefault(key, [0, 0])
        total[0] += 1
        total[1] += int(event["dur"]) * 1000  # microseconds
    return [Operator(*key, calls, total_ns) for key, (calls, total_ns) in totals.items()]


def _options(threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = 1
    if threads:
        options.intra_op_num_threads = threads
    # Costs nothing that can be measured, while loading or after; versions that don't know it ignore it.
    options.add_session_config_entry(_RECORD_NODES, "1")
    return options


def _session(path: str, options: Any, providers: Sequence[str]) -> Any:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(path, options, providers=list(providers) or [_CPU])
    except Exception as error:
        raise _failure("model_rejected", "ONNX Runtime refuses the model", error) from error


def _model(session: Any, providers: Sequence[str]) -> Model:
    runs_on = list(session.get_providers())
    return Model(
        inputs=[
            Tensor(entry.name, _dtype(entry.type), [_size(n) for n in entry.shape]) for entry in session.get_inputs()
        ],
        outputs=[entry.name for entry in session.get_outputs()],
        infer=partial(session.run, None),
        providers=runs_on,
        nodes=_nodes(session),
        notes=[f"asked for {name}, runs on {', '.join(runs_on)}" for name in providers if name not in runs_on],
        explain=_explain,
    )


def _explain(error: Exception) -> Optional[Failure]:
    if not isinstance(error, MemoryError) and not type(error).__module__.startswith("onnxruntime"):
        return None
    return _failure("inputs_rejected", "ONNX Runtime can't run the model on these inputs", error)


def _failure(kind: str, what: str, error: Exception) -> Failure:
    message = one_line(str(error))
    if isinstance(error, MemoryError) or _NO_MEMORY.search(message):
        return Failure("out_of_memory", f"there is not enough memory: {message}")
    if _NO_GPU_MEMORY.search(message):
        return Failure(
            "out_of_memory",
            f"the GPU got no memory, which it may share with the processor; try: free memory on the board, a smaller "
            f"model or batch, or reboot it, because an earlier process may still hold some: {message}",
        )
    lacking = _NO_OPERATOR.search(message)
    if lacking:
        import onnxruntime

        return Failure(
            kind,
            f"ONNX Runtime {onnxruntime.__version__} lacks an operator that the model uses, "
            f"{lacking.group('unknown') or lacking.group('kernel')}; try: a later onnxruntime on the board, or another "
            "format of the model",
        )
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
