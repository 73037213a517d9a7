"""Worker: the heavy part of an export, in a process of its own (see isolation.py).

Standard input: one Job as JSON. Standard output: lines of JSON, `{"progress": ...}` and at last `{"result": ...}` or
`{"error": class name, "message": ...}`. Standard error is the log.
"""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgebench.artifact import Format, Parity
from edgebench.errors import EdgebenchError, ExportError
from edgebench.export import onnx_file
from edgebench.export.cache import write_whole, writing
from edgebench.export.checkpoint import Checkpoint, open_checkpoint, reference_checkpoint
from edgebench.export.isolation import Job
from edgebench.export.parity import check_onnx, parity_inputs, torch_outputs
from edgebench.export.skeleton import INPUTS, static_shape, trace
from edgebench.export.weights import open_weights

#: How each format is written: from a skeleton and weights into a folder.
WRITERS = {Format.ONNX_FP32: onnx_file.write_fp32, Format.ONNX_INT8: onnx_file.write_int8}


def export(job: Job, say: Callable[[str], None]) -> dict[str, Any]:
    """Write the job's files and return its parity, the number of parameters and the peak of memory in bytes."""
    import onnx_ir as ir

    checkpoint = _open(job)
    weights = open_weights(checkpoint)
    skeleton_path = Path(job.skeleton)
    if not skeleton_path.is_file():
        say("tracing the model")
        write_whole(skeleton_path, ir.to_proto(trace(checkpoint.geometry, checkpoint.head)).SerializeToString())
    skeleton = ir.load(skeleton_path)
    parameters = sum(math.prod(static_shape(value)) for value in skeleton.graph.inputs if value.name not in INPUTS)

    say(f"writing {job.format}")
    folder = Path(job.folder)
    with writing(folder):
        WRITERS[Format(job.format)](skeleton, weights, folder)
    del skeleton, weights
    gc.collect()  # graphs are cycles, and hold the checkpoint's mapped files
    say("checking parity with torch")
    parity = _check(checkpoint, job, folder)
    return {"parity": asdict(parity), "parameters": parameters, "peak_rss_bytes": _peak_rss_bytes()}


def _open(job: Job) -> Checkpoint:
    if job.checkpoint is None:
        return reference_checkpoint(job.source, task=job.task)
    return open_checkpoint(Path(job.checkpoint), source=job.source, task=job.task)


def _check(checkpoint: Checkpoint, job: Job, folder: Path) -> Parity:
    inputs = parity_inputs(checkpoint)
    expected = torch_outputs(checkpoint, inputs)
    return check_onnx(folder / onnx_file.MODEL_NAME, checkpoint, Format(job.format), inputs, expected)


def _peak_rss_bytes() -> int | None:
    """Peak of this process alone: getrusage also counts what the parent had when it forked."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Do the job on standard input."""
    # fd 1 carries the answer; torch and native libraries print to it.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    try:
        job = Job(**json.load(sys.stdin))
        send(result=export(job, lambda text: send(progress=text)))
    except EdgebenchError as error:
        send(error=type(error).__name__, message=str(error))
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the parent says it in one line; the log has the rest
        traceback.print_exc()
        reason = " ".join(str(error).split())[:300]
        send(error=ExportError.__name__, message=f"the export failed with {type(error).__name__}: {reason}")
        sys.exit(1)


if __name__ == "__main__":
    main()
