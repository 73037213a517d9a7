"""Processes that share their imports: servers that have imported much, and fork for each process that tests start.

Most of the time of a short process goes into imports: 10 to 20 s of CPU for an export (torch, transformers,
litert-torch), 1 s for a command of edgebench. In tests `edgebench.export` starts this file instead of the worker, and
`edgebench_command()` is this file instead of `python -m edgebench`: a client that hands its standard streams,
environment and working folder to a server, passes signals on, waits for the fork that runs the real `main`, and ends as
the fork ended, with its status or by its signal. The first client starts the server; it serves all processes of
pytest-xdist, and ends with their parent.

A test takes the fixture `own_imports` where an export's own start matters, and starts `python -m edgebench` where a
command's does: its encoding, its imports, a terminal.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

WORKER = "edgebench.export.worker"
MERGE = "edgebench.export.adapter_merge"
TRIM = "edgebench.export.trim_weights"
#: In the environment of a test whose exports trace every graph themselves.
TRACE_ANEW = "EDGEBENCH_TESTS_TRACE_ANEW"
#: What exports import. What is not installed is left out, as exports do.
_PRELOADED = (
    WORKER,
    "torch.onnx._internal.exporter._core",
    "transformers.models.xlm_roberta.modeling_xlm_roberta",
    "onnxscript",
    "onnx_ir.passes.common",
    "onnxruntime",
    "safetensors.torch",
    "tokenizers",
    "litert_torch",
    "ai_edge_quantizer.quantizer",
)
#: What commands import, most of them later than at their start.
_OF_COMMANDS = (
    "edgebench.cli",
    "edgebench.analysis",
    "edgebench.evaluation",
    "edgebench.export",
    "edgebench.gating",
    "edgebench.measure",
    "edgebench.provision",
    "edgebench.reporting",
    "edgebench.study",
    "edgebench.xtreme_r",
    "duckdb",
    "fabric",
    "numpy",
    "onnx",
    "rich.live",
    "rich.table",
    "scipy.stats",
    "tomlkit",
)
COMMAND = "edgebench"
#: A client waits for its fork without doing anything: exports of tests don't end it.
CLIENTS_WAIT_S = 3600.0
_STREAMS = 3
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SERVER_LOST = 70  # the client's exit status


# --- for the tests ----------------------------------------------------------------------------------------------


def client_command(path: Path, session: int, module: str = WORKER) -> tuple[str, ...]:
    """Return what to start instead of the worker, or of another module that exports start.

    Args:
        path: of the server's socket, the same in all processes of a session.
        session: the process that the server ends with.

    The worker's name is in the command: tests find exports by that.
    """
    return (sys.executable, "-I", "-S", __file__, str(path), str(session), module)


def edgebench_command() -> list[str]:
    """Return what starts `edgebench` in a process of its own, whose exports are those of this process."""
    from edgebench.export import isolation

    if isolation.WORKER[-1] != WORKER or __file__ not in isolation.WORKER:
        return [sys.executable, "-m", "edgebench"]
    *start, path, session, _ = isolation.WORKER
    return [*start, str(Path(path).with_name("commands")), session, COMMAND]


# --- the client -------------------------------------------------------------------------------------------------


def run_client(path: Path, session: int, kind: str, arguments: list[str]) -> None:
    """Have the server fork for this process, and end as the fork ends."""
    values = {"module": kind, "environment": dict(os.environ), "folder": str(Path.cwd()), "arguments": arguments}
    values["file_size"] = resource.getrlimit(resource.RLIMIT_FSIZE)
    request = json.dumps(values).encode()
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)  # until it is known whom to pass them on to
    with _connect_or_start(path, session, kind) as connection:
        streams = array.array("i", range(_STREAMS))
        connection.sendmsg([len(request).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
        connection.sendall(request)
        for stream in range(_STREAMS):  # whoever reads our output waits for the fork's end of it
            os.close(stream)
        pid = int.from_bytes(connection.recv(4), "big")
        for each in _PASSED_ON:
            if pid and signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, lambda number, _: os.kill(pid, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        answer = connection.recv(4)
    status = int.from_bytes(answer, "big", signed=True) if answer else _SERVER_LOST
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    os._exit(status)


def _connect_or_start(path: Path, session: int, kind: str) -> socket.socket:
    with contextlib.suppress(OSError):
        return _connect(path)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):  # another client has started it
            return _connect(path)
        path.unlink(missing_ok=True)
        log, server = path.with_suffix(".log"), COMMAND if kind == COMMAND else WORKER
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(path), str(session), server, "serve"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the tests
            )
        while process.poll() is None:
            with contextlib.suppress(OSError):
                return _connect(path)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
    sys.exit(f"the server of {kind} ended with {process.returncode}: {log.read_text()[-2000:]}")


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


# --- the server -------------------------------------------------------------------------------------------------


@dataclass
class _Fork:
    pid: int
    client: socket.socket


class Server:
    """Forks for each client; ends when the session does."""

    def __init__(self, path: Path, session: int, kind: str) -> None:
        self._path, self._session_process = path, session
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # the first client's is not the others'
        self._session = os.pidfd_open(session)
        for name in _PRELOADED if kind == WORKER else _OF_COMMANDS:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        if kind == WORKER:
            _warm_up()
        gc.freeze()  # collecting garbage in a fork would copy what it only reads
        self._forks: list[_Fork] = []
        self._children, self._wake = socket.socketpair()
        for one in (self._children, self._wake):
            one.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self._clients: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        for file in (self._session, self._children, self._listener):
            self._selector.register(file, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until the session's process ends."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == self._session:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._children:
                    self._children.recv(4096)
                    self._reap()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._clients:
                    self._receive(key.fileobj)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._clients.add(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _receive(self, connection: socket.socket) -> None:
        """Fork for a request; where the other side is gone, end what ran for it."""
        head, messages, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(_STREAMS * 4))
        if head:
            streams = array.array("i")
            for _, _, data in messages:
                streams.frombytes(data)
            request = json.loads(_read(connection, int.from_bytes(head, "big")))
            pid = os.fork()
            if pid == 0:
                self._run(streams, request)
            for stream in streams:
                os.close(stream)
            self._forks.append(_Fork(pid, connection))
            with contextlib.suppress(OSError):
                connection.sendall(pid.to_bytes(4, "big"))
            return
        for fork in self._forks:
            if fork.client is connection:
                os.kill(fork.pid, signal.SIGKILL)
        self._forget(connection)

    def _reap(self) -> None:
        for fork in list(self._forks):
            pid, status = os.waitpid(fork.pid, os.WNOHANG)
            if not pid:
                continue
            self._forks.remove(fork)
            if fork.client in self._clients:
                with contextlib.suppress(OSError):
                    fork.client.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
                self._forget(fork.client)

    def _forget(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        self._clients.remove(connection)
        connection.close()

    def _run(self, streams: array.array[int], request: dict[str, Any]) -> None:
        """Be the worker, in a fork; does not return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            _open_streams()
            for one in (self._listener, self._children, self._wake, *self._clients):
                one.close()
            self._selector.close()
            os.environ.clear()
            os.environ.update(request["environment"])
            os.chdir(request["folder"])
            resource.setrlimit(resource.RLIMIT_FSIZE, request["file_size"])
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
            sys.argv = [request["module"], *request["arguments"]]
            if request["module"] == COMMAND:
                self._run_command(request["arguments"])
            else:
                if TRACE_ANEW not in os.environ:
                    _trace_once(self._path.with_name("traces"))
                importlib.import_module(request["module"]).main()
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:  # noqa: BLE001 - a fork must not return to the server's loop
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _run_command(self, arguments: list[str]) -> None:
        from edgebench.cli import main
        from edgebench.export import isolation, standstill

        standstill.STANDSTILL_S = CLIENTS_WAIT_S
        isolation.WORKER = client_command(self._path.with_name("exports"), self._session_process)
        main(arguments)


def _warm_up() -> None:
    """Trace a graph: torch and onnxscript fill their registers of operators the first time, for some 4 s of CPU."""
    from edgebench.export import skeleton
    from edgebench.export.checkpoint import reference_checkpoint

    with contextlib.suppress(ImportError):
        checkpoint = reference_checkpoint("reference:tiny", task="encoder")
        skeleton.trace(replace(checkpoint.geometry, num_hidden_layers=1), checkpoint.head)


def _trace_once(folder: Path) -> None:
    """Have each graph traced once in a session, whatever the caches that its tests use; 5 to 10 s of CPU each."""
    import onnx
    import onnx_ir as ir

    from edgebench.export import skeleton_file, worker

    trace, load = skeleton_file.trace, skeleton_file.load_skeleton
    folder.mkdir(exist_ok=True)

    def load_once(path: Path, *arguments: Any, **options: Any) -> ir.Model:
        traced = folder / path.name  # named for all that decides the graph

        def trace_once(*of: Any) -> ir.Model:
            with traced.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not traced.exists():
                    unfinished = traced.with_suffix(".unfinished")
                    unfinished.write_bytes(ir.to_proto(trace(*of)).SerializeToString(deterministic=True))
                    unfinished.rename(traced)
            return ir.from_proto(onnx.load(traced))

        skeleton_file.trace = trace_once
        return load(path, *arguments, **options)

    worker.load_skeleton = load_once


def _open_streams() -> None:
    """Open the standard streams as Python does when it starts: they are other files than the server's."""
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor, for good
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _read(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            break
        content += part
    return content


if __name__ == "__main__":
    socket_path, session_process, kind, *rest = sys.argv[1:]
    if rest == ["serve"]:
        Server(Path(socket_path), int(session_process), kind).serve()
    else:
        run_client(Path(socket_path), int(session_process), kind, rest)
