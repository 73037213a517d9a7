"""Runs commands of the agent in forks of one process that has loaded it, so that no command waits for an interpreter.

It is the agent as it is packed, loaded from its archive. What a command starts itself (the supervisor, the worker, a
guard) is started from the archive, as on a board.
"""

from __future__ import annotations

import atexit
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_SERVER = """
import json, os, signal, socket, sys

archive, listener = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
sys.path.insert(0, archive)
import edgebench_agent.__main__ as agent
import edgebench_agent.lease.lease_command, edgebench_agent.lease.power_command, edgebench_agent.probe
import edgebench_agent.protocol.public, edgebench_agent.run.follow, edgebench_agent.run.launch
import edgebench_agent.storage.blobs, edgebench_agent.storage.cleaning, edgebench_agent.storage.environments
import edgebench_agent.storage.removal, tempfile, traceback


def serve(connection):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    command = os.fork()
    if not command:
        run(json.loads(request), files)
    connection.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]))


def run(request, files):
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, 1024)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.modules["edgebench_agent"].__loader__.archive = request["archive"]
    status = 1
    try:
        status = agent.main(request["arguments"])
    finally:
        sys.stderr.flush()
        os._exit(status)


signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    connection, _ = listener.accept()
    if not os.fork():
        listener.close()
        serve(connection)
        os._exit(0)
    connection.close()
"""


class AgentServer:
    """The process that is forked for each command. `archive`: the agent that it loads."""

    def __init__(self, archive: bytes) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgebench-agent-server-")
        folder = Path(self._folder.name)
        (folder / "agent.pyz").write_bytes(archive)
        self._address = str(folder / "socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self._address)
            listener.listen(64)
            number = listener.fileno()
            program = [sys.executable, "-c", _SERVER, str(folder / "agent.pyz"), str(number)]
            self._process = subprocess.Popen(program, pass_fds=(number,), stdin=subprocess.DEVNULL)

    def run(
        self, archive: Path, arguments: Sequence[str], environment: dict[str, str], input: bytes, timeout_s: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command of the agent, which must believe that it is loaded from `archive`, a copy of the server's."""
        request = {"archive": str(archive), "arguments": list(arguments), "environment": environment}
        with (
            tempfile.TemporaryFile() as stdin,
            tempfile.TemporaryFile() as stdout,
            tempfile.TemporaryFile() as stderr,
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection,
        ):
            stdin.write(input)
            stdin.seek(0)
            connection.settimeout(timeout_s)
            connection.connect(self._address)
            files = [stdin.fileno(), stdout.fileno(), stderr.fileno()]
            socket.send_fds(connection, [json.dumps(request).encode()], files)
            try:
                status = int(connection.recv(64))
            except TimeoutError:
                raise subprocess.TimeoutExpired(list(arguments), timeout_s) from None
            stdout.seek(0)
            stderr.seek(0)
            return subprocess.CompletedProcess(list(arguments), status, stdout.read(), stderr.read())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


@cache
def agent_server(archive: bytes) -> AgentServer:
    """Return the server of an archive; it ends with this process."""
    server = AgentServer(archive)
    atexit.register(server.close)
    return server
