"""A board that is this machine: the real agent, packed as it is shipped, in a home of its own.

Starting an interpreter takes longer than most commands. So a command that needs no process of its own is run by a fork
of a process that has loaded the agent, and the archive has bytecode beside its sources.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import marshal
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from edgebench.board import agent_archive
from edgebench_agent import protocol
from tests.agent.agent_server import agent_server

#: For whatever should happen soon: a test that waits so long has failed.
DEADLINE_S = 300.0

SECOND = 1_000_000_000

#: The flags of a .pyc file that is never compared with its source (PEP 552).
_UNCHECKED_HASH = (1).to_bytes(4, "little")


@cache
def compiled_archive() -> bytes:
    """Return the agent's archive with bytecode for this Python added; other versions load the sources."""
    packed = io.BytesIO(agent_archive()[0])
    with zipfile.ZipFile(packed, "a") as archive:
        for name in archive.namelist():
            source = archive.read(name)
            code = compile(source, name, "exec", dont_inherit=True)
            header = importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(source)
            archive.writestr(name + "c", header + marshal.dumps(code))
    return packed.getvalue()


class AgentBoard:
    """A home for the agent, and its commands."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.python = python
        self.home = folder / "edgebench-home"
        self.environment = {**os.environ, "EDGEBENCH_HOME": str(self.home)}
        self.agent_sha256 = agent_archive()[1]
        self.archive = self._own_archive = folder / f"{self.agent_sha256}.pyz"
        self.archive.write_bytes(compiled_archive())
        self._runs = 0

    # --- commands -----------------------------------------------------------------------------------------------

    def argv(self, *arguments: object) -> list[str]:
        """Return the command line of an agent command."""
        return [self.python, str(self.archive), *(str(argument) for argument in arguments)]

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command with pipes."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(self.argv(*arguments), env=self.environment, **{**pipes, **options})

    def command(self, *arguments: object, input: bytes = b"", **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end; with `options` of subprocess.run, in a process that is started for it."""
        if not options and self.python == sys.executable and self.archive == self._own_archive:
            server = agent_server(compiled_archive())
            words = [str(argument) for argument in arguments]
            return server.run(self.archive, words, self.environment, input, DEADLINE_S)
        return subprocess.run(
            self.argv(*arguments),
            input=input,
            env=self.environment,
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
            **options,
        )

    def replies(self, *arguments: object, input: bytes = b"", **options: Any) -> list[dict[str, Any]]:
        """Run a command; return all its replies. Its exit status must agree with the last one."""
        done = self.command(*arguments, input=input, **options)
        replies = [protocol.decode_object(line) for line in done.stdout.splitlines(keepends=True)]
        assert replies, done.stderr.decode()
        assert done.returncode == (0 if replies[-1]["ok"] else 1)
        return replies

    def reply(self, *arguments: object, input: bytes = b"", **options: Any) -> dict[str, Any]:
        """Run a command that replies once."""
        (reply,) = self.replies(*arguments, input=input, **options)
        return reply

    def change(self, name: str, before: bytes, after: bytes) -> None:
        """Change the agent's file `name`, e.g. a time that is too long for a test: replace its only `before`."""
        path = f"edgebench_agent/{name}"
        with zipfile.ZipFile(self.archive) as old:
            # Its bytecode goes; the rest of the archive stays as it is.
            entries = {entry.filename: old.read(entry) for entry in old.infolist() if entry.filename != path + "c"}
        assert entries[path].count(before) == 1
        entries[path] = entries[path].replace(before, after)
        self.archive = self._own_archive.with_name("changed.pyz")
        with zipfile.ZipFile(self.archive, "w") as new:
            for filename, data in entries.items():
                new.writestr(filename, data)

    # --- blobs and runs -----------------------------------------------------------------------------------------

    def push(self, data: bytes) -> str:
        """Bring bytes into the blob store; return their hash."""
        sha256 = hashlib.sha256(data).hexdigest()
        assert self.replies("receive", sha256, len(data), input=data)[-1] == {"ok": True, "have": len(data)}
        return sha256

    def blob(self, data: bytes) -> Path:
        """Return where the blob of these bytes lies."""
        return self.home / "blobs" / hashlib.sha256(data).hexdigest()

    def spec(self, lengths: Sequence[int] = (8,), **changes: Any) -> protocol.RunSpec:
        """Return a specification of a run with the null runtime; its inputs are on the board."""
        self._runs += 1
        inputs = b"".join((token % 50 + 4).to_bytes(4, "little") for token in range(sum(lengths)))
        plain: dict[str, Any] = {
            "run_id": f"run-{self._runs}",
            "mode": "measure",
            "runtime": "null",
            "files": [],
            "inputs_sha256": self.push(inputs),
            "lengths": list(lengths),
            "batch": 1,
            "pad_token_id": 1,
            "threads": 1,
            "providers": [],
            "min_count": 50,
            "min_duration_ns": 0,
            "max_duration_ns": 30 * SECOND,
            "lease_ns": 600 * SECOND,
        }
        return protocol.RunSpec(**{**plain, **changes})

    def model_spec(self, model: bytes, lengths: Sequence[int] = (8,), **changes: Any) -> protocol.RunSpec:
        """Return a specification of a run of an ONNX model."""
        files = [{"name": "model.onnx", "sha256": self.push(model)}]
        return self.spec(lengths, **{"runtime": "onnxruntime", "files": files, **changes})

    def long_spec(self, model: bytes, **changes: Any) -> protocol.RunSpec:
        """Return a specification of a run that goes on for longer than any test."""
        endless = {"min_count": 10_000_000, "min_duration_ns": 600 * SECOND, "max_duration_ns": 600 * SECOND}
        return self.model_spec(model, **{**endless, **changes})

    def launch(self, spec: protocol.RunSpec, **options: Any) -> dict[str, Any]:
        """Launch a run; return the reply."""
        return self.reply("launch", input=spec.to_json(), **options)

    def launch_well(self, spec: protocol.RunSpec, **options: Any) -> int:
        """Launch a run that begins; return its supervisor's process id."""
        reply = self.launch(spec, **options)
        assert reply["ok"], reply
        pid: int = reply["pid"]
        return pid

    def journal(self, run_id: str) -> list[protocol.Entry]:
        """Follow a run to its end; return all its messages, which must be numbered as they stand."""
        follower = self.start("follow", run_id, 0)
        try:
            assert follower.stdout is not None
            entries = [
                protocol.decode_message(line) for line in follower.stdout if line != protocol.HEARTBEAT
            ]  # its input stays open: it ends by itself
            assert follower.wait(DEADLINE_S) == 0
        finally:
            follower.kill()
            follower.communicate()
        assert [entry.seq for entry in entries] == list(range(len(entries)))
        return entries

    def run(self, spec: protocol.RunSpec) -> list[Any]:
        """Launch a run and return its messages."""
        self.launch_well(spec)
        return [entry.message for entry in self.journal(spec.run_id)]

    def end_runs(self) -> None:
        """End what is still running."""
        for journal in self.home.glob("runs/*/journal.ndjson"):
            (journal.parent / "stop").touch()
        for journal in self.home.glob("runs/*/journal.ndjson"):
            self.command("follow", journal.parent.name, journal.stat().st_size)


def of(kind: type[Any], messages: Sequence[Any]) -> list[Any]:
    """Return the messages of one kind."""
    return [message for message in messages if isinstance(message, kind)]


def wait_until(happened: Callable[[], object]) -> None:
    """Return once `happened()` is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
