"""What a board's login shell prints before a command: the output of ~/.bashrc and the like, which is not the command's.

Bash reads ~/.bashrc for every command over SSH, and so do other shells with files of their own.
"""

from __future__ import annotations

from edgebench.text import printable

#: More than any greeting; a file that prints without end must not fill the memory.
_MOST_BYTES = 1 << 20
#: What a restricted bash, zsh or ksh says.
_RESTRICTED = b"restricted"
_FILES = "~/.bashrc, ~/.profile, ~/.zshenv, ~/.cshrc or the like there"


class LoginOutput:
    """The output up to the marker, and what follows it; `is_over` once the marker was seen."""

    def __init__(self, marker: bytes) -> None:
        self._marker = marker
        self._before = b""
        self.is_over = False
        self.rest = b""

    def add(self, data: bytes) -> bool:
        """Take output of the channel; return whether the marker was seen or may still come."""
        self._before += data
        before, found, rest = self._before.partition(self._marker)
        if found:
            self._before, self.rest, self.is_over = before, rest, True
        return self.is_over or len(self._before) <= _MOST_BYTES

    def take(self, limit: int) -> bytes:
        """Return the next bytes that came with the marker."""
        taken, self.rest = self.rest[:limit], self.rest[limit:]
        return taken

    def why_no_command(self, *, ended: bool, stderr: bytes = b"") -> str:
        """Explain, to follow a board's name, why the command did not begin."""
        printed = printable((self._before or stderr).decode("utf-8", "replace")[-300:], 200)
        said = f" (it printed: {printed})" if printed else ""
        if ended and _RESTRICTED in stderr:
            return f"the login shell is a restricted one, which runs no programs{said}; try there: chsh -s /bin/sh"
        if ended:
            return (
                f"the login shell ended before the command began{said}; does {_FILES} end it (exit, exec), or may the "
                f"user run no commands? bash, zsh, dash, ash, ksh, fish, csh and tcsh are supported"
            )
        if len(self._before) > _MOST_BYTES:
            return f"the login shell prints without end{said}; look at {_FILES}"
        return (
            f"the login shell does not get to the command{said}; does {_FILES} wait for input (read) or for "
            f"something else? Let it do so only in interactive shells: [[ $- == *i* ]] || return"
        )
