"""Virtual environments with tflite-runtime, which can't be installed next to edgebench's own dependencies.

tflite-runtime needs numpy < 2 and often an older Python. An environment is created in the cache on first use.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from edgebench.errors import BoardError

#: Python versions with wheels, for the newest tflite-runtime and for the newest that works on Debian bullseye's libc.
TFLITE_RUNTIMES = {
    "2.14.0": ("3.11", "3.10", "3.9", "3.8"),
    "2.13.0": ("3.10", "3.9", "3.8"),
}
_COMPLETE = ".complete"
_PROBE = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"


def tflite_runtime_python(
    version: str = "2.14.0", *, cache: Path, on_progress: Callable[[str], None] = lambda _: None
) -> Path:
    """Return a Python that has this version of tflite-runtime, with numpy and psutil.

    Args:
        cache: the cache folder; the environment is <cache>/environments/tflite-runtime-<version>.

    Raises:
        BoardError: this machine has no suitable Python, or the packages can't be installed.
    """
    folder = cache / "environments" / f"tflite-runtime-{version}"
    python = folder / "bin" / "python"
    if _is_intact(folder):
        return python
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be creating it
            if not _is_intact(folder):
                _make(folder, version, on_progress)
    except OSError as error:
        raise BoardError(f"can't make an environment in {folder}: {error.strerror}") from error
    return python


def _is_intact(folder: Path) -> bool:
    """Return whether an environment is complete and the Python that it was made from still exists."""
    return (folder / _COMPLETE).is_file() and (folder / "bin" / "python").exists()


def _make(folder: Path, version: str, on_progress: Callable[[str], None]) -> None:
    base = next(_fitting_pythons(version), None)
    if base is None:
        ours = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise BoardError(
            f"tflite-runtime {version} has no wheel for Python {ours}, and none of those that it has is on the PATH;"
            f" try to install one of Python {', '.join(TFLITE_RUNTIMES[version])}"
        )
    on_progress(f"making an environment for tflite-runtime {version} (once)")
    shutil.rmtree(folder, ignore_errors=True)  # the remains of an interrupted installation
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    packages = [f"tflite-runtime=={version}", "numpy<2", "psutil"]
    for command in (
        [base, "-m", "venv", str(folder)],
        [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--only-binary=:all:", *packages],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            output = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            errors = [line for line in output if line.startswith("ERROR")] or output
            shutil.rmtree(folder, ignore_errors=True)
            reason = errors[-1].strip()[:200] if errors else f"exit status {done.returncode}"
            raise BoardError(f"can't install tflite-runtime {version} for {base}: {reason}")
    (folder / _COMPLETE).touch()


def _fitting_pythons(version: str) -> Iterator[str]:
    """Yield the Pythons of this machine that a version has wheels for, the running one first."""
    fitting = TFLITE_RUNTIMES[version]
    if f"{sys.version_info.major}.{sys.version_info.minor}" in fitting:
        yield sys.executable
    for number in fitting:
        for folder in os.get_exec_path():
            path = Path(folder) / f"python{number}"
            if os.access(path, os.X_OK) and _version_of(path) == number:
                yield str(path)
    for number in fitting:
        for path in sorted(Path.home().glob(f".pyenv/versions/{number}.*/bin/python")):
            if _version_of(path) == number:
                yield str(path)


def _version_of(path: Path) -> str | None:
    """Return the version of a Python that can create environments; None if it doesn't run (e.g. a dangling shim)."""
    try:
        done = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if not done.returncode and re.fullmatch(r"3\.\d+\n", done.stdout) else None
