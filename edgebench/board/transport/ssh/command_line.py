"""The command line that starts a program on a board, whatever the login shell is: bash, dash, zsh, fish, csh ..."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

#: What no shell changes within single quotes. fish changes backslashes there, csh exclamation marks and line ends.
_PLAIN = re.compile(r"[ -~]*")
_CHANGED = frozenset(b"\\!%'")
#: Decodes the arguments that begin with %: each %0ooo stands for a byte. A shell may halve the four backslashes (fish),
#: so the first character of what is left is taken. `x` keeps the line ends that $(...) would drop.
_DECODE = (
    'b="\\\\\\\\"; b=${b%"${b#?}"}; n=$#; '
    "while [ $n -gt 0 ]; do a=$1; shift; n=$((n-1)); "
    'case $a in %*) a=$(printf %b "$(printf %s "${a#%}x" | tr % "$b$b")"); a=${a%x};; esac; '
    'set -- "$@" "$a"; done; '
)


def command_line(argv: Sequence[str], marker: str) -> str:
    """Return a login shell's command that prints a line, `marker`, and becomes the program `argv`.

    The line is printed by a process of its own: if nobody reads any more, SIGPIPE must not end the shell before the
    program starts. All of it is one command, because the shell may print before each (`trap ... DEBUG` in ~/.bashrc).

    Raises:
        ValueError: an argument holds a NUL.
    """
    if any("\0" in argument for argument in argv):
        raise ValueError("an argument can't hold a NUL")
    encoded = [_encode(argument) for argument in argv]
    decode = _DECODE if encoded != list(argv) else ""
    program = f'sh -c "echo {marker}"; {decode}exec "$@"'
    return f"exec sh -c {shlex.quote(program)} sh {shlex.join(encoded)}"


def _encode(argument: str) -> str:
    data = os.fsencode(argument)
    if _PLAIN.fullmatch(argument) and not _CHANGED.intersection(data):
        return argument
    return "%" + "".join(chr(byte) if 32 <= byte < 127 and byte not in _CHANGED else f"%0{byte:03o}" for byte in data)
