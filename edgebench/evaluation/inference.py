"""Inference on a device: the outputs of a model, with the agent, artifact and session options of the timed runs."""

from __future__ import annotations

import hashlib
import io
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edgebench.artifact import Artifact
from edgebench.board import RemoteAgent, open_leased_agent, preflight, providers_for, push_artifact
from edgebench.device import Device
from edgebench.errors import AgentError, ConfigError
from edgebench.evaluation.embeddings import STATES, check_pooling, output_of_vectors
from edgebench.events import OnEvent, ignore
from edgebench.export import VECTOR
from edgebench.measure import RunCollector, collect_run, encode, resolve_workload, run_spec
from edgebench.run import Run
from edgebench.text import printable
from edgebench.workload import EncodedInputs, Workload
from edgebench.xtreme_r import pooled
from edgebench_agent import protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The largest file of outputs that is taken back from a board.
MAX_OUTPUT_BYTES = 4 << 30
_ENCODER = "encoder"
_KINDS = "biufc"  # numpy's letters for booleans, integers and floating-point numbers

Outputs: TypeAlias = "dict[str, NDArray[np.generic]]"


def infer_texts(
    artifact: Artifact,
    texts: Sequence[str],
    *,
    device: Device,
    batch: int = 1,
    threads: int | None = None,
    choices: int | None = None,
    truncate: bool = False,
    runtime: str | None = None,
    python: str | None = None,
    on_event: OnEvent = ignore,
) -> list[Outputs]:
    """Run texts through an artifact on a device and return what the model answered there.

    Args:
        choices, truncate: as in a Workload.
        runtime: of .tflite files, as for `edgebench.profile`.
        python: that runs the agent instead of the device's own.

    Returns:
        One table (output name -> array) per batch of `batch` texts, in order; the first axis is the texts of the
        batch, and a batch is padded to its longest text (TFLite: to a length that the file is made for).
        Outputs of tokens keep what stands for padding.

    Raises:
        RunFailed, BoardError, AgentError, ConnectionFailed, ConnectionLost.
    """
    workload = _workload(artifact, texts, device, batch=batch, threads=threads, choices=choices, truncate=truncate)
    inputs = encode(artifact, workload)
    return _answers(artifact, workload, inputs, device=device, runtime=runtime, python=python, on_event=on_event)


def sentence_vectors(
    artifact: Artifact,
    texts: Sequence[str],
    *,
    device: Device,
    threads: int | None = None,
    truncate: bool = False,
    runtime: str | None = None,
    python: str | None = None,
    on_event: OnEvent = ignore,
) -> NDArray[np.float64]:
    """Return a vector of unit length for each text: the file's own, else the mean of a bare encoder's states.

    Shape (texts, dimensions). Arguments and errors: as `infer_texts`, one text at a time; ConfigError: the model is no
    bare encoder, or its checkpoint makes vectors of states in another way than by their mean.
    """
    import numpy as np

    if artifact.head is not None and artifact.task != _ENCODER:
        raise ConfigError(
            f"{artifact.model_path}: {artifact.head} has no {STATES}", hint="export it with `task='encoder'`"
        )
    check_pooling(artifact)
    workload = _workload(artifact, texts, device, batch=1, threads=threads, choices=None, truncate=truncate)
    inputs = encode(artifact, workload)
    answers = _answers(artifact, workload, inputs, device=device, runtime=runtime, python=python, on_event=on_event)
    name = output_of_vectors(artifact, answers[0].keys())
    if name == VECTOR:
        return np.stack([pooled(answer[name], 1) for answer in answers])
    return np.stack([pooled(answer[name][0], tokens) for answer, tokens in zip(answers, inputs.lengths, strict=True)])


def _workload(artifact: Artifact, texts: Sequence[str], device: Device, *, batch: int, **changes: Any) -> Workload:
    changes["threads"] = changes["threads"] or device.profile.threads or None
    return resolve_workload(artifact, Workload(texts=tuple(texts), batch=min(batch, len(texts) or 1), **changes))


def _answers(
    artifact: Artifact,
    workload: Workload,
    inputs: EncodedInputs,
    *,
    device: Device,
    runtime: str | None,
    python: str | None,
    on_event: OnEvent,
) -> list[Outputs]:
    with open_leased_agent(device, purpose="inference on texts", python=python, on_event=on_event) as agent:
        preflight(agent, device, [artifact], on_event, runtime=runtime)
        push_artifact(agent, artifact, on_event)
        board = BoardModel(agent=agent, artifact=artifact, providers=providers_for(device, artifact), runtime=runtime)
        return board.infer(workload, inputs).batches


@dataclass(frozen=True, slots=True)
class Inferred:
    """A model's outputs for each batch, and the run that produced them, with every latency and reading."""

    batches: list[Outputs]
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardModel:
    """An artifact whose files are on a leased board; `providers`, `runtime`: what it runs on, as for a run."""

    agent: RemoteAgent
    artifact: Artifact
    providers: list[str]
    runtime: str | None = None

    def infer(
        self,
        workload: Workload,
        inputs: EncodedInputs,
        *,
        reduce: Literal["", "mean"] = "",
        warm_shapes: bool = False,
        watch: Callable[[RunCollector], None] | None = None,
    ) -> Inferred:
        """Run each input once, in order, under a resolved workload, and return the outputs.

        Args:
            reduce, warm_shapes: as in a RunSpec of the agent's protocol.
            watch: called after every message with what was collected so far.

        Raises:
            RunFailed, BoardError, AgentError, ConnectionLost.
        """
        agent = self.agent
        agent.push_bytes(inputs.to_bytes())
        spec = run_spec(
            agent,
            self.artifact,
            workload,
            inputs,
            run_id=f"infer-{secrets.token_hex(8)}",
            providers=self.providers,
            plan=None,
            runtime=self.runtime,
        )
        spec = replace(spec, reduce=reduce, warm_shapes=warm_shapes)
        collector = collect_run(agent, spec, watch=watch)
        data = self._fetch(spec.run_id, collector.outputs)
        count = len(inputs.lengths) // (workload.choices or 1)
        rows = [min(workload.batch, count - at) for at in range(0, count, workload.batch)]
        names = collector.outputs.names if collector.outputs is not None else []
        source = f"{agent.name}: run {spec.run_id}"
        batches = read_outputs(data, names, rows, source=source)
        run = collector.run()
        _refuse_not_finite(batches, spec, source, taken=run.facts.lengths or ())
        return Inferred(batches, run)

    def _fetch(self, run_id: str, outputs: protocol.Outputs | None) -> bytes:
        name = self.agent.name
        if outputs is None or outputs.bytes > MAX_OUTPUT_BYTES:
            raise AgentError(f"{name}: run {run_id} reported no outputs, or more than {MAX_OUTPUT_BYTES} bytes")
        data = self.agent.fetch(run_id, "outputs.npy", limit=outputs.bytes)
        if hashlib.sha256(data).hexdigest() != outputs.sha256:
            raise AgentError(f"{name}: the outputs of run {run_id} are not what the board wrote")
        return data


def read_outputs(data: bytes, names: Sequence[str], rows: Sequence[int], *, source: str) -> list[Outputs]:
    """Return the arrays in a run's `outputs.npy`: for each batch one .npy record per output.

    Args:
        rows: inputs of each batch, which is what each of its records has as first axis.

    Raises:
        AgentError: a record is torn, of another shape or kind than numbers, or there are too many or too few.
    """
    file = io.BytesIO(data)
    try:
        if len(set(names)) < len(names):
            raise ValueError(f"two outputs have one name: {', '.join(names)}")
        read = [{name: _read_record(file, data, count) for name in names} for count in rows]
        if file.tell() != len(data):
            raise ValueError("there are more outputs than inputs")
    except Exception as error:  # numpy's, of whatever kind: the file comes from a board
        raise AgentError(f"{source}: the outputs can't be read: {printable(error)}") from error
    return read


def _refuse_not_finite(
    batches: Sequence[Outputs], spec: protocol.RunSpec, source: str, *, taken: Sequence[int] = ()
) -> None:
    """Raise AgentError for numbers that are not finite, padding apart; the agent refuses them, so none should come.

    Args:
        taken: lengths in tokens that the model takes, as the agent reported them; empty: any.
    """
    import numpy as np

    sequences = spec.batch * spec.choices
    for index, batch in enumerate(batches):
        lengths = spec.lengths[index * sequences : (index + 1) * sequences]
        tokens = protocol.padded_length(max(lengths), taken)
        for name, output in batch.items():
            if output.dtype.kind not in "fc" or np.isfinite(output).all():
                continue
            if not all(np.isfinite(part).all() for part in protocol.parts_without_padding(output, lengths, tokens)):
                raise AgentError(f"{source}: the output {name} is not finite (NaN or infinity): it answers nothing")


def _read_record(file: io.BytesIO, data: bytes, rows: int) -> NDArray[np.generic]:
    """Read one .npy record; nothing is allocated before its header has proved to fit what was sent."""
    import numpy as np
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"a record of version {version}")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_fortran, dtype = read_header(file)
    if dtype.kind not in _KINDS:
        raise ValueError(f"a record of {dtype}, which is no kind of number")
    if not shape or shape[0] != rows or min(shape) < 0:
        raise ValueError(f"a record of shape {shape} for {rows} inputs")
    start, size = file.tell(), math.prod(shape) * dtype.itemsize
    if size > len(data) - start:
        raise ValueError("a record is cut off")
    file.seek(start + size)
    return np.ndarray(shape, dtype, buffer=data, offset=start, order="F" if is_fortran else "C").copy()
