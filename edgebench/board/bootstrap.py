"""The lines of Python that put the agent on a board, where no file of edgebench is yet, and what they report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgebench.board.archive import agent_archive, agent_source
from edgebench.board.commands import PRINTS_HINT, answer_in, run_reconnecting
from edgebench.board.facts import SystemFacts, sanitize_tail
from edgebench.board.installed_runtimes import InstalledRuntime, read_runtimes
from edgebench.board.pythons import DEFAULT_PYTHON, BoardPython, find_pythons, read_python, require_new_enough
from edgebench.board.transport.base import CommandResult, Transport
from edgebench.errors import AgentError, BoardError
from edgebench_agent import protocol

# Runs on any Python 3 that the board may have: one that is too old must be able to report that. PRIVATE: the source of
# the agent's module that checks its folder, before anything that lies there is started.
_SCRIPT = """
import sys, os, json, hashlib, errno
def say(**values):
    sys.stdout.write(json.dumps(values) + "\\n"); sys.stdout.flush(); sys.exit(0)
if sys.version_info < (3, 8):
    say(ok=False, kind="python_too_old", python=list(sys.version_info[:3]))
sha, action = sys.argv[1], sys.argv[2]
home = os.path.abspath(os.environ.get("EDGEBENCH_HOME") or os.path.expanduser("~/.edgebench"))
os.umask(0o077)
check = {}
exec(PRIVATE, check)
def runtimes():
    try:
        with open(os.path.join(home, "envs", "table.json")) as file:
            table = json.load(file)["runtimes"]
        return {name: table[name] for name in table if os.access(table[name]["python"], os.X_OK)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
def is_intact(entry):
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
def have():
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
    check["make_private"](check["Path"](home))
    if action == "store":
        put()
    base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    bits = 64 if sys.maxsize > 2 ** 32 else 32
    version = list(sys.version_info[:3])
    base = {"path": base, "version": version, "bits": bits}
    table = runtimes()
    intact = [name for name in table if action == "inspect" and is_intact(table[name])]
    system = {"arch": os.uname().machine, "libc": libc()}
    say(ok=True, have=have(), path=path, python=version, base=base, runtimes=table, intact=intact, system=system)
except check["NotPrivate"] as error:
    say(ok=False, kind="not_permitted", message=str(error))
except OSError as error:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        say(ok=False, kind="out_of_disk", message=str(error), home=home, own={n: takes(n) for n in ("blobs", "runs")})
    say(ok=False, kind="os_error", message=str(error))
""".replace("PRIVATE", repr(agent_source("private.py")))


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledAgent:
    """Where the agent lies on a board, and what the board reported when it was put there.

    Args:
        path: of the agent's file.
        python: the interpreter that runs it.
        python_version: of that interpreter.
        base_python: what that interpreter is, or was made of; None: not reported.
        system: the board's machine and C library.
        may_be_set_up: `device setup` may install runtimes there: it is no local device, and its Python is the default.
        runtimes: those that `device setup` has installed; empty unless `may_be_set_up`.
        intact: of these, the ones of which no file is cut short, if that was inspected.
    """

    path: str
    python: str
    python_version: tuple[int, ...]
    base_python: BoardPython | None
    system: SystemFacts
    may_be_set_up: bool
    runtimes: Mapping[str, InstalledRuntime]
    intact: frozenset[str]


def put_agent(transport: Transport, *, python: str, inspect: bool) -> InstalledAgent:
    """Put the agent on a board, unless it is there; the arguments are those of `install_agent`."""
    data, sha256 = agent_archive()
    may_be_set_up = python == DEFAULT_PYTHON and not transport.shares_files
    look = [sha256, "inspect" if inspect else "look"]
    result = _run(transport, python, look)
    if may_be_set_up and (result.status in (126, 127) or b'"python_too_old"' in result.stdout):
        python = require_new_enough(find_pythons(transport), name=transport.name)[0].path
        result = _run(transport, python, look)
    reply = _checked(transport.name, python, result)
    if not reply["have"]:
        reply = _checked(transport.name, python, _run(transport, python, [sha256, "store"], data))
    if not reply["have"]:
        raise BoardError(
            f"{transport.name}: the agent's file on the board is not what was sent; check the board's disk"
        )
    runtimes = read_runtimes(reply.get("runtimes")) if may_be_set_up else {}
    intact = reply.get("intact")
    return InstalledAgent(
        path=reply["path"],
        python=python,
        python_version=tuple(reply["python"]),
        base_python=read_python(reply.get("base")),
        system=SystemFacts.from_report(reply.get("system")),
        may_be_set_up=may_be_set_up,
        runtimes=runtimes,
        intact=frozenset(name for name in runtimes if isinstance(intact, list) and name in intact),
    )


def _run(transport: Transport, python: str, arguments: list[str], data: bytes = b"") -> CommandResult:
    return run_reconnecting(transport, [python, "-I", "-c", _SCRIPT, *arguments], input=data, timeout_s=60)


def _checked(name: str, python: str, result: CommandResult) -> dict[str, Any]:
    """Return what the lines report, once that is checked."""
    reply = _decoded(name, python, result)
    _refuse_failure(name, python, reply)
    if not (
        type(reply.get("have")) is bool
        and type(reply.get("path")) is str
        and len(reply["path"]) < 4096
        and type(reply.get("python")) is list
        and all(type(part) is int for part in reply["python"])
    ):
        raise AgentError(f"{name}: the board's answer to the installation is not valid")
    return reply


def _decoded(name: str, python: str, result: CommandResult) -> dict[str, Any]:
    if result.status in (126, 127):
        raise BoardError(
            f"{name}: no Python at {python!r} on the board; install Python >= 3.8 there "
            f"(sudo apt install python3), or name it with python = ... in edgebench.toml"
        )
    try:
        return protocol.decode_object(answer_in(result.stdout))
    except protocol.ProtocolError as error:
        if result.status == 0:
            said = sanitize_tail(result.stdout) or "nothing"
            raise BoardError(
                f"{name}: {python!r} on the board gave no valid answer, but: {said}{PRINTS_HINT}"
            ) from error
        said = sanitize_tail(result.stderr or result.stdout)
        raise BoardError(
            f"{name}: {python!r} on the board does not run Python (status {result.status}): {said}"
        ) from error


def _refuse_failure(name: str, python: str, reply: Mapping[str, Any]) -> None:
    if reply.get("kind") == "python_too_old":
        version = sanitize_tail(reply.get("python"), 40).strip("[]").replace(", ", ".")
        raise BoardError(
            f"{name}: {python!r} on the board is Python {version}, the agent needs >= 3.8; "
            f"name a newer one with python = ... in edgebench.toml"
        )
    if reply.get("kind") == "out_of_disk":
        raise BoardError(f"{name}: can't put the agent on the board: {_full_disk(reply)}")
    if reply.get("kind") == "not_permitted":
        raise BoardError(f"{name}: {sanitize_tail(reply.get('message', ''), 2000)}", kind="not_permitted")
    if not reply.get("ok"):
        raise BoardError(
            f"{name}: can't put the agent on the board: {sanitize_tail(reply.get('message', ''))}; its user must "
            f"be able to write ~/.edgebench there (or set EDGEBENCH_HOME to another folder)"
        )


def _full_disk(reply: Mapping[str, Any]) -> str:
    """Return the message about a board whose disk has no room for the agent, and what can be removed there."""
    home, own = sanitize_tail(reply.get("home", "~/.edgebench"), 400), reply.get("own")
    sizes = {name: own.get(name) for name in ("blobs", "runs")} if isinstance(own, dict) else {}
    names = {"blobs": "models, which are pushed again when needed", "runs": "journals of runs"}
    known = {name: size for name, size in sizes.items() if type(size) is int and size > len(agent_archive()[0])}
    ours = [f"rm -r {home}/{name} ({size / 1e6:,.1f} MB of {names[name]})" for name, size in known.items()]
    advice = f"; try there, while nothing measures: {', '.join(ours)}" if ours else "; free some of it"
    return f"its disk, or what its user may have of it, is full{advice}, or set EDGEBENCH_HOME to another disk"
