"""TFLite's profiler, in the two ways that its libraries let it be reached from Python.

tflite_runtime exports the C++ method that takes a profiler (tensorflow/lite/core/api/profiler.h), so one is given to
the very interpreter that would be measured. ai_edge_litert hides it and has a C interface instead (litert/c/litert_*.h,
2.1.6 or newer), which loads the model by itself; it has the same kernels. Its resolution is a microsecond, as is that
of XNNPACK's own times in both.
"""

import ctypes
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

from ..protocol.failure import Failure

#: Kinds of events, as TFLite numbers them: a node that the interpreter ran, one that a delegate ran without telling
#: more, one of a delegate's own operators.
NODE, DELEGATED, WITHIN = 1 << 1, 1 << 2, 1 << 3
_SET_PROFILER = "_ZN6tflite4impl11Interpreter11SetProfilerEPNS_8ProfilerE"
_US = 1000
_HANDLE = ctypes.c_void_p
_SIZE = ctypes.c_size_t
_CPU_ACCELERATOR = 1
_LOCK_WRITE = 1
_MOST_EVENTS = 100_000
_TYPE_BYTES = 256  # more than any version's description of a tensor takes; it is only handed on


class Event(NamedTuple):
    """Something that TFLite timed: its tag, its kind, the index of the node, how long it took."""

    tag: str
    kind: int
    node: int
    elapsed_ns: int


# What a C++ object with virtual methods looks like (Itanium ABI, that of every Linux): a pointer to a table of
# functions, in the order in which the class declares them, two destructors first.
_Destroy = ctypes.CFUNCTYPE(None, _HANDLE)
_Begin = ctypes.CFUNCTYPE(ctypes.c_uint32, _HANDLE, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_int64, ctypes.c_int64)
_EndTold = ctypes.CFUNCTYPE(None, _HANDLE, ctypes.c_uint32, ctypes.c_int64, ctypes.c_int64)
_End = ctypes.CFUNCTYPE(None, _HANDLE, ctypes.c_uint32)
_Add = ctypes.CFUNCTYPE(
    None, _HANDLE, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int64, ctypes.c_int64
)
_AddData = ctypes.CFUNCTYPE(None, _HANDLE, ctypes.c_char_p, ctypes.c_uint32, _HANDLE)


class _Methods(ctypes.Structure):
    _fields_ = [
        ("destroy", _Destroy),
        ("destroy_and_free", _Destroy),
        ("begin", _Begin),
        ("end_told", _EndTold),
        ("end", _End),
        ("add", _Add),
        ("add_data", _AddData),
    ]


class _Object(ctypes.Structure):
    _fields_ = [("methods", ctypes.POINTER(_Methods))]


class Recorder:
    """A profiler for an interpreter of tflite_runtime; it must live as long as the interpreter."""

    def __init__(self) -> None:
        self._begun: List[Tuple[bytes, int, int, int]] = []
        self._events: List[Event] = []
        self._methods = _Methods(
            _Destroy(_nothing),
            _Destroy(_nothing),
            _Begin(self._begin),
            _EndTold(self._end_told),
            _End(self._end),
            _Add(self._add),
            _AddData(_nothing),
        )
        self._object = _Object(ctypes.pointer(self._methods))

    def attach(self, interpreter: Any, module: str) -> None:
        """Make an interpreter tell this profiler; before its tensors are allocated, or delegates tell nothing.

        Raises:
            Failure: bad_request: this version of the library has no way to.
        """
        wrapper = import_module(module + "._pywrap_tensorflow_interpreter_wrapper")
        try:
            handle = interpreter._native_handle()
            set_profiler = getattr(ctypes.CDLL(str(wrapper.__file__)), _SET_PROFILER)
        except (AttributeError, OSError) as error:
            raise Failure(
                "bad_request", f"this version of {module} lets nobody profile its operators: {error}"
            ) from error
        set_profiler.argtypes, set_profiler.restype = [_HANDLE, _HANDLE], None
        set_profiler(handle, ctypes.addressof(self._object))

    def clear(self) -> None:
        """Forget all events."""
        self._begun.clear()
        self._events.clear()

    def take(self) -> List[Event]:
        """Return the events since the last `clear`, in the order of their end."""
        return list(self._events)

    def _begin(self, _: int, tag: bytes, kind: int, node: int, __: int) -> int:
        self._begun.append((tag, kind, node, time.monotonic_ns()))
        return len(self._begun)

    def _end(self, _: int, handle: int) -> None:
        ended = time.monotonic_ns()
        if 0 < handle <= len(self._begun):
            tag, kind, node, began = self._begun[handle - 1]
            self._events.append(Event(_text(tag), kind, node, ended - began))

    def _end_told(self, this: int, handle: int, _: int, __: int) -> None:
        self._end(this, handle)

    def _add(self, _: int, tag: bytes, kind: int, elapsed_us: int, node: int, __: int) -> None:
        self._events.append(Event(_text(tag), kind, node, elapsed_us * _US))


def _nothing(*_: Any) -> None:
    return None


def _text(tag: bytes) -> str:
    return (tag or b"").decode("utf-8", "replace")


class _EventData(ctypes.Structure):
    _fields_ = [
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory_before", _SIZE * 3),
        ("memory_after", _SIZE * 3),
        ("node", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    ]


class _Buffers(NamedTuple):
    """A signature's place in the model and its buffers, in the order of the C interface; inputs by name."""

    position: int
    inputs: Dict[str, Any]
    outputs: List[Any]


class CompiledModel:
    """A .tflite file in LiteRT's C interface, with the profiler on. What it allocates lives as long as the process."""

    def __init__(self, path: str, *, threads: int) -> None:
        """Raises:
        Failure: bad_request: this version of ai-edge-litert has no such interface, or another one.
        """
        package = Path(str(import_module("ai_edge_litert").__file__)).parent
        try:
            self._library = ctypes.CDLL(str(package / "libLiteRt.so"))
        except OSError as error:
            raise Failure("bad_request", f"this version of ai-edge-litert has no operator profiler: {error}") from error
        self._environment, self._model, self._compiled, self._profiler = (_HANDLE() for _ in range(4))
        # A few words for the options of the environment, of which there are none.
        self._call("LiteRtCreateEnvironment", ctypes.c_int(0), (ctypes.c_byte * 64)(), ctypes.byref(self._environment))
        self._call("LiteRtCreateModelFromFile", self._environment, path.encode(), ctypes.byref(self._model))
        self._call(
            "LiteRtCreateCompiledModel",
            self._environment,
            self._model,
            self._options(threads),
            ctypes.byref(self._compiled),
        )
        self._call("LiteRtCompiledModelGetProfiler", self._compiled, ctypes.byref(self._profiler))
        count = _SIZE()
        self._call("LiteRtGetNumModelSignatures", self._model, ctypes.byref(count))
        self._signatures = dict(self._signature(index) for index in range(count.value))

    def run(self, key: str, arrays: Dict[str, Any]) -> None:
        """Run a signature, profiled; `arrays`: by input name, of the types and shapes that it takes."""
        signature = self._signatures[key]
        for name, buffer in signature.inputs.items():
            self._fill(buffer, arrays[name])
        ins = (_HANDLE * len(signature.inputs))(*signature.inputs.values())
        outs = (_HANDLE * len(signature.outputs))(*signature.outputs)
        self._call("LiteRtResetProfiler", self._profiler)
        self._call("LiteRtStartProfiler", self._profiler)
        try:
            at = _SIZE(signature.position)
            self._call("LiteRtRunCompiledModel", self._compiled, at, _SIZE(len(ins)), ins, _SIZE(len(outs)), outs)
        finally:
            self._call("LiteRtStopProfiler", self._profiler)

    def take(self) -> List[Event]:
        """Return what the profiler noted of the last run, in order."""
        count = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        if not 0 < count.value <= _MOST_EVENTS:
            raise Failure("bad_request", f"LiteRT's profiler noted {count.value} events")
        events = (_EventData * count.value)()
        self._call("LiteRtGetProfilerEvents", self._profiler, count, events)
        return [Event(_text(event.tag), event.kind, event.node, event.elapsed_us * _US) for event in events]

    def _options(self, threads: int) -> Any:
        options = _HANDLE()
        self._call("LiteRtCreateOptions", ctypes.byref(options))
        self._call("LiteRtSetOptionsHardwareAccelerators", options, ctypes.c_int(_CPU_ACCELERATOR))
        self._add_options(options, b"runtime_options_string", b"enable_profiling = true\n")
        if threads:
            self._add_options(options, b"xnnpack", b"num_threads = %d\n" % threads)
        return options

    def _add_options(self, options: Any, identifier: bytes, toml: bytes) -> None:
        # LiteRT owns the text from here on and frees it with the function that it is given.
        libc = ctypes.CDLL(None)
        libc.strdup.restype = _HANDLE
        opaque = _HANDLE()
        self._call(
            "LiteRtCreateOpaqueOptions",
            identifier,
            _HANDLE(libc.strdup(toml)),
            ctypes.cast(libc.free, _HANDLE),
            ctypes.byref(opaque),
        )
        self._call("LiteRtAddOpaqueOptions", options, opaque)

    def _signature(self, index: int) -> Tuple[str, _Buffers]:
        signature, key = _HANDLE(), ctypes.c_char_p()
        self._call("LiteRtGetModelSignature", self._model, _SIZE(index), ctypes.byref(signature))
        self._call("LiteRtGetSignatureKey", signature, ctypes.byref(key))
        inputs = dict(self._buffers(index, signature, "Input"))
        outputs = [buffer for _, buffer in self._buffers(index, signature, "Output")]
        return _text(key.value or b""), _Buffers(index, inputs, outputs)

    def _buffers(self, index: int, signature: Any, side: str) -> List[Tuple[str, Any]]:
        count = _SIZE()
        self._call(f"LiteRtGetNumSignature{side}s", signature, ctypes.byref(count))
        found = []
        for position in range(count.value):
            name, tensor, needs, buffer = ctypes.c_char_p(), _HANDLE(), _HANDLE(), _HANDLE()
            kind = (ctypes.c_byte * _TYPE_BYTES)()
            at = _SIZE(position)
            self._call(f"LiteRtGetSignature{side}Name", signature, at, ctypes.byref(name))
            self._call(f"LiteRtGetSignature{side}TensorByIndex", signature, at, ctypes.byref(tensor))
            self._call("LiteRtGetRankedTensorType", tensor, kind)
            self._call(
                f"LiteRtGetCompiledModel{side}BufferRequirements", self._compiled, _SIZE(index), at, ctypes.byref(needs)
            )
            self._call(
                "LiteRtCreateManagedTensorBufferFromRequirements", self._environment, kind, needs, ctypes.byref(buffer)
            )
            found.append((_text(name.value or b""), buffer))
        return found

    def _fill(self, buffer: Any, array: Any) -> None:
        size, there = _SIZE(), _HANDLE()
        self._call("LiteRtGetTensorBufferPackedSize", buffer, ctypes.byref(size))
        if size.value != array.nbytes:
            raise Failure("inputs_rejected", f"LiteRT takes {size.value} bytes where the input has {array.nbytes}")
        self._call("LiteRtLockTensorBuffer", buffer, ctypes.byref(there), ctypes.c_int(_LOCK_WRITE))
        ctypes.memmove(there, array.ctypes.data, array.nbytes)
        self._call("LiteRtUnlockTensorBuffer", buffer)

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            function = getattr(self._library, name)
        except AttributeError as error:
            raise Failure("bad_request", f"this version of ai-edge-litert has no {name}; 2.1.6 has") from error
        function.restype = ctypes.c_int
        status = function(*arguments)
        if status:
            raise Failure("bad_request", f"LiteRT's profiler can't be used: {name} answers {status}")
