"""A real SSH server in the test process (asyncssh): commands are real processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh

from edgebench.testing import LoopThread

USER = "pi"


class AsyncSshServer:
    """Listens on 127.0.0.1; logs `user` in by authorized keys, and by `password` where one is set."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.user = USER
        self.password: str | None = None
        self.refuse_all = False
        self.login_shell = "/bin/sh"
        self.logins = 0
        self._closed = False
        self._children: list[asyncio.subprocess.Process] = []
        self.connections: set[asyncssh.SSHServerConnection] = set()
        home.mkdir(parents=True, exist_ok=True)
        self.port = 0
        self._keys: list[Any] = [asyncssh.generate_private_key("ssh-ed25519")]
        self._thread = LoopThread("test-ssh-server")
        self._thread.run(self._listen())

    @property
    def host_key(self) -> str:
        key = self._keys[0][0] if isinstance(self._keys[0], tuple) else self._keys[0]
        line: str = key.export_public_key().decode().strip()
        return line

    def authorize(self, public_key: str) -> None:
        """Add a key to the board's ~/.ssh/authorized_keys."""
        path = self.home / ".ssh" / "authorized_keys"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with path.open("a") as file:
            file.write(public_key + "\n")

    def change_host_key(self) -> None:
        """Show another host key from the next connection on, as a board that was set up anew."""
        self.use_host_keys("ssh-ed25519")

    def use_host_keys(self, *kinds: str) -> list[str]:
        """Have new keys of these kinds; return their public lines."""
        self._keys = [asyncssh.generate_private_key(kind) for kind in kinds]
        self._thread.run(self._relisten())
        return [key.export_public_key().decode().strip() for key in self._keys]

    def use_certificate(self, key: Path) -> None:
        """Show the host key in a file with the certificate beside it, KEY-cert.pub."""
        certificate = key.with_name(f"{key.name}-cert.pub")
        self._keys = [(asyncssh.read_private_key(key), asyncssh.read_certificate(certificate))]
        self._thread.run(self._relisten())

    def cut(self) -> None:
        """Drop every connection from this end, without a word."""
        self._thread.run(self._cut())

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._thread.run(self._cut())
        self._thread.run(self._stop())
        self._thread.run(self._end_children())
        self._thread.close()

    async def _listen(self) -> None:
        self._acceptor = await asyncssh.create_server(
            lambda: _Login(self),
            "127.0.0.1",
            self.port,
            reuse_address=True,
            server_host_keys=self._keys,
            process_factory=self._run,
            encoding=None,
        )
        self.port = self._acceptor.get_port()

    async def _stop(self) -> None:
        self._acceptor.close()
        await self._acceptor.wait_closed()

    async def _end_children(self) -> None:
        for child in self._children:
            if child.returncode is None:
                child.kill()
            await child.wait()

    async def _relisten(self) -> None:
        await self._cut()
        await self._stop()
        await self._listen()

    async def _cut(self) -> None:
        for connection in list(self.connections):
            connection.abort()

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = process.command
        if command is None:
            process.exit(1)
            return
        child = await asyncio.create_subprocess_exec(
            self.login_shell,
            "-c",
            command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.home,
            env={**_environment(), "HOME": str(self.home), "EDGEBENCH_HOME": str(self.home / ".edgebench")},
            start_new_session=True,
        )
        assert child.stdin and child.stdout and child.stderr
        self._children.append(child)
        feeding = asyncio.create_task(_feed(process.stdin, child.stdin))
        try:
            await asyncio.gather(_drain(child.stdout, process.stdout), _drain(child.stderr, process.stderr))
            status = await child.wait()
        except (asyncssh.Error, OSError):
            return  # the connection is gone; like OpenSSH, close the pipes and leave the process alone
        finally:
            feeding.cancel()
            child.stdin.close()
            for number in (1, 2):
                pipe = child._transport.get_pipe_transport(number)  # type: ignore[attr-defined]
                if pipe is not None:
                    pipe.close()
        if status < 0:
            process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
        else:
            process.exit(status)


def _environment() -> dict[str, str]:
    """Return what a login sets; a version manager's script for python3 would take as long as Python's start."""
    path = os.environ.get("PATH", "")
    found = shutil.which("python3", path=path)
    if found is not None and Path(found).read_bytes()[:2] == b"#!":
        path = os.pathsep.join([str(Path(getattr(sys, "_base_executable", sys.executable)).resolve().parent), path])
    lang = {"LANG": os.environ["LANG"]} if "LANG" in os.environ else {}
    return {"PATH": os.pathsep.join([path, os.defpath]), **lang}


async def _feed(source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter) -> None:
    with suppress(asyncssh.Error, OSError):
        while chunk := await source.read(64 << 10):
            sink.write(chunk)
            await sink.drain()
    sink.close()


async def _drain(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    while chunk := await source.read(64 << 10):
        sink.write(chunk)
        await sink.drain()


class _Login(asyncssh.SSHServer):
    def __init__(self, server: AsyncSshServer) -> None:
        self._server = server

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._server.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self._connection)

    def auth_completed(self) -> None:
        self._server.logins += 1

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        path = self._server.home / ".ssh" / "authorized_keys"
        known = path.read_text().splitlines() if path.exists() else []
        line = key.export_public_key().decode().split()[:2]
        return not self._server.refuse_all and username == USER and line in [entry.split()[:2] for entry in known]

    def password_auth_supported(self) -> bool:
        return self._server.password is not None

    def validate_password(self, username: str, password: str) -> bool:
        return username == USER and password == self._server.password

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True  # a jump host forwards
