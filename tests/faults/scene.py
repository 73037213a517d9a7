"""What a fault works on: the board and the host of one trial, and the moments that it can wait for."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.board import Board
from tests.faults.faulty_python import FaultyClock, FaultyPython
from tests.faults.host import Ended, Host
from tests.faults.memory_group import MemoryGroup

_POLL_S = 0.05
_LONGEST_FAULT_S = 900.0
#: What moves over the connection until the first run begins (the agent, the model, answers), and during a run.
_PUSH_BYTES, _RUN_BYTES = 700_000, 30_000


class Missed(Exception):
    """The command ended before the moment of the fault came."""


class Scene:
    """One trial as its fault sees it; the fault runs in a thread of its own.

    `notes`: what happened, for the report. `struck_at_ns`: when; monotonic, which is also the board's clock here.
    """

    def __init__(self, board: Board, host: Host, model: Path, rng: random.Random) -> None:
        self.board = board
        self.host = host
        self.model = model
        self.rng = rng
        self.python: FaultyPython | None = None
        self.clock: FaultyClock | None = None
        self.memory: MemoryGroup | None = None  # in which the board's agent runs
        self.other: Host | None = None
        self.other_ended: list[Ended] = []
        self.notes: list[str] = []
        self.struck_at_ns: int | None = None
        self.torn: dict[str, bytes] = {}  # journals as they were before they were damaged
        self.damaged: list[Path] = []
        self.keeps_runs = False  # the user waits for the end of the run on the board before going on
        self.thread: threading.Thread | None = None  # the fault's
        self.is_closing = threading.Event()
        self.wants_command = threading.Event()
        self._wanted = 1  # the command in which the fault strikes

    # --- the moment -----------------------------------------------------------------------------------------------

    def wait(self, happened: Callable[[], bool]) -> None:
        """Return once something has happened.

        Raises:
            Missed: the command ended before.
        """
        while not happened():
            self.check()
            time.sleep(_POLL_S)
        self.check()

    def check(self) -> None:
        """Raise Missed if the command in which the fault is to strike has ended."""
        if self.is_closing.is_set() or self.host.ended >= self._wanted:
            raise Missed

    def pause(self, least_s: float, most_s: float | None = None) -> float:
        """Let a random time pass, or less if the trial ends; return it."""
        seconds = self.rng.uniform(least_s, most_s if most_s is not None else least_s)
        self.is_closing.wait(seconds)
        return seconds

    def await_end_of_command(self, most_s: float) -> None:
        """Let time pass until the command has ended."""
        until = time.monotonic() + most_s
        while self.host.ended < self._wanted and time.monotonic() < until and not self.is_closing.is_set():
            time.sleep(_POLL_S)

    def next_command(self) -> None:
        """Wait for the command after the present one."""
        self._wanted = self.host.begun + 1
        self.wants_command.set()
        while self.host.begun < self._wanted:
            if self.is_closing.is_set():
                raise Missed
            time.sleep(_POLL_S)
        self.wants_command.clear()

    def await_measuring(self, most_s: float) -> None:
        """Wait until another run on the board that counts is timed, and a random time of at most `most_s` more."""
        known = self._measured()
        self.wait(lambda: len(self._measured()) > len(known))
        if most_s:
            self.pause(0.0, most_s)
            self.check()

    def _measured(self) -> set[str]:
        text = b'"name":"measuring"'
        return {id for id, data in self.board.journals() if text in data and "pilot" not in id}

    def note_strike(self, text: str) -> None:
        """Note that the fault has happened."""
        if self.struck_at_ns is None:
            self.struck_at_ns = time.monotonic_ns()
        self.notes.append(text)

    def calm(self) -> None:
        """Let nothing happen any more that was to happen, after a fault that is over or has missed its moment."""
        self.board.relay.restore()
        if self.python is not None:
            self.python.disarm()

    def settle(self) -> bool:
        """Wait, in the thread of the commands, until the fault is over; return whether it waits for another command."""
        deadline = time.monotonic() + _LONGEST_FAULT_S
        while self.thread is not None and self.thread.is_alive() and time.monotonic() < deadline:
            if self.wants_command.is_set():
                return True
            time.sleep(_POLL_S)
        return False

    # --- helpers of several faults --------------------------------------------------------------------------------

    def random_bytes(self, stage: str) -> int:
        """Return after how many bytes of a stage something on the link is to happen."""
        return self.rng.randrange(200, _PUSH_BYTES if stage in ("start", "push") else _RUN_BYTES)

    def interrupt(self) -> None:
        """End the present command as a user does, by Ctrl-C."""
        self.host.signal(signal.SIGINT)
