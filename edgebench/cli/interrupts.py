"""Ctrl-C, a cancelled job, a closed terminal: a command ends in time, and its last line says what was kept.

The first signal ends the command as KeyboardInterrupt does; `edgebench.ending` limits what it waits for. A thread of
its own is the last resort: it gets every signal at once, also while the main thread waits inside a library, and ends
the process once the time is over.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import click

from edgebench import ending

#: A command has ended so long after the first signal, and after the second one.
LIMIT_S, SECOND_LIMIT_S = 14.0, 1.8
EXIT_CODE = 130
_SHOW_CURSOR = b"\x1b[?25h"


class LastLine:
    """What a command that ends early says last: what was kept, and how to go on."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._only_interrupted = False

    def say(self, text: str | None, *, only_interrupted: bool = False) -> None:
        """Set the line; `only_interrupted`: it is left out if the command ends with another error."""
        self._text = text
        self._only_interrupted = only_interrupted

    def text(self, *, is_interrupted: bool) -> str | None:
        """Return the line of a command that was interrupted, or ends with an error."""
        return self._text if is_interrupted or not self._only_interrupted else None

    def show(self, *, is_interrupted: bool) -> None:
        """Print the line, if there is one."""
        if (text := self.text(is_interrupted=is_interrupted)) is not None:
            click.echo(f"edgebench: {text}", err=True)


last_line = LastLine()


@contextmanager
def ends_in_time() -> Iterator[None]:
    """Let SIGTERM and SIGHUP act like Ctrl-C, and end the process if that takes too long."""
    last_line.say(None)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    readable, wake = os.pipe()
    os.set_blocking(wake, False)
    before = {number: signal.getsignal(number) for number in ending.SIGNALS}
    woke_before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(readable,), name="edgebench-interrupts", daemon=True).start()
    for number, handler in before.items():
        if handler is signal.SIG_DFL:  # one that is ignored (nohup) stays so
            signal.signal(number, _interrupt)
    try:
        with ending.scope():
            yield
    finally:
        signal.set_wakeup_fd(woke_before)
        os.close(wake)
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _watch(readable: int) -> None:
    """End the process once the time after a signal is over; return when the command has ended before."""
    count, deadline_s = 0, float("inf")
    while True:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            _end_now()
        if not select.select([readable], [], [], min(left_s, 3600.0))[0]:
            continue
        if not (numbers := os.read(readable, 64)):
            os.close(readable)
            return
        for number in numbers:
            if number in ending.SIGNALS:
                count += 1
                ending.begin(ending.ENDING_S if count == 1 else ending.SECOND_S)
                deadline_s = min(deadline_s, time.monotonic() + (LIMIT_S if count == 1 else SECOND_LIMIT_S))


def _end_now() -> None:
    text = last_line.text(is_interrupted=True)
    lines = ["edgebench: interrupted, and not all could be ended in time"] + ([f"edgebench: {text}"] if text else [])
    with suppress(OSError):
        os.write(2, (_SHOW_CURSOR if os.isatty(2) else b"") + "".join(f"{line}\n" for line in lines).encode())
    with suppress(Exception):
        sys.stdout.flush()
    os._exit(EXIT_CODE)
