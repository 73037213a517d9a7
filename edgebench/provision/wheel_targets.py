"""Which wheels fit a board: the machine, Python and libc that a wheel must be made for."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edgebench.board import BoardPython, SystemFacts
from edgebench.errors import BoardError, ConfigError

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a wheel must fit: the machine as wheels name it, CPython's version, glibc's version."""

    arch: str
    python: tuple[int, int]
    glibc: tuple[int, int]

    @property
    def shown(self) -> str:
        """It, in words."""
        return f"Python {dotted(self.python)} on {self.arch} with glibc {dotted(self.glibc)}"


def dotted(version: tuple[int, int]) -> str:
    """Return a version as it is written: 3.11."""
    return f"{version[0]}.{version[1]}"


def target_of(name: str, system: SystemFacts, python: BoardPython) -> Target:
    """Return what wheels for one of a board's Pythons must fit; `name` is the device's.

    Raises:
        BoardError: its libc is not glibc, for which the runtimes' wheels are made.
    """
    glibc = re.fullmatch(r"glibc (\d{1,2})\.(\d{1,3})(\..*)?", system.libc or "")
    if glibc is None:
        raise BoardError(
            f"{name}: its C library is {system.libc or 'unknown'}, and the runtimes are built for glibc only; take a "
            f"system with glibc (Raspberry Pi OS, Debian, Ubuntu), or build the runtimes there, then: "
            f"edgebench device setup {name} --system-python"
        )
    machine = system.arch or "unknown"
    return Target(
        arch=_ON_32_BITS.get(machine, machine) if python.bits == 32 else machine,
        python=python.version[:2],
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
            metadata_path(archive)
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


def metadata_path(archive: zipfile.ZipFile) -> str:
    """Return the path of a wheel's METADATA; KeyError: it has none."""
    for name in archive.namelist():
        if name.endswith(".dist-info/METADATA") and name.count("/") == 1:
            return name
    raise KeyError("no METADATA in it")
