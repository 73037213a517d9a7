"""A faulty network: a proxy that pauses, slows down and cuts connections."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

Result = TypeVar("Result")

_CHUNK_BYTES = 64 << 10


class LoopThread:
    """An asyncio event loop in a separate thread, for servers that a test uses with blocking calls."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result], *, timeout_s: float = 30.0) -> Result:
        """Run a coroutine there and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def close(self) -> None:
        """Cancel all tasks and end the thread."""
        self.run(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class FaultyProxy:
    """A TCP proxy on 127.0.0.1 in front of a server, which can be paused, slowed down and cut.

    `port` is where to connect. `moved_to_server` and `moved_to_client` count the bytes that passed.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1") -> None:
        self._target = (host, port)
        self._thread = LoopThread("faulty-proxy")
        self._writers: set[asyncio.StreamWriter] = set()
        self._bytes_per_s: float | None = None
        self._cut_after: int | None = None
        self.moved_to_server = 0
        self.moved_to_client = 0
        self._closed = False
        self._thread.run(self._listen())

    async def _listen(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def pause(self) -> None:
        """Stop all data but keep the connections, like a board that does not respond."""
        self._thread.run(self._set_flowing(False))

    def resume(self) -> None:
        """Forward data again, delayed data first."""
        self._thread.run(self._set_flowing(True))

    async def _set_flowing(self, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    def throttle(self, bytes_per_s: float | None) -> None:
        """Limit each direction to `bytes_per_s`; None: no limit."""
        self._bytes_per_s = bytes_per_s

    def cut(self) -> None:
        """Reset every connection; new ones are accepted as before."""
        self._thread.run(self._cut())

    def cut_after(self, moved_to_server: int) -> None:
        """Reset every connection once, as soon as the client has sent this many more bytes."""
        self._cut_after = self.moved_to_server + moved_to_server

    async def _cut(self) -> None:
        for writer in list(self._writers):
            reset(writer)
        self._writers.clear()

    def close(self) -> None:
        """Reset every connection and stop listening."""
        if self._closed:
            return
        self._closed = True
        self._thread.run(self._cut())
        self._thread.run(self._stop_listening())
        self._thread.close()

    async def _stop_listening(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            reset(writer)
            return
        both = {writer, server_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._pump(reader, server_writer, to_server=True), self._pump(server_reader, writer, to_server=False)
            )
        except ConnectionError:
            pass  # a reset at one end closes the other
        finally:
            self._writers -= both
            for end in both:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_server: bool) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            await self._flowing.wait()
            if self._bytes_per_s is not None:
                await asyncio.sleep(len(chunk) / self._bytes_per_s)
            writer.write(chunk)
            await writer.drain()
            if to_server:
                self.moved_to_server += len(chunk)
            else:
                self.moved_to_client += len(chunk)
            if self._cut_after is not None and self.moved_to_server >= self._cut_after:
                self._cut_after = None
                await self._cut()
        writer.write_eof()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection as a reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            # A linger time of 0 makes close() send a reset.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
