"""TFLite's operators: what its profiler timed, under the names of the model's modules."""

import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .interface import Operator, Profiler
from .tflite_events import DELEGATED, NODE, WITHIN, CompiledModel, Event, Recorder
from .tflite_interpreter import by_length, interpreter_module, model_of, open_interpreter

_DENSE_NODE, _DENSE_TAG = "FULLY_CONNECTED", "Fully Connected"
_DELEGATE = "DELEGATE"
#: A component of a tensor's name as litert-torch writes it: the class, and after a "_" the module's own name.
_MODULE = re.compile(r"(?:\w+\.)+[A-Z]\w*?_(\w+)")
_ROOT = re.compile(r"(?:[\w<>]+\.)+[A-Z]\w*")


class Node(NamedTuple):
    """A node of the graph: its type, and the module that it comes from (empty: unknown)."""

    type: str
    path: str


def open_tflite_profiler(
    modules: Sequence[str], path: str, *, threads: int, providers: Sequence[str], **_: Any
) -> Profiler:
    """Load a model with TFLite's profiler on.

    Raises:
        Failure: bad_request: this version of the library has none that can be reached; or as loading fails.
    """
    if interpreter_module(modules)[0] == "tflite_runtime":
        return _of_interpreter(modules, path, threads=threads, providers=providers)
    return _of_compiled(modules, path, threads=threads, providers=providers)


def _of_interpreter(modules: Sequence[str], path: str, *, threads: int, providers: Sequence[str]) -> Profiler:
    recorder = Recorder()
    interpreter = open_interpreter(modules, path, threads=threads, prepare=recorder.attach)
    model = model_of(interpreter, providers)
    totals = Totals(nodes_of(interpreter))

    def infer(arrays: Dict[str, Any]) -> List[Any]:
        recorder.clear()
        return model.infer(arrays)

    return Profiler(model._replace(infer=infer), lambda: totals.add(recorder.take()), totals.operators)


def _of_compiled(modules: Sequence[str], path: str, *, threads: int, providers: Sequence[str]) -> Profiler:
    # The interpreter tells the names only: without tensors and delegates it costs next to nothing.
    _, module = interpreter_module(modules)
    plain = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = module.Interpreter(model_path=path, experimental_op_resolver_type=plain)
    model = model_of(interpreter, providers)
    totals = Totals(nodes_of(interpreter))
    compiled = CompiledModel(path, threads=threads)
    keys = {length: signature.key for length, signature in by_length(interpreter).items()}

    def infer(arrays: Dict[str, Any]) -> List[Any]:
        compiled.run(keys[arrays["input_ids"].shape[-1]] if len(keys) > 1 else next(iter(keys.values())), arrays)
        return []

    return Profiler(model._replace(infer=infer), lambda: totals.add(compiled.take()), totals.operators)


class Totals:
    """What each operator took, over inferences."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._totals: Dict[Tuple[str, str, str], List[int]] = {}

    def add(self, events: Sequence[Event]) -> None:
        """Add the events of one inference."""
        timed = [event for event in events if event.kind in (NODE, DELEGATED, WITHIN)]
        for event, key in zip(timed, name_events(timed, self._nodes)):
            total = self._totals.setdefault(key, [0, 0])
            total[0] += 1
            total[1] += event.elapsed_ns

    def operators(self) -> List[Operator]:
        """Return the operators so far."""
        return [Operator(*key, calls, total_ns) for key, (calls, total_ns) in self._totals.items()]


def name_events(events: Sequence[Event], nodes: Sequence[Node]) -> List[Tuple[str, str, str]]:
    """Return each event's name, type and provider.

    A node of the interpreter's own has a name in the graph. XNNPACK's operators have none, but they run in the order
    of the nodes: where there are as many dense layers as the graph has, each is the one at its place, and what runs
    between two operators that are known belongs to the module that both belong to.
    """
    known: List[Optional[str]] = [_path(event, nodes) for event in events]
    dense = [at for at, event in enumerate(events) if event.tag.startswith((_DENSE_TAG, _DENSE_NODE))]
    planned = [node.path for node in nodes if node.type == _DENSE_NODE]
    if len(dense) == len(planned):
        for at, module in zip(dense, planned):
            known[at] = module or None
    after: List[Optional[str]] = [None] * len(events)
    later: Optional[str] = None
    for at in range(len(events) - 1, -1, -1):
        later = known[at] or later
        after[at] = later
    named = []
    before: Optional[str] = None
    for event, path, later in zip(events, known, after):
        before = path or before
        module = path or _common(before, later)
        provider = {NODE: "CPU", WITHIN: "XNNPACK"}.get(event.kind, event.tag)
        named.append((f"{module}/{event.tag}" if module else event.tag, event.tag, provider))
    return named


def _path(event: Event, nodes: Sequence[Node]) -> Optional[str]:
    if event.kind != NODE or not 0 <= event.node < len(nodes) or nodes[event.node].type != event.tag:
        return None
    return nodes[event.node].path or None


def _common(one: Optional[str], other: Optional[str]) -> str:
    """Return the module that contains two modules: `encoder.0.output` and `encoder.0.attention` are in `encoder.0`."""
    if one is None or other is None:
        return ""
    shared = []
    for mine, theirs in zip(one.split("."), other.split(".")):
        if mine != theirs:
            break
        shared.append(mine)
    return ".".join(shared)


def nodes_of(interpreter: Any) -> List[Node]:
    """Return the nodes of the first signature's graph, in order; empty where this version does not tell."""
    try:
        names = {details["index"]: str(details["name"]) for details in interpreter.get_tensor_details()}
        described = interpreter._get_ops_details()
    except (AttributeError, ValueError):
        return []
    return [
        Node(str(node["op_name"]), module_path(names.get(next(iter(node["outputs"]), -1), "")))
        for node in described
        if node["op_name"] != _DELEGATE
    ]


def module_path(tensor: str) -> str:
    """Return the module that a tensor's name tells of, as torch would name it; empty where it tells none.

    litert-torch joins the names of what it fused with `;;`: the deepest tells most.
    """
    deepest = max(tensor.split(";;"), key=lambda name: name.count("/"))
    found = []
    for component in deepest.split(";")[0].split("/"):
        module = _MODULE.fullmatch(component)
        if module:
            found.append(module[1])
        elif component and not _ROOT.fullmatch(component):
            found.append(component)
    return ".".join(found)
