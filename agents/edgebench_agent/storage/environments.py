"""Environments: folders of packages for a runtime, made from wheels that the host pushes, without pip or venv.

    envs/<hash>/              pyvenv.cfg, bin/python -> the board's Python, lib/pythonX.Y/site-packages: what
                              `python -m venv --without-pip --symlinks` makes; sizes.json: of every file
    envs/table.json           which Python runs which runtime; written by rename

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
from ..lease.lock import acquire
from ..protocol.checks import ProtocolError
from ..protocol.failure import Failure
from ..protocol.installation import Adoption, InstallSpec, Leftovers, WheelFile
from .verified import Verified
from .wheel_files import unpack_wheel, unpacked_bytes

_SIZES = "sizes.json"
_SPARE_BYTES = 32 << 20  # left free on the disk for runs
_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError)


def install(home: Home, line: bytes, token: int = 0) -> Dict[str, Any]:
    """Make an environment for the Python that runs this, unless there is an intact one; `token`: of the board's lease.

    Returns:
        `python`: its interpreter; or, if it can't be made yet, `missing`: the hashes of the wheels to push. In a dry
        run (`ask`), `python` is None unless there is an intact environment, and `missing` are the wheels that it
        is made from and that are not on the board.

    Raises:
        Failure: busy, lease_lost, out_of_disk, corrupt, not_permitted, bad_request.
    """
    spec = _read(InstallSpec, line)
    folder = home.envs / spec.environment
    python = str(folder / "bin/python")
    if spec.ask:
        return {"missing": _missing(home, spec), "python": python if is_intact(folder) else None}
    with _exclusively(home, token):
        if spec.anew or not is_intact(folder):
            missing = _missing(home, spec)
            if missing:
                return {"missing": missing, "python": None}
            _make(home, folder, spec.wheel_files(), token)
    return {"missing": [], "python": python}


def adopt(home: Home, line: bytes, token: int = 0) -> Dict[str, Any]:
    """Record which Python runs a runtime from now on; remove environments that no runtime uses any more.

    Raises:
        Failure: busy, lease_lost, not_found, not_permitted, bad_request.
    """
    adoption = _read(Adoption, line)
    with _exclusively(home, token):
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
    """Remove the wheels of a setup, and the environments that no runtime uses.

    Raises:
        Failure: busy, lease_lost, not_permitted, bad_request.
    """
    leftovers = _read(Leftovers, line)
    with _exclusively(home, token):
        for sha256 in leftovers.wheels:
            for blob in (home.blob(sha256), home.blob(sha256 + ".part")):
                with suppress(FileNotFoundError):
                    blob.unlink()
        return {"removed": _remove_unused(home, read_table(home))}


def read_table(home: Home) -> Dict[str, Any]:
    """Return the recorded Python of each runtime; a damaged table counts as empty."""
    try:
        runtimes: Dict[str, Any] = json.loads((home.envs / "table.json").read_text())["runtimes"]
        return {name: dict(entry) for name, entry in runtimes.items()}
    except _BROKEN:
        return {}


def is_intact(folder: Path) -> bool:
    """Return whether an environment exists, with its Python, and every file has its original size.

    A card that lost power may keep a file's name but not its content. An environment without recorded sizes counts as
    intact.
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
    """Return the hashes of the wheels that are not on the board, or have another content by now."""
    verified = Verified(home)
    hashes = [wheel.sha256 for wheel in spec.wheel_files()]
    return [one for one in hashes if not (home.blob(one).is_file() and verified.is_right(home.blob(one), one))]


@contextmanager
def _exclusively(home: Home, token: int) -> Iterator[None]:
    """Hold the board's lock, under our lease (`token`) or while nobody has one: no run and no other installation.

    Raises:
        Failure: busy; lease_lost; not_permitted: something below the home belongs to another user.
    """
    try:
        home.create()
        home.envs.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            acquire(home, lock, "an installation")
            BoardLease(home).require(token)
            yield
        finally:
            os.close(lock)
    except PermissionError as error:
        raise not_permitted(home, error) from error


def _make(home: Home, folder: Path, wheels: List[WheelFile], token: int) -> None:
    _check_space(home, wheels)
    part = folder.with_name(folder.name + ".part")
    remove_folder(part)  # the remains of an interrupted installation
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
        os.sync()  # the content must be on the disk before the name is
        # Unpacking may take half an hour, in which the board may get another owner.
        BoardLease(home).require(token)
        part.rename(folder)
    except BaseException:
        remove_folder(part)  # a partial environment would keep a full disk full
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
    """Remove the environments that no runtime uses; return their names. The caller holds the board's lock."""
    used = {entry.get("environment") for entry in table.values()}
    removed = []
    for path in home.envs.iterdir():
        if path.is_dir() and path.name not in used:
            remove_folder(path)
            removed.append(path.name)
    return sorted(removed)[:1000]


def remove_folder(path: Path) -> None:
    """Remove a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
