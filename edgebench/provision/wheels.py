"""Wheels for a board: which fit its Python and libc, resolved and downloaded by pip here, kept for the next time.

    <folder>/wheels/<sha256>/<file name>     each wheel once
    <folder>/locks/<key>.json                what a requirement resolved to for a kind of board

A board of a kind that has its lock is served without pip and without the internet.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from edgebench.errors import BoardError, ConfigError, NoWheelFits
from edgebench.text import printable

#: What pip is asked for, by the agent's name of the runtime. psutil tells what else keeps a board busy.
RUNTIME_REQUIREMENTS = {
    "onnxruntime": ("onnxruntime", "numpy", "psutil"),
    "ai-edge-litert": ("ai-edge-litert", "numpy", "psutil"),
    "tflite-runtime": ("tflite-runtime", "numpy<2", "psutil"),
}
#: The runtime that a wheel of the user's own is a build of, by the package's name.
_BUILDS = {
    "onnxruntime": "onnxruntime",
    "onnxruntime-gpu": "onnxruntime",
    "ai-edge-litert": "ai-edge-litert",
    "tflite-runtime": "tflite-runtime",
}
_OLDEST_GLIBC = {"x86_64": 5, "i686": 5}  # of manylinux tags; 17 for all others
_LEGACY = {(2, 5): "manylinux1", (2, 12): "manylinux2010", (2, 17): "manylinux2014"}
_ON_32_BITS = {"aarch64": "armv7l", "armv8l": "armv7l", "x86_64": "i686"}
_OFFLINE = re.compile(r"Retrying \(|NewConnectionError|ConnectionError|Temporary failure in name resolution|timed out")
_ELSEWHERE = "edgebench device setup NAME --download DIR"
_ROUNDS = 5
#: How long it is believed that nobody has built a wheel for a kind of board.
_NONE_FITS_S = 7 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a wheel must fit: the machine as wheels name it, CPython's version, glibc's version."""

    arch: str
    python: tuple[int, int]
    glibc: tuple[int, int]

    @property
    def shown(self) -> str:
        """It, in words."""
        return f"Python {_dotted(self.python)} on {self.arch} with glibc {_dotted(self.glibc)}"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that is kept here."""

    name: str
    sha256: str
    bytes: int


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def target_of(name: str, *, arch: str | None, bits: int, python: tuple[int, int], libc: str | None) -> Target:
    """Return what wheels for a board must fit, from the facts that its agent tells; `name` is the device's.

    Raises:
        BoardError: its libc is not glibc, for which the runtimes' wheels are made.
    """
    glibc = re.fullmatch(r"glibc (\d{1,2})\.(\d{1,3})(\..*)?", libc or "")
    if glibc is None:
        raise BoardError(
            f"{name}: its C library is {libc or 'unknown'}, and the runtimes are built for glibc only; take a system "
            f"with glibc (Raspberry Pi OS, Debian, Ubuntu), or build the runtimes there, then: "
            f"edgebench device setup {name} --system-python"
        )
    machine = arch or "unknown"
    return Target(
        arch=_ON_32_BITS.get(machine, machine) if bits == 32 else machine,
        python=python,
        glibc=(int(glibc[1]), int(glibc[2])),
    )


def platforms(target: Target) -> list[str]:
    """Return the platform tags that fit, the newest first: pip does not expand one to the others.

    The tags and what they mean: PEP 600.
    """
    tags = []
    for minor in range(target.glibc[1], _OLDEST_GLIBC.get(target.arch, 17) - 1, -1):
        tags.append(f"manylinux_2_{minor}_{target.arch}")
        if (2, minor) in _LEGACY:
            tags.append(f"{_LEGACY[(2, minor)]}_{target.arch}")
    return [*tags, f"linux_{target.arch}"]


def check_wheel(path: Path, target: Target) -> str:
    """Return the name of the package in a user's wheel, which must fit the target.

    Raises:
        ConfigError: it is no wheel, or one for another machine, Python or libc.
    """
    from packaging.tags import compatible_tags, cpython_tags
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        package, _, _, tags = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            _metadata_name(archive)
    except InvalidWheelFilename as error:
        raise ConfigError(f"{path} is not named as a wheel is (NAME-VERSION-PYTHON-ABI-PLATFORM.whl)") from error
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ConfigError(f"{path} can't be read as a wheel: {error}") from error
    fitting = platforms(target)
    known = {
        *cpython_tags(target.python, platforms=fitting, abis=[f"cp{target.python[0]}{target.python[1]}"]),
        *compatible_tags(target.python, interpreter=f"cp{target.python[0]}{target.python[1]}", platforms=fitting),
    }
    if not tags & known:
        made_for = ", ".join(sorted(str(tag) for tag in tags))
        raise ConfigError(f"{path.name} is made for {made_for}; the board has {target.shown}")
    return str(package)


def runtime_of_package(package: str) -> str | None:
    """Return the runtime that a package is a build of; None for any other package."""
    return _BUILDS.get(package)


class WheelFolder:
    """The wheels that are kept on this machine, and what was resolved to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, wheel: Wheel) -> Path:
        """Return where a wheel lies."""
        return self.folder / "wheels" / wheel.sha256 / wheel.name

    def resolve(
        self, runtime: str, target: Target, *, own: Sequence[Path] = (), upgrade: bool = False
    ) -> tuple[Wheel, ...]:
        """Return the wheels that a runtime needs on a board, those of the user (`own`) taken as they are.

        pip is asked only where that was never done for such a board, or the answer is no longer whole; or to `upgrade`;
        and again each week where no wheel fitted.

        Raises:
            NoWheelFits: there are none for such a board.
            BoardError: they can't be downloaded.
        """
        key = _key(runtime, target, own)
        lock = self.folder / "locks" / f"{key}.json"
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with lock.with_suffix(".busy").open("w") as busy:
                fcntl.flock(busy, fcntl.LOCK_EX)  # who comes second finds it done
                kept = None if upgrade else self._read(lock)
                if kept is None or (kept["none"] is not None and _is_stale(lock)):
                    kept = self._ask_again(runtime, target, own, kept)
                    _write(lock, {"runtime": runtime, "target": asdict(target), **kept})
        except OSError as error:
            raise BoardError(f"can't keep wheels in {self.folder}: {error.strerror}; try: {_ELSEWHERE}") from error
        if kept["none"] is not None:
            raise NoWheelFits(kept["none"])
        return tuple(Wheel(**entry) for entry in kept["wheels"])

    def _ask_again(
        self, runtime: str, target: Target, own: Sequence[Path], kept: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Ask pip; where that is not possible now, what it said before still stands."""
        try:
            return self._ask(runtime, target, own)
        except BoardError:
            if kept is None:
                raise
            return {"none": kept["none"], "wheels": []}

    def _read(self, lock: Path) -> dict[str, Any] | None:
        """Return what a lock says, if all its wheels are still there, unchanged."""
        try:
            kept: dict[str, Any] = json.loads(lock.read_text(encoding="utf-8"))
            if kept["none"] is None and not all(self._is_whole(Wheel(**entry)) for entry in kept["wheels"]):
                return None
            return kept
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _is_whole(self, wheel: Wheel) -> bool:
        path = self.path(wheel)
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wheel.sha256

    def _ask(self, runtime: str, target: Target, own: Sequence[Path]) -> dict[str, Any]:
        """Have pip resolve and download; return the lock's content: wheels, or why there are none."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="part-") as part:
            try:
                files = _download(runtime, target, own, Path(part))
            except NoWheelFits as none:
                return {"none": str(none), "wheels": []}
            return {"none": None, "wheels": [asdict(self._keep(path)) for path in files]}

    def _keep(self, path: Path) -> Wheel:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        wheel = Wheel(path.name, digest, path.stat().st_size)
        self.path(wheel).parent.mkdir(parents=True, exist_ok=True)
        path.replace(self.path(wheel))
        return wheel


def _key(runtime: str, target: Target, own: Sequence[Path]) -> str:
    hashes = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in own)
    text = json.dumps([RUNTIME_REQUIREMENTS[runtime], asdict(target), hashes])
    return f"{runtime}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _is_stale(lock: Path) -> bool:
    return abs(time.time() - lock.stat().st_mtime) > _NONE_FITS_S


def _write(path: Path, values: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(values, indent=2), encoding="utf-8")
    part.replace(path)


def _download(runtime: str, target: Target, own: Sequence[Path], folder: Path) -> list[Path]:
    """Download what a runtime needs into a folder; return the files.

    Raises:
        NoWheelFits, BoardError.
    """
    packages = {check_wheel(path, target) for path in own}
    # A build of the user's own stands in for the runtime's package, whatever its name.
    replaced = packages | {_BUILDS[package] for package in packages if package in _BUILDS}
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
    python = _dotted(target.python)
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
            f"machine to the internet once, or name a folder that has them: {_ELSEWHERE}"
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
        "python_version": _dotted(target.python),
        "python_full_version": f"{_dotted(target.python)}.0",
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


def _metadata_name(archive: zipfile.ZipFile) -> str:
    """Return the path of a wheel's METADATA; KeyError: it has none."""
    for name in archive.namelist():
        if name.endswith(".dist-info/METADATA") and name.count("/") == 1:
            return name
    raise KeyError("no METADATA in it")


def _metadata(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        return HeaderParser().parsestr(archive.read(_metadata_name(archive)).decode("utf-8", "replace"))


def versions_of(wheels: Sequence[Wheel]) -> dict[str, str]:
    """Return the version of each package, from its wheel's name."""
    return {
        name.lower().replace("_", "-"): version for name, version in (wheel.name.split("-")[:2] for wheel in wheels)
    }


def unpacked_bytes(path: Path) -> int:
    """Return how many bytes the files of a wheel take."""
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())
