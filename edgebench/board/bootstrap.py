"""The lines of Python that put the agent on a board, before anything of ours is there, and what they tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgebench.board.archive import agent_archive
from edgebench.board.commands import AgentCommands
from edgebench.board.facts import plain_facts, sanitize_tail
from edgebench.board.installed_runtimes import InstalledRuntime, served_runtimes
from edgebench.board.pythons import DEFAULT_PYTHON, BoardPython, board_python, find_pythons
from edgebench.board.transport.base import CommandResult
from edgebench.errors import AgentError, BoardError
from edgebench_agent import protocol

# Runs on any Python that the board may have, even too old a one: it must be able to say so.
_LINES = """
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
    whole = [name for name in table if action == "inspect" and is_intact(table[name])]
    system = {"arch": os.uname().machine, "libc": libc()}
    say(ok=True, have=intact(), path=path, python=version, base=base, served=table, whole=whole, system=system)
except OSError as error:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        say(ok=False, kind="out_of_disk", message=str(error), home=home, own={n: takes(n) for n in ("blobs", "runs")})
    say(ok=False, kind="os_error", message=str(error))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """Where the agent lies on a board, and what the board told when it was put there.

    Args:
        python_version: of the interpreter that runs the agent.
        base: what that interpreter is, or was made of.
        served: what serves each runtime.
        whole: of these, where no file is cut short; if that was looked at.
        system: `arch` and `libc`, as far as the board tells.
    """

    path: str
    python_version: tuple[int, ...]
    base: BoardPython | None
    served: Mapping[str, InstalledRuntime]
    whole: frozenset[str]
    system: Mapping[str, Any]


def put_agent(agent: AgentCommands, *, inspect: bool, may_be_set_up: bool) -> Installed:
    """Put the agent on a board, unless it is there; see `RemoteAgent.install`.

    Args:
        inspect: look at every file of what is served, too.
        may_be_set_up: its Python is nobody's choice: then `device setup`'s table is read, and `agent.python` becomes
            another where `python3` won't do.
    """
    data, sha256 = agent_archive()
    reply = _tell(agent, [sha256, "inspect" if inspect else "look"], b"", may_be_set_up)
    if not reply["have"]:
        reply = _tell(agent, [sha256, "store"], data, may_be_set_up)
    if not reply["have"]:
        raise BoardError(f"{agent.name}: the agent's file on the board is not what was sent; check the board's disk")
    served = served_runtimes(reply.get("served")) if may_be_set_up else {}
    whole, system = reply.get("whole"), plain_facts(reply.get("system"))
    return Installed(
        path=reply["path"],
        python_version=tuple(reply["python"]),
        base=board_python(reply.get("base")),
        served=served,
        whole=frozenset(name for name in served if isinstance(whole, list) and name in whole),
        system=system if isinstance(system, dict) else {},
    )


def _tell(agent: AgentCommands, arguments: list[str], data: bytes, may_be_set_up: bool) -> dict[str, Any]:
    """Run the lines on the board and return what they tell, once that is checked."""
    result = _run(agent, arguments, data)
    lacks = result.status in (126, 127) or b'"python_too_old"' in result.stdout
    if lacks and may_be_set_up and agent.python == DEFAULT_PYTHON:
        newer = next((found for found in find_pythons(agent.transport) if found.is_new_enough), None)
        if newer is not None:
            agent.python = newer.path
            result = _run(agent, arguments, data)
    reply = _decoded(agent, result)
    _refuse_what_failed(agent, reply)
    if not (
        type(reply.get("have")) is bool
        and type(reply.get("path")) is str
        and len(reply["path"]) < 4096
        and type(reply.get("python")) is list
        and all(type(part) is int for part in reply["python"])
    ):
        raise AgentError(f"{agent.name}: the board's answer to the installation is not valid")
    return reply


def _run(agent: AgentCommands, arguments: list[str], data: bytes) -> CommandResult:
    return agent.run([agent.python, "-I", "-c", _LINES, *arguments], input=data, timeout_s=60)


def _decoded(agent: AgentCommands, result: CommandResult) -> dict[str, Any]:
    if result.status in (126, 127):
        raise BoardError(
            f"{agent.name}: no Python at {agent.python!r} on the board; install Python >= 3.8 there "
            f"(sudo apt install python3), or name it with python = ... in edgebench.toml"
        )
    line = result.stdout.strip().rpartition(b"\n")[2]
    try:
        return protocol.decode_object(line)
    except protocol.ProtocolError as error:
        said = sanitize_tail(result.stderr or result.stdout)
        raise BoardError(
            f"{agent.name}: {agent.python!r} on the board does not run Python (status {result.status}): {said}"
        ) from error


def _refuse_what_failed(agent: AgentCommands, reply: Mapping[str, Any]) -> None:
    if reply.get("kind") == "python_too_old":
        version = sanitize_tail(reply.get("python"), 40).strip("[]").replace(", ", ".")
        raise BoardError(
            f"{agent.name}: {agent.python!r} on the board is Python {version}, the agent needs >= 3.8; "
            f"name a newer one with python = ... in edgebench.toml"
        )
    if reply.get("kind") == "out_of_disk":
        raise BoardError(f"{agent.name}: can't put the agent on the board: {_what_to_free(reply)}")
    if not reply.get("ok"):
        raise BoardError(
            f"{agent.name}: can't put the agent on the board: {sanitize_tail(reply.get('message', ''))}; its user must "
            f"be able to write ~/.edgebench there (or set EDGEBENCH_HOME to another folder)"
        )


def _what_to_free(reply: Mapping[str, Any]) -> str:
    """Return what to say of a board whose disk has no room for the agent, by what it told."""
    home, own = sanitize_tail(reply.get("home", "~/.edgebench"), 400), reply.get("own")
    sizes = {name: own.get(name) for name in ("blobs", "runs")} if isinstance(own, dict) else {}
    names = {"blobs": "models, which are pushed again when needed", "runs": "journals of runs"}
    known = {name: size for name, size in sizes.items() if type(size) is int and size > len(agent_archive()[0])}
    ours = [f"rm -r {home}/{name} ({size / 1e6:,.1f} MB of {names[name]})" for name, size in known.items()]
    mending = f"; try there, while nothing measures: {', '.join(ours)}" if ours else "; free some of it"
    return f"its disk, or what its user may have of it, is full{mending}, or set EDGEBENCH_HOME to another disk"
