"""The agent's commands. Descriptor 1 is the wire: it is moved away before anything that might print is loaded."""

import sys

if sys.version_info < (3, 8):  # noqa: UP036 - a board may have any Python
    sys.exit("edgebench_agent needs Python 3.8 or newer, this is " + sys.version.split()[0])

import argparse
import os
import re
from typing import Any, Callable, List, NoReturn, Optional

from .home import Home, concerns_home, find_home, not_permitted
from .protocol.failure import DISK_FULL, Failure
from .protocol.wire import MAX_INT, MAX_LINE_BYTES, MAX_SPEC_BYTES, encode_object, one_line


def main(arguments: Optional[List[str]] = None) -> int:
    """Run one command; return the exit status."""
    wire = os.dup(1)
    os.dup2(2, 1)  # native libraries print to 1: that goes to standard error
    args = list(sys.argv[1:] if arguments is None else arguments)
    reports_by_line = bool(args) and args[0] in ("follow", "fetch")
    try:
        options = _parser().parse_args(args)
        home = find_home()
        os.umask(0o077)  # what is made here is the owner's alone
        if options.command not in _STARTED_BY_AGENT:
            home.require_private()
        return int(options.command(options, home, wire) or 0)
    except Failure as failure:
        _fail(wire, reports_by_line, failure.kind, str(failure))
    except BrokenPipeError:
        pass  # the host is gone
    except KeyboardInterrupt:
        _fail(wire, reports_by_line, "interrupted", "the command was interrupted")
    except OSError as error:
        explained = _explained(error)
        if explained.kind != "not_permitted":
            _print_traceback(reports_by_line)
        _fail(wire, reports_by_line, explained.kind, str(explained))
    except Exception as error:  # noqa: BLE001 - the host gets a reply, whatever happens
        _print_traceback(reports_by_line)
        _fail(wire, reports_by_line, "crashed", f"{type(error).__name__}: {error}")
    return 1


def _explained(error: OSError) -> Failure:
    """Return the failure for a system error that no command expected."""
    if isinstance(error, PermissionError) and concerns_home(find_home(), error):
        return not_permitted(find_home(), error)
    return Failure("out_of_disk" if error.errno in DISK_FULL else "crashed", str(error))


def _reply(wire: int, **values: Any) -> None:
    line = encode_object({"ok": True, **values})
    while line:
        line = line[os.write(wire, line) :]


def _print_traceback(reports_by_line: bool) -> None:
    """Print the traceback, except where standard error carries the one line that reports the error."""
    if not reports_by_line:
        import traceback

        traceback.print_exc()


def _fail(wire: int, reports_by_line: bool, kind: str, message: str) -> None:
    try:
        if reports_by_line:
            sys.stderr.write(one_line(message) + "\n")
        else:
            _reply(wire, ok=False, kind=kind, message=one_line(message))
    except OSError:
        pass  # the host is gone


# --- the commands -----------------------------------------------------------------------------------------------


def _probe(options: Any, home: Home, wire: int) -> None:
    from .probe import probe

    _reply(wire, **probe(home, options.runtime))


def _load(options: Any, home: Home, wire: int) -> None:
    from .board.watch import watch_load
    from .home import board_root

    _reply(wire, **watch_load(board_root(), options.seconds))


def _temperatures(options: Any, home: Home, wire: int) -> None:
    from pathlib import Path

    from .board.sensors.thermal import read_temperatures
    from .board.timeout import call_with_timeout

    read = call_with_timeout({"temperature_mc": lambda: read_temperatures(Path("/"))})
    _reply(wire, temperature_mc=read["temperature_mc"] or {})


def _receive(options: Any, home: Home, wire: int) -> None:
    from .storage.blobs import receive

    renew = _renewer(options, home)
    receive(home, options.sha256, options.bytes, 0, lambda **values: _reply(wire, **values), renew)


def _launch(options: Any, home: Home, wire: int) -> None:
    from .run.launch import launch

    _reply(wire, **launch(home, sys.stdin.buffer.readline(MAX_SPEC_BYTES + 1)))


def _follow(options: Any, home: Home, wire: int) -> None:
    from .run.follow import follow

    follow(home, options.run_id, options.offset, 0, wire, _renewer(options, home))


def _fetch(options: Any, home: Home, wire: int) -> None:
    from .run.follow import fetch

    fetch(home, options.run_id, options.name, options.offset, wire)


def _lease(options: Any, home: Home, wire: int) -> None:
    from .lease.lease_command import handle

    _reply(wire, **handle(home, sys.stdin.buffer.readline(MAX_LINE_BYTES + 1)))


def _power(options: Any, home: Home, wire: int) -> None:
    from .lease.power_command import handle

    _reply(wire, **handle(home, sys.stdin.buffer.readline(MAX_LINE_BYTES + 1)))


def _renewer(options: Any, home: Home) -> Callable[[], None]:
    """Return the function that renews the board's lease `--lease`."""
    if not options.lease:
        return lambda: None
    from .lease.board_lease import BoardLease

    lease = BoardLease(home)
    return lambda: lease.renew(options.lease)


def _require_lease(options: Any, home: Home) -> None:
    """Make sure that the board is leased to us (by `--lease`), or to nobody."""
    from .lease.board_lease import BoardLease

    if not home.root.is_dir():
        return  # nothing is there to be lost, and no folder should be made
    try:
        BoardLease(home).require(options.lease)
    except PermissionError as error:
        raise not_permitted(home, error) from error


def _clean(options: Any, home: Home, wire: int) -> None:
    from .storage.cleaning import clean

    if not options.dry_run:
        _require_lease(options, home)
    limits = {"older_than_s": options.older_than_s, "keep_bytes": options.keep_bytes}
    _reply(wire, **clean(home, dry_run=options.dry_run, **limits))


def _install(options: Any, home: Home, wire: int) -> None:
    from .storage.environments import install

    _reply(wire, **install(home, sys.stdin.buffer.readline(MAX_LINE_BYTES + 1), options.lease))


def _adopt(options: Any, home: Home, wire: int) -> None:
    from .storage.environments import adopt

    _reply(wire, **adopt(home, sys.stdin.buffer.readline(MAX_LINE_BYTES + 1), options.lease))


def _drop(options: Any, home: Home, wire: int) -> None:
    from .storage.environments import drop

    _reply(wire, **drop(home, sys.stdin.buffer.readline(MAX_LINE_BYTES + 1), options.lease))


def _remove(options: Any, home: Home, wire: int) -> None:
    from .storage.removal import remove_all

    _require_lease(options, home)
    _reply(wire, **remove_all(home))


def _runs(options: Any, home: Home, wire: int) -> None:
    from .storage.run_list import list_runs

    _reply(wire, **list_runs(home, options.prefix or ""))


def _try(options: Any, home: Home, wire: int) -> None:
    from .parent import die_with_parent
    from .runtimes.trial import try_runtime

    die_with_parent()
    _reply(wire, **try_runtime(options.name))


def _guard(options: Any, home: Home, wire: int) -> None:
    from .lease.guard import guard

    guard(home, options.token)


def _supervise(options: Any, home: Home, wire: int) -> int:
    from .run.supervisor import supervise

    return supervise(home, options.run_id, options.lock, options.ready)


def _measure(options: Any, home: Home, wire: int) -> NoReturn:
    from .parent import die_with_parent
    from .run.worker import run_measurement

    die_with_parent(int(home.run(options.run_id).pid.read_text()))

    # Exit at once: the teardown of a native runtime is not part of the run, and may crash or hang.
    os._exit(run_measurement(home, options.run_id, options.messages, options.go))


#: What started these has made sure that the home is private.
_STARTED_BY_AGENT = (_try, _guard, _supervise, _measure)


# --- their arguments --------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Failure("bad_request", message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="edgebench_agent", allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, prog="edgebench_agent")

    def add(called: str, command: Any, **positional: Any) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = commands.add_parser(called, allow_abbrev=False)
        added.set_defaults(command=command)
        for argument, kind in positional.items():
            added.add_argument(argument, type=kind)
        return added

    add("probe", _probe).add_argument("--runtime", action="append", default=[])
    add("load", _load).add_argument("--seconds", type=float, default=1.0)
    add("temperatures", _temperatures)
    receive = add("receive", _receive, sha256=_sha256, bytes=_count)
    add("launch", _launch)
    add("lease", _lease)
    add("power", _power)
    follow = add("follow", _follow, run_id=_run_id, offset=_count)
    add("fetch", _fetch, run_id=_run_id, name=str, offset=_count)
    add("runs", _runs).add_argument("--prefix", type=_run_id)
    clean = add("clean", _clean)
    clean.add_argument("--older-than-s", type=_count)
    clean.add_argument("--keep-bytes", type=_count)
    clean.add_argument("--dry-run", action="store_true")
    install = add("install", _install)
    adopt = add("adopt", _adopt)
    drop = add("drop", _drop)
    remove = add("remove", _remove)
    for leased in (receive, follow, clean, install, adopt, drop, remove):
        leased.add_argument("--lease", type=_count, default=0)
    # These the agent starts itself:
    add("try", _try, name=str)
    add("guard", _guard, token=_count)
    add("supervise", _supervise, run_id=_run_id, lock=int, ready=int)
    add("measure", _measure, run_id=_run_id, messages=int, go=int)
    return parser


def _matching(pattern: str, text: str) -> str:
    if not re.fullmatch(pattern, text):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} has the wrong form")
    return text


def _sha256(text: str) -> str:
    return _matching("[0-9a-f]{64}", text)


def _run_id(text: str) -> str:
    return _matching("[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", text)


def _count(text: str) -> int:
    value = int(_matching("[0-9]{1,19}", text))
    if value > MAX_INT:
        raise argparse.ArgumentTypeError(f"{text} is too large")
    return value


if __name__ == "__main__":
    sys.exit(main())
