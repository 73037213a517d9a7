"""Where a journal is kept during a run: in memory (a tmpfs) if there is room, so that long runs do not wear the card.

Meanwhile the run's folder has a symbolic link to it; at the end of the run the journal moves there. The tmpfs is
/dev/shm, not $XDG_RUNTIME_DIR, which is deleted at the end of the user's last session: a run outlives its SSH session.
Other users may write into /dev/shm, so each journal has a folder of its own that only its owner can open.

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
from .journal_tail import has_writer

_PREFIX = "edgebench-"
#: A larger journal continues on the disk. An hour at 100 inferences a second is some 10 MB.
_MAX_BYTES = 32 << 20
_SHARE_OF_MEMORY = 32  # at most one part in so many of what is free
_MIN_BYTES = 1 << 20
_ORPHAN_S = 600.0  # a folder without a link from a run for so long will never have one
_CHUNK_BYTES = 1 << 20


class Place(NamedTuple):
    """A journal's path in memory, and its largest size there."""

    journal: Path
    max_bytes: int


def find_place(run: RunFolder) -> Optional[Place]:
    """Make the folder for a run's journal in memory; None: there is no tmpfs that has room and is safe to use."""
    # Imported here, as in remove_place, because `follow` loads this module and does not need them.
    import tempfile

    from ..board.facts import memory_available

    root = _tmpfs()
    if root is None or is_on_tmpfs(run.path):
        return None
    try:
        disk = os.statvfs(root)
        free = disk.f_bavail * disk.f_frsize
        most = min(_MAX_BYTES, free // 2, (memory_available() or 0) // _SHARE_OF_MEMORY)
        if most < _MIN_BYTES:
            return None
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=str(root)))  # mode 0700, a name that was not there
        (folder / "run").symlink_to(run.path.absolute())
    except OSError:
        return None
    return Place(folder / run.journal.name, most)


def is_on_tmpfs(path: Path) -> bool:
    """Return whether a file, or the target of a link, is on a tmpfs."""
    return _file_system(path) == "tmpfs"


def check_place(journal: Path) -> None:
    """Make sure that a run's journal, if it is kept in memory, exists and is ours.

    Raises:
        Failure: not_found, e.g. because the board was restarted or somebody emptied the tmpfs.
    """
    folder = _folder_of(journal)
    if folder is None:
        return
    sound = _is_ours(folder) and journal.exists()
    if not sound and _folder_of(journal) == folder:  # else the run has ended meanwhile: its journal is on the disk
        raise Failure(
            "not_found",
            f"the journal of run {journal.parent.name} was in memory, at {folder}, and is gone: the board was started "
            f"again or somebody emptied {folder.parent}; measure again",
        )


def open_journal(journal: Path) -> int:
    """Return a descriptor of a run's journal, for reading, wherever it is.

    Raises:
        Failure: not_found, as `check_place`.
        FileNotFoundError: the run has no journal.
    """
    check_place(journal)
    try:
        return os.open(journal, os.O_RDONLY)
    except FileNotFoundError:  # the link's target: the run has ended, and its journal moves to the disk once
        check_place(journal)
        return os.open(journal, os.O_RDONLY)


def move_to_disk(source: int, journal: Path) -> int:
    """Copy a journal from its descriptor into the run's folder, replacing the link; return the copy, open and locked.

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


def release_place(run: Path) -> None:
    """Remove the part in memory of a run whose folder is about to be deleted."""
    folder = _folder_of(run / "journal.ndjson")
    if folder is not None:
        remove_place(folder)


def remove_place(folder: Path) -> None:
    """Remove a journal's folder in memory, if it is ours."""
    import shutil

    if folder.name.startswith(_PREFIX) and _is_ours(folder):
        shutil.rmtree(str(folder), ignore_errors=True)


def sweep(home: Home) -> None:
    """Move the journals of dead runs from memory to the disk, and remove those whose run's folder is gone."""
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
    if _folder_of(journal) == folder:  # it is linked only after it is locked, so its writer is dead
        if run.parent == home.runs.absolute():
            source = os.open(folder / journal.name, os.O_RDONLY)
            try:
                os.close(move_to_disk(source, journal))
            finally:
                os.close(source)
    elif time.time() - folder.lstat().st_mtime > _ORPHAN_S:
        remove_place(folder)


def _folder_of(journal: Path) -> Optional[Path]:
    """Return the folder of a link's target; None: the journal is not a link, or does not exist."""
    try:
        return Path(os.readlink(journal)).parent
    except OSError:
        return None


def _is_ours(folder: Path) -> bool:
    """Return whether nobody else can have put anything into a folder."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _tmpfs() -> Optional[Path]:
    """Return the tmpfs for journals: EDGEBENCH_SHM, else /dev/shm; None: there is none that is safe."""
    configured = os.environ.get("EDGEBENCH_SHM", "/dev/shm")  # noqa: S108 - each journal has a folder of its own there
    if not configured:
        return None
    root = Path(configured).absolute()
    try:
        mode = root.stat().st_mode
    except OSError:
        return None
    # Other users may be able to write there, but must not be able to rename our folders.
    is_safe = bool(mode & stat.S_ISVTX) or not mode & 0o022
    return root if is_safe and os.access(root, os.W_OK | os.X_OK) and is_on_tmpfs(root) else None


def _file_system(path: Path) -> Optional[str]:
    """Return the type of the file system of a path."""
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
        if inside and len(point) >= len(best):  # a later mount at the same point hides the earlier ones
            best, kind = point, words[2]
    return kind
