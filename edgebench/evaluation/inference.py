"""Inference on a device: the outputs of a model, with the agent, artifact and session options of the timed runs."""

from __future__ import annotations

import hashlib
import mmap
import secrets
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from edgebench.artifact import Artifact
from edgebench.board import RemoteAgent, open_leased_agent, preflight, providers_for, push_artifact
from edgebench.device import Device
from edgebench.errors import AgentError, ConfigError, StoreError
from edgebench.evaluation.embeddings import STATES, check_pooling, output_of_vectors
from edgebench.evaluation.outputs import Outputs, check_outputs, most_output_bytes, read_outputs
from edgebench.events import OnEvent, ignore
from edgebench.export import VECTOR
from edgebench.measure import RunCollector, collect_run, encode, resolve_workload, run_spec
from edgebench.run import Run
from edgebench.workload import EncodedInputs, Workload
from edgebench.xtreme_r import pooled
from edgebench_agent import protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ENCODER = "encoder"


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
    source: str  # the board and the run, for messages


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
        source = f"{agent.name}: run {spec.run_id}"
        count = len(inputs.lengths) // (workload.choices or 1)
        rows = [min(workload.batch, count - at) for at in range(0, count, workload.batch)]
        run = collector.run()
        outputs = self._announced(spec, run, collector.outputs, source)
        batches = read_outputs(self._fetch(spec.run_id, outputs, source), outputs.names, rows, source=source)
        check_outputs(batches, self.artifact, spec, taken=run.facts.lengths or (), source=source)
        return Inferred(batches, run, source)

    def _announced(
        self, spec: protocol.RunSpec, run: Run, outputs: protocol.Outputs | None, source: str
    ) -> protocol.Outputs:
        """Return what the board says that it has, if a run can have produced it."""
        if outputs is None or not outputs.names:
            raise AgentError(f"{source}: reported no outputs")
        reported = run.facts.lengths or ()
        most = most_output_bytes(self.artifact, spec, self.artifact.buckets or reported)
        if outputs.bytes > most:
            raise AgentError(f"{source}: reports {outputs.bytes} bytes of outputs, and can have produced {most}")
        return outputs

    def _fetch(self, run_id: str, outputs: protocol.Outputs, source: str) -> bytes | mmap.mmap:
        """Return the content of the outputs' file: in memory only as far as it is read."""
        with tempfile.TemporaryFile() as file:
            try:
                self.agent.fetch_into(file, run_id, "outputs.npy", limit=outputs.bytes)
                file.flush()
            except OSError as error:
                raise StoreError(f"can't keep the outputs in {tempfile.gettempdir()}: {error.strerror}") from error
            if not outputs.bytes or file.tell() != outputs.bytes:
                raise AgentError(f"{source}: the outputs are not of the size that the board reported")
            file.seek(0)
            if hashlib.file_digest(file, "sha256").hexdigest() != outputs.sha256:
                raise AgentError(f"{source}: the outputs are not what the board wrote")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
