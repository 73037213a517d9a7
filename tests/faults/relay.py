"""A relay between host and board that does to the bytes what networks do, at a given byte."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from edgebench.testing import LoopThread
from edgebench.testing.network import reset

_CHUNK_BYTES = 64 << 10
_SEGMENT_BYTES = 1448
#: TCP's least time before it sends a lost segment again, as Linux has it.
_RETRANSMIT_S = 0.2


class Relay:
    """Forwards connections from `port` on 127.0.0.1 to a server.

    `moved` counts the bytes of both directions. `at` calls a function between two bytes: what was before has been
    forwarded, what comes after meets the changed network.
    """

    def __init__(self, address: str, port: int, *, seed: int = 0) -> None:
        self._target = (address, port)
        self._thread = LoopThread("relay")
        self._random = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_refusing = False
        self._next: tuple[int, Callable[[], None]] | None = None
        self._mangle: Callable[[bytes], list[bytes]] | None = None
        self._delay_s = self._loss = 0.0
        self._bytes_per_s = 0.0
        self.moved = 0
        self._thread.run(self._listen())

    async def _listen(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]

    # --- what may go wrong; each may be called from any thread, or by `at` ----------------------------------------

    def at(self, moved: int, action: Callable[[], None]) -> None:
        """Call `action` in the relay's thread once so many more bytes have moved; it may be a method of the relay."""
        self._next = (self.moved + moved, action)

    @property
    def is_armed(self) -> bool:
        """Whether an action of `at` is still to come."""
        return self._next is not None

    def cut(self) -> None:
        """Reset every connection; new ones work."""
        self._call(self._cut)

    def refuse(self) -> None:
        """Reset every connection and each new one, until `restore`."""
        self._is_refusing = True
        self._call(self._cut)

    def hold(self) -> None:
        """Forward nothing and keep every connection, until `restore`."""
        self._call(self._flowing.clear)

    def restore(self) -> None:
        """Forward again, first what was held back; what `at` was to do is not done."""
        self._next, self._is_refusing = None, False
        self._call(self._flowing.set)

    def shape(self, *, delay_s: float = 0.0, loss: float = 0.0, bytes_per_s: float = 0.0) -> None:
        """Delay each segment, lose this share of them (each is sent again by TCP), limit the rate (0: no limit)."""
        self._delay_s, self._loss, self._bytes_per_s = delay_s, loss, bytes_per_s

    def duplicate(self) -> None:
        """Forward the next bytes twice."""
        self._mangle = lambda data: [data, data]

    def reorder(self) -> None:
        """Forward the two halves of the next bytes in the wrong order."""
        self._mangle = lambda data: [data[len(data) // 2 :], data[: len(data) // 2]]

    def close(self) -> None:
        """Reset every connection and stop listening."""
        self._thread.run(self._close())
        self._thread.close()

    async def _close(self) -> None:
        self._cut()
        self._server.close()

    def _call(self, action: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(action)

    def _cut(self) -> None:
        for writer in list(self._writers):
            reset(writer)
        self._writers.clear()

    # --- connections ----------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_refusing:
            reset(writer)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            reset(writer)
            return
        both = {writer, server_writer}
        self._writers |= both
        try:
            await asyncio.gather(self._pump(reader, server_writer), self._pump(server_reader, writer))
        except ConnectionError:
            pass  # a reset at one end closes the other
        finally:
            self._writers -= both
            for end in both:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one direction, through a queue in which each piece waits for its time."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        sending = asyncio.create_task(self._send(waiting, writer))
        due_s = 0.0
        try:
            while chunk := await reader.read(_SEGMENT_BYTES if self._loss or self._delay_s else _CHUNK_BYTES):
                due_s = max(due_s, asyncio.get_running_loop().time() + self._delay_s)
                if self._random.random() < self._loss:
                    due_s += _RETRANSMIT_S
                if self._bytes_per_s:
                    due_s += len(chunk) / self._bytes_per_s
                await waiting.put((due_s, chunk))
                if sending.done():
                    break
            await waiting.put((due_s, b""))
            await sending
        finally:
            sending.cancel()

    async def _send(self, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, chunk = await waiting.get()
            if due_s > loop.time():
                await asyncio.sleep(due_s - loop.time())
            await self._flowing.wait()
            if not chunk:
                writer.write_eof()
                return
            while chunk:
                chunk = await self._send_up_to_action(chunk, writer)

    async def _send_up_to_action(self, chunk: bytes, writer: asyncio.StreamWriter) -> bytes:
        """Send a chunk, or the part of it before the byte at which something happens; return the rest."""
        part, rest, action = chunk, b"", None
        if self._next is not None and self.moved + len(chunk) >= self._next[0]:
            length, action = self._next[0] - self.moved, self._next[1]
            part, rest, self._next = chunk[:length], chunk[length:], None
        self.moved += len(part)
        mangle, self._mangle = self._mangle, None
        for piece in [part] if mangle is None else mangle(part):
            writer.write(piece)
        await writer.drain()
        if action is not None:
            action()
            await asyncio.sleep(0)  # what it asked the loop for
            await self._flowing.wait()
        return rest
