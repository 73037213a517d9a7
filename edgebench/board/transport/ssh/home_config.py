"""The configuration of a HOME that is not the one of the user's account.

OpenSSH reads ~/.ssh of the account and ignores the variable HOME, which every other program obeys (a container, `sudo
-E`, a test). There it is given a copy of the configuration whose `~` and relative names mean that HOME.
"""

from __future__ import annotations

import glob
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgebench.board.transport.ssh.settings import expanded
from edgebench.errors import ConfigError
from edgebench.reading import RefusedFile, read_text

MAX_DEPTH = 16  # of Include, as in OpenSSH
_SYSTEM = Path("/etc/ssh/ssh_config")


@dataclass
class ConfigCopy:
    """Options that make `ssh` read a configuration; `names`: of each copied file, the name of its original."""

    options: Sequence[str] = ()
    names: dict[str, str] = field(default_factory=dict)

    def with_original_names(self, message: str) -> str:
        """Return what ssh says with the names of the files that the user knows."""
        for copy, original in self.names.items():
            message = message.replace(f"{copy}:", f"{original}:").replace(f"{copy} ", f"{original} ")
        return message


@contextmanager
def config_of_home() -> Iterator[ConfigCopy]:
    """Give the configuration of HOME; without options where that is the home of the account."""
    if Path.home() == account_home():
        yield ConfigCopy()
        return
    with tempfile.TemporaryDirectory(prefix="edgebench-ssh-") as folder:
        copier = _Copier(Path(folder))
        ssh = Path.home() / ".ssh"
        parts = [copier.copy(ssh / "config", ssh, 0), copier.copy(_SYSTEM, _SYSTEM.parent, 0)]
        known = " ".join(f'"{ssh / name}"' for name in ("known_hosts", "known_hosts2"))
        lines = [*(f'Include "{part}"' for part in parts if part), "Host *", f"UserKnownHostsFile {known}"]
        top = Path(folder) / "config"
        top.write_text("\n".join(lines) + "\n", encoding="utf-8")
        yield ConfigCopy(["-F", str(top)], copier.names)


def account_home() -> Path:
    """Return the home of the user's account, whatever HOME says."""
    try:
        import pwd

        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except (ImportError, KeyError):
        return Path.home()


class _Copier:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names: dict[str, str] = {}

    def copy(self, path: Path, base: Path, depth: int) -> Path | None:
        """Return the copy of a file, its Include lines naming copies; `base`: where relative names start."""
        try:
            text = read_text(path, encoding="utf-8", errors="surrogateescape")
        except RefusedFile as error:
            raise ConfigError(f"can't read {path}: {error.strerror}") from error
        except OSError:
            return None
        copy = self._folder / f"part-{len(self.names)}"
        self.names[str(copy)] = str(path)
        lines = [self._line(line, base, depth) for line in text.split("\n")]
        copy.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")
        return copy

    def _line(self, line: str, base: Path, depth: int) -> str:
        keyword, *arguments = re.split(r"[\s=]+", line.strip()) or [""]
        if keyword.lower() != "include":
            return re.sub(r'(?<=[\s="])~(?=/)', lambda _: str(Path.home()), line)
        if depth >= MAX_DEPTH:
            raise ConfigError(f"~/.ssh/config: Include nests more than {MAX_DEPTH} deep; a file includes itself")
        found = [path for argument in arguments for path in included_files(argument.strip('"'), base)]
        copies = filter(None, (self.copy(path, base, depth + 1) for path in found))
        names = " ".join(f'"{copy}"' for copy in copies)
        return f"Include {names}" if names else ""


def included_files(pattern: str, base: Path) -> list[Path]:
    """Return the files that an Include line's pattern names, in their order."""
    path = expanded(pattern, where=f"{base / 'config'}: Include")
    path = path if path.is_absolute() else base / path
    return [Path(name) for name in sorted(glob.glob(str(path)))]  # noqa: PTH207 - Path refuses some patterns of OpenSSH
