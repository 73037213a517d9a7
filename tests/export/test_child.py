"""Child processes that trim and merge: what they answer, how they fail, and that they end with their parent."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgebench.errors import CheckpointError, ExportError
from edgebench.export.child import run_child

CHILD = """
import os, signal, sys, time
from pathlib import Path
from edgebench.errors import CheckpointError, ExportError
from edgebench.export.child import serve

def do(job):
    print("a library prints")
    {body}

serve(do, failure=lambda job: f"{{job['folder']}}: can't be done")
"""


def child(body: str) -> list[str]:
    return [sys.executable, "-c", CHILD.format(body=body)]


def test_the_answer_comes_back_whatever_a_library_prints() -> None:
    found = run_child(child("return {'folder': job['folder'] + '!'}"), {"folder": "a"}, subject="a", what="trying")
    assert found == {"folder": "a!"}


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("raise CheckpointError('wrong file')", CheckpointError, "wrong file"),
        ("raise ExportError('no room')", ExportError, "no room"),
        ("raise ValueError('one\\n  reason')", CheckpointError, "a: can't be done: one reason"),
        ("os._exit(3)", ExportError, "a: trying ended with status 3 and no answer"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            ExportError,
            "a: trying was killed by signal 9, probably for want of memory; try to close other programs, or export on "
            "a larger machine",
        ),
        ("os.kill(os.getpid(), signal.SIGILL)", ExportError, "instructions that this processor lacks (SIGILL)"),
    ],
    ids=["checkpoint", "export", "library", "status", "memory", "crash"],
)
def test_a_failure_is_one_line(body: str, kind: type[ExportError], message: str) -> None:
    with pytest.raises(ExportError) as caught:
        run_child(child(body), {"folder": "a"}, subject="a", what="trying")
    assert type(caught.value) is kind
    assert message in str(caught.value)


def test_a_child_ends_with_the_process_that_waits_for_it(tmp_path: Path) -> None:
    name = tmp_path / "pid"
    body = f"Path({str(name)!r}).write_text(str(os.getpid())); time.sleep(600)"
    waiting = f"from edgebench.export.child import run_child; run_child({child(body)!r}, {{}}, subject='a', what='b')"
    parent = subprocess.Popen([sys.executable, "-c", waiting])
    deadline = time.monotonic() + 300
    while not (name.exists() and name.read_text()):
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    stat = Path(f"/proc/{name.read_text()}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":  # whoever adopted it may not reap it
        assert time.monotonic() < deadline
        time.sleep(0.05)
