"""Whether the agent's folder is private: nobody but its owner can change a file in it, or replace it.

The host's bootstrap sends the text of this file to the board, and runs it before it starts an agent that lies there. So
this file imports nothing of the package.
"""

import os
import pwd
import shlex
import stat
from contextlib import suppress
from pathlib import Path
from typing import Iterator

#: Written once every file below the home was checked. Until the home is open to others again, only its upper levels
#: are checked: an environment has thousands of files.
MARKER = "private"
#: Below these folders, some files are links by design: a run's journal, an environment's Python.
_WITH_LINKS = ("runs", "envs")
_UPPER_LEVELS, _ALL_LEVELS = 2, 64
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_USE = stat.S_IRWXG | stat.S_IRWXO


class NotPrivate(Exception):
    """Another user can change or replace the agent's folder; the message says what to do."""


def make_private(root: Path) -> None:
    """Make sure that only this user can change the agent's folder `root`; its own loose permissions are mended.

    The folder need not exist. From the user's home directory on (for a folder elsewhere: from / on), each folder on the
    way to it must belong to this user or root, and no other user may write there, except in a shared folder for
    temporary files such as /tmp.

    Raises:
        NotPrivate: another user can replace the folder, owns a part of it, or it is reached by a symbolic link.
        OSError.
    """
    user = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path's raises where a user has no such directory
    for folder in _way_to(root, user):
        if not _check_on_the_way(folder, root, user):
            return
    try:
        found = root.lstat()
    except FileNotFoundError:
        return
    _check_own(root, found, root, may_be_link=False)
    if not stat.S_ISDIR(found.st_mode):
        raise NotPrivate(f"{root} is not a folder; {_advice(f'rm {_quoted(root)}')}")
    was_open = bool(found.st_mode & _OTHERS_USE)
    if was_open:
        _restrict(root, stat.S_IMODE(found.st_mode) & ~_OTHERS_USE)
    marker = root / MARKER
    is_checked = os.path.lexists(marker) and not was_open
    _check_below(root, root, _UPPER_LEVELS if is_checked else _ALL_LEVELS, may_be_link=False)
    if not is_checked:
        with suppress(OSError):  # no room, or a home that may not be written: the next command checks all again
            os.close(os.open(marker, os.O_WRONLY | os.O_CREAT, 0o600))


def _way_to(root: Path, user: Path) -> Iterator[Path]:
    """Yield the folders in which the home lies, the upper ones first, from the user's home directory or / on."""
    way = list(reversed(root.parents))
    return iter(way[way.index(user) :] if user in way else way)


def _check_on_the_way(folder: Path, root: Path, user: Path) -> bool:
    """Check a folder in which the home lies; return whether it exists."""
    # The user's home directory and what lies in / are the system's: there, a link is not another user's.
    follow = folder == user or folder.parent == Path("/")
    try:
        found = folder.stat() if follow else folder.lstat()
    except FileNotFoundError:
        if folder.is_symlink():
            raise NotPrivate(f"{folder} is a symbolic link that leads nowhere; {_advice()}") from None
        return False
    if stat.S_ISLNK(found.st_mode):
        raise _link(folder, root)
    if found.st_uid not in (0, os.geteuid()):
        raise NotPrivate(f"{_owners(folder, found)} could replace {root}; {_advice()}")
    if found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
        mend = _advice(f"chmod go-w {_quoted(folder)}")
        raise NotPrivate(f"other users may write into {folder}, and could replace {root}; {mend}")
    return True


def _check_below(folder: Path, root: Path, levels: int, may_be_link: bool) -> None:
    """Check what lies in a folder, `levels` deep, and take away what others may do there."""
    for path in list(folder.iterdir()):
        with suppress(FileNotFoundError):  # removed meanwhile by another command
            found = path.lstat()
            _check_own(path, found, root, may_be_link)
            if stat.S_ISLNK(found.st_mode):
                continue
            if found.st_mode & _OTHERS_WRITE:
                _restrict(path, stat.S_IMODE(found.st_mode) & ~_OTHERS_WRITE)
            if stat.S_ISDIR(found.st_mode) and levels > 1:
                _check_below(path, root, levels - 1, may_be_link or (folder == root and path.name in _WITH_LINKS))


def _check_own(path: Path, found: os.stat_result, root: Path, may_be_link: bool) -> None:
    if found.st_uid != os.geteuid():
        mend = _advice(f'sudo chown -R "$USER" {_quoted(root)}')
        raise NotPrivate(f"{_owners(path, found)} could change what runs here; {mend}")
    if stat.S_ISLNK(found.st_mode) and not may_be_link:
        raise _link(path, root)


def _restrict(path: Path, mode: int) -> None:
    path.chmod(mode)
    if path.lstat().st_mode & _OTHERS_WRITE:
        raise NotPrivate(f"other users may write {path}, and its file system does not change that; {_advice()}")


def _link(path: Path, root: Path) -> NotPrivate:
    there = f"set EDGEBENCH_HOME to {_quoted(Path(os.path.realpath(root)))}, where it leads"
    on_the_way = path.exists() and path in (root, *root.parents)
    return NotPrivate(f"{path} is a symbolic link, which can lead anywhere; {_advice(there if on_the_way else '')}")


def _advice(command: str = "") -> str:
    other = "set EDGEBENCH_HOME to a folder of this user"
    return f"try on the board: {command}, or {other}" if command else f"try on the board: {other}"


def _owners(path: Path, found: os.stat_result) -> str:
    owner = user_name(found.st_uid)
    return f"{path} belongs to {owner}, and we are {user_name(os.geteuid())}: {owner}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def user_name(user: int) -> str:
    """Return the name of a user by number."""
    try:
        return pwd.getpwuid(user).pw_name
    except (KeyError, OSError):
        return f"user {user}"
