"""Environments: Pythons of their own for what can't live in ours.

tflite-runtime needs numpy < 2 and a Python that may be older than this one. An environment is made when it is first
needed, in the cache, and found again after.
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

#: The Pythons that each version of tflite-runtime has wheels for: the newest, and what Debian bullseye's libc resolves.
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
        cache: where environments are kept; this one in <cache>/environments/tflite-runtime-<version>.

    Raises:
        BoardError: no Python of this machine fits, or the packages can't be installed.
    """
    folder = cache / "environments" / f"tflite-runtime-{version}"
    python = folder / "bin" / "python"
    if _is_whole(folder):
        return python
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # who comes second finds it whole
            if not _is_whole(folder):
                _make(folder, version, on_progress)
    except OSError as error:
        raise BoardError(f"can't make an environment in {folder}: {error.strerror}") from error
    return python


def _is_whole(folder: Path) -> bool:
    """Return whether an environment is there, and the Python that it was made from still is."""
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
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted one left
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    packages = [f"tflite-runtime=={version}", "numpy<2", "psutil"]
    for command in (
        [base, "-m", "venv", str(folder)],
        [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--only-binary=:all:", *packages],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            errors = [line for line in said if line.startswith("ERROR")] or said
            shutil.rmtree(folder, ignore_errors=True)
            reason = errors[-1].strip()[:200] if errors else f"exit status {done.returncode}"
            raise BoardError(f"can't install tflite-runtime {version} for {base}: {reason}")
    (folder / _COMPLETE).touch()


def _fitting_pythons(version: str) -> Iterator[str]:
    """Yield the Pythons of this machine that a version has wheels for, this one first."""
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
    """Return the version of a Python that can make environments; None where it doesn't run (a shim of nothing, say)."""
    try:
        done = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if not done.returncode and re.fullmatch(r"3\.\d+\n", done.stdout) else None
