"""Files that others wrote: opened once, regular files only, inside the folder that was named, within bounds.

A file of a store, a study, a checkpoint or a set of scores may be anything: a pipe that never ends, a device, a link to
a secret, or a document whose nesting or numbers exhaust the memory. Every reader of the host comes here. What is
refused is an OSError with a text for people in `strerror`, or a ValueError, so that each caller says in its own words
which file it is.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import tomllib
from collections.abc import Callable, Iterable
from io import BufferedReader
from pathlib import Path
from typing import Any

MIB = 1 << 20
#: Documents that people or edgebench write: settings, studies, records, runs.
MOST_DOCUMENT_BYTES = 64 * MIB
#: Data and answers of tasks, texts.
MOST_DATA_BYTES = 1 << 30
#: Settings that are written by hand.
_MOST_TOML_BYTES = MIB
_MOST_DEPTH = 64
#: As transformers write "no limit": 1000000000000000019884624838656.
_MOST_DIGITS = 40
_SIZES = ((1 << 30, "GiB"), (MIB, "MiB"), (1 << 10, "KiB"))


class RefusedFile(OSError):
    """A file that is not read: no regular file, too large, or out of the folder that was named."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(errno.EINVAL, reason, str(path))


class NoValue(ValueError):
    """NaN or Infinity in a document of JSON."""


def open_file(path: Path, *, within: Path | None = None) -> BufferedReader:
    """Open a file for reading; a pipe, a device or a socket is refused, and never waited for.

    Args:
        within: the folder that was named; a link that leads out of it is refused, except into the blobs of the hub's
            cache, of which the folder is a snapshot. None: links are followed wherever they lead.

    Raises:
        OSError: it can't be opened, or is refused (RefusedFile).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError as error:  # a NUL in the name
        raise RefusedFile(path, "its name has a NUL") from error
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise RefusedFile(path, _kind_of(stat.S_IFSOCK)) from error
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            raise RefusedFile(path, _kind_of(status.st_mode))
        if within is not None:
            real = _inside(path, within)
            # What was opened must be what was judged: a link may change in between.
            if not os.path.samestat(real.lstat(), status):
                raise RefusedFile(path, "it was replaced while it was opened")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def is_file(path: Path) -> bool:
    """Return whether there is a file; a name that is too long for one, or can't be looked up, is none (no OSError)."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for such a name, which a document may hold


def is_folder(path: Path) -> bool:
    """Return whether there is a folder; see `is_file`."""
    return os.path.isdir(path)  # noqa: PTH112


def is_there(path: Path) -> bool:
    """Return whether there is a file or folder; see `is_file`."""
    return os.path.exists(path)  # noqa: PTH110


def user_path(text: str) -> Path:
    """Return a path with `~` or `~user` at its beginning replaced; where there is no such user, as it is."""
    try:
        return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises where there is no such user
    except ValueError:  # the name of a user can't have a NUL
        return Path(text)


def check_file(path: Path, *, within: Path | None = None) -> None:
    """Check a file that a library opens by itself; see `open_file`.

    Raises:
        OSError: as `open_file`.
    """
    open_file(path, within=within).close()


def check_files(folder: Path, paths: Iterable[Path], error: Callable[[str], Exception]) -> None:
    """Check files of a folder that libraries open by themselves; those that are not there, or are folders, pass.

    Raises:
        The error that `error` makes of a line that names the file.
    """
    for path in paths:
        try:
            check_file(path, within=folder)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            if path.is_symlink():
                _check_link(path, folder, error)
        except OSError as refused:
            raise error(f"can't read {path}: {refused.strerror}") from refused


def _check_link(path: Path, folder: Path, error: Callable[[str], Exception]) -> None:
    try:
        _inside(path, folder)
    except OSError as refused:
        raise error(f"can't read {path}: {refused.strerror}") from refused


def read_bytes(path: Path, *, most: int = MOST_DOCUMENT_BYTES, within: Path | None = None) -> bytes:
    """Return what a file holds.

    Args:
        most: its largest size, bytes.

    Raises:
        OSError: as `open_file`, or it is larger.
    """
    with open_file(path, within=within) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise RefusedFile(path, f"it is larger than {_size(most)}")
    return content


def read_text(
    path: Path,
    *,
    most: int = MOST_DOCUMENT_BYTES,
    within: Path | None = None,
    encoding: str = "utf-8-sig",
    errors: str = "strict",
) -> str:
    r"""Return the text in a file, with \n at the end of lines; by default UTF-8, also with a byte-order mark.

    Raises:
        OSError: as `read_bytes`.
        UnicodeDecodeError: it is in another encoding.
    """
    text = read_bytes(path, most=most, within=within).decode(encoding, errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(
    text: str | bytes,
    *,
    exact: bool = False,
    not_finite: bool = False,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """Return the value of a JSON text.

    Args:
        exact: numbers must fit into 64 bits, as those of runs do; else into 40 digits.
        not_finite: take NaN and Infinity, which are no JSON, as Python does, for the caller to refuse.
        pairs: makes an object of its pairs.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or has a number that is too large or none at all.
    """
    try:
        value = json.loads(
            text,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=float if not_finite else _constant,
            object_pairs_hook=pairs,
        )
    except RecursionError as error:
        raise ValueError(f"nested more than {_MOST_DEPTH} deep") from error
    _check_values(value, most=(1 << 63) if exact else None)
    return value


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of its pairs, for `parse_json`, where one of two values under a key would be lost.

    Raises:
        ValueError: a key is there twice.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return values


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ValueError: it is not TOML, is nested too deeply, or has a number of more than 64 bits.
    """
    if len(text) > _MOST_TOML_BYTES:
        raise ValueError(f"larger than {_size(_MOST_TOML_BYTES)}")
    _check_toml_depth(text)
    try:
        values = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(f"nested more than {_MOST_DEPTH} deep") from error
    _check_values(values, most=1 << 63)
    return values


def resolved_inside(path: Path, folder: Path) -> bool:
    """Whether a path, with all links followed, is in a folder or in the blobs of the hub's cache that belong to it."""
    try:
        _inside(path, folder)
    except OSError:
        return False
    return True


def _inside(path: Path, folder: Path) -> Path:
    """Return where a path leads to."""
    root = _real(folder)
    real = _real(path)
    if real.is_relative_to(root) or real.parent in _blobs_of(root):
        return real
    raise RefusedFile(path, f"it leads out of {folder}, to {real}; copy it there")


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path, strict=False))
    except (OSError, ValueError) as error:
        raise RefusedFile(path, "its name can't be resolved") from error


def _blobs_of(folder: Path) -> list[Path]:
    """Return where the hub's cache keeps the files of a snapshot: models--NAME/snapshots/REVISION -> .../blobs."""
    return [
        above.parent.parent / "blobs"
        for above in (folder, *folder.parents)
        if above.parent.name == "snapshots" and (above.parent.parent / "blobs").is_dir()
    ]


def _kind_of(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return f"it is {kinds.get(stat.S_IFMT(mode), 'not a regular file')}, not a file"


def _size(count: int) -> str:
    unit, name = next((unit, name) for unit, name in _SIZES if count >= unit or unit == 1 << 10)
    return f"{count // unit} {name}"


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:_MOST_DIGITS]} is too large")
    return value


def _constant(name: str) -> Any:
    raise NoValue(f"{name} is no value")


def _check_values(value: Any, *, most: int | None) -> None:
    """Refuse nesting beyond _MOST_DEPTH and, with `most`, integers of at least that size; without recursion."""
    level, depth = [value], 0
    while level:
        if most is not None and any(type(each) is int and not -most <= each < most for each in level):
            raise ValueError("a number of more than 64 bits")
        further: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                further += each.values()
            elif isinstance(each, list | tuple):
                further += each
        level, depth = further, depth + 1
        if depth > _MOST_DEPTH + 1:
            raise ValueError(f"nested more than {_MOST_DEPTH} deep")


def _check_toml_depth(text: str) -> None:
    """Refuse brackets and dotted keys that nest beyond _MOST_DEPTH, before tables are made of them."""
    depth = dots = 0
    at, end = 0, len(text)
    while at < end:
        sign = text[at]
        if sign in "\"'":
            at = _after_string(text, at)
            continue
        if sign == "#":
            at = text.find("\n", at)
            if at < 0:
                return
        elif sign in "[{":
            depth, dots = depth + 1, 0
        elif sign in "]}":
            depth, dots = max(0, depth - 1), 0
        elif sign == ".":
            dots += 1
        elif sign in "=,\n":
            dots = 0
        if depth + dots > _MOST_DEPTH:
            raise ValueError(f"nested more than {_MOST_DEPTH} deep (line {text.count(chr(10), 0, at) + 1})")
        at += 1


def _after_string(text: str, at: int) -> int:
    """Return the position after the string that begins here; the end of the text where it does not end."""
    quote = text[at]
    mark = quote * 3 if text.startswith(quote * 3, at) else quote
    place = at + len(mark)
    while place < len(text):
        if quote == '"' and text[place] == "\\":
            place += 2
        elif text.startswith(mark, place):
            return place + len(mark)
        elif len(mark) == 1 and text[place] == "\n":
            return place  # not TOML; the parser says so
        else:
            place += 1
    return len(text)
