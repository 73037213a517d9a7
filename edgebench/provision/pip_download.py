"""Resolving with pip the wheels that a runtime needs on a board, and downloading them to this machine."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from edgebench.errors import BoardError, NoWheelFits
from edgebench.provision.wheel_targets import Target, check_wheel, dotted, metadata_path, platforms, runtime_of_package
from edgebench.text import printable

#: What pip resolves, by the agent's name of the runtime. psutil shows what else keeps a board busy.
RUNTIME_REQUIREMENTS = {
    "onnxruntime": ("onnxruntime", "numpy", "psutil"),
    "ai-edge-litert": ("ai-edge-litert", "numpy", "psutil"),
    "tflite-runtime": ("tflite-runtime", "numpy<2", "psutil"),
}
_OFFLINE = re.compile(r"Retrying \(|NewConnectionError|ConnectionError|Temporary failure in name resolution|timed out")
#: How to use wheels that were downloaded by another machine.
ELSEWHERE = "edgebench device setup NAME --download DIR"
_ROUNDS = 5


def download_wheels(runtime: str, target: Target, own: Sequence[Path], folder: Path) -> list[Path]:
    """Download what a runtime needs into a folder; return the files.

    Raises:
        NoWheelFits, BoardError.
    """
    packages = {check_wheel(path, target) for path in own}
    # A build of the user's own replaces the runtime's package, whatever its name.
    replaced = packages | {build for package in packages if (build := runtime_of_package(package))}
    requirements = [
        *(str(path.absolute()) for path in own),
        *(text for text in RUNTIME_REQUIREMENTS[runtime] if _name_of(text) not in replaced),
    ]
    for _ in range(_ROUNDS):
        _pip_download(runtime, requirements, target, folder)
        files = sorted(folder.glob("*.whl"))
        missing = list(_missing(files, target))
        if not missing:
            return files
        # pip reads conditions ("python_version < '3.11'") as if they were about this machine's Python.
        requirements += missing
    raise BoardError(f"{runtime}: its packages need ever more others for {target.shown}")


def _pip_download(runtime: str, requirements: Sequence[str], target: Target, folder: Path) -> None:
    tags = [word for tag in platforms(target) for word in ("--platform", tag)]
    python = dotted(target.python)
    command = [
        *(sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--retries", "1"),
        *("--only-binary=:all:", "--implementation", "cp", "--python-version", python),
        *("--abi", f"cp{python.replace('.', '')}", *tags, "--dest", str(folder), *requirements),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode == 0:
        return
    said = done.stderr + done.stdout
    errors = [line for line in said.splitlines() if line.startswith("ERROR:")]
    reason = printable(errors[-1].removeprefix("ERROR:") if errors else said.strip()[-300:], limit=300)
    if "No module named pip" in said:
        raise BoardError(f"{runtime}: pip, which finds its wheels, is not installed here; try: python -m ensurepip")
    if _OFFLINE.search(said):
        raise BoardError(
            f"{runtime}: its wheels for {target.shown} are not here and can't be downloaded: {reason}; connect this "
            f"machine to the internet once, or name a folder that has them: {ELSEWHERE}"
        )
    if "No matching distribution" in said:
        raise NoWheelFits(f"{runtime}: no wheel fits {target.shown}: {reason}")
    raise BoardError(f"{runtime}: pip can't resolve its wheels for {target.shown}: {reason}")


def _missing(files: Sequence[Path], target: Target) -> Iterator[str]:
    """Yield what these wheels require on the target, of which there is no wheel among them."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    here = {canonicalize_name(path.name.split("-")[0]) for path in files}
    environment = {
        "python_version": dotted(target.python),
        "python_full_version": f"{dotted(target.python)}.0",
        "platform_machine": target.arch,
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    for path in files:
        for text in _metadata(path).get_all("Requires-Dist") or ():
            needed = Requirement(text)
            applies = needed.marker is None or needed.marker.evaluate(environment)
            if applies and canonicalize_name(needed.name) not in here:
                here.add(canonicalize_name(needed.name))
                yield f"{needed.name}{needed.specifier}"


def _name_of(requirement: str) -> str:
    return re.split(r"[<>=!~ ]", requirement, maxsplit=1)[0]


def _metadata(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        return HeaderParser().parsestr(archive.read(metadata_path(archive)).decode("utf-8", "replace"))
