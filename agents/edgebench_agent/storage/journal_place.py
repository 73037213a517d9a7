"""Where a journal grows: in memory (a tmpfs), where there is room, so that long runs spare the board's card.

The run's folder has a symbolic link to it meanwhile; at the end the journal goes there itself, in one piece. It lies in
/dev/shm, not in $XDG_RUNTIME_DIR, which goes with the user's last session: a run outlives its SSH session. Others may
write into /dev/shm, so each journal has a folder of its own that only we can open, and that is checked.

    /dev/shm/edgebench-XXXXXXXX/journal.ndjson
    /dev/shm/edgebench-XXXXXXXX/run              a link back to the run's folder
"""

import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Optional

from ..home import Home, RunFolder
from ..protocol.failure import DISK_FULL, Failure
from .tail import has_writer

_PREFIX = "edgebench-"
#: A journal that outgrows this goes on on the disk. An hour at 100 inferences a second is some 10 MB.
_MOST_BYTES = 32 << 20
_SHARE_OF_MEMORY = 32  # at most one part in so many of what is free
_LEAST_BYTES = 1 << 20
_ORPHAN_S = 600.0  # a folder to which no run has a link for so long will never have one
_CHUNK_BYTES = 1 << 20


class Place(NamedTuple):
    """A journal's place in memory, and how large it may get there."""

    journal: Path
    most_bytes: int


def find_place(run: RunFolder) -> Optional[Place]:
    """Make the folder in memory for a run's journal; None where there is no tmpfs with room that is safe to use."""
    # Here, as in remove_place: `follow` loads this module, too, and must not wait for more than it needs.
    import tempfile

    from ..board.facts import memory_available

    root = _tmpfs()
    if root is None or lies_in_memory(run.path):
        return None
    try:
        disk = os.statvfs(root)
        free = disk.f_bavail * disk.f_frsize
        most = min(_MOST_BYTES, free // 2, (memory_available() or 0) // _SHARE_OF_MEMORY)
        if most < _LEAST_BYTES:
            return None
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=str(root)))  # mode 0700, a name that was not there
        (folder / "run").symlink_to(run.path.absolute())
    except OSError:
        return None
    return Place(folder / run.journal.name, most)


def lies_in_memory(path: Path) -> bool:
    """Say whether a file, or what a link leads to, lies on a tmpfs."""
    return _file_system(path) == "tmpfs"


def check_place(journal: Path) -> None:
    """Make sure that a run's journal, where it is in memory, is there and ours.

    Raises:
        Failure: not_found: the board was started again, say, or somebody emptied the tmpfs.
    """
    folder = _folder_of(journal)
    if folder is None:
        return
    if not _is_ours(folder) or not journal.exists():
        raise Failure(
            "not_found",
            f"the journal of run {journal.parent.name} was in memory, at {folder}, and is gone: the board was started "
            f"again or somebody emptied {folder.parent}; measure again",
        )


def take_home(source: int, journal: Path) -> int:
    """Copy a journal from its descriptor into the run's folder, in place of the link; return it, open and locked.

    Raises:
        Failure: out_of_disk; the journal stays where it is.
    """
    part = journal.with_name(journal.name + ".part")
    copy = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        fcntl.flock(copy, fcntl.LOCK_EX)
        offset = 0
        while True:
            data = os.pread(source, _CHUNK_BYTES, offset)
            if not data:
                break
            offset += len(data)
            while data:
                data = data[os.write(copy, data) :]
        folder = _folder_of(journal)
        part.replace(journal)
    except OSError as error:
        os.close(copy)
        with suppress(OSError):
            part.unlink()
        if error.errno in DISK_FULL:
            raise Failure("out_of_disk", "the disk is full, the journal can't go there; free some of it") from error
        raise
    if folder is not None:
        remove_place(folder)
    return copy


def leave_place(run: Path) -> None:
    """Drop what a run's folder, which is about to go, has in memory."""
    folder = _folder_of(run / "journal.ndjson")
    if folder is not None:
        remove_place(folder)


def remove_place(folder: Path) -> None:
    """Remove a journal's folder in memory, if it is ours."""
    import shutil

    if folder.name.startswith(_PREFIX) and _is_ours(folder):
        shutil.rmtree(str(folder), ignore_errors=True)


def sweep(home: Home) -> None:
    """Take home the journals that dead runs left in memory, and remove what no run's folder leads to any more."""
    root = _tmpfs()
    for folder in root.glob(_PREFIX + "*") if root is not None else ():
        with suppress(OSError, Failure):
            if _is_ours(folder):
                _sweep(home, folder)


def _sweep(home: Home, folder: Path) -> None:
    run = Path(os.readlink(folder / "run"))
    journal = RunFolder(run).journal
    if has_writer(folder / journal.name):
        return
    if _folder_of(journal) == folder:  # it is linked once it is locked: its writer is dead
        if run.parent == home.runs.absolute():
            source = os.open(folder / journal.name, os.O_RDONLY)
            try:
                os.close(take_home(source, journal))
            finally:
                os.close(source)
    elif time.time() - folder.lstat().st_mtime > _ORPHAN_S:
        remove_place(folder)


def _folder_of(journal: Path) -> Optional[Path]:
    """Return the folder that a link leads into; None for a journal that is no link, or not there."""
    try:
        return Path(os.readlink(journal)).parent
    except OSError:
        return None


def _is_ours(folder: Path) -> bool:
    """Say whether only we can have put anything into a folder."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _tmpfs() -> Optional[Path]:
    """Return the tmpfs that journals may use: EDGEBENCH_SHM, else /dev/shm; None: there is none that is safe."""
    given = os.environ.get("EDGEBENCH_SHM", "/dev/shm")  # noqa: S108 - each journal has a folder of its own there
    if not given:
        return None
    root = Path(given).absolute()
    try:
        mode = root.stat().st_mode
    except OSError:
        return None
    # Where others may write, they must not be able to rename what is ours.
    is_safe = bool(mode & stat.S_ISVTX) or not mode & 0o022
    return root if is_safe and os.access(root, os.W_OK | os.X_OK) and lies_in_memory(root) else None


def _file_system(path: Path) -> Optional[str]:
    """Return the kind of file system that a path lies on."""
    real = os.path.realpath(path)
    best, kind = "", None
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="replace")
    except OSError:
        return None
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = words[1].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # the last one at a point hides those before
            best, kind = point, words[2]
    return kind
