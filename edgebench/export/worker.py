"""Worker: the program of the child process that exports (see isolation.py).

Standard input: one Job as JSON. Standard output: lines of JSON, first `{"importing": library or null}` and
`{"progress": ...}`, last `{"result": ...}` or `{"error": class name, "message": ...}`. Standard error is the log.
"""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.artifact import Format, Judgement, Parity
from edgebench.errors import EdgebenchError, ExportError, ParityError
from edgebench.export import onnx_file, tflite_file
from edgebench.export.activations import judge_activations
from edgebench.export.cache import writing
from edgebench.export.checkpoint import Checkpoint, open_checkpoint, reference_checkpoint
from edgebench.export.floor_measure import Examples
from edgebench.export.floor_trials import Stand
from edgebench.export.floors import refuse_range
from edgebench.export.isolation import NO_MEMORY, Job, out_of_memory_message
from edgebench.export.libraries import READERS, import_libraries
from edgebench.export.lifetime import end_with_parent
from edgebench.export.memory import release_memory
from edgebench.export.parity import Ids, Outputs, Reference, check, check_onnx, parity_inputs, torch_reference
from edgebench.export.quality_floor import reach_floor
from edgebench.export.recipes import RECIPES
from edgebench.export.skeleton import INPUTS, static_shape
from edgebench.export.skeleton_file import load_skeleton
from edgebench.export.tflite_answers import Refused, TFLiteRuntime
from edgebench.export.tokenizer_loading import open_fast
from edgebench.export.tokens import check_tokenizer
from edgebench.export.weights import Weights, open_weights
from edgebench.quality import QualityFloor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

Say = Callable[[str], None]

#: How each ONNX format of floats is written: from a skeleton and weights into a folder.
WRITERS = {Format.ONNX_FP32: onnx_file.write_fp32, Format.ONNX_FP16: onnx_file.write_fp16}
#: The same of formats with int8 matrices, whose writers also take the ranges of the matrices' inputs.
INTEGER_WRITERS = {Format.ONNX_INT8: onnx_file.write_int8, Format.ONNX_INT4: onnx_file.write_int4}

#: Longest example, in tokens, for a file that takes any length: the memory for attention grows with its square.
_LONGEST = 512
#: In further runtimes, and for the range of activations, every n-th example and the longest are enough.
_ELSEWHERE_EACH = 4


def export(job: Job, say: Say) -> dict[str, Any]:
    """Do the job and return its result, as `isolation.run_job` describes it."""
    checkpoint = _open(job)
    format = Format(job.format)
    tflite = format.runtime == "tflite"
    if job.only_elsewhere:
        inputs = _inputs(job, checkpoint)
        return _elsewhere(job, checkpoint, inputs, _reference(job, checkpoint, inputs).outputs, say)
    inputs = _checked_inputs(job, checkpoint)
    release_memory()
    notes, parameters = _write(job, checkpoint, inputs, say)
    release_memory()
    quality = _reach_floor(job, checkpoint, inputs, say) if job.quality_floor is not None else None
    say("checking parity with torch")
    expected = _reference(job, checkpoint, inputs).outputs
    release_memory()
    if tflite:
        path = Path(job.folder) / tflite_file.MODEL_NAME
        parity = _check_tflite(
            TFLiteRuntime("ai-edge-litert", Path(sys.executable)), path, checkpoint, job, inputs, expected
        )
    else:
        model = Path(job.folder) / onnx_file.MODEL_NAME
        judgements = [_judge_range(job, checkpoint, inputs)] if format is Format.ONNX_FP16 else []
        parity = check_onnx(model, checkpoint, format, inputs, expected, accept=job.accept_parity)
        parity = replace(parity, judgements=(*parity.judgements, *judgements))
    return {
        "parity": asdict(parity),
        **_elsewhere(job, checkpoint, inputs, expected, say),
        "parameters": parameters,
        "quality": asdict(quality) if quality is not None else None,
        "notes": notes,
        "peak_rss_bytes": _peak_rss_bytes(),
    }


def _checked_inputs(job: Job, checkpoint: Checkpoint) -> list[Ids]:
    """Return the inputs of the parity check, by a tokenizer that fits the model."""
    opened = open_fast(Path(checkpoint.tokenizer)) if checkpoint.tokenizer is not None else None
    check_tokenizer(checkpoint.tokenizer, checkpoint.geometry.vocab_size, opened=opened)
    return _inputs(job, checkpoint, opened)


def _inputs(job: Job, checkpoint: Checkpoint, opened: Tokenizer | None = None) -> list[Ids]:
    longest = max(job.buckets, default=min(checkpoint.geometry.max_seq_len, _LONGEST))
    return parity_inputs(checkpoint, longest=longest, choices=job.choices, opened=opened)


def _reference(job: Job, checkpoint: Checkpoint, inputs: Sequence[Ids]) -> Reference:
    """Return what torch computes of the inputs of the parity check."""
    expected_at = Path(job.expected)
    return torch_reference(checkpoint, inputs, expected_at.parent, expected_at.stem)


def _write(job: Job, checkpoint: Checkpoint, inputs: Sequence[Ids], say: Say) -> tuple[tuple[str, ...], int | None]:
    """Write the file; return notes on the weights, and the number of parameters.

    The weights are this function's alone: as long as they are open, the checkpoint's files are mapped.
    """
    format = Format(job.format)
    weights = open_weights(checkpoint) if job.made_from is None else None
    if weights is not None:
        weights.check_labels()
    ranges: Mapping[str, NDArray[np.float32]] = {}
    if format in INTEGER_WRITERS:
        say("running the checkpoint in torch")
        ranges = _reference(job, checkpoint, inputs).input_ranges
        release_memory()
    with writing(Path(job.folder)):
        if format.runtime == "tflite" or weights is None:
            parameters = _write_tflite(job, checkpoint, say)
        else:
            parameters = _write_onnx(job, weights, ranges, say)
    return weights.notes if weights is not None else (), parameters


def _open(job: Job) -> Checkpoint:
    if job.checkpoint is None:
        return reference_checkpoint(job.source, task=job.task)
    return open_checkpoint(Path(job.checkpoint), source=job.source, task=job.task)


def _write_onnx(job: Job, weights: Weights, ranges: Mapping[str, NDArray[np.float32]], say: Say) -> int:
    """Write an ONNX file; return the number of parameters.

    Args:
        ranges: for int8 and int4: the largest magnitude of each input of each linear module.
    """
    checkpoint = weights.checkpoint
    skeleton = load_skeleton(
        Path(job.skeleton), checkpoint.geometry, checkpoint.head, checkpoint.sentence, on_progress=say
    )
    parameters = sum(math.prod(static_shape(value)) for value in skeleton.graph.inputs if value.name not in INPUTS)
    release_memory()
    say(f"writing {job.format}")
    if (write := INTEGER_WRITERS.get(Format(job.format))) is not None:
        write(skeleton, weights, Path(job.folder), ranges)
    else:
        WRITERS[Format(job.format)](skeleton, weights, Path(job.folder))
    return parameters


def _reach_floor(job: Job, checkpoint: Checkpoint, inputs: Sequence[Ids], say: Say) -> QualityFloor:
    """Replace the file that was written by one that reaches the job's quality floor, if it does not."""
    assert job.quality_floor is not None  # noqa: S101 - the caller has looked
    reference, format, folder = _reference(job, checkpoint, inputs), Format(job.format), Path(job.folder)
    examples = Examples(checkpoint, inputs, reference.outputs)
    with writing(folder):
        stand = Stand(
            Path(job.skeleton), open_weights(checkpoint), format, reference.input_ranges, examples, folder=folder.parent
        )
        return reach_floor(stand, examples, folder, format=format, floor=job.quality_floor, say=say)


def _judge_range(job: Job, checkpoint: Checkpoint, inputs: Sequence[Ids]) -> Judgement:
    """Return the model's largest activation, held against float16's largest number.

    Raises:
        ParityError: it is larger, and the job does not accept that.
    """
    folder = Path(job.folder)
    with writing(folder):
        skeleton = load_skeleton(
            Path(job.skeleton), checkpoint.geometry, checkpoint.head, checkpoint.sentence, on_progress=lambda _: None
        )
        some = [*inputs[:-1:_ELSEWHERE_EACH], inputs[-1]]
        judgement = judge_activations(skeleton, open_weights(checkpoint), some, folder)
    if not job.accept_parity:
        refuse_range(judgement, where=job.source)
    return judgement


def _write_tflite(job: Job, checkpoint: Checkpoint, say: Say) -> int | None:
    """Write a .tflite file; return the number of parameters, or None if it is made from another file."""
    path = Path(job.folder) / tflite_file.MODEL_NAME
    if job.made_from is not None:
        say(f"quantising to {job.format}")
        scales = RECIPES[Format(job.format)].scales
        assert scales is not None  # noqa: S101 - every format that is made from another has them
        tflite_file.quantise(Path(job.made_from), path, scales)
        return None
    say(f"converting to {job.format}, for inputs of up to {', '.join(map(str, job.buckets))} tokens")
    return tflite_file.convert(checkpoint, job.buckets, job.choices, path)


def _check_tflite(
    runtime: TFLiteRuntime,
    path: Path,
    checkpoint: Checkpoint,
    job: Job,
    inputs: Sequence[Ids],
    expected: Sequence[Outputs],
) -> Parity:
    answers = runtime.answers(path, checkpoint.head, inputs, pad_token_id=checkpoint.geometry.pad_token_id)
    version, format = lambda: runtime.version or runtime.name, Format(job.format)
    return check(answers, checkpoint, format, expected, runtime=version, accept=job.accept_parity)


def _elsewhere(
    job: Job, checkpoint: Checkpoint, inputs: Sequence[Ids], expected: Sequence[Outputs], say: Say
) -> dict[str, Any]:
    """Return the parity in each further runtime that reads the file, and the error of each that can't.

    A runtime that fails for another reason (killed, removed) is in neither: the next export repeats its check.

    Raises:
        ParityError: outputs in one of the runtimes differ.
    """
    path = Path(job.folder) / tflite_file.MODEL_NAME
    some = [*range(0, len(inputs) - 1, _ELSEWHERE_EACH), len(inputs) - 1]
    found, refused = [], {}
    for version, python in job.elsewhere:
        say(f"checking parity in tflite-runtime {version}")
        runtime = TFLiteRuntime("tflite-runtime", Path(python))
        some_inputs, some_expected = [inputs[i] for i in some], [expected[i] for i in some]
        try:
            try:
                parity = _check_tflite(runtime, path, checkpoint, job, some_inputs, some_expected)
            except ParityError:  # a share of few examples is coarse: all of them decide
                parity = _check_tflite(runtime, path, checkpoint, job, inputs, expected)
            found.append(asdict(parity))
        except ParityError:
            raise
        except Refused as error:
            say(f"tflite-runtime {version} can't read this file: {error}")
            refused[f"tflite-runtime {version}"] = str(error)
        except ExportError as error:
            say(f"not checked in tflite-runtime {version}: {error}")
    return {"parity_elsewhere": found, "refused_by": refused}


def _peak_rss_bytes() -> int | None:
    """Return the peak of this process alone; getrusage would include the parent's memory at the fork."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Do the job read from standard input."""
    end_with_parent()
    # fd 1 carries the messages; torch and native libraries would print to it.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    job = Job(**json.load(sys.stdin))
    try:
        _import(job, send)
        send(result=export(job, lambda text: send(progress=text)))
    except Exception as error:  # noqa: BLE001 - the parent reports it in one line; the log has the traceback
        send(**_error_message(error, job))
        sys.exit(1)


def _import(job: Job, send: Callable[..., None]) -> None:
    """Import the libraries that read checkpoints, and say which one is being imported."""
    if Format(job.format).runtime != "tflite":
        sys.modules.setdefault("torchao", None)  # type: ignore[arg-type]  # transformers would import it, for nothing
    gc.disable()  # nothing of a module that is being imported is garbage
    for library in READERS:
        send(importing=library.split(".")[0])
        import_libraries([library])
    gc.freeze()
    gc.enable()
    send(importing=None)


def _error_message(error: Exception, job: Job) -> dict[str, str]:
    """Return the class and message of the error that the parent raises."""
    if _is_out_of_memory(error):
        message = out_of_memory_message(job.source, "there was not enough memory for the export")
        return {"error": ExportError.__name__, "message": message}
    if isinstance(error, EdgebenchError):
        return {"error": type(error).__name__, "message": str(error)}
    traceback.print_exception(error)
    reason = " ".join(str(error).split())[:300]
    return {"error": ExportError.__name__, "message": f"the export failed with {type(error).__name__}: {reason}"}


def _is_out_of_memory(error: BaseException) -> bool:
    """Return whether this error, or one of its causes, says that memory ran out."""
    message = str(error)
    if isinstance(error, MemoryError) or any(words in message for words in NO_MEMORY):
        return True
    cause = error.__cause__ or error.__context__
    return cause is not None and _is_out_of_memory(cause)


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    os._exit(0)  # all is written; to take torch's modules apart would take a second more
