"""Environments: for each runtime a folder of packages, made of wheels that the host pushes. No pip, no venv needed.

    envs/<hash>/              pyvenv.cfg, bin/python -> the board's own, lib/pythonX.Y/site-packages: what
                              `python -m venv --without-pip --symlinks` makes; sizes.json: of every file
    envs/table.json           which environment serves which runtime; written by rename

The table is read by the host's bootstrap, which runs before the agent does.
"""

import json
import os
import shutil
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Dict, Iterator, List

from ..home import Home, not_permitted
from ..lease.board_lease import BoardLease
from ..lease.lock import take
from ..protocol.checks import ProtocolError
from ..protocol.failure import Failure
from ..protocol.installation import Adoption, InstallSpec, Leftovers, WheelFile
from .wheel_files import unpack_wheel, unpacked_bytes

_SIZES = "sizes.json"
_SPARE_BYTES = 32 << 20  # left free on the disk for runs
_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError)


def install(home: Home, line: bytes, token: int = 0) -> Dict[str, Any]:
    """Make an environment for the Python that runs this, unless it is there; `token`: of the board's lease.

    Returns:
        `python`: its interpreter; or, where it can't be made yet, `missing`: hashes of the wheels to push. Where the
        host only asks, `python` is None unless it is there whole, and `missing` says which wheels making it would need.

    Raises:
        Failure: busy, lease_lost, out_of_disk, corrupt, not_permitted, bad_request.
    """
    spec = _read(InstallSpec, line)
    folder = home.envs / spec.environment
    python = str(folder / "bin/python")
    if spec.ask:
        return {"missing": _missing(home, spec), "python": python if is_whole(folder) else None}
    with _alone(home, token):
        if spec.anew or not is_whole(folder):
            missing = _missing(home, spec)
            if missing:
                return {"missing": missing, "python": None}
            _make(home, folder, spec.wheel_files(), token)
    return {"missing": [], "python": python}


def adopt(home: Home, line: bytes, token: int = 0) -> Dict[str, Any]:
    """Note which Python serves a runtime from now on; remove the environments that nothing needs any more.

    Raises:
        Failure: busy, lease_lost, not_found, not_permitted, bad_request.
    """
    adoption = _read(Adoption, line)
    with _alone(home, token):
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
        return {"removed": _remove_unused(home, table)}


def drop(home: Home, line: bytes, token: int = 0) -> Dict[str, Any]:
    """Remove wheels that are unpacked by now, or never will be, and the environments that serve no runtime.

    Raises:
        Failure: busy, lease_lost, not_permitted, bad_request.
    """
    leftovers = _read(Leftovers, line)
    with _alone(home, token):
        for sha256 in leftovers.wheels:
            for blob in (home.blob(sha256), home.blob(sha256 + ".part")):
                with suppress(FileNotFoundError):
                    blob.unlink()
        return {"removed": _remove_unused(home, read_table(home))}


def read_table(home: Home) -> Dict[str, Any]:
    """Return what serves each runtime; a table that can't be read is no table."""
    try:
        runtimes: Dict[str, Any] = json.loads((home.envs / "table.json").read_text())["runtimes"]
        return {name: dict(entry) for name, entry in runtimes.items()}
    except _BROKEN:
        return {}


def is_whole(folder: Path) -> bool:
    """Say whether an environment is there, its Python still is, and every file has the size that it was made with.

    A card that lost its power keeps names and cuts what is behind them. Where no sizes were noted, it is believed.
    """
    if not ((folder / "pyvenv.cfg").is_file() and os.access(folder / "bin/python", os.X_OK)):
        return False
    if not (folder / _SIZES).exists():
        return True
    try:
        sizes = json.loads((folder / _SIZES).read_text())
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except _BROKEN:
        return False


def _read(kind: Any, line: bytes) -> Any:
    try:
        return kind.from_json(line)
    except ProtocolError as error:
        raise Failure("bad_request", str(error)) from error


def _missing(home: Home, spec: InstallSpec) -> List[str]:
    return [wheel.sha256 for wheel in spec.wheel_files() if not home.blob(wheel.sha256).is_file()]


@contextmanager
def _alone(home: Home, token: int) -> Iterator[None]:
    """Hold the board's lock, its lease being ours (`token`) or nobody's: nothing measures, and nobody else installs.

    Raises:
        Failure: busy; lease_lost; not_permitted: something below the home belongs to another user.
    """
    try:
        home.create()
        home.envs.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            take(home, lock, "an installation")
            BoardLease(home).require(token)
            yield
        finally:
            os.close(lock)
    except PermissionError as error:
        raise not_permitted(home, error) from error


def _make(home: Home, folder: Path, wheels: List[WheelFile], token: int) -> None:
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
        (part / _SIZES).write_text(json.dumps(_sizes_below(part)))
        os.sync()  # the name must not be there before the content is
        # To unpack may take half an hour, in which the host may be gone and the board somebody else's.
        BoardLease(home).require(token)
        part.rename(folder)
    except BaseException:
        remove_folder(part)  # half an environment would keep a full disk full
        raise


def _sizes_below(folder: Path) -> Dict[str, int]:
    """Return the size of every file below a folder, by its path in it."""
    files = (Path(place, name) for place, _, names in os.walk(str(folder)) for name in names)
    return {str(file.relative_to(folder)): file.stat().st_size for file in files if not file.is_symlink()}


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
