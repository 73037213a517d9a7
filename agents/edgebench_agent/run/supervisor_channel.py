"""The worker's channel to its supervisor, which writes the journal."""

import os
import signal
from types import FrameType
from typing import Dict, List, Optional

from ..protocol.messages import MAX_BLOCK, Latencies, Message, Phase, encode_body
from ..protocol.wire import encode_object


class Stopped(Exception):
    """This process was requested to end."""


class SupervisorChannel:
    """Messages to the supervisor, and its go-aheads, over two pipes."""

    def __init__(self, messages: int, go: int) -> None:
        self._messages = messages
        self._go = go
        self._stopped = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: Optional[FrameType]) -> None:
        self._stopped = True

    def send(self, message: Message) -> None:
        """Send a message."""
        self._send_line(encode_body(message))

    def report_runtime(self, runtime_version: str, libraries: Dict[str, str]) -> None:
        """Send what the supervisor needs for the run's first message; it is not itself part of the journal."""
        about = {"type": "imported", "version": runtime_version, "libraries": libraries}
        self._send_line(encode_object(about)[1:])

    def _send_line(self, body: bytes) -> None:
        line = memoryview(body)
        while len(line):
            line = line[os.write(self._messages, line) :]

    def check(self) -> None:
        """Raise Stopped if this process was requested to end."""
        if self._stopped:
            raise Stopped

    def enter(self, phase: str) -> None:
        """Announce a phase, and wait for the go-ahead: the supervisor reads some sensors only while nothing runs.

        Raises:
            Stopped: this process was requested to end.
        """
        self.check()
        self.send(Phase(phase))
        if not os.read(self._go, 1):
            raise Stopped
        self.check()


def send_latencies(
    channel: SupervisorChannel, starts: List[int], latencies: List[int], items: List[int], warmup: bool, model: int = 0
) -> None:
    """Send columns of any length, in as many messages as they need."""
    for at in range(0, len(starts), MAX_BLOCK):
        part = slice(at, at + MAX_BLOCK)
        channel.send(Latencies(warmup, starts[part], latencies[part], items[part], model))
