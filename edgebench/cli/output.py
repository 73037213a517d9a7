"""Where the output of a command goes: results to standard output, progress to standard error."""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import click

from edgebench.cli.encoding import can_encode
from edgebench.cli.streams import raw_stream
from edgebench.errors import StoreError
from edgebench.text import escaped_json

if TYPE_CHECKING:
    from rich.console import Console

#: Width, in columns, of output to a file or pipe, where COLUMNS does not say another.
_WIDE = 200
_MOST_COLUMNS = 10_000  # a greater COLUMNS is a mistake
_PADDING = re.compile(r" +(?=\n)")


def verbosity() -> int:
    """Return how much to print: -1 quiet, 0 normal, 1 and 2 more."""
    ctx = click.get_current_context(silent=True)
    return settings_of(ctx)["verbosity"] if ctx else 0


def settings_of(ctx: click.Context) -> dict[str, int]:
    settings: dict[str, int] = ctx.find_root().ensure_object(dict)
    settings.setdefault("verbosity", 0)
    return settings


def console() -> Console:
    """Return the console of results: standard output.

    A terminal, or COLUMNS, says how wide tables may be: they then hide columns, unless `--wide` is given. A file or
    pipe of no known width gets _WIDE columns, and tables with all of theirs.
    """
    from edgebench.cli.safe_console import SafeConsole

    stream = raw_stream(sys.stdout)
    ctx = click.get_current_context(silent=True)
    is_wide = bool(ctx and settings_of(ctx).get("wide"))
    if stream.isatty():
        return SafeConsole(file=stream, highlight=False, soft_wrap=False, shows_all_columns=is_wide)
    width = _columns()
    return SafeConsole(
        file=cast(IO[str], _Trimmed(stream)),
        highlight=False,
        width=width or _WIDE,
        soft_wrap=False,
        shows_all_columns=is_wide or width is None,
    )


def _columns() -> int | None:
    """Return the width that COLUMNS says; None where it says none."""
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and 0 < int(columns) < _MOST_COLUMNS else None


class _Trimmed:
    """Writes text without the spaces that end its lines: a table pads its cells, which no file or pipe needs."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(_PADDING.sub("", text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def progress_console() -> Console:
    """Return the console of progress: standard error, silent under -q; live where it is a terminal."""
    from edgebench.cli.safe_console import SafeConsole

    stream = raw_stream(sys.stderr)
    return SafeConsole(
        file=stream,
        highlight=False,
        quiet=verbosity() < 0,
        width=None if stream.isatty() else _columns() or _WIDE,
        force_interactive=None if stream.isatty() else False,  # FORCE_COLOR is about colours alone
    )


def check_json_target(target: str | None) -> None:
    """Check, before anything is measured, that the JSON document can be written.

    Raises:
        StoreError: its folder is missing or can't be written, or it is a folder itself.
    """
    if target is None or target == "-":
        return
    path = Path(target)
    if path.is_dir():
        raise StoreError(f"can't write {path}: it is a folder; try: --json {path / 'result.json'}")
    if not path.parent.is_dir():
        raise StoreError(f"can't write {path}: {path.parent} is not a folder; try: mkdir -p {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise StoreError(f"can't write {path}: no permission to write in {path.parent}")


def write_json(target: str | None, document: dict[str, Any]) -> None:
    """Write a document as JSON to a file (by rename) or, for `-`, to standard output; None: do nothing.

    Raises:
        StoreError: the file can't be written.
    """
    if target is None:
        return
    text = escaped_json(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"
    if not can_encode(text, None if target == "-" else "utf-8"):
        text = json.dumps(document, indent=2, allow_nan=False) + "\n"  # JSON has its own escape sequences
    if target == "-":
        click.echo(text, nl=False)
        return
    path = Path(target)
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # a full disk leaves half of it
        raise StoreError(f"can't write {path}: {error.strerror}") from error


def to_stdout(json_target: str | None) -> bool:
    """Whether tables may go to standard output: not where the JSON does."""
    return json_target != "-"
