"""The agent on a board as the host sees it: all that can be asked of it.

How that gets there and back, whatever becomes of the connection, is in `bootstrap`, `agent_commands`, `pushing`,
`fetching` and `following`. Everything that comes back is bounded and checked, there, here or in
`edgebench_agent.protocol`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from edgebench.board.bootstrap import put_agent
from edgebench.board.busy_retry import NO_RETRY
from edgebench.board.commands import AgentCommands
from edgebench.board.facts import is_path, plain_facts, sanitize_tail
from edgebench.board.fetching import fetch
from edgebench.board.installed_runtimes import InstalledRuntime
from edgebench.board.journal import Follower, Position
from edgebench.board.pythons import DEFAULT_PYTHON, BoardPython
from edgebench.board.transfer import OnProgress, push_bytes, push_file
from edgebench.board.transport.base import Transport
from edgebench.errors import AgentError, BoardBusy
from edgebench_agent import protocol

_T = TypeVar("_T")


class RemoteAgent(AgentCommands):
    """The agent on one board, reached through a transport. Call `install` first.

    `name` is the device's, for messages; `python` the board's interpreter. Where that is nobody's choice, a runtime
    that `device setup` has installed is run by the Python of its environment (`served`).
    """

    def __init__(self, transport: Transport, *, name: str, python: str = DEFAULT_PYTHON) -> None:
        super().__init__(transport, name=name, python=python)
        self.may_be_set_up = python == DEFAULT_PYTHON and not transport.shares_files
        self.served: dict[str, InstalledRuntime] = {}
        self.python_version: tuple[int, ...] = ()
        self.base: BoardPython | None = None  # what `python` is, or was made of
        self.system: dict[str, Any] = {}  # `arch` and `libc`, as far as the board tells
        self.whole: frozenset[str] = frozenset()  # of what is served, where no file is cut short; if `install` looked
        self.patience = NO_RETRY  # that a launch has where another run measures

    # --- installing ---------------------------------------------------------------------------------------------

    def install(self, *, inspect: bool = False) -> None:
        """Put the agent on the board, unless it is there; `inspect`: look at every file of what is served, too.

        Raises:
            BoardError: no Python there, or one that is too old, or its disk can't take the agent.
            ConnectionFailed, ConnectionLost.
        """
        self.transport.connect()
        there = put_agent(self, inspect=inspect, may_be_set_up=self.may_be_set_up)
        self.path = there.path
        self.python_version, self.base, self.system = there.python_version, there.base, dict(there.system)
        self.served, self.whole = dict(there.served), there.whole

    def python_for(self, runtime: str) -> str:
        """Return the board's interpreter that has a runtime, as far as `device setup` has installed it."""
        names = (runtime, "ai-edge-litert", "tflite-runtime") if runtime == "tflite" else (runtime,)
        return next((self.served[name].python for name in names if name in self.served), self.python)

    def clone_for_thread(self, transport: Transport) -> RemoteAgent:
        """Return the same agent by another way to the board, for another thread: a way is one thread's."""
        twin = RemoteAgent(transport, name=self.name, python=self.python)
        twin.path, twin.lease_token = self.path, self.lease_token
        return twin

    # --- facts of the board -------------------------------------------------------------------------------------

    def probe(self, runtimes: Sequence[str] = ()) -> dict[str, Any]:
        """Return the board's facts (`board`) and, per runtime, whether and in which version it works (`runtimes`).

        Runtimes that are served by different Pythons are probed by these; a runtime's `board` are the facts that its
        own Python told.
        """
        by_python: dict[str, list[str]] = {}
        for name in runtimes:
            by_python.setdefault(self.python_for(name), []).append(name)
        replies = [self._probe(python, names) for python, names in by_python.items()] or [self._probe(self.python, [])]
        found = {
            name: entry | {"board": reply["board"]} for reply in replies for name, entry in reply["runtimes"].items()
        }
        return replies[0] | {"runtimes": found}

    def _probe(self, python: str, runtimes: Sequence[str]) -> dict[str, Any]:
        arguments = [argument for name in runtimes for argument in ("--runtime", name)]
        reply = self.command(["probe", *arguments], timeout_s=300, python=python)
        board, found = plain_facts(reply.get("board")), plain_facts(reply.get("runtimes"))
        valid = isinstance(board, dict) and isinstance(found, dict) and set(found) == set(runtimes)
        if not valid or not all(isinstance(entry, dict) and type(entry.get("ok")) is bool for entry in found.values()):
            raise AgentError(f"{self.name}: the board's answer to probe is not valid")
        return reply | {"board": board, "runtimes": found}

    def temperatures(self) -> dict[str, int]:
        """Return the temperature of each thermal zone, millidegrees, named as readings are; a light command."""
        told = self.command(["temperatures"], timeout_s=60).get("temperature_mc")
        if not isinstance(told, dict) or len(told) > protocol.MAX_ITEMS:
            raise AgentError(f"{self.name}: the board's answer to temperatures is not valid")
        return {
            f"temperature_mc/{sanitize_tail(zone, 200)}": value for zone, value in told.items() if type(value) is int
        }

    # --- what lies on the board ---------------------------------------------------------------------------------

    def push(self, path: Path, *, sha256: str, size: int, on_progress: OnProgress | None = None) -> int:
        """Bring a file into the board's blob store, verified there; return how many bytes had to be moved.

        What is there already isn't sent again: nothing of a whole blob, only the rest of one that was cut off.
        `on_progress(bytes on the board, size)` is called as it moves.

        Raises:
            BoardError: the board's disk is full, or what arrived isn't what was sent.
            ConnectionLost: the connection broke again and again.
        """
        return push_file(self, path, sha256=sha256, size=size, on_progress=on_progress)

    def push_bytes(self, data: bytes) -> str:
        """Bring some bytes into the board's blob store; return their SHA-256."""
        return push_bytes(self, data)

    def fetch(self, run_id: str, name: str, *, limit: int) -> bytes:
        """Return the content of a run's file.

        Raises:
            AgentError: it is larger than `limit` bytes, or the agent can't read it.
        """
        return fetch(self, run_id, name, limit=limit)

    def clean(
        self, *, older_than_s: int | None = None, keep_bytes: int | None = None, dry_run: bool = False
    ) -> dict[str, Any]:
        """Remove old blobs and runs from the board; return the agent's list of what went."""
        arguments = ["clean"]
        if older_than_s is not None:
            arguments += ["--older-than-s", str(older_than_s)]
        if keep_bytes is not None:
            arguments += ["--keep-bytes", str(keep_bytes)]
        if dry_run:
            arguments += ["--dry-run"]
        return self.command([*arguments, *self.under_lease()], timeout_s=120)

    def remove(self) -> dict[str, Any]:
        """Remove all that edgebench has put on the board, the agent included; return its list of what went."""
        return self.command(["remove", *self.under_lease()], timeout_s=600)

    # --- environments -------------------------------------------------------------------------------------------

    def make_environment(self, spec: protocol.InstallSpec, *, python: str) -> tuple[str | None, list[str]]:
        """Make an environment for one of the board's Pythons; return its interpreter, or None and the missing wheels.

        Raises:
            BoardBusy: a run measures there.
            LeaseLost: the board is somebody else's by now.
            BoardError: no room for it, or files of another user are in the way.
        """
        line = protocol.encode_object(asdict(spec))
        reply = self.command(["install", *self.under_lease()], input=line, timeout_s=1800, python=python)
        made, missing = reply.get("python"), reply.get("missing")
        known = {wheel.sha256 for wheel in spec.wheel_files()}
        if not (made is None or is_path(made)) or type(missing) is not list or not set(missing) <= known:
            raise AgentError(f"{self.name}: the board's answer to an installation is not valid")
        return made, missing

    def adopt(self, adoption: protocol.Adoption) -> None:
        """Have a Python serve a runtime from now on; what served it before is removed where nothing else needs it."""
        line = protocol.encode_object(asdict(adoption))
        self.command(["adopt", *self.under_lease()], input=line, timeout_s=300)
        self.served[adoption.runtime] = InstalledRuntime(
            adoption.python, adoption.environment, adoption.packages, adoption.agreement, adoption.own
        )

    def drop(self, wheels: Sequence[str]) -> None:
        """Remove wheels from the board, by their hash, and the environments that serve no runtime."""
        line = protocol.encode_object(asdict(protocol.Leftovers(list(wheels))))
        self.command(["drop", *self.under_lease()], input=line, timeout_s=300)

    # --- lease and power ----------------------------------------------------------------------------------------

    def lease(self, request: protocol.LeaseRequest) -> dict[str, Any]:
        """Ask something of the board's lease; return the agent's answer.

        Raises:
            LeaseLost: it is somebody else's by now.
        """
        return self.command(["lease"], input=request.to_json(), timeout_s=60)

    def keep_lease(self) -> None:
        """Renew the board's lease, where we hold one: runs and pushes do it themselves, but not what is between them.

        Raises:
            LeaseLost: it is somebody else's by now.
        """
        if self.lease_token:
            self.lease(protocol.LeaseRequest(do="renew", token=self.lease_token))
            self.renewed_s = time.monotonic()

    def power(self, request: protocol.PowerRequest) -> dict[str, Any]:
        """Ask something of the board's clocks and power mode, under our lease; return the agent's answer.

        Raises:
            BoardError: the board does not take a setting, or we have no right to make it.
            LeaseLost: it is somebody else's by now.
        """
        return self.command(["power"], input=replace(request, token=self.lease_token).to_json(), timeout_s=120)

    # --- runs ---------------------------------------------------------------------------------------------------

    def launch(self, spec: protocol.RunSpec) -> None:
        """Start a run on the board; it goes on by itself from here. Starting the same run twice starts it once.

        Raises:
            BoardBusy: another run is measuring there, or somebody else holds the board.
            LeaseLost: the board is somebody else's by now.
            BoardError: the board refused: out of memory or disk, a blob or runtime missing.
        """
        # The board itself ends a runtime's import that gets nowhere, after ten minutes.
        leased = replace(spec, lease_token=self.lease_token)
        self.command(["launch"], input=leased.to_json(), timeout_s=660, python=self.python_for(spec.runtime))
        self.renewed_s = time.monotonic()

    def patiently(self, begin: Callable[[], _T]) -> _T:
        """Return what `begin` returns, which launches a run; where another one measures, again, as `patience` says.

        Raises:
            BoardBusy: it still measures there.
        """
        return self.patience.call(begin)

    def follow(self, run_id: str, *, position: Position | None = None) -> Iterator[protocol.Entry]:
        """Yield the journal's messages in order, each once, until done or failed; keep the run alive meanwhile.

        A connection that breaks or falls silent is opened again and the journal is read on from the last message, for
        as long as the run waits for us. `position` is moved along, so that another call can go on where this one was
        left.

        Raises:
            AgentError: a message is not valid, out of order, or the journal ends without done or failed.
            ConnectionLost: the board could not be reached again.
        """
        return self._follower(run_id, position).follow()

    def stop(self, run_id: str, *, position: Position | None = None) -> list[protocol.Entry]:
        """Ask the board to end a run; return the messages from `position` on that still came.

        Does what it can in some 20 seconds and raises no DeviceError: it is called where something went wrong already.
        """
        return self._follower(run_id, position).stop()

    def _follower(self, run_id: str, position: Position | None) -> Follower:
        return Follower(self, run_id, position if position is not None else Position())

    @contextmanager
    def running(self, spec: protocol.RunSpec) -> Iterator[Iterator[protocol.Entry]]:
        """Launch a run, patiently, and give its messages, as `follow` does; whatever goes wrong, the board ends it."""
        position = Position()
        self.patiently(lambda: self._launch_or_stop(spec))
        try:
            yield self.follow(spec.run_id, position=position)
        except BaseException:
            if not position.ended:
                self.stop(spec.run_id, position=position)
            raise

    def _launch_or_stop(self, spec: protocol.RunSpec) -> None:
        try:
            self.launch(spec)
        except BoardBusy:
            raise  # it is not there to be ended
        except BaseException:
            self.stop(spec.run_id)
            raise
