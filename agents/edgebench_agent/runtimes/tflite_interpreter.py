"""A TFLite interpreter as a model: its signatures, its tensors, its nodes.

A model may have a signature for each of several input lengths; the one that fits an input's length is run.
"""

from importlib import import_module
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..protocol.failure import Failure
from ..protocol.input_names import plain_input_name
from ..protocol.wire import one_line
from .interface import Model, Tensor, unpack_model

_IDS = "input_ids"
_DELEGATE = "DELEGATE"
#: A model of two FULLY_CONNECTED layers of 16 x 16: weights in floats, then in 8-bit integers (versions 1 and 9).
_SMALLEST = (
    "eNrtVbFOwzAQfaaGpsIqkcjQoUMHBgYGJBg6IJWJqQMDn8HSqdCpH9EPYWDgA/giJibMO985ScPIhIiT54svd8/ni/QyAfBwt7wCxqhQIqCgx3MFroDb"
    "Q+B6CAyguOB66iQC+PiKUSxcuvfHv3McsXOes/ZGp+0Cvx49R8/Rc/xFjvsYozMdDbW6es7qeyFeiTfigHgkqpQ7xsTij02LZ0paiD0zBVKtljFMnOJ2"
    "Jj0D4xTLMqLqO/Y4K+Ms7dmnS7lzbla7aGfxLfXjrwCfxDuxI+b2/pyxRapPYzfGl3uRz3dq/cjnu7E4jtE85eupcs8Ky3c/lHi7ELuy/DL3t1PHc6eO"
    "kLrR8Ie6r2rXHb5Qd7ypJ8c+dbjl+bK1z0lrn5FBTEjfo+HM/m9FcTKj"
)


class Signature(NamedTuple):
    """A signature of the model: its name in the file, its inputs, its outputs' names, and the function that runs it."""

    key: str
    inputs: List[Tensor]
    outputs: List[str]
    run: Callable[[Dict[str, Any]], List[Any]]


def interpreter_module(modules: Sequence[str]) -> Tuple[str, Any]:
    """Return the first of these modules that can be imported, with its name.

    Raises:
        ImportError: none can; an error of an installed one has precedence over a missing one.
    """
    wrong = ImportError()
    for name in modules:
        try:
            return name, import_module(name + ".interpreter")
        except ImportError as error:
            absent = isinstance(error, ModuleNotFoundError)
            if name == modules[0] or (isinstance(wrong, ModuleNotFoundError) and not absent):
                wrong = error
    raise wrong


def run_smallest(modules: Sequence[str]) -> None:
    """Run the smallest model once: floats and 8-bit integers have instructions of their own.

    Raises:
        Failure: runtime_broken: it can't run the model.
    """
    import numpy as np

    _, module = interpreter_module(modules)
    try:
        interpreter = module.Interpreter(model_content=unpack_model(_SMALLEST), num_threads=1)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ones((1, 16), np.float32))
        interpreter.invoke()
    except Exception as error:
        raise Failure("runtime_broken", f"TFLite can't run a model: {one_line(str(error))}") from error


def open_interpreter(
    modules: Sequence[str], path: str, *, threads: int, prepare: Optional[Callable[[Any, str], None]] = None
) -> Any:
    """Return an interpreter with its tensors allocated; `prepare` is called with it before, and with its package.

    Raises:
        Failure: model_rejected, out_of_memory.
    """
    package, module = interpreter_module(modules)
    try:
        interpreter = module.Interpreter(model_path=path, num_threads=threads or None)
        if prepare is not None:
            prepare(interpreter, package)
        interpreter.allocate_tensors()  # of the first signature: the weights are packed for all of them here
    except Failure:
        raise
    except Exception as error:
        raise _failure("model_rejected", "TFLite refuses the model", error) from error
    return interpreter


def model_of(interpreter: Any, providers: Sequence[str]) -> Model:
    """Return an interpreter's model.

    Raises:
        Failure: model_rejected, inputs_rejected.
    """
    signatures = by_length(interpreter)
    some = next(iter(signatures.values()))
    lengths = sorted(length for length in signatures if length is not None) if len(signatures) > 1 else []
    nodes = _nodes(interpreter)
    return Model(
        inputs=[tensor._replace(shape=[*tensor.shape[:-1], None]) for tensor in some.inputs]
        if lengths
        else some.inputs,
        outputs=some.outputs,
        infer=_by_tokens(signatures) if lengths else some.run,
        providers=list(nodes) or ["CPU"],
        nodes=nodes,
        notes=[f"asked for {name}, TFLite runs on the CPU" for name in providers],
        explain=_explain,
        lengths=lengths,
    )


def by_length(interpreter: Any) -> Dict[Optional[int], Signature]:
    """Return a model's signatures that take token ids, by the number of tokens that they take (None: any).

    Raises:
        Failure: inputs_rejected, model_rejected.
    """
    signatures = _signatures(interpreter)
    found: Dict[Optional[int], Signature] = {}
    for signature in signatures:
        for tensor in signature.inputs:
            if plain_input_name(tensor.name) == _IDS:
                found.setdefault(tensor.shape[-1] if tensor.shape else None, signature)
    if not found:
        takes = ", ".join(sorted({tensor.name for signature in signatures for tensor in signature.inputs})) or "nothing"
        raise Failure("inputs_rejected", f"the model takes no {_IDS!r} (it takes {takes})")
    outputs = {tuple(signature.outputs) for signature in found.values()}
    if len(outputs) > 1 or (len(found) > 1 and None in found):
        raise Failure("model_rejected", "the model's signatures differ in more than the length of their inputs")
    return found


def _by_tokens(signatures: Dict[Optional[int], Signature]) -> Callable[[Dict[str, Any]], List[Any]]:
    runs = {length: signature.run for length, signature in signatures.items()}
    some = next(iter(signatures.values()))
    ids = next(tensor.name for tensor in some.inputs if plain_input_name(tensor.name) == _IDS)

    def infer(arrays: Dict[str, Any]) -> List[Any]:
        return runs[arrays[ids].shape[-1]](arrays)

    return infer


def _signatures(interpreter: Any) -> List[Signature]:
    named = interpreter.get_signature_list()
    if named:
        return [_signature(interpreter, key, sorted(names["outputs"])) for key, names in named.items()]
    return [_unsigned(interpreter)]


def _signature(interpreter: Any, key: str, outputs: List[str]) -> Signature:
    runner = interpreter.get_signature_runner(key)
    inputs = [_tensor(name, details) for name, details in runner.get_input_details().items()]

    def run(arrays: Dict[str, Any]) -> List[Any]:
        answers = runner(**arrays)
        return [answers[name] for name in outputs]

    return Signature(key, inputs, outputs, run)


def _unsigned(interpreter: Any) -> Signature:
    """Return the signature of a model that has none: by the names of its tensors."""
    inputs = {_plain(details["name"]): details for details in interpreter.get_input_details()}
    outputs = {_plain(details["name"]): details["index"] for details in interpreter.get_output_details()}
    indices = {name: details["index"] for name, details in inputs.items()}

    def run(arrays: Dict[str, Any]) -> List[Any]:
        for name, array in arrays.items():
            interpreter.set_tensor(indices[name], array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs.values()]

    # Nothing resizes these, so a free dimension has the size that the file gives it.
    tensors = [_tensor(name, dict(details, shape_signature=details["shape"])) for name, details in inputs.items()]
    return Signature("", tensors, list(outputs), run)


def _plain(name: str) -> str:
    """Return an input's name without what converters put around it: `serving_default_input_ids:0`."""
    name = name.split(":")[0]
    return name[len("serving_default_") :] if name.startswith("serving_default_") else name


def _tensor(name: str, details: Dict[str, Any]) -> Tensor:
    import numpy as np

    shape = details.get("shape_signature", details["shape"])
    return Tensor(name, np.dtype(details["dtype"]).name, [int(size) if size > 0 else None for size in shape])


def _nodes(interpreter: Any) -> Dict[str, int]:
    """Return how many nodes of the first signature XNNPACK took, and how many it left; empty: unknown.

    A delegate is a node of its own, which replaces those between its inputs and its outputs.
    """
    try:
        nodes = [
            (str(node["op_name"]), list(node["inputs"]), list(node["outputs"]))
            for node in interpreter._get_ops_details()
        ]
    except (AttributeError, KeyError, TypeError):
        return {}
    makers = {int(out): at for at, (name, _, outputs) in enumerate(nodes) if name != _DELEGATE for out in outputs}
    taken: Set[int] = set()
    for name, inputs, outputs in nodes:
        if name != _DELEGATE:
            continue
        given = {int(index) for index in inputs}
        wanted = [int(index) for index in outputs]
        while wanted:
            at = makers.get(wanted.pop())
            if at is None or at in taken:
                continue
            taken.add(at)
            wanted.extend(int(index) for index in nodes[at][1] if int(index) not in given)
    left = sum(name != _DELEGATE for name, _, _ in nodes) - len(taken)
    return {name: count for name, count in (("XNNPACK", len(taken)), ("CPU", left)) if count}


def _explain(error: Exception) -> Optional[Failure]:
    # TFLite has no exceptions of its own: ValueError and RuntimeError, with its words.
    if not isinstance(error, (MemoryError, RuntimeError, ValueError)):
        return None
    return _failure("inputs_rejected", "TFLite can't run the model on these inputs", error)


def _failure(kind: str, what: str, error: Exception) -> Failure:
    message = one_line(str(error))
    if isinstance(error, MemoryError) or "bad_alloc" in message or "Failed to allocate" in message:
        return Failure("out_of_memory", f"there is not enough memory: {message}")
    return Failure(kind, f"{what}: {message}")
