"""Commands in a terminal of 80 columns, and what they write where there is none: in processes of their own."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgebench.store import Store
from tests.fork_server import edgebench_command
from tests.sample_runs import MS, run, subject, trace

_TIMEOUT_S = 120
LONG = "xlm-r-multilingual-intermediate-[translated]-seed42"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six models with long names, in one session."""
    folder = tmp_path_factory.mktemp("terminal") / "results"
    for number in range(6):
        of = subject(number, name=f"{LONG}-{number}")
        for at in range(3):
            Store(folder).add_run(of, run(of, at, trace([ms * MS for ms in range(1001, 1101)])))
    return folder


def environment(**changes: str) -> dict[str, str]:
    left_out = ("EDGEBENCH_STORE", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"} | changes


def in_terminal(*arguments: str, program: Sequence[str] = (), **changes: str) -> str:
    """Return what a command writes to a terminal of 80 columns."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    process = subprocess.Popen(
        [*(program or edgebench_command()), *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(**changes),
    )
    os.close(theirs)
    written, until = b"", time.monotonic() + _TIMEOUT_S
    while time.monotonic() < until:
        if not select.select([ours], [], [], 1)[0]:
            continue
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says so when the last writer has closed a terminal
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    process.wait(_TIMEOUT_S)
    return written.decode().replace("\r\n", "\n")


def in_pipe(*arguments: str, **changes: str) -> str:
    return subprocess.run(
        [*edgebench_command(), *arguments],
        capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment(**changes), check=False,
    ).stdout  # fmt: skip


def plain(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()


@pytest.mark.parametrize("wide", [(), ("--wide",)])
@pytest.mark.parametrize(
    "command",
    [
        ("runs", "list", "--store", "STORE"),
        ("runs", "show", subject(0).id, "--store", "STORE"),
        ("runs", "sql", "SELECT * FROM runs", "--store", "STORE"),
        ("device", "list"),
    ],
)
def test_tables_fit_a_terminal_of_80_columns(store: Path, command: tuple[str, ...], wide: tuple[str, ...]) -> None:
    lines = plain(in_terminal(*(str(store) if part == "STORE" else part for part in command), *wide))
    assert len(lines) > 5
    assert max(map(len, lines)) <= 80
    if wide:
        assert not any(line.startswith("hidden:") for line in lines)


def test_the_table_of_a_comparison_fits_and_its_verdict_is_coloured(store: Path) -> None:
    command = ("compare", subject(0).id, subject(1).id, "--store", str(store))
    shown = in_terminal(*command)
    lines = plain(shown)
    rule = next(at for at, line in enumerate(lines) if line.startswith("───"))
    table = lines[rule - 1 : lines.index("", rule)]
    assert max(map(len, table)) <= 80
    assert re.search(r"\x1b\[3[123]m(is |equivalent|faster|slower|inconclusive|✓|✗|\?)", shown)
    assert "\x1b[3" not in in_terminal(*command, NO_COLOR="1")


def test_a_pipe_has_all_columns_and_no_escapes_unless_it_has_a_width(store: Path) -> None:
    command = ("runs", "list", "--store", str(store))
    whole = in_pipe(*command)
    assert "\x1b" not in whole and "hidden:" not in whole
    assert "threads" in whole.splitlines()[1]
    narrow = in_pipe(*command, COLUMNS="80")
    assert max(map(len, narrow.splitlines())) <= 80
    assert "hidden: " in narrow
    assert "hidden: " not in in_pipe(*command, "--wide", COLUMNS="80")
    assert "\x1b[" in in_pipe(*command, FORCE_COLOR="1")


def test_a_terminal_that_has_only_ascii_gets_only_ascii(store: Path) -> None:
    command = ("runs", "show", subject(0).id, "--store", str(store), "--wide")
    # A Python of its own: its streams have the encoding of its environment.
    shown = in_terminal(*command, program=(sys.executable, "-m", "edgebench"), PYTHONIOENCODING="ascii")
    assert shown.isascii()
    assert re.search(r"\|-*o-*\|", shown)
