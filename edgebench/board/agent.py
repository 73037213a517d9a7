"""The agent on a board, the host's half: its commands as methods.

Every answer is bounded and checked here, in the modules that this one calls, or in `edgebench_agent.protocol`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, TypeVar

from edgebench import ending
from edgebench.board.bootstrap import InstalledAgent, put_agent
from edgebench.board.busy_retry import NO_RETRY, BusyRetry
from edgebench.board.commands import AgentCommands, HeldLease
from edgebench.board.facts import BoardProbe, BoardRun, is_path, other_load, sanitize_tail
from edgebench.board.installed_runtimes import InstalledRuntime
from edgebench.board.journal import Follower, Position
from edgebench.board.lease_reply import LeaseReply
from edgebench.board.pythons import DEFAULT_PYTHON
from edgebench.board.transfer import OnProgress, fetch, fetch_into, push_bytes, push_file
from edgebench.board.transport import open_transport
from edgebench.board.transport.base import Transport
from edgebench.device import Device
from edgebench.errors import AgentError, BoardError
from edgebench.facts import OtherLoad
from edgebench.runtimes import TFLITE_RUNTIMES
from edgebench_agent import protocol

_T = TypeVar("_T")


@contextmanager
def connect_agent(
    device: Device, *, python: str | None = None, inspect: bool = False, busy_retry: BusyRetry = NO_RETRY
) -> Iterator[RemoteAgent]:
    """Connect to a device, put the agent there unless it is there, and give it; the connection is closed at the end.

    The board's lease is not taken: `open_leased_agent` does that, too.

    Args:
        python: the board's interpreter for the agent; None: the device's.
        inspect: also look at every file of the runtimes that `device setup` has installed.
        busy_retry: how long a launch waits while another run is measured on the board.

    Raises:
        BoardError: there is no Python, or only one that is too old, or no room for the agent.
        ConnectionFailed, ConnectionLost.
    """
    with ending.scope(), open_transport(device) as transport:
        yield install_agent(transport, python=python or device.python, inspect=inspect, busy_retry=busy_retry)


def install_agent(
    transport: Transport, *, python: str = DEFAULT_PYTHON, inspect: bool = False, busy_retry: BusyRetry = NO_RETRY
) -> RemoteAgent:
    """Put the agent on a board that is connected, unless it is there; arguments and errors as of `connect_agent`."""
    return RemoteAgent(transport, put_agent(transport, python=python, inspect=inspect), busy_retry=busy_retry)


class RemoteAgent(AgentCommands):
    """The agent on one board, reached through a transport; `connect_agent` makes one.

    Where the Python is not the user's choice, a runtime that `device setup` has installed is run by the Python of its
    environment (`installed_runtimes`).
    """

    def __init__(
        self,
        transport: Transport,
        installed: InstalledAgent,
        *,
        busy_retry: BusyRetry = NO_RETRY,
        held_lease: HeldLease | None = None,
    ) -> None:
        super().__init__(transport, python=installed.python, path=installed.path, held_lease=held_lease)
        self.installed = installed
        self._busy_retry = busy_retry
        #: What was pushed, by its hash: a path and a size, or the bytes.
        self._pushed: dict[str, tuple[Path, int] | bytes] = {}

    @property
    def installed_runtimes(self) -> Mapping[str, InstalledRuntime]:
        """The runtimes that `device setup` had installed when the agent was connected, by name."""
        return self.installed.runtimes

    def python_for(self, runtime: str) -> str:
        """Return the board's interpreter that has a runtime."""
        names = (runtime, *TFLITE_RUNTIMES) if runtime == "tflite" else (runtime,)
        installed = self.installed_runtimes
        return next((installed[name].python for name in names if name in installed), self.python)

    def with_runtimes(self, runtimes: Mapping[str, InstalledRuntime]) -> RemoteAgent:
        """Return the same agent with other installed runtimes: one that is tried before it is adopted, say."""
        installed = replace(self.installed, runtimes=dict(runtimes))
        return self._sharing(
            RemoteAgent(self.transport, installed, busy_retry=self._busy_retry, held_lease=self.held_lease)
        )

    def clone_for_thread(self, transport: Transport) -> RemoteAgent:
        """Return the same agent over another connection, for another thread: a connection belongs to one thread."""
        return self._sharing(
            RemoteAgent(transport, self.installed, busy_retry=self._busy_retry, held_lease=self.held_lease)
        )

    def _sharing(self, other: RemoteAgent) -> RemoteAgent:
        """Return another view of this agent, which knows what this one has pushed."""
        other._pushed = self._pushed
        return other

    # --- facts of the board -------------------------------------------------------------------------------------

    def probe(self, runtimes: Sequence[str] = ()) -> BoardProbe:
        """Return the board's facts and, per runtime, whether and in which version it works.

        A runtime is probed by the Python that has it, and its `board` holds the facts that this Python reports.
        """
        by_python: dict[str, list[str]] = {}
        for name in runtimes:
            by_python.setdefault(self.python_for(name), []).append(name)
        probes = [self._probe(python, names) for python, names in (by_python or {self.python: []}).items()]
        return replace(probes[0], runtimes={name: found for each in probes for name, found in each.runtimes.items()})

    def _probe(self, python: str, runtimes: Sequence[str]) -> BoardProbe:
        arguments = [argument for name in runtimes for argument in ("--runtime", name)]
        reply = self.command(["probe", *arguments], timeout_s=300, python=python)
        return BoardProbe.from_reply(reply, runtimes, name=self.name)

    def load(self, *, seconds: float) -> OtherLoad:
        """Return what others take of the board, read over so many seconds."""
        return other_load(self.command(["load", "--seconds", f"{seconds:g}"], timeout_s=60 + seconds))

    def temperatures(self) -> dict[str, int]:
        """Return the temperature of each thermal zone, millidegrees, named as readings are; a light command."""
        reported = self.command(["temperatures"], timeout_s=60).get("temperature_mc")
        if not isinstance(reported, dict) or len(reported) > protocol.MAX_ITEMS:
            raise AgentError(f"{self.name}: the board's answer to temperatures is not valid")
        return {
            f"temperature_mc/{sanitize_tail(zone, 200)}": value
            for zone, value in reported.items()
            if type(value) is int
        }

    # --- files on the board -------------------------------------------------------------------------------------

    def push(self, path: Path, *, sha256: str, size: int, on_progress: OnProgress | None = None) -> int:
        """Bring a file into the board's blob store, verified there; return how many bytes had to be moved.

        Bytes that the board has already are not sent again: none of a complete file, only the rest of one that was cut
        off. `on_progress(bytes on the board, size)` is called as bytes move.

        Raises:
            BoardError: the board's disk is full, or the file that arrived is not the one that was sent.
            ConnectionLost: the connection broke again and again.
        """
        self._pushed[sha256] = (path, size)
        pushed = push_file(self, path, sha256=sha256, size=size, on_progress=on_progress)
        if pushed.changed:
            self._log_pushed_again([path.name])
        return pushed.moved

    def push_bytes(self, data: bytes) -> str:
        """Bring some bytes into the board's blob store; return their SHA-256."""
        sha256, pushed = push_bytes(self, data)
        self._pushed[sha256] = data
        if pushed.changed:
            self._log_pushed_again(["inputs"])
        return sha256

    def _push_again(self, spec: protocol.RunSpec) -> list[str]:
        """Push what a run needs and the board has no more; return the names, none if it was not pushed from here."""
        files = {file.sha256 for part in spec.parts() for file in part.model_files() if file.path is None}
        hashes = files | {part.inputs_sha256 for part in spec.parts()}
        again = []
        for sha256, content in self._pushed.items():
            if sha256 not in hashes:
                continue
            if isinstance(content, bytes):
                name, (_, pushed) = "inputs", push_bytes(self, content)
            else:
                path, size = content
                name, pushed = path.name, push_file(self, path, sha256=sha256, size=size)
            if pushed.moved:
                again.append(name)
        return again

    def _log_pushed_again(self, names: Sequence[str]) -> None:
        verb = "was" if len(names) == 1 else "were"
        self._busy_retry.log(f"{self.name}: {', '.join(names)} had changed on the board and {verb} pushed again")

    def fetch(self, run_id: str, name: str, *, limit: int) -> bytes:
        """Return the content of a run's file.

        Raises:
            AgentError: it is larger than `limit` bytes, or the agent can't read it.
        """
        return fetch(self, run_id, name, limit=limit)

    def fetch_into(self, file: IO[bytes], run_id: str, name: str, *, limit: int) -> None:
        """Append the content of a run's file to an empty one, as `fetch`; OSError: it can't be written."""
        fetch_into(self, file, run_id, name, limit=limit)

    def clean(
        self, *, older_than_s: int | None = None, keep_bytes: int | None = None, dry_run: bool = False
    ) -> dict[str, Any]:
        """Remove old blobs and runs from the board; return the agent's list of what was removed."""
        arguments = ["clean"]
        if older_than_s is not None:
            arguments += ["--older-than-s", str(older_than_s)]
        if keep_bytes is not None:
            arguments += ["--keep-bytes", str(keep_bytes)]
        if dry_run:
            arguments += ["--dry-run"]
        return self.command([*arguments, *self.lease_arguments()], timeout_s=120)

    def remove(self) -> dict[str, Any]:
        """Remove all that edgebench has put on the board, the agent included; return its list of what was removed."""
        return self.command(["remove", *self.lease_arguments()], timeout_s=600)

    # --- environments -------------------------------------------------------------------------------------------

    def make_environment(self, spec: protocol.InstallSpec, *, python: str) -> tuple[str | None, list[str]]:
        """Make an environment for one of the board's Pythons; return its interpreter, or None and the missing wheels.

        Raises:
            BoardBusy: a run is measured there.
            LeaseLost: the board is somebody else's by now.
            BoardError: no room for it, or files of another user are in the way.
        """
        line = protocol.encode_object(asdict(spec))
        reply = self.command(["install", *self.lease_arguments()], input=line, timeout_s=1800, python=python)
        made, missing = reply.get("python"), reply.get("missing")
        known = {wheel.sha256 for wheel in spec.wheel_files()}
        if not (made is None or is_path(made)) or not isinstance(missing, list):
            raise AgentError(f"{self.name}: the board's answer to an installation is not valid")
        if not all(isinstance(each, str) and each in known for each in missing):
            raise AgentError(f"{self.name}: the board's answer to an installation is not valid")
        return made, missing

    def adopt(self, adoption: protocol.Adoption) -> InstalledRuntime:
        """Have the board use a Python for a runtime from now on; return that.

        The environment that had the runtime before is removed, unless another runtime needs it.
        """
        line = protocol.encode_object(asdict(adoption))
        self.command(["adopt", *self.lease_arguments()], input=line, timeout_s=300)
        return InstalledRuntime(
            adoption.python, adoption.environment, adoption.packages, adoption.agreement, adoption.own
        )

    def drop(self, wheels: Sequence[str]) -> None:
        """Remove wheels from the board, by their hash, and the environments that no runtime uses."""
        line = protocol.encode_object(asdict(protocol.Leftovers(list(wheels))))
        self.command(["drop", *self.lease_arguments()], input=line, timeout_s=300)

    # --- lease and power ----------------------------------------------------------------------------------------

    def lease(self, request: protocol.LeaseRequest) -> LeaseReply:
        """Ask the board for its lease, or about it; return the answer.

        Raises:
            LeaseLost: it is somebody else's by now.
        """
        return LeaseReply.from_reply(self.command(["lease"], input=request.to_json(), timeout_s=60), name=self.name)

    def keep_lease(self) -> None:
        """Renew the board's lease, if we hold it: runs and transfers renew it by themselves, pauses do not.

        Raises:
            LeaseLost: it is somebody else's by now.
        """
        if self.held_lease.token:
            self.lease(protocol.LeaseRequest(do="renew", token=self.held_lease.token))
            self.held_lease.renewed_s = time.monotonic()

    def power(self, request: protocol.PowerRequest) -> dict[str, Any]:
        """Show, set or restore the board's clocks and power mode, under our lease; return the agent's answer.

        Raises:
            BoardError: the board does not take a setting, or we have no right to make it.
            LeaseLost: it is somebody else's by now.
        """
        return self.command(["power"], input=replace(request, token=self.held_lease.token).to_json(), timeout_s=120)

    # --- runs ---------------------------------------------------------------------------------------------------

    def launch(self, spec: protocol.RunSpec) -> None:
        """Start a run on the board, which then needs no connection. Starting the same run twice starts it once.

        A file that has changed on the board since it was pushed is pushed again.

        Raises:
            BoardBusy: another run is measuring there, or somebody else holds the board.
            LeaseLost: the board is somebody else's by now.
            BoardError: the board refused: out of memory or disk, a blob or runtime missing.
        """
        # The board ends an import of a runtime by itself after ten minutes.
        leased = replace(spec, lease_token=self.held_lease.token)
        try:
            self._launch(leased)
        except BoardError as error:
            if error.kind != "corrupt" or not (again := self._push_again(spec)):
                raise
            self._log_pushed_again(again)
            self._launch(leased)
        self.held_lease.renewed_s = time.monotonic()

    def _launch(self, spec: protocol.RunSpec) -> None:
        self.command(["launch"], input=spec.to_json(), timeout_s=660, python=self.python_for(spec.runtime))

    def runs(self, prefix: str) -> list[BoardRun]:
        """Return the runs on the board whose ids begin so; errors as of `command`."""
        reply = self.command(["runs", "--prefix", prefix], timeout_s=60)
        listed = [each for key in ("runs", "lost") if isinstance(each := reply.get(key), list)]
        return [run for each in listed for run in map(BoardRun.of, each) if run is not None]

    def retry_while_busy(self, begin: Callable[[], _T]) -> _T:
        """Return what `begin` returns, which launches a run; while another run is measured there, begin again.

        Raises:
            BoardBusy: the board is still busy after the time that this agent's `busy_retry` allows.
        """
        return self._busy_retry.call(begin)

    def follow(self, run_id: str, *, position: Position | None = None) -> Iterator[protocol.Entry]:
        """Yield the journal's messages in order, each once, until done or failed; keep the run alive meanwhile.

        A connection that breaks or falls silent is opened again, for as long as the run goes on without us, and the
        journal is read on from the last message. `position` is moved along, so that another call can go on from there.

        Raises:
            AgentError: a message is not valid, out of order, or the journal ends without done or failed.
            ConnectionLost: the board could not be reached again.
        """
        return self._follower(run_id, position).follow()

    def stop(
        self,
        run_id: str,
        *,
        position: Position | None = None,
        take: Callable[[protocol.Entry], None] = lambda _: None,
    ) -> None:
        """Ask the board to end a run; `take` gets the messages from `position` on that still come.

        Takes at most some 12 seconds, or what is left of an ending, and raises no DeviceError: it is called where
        another error is on its way. An AgentError of `take` ends it.
        """
        self._follower(run_id, position).stop(take)

    def _follower(self, run_id: str, position: Position | None) -> Follower:
        return Follower(self, run_id, position if position is not None else Position())
