"""A child process that does nothing any more is ended; one that works is not. Waits of a second, no exports."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from edgebench.errors import ExportError
from edgebench.export import child as children
from edgebench.export.isolation import stood_still
from edgebench.export.standstill import ended_at_standstill

#: Two threads that wait for each other's lock, as libraries do after a failed allocation.
DEADLOCK = "import threading; lock = threading.Lock(); lock.acquire(); print('waits', flush=True); lock.acquire()"
WORK = "import time\nend = time.monotonic() + {s}\nwhile time.monotonic() < end: pass"


def start(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


def test_a_child_that_waits_for_itself_is_ended() -> None:
    with start(DEADLOCK) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waits\n"
        with ended_at_standstill(process, after_s=1) as watch:
            assert process.wait(60) == -signal.SIGKILL
        assert watch.stood_still


@pytest.mark.parametrize(
    "code",
    [
        WORK.format(s=2),
        # a child of the child works
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WORK.format(s=2)!r}])",
    ],
    ids=["itself", "its-child"],
)
def test_a_child_that_works_is_not_ended(code: str) -> None:
    with start(code) as process:
        with ended_at_standstill(process, after_s=1) as watch:
            assert process.wait(60) == 0
        assert not watch.stood_still


def test_a_child_that_the_user_suspends_is_not_ended() -> None:
    with start(DEADLOCK) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        with ended_at_standstill(process, after_s=0.4) as watch, pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        assert not watch.stood_still
        process.kill()


def test_the_message_names_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "ended_at_standstill", lambda process: ended_at_standstill(process, after_s=1))
    with pytest.raises(ExportError) as caught:
        children.run_child([sys.executable, "-c", DEADLOCK], {}, subject="folder", what="trimming")
    assert str(caught.value) == str(stood_still("folder", "trimming"))
    assert "probably for want of memory; try to close other programs" in str(caught.value)
