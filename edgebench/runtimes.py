"""The runtimes that `device setup` can install on a board: one row each. The agent's own table has what runs them."""

from __future__ import annotations

from dataclasses import dataclass

from edgebench.artifact import Format


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What the host knows of a runtime.

    Args:
        requirements: what pip resolves for it. psutil gives the full names of processes that keep a board busy.
        packages: names of packages that are builds of it, for wheels of the user's own.
        trial_formats: formats of the tiny models that it must compute correctly before it is used. 32-bit floats
            exercise every kernel; 8-bit integers are the ones that differ most between processors.
        reference: the runtime on this machine whose numbers it must reproduce.
    """

    requirements: tuple[str, ...]
    packages: tuple[str, ...]
    trial_formats: tuple[Format, ...]
    reference: str

    @property
    def reads_tflite(self) -> bool:
        """Whether it runs .tflite files."""
        return all(format.runtime == "tflite" for format in self.trial_formats)


_ONNX = (Format.ONNX_FP32, Format.ONNX_INT8)
_TFLITE = (Format.TFLITE_FP32, Format.TFLITE_INT8)

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
        trial_formats=_TFLITE,
        reference="ai-edge-litert",
    ),
    "tflite-runtime": Runtime(
        requirements=("tflite-runtime", "numpy<2", "psutil"),
        packages=("tflite-runtime",),
        trial_formats=_TFLITE,
        reference="ai-edge-litert",  # a .tflite file computes the same in both
    ),
}
#: The runtimes of .tflite files.
TFLITE_RUNTIMES = tuple(name for name, runtime in RUNTIMES.items() if runtime.reads_tflite)
