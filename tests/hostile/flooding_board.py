"""A board that floods the host: its Python is a script that, at one command of the agent, writes without end.

`run` starts a command of edgebench against it and measures by how much the command's memory grows from then on: the
resident high-water mark, which the kernel keeps, above what was resident when the flood began.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.board.ssh_board import SshBoard

#: What the board writes, by name.
FLOODS = ("line", "answers", "nested", "garbage", "stderr", "both")
#: What it writes in a journal, after a true hello.
JOURNALS = ("heartbeats", "logs", "readings", "latencies")

_SCRIPT = r'''#!{python}
import json, os, random, subprocess, sys, time

FOLDER, PYTHON = {folder!r}, {python!r}
arguments = sys.argv[1:]
with open(os.path.join(FOLDER, "flood.json")) as file:
    flood = json.load(file)
if flood["home"]:
    os.environ["EDGEBENCH_HOME"] = flood["home"]
command = "bootstrap" if "-c" in arguments else arguments[1]
with open(os.path.join(FOLDER, "commands.txt"), "a") as file:
    file.write(command + "\n")


def write_all(descriptor, data):
    data = memoryview(data)
    while data:
        data = data[os.write(descriptor, data) :]


def note(name):
    open(os.path.join(FOLDER, name + "-" + flood["arming"]), "w").close()


def journal(kind):
    """Write the true beginning of the journal, and then such messages without end."""
    process = subprocess.Popen([PYTHON, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    hello = b'"heartbeat"'
    while b'"heartbeat"' in hello:
        hello = process.stdout.readline()
    process.kill()
    if not hello:
        return  # the run is gone
    first = json.loads(hello)
    t_ns, seq = first["t_ns"], first["seq"]
    write_all(1, hello)
    note("began")
    start = time.monotonic_ns()
    lines = []
    while True:
        seq += 1
        now = t_ns + time.monotonic_ns() - start
        head = {{"seq": seq, "t_ns": now}}
        if kind == "heartbeats":
            lines.append(b'{{"type": "heartbeat"}}\n')
        elif kind == "logs":
            lines.append(json.dumps({{**head, "type": "log", "text": "x" * 4000}}).encode() + b"\n")
        elif kind == "readings":
            values = {{"temperature_mc/%d" % number: seq for number in range(250)}}
            lines.append(json.dumps({{**head, "type": "readings", "values": values}}).encode() + b"\n")
        else:
            count = 4096
            time.sleep(0.004)  # a microsecond each is the least that counts
            now = t_ns + time.monotonic_ns() - start
            starts = [now - 1000 * (count - at) for at in range(count)]
            body = {{"type": "latencies", "warmup": False, "start_ns": starts, "latency_ns": [1000] * count}}
            lines.append(json.dumps({{**head, "t_ns": now, **body, "items": [0] * count}}).encode() + b"\n")
        if len(lines) == 20 or kind == "latencies":
            write_all(1, b"".join(lines))
            lines = []


def write_without_end(kind):
    note("began")
    piece = b'{{"ok":true}}\n' * 5000
    if kind == "line":
        piece = b"x" * 65536
    elif kind == "nested":
        piece = b'{{"ok":true,"runs":[' + b"[]," * 300000 + b"[]]}}\n"
    elif kind == "garbage":
        piece = bytes(random.Random(1).choices(range(256), k=65536))
    try:
        if kind == "nested":
            write_all(1, piece)
            return
        while True:
            for descriptor in {{"stderr": (2,), "both": (1, 2)}}.get(kind, (1,)):
                write_all(descriptor, piece)
    except OSError:
        pass


if command == flood["command"]:
    kind = flood["kind"]
    if kind == "honest":
        note("began")
        status = subprocess.call([PYTHON, *arguments])
        note("ended")
        os._exit(status)
    if kind in ("heartbeats", "logs", "readings", "latencies"):
        try:
            journal(kind)
        except OSError:
            pass
    else:
        write_without_end(kind)
    os._exit(1)
os.execv(PYTHON, [PYTHON, *arguments])
'''


@dataclass(frozen=True)
class Flooded:
    """What a command did. `grown_bytes`: None: the board was never asked what it floods."""

    status: int
    said: str
    seconds: float
    resident_bytes: int | None
    grown_bytes: int | None
    flooded_s: float | None

    @property
    def last_line(self) -> str:
        """The line with which it ended."""
        lines = [line for line in self.said.splitlines() if line.strip()]
        return " ".join(lines[-1].split()) if lines else ""


class FloodingBoard:
    """An SSH board whose Python floods at one command; `python` is that Python."""

    def __init__(self, board: SshBoard, folder: Path, python: str = sys.executable) -> None:
        folder.mkdir()
        self.board = board
        self.folder = folder
        self.python = folder / "python"
        self.python.write_text(_SCRIPT.format(python=python, folder=str(folder)))
        self.python.chmod(0o755)
        self._armings = 0
        self.arm("", "honest")

    def arm(self, command: str, kind: str, *, home: Path | None = None) -> None:
        """Flood in this way at this command of the agent from now on; kind `honest`: do what is asked.

        `home`: the agent's folder; None: the board's.
        """
        self._armings += 1
        home_path = str(home) if home is not None else None
        settings = {"command": command, "kind": kind, "home": home_path, "arming": str(self._armings)}
        (self.folder / "flood.json").write_text(json.dumps(settings))
        (self.folder / "commands.txt").write_text("")

    def commands(self) -> list[str]:
        """Return the agent's commands that were asked for since `arm`, each once, in order."""
        return list(dict.fromkeys((self.folder / "commands.txt").read_text().split()))

    def run(self, command: Sequence[str], *, cwd: Path, env: dict[str, str], most_s: float) -> Flooded:
        """Run a command; kill it after `most_s` seconds of flood."""
        began_s = time.monotonic()
        log = self.folder / "said.txt"
        with log.open("wb") as out:
            process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        before: int | None = None
        most = 0
        flood_s: float | None = None
        while process.poll() is None:
            if before is None and (self.folder / f"began-{self._armings}").exists():
                flood_s = time.monotonic()
                before = most = _reset_peak(process.pid)
            if before is not None:
                most = max(most, _resident(process.pid, "VmHWM"))
            if (self.folder / f"ended-{self._armings}").exists():
                process.kill()  # an honest board: the rest is of no interest
            if flood_s is not None and time.monotonic() - flood_s > most_s:
                process.kill()
                break
            if time.monotonic() - began_s > most_s + 600:
                process.kill()
                break
            time.sleep(0.01)
        process.wait()
        now = time.monotonic()
        grown = None if before is None else most - before
        lasted = None if flood_s is None else now - flood_s
        return Flooded(process.returncode, log.read_text(errors="replace"), now - began_s, before, grown, lasted)


def _reset_peak(pid: int) -> int:
    """Begin a new high-water mark; return what is resident."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _resident(pid, "VmRSS")


def _resident(pid: int, name: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a host whose settings and stores are in `home`."""
    hidden = ("XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "EDGEBENCH_STORE", "EDGEBENCH_HOME")
    root = Path(__file__).parents[2]
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    path = os.pathsep.join([str(root), str(root / "agents")])
    return kept | {"HOME": str(home), "EDGEBENCH_CACHE": str(home / "cache"), "PYTHONPATH": path}
