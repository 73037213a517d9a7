"""Outputs of a .tflite file in a TFLite runtime on this machine, computed by the agent's code in a child process.

The parity check thus covers the code that runs on boards, padding included, and survives a crash of the runtime.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import ExportError, ParityError
from edgebench.export.heads import Head
from edgebench.export.lifetime import module_command
from edgebench_agent import protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Outputs = dict[str, NDArray[np.float32]]

_UNCHECKED = "0" * 64  # placeholder hash: the files are passed by path and not verified
_MOST_TOKENS = 2048  # per child process: a masked language model outputs a megabyte per token


class Refused(ExportError):
    """The runtime can't read the file, for a reason other than lack of memory."""


#: What the agent's kinds of failures mean here; any other: the runtime did not answer.
_ERRORS: dict[str, type[ExportError]] = {"model_rejected": Refused, "outputs_rejected": ParityError}


class TFLiteRuntime:
    """A runtime, by the agent's name for it, and the Python that it is installed in.

    `version` (library name and version) is None until the first answer.
    """

    def __init__(self, name: str, python: Path) -> None:
        self.name = name
        self.python = python
        self.version: str | None = None

    def answers(self, path: Path, head: Head, inputs: Sequence[Ids], *, pad_token_id: int) -> Iterator[Outputs]:
        """Yield the file's outputs for each input alone, without batch dimension and padding.

        Args:
            inputs: token ids of shape (tokens,), or (choices, tokens) for a head with choices.

        Raises:
            Refused: the runtime can't read the file.
            ParityError: its outputs are not finite.
            ExportError: it did not answer for another reason: it was removed or killed.
        """
        for part in _parts(inputs):
            with tempfile.TemporaryDirectory() as folder:
                names = self._run(path, part, Path(folder), pad_token_id=pad_token_id)
                with (Path(folder) / "outputs.npy").open("rb") as file:
                    yield from _read(file, names, head, part)

    def _run(self, path: Path, inputs: Sequence[Ids], folder: Path, *, pad_token_id: int) -> list[str]:
        """Run the inputs and write the outputs to the folder; return the names of the outputs."""
        import numpy as np

        rows = [row for ids in inputs for row in np.atleast_2d(ids)]
        np.concatenate(rows).astype("<i4").tofile(folder / "inputs")
        spec = protocol.RunSpec(
            run_id="parity",
            mode="infer",
            runtime=self.name,
            files=[{"name": path.name, "sha256": _UNCHECKED, "path": str(path.absolute())}],
            inputs_sha256=_UNCHECKED,
            lengths=[len(row) for row in rows],
            batch=1,
            choices=len(rows) // len(inputs),
            pad_token_id=pad_token_id,
            threads=0,
            providers=[],
            min_count=1,
            min_duration_ns=0,
            max_duration_ns=protocol.MAX_INT,
            lease_ns=protocol.MAX_INT,
        )
        try:
            done = subprocess.run(
                module_command(self.python, "edgebench_agent.run.answers", [folder / "inputs", folder / "outputs.npy"]),
                input=spec.to_json(),
                capture_output=True,
                env={**os.environ, "PYTHONPATH": _agent_path(), "PYTHONSAFEPATH": "1"},
                check=False,
            )
        except OSError as error:
            raise ExportError(f"{self.name}: {self.python} does not start: {error.strerror}") from error
        return self._reply(done, path)

    def _reply(self, done: subprocess.CompletedProcess[bytes], path: Path) -> list[str]:
        lines = done.stdout.splitlines()
        try:
            reply: dict[str, Any] = json.loads(lines[-1])
        except (IndexError, ValueError):
            log = " ".join(done.stderr.decode(errors="replace").split())[-300:]
            how = f"died of signal {-done.returncode}" if done.returncode < 0 else f"ended with {done.returncode}"
            raise ExportError(f"{self.name} {how} over {path.name}: {log}") from None
        if not reply["ok"]:
            raise _ERRORS.get(reply["kind"], ExportError)(f"{self.name}: {reply['message']}")
        self.version = str(reply["version"])
        return list(reply["outputs"])


def _parts(inputs: Sequence[Ids]) -> Iterator[list[Ids]]:
    """Yield the inputs in batches of at most _MOST_TOKENS tokens (or one input)."""
    part: list[Ids] = []
    for ids in inputs:
        if part and sum(other.size for other in part) + ids.size > _MOST_TOKENS:
            yield part
            part = []
        part.append(ids)
    yield part


def _read(file: Any, names: Sequence[str], head: Head, inputs: Sequence[Ids]) -> Iterator[Outputs]:
    import numpy as np

    is_per_token = {output.name: output.answer.is_per_token for output in head.outputs}
    for ids in inputs:
        records = {name: np.load(file, allow_pickle=False)[0] for name in names}
        yield {
            name: records[name][: ids.shape[-1]] if per_token else records[name]
            for name, per_token in is_per_token.items()
        }


def _agent_path() -> str:
    """Return the folder that contains the agent's package."""
    spec = find_spec("edgebench_agent")
    assert spec is not None and spec.origin is not None  # noqa: S101 - we import it above
    return str(Path(spec.origin).parent.parent)
