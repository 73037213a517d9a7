"""Whether the agent's folder is private: nobody but its owner can change a file in it, or replace it.

The host's bootstrap sends the text of this file to the board, and runs it before it starts an agent that lies there. So
this file imports nothing of the package.
"""

import os
import pwd
import shlex
import stat
from contextlib import suppress
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


def make_private(root: str) -> None:
    """Make sure that only this user can change the agent's folder `root`; its own loose permissions are mended.

    The folder need not exist. From the user's home directory on (for a folder elsewhere: from / on), each folder on the
    way to it must belong to this user or root, and no other user may write there, except in a shared folder for
    temporary files such as /tmp.

    Raises:
        NotPrivate: another user can replace the folder, owns a part of it, or it is reached by a symbolic link.
        OSError.
    """
    for folder in _way_to(root):
        if not _check_on_the_way(folder, root):
            return
    try:
        found = os.lstat(root)
    except FileNotFoundError:
        return
    _check_own(root, found, root, may_be_link=False)
    if not stat.S_ISDIR(found.st_mode):
        raise NotPrivate(f"{root} is not a folder; {_advice(f'rm {shlex.quote(root)}')}")
    was_open = bool(found.st_mode & _OTHERS_USE)
    if was_open:
        _restrict(root, stat.S_IMODE(found.st_mode) & ~_OTHERS_USE)
    marker = os.path.join(root, MARKER)
    is_checked = os.path.lexists(marker) and not was_open
    _check_below(root, root, _UPPER_LEVELS if is_checked else _ALL_LEVELS, may_be_link=False)
    if not is_checked:
        with suppress(OSError):  # no room or a home that may not be written: the next command checks all again
            os.close(os.open(marker, os.O_WRONLY | os.O_CREAT, 0o600))


def _way_to(root: str) -> Iterator[str]:
    """Yield the folders in which the home lies, the upper ones first, from the user's home directory or / on."""
    base = os.path.expanduser("~").rstrip("/")
    if not root.startswith(base + "/"):
        base = ""
    yield base or "/"
    names = root[len(base) :].strip("/").split("/")
    for count in range(1, len(names)):
        yield "/".join([base, *names[:count]])


def _check_on_the_way(folder: str, root: str) -> bool:
    """Check a folder in which the home lies; return whether it exists."""
    # The user's home directory and what lies in / are the system's: there, a link is not another user's.
    follow = folder == os.path.expanduser("~").rstrip("/") or os.path.dirname(folder) == "/"
    try:
        found = os.stat(folder) if follow else os.lstat(folder)
    except FileNotFoundError:
        if os.path.islink(folder):
            raise NotPrivate(f"{folder} is a symbolic link that leads nowhere; {_advice()}") from None
        return False
    if stat.S_ISLNK(found.st_mode):
        raise _link(folder, root)
    if found.st_uid not in (0, os.geteuid()):
        raise NotPrivate(f"{_owners(folder, found)} could replace {root}; {_advice()}")
    if found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
        mend = f"chmod go-w {shlex.quote(folder)}"
        raise NotPrivate(f"other users may write into {folder}, and could replace {root}; {_advice(mend)}")
    return True


def _check_below(folder: str, root: str, levels: int, may_be_link: bool) -> None:
    """Check what lies in a folder, `levels` deep, and take away what others may do there."""
    with os.scandir(folder) as entries:
        paths = [entry.path for entry in entries]
    for path in paths:
        with suppress(FileNotFoundError):  # removed meanwhile by another command
            found = os.lstat(path)
            _check_own(path, found, root, may_be_link)
            if stat.S_ISLNK(found.st_mode):
                continue
            if found.st_mode & _OTHERS_WRITE:
                _restrict(path, stat.S_IMODE(found.st_mode) & ~_OTHERS_WRITE)
            if stat.S_ISDIR(found.st_mode) and levels > 1:
                links = may_be_link or (folder == root and os.path.basename(path) in _WITH_LINKS)
                _check_below(path, root, levels - 1, links)


def _check_own(path: str, found: os.stat_result, root: str, may_be_link: bool) -> None:
    if found.st_uid != os.geteuid():
        advice = _advice(f'sudo chown -R "$USER" {shlex.quote(root)}')
        raise NotPrivate(f"{_owners(path, found)} could change what runs here; {advice}")
    if stat.S_ISLNK(found.st_mode) and not may_be_link:
        raise _link(path, root)


def _restrict(path: str, mode: int) -> None:
    os.chmod(path, mode)  # noqa: PTH101 - a text, as the bootstrap has it
    if os.lstat(path).st_mode & _OTHERS_WRITE:
        raise NotPrivate(f"other users may write {path}, and its file system does not change that; {_advice()}")


def _link(path: str, root: str) -> NotPrivate:
    there = os.path.realpath(root) if os.path.exists(path) else ""
    instead = f"set EDGEBENCH_HOME to {shlex.quote(there)}, where it leads" if there else ""
    return NotPrivate(f"{path} is a symbolic link, which could lead anywhere; {_advice(instead)}")


def _advice(command: str = "") -> str:
    other = "set EDGEBENCH_HOME to a folder of this user"
    return f"try on the board: {command}, or {other}" if command else f"try on the board: {other}"


def _owners(path: str, found: os.stat_result) -> str:
    owner = user_name(found.st_uid)
    return f"{path} belongs to {owner}, and we are {user_name(os.geteuid())}: {owner}"


def user_name(user: int) -> str:
    """Return the name of a user by number."""
    try:
        return pwd.getpwuid(user).pw_name
    except (KeyError, OSError):
        return f"user {user}"
