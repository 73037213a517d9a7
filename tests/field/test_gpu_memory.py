"""Errors of ONNX Runtime that are about memory say so, whatever library they come from."""

from __future__ import annotations

import pytest

from edgebench_agent.runtimes import onnxruntime


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("NvMapMemAllocInternalTagged: 1075072515 error 12", "out_of_memory"),
        ("NvMapMemHandleAlloc: error 0", "out_of_memory"),
        ("CUDA failure 2: out of memory ; GPU=0 ; hostname=orin ; expr=cudaMalloc((void**)&p, size);", "out_of_memory"),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", "out_of_memory"),
        ("[6] Cuda Runtime (out of memory)", "out_of_memory"),
        ("std::bad_alloc", "out_of_memory"),
        ("Failed to allocate memory for requested buffer of size 786432000", "out_of_memory"),
        ("CUDA failure 100: no CUDA-capable device is detected", "model_rejected"),
        ("Load model failed:Protobuf parsing failed.", "model_rejected"),
    ],
)
def test_memory_is_named_as_the_cause(message: str, kind: str) -> None:
    failure = onnxruntime._failure("model_rejected", "ONNX Runtime refuses the model", RuntimeError(message))
    assert failure.kind == kind
    assert message in str(failure)
    if "cuda" in message.lower() and kind == "out_of_memory":
        assert "reboot" in str(failure)


def test_the_smallest_model_runs_here() -> None:
    pytest.importorskip("onnxruntime")
    onnxruntime.start_session()


def test_an_export_without_memory_is_known_by_the_words_of_onnx_runtime() -> None:
    from edgebench.errors import ExportError
    from edgebench.export.worker import _is_out_of_memory

    words = "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer"
    try:
        try:
            raise RuntimeError(words)
        except RuntimeError as cause:
            raise ExportError("ONNX Runtime can't run the exported file") from cause
    except ExportError as error:
        assert _is_out_of_memory(error)
    assert not _is_out_of_memory(RuntimeError("Failed to load the model"))
