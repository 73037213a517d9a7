"""Wheels for boards, kept on this machine: resolved and downloaded by pip once for each kind of board.

    <folder>/wheels/<sha256>/<file name>     each wheel once
    <folder>/locks/<key>.json                what a requirement resolved to for a kind of board

A board of a kind that has its lock is served without pip and without the internet.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgebench.errors import BoardError, NoWheelFits
from edgebench.provision.pip_download import ELSEWHERE, download_wheels
from edgebench.provision.wheel_targets import Target
from edgebench.runtimes import RUNTIMES

#: For how long pip is not asked again whether somebody has built a wheel for a kind of board.
_NONE_FITS_S = 7 * 86400


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that is kept here."""

    name: str
    sha256: str
    bytes: int


class WheelFolder:
    """The wheels that are kept on this machine, and the locks that name them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, wheel: Wheel) -> Path:
        """Return the path of a wheel."""
        return self.folder / "wheels" / wheel.sha256 / wheel.name

    def resolve(
        self, runtime: str, target: Target, *, own: Sequence[Path] = (), upgrade: bool = False
    ) -> tuple[Wheel, ...]:
        """Return the wheels that a runtime needs on a board; those of the user (`own`) are taken as they are.

        pip runs only for a new kind of board, where kept wheels are missing or changed, or to `upgrade`; where no wheel
        fitted, once a week.

        Raises:
            NoWheelFits: there are none for such a board.
            BoardError: they can't be downloaded.
        """
        key = _key(runtime, target, own)
        lock = self.folder / "locks" / f"{key}.json"
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with lock.with_suffix(".busy").open("w") as busy:
                fcntl.flock(busy, fcntl.LOCK_EX)  # the second process finds it done
                kept = None if upgrade else self._read(lock)
                if kept is None or (kept["none"] is not None and _is_stale(lock)):
                    kept = self._resolve_again(runtime, target, own, kept)
                    _write(lock, {"runtime": runtime, "target": asdict(target), **kept})
        except OSError as error:
            raise BoardError(f"can't keep wheels in {self.folder}: {error.strerror}; try: {ELSEWHERE}") from error
        if kept["none"] is not None:
            raise NoWheelFits(kept["none"])
        return tuple(Wheel(**entry) for entry in kept["wheels"])

    def _resolve_again(
        self, runtime: str, target: Target, own: Sequence[Path], kept: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Run pip; where that is not possible now, its last answer counts."""
        try:
            return self._run_pip(runtime, target, own)
        except BoardError:
            if kept is None:
                raise
            return {"none": kept["none"], "wheels": []}

    def _read(self, lock: Path) -> dict[str, Any] | None:
        """Return the content of a lock, if all its wheels are still there, unchanged."""
        try:
            kept: dict[str, Any] = json.loads(lock.read_text(encoding="utf-8"))
            if kept["none"] is None and not all(self._is_intact(Wheel(**entry)) for entry in kept["wheels"]):
                return None
            return kept
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _is_intact(self, wheel: Wheel) -> bool:
        path = self.path(wheel)
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wheel.sha256

    def _run_pip(self, runtime: str, target: Target, own: Sequence[Path]) -> dict[str, Any]:
        """Have pip resolve and download; return the lock's content: wheels, or why there are none."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="part-") as part:
            try:
                files = download_wheels(runtime, target, own, Path(part))
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
    text = json.dumps([RUNTIMES[runtime].requirements, asdict(target), hashes])
    return f"{runtime}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _is_stale(lock: Path) -> bool:
    return abs(time.time() - lock.stat().st_mtime) > _NONE_FITS_S


def _write(path: Path, values: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(values, indent=2), encoding="utf-8")
    part.replace(path)


def versions_of(wheels: Sequence[Wheel]) -> dict[str, str]:
    """Return the version of each package, from its wheel's name."""
    return {
        name.lower().replace("_", "-"): version for name, version in (wheel.name.split("-")[:2] for wheel in wheels)
    }


def unpacked_bytes(path: Path) -> int:
    """Return how many bytes the files of a wheel take."""
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())
