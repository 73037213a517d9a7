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
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgebench.artifact import Format, Parity
from edgebench.errors import EdgebenchError, ExportError, ParityError
from edgebench.export import onnx_file, tflite_file
from edgebench.export.cache import write_whole, writing
from edgebench.export.checkpoint import Checkpoint, open_checkpoint, reference_checkpoint
from edgebench.export.isolation import Job, want_of_memory
from edgebench.export.parity import Ids, Outputs, check, check_onnx, expected_outputs, parity_inputs
from edgebench.export.skeleton import INPUTS, static_shape, trace
from edgebench.export.tflite_answers import Refused, TFLiteRuntime
from edgebench.export.weights import open_weights

Say = Callable[[str], None]

#: How each ONNX format is written: from a skeleton and weights into a folder.
WRITERS = {
    Format.ONNX_FP32: onnx_file.write_fp32,
    Format.ONNX_FP16: onnx_file.write_fp16,
    Format.ONNX_INT8: onnx_file.write_int8,
}

#: What libraries say that get no memory: the kernel's word, torch's, C++'s, the linker's, the agent's.
_NO_MEMORY = (
    "annot allocate memory",
    "can't allocate memory",
    "bad_alloc",
    "failed to map segment",
    "not enough memory",
)

#: Of the longest example, in tokens, of a file that takes any length: attention takes the square of it in memory.
_LONGEST = 512
#: In further runtimes a part of the examples is enough to know a broken kernel by: each n-th, and the longest.
_ELSEWHERE_EACH = 4


def export(job: Job, say: Say) -> dict[str, Any]:
    """Write the job's files and return its parity, the number of parameters and the peak of memory in bytes."""
    checkpoint = _open(job)
    format = Format(job.format)
    tflite = format.runtime == "tflite"
    if job.only_elsewhere:
        return _elsewhere(job, checkpoint, *_examples(job, checkpoint), say)
    with writing(Path(job.folder)):
        parameters = _write_tflite(job, checkpoint, say) if tflite else _write_onnx(job, checkpoint, say)
    gc.collect()  # graphs are cycles, and hold the checkpoint's mapped files
    say("checking parity with torch")
    inputs, expected = _examples(job, checkpoint)
    if tflite:
        path = Path(job.folder) / tflite_file.MODEL_NAME
        parity = _check_tflite(
            TFLiteRuntime("ai-edge-litert", Path(sys.executable)), path, checkpoint, format, inputs, expected
        )
    else:
        parity = check_onnx(Path(job.folder) / onnx_file.MODEL_NAME, checkpoint, format, inputs, expected)
    return {
        "parity": asdict(parity),
        **_elsewhere(job, checkpoint, inputs, expected, say),
        "parameters": parameters,
        "peak_rss_bytes": _peak_rss_bytes(),
    }


def _examples(job: Job, checkpoint: Checkpoint) -> tuple[list[Ids], list[Outputs]]:
    """Return the inputs of the parity check, and what torch answers to them."""
    longest = max(job.buckets, default=min(checkpoint.geometry.max_seq_len, _LONGEST))
    inputs = parity_inputs(checkpoint, longest=longest, choices=job.choices)
    expected_at = Path(job.expected)
    return inputs, expected_outputs(checkpoint, inputs, expected_at.parent, expected_at.stem)


def _open(job: Job) -> Checkpoint:
    if job.checkpoint is None:
        return reference_checkpoint(job.source, task=job.task)
    return open_checkpoint(Path(job.checkpoint), source=job.source, task=job.task)


def _write_onnx(job: Job, checkpoint: Checkpoint, say: Say) -> int:
    """Write an ONNX file; return the number of parameters."""
    import onnx_ir as ir

    weights = open_weights(checkpoint)
    weights.check_labels()
    path = Path(job.skeleton)
    if not path.is_file():
        say("tracing the model")
        write_whole(path, ir.to_proto(trace(checkpoint.geometry, checkpoint.head)).SerializeToString())
    skeleton = ir.load(path)
    parameters = sum(math.prod(static_shape(value)) for value in skeleton.graph.inputs if value.name not in INPUTS)
    say(f"writing {job.format}")
    WRITERS[Format(job.format)](skeleton, weights, Path(job.folder))
    return parameters


def _write_tflite(job: Job, checkpoint: Checkpoint, say: Say) -> int | None:
    """Write a .tflite file; return the number of parameters, None where it is made from another file."""
    path = Path(job.folder) / tflite_file.MODEL_NAME
    if job.made_from is not None:
        say(f"quantising to {job.format}")
        tflite_file.quantise(Path(job.made_from), path)
        return None
    open_weights(checkpoint).check_labels()
    say(f"converting to {job.format}, for inputs of up to {', '.join(map(str, job.buckets))} tokens")
    return tflite_file.convert(checkpoint, job.buckets, job.choices, path)


def _check_tflite(
    runtime: TFLiteRuntime,
    path: Path,
    checkpoint: Checkpoint,
    format: Format,
    inputs: Sequence[Ids],
    expected: Sequence[Outputs],
) -> Parity:
    answers = runtime.answers(path, checkpoint.head, inputs, pad_token_id=checkpoint.geometry.pad_token_id)
    return check(answers, checkpoint, format, expected, runtime=lambda: runtime.version or runtime.name)


def _elsewhere(
    job: Job, checkpoint: Checkpoint, inputs: Sequence[Ids], expected: Sequence[Outputs], say: Say
) -> dict[str, Any]:
    """Return the parity in each further runtime that reads the file, and what each that can't read it says.

    A runtime that does not answer for another reason (killed, not there any more) is in neither: it is asked again by
    whoever needs the file next.

    Raises:
        ParityError: one reads it and answers something else.
    """
    path = Path(job.folder) / tflite_file.MODEL_NAME
    some = [*range(0, len(inputs) - 1, _ELSEWHERE_EACH), len(inputs) - 1]
    found, refused = [], {}
    for version, python in job.elsewhere:
        say(f"checking parity in tflite-runtime {version}")
        runtime = TFLiteRuntime("tflite-runtime", Path(python))
        few, right = [inputs[i] for i in some], [expected[i] for i in some]
        try:
            found.append(asdict(_check_tflite(runtime, path, checkpoint, Format(job.format), few, right)))
        except ParityError:
            raise
        except Refused as error:
            say(f"tflite-runtime {version} can't read this file: {error}")
            refused[f"tflite-runtime {version}"] = str(error)
        except ExportError as error:
            say(f"not checked in tflite-runtime {version}: {error}")
    return {"parity_elsewhere": found, "refused_by": refused}


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

    job = Job(**json.load(sys.stdin))
    try:
        send(result=export(job, lambda text: send(progress=text)))
    except Exception as error:  # noqa: BLE001 - the parent says it in one line; the log has the rest
        send(**_told(error, job))
        sys.exit(1)


def _told(error: Exception, job: Job) -> dict[str, str]:
    """Return the class and the message by which the parent raises an error."""
    if _is_want_of_memory(error):
        message = want_of_memory(job.source, "there was not enough memory for the export")
        return {"error": ExportError.__name__, "message": message}
    if isinstance(error, EdgebenchError):
        return {"error": type(error).__name__, "message": str(error)}
    traceback.print_exception(error)
    reason = " ".join(str(error).split())[:300]
    return {"error": ExportError.__name__, "message": f"the export failed with {type(error).__name__}: {reason}"}


def _is_want_of_memory(error: BaseException) -> bool:
    """Whether this or an error behind it is of memory, in the words of whichever library wanted it."""
    said = str(error)
    if isinstance(error, MemoryError) or any(words in said for words in _NO_MEMORY):
        return True
    behind = error.__cause__ or error.__context__
    return behind is not None and _is_want_of_memory(behind)


if __name__ == "__main__":
    main()
