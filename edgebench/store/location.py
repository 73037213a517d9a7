"""Locations: what names a store, a folder of this machine or an address such as s3://bucket/prefix."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from edgebench.errors import ConfigError
from edgebench.text import printable

#: Schemes of addresses, and the package that reaches each; all of them through fsspec.
SCHEMES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "memory": "fsspec",
}
_FILE = "file"
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(/?)(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Address:
    """A store that is not a folder: `scheme` is a key of SCHEMES; `path` has the bucket and the prefix."""

    scheme: str
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"

    @property
    def bucket(self) -> str:
        """The bucket or container."""
        return self.path.partition("/")[0]


def parse_location(location: str | Path) -> Path | Address:
    """Return the folder or the address that a text names; `file:///folder` is a folder.

    Raises:
        ConfigError: the scheme is unknown, or the address names no bucket or has more than a bucket and a prefix.
    """
    text = str(location)
    found = _ADDRESS.fullmatch(text)
    # Path("s3://bucket") has one slash less. No folder is meant by that: its name would end in a colon.
    if found is None or not (found[2] or found[1].lower() in SCHEMES):
        return Path(location)
    scheme, rest = found[1].lower(), found[3]
    if scheme == _FILE:
        if not rest.startswith("/"):
            raise ConfigError(f"{printable(text)} names no folder; write file:///folder with three slashes, or /folder")
        return Path(rest)
    if scheme not in SCHEMES:
        known = ", ".join(f"{each}://" for each in (*SCHEMES, _FILE))
        raise ConfigError(f"a store can't be at {printable(text)}: unknown scheme {scheme}://; known: {known}")
    parts = [part for part in rest.split("/") if part]
    if not parts:
        raise ConfigError(f"{printable(text)} names no bucket; write {scheme}://BUCKET/PREFIX")
    if "@" in parts[0]:
        raise ConfigError(
            f"the address of a store has no login ({scheme}://...@...); give credentials in the environment or a file"
        )
    if any(part in (".", "..") for part in parts) or _CONTROL.search(rest) or "?" in rest or "#" in rest or "*" in rest:
        raise ConfigError(
            f"{printable(text)} can't be the address of a store; write {scheme}://BUCKET/PREFIX, without ?, #, * or .."
        )
    return Address(scheme, "/".join(parts))


def relative_location(location: str) -> str:
    """Return what names a store from the working folder."""
    parsed = parse_location(location)
    return str(parsed) if isinstance(parsed, Address) else os.path.relpath(parsed)


def absolute_location(location: str) -> str:
    """Return a location that means the same in every working folder."""
    parsed = parse_location(location)
    return str(parsed) if isinstance(parsed, Address) else os.path.abspath(parsed)  # noqa: PTH100 - links stay
