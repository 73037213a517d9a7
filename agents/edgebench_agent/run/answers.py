"""The outputs of a model for given inputs, by the same code as in a run, but without a home, journal or sensors.

`python -m edgebench_agent.run.answers INPUTS OUTPUTS` with a RunSpec on standard input, for the check of an exported
file on the machine that exports it. Prints one reply; the outputs are as in a run's `outputs.npy`.
"""

import json
import sys
from pathlib import Path
from typing import Any, Dict, cast

from ..parent import die_with_parent
from ..protocol.checks import ProtocolError
from ..protocol.failure import Failure
from ..protocol.messages import Message
from ..protocol.run_spec import RunSpec
from ..protocol.wire import one_line
from ..runtimes.registry import describe, open_runtime
from .infer import infer_all
from .inputs import Batches
from .supervisor_channel import SupervisorChannel


class _NullChannel:
    """A channel without a supervisor: messages are dropped, and nothing stops the run."""

    def send(self, message: Message) -> None:
        """Drop a message."""

    def check(self) -> None:
        """Return at once."""

    def enter(self, phase: str) -> None:
        """Return at once."""


def answer(spec: RunSpec, inputs: str, outputs: Path) -> Dict[str, Any]:
    """Run the inputs through the model, write its outputs, and return what ran it and the outputs' names.

    Raises:
        Failure: as a run fails.
    """
    found = describe(spec.runtime)
    path = spec.model_files()[0].path or ""
    model = open_runtime(spec.runtime).load(path, threads=spec.threads, providers=spec.providers)
    try:
        batches = Batches(spec, inputs, model.inputs, model.lengths)
        infer_all(spec, model, batches, outputs, cast(SupervisorChannel, _NullChannel()))
    except Exception as error:
        failure = model.explain(error)
        if failure is None:
            raise
        raise failure from error
    return {"ok": True, "version": found.version, "libraries": found.libraries, "outputs": model.outputs}


def main() -> int:
    """Carry out the specification on standard input; return the exit status."""
    die_with_parent()
    try:
        reply = answer(RunSpec.from_json(sys.stdin.buffer.readline()), sys.argv[1], Path(sys.argv[2]))
    except (Failure, ProtocolError) as error:
        kind = error.kind if isinstance(error, Failure) else "protocol"
        reply = {"ok": False, "kind": kind, "message": one_line(str(error))}
    sys.stdout.write(json.dumps(reply) + "\n")
    return 0 if reply["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
