"""Environments: for each runtime a folder of packages, made of wheels that the host pushes. No pip, no venv needed.

    envs/<hash>/              pyvenv.cfg, bin/python -> the board's own, lib/pythonX.Y/site-packages: what
                              `python -m venv --without-pip --symlinks` makes
    envs/table.json           which environment serves which runtime; written by rename

The table is read by the host's bootstrap, which runs before the agent does.
"""

import json
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List

from .board_lock import take
from .failure import Failure
from .home import Home
from .protocol import Adoption, InstallSpec, ProtocolError, WheelFile
from .wheel_files import unpack_wheel, unpacked_bytes

_SPARE_BYTES = 32 << 20  # left free on the disk for runs
_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError)


def install(home: Home, line: bytes) -> Dict[str, Any]:
    """Make an environment for the Python that runs this, unless it is there.

    Returns:
        `python`: its interpreter; or, where it can't be made yet, `missing`: hashes of the wheels to push.

    Raises:
        Failure: busy, out_of_disk, corrupt, not_permitted, bad_request.
    """
    spec = _read(InstallSpec, line)
    folder = home.envs / spec.environment
    with _alone(home):
        if not is_whole(folder):
            wheels = spec.wheel_files()
            missing = [wheel.sha256 for wheel in wheels if not home.blob(wheel.sha256).is_file()]
            if missing:
                return {"missing": missing, "python": None}
            _make(home, folder, wheels)
    return {"missing": [], "python": str(folder / "bin/python")}


def adopt(home: Home, line: bytes) -> Dict[str, Any]:
    """Note which Python serves a runtime from now on; remove the environments and wheels that nothing needs any more.

    Raises:
        Failure: busy, not_found, not_permitted, bad_request.
    """
    adoption = _read(Adoption, line)
    with _alone(home):
        if not os.access(adoption.python, os.X_OK):
            raise Failure("not_found", f"{adoption.python} is not there, or can't be run")
        table = read_table(home)
        table[adoption.runtime] = {
            "python": adoption.python,
            "environment": adoption.environment,
            "packages": adoption.packages,
            "agreement": adoption.agreement,
            "own": adoption.own,
        }
        part = home.envs / "table.part"
        part.write_text(json.dumps({"version": 1, "runtimes": table}))
        part.replace(home.envs / "table.json")
        for sha256 in adoption.wheels:
            if home.blob(sha256).exists():
                home.blob(sha256).unlink()
        return {"removed": _remove_unused(home, table)}


def read_table(home: Home) -> Dict[str, Any]:
    """Return what serves each runtime; a table that can't be read is no table."""
    try:
        runtimes: Dict[str, Any] = json.loads((home.envs / "table.json").read_text())["runtimes"]
        return {name: dict(entry) for name, entry in runtimes.items()}
    except _BROKEN:
        return {}


def is_whole(folder: Path) -> bool:
    """Say whether an environment is there and its Python still is."""
    return (folder / "pyvenv.cfg").is_file() and os.access(folder / "bin/python", os.X_OK)


def _read(kind: Any, line: bytes) -> Any:
    try:
        return kind.from_json(line)
    except ProtocolError as error:
        raise Failure("bad_request", str(error)) from error


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Hold the board's lock: nothing measures meanwhile, and nobody else installs.

    Raises:
        Failure: busy; not_permitted: something below the home belongs to another user.
    """
    try:
        home.create()
        home.envs.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            take(home, lock, "an installation")
            yield
        finally:
            os.close(lock)
    except PermissionError as error:
        raise not_permitted(home, error) from error


def not_permitted(home: Home, error: PermissionError) -> Failure:
    """Return what to say where files of another user are in the way."""
    return Failure(
        "not_permitted",
        f"{error.filename or home.root} can't be written: it belongs to another user; "
        f'try on the board: sudo chown -R "$USER" {home.root}',
    )


def _make(home: Home, folder: Path, wheels: List[WheelFile]) -> None:
    _check_space(home, wheels)
    part = folder.with_name(folder.name + ".part")
    remove_folder(part)  # what an interrupted installation left
    remove_folder(folder)
    packages = part / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    try:
        packages.mkdir(parents=True)
        for wheel in wheels:
            unpack_wheel(home.blob(wheel.sha256), wheel.name, packages)
        base = Path(sys.executable).absolute()
        (part / "bin").mkdir()
        (part / "bin/python").symlink_to(base)
        (part / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
        os.sync()  # the name must not be there before the content is
        part.rename(folder)
    except BaseException:
        remove_folder(part)  # half an environment would keep a full disk full
        raise


def _check_space(home: Home, wheels: List[WheelFile]) -> None:
    disk = os.statvfs(home.envs)
    free = disk.f_bavail * disk.f_frsize
    needed = sum(unpacked_bytes(home.blob(wheel.sha256)) for wheel in wheels) + _SPARE_BYTES
    if needed > free:
        raise Failure(
            "out_of_disk",
            f"{needed} bytes of disk are needed at {home.root} and {free} are free; "
            f"free some of it, or set EDGEBENCH_HOME to another disk",
        )


def _remove_unused(home: Home, table: Dict[str, Any]) -> List[str]:
    """Remove the environments that serve no runtime; return their names. Nothing measures now: we have the lock."""
    used = {entry.get("environment") for entry in table.values()}
    removed = []
    for path in home.envs.iterdir():
        if path.is_dir() and path.name not in used:
            remove_folder(path)
            removed.append(path.name)
    return sorted(removed)[:1000]


def remove_folder(path: Path) -> None:
    """Remove a folder, where there is one."""
    if path.is_dir():
        shutil.rmtree(path)
