"""A Python for the board that does what is wrong when a file says so, and a clock that jumps.

The board's `python` becomes a script that runs the real one with `sitecustomize` below. A fault is armed by a file of
its name in the control folder, and happens once, at the next inference, or in the next lines of a journal.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_SITE = '''
import os, sys, time

CONTROL = {control!r}


def take(name):
    """Return whether a fault was armed, once."""
    try:
        os.unlink(os.path.join(CONTROL, name))
    except OSError:
        return False
    return True


def of_runtime():
    import importlib.machinery, importlib.util

    class Finder:
        def find_spec(self, name, path, target=None):
            if name != "onnxruntime":
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            load = spec.loader.exec_module

            def load_and_wrap(module):
                load(module)
                run = module.InferenceSession.run

                def faulty(*arguments, **named):
                    if take("runtime-crashes"):
                        os.kill(os.getpid(), 11)
                    if take("runtime-raises"):
                        raise RuntimeError("the runtime fails here")
                    if take("runtime-hangs"):
                        time.sleep(100000)
                    if take("runtime-prints"):
                        for _ in range(16):
                            os.write(1, b"noise of a runtime\\n" * 55000)
                            os.write(2, b"\\xff\\x00\\x1b[2J" * 1000)
                    return run(*arguments, **named)

                module.InferenceSession.run = faulty

            spec.loader.exec_module = load_and_wrap
            return spec

    sys.meta_path.insert(0, Finder())


def of_follower():
    write = os.write
    held = []

    def faulty(descriptor, data):
        data = bytes(data)
        if held:
            late = held.pop()
            write_all(descriptor, data)
            write_all(descriptor, late)
            return len(data)
        if len(data) > 60 and take("lines-twice"):
            write_all(descriptor, data)
        elif len(data) > 60 and take("lines-late"):
            held.append(data)
            return len(data)
        return write(descriptor, data)

    def write_all(descriptor, data):
        while data:
            data = data[write(descriptor, data):]

    os.write = faulty


if "measure" in sys.orig_argv:
    of_runtime()
elif "follow" in sys.orig_argv:
    of_follower()
'''

#: Answers as a Raspberry Pi's firmware does, after a moment, so that there is a process to stop.
_VCGENCMD = """#!/bin/sh
sleep 0.2
case "$1" in
get_throttled) echo throttled=0x0 ;;
measure_volts) echo volt=0.8600V ;;
measure_temp) echo "temp=48.2'C" ;;
measure_clock) echo "frequency(48)=1500345728" ;;
esac
"""

_CLOCK = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const long none;
static const volatile long *offset;

static long jump(void) {
    if (!offset) {
        const char *path = getenv("FAULTY_CLOCK");
        int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *mapped = file < 0 ? MAP_FAILED : mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
        if (file >= 0) close(file);
        offset = mapped == MAP_FAILED ? &none : mapped;
    }
    return *offset;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += jump();
    return result;
}

time_t time(time_t *seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds) *seconds = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
"""

CAN_JUMP = shutil.which("cc") is not None and sys.platform == "linux" and sys.maxsize > 1 << 32


class FaultyPython:
    """The script `python` in a folder, and what arms its faults."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        has_sensors: bool = False,
        group: Path | None = None,
    ) -> None:
        """`group`: the file of a control group that takes a process's number; each process here begins in it."""
        self._control = folder / "control"
        programs = folder / "programs"
        for each in (folder, self._control, programs):
            each.mkdir(parents=True, exist_ok=True)
        (folder / "sitecustomize.py").write_text(_SITE.format(control=str(self._control)))
        if has_sensors:
            _write_script(programs / "vcgencmd", _VCGENCMD)
        self.python = programs / "faulty-python"
        settings = {"PYTHONPATH": str(folder), **(environment or {})}
        exports = "".join(f"export {name}='{value}'\n" for name, value in settings.items())
        path = f'export PATH="{programs}:$PATH"\n' + (
            f"[ ! -e {group} ] || echo $$ > {group}\n" if group is not None else ""
        )
        _write_script(self.python, f'#!/bin/sh\n{exports}{path}exec {sys.executable} "$@"\n')

    def arm(self, fault: str) -> None:
        """Let a fault happen once, as soon as it can."""
        (self._control / fault).touch()

    def is_armed(self, fault: str) -> bool:
        """Return whether it has not happened yet."""
        return (self._control / fault).exists()

    def disarm(self) -> None:
        """Let nothing happen any more."""
        for path in self._control.iterdir():
            path.unlink(missing_ok=True)


class FaultyClock:
    """A wall clock that jumps, for processes with this environment; monotonic clocks are right."""

    def __init__(self, folder: Path, side: str) -> None:
        """`side`: whose clock it is, the host's or the board's."""
        self.side = side
        folder.mkdir(parents=True, exist_ok=True)
        source, library, self._file = folder / "clock.c", folder / "clock.so", folder / "offset"
        source.write_text(_CLOCK)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        self._file.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "FAULTY_CLOCK": str(self._file)}

    def jump(self, seconds: int) -> None:
        """Set the clock so far ahead of the right time (negative: behind)."""
        with self._file.open("r+b") as file, mmap.mmap(file.fileno(), 8) as mapped:
            mapped[:8] = struct.pack("q", seconds)


def _write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
