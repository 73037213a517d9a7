"""The runtimes that `device setup` can install on a board: one row each. The agent's own table has what runs them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgebench.artifact import Format, WeightScales


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What the host knows of a runtime.

    Args:
        requirements: what pip resolves for it. psutil gives the full names of processes that keep a board busy.
        packages: names of packages that are builds of it, for wheels of the user's own.
        trial_formats: formats of the tiny models that it must compute correctly before it is used. 32-bit floats
            exercise every kernel; 8-bit integers are the ones that differ most between processors.
        reference: the runtime on this machine whose numbers it must reproduce.
        stand_ins: for each format that it can't compute, the one that it gets instead.
    """

    requirements: tuple[str, ...]
    packages: tuple[str, ...]
    trial_formats: tuple[Format, ...]
    reference: str
    stand_ins: Mapping[Format, Format] = field(default_factory=dict)

    @property
    def reads_tflite(self) -> bool:
        """Whether it runs .tflite files."""
        return all(format.runtime == "tflite" for format in self.trial_formats)


_ONNX = (Format.ONNX_FP32, Format.ONNX_INT8)
#: The older distribution of TFLite's runtime, which reads one scale of an int8 weight, even of a file that has more.
TFLITE_RUNTIME = "tflite-runtime"

#: By the agent's name; the preferred one of several for a format first.
RUNTIMES = {
    "onnxruntime": Runtime(
        requirements=("onnxruntime", "numpy", "psutil"),
        packages=("onnxruntime", "onnxruntime-gpu"),
        trial_formats=_ONNX,
        reference="onnxruntime",
    ),
    "ai-edge-litert": Runtime(
        requirements=("ai-edge-litert", "numpy", "psutil"),
        packages=("ai-edge-litert",),
        trial_formats=(Format.TFLITE_FP32, Format.TFLITE_INT8),
        reference="ai-edge-litert",
    ),
    TFLITE_RUNTIME: Runtime(
        requirements=("tflite-runtime", "numpy<2", "psutil"),
        packages=("tflite-runtime",),
        trial_formats=(Format.TFLITE_FP32, Format.TFLITE_INT8_PER_TENSOR),
        reference="ai-edge-litert",  # such a file computes the same in both
        stand_ins={Format.TFLITE_INT8: Format.TFLITE_INT8_PER_TENSOR},
    ),
}
#: The runtimes of .tflite files.
TFLITE_RUNTIMES = tuple(name for name, runtime in RUNTIMES.items() if runtime.reads_tflite)


#: ONNX Runtime's own operators that a supported version (1.19 and later) lacks, and the first that has them, as tried.
_GATHER_BLOCKS = "GatherBlockQuantized"
_BLOCKS_SINCE, _BLOCKS_OF_BYTES_SINCE = "1.20", "1.23"


def operator_since(domain: str, op_type: str, *, bits: bool) -> str | None:
    """Return the first version of ONNX Runtime with an operator; None: every supported version has it, or not known.

    Args:
        bits: the node says how many bits its numbers have, because its table is stored as bytes.
    """
    if domain != "com.microsoft" or op_type != _GATHER_BLOCKS:
        return None
    return _BLOCKS_OF_BYTES_SINCE if bits else _BLOCKS_SINCE


def is_older(version: str, than: str) -> bool | None:
    """Return whether a version of a runtime is older than another; None: it has no numbers to compare."""
    found = re.match(r"(\d+)\.(\d+)", version)
    wanted = tuple(map(int, than.split(".")[:2]))
    return (int(found[1]), int(found[2])) < wanted if found else None


def format_for(runtime: str, format: Format) -> Format:
    """Return the format in which a runtime computes what was requested in this one: nearly always the same."""
    known = RUNTIMES.get(runtime)
    return known.stand_ins.get(format, format) if known is not None else format


def formats_given_for(format: Format) -> frozenset[Format]:
    """Return the formats in which a request for this one is measured, whichever runtime a board has."""
    return frozenset(format_for(runtime, format) for runtime in RUNTIMES)


def why_not_computed(runtime: str, scales: WeightScales | None) -> str | None:
    """Return why a runtime answers nonsense on a file with int8 weights of these scales; None where it does not."""
    if runtime != TFLITE_RUNTIME or scales is not WeightScales.CHANNEL:
        return None
    return f"{runtime} reads one scale for all of an int8 weight, and this file has one for each channel"
