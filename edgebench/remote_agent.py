"""The host's half of the agent: pack it, put it on the board, give it commands, follow its runs, recover from cuts.

Everything that comes back is bounded and checked here or in `edgebench_agent.protocol`.
"""

from __future__ import annotations

import hashlib
import io
import math
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from edgebench.board_pythons import DEFAULT_PYTHON, BoardPython, board_python, find_pythons
from edgebench.errors import (
    AgentError,
    AuthenticationError,
    BoardBusy,
    BoardError,
    ConnectionFailed,
    ConnectionLost,
    DeviceError,
    HostKeyError,
    LeaseLost,
    RunFailed,
)
from edgebench.printable import printable
from edgebench.transport.base import CommandResult, Stream, Transport
from edgebench_agent import protocol

_T = TypeVar("_T")

#: A follower is heard every second (heartbeats); silent for so long, the connection counts as lost.
SILENCE_S = 15.0
RENEW_EVERY_S = 10.0
#: How long a launch waits for a run that measures on a board that is ours: it is somebody's without a lease, and short.
BUSY_WAIT_S = 600.0
_BUSY_POLL_S = 2.0
RECONNECT_ATTEMPTS = 8
#: How long a run that goes on by itself is looked for again: about as long as it waits for us.
RECONNECT_S = 600.0
#: More than the ten million latencies that a run may have, or two days of readings.
_MAX_JOURNAL_BYTES = 384 << 20
_STOP_S = 20.0
_MOST_SENSORS, _MOST_VALUES = 64, 256
_CHUNK_BYTES = 1 << 18
#: What the board's table has of each runtime.
_TABLE = ("python", "environment", "packages", "agreement")

# Runs on any Python that the board may have, even too old a one: it must be able to say so.
_BOOTSTRAP = """
import sys, os, json, hashlib, errno
def say(**values):
    sys.stdout.write(json.dumps(values) + "\\n"); sys.stdout.flush(); sys.exit(0)
if sys.version_info < (3, 8):
    say(ok=False, kind="python_too_old", python=list(sys.version_info[:3]))
sha, action = sys.argv[1], sys.argv[2]
home = os.environ.get("EDGEBENCH_HOME") or os.path.expanduser("~/.edgebench")
def served():
    try:
        with open(os.path.join(home, "envs", "table.json")) as file:
            table = json.load(file)["runtimes"]
        return {name: table[name] for name in table if os.access(table[name]["python"], os.X_OK)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
def is_whole(entry):
    try:
        root = os.path.join(home, "envs", entry["environment"])
        with open(os.path.join(root, "sizes.json")) as file:
            sizes = json.load(file)
        return all(os.stat(os.path.join(root, name)).st_size == sizes[name] for name in sizes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
def libc():
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (OSError, ValueError):
        return None
folder = os.path.join(home, "agents")
path = os.path.join(folder, sha + ".pyz")
def intact():
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest() == sha
    except OSError:
        return False
def put():
    os.makedirs(home, 0o700, exist_ok=True)
    os.makedirs(folder, 0o700, exist_ok=True)
    part = path + "." + str(os.getpid()) + ".part"
    try:
        with open(part, "wb") as file:
            file.write(sys.stdin.buffer.read())
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        if os.path.lexists(part):
            os.unlink(part)
def takes(name):
    seen = {}
    for place, _, files in os.walk(os.path.join(home, name)):
        for file in files:
            try:
                found = os.lstat(os.path.join(place, file))
            except OSError:
                continue
            seen[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(seen.values())
try:
    if action == "store":
        put()
    base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    bits = 64 if sys.maxsize > 2 ** 32 else 32
    version = list(sys.version_info[:3])
    base = {"path": base, "version": version, "bits": bits}
    table = served()
    whole = [name for name in table if action == "inspect" and is_whole(table[name])]
    system = {"arch": os.uname().machine, "libc": libc()}
    say(ok=True, have=intact(), path=path, python=version, base=base, served=table, whole=whole, system=system)
except OSError as error:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        say(ok=False, kind="out_of_disk", message=str(error), home=home, own={n: takes(n) for n in ("blobs", "runs")})
    say(ok=False, kind="os_error", message=str(error))
"""


@cache
def agent_archive() -> tuple[bytes, str]:
    """Return the agent as a zipapp and its SHA-256: the same bytes for the same sources, wherever they are packed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        sources = {f"edgebench_agent/{name}": data for name, data in _sources(resources.files("edgebench_agent"))}
        sources["__main__.py"] = b"from edgebench_agent.__main__ import main\n\nraise SystemExit(main())\n"
        for name in sorted(sources):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, whatever packs it
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, sources[name])
    data = buffer.getvalue()
    return data, hashlib.sha256(data).hexdigest()


def _sources(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield prefix + entry.name, entry.read_bytes()


class LineReader:
    """Whole lines from a stream, each bounded by the protocol's limit."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    def line(self, *, timeout_s: float) -> bytes:
        """Return the next line with its newline; b"" at the end of the stream (a torn last line is dropped).

        Raises:
            TimeoutError: no whole line came in time; what came so far is kept for the next call.
            AgentError: a line is longer than the protocol allows.
        """
        deadline = time.monotonic() + timeout_s
        searched = 0
        while True:
            end = self._buffer.find(b"\n", searched)
            if end >= 0:
                line = bytes(self._buffer[: end + 1])
                del self._buffer[: end + 1]
                return line
            searched = len(self._buffer)
            if searched > protocol.MAX_LINE_BYTES:
                raise AgentError(f"the board sent a line of more than {protocol.MAX_LINE_BYTES} bytes")
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no line in time")
            chunk = self._stream.read(1 << 16, timeout_s=left)
            if not chunk:
                return b""
            self._buffer += chunk


class Position:
    """How far a journal was read: the byte after the last whole line, the number expected next, whether it ended."""

    def __init__(self) -> None:
        self.offset = 0
        self.next_seq = 0
        self.ended = False


@dataclass(frozen=True, slots=True)
class Served:
    """What serves a runtime on a board since `device setup`: a Python, in an environment or the board's own.

    `packages`: versions by name; `agreement`: how its numbers compared with the host's, for people; `own`: it is the
    user's choice, a wheel or the board's own Python.
    """

    python: str
    environment: str | None
    packages: Mapping[str, str]
    agreement: str
    own: bool = False


class RemoteAgent:
    """The agent on one board, reached through a transport. Call `install` first.

    `name` is the device's, for messages; `python` the board's interpreter. Where that is nobody's choice, a runtime
    that `device setup` has installed is run by the Python of its environment (`served`).
    """

    def __init__(self, transport: Transport, *, name: str, python: str = DEFAULT_PYTHON) -> None:
        self.transport = transport
        self.name = name
        self.python = python
        self.may_be_set_up = python == DEFAULT_PYTHON and not transport.shares_files
        self.served: dict[str, Served] = {}
        self.python_version: tuple[int, ...] = ()
        self.base: BoardPython | None = None  # what `python` is, or was made of
        self.system: dict[str, Any] = {}  # `arch` and `libc`, as far as the board tells
        self.whole: frozenset[str] = frozenset()  # of what is served, where no file is cut short; if `install` looked
        self.lease_token = 0  # of the board's lease that runs and pushes are under; 0: none
        self.renewed_s = 0.0  # when the lease was renewed last, by whatever we do; time.monotonic
        self.patience_s = 0.0  # that a launch has where another run measures
        self.tell: Callable[[str], None] = lambda _: None  # gets what a person who waits should know
        self.still_waiting: Callable[[float], None] = lambda _: None  # gets every second how many more are waited
        self._path: str | None = None

    # --- installing ---------------------------------------------------------------------------------------------

    def install(self, *, inspect: bool = False) -> None:
        """Put the agent on the board, unless it is there; `inspect`: look at every file of what is served, too.

        Raises:
            BoardError: no Python there, or one that is too old, or its disk can't take the agent.
            ConnectionFailed, ConnectionLost.
        """
        self.transport.connect()
        data, sha256 = agent_archive()
        reply = self._bootstrap(sha256, "inspect" if inspect else "look", b"")
        if not reply["have"]:
            reply = self._bootstrap(sha256, "store", data)
        if not reply["have"]:
            raise BoardError(f"{self.name}: the agent's file on the board is not what was sent; check the board's disk")
        self._path = reply["path"]
        self.python_version = tuple(reply["python"])
        self.base = board_python(reply.get("base"))
        if self.may_be_set_up:
            self.served = _served(reply.get("served"))
        whole, system = reply.get("whole"), _cleaned(reply.get("system"))
        self.whole = frozenset(name for name in self.served if isinstance(whole, list) and name in whole)
        self.system = system if isinstance(system, dict) else {}

    def python_for(self, runtime: str) -> str:
        """Return the board's interpreter that has a runtime, as far as `device setup` has installed it."""
        names = (runtime, "ai-edge-litert", "tflite-runtime") if runtime == "tflite" else (runtime,)
        return next((self.served[name].python for name in names if name in self.served), self.python)

    def _bootstrap(self, sha256: str, action: str, data: bytes) -> dict[str, Any]:
        result = self._run([self.python, "-I", "-c", _BOOTSTRAP, sha256, action], input=data, timeout_s=60)
        lacks = result.status in (126, 127) or b'"python_too_old"' in result.stdout
        if lacks and self.may_be_set_up and self.python == DEFAULT_PYTHON:
            newer = next((found for found in find_pythons(self.transport) if found.is_new_enough), None)
            if newer is not None:
                self.python = newer.path
                return self._bootstrap(sha256, action, data)
        if result.status in (126, 127):
            raise BoardError(
                f"{self.name}: no Python at {self.python!r} on the board; install Python >= 3.8 there "
                f"(sudo apt install python3), or name it with python = ... in edgebench.toml"
            )
        line = result.stdout.strip().rpartition(b"\n")[2]
        try:
            reply = protocol.decode_object(line)
        except protocol.ProtocolError as error:
            said = _said(result.stderr or result.stdout)
            raise BoardError(
                f"{self.name}: {self.python!r} on the board does not run Python (status {result.status}): {said}"
            ) from error
        if reply.get("kind") == "python_too_old":
            version = _said(reply.get("python"), 40).strip("[]").replace(", ", ".")
            raise BoardError(
                f"{self.name}: {self.python!r} on the board is Python {version}, the agent needs >= 3.8; "
                f"name a newer one with python = ... in edgebench.toml"
            )
        if reply.get("kind") == "out_of_disk":
            raise BoardError(f"{self.name}: can't put the agent on the board: {_what_to_free(reply)}")
        if not reply.get("ok"):
            raise BoardError(
                f"{self.name}: can't put the agent on the board: {_said(reply.get('message', ''))}; its user must be "
                f"able to write ~/.edgebench there (or set EDGEBENCH_HOME to another folder)"
            )
        if not (
            type(reply.get("have")) is bool
            and type(reply.get("path")) is str
            and len(reply["path"]) < 4096
            and type(reply.get("python")) is list
            and all(type(part) is int for part in reply["python"])
        ):
            raise AgentError(f"{self.name}: the board's answer to the installation is not valid")
        return reply

    # --- commands -----------------------------------------------------------------------------------------------

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
        reply = self._command(["probe", *arguments], timeout_s=300, python=python)
        board, found = _cleaned(reply.get("board")), _cleaned(reply.get("runtimes"))
        valid = isinstance(board, dict) and isinstance(found, dict) and set(found) == set(runtimes)
        if not valid or not all(isinstance(entry, dict) and type(entry.get("ok")) is bool for entry in found.values()):
            raise AgentError(f"{self.name}: the board's answer to probe is not valid")
        return reply | {"board": board, "runtimes": found}

    def temperatures(self) -> dict[str, int]:
        """Return the temperature of each thermal zone, millidegrees, named as readings are; a light command."""
        told = self._command(["temperatures"], timeout_s=60).get("temperature_mc")
        if not isinstance(told, dict) or len(told) > protocol.MAX_ITEMS:
            raise AgentError(f"{self.name}: the board's answer to temperatures is not valid")
        return {f"temperature_mc/{_said(zone, 200)}": value for zone, value in told.items() if type(value) is int}

    @staticmethod
    def busy_processes(reply: Mapping[str, Any]) -> list[tuple[str, int]] | None:
        """Return what keeps a board busy, from its answer to `probe`: (name, thousandths of a core), the busiest first.

        None where the board can't tell.
        """
        listed = reply.get("busiest")
        if type(listed) is not list:
            return None
        entries = [entry for entry in listed[:10] if type(entry) is dict]
        found = [(_said(entry.get("name"), 40), entry.get("cpu_millicores")) for entry in entries]
        return [(name, millicores) for name, millicores in found if type(millicores) is int]

    @staticmethod
    def sensors(reply: Mapping[str, Any]) -> dict[str, tuple[int, dict[str, int | None]]] | None:
        """Return what a board's sensors say, from its answer to `probe`: name -> (read every so many ms, values).

        None where the board can't tell; what is no sensor is left out.
        """
        told = reply.get("sensors")
        if type(told) is not dict:
            return None
        found = {}
        for name, sensor in list(told.items())[:_MOST_SENSORS]:
            values = sensor.get("values") if type(sensor) is dict else None
            if type(values) is dict and type(sensor.get("every_ms")) is int:
                found[_said(name, 40)] = (
                    sensor["every_ms"],
                    {
                        _said(key, 200): value
                        for key, value in list(values.items())[:_MOST_VALUES]
                        if value is None or type(value) is int
                    },
                )
        return found

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
        return self._command([*arguments, *self._under_lease()], timeout_s=120)

    # --- setting up ---------------------------------------------------------------------------------------------

    def make_environment(self, spec: protocol.InstallSpec, *, python: str) -> tuple[str | None, list[str]]:
        """Make an environment for one of the board's Pythons; return its interpreter, or None and the missing wheels.

        Raises:
            BoardBusy: a run measures there.
            LeaseLost: the board is somebody else's by now.
            BoardError: no room for it, or files of another user are in the way.
        """
        line = protocol.encode_object(asdict(spec))
        reply = self._command(["install", *self._under_lease()], input=line, timeout_s=1800, python=python)
        made, missing = reply.get("python"), reply.get("missing")
        known = {wheel.sha256 for wheel in spec.wheel_files()}
        if not (made is None or _is_path(made)) or type(missing) is not list or not set(missing) <= known:
            raise AgentError(f"{self.name}: the board's answer to an installation is not valid")
        return made, missing

    def adopt(self, adoption: protocol.Adoption) -> None:
        """Have a Python serve a runtime from now on; what served it before is removed where nothing else needs it."""
        line = protocol.encode_object(asdict(adoption))
        self._command(["adopt", *self._under_lease()], input=line, timeout_s=300)
        self.served[adoption.runtime] = Served(
            adoption.python, adoption.environment, adoption.packages, adoption.agreement, adoption.own
        )

    def drop(self, wheels: Sequence[str]) -> None:
        """Remove wheels from the board, by their hash, and the environments that serve no runtime."""
        line = protocol.encode_object(asdict(protocol.Leftovers(list(wheels))))
        self._command(["drop", *self._under_lease()], input=line, timeout_s=300)

    def remove(self) -> dict[str, Any]:
        """Remove all that edgebench has put on the board, the agent included; return its list of what went."""
        return self._command(["remove", *self._under_lease()], timeout_s=600)

    # --- runs' beginning and end --------------------------------------------------------------------------------

    def launch(self, spec: protocol.RunSpec) -> None:
        """Start a run on the board; it goes on by itself from here. Starting the same run twice starts it once.

        Raises:
            BoardBusy: another run is measuring there, or somebody else holds the board.
            LeaseLost: the board is somebody else's by now.
            BoardError: the board refused: out of memory or disk, a blob or runtime missing.
        """
        # The board itself ends a runtime's import that gets nowhere, after ten minutes.
        leased = replace(spec, lease_token=self.lease_token)
        self._command(["launch"], input=leased.to_json(), timeout_s=660, python=self.python_for(spec.runtime))
        self.renewed_s = time.monotonic()

    def patiently(self, begin: Callable[[], _T]) -> _T:
        """Return what `begin` returns, which launches a run; where another one measures, again, as `patience_s` says.

        Raises:
            BoardBusy: it still measures there.
        """
        deadline = time.monotonic() + self.patience_s
        told = False
        while True:
            try:
                return begin()
            except BoardBusy as busy:
                if time.monotonic() >= deadline:
                    raise
                if not told:
                    self.tell(f"{busy}; waiting for at most {self.patience_s / 60:.0f} minutes")
                    told = True
                self.wait(_BUSY_POLL_S, until_s=deadline)

    def wait(self, seconds: float, *, until_s: float) -> None:
        """Sleep, not beyond `until_s` (time.monotonic); who hears every second that we wait may raise an interrupt."""
        wakes_s = min(time.monotonic() + seconds, until_s)
        while (now_s := time.monotonic()) < wakes_s:
            self.still_waiting(until_s - now_s)
            time.sleep(min(1.0, wakes_s - now_s))

    def be_patient(self, tell: Callable[[str], None], still_waiting: Callable[[float], None]) -> None:
        """From here on, a launch waits for another's run to end; these hear of it."""
        self.patience_s, self.tell, self.still_waiting = BUSY_WAIT_S, tell, still_waiting

    def lease(self, request: protocol.LeaseRequest) -> dict[str, Any]:
        """Ask something of the board's lease; return the agent's answer.

        Raises:
            LeaseLost: it is somebody else's by now.
        """
        return self._command(["lease"], input=request.to_json(), timeout_s=60)

    def power(self, request: protocol.PowerRequest) -> dict[str, Any]:
        """Ask something of the board's clocks and power mode, under our lease; return the agent's answer.

        Raises:
            BoardError: the board does not take a setting, or we have no right to make it.
            LeaseLost: it is somebody else's by now.
        """
        return self._command(["power"], input=replace(request, token=self.lease_token).to_json(), timeout_s=120)

    def keep_lease(self) -> None:
        """Renew the board's lease, where we hold one: runs and pushes do it themselves, but not what is between them.

        Raises:
            LeaseLost: it is somebody else's by now.
        """
        if self.lease_token:
            self.lease(protocol.LeaseRequest(do="renew", token=self.lease_token))
            self.renewed_s = time.monotonic()

    def beside(self, transport: Transport) -> RemoteAgent:
        """Return the same agent by another way to the board, for another thread: a way is one thread's."""
        twin = RemoteAgent(transport, name=self.name, python=self.python)
        twin._path, twin.lease_token = self._path, self.lease_token
        return twin

    def _under_lease(self) -> list[str]:
        return ["--lease", str(self.lease_token)] if self.lease_token else []

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

    def stop(self, run_id: str, *, position: Position | None = None) -> list[protocol.Entry]:
        """Ask the board to end a run; return the messages from `position` on that still came.

        Does what it can in some 20 seconds and raises no DeviceError: it is called where something went wrong already.
        """
        position = position if position is not None else Position()
        entries: list[protocol.Entry] = []
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline and not position.ended:
            try:
                self.transport.connect()
                for entry in self._follow_once(run_id, position, stop=True, deadline=deadline):
                    entries.append(entry)
            except (DeviceError, TimeoutError):
                time.sleep(0.5)  # a launch that was cut short may still be about to begin the run
                with suppress(DeviceError):
                    self.transport.reconnect()
        return entries

    def _argv(self, arguments: Sequence[str], python: str | None = None) -> list[str]:
        if self._path is None:
            raise RuntimeError("RemoteAgent.install() was not called")
        return [python or self.python, self._path, *arguments]

    def _command(
        self, arguments: Sequence[str], *, input: bytes = b"", timeout_s: float, python: str | None = None
    ) -> dict[str, Any]:
        result = self._run(self._argv(arguments, python), input=input, timeout_s=timeout_s)
        line = result.stdout.strip().rpartition(b"\n")[2]
        if not line:
            said = _said(result.stderr)
            raise AgentError(f"{self.name}: the agent's {arguments[0]} gave no answer (status {result.status}): {said}")
        return self._checked_reply(line)

    def _run(self, argv: Sequence[str], *, input: bytes, timeout_s: float) -> CommandResult:
        """Run a command to its end, again where the connection breaks: none of ours does harm when run twice."""
        deadline = time.monotonic() + timeout_s
        attempt = 0
        while True:
            try:
                return self.transport.run(argv, input=input, timeout_s=max(1.0, deadline - time.monotonic()))
            except ConnectionLost:
                attempt += 1
                if attempt == RECONNECT_ATTEMPTS or time.monotonic() > deadline:
                    raise
                self._reconnect(attempt - 1)

    def _checked_reply(self, line: bytes) -> dict[str, Any]:
        try:
            reply = protocol.decode_object(line)
        except protocol.ProtocolError as error:
            raise AgentError(f"{self.name}: the agent's answer is not valid: {error}") from error
        if reply.get("ok") is True:
            return reply
        kind = reply.get("kind")
        message = _said(reply.get("message", "no reason given"))
        if kind == "interrupted":  # what was sent stopped coming in: the same as a cut
            raise ConnectionLost(f"{self.name}: {message}")
        if kind == "busy":
            raise BoardBusy(f"{self.name}: {message}")
        if kind == "lease_lost":
            raise LeaseLost(f"{self.name}: {message}")
        if kind in protocol.FAILURE_KINDS and kind not in ("crashed", "bad_request"):
            raise BoardError(f"{self.name}: {message}", kind=str(kind))
        raise AgentError(f"{self.name}: the agent failed: {message}")

    # --- blobs --------------------------------------------------------------------------------------------------

    def push(self, path: Path, *, sha256: str, size: int, on_progress: Callable[[int, int], None] | None = None) -> int:
        """Bring a file into the board's blob store, verified there; return how many bytes had to be moved.

        What is there already isn't sent again: nothing of a whole blob, only the rest of one that was cut off.
        `on_progress(bytes on the board, size)` is called as it moves.

        Raises:
            BoardError: the board's disk is full, or what arrived isn't what was sent.
            ConnectionLost: the connection broke again and again.
        """
        moved = 0
        for attempt in range(RECONNECT_ATTEMPTS):
            try:
                with path.open("rb") as file:
                    return moved + self._push_once(file, sha256, size, on_progress)
            except _Interrupted as cut:
                moved += cut.moved
                if attempt == RECONNECT_ATTEMPTS - 1:
                    raise ConnectionLost(
                        f"{self.name}: the connection broke {RECONNECT_ATTEMPTS} times while pushing {path.name}"
                    ) from cut
                self._reconnect(attempt)
        raise AssertionError("unreachable")

    def push_bytes(self, data: bytes) -> str:
        """Bring some bytes into the board's blob store; return their SHA-256."""
        sha256 = hashlib.sha256(data).hexdigest()
        for attempt in range(RECONNECT_ATTEMPTS):
            try:
                self._push_once(io.BytesIO(data), sha256, len(data), None)
                return sha256
            except _Interrupted as cut:
                if attempt == RECONNECT_ATTEMPTS - 1:
                    raise ConnectionLost(f"{self.name}: the connection broke while pushing inputs") from cut
                self._reconnect(attempt)
        raise AssertionError("unreachable")

    def _push_once(
        self,
        file: io.BufferedReader | io.BytesIO,
        sha256: str,
        size: int,
        on_progress: Callable[[int, int], None] | None,
    ) -> int:
        moved = 0
        try:
            stream = self.transport.start(self._argv(["receive", sha256, str(size), *self._under_lease()]))
            try:
                replies = LineReader(stream)
                have = self._reply(replies, stream, timeout_s=60 + size / 20e6).get("have")
                if type(have) is not int or not 0 <= have <= size:
                    raise AgentError(f"{self.name}: the agent's answer to a push is not valid")
                file.seek(have)
                try:
                    while chunk := file.read(_CHUNK_BYTES):
                        stream.write(chunk)
                        moved += len(chunk)
                        self.renewed_s = time.monotonic()  # `receive` renews while bytes come
                        if on_progress is not None:
                            on_progress(have + moved, size)
                    stream.end_input()
                except BrokenPipeError:
                    pass  # the agent gave up: its reply says why
                if have < size or size == 0:
                    # A slow card may need long to take what its cache holds.
                    self._reply(replies, stream, timeout_s=60 + size / 2e6)
                return moved
            finally:
                stream.close()
        except (ConnectionLost, TimeoutError) as error:
            raise _Interrupted(moved) from error

    def _reply(self, lines: LineReader, stream: Stream, *, timeout_s: float) -> dict[str, Any]:
        line = lines.line(timeout_s=timeout_s)
        if not line:
            status = stream.wait(timeout_s=5)
            if status is None or status < 0:
                raise ConnectionLost(f"{self.name}: the connection broke")
            raise AgentError(f"{self.name}: the agent ended early (status {status}): {_said(stream.stderr())}")
        return self._checked_reply(line)

    def _reconnect(self, attempt: int) -> None:
        time.sleep(min(0.2 * 2**attempt, 10.0))
        try:
            self.transport.reconnect()
        except (HostKeyError, AuthenticationError):
            raise
        except (ConnectionFailed, ConnectionLost):
            return  # the next attempt meets the same and is counted

    # --- runs ---------------------------------------------------------------------------------------------------

    def follow(self, run_id: str, *, position: Position | None = None) -> Iterator[protocol.Entry]:
        """Yield the journal's messages in order, each once, until done or failed; keep the run alive meanwhile.

        A connection that breaks or falls silent is opened again and the journal is read on from the last message, for
        as long as the run waits for us. `position` is moved along, so that another call can go on where this one was
        left.

        Raises:
            AgentError: a message is not valid, out of order, or the journal ends without done or failed.
            ConnectionLost: the board could not be reached again.
        """
        position = position if position is not None else Position()
        attempt, heard = 0, time.monotonic()
        while True:
            before = position.next_seq
            try:
                yield from self._follow_once(run_id, position)
                return
            except (ConnectionLost, TimeoutError) as error:
                if position.next_seq > before:
                    attempt, heard = 0, time.monotonic()
                if time.monotonic() - heard > RECONNECT_S:
                    raise ConnectionLost(
                        f"{self.name}: the board could not be reached again in {RECONNECT_S / 60:.0f} minutes"
                    ) from error
                self._reconnect(attempt)
                attempt += 1

    def _follow_once(
        self, run_id: str, position: Position, *, stop: bool = False, deadline: float = math.inf
    ) -> Iterator[protocol.Entry]:
        stream = self.transport.start(self._argv(["follow", run_id, str(position.offset), *self._under_lease()]))
        try:
            lines = LineReader(stream)
            renewed = -math.inf
            if stop:
                stream.write(protocol.STOP)
            while True:
                now = time.monotonic()
                if now > deadline:
                    raise TimeoutError("no end in time")
                if now - renewed >= RENEW_EVERY_S:
                    stream.write(protocol.RENEW)
                    renewed = self.renewed_s = now
                line = lines.line(timeout_s=min(SILENCE_S, deadline - now))
                if not line:
                    self._explain_end(stream, run_id)
                if line == protocol.HEARTBEAT:
                    continue
                entry = self._checked_entry(line, position)
                yield entry
                if position.ended:
                    return
        except BrokenPipeError as error:
            raise ConnectionLost(f"{self.name}: the follower ended") from error
        finally:
            stream.close()

    def _checked_entry(self, line: bytes, position: Position) -> protocol.Entry:
        try:
            entry = protocol.decode_message(line)
        except protocol.ProtocolError as error:
            raise AgentError(f"{self.name}: the journal is not valid: {error}") from error
        if entry.seq != position.next_seq:
            raise AgentError(f"{self.name}: the journal jumps to message {entry.seq}, expected {position.next_seq}")
        position.next_seq += 1
        position.offset += len(line)
        position.ended = isinstance(entry.message, (protocol.Done, protocol.Failed))
        if position.offset > _MAX_JOURNAL_BYTES:
            raise AgentError(f"{self.name}: the journal is larger than {_MAX_JOURNAL_BYTES} bytes")
        return entry

    def _explain_end(self, stream: Stream, run_id: str) -> None:
        """The follower's output ended before the run did: tell a cut from an agent that died."""
        status = stream.wait(timeout_s=5)
        if status is None or status < 0:
            raise ConnectionLost(f"{self.name}: the connection broke")
        said = _said(stream.stderr()) or "no message"
        if status != 0:
            raise AgentError(f"{self.name}: can't follow run {run_id}: {said}")
        log = _said(self.fetch(run_id, "agent.log", limit=1 << 16)) or "empty"
        raise AgentError(f"{self.name}: run {run_id} ended without saying how; the agent's log: {log}")

    def fetch(self, run_id: str, name: str, *, limit: int) -> bytes:
        """Return the content of a run's file.

        Raises:
            AgentError: it is larger than `limit` bytes, or the agent can't read it.
        """
        data = bytearray()
        for attempt in range(RECONNECT_ATTEMPTS):
            try:
                self._fetch_rest(run_id, name, data, limit)
                return bytes(data)
            except (ConnectionLost, TimeoutError) as error:
                if attempt == RECONNECT_ATTEMPTS - 1:
                    raise ConnectionLost(f"{self.name}: the connection broke while fetching {name}") from error
                self._reconnect(attempt)
        raise AssertionError("unreachable")

    def _fetch_rest(self, run_id: str, name: str, data: bytearray, limit: int) -> None:
        stream = self.transport.start(self._argv(["fetch", run_id, name, str(len(data))]))
        try:
            while chunk := stream.read(_CHUNK_BYTES, timeout_s=60):
                data += chunk
                if len(data) > limit:
                    raise AgentError(f"{self.name}: {name} of run {run_id} is larger than {limit} bytes")
            status = stream.wait(timeout_s=10)
            if status is None or status < 0:
                raise ConnectionLost(f"{self.name}: the connection broke")
            if status != 0:
                raise AgentError(f"{self.name}: can't fetch {name} of run {run_id}: {_said(stream.stderr())}")
        finally:
            stream.close()


class _Interrupted(Exception):
    """A push ended with its connection, after `moved` bytes."""

    def __init__(self, moved: int) -> None:
        super().__init__(moved)
        self.moved = moved


def _is_path(value: Any) -> bool:
    return type(value) is str and value.startswith("/") and len(value) < 4096 and value.isprintable()


def _what_to_free(reply: Mapping[str, Any]) -> str:
    """Return what to say of a board whose disk has no room for the agent, by the answer to the bootstrap."""
    home, own = _said(reply.get("home", "~/.edgebench"), 400), reply.get("own")
    sizes = {name: own.get(name) for name in ("blobs", "runs")} if isinstance(own, dict) else {}
    names = {"blobs": "models, which are pushed again when needed", "runs": "journals of runs"}
    known = {name: size for name, size in sizes.items() if type(size) is int and size > len(agent_archive()[0])}
    ours = [f"rm -r {home}/{name} ({size / 1e6:,.1f} MB of {names[name]})" for name, size in known.items()]
    mending = f"; try there, while nothing measures: {', '.join(ours)}" if ours else "; free some of it"
    return f"its disk, or what its user may have of it, is full{mending}, or set EDGEBENCH_HOME to another disk"


def _served(told: Any) -> dict[str, Served]:
    """Return what serves each runtime, as a board's table tells; an entry that is not one is left out."""
    if type(told) is not dict or len(told) > protocol.MAX_ITEMS:
        return {}
    found = {}
    for runtime, entry in told.items():
        try:
            adoption = protocol.Adoption.from_json(
                protocol.encode_object(
                    {name: entry[name] for name in _TABLE} | {"runtime": runtime, "own": entry.get("own", False)}
                )
            )
        except (protocol.ProtocolError, AttributeError, KeyError, TypeError, ValueError):
            continue
        if _is_path(adoption.python):
            packages = {_said(name, 80): _said(version, 80) for name, version in adoption.packages.items()}
            found[runtime] = Served(
                adoption.python, adoption.environment, packages, _said(adoption.agreement), adoption.own
            )
    return found


def failure(name: str, failed: protocol.Failed) -> RunFailed | LeaseLost:
    """Return the error that a `failed` message of device `name` stands for."""
    if failed.kind == "lease_lost":
        return LeaseLost(f"{name}: the run was ended: {_said(failed.message)}")
    return RunFailed(f"{name}: the run failed: {_said(failed.message)}", kind=failed.kind, traceback=failed.traceback)


def _cleaned(value: Any, depth: int = 4) -> Any:
    """Return facts from a board, strings so that they do nothing to a terminal; what is no small plain fact is None."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) <= protocol.MAX_INT):
        return value
    if isinstance(value, str):
        return _said(value, 4096)
    if isinstance(value, list) and depth and len(value) <= protocol.MAX_ITEMS:
        return [_cleaned(entry, depth - 1) for entry in value]
    if isinstance(value, dict) and depth and len(value) <= protocol.MAX_ITEMS:
        return {_said(name, 256): _cleaned(entry, depth - 1) for name, entry in value.items()}
    return None


def _said(said: Any, limit: int = 500) -> str:
    """Return the last words of something from a board, as one line that does nothing to a terminal."""
    text = said.decode("utf-8", "replace") if isinstance(said, (bytes, bytearray)) else str(said)
    line = printable(text[-4 * limit :], limit=4 * limit)
    return line if len(line) <= limit else "..." + line[-limit:]
