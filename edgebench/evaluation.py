"""What a model answers on a device: the same agent, artifact and session options as the timed runs."""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from edgebench.artifact import Artifact
from edgebench.device import Device
from edgebench.errors import AgentError
from edgebench.events import OnEvent, ignore
from edgebench.export import encode_texts
from edgebench.remote_agent import RemoteAgent, failure
from edgebench.session import preflight, push_artifact, run_spec
from edgebench.transport import open_transport
from edgebench.workload import EncodedInputs, Workload
from edgebench_agent import protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The largest file of outputs that is taken back from a board.
MAX_OUTPUT_BYTES = 4 << 30

Outputs: TypeAlias = "dict[str, NDArray[np.generic]]"


def infer_texts(
    artifact: Artifact,
    texts: Sequence[str],
    *,
    device: Device,
    batch: int = 1,
    threads: int | None = None,
    on_event: OnEvent = ignore,
) -> list[Outputs]:
    """Run texts through an artifact on a device and return what the model answered there.

    Returns:
        One table (output name -> array) per batch of `batch` texts, in order; the first axis is the texts of the
        batch, and a batch is padded to its longest text.

    Raises:
        RunFailed, BoardError, AgentError, ConnectionFailed, ConnectionLost.
    """
    workload = Workload(texts=tuple(texts), batch=batch, threads=threads or device.profile.threads or None)
    inputs = encode_texts(artifact, texts)
    with open_transport(device) as transport:
        agent = RemoteAgent(transport, name=device.name, python=device.python)
        preflight(agent, device, [artifact])
        push_artifact(agent, artifact, on_event)
        agent.push_bytes(inputs.to_bytes())
        return _infer(agent, artifact, workload, inputs, providers=list(device.profile.providers))


def _infer(
    agent: RemoteAgent, artifact: Artifact, workload: Workload, inputs: EncodedInputs, *, providers: list[str]
) -> list[Outputs]:
    run_id = f"infer-{secrets.token_hex(8)}"
    spec = run_spec(
        agent,
        artifact,
        workload,
        inputs,
        run_id=run_id,
        mode="infer",
        providers=providers,
        min_count=1,
        min_duration_ns=0,
        max_duration_ns=protocol.MAX_INT,
    )
    agent.launch(spec)
    outputs: protocol.Outputs | None = None
    for entry in agent.follow(run_id):
        if isinstance(entry.message, protocol.Failed):
            raise failure(agent.name, entry.message)
        if isinstance(entry.message, protocol.Outputs):
            outputs = entry.message
    if outputs is None or outputs.bytes > MAX_OUTPUT_BYTES:
        raise AgentError(f"{agent.name}: run {run_id} told of no outputs, or of more than {MAX_OUTPUT_BYTES} bytes")
    data = agent.fetch(run_id, "outputs.npy", limit=outputs.bytes)
    if hashlib.sha256(data).hexdigest() != outputs.sha256:
        raise AgentError(f"{agent.name}: the outputs of run {run_id} are not what the board wrote")
    batches = -(-len(inputs.lengths) // workload.batch)
    return read_outputs(data, outputs.names, batches, source=f"{agent.name}: run {run_id}")


def read_outputs(data: bytes, names: Sequence[str], batches: int, *, source: str) -> list[Outputs]:
    """Return the arrays in a run's `outputs.npy`: for each batch one .npy record per output.

    Raises:
        AgentError: a record is torn, of another kind, or their number isn't batches x names.
    """
    import numpy as np

    file = io.BytesIO(data)
    try:
        read = [{name: np.load(file, allow_pickle=False) for name in names} for _ in range(batches)]
    except (ValueError, EOFError) as error:
        raise AgentError(f"{source}: the outputs can't be read: {error}") from error
    if file.tell() != len(data):
        raise AgentError(f"{source}: there are more outputs than inputs")
    return read
