"""What all commands share: options that mean the same everywhere, and where their output goes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgebench.cli.numbers import time_span
from edgebench.errors import StoreError

if TYPE_CHECKING:
    from rich.console import Console

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

#: Columns of a table that goes to a file or a pipe, where no terminal tells its width.
_WIDE = 200


def default_store() -> str:
    """Return the folder of results: $EDGEBENCH_STORE, else `.edgebench` in the working folder."""
    return os.environ.get("EDGEBENCH_STORE") or ".edgebench"


def store_option(function: Decorated) -> Decorated:
    """Add `--store DIR`, passed as `store: Path`."""
    return click.option(
        "--store",
        type=click.Path(path_type=Path, file_okay=True),
        default=default_store,
        help="Folder of results. [default: $EDGEBENCH_STORE, else .edgebench]",
    )(function)


def json_option(function: Decorated) -> Decorated:
    """Add `--json FILE`, passed as `json_target: str | None`; `-` is standard output."""
    return click.option(
        "--json", "json_target", metavar="FILE", help="Write the result as JSON; - is standard output."
    )(function)


def wait_option(function: Decorated) -> Decorated:
    """Add `--wait TIME`, passed as `wait_s: int`."""
    return click.option(
        "--wait",
        "wait_s",
        callback=time_span,
        default="10m",
        show_default=True,
        metavar="TIME",
        help="For a board that somebody else has, at most so long: 90s, 30m, 0.",
    )(function)


def scores_option(function: Decorated) -> Decorated:
    """Add `--scores FILE`, passed as `scores: Path | None`."""
    return click.option(
        "--scores", type=click.Path(path_type=Path), metavar="FILE", help="XTREME-R scores to put beside."
    )(function)


def verbosity_options(function: Decorated) -> Decorated:
    """Add `-v` (more; -vv also tracebacks) and `-q` (only the result); read them with `verbosity()`."""

    def louder(ctx: click.Context, _: click.Parameter, value: int) -> None:
        _settings(ctx)["verbosity"] += value

    def quieter(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        _settings(ctx)["verbosity"] -= int(value)

    function = click.option("-v", "--verbose", count=True, callback=louder, expose_value=False, help="Say more.")(
        function
    )
    return click.option(
        "-q", "--quiet", is_flag=True, callback=quieter, expose_value=False, help="Say only the result."
    )(function)


def verbosity() -> int:
    """Return how much to say: -1 quiet, 0 normal, 1 and 2 more."""
    ctx = click.get_current_context(silent=True)
    return _settings(ctx)["verbosity"] if ctx else 0


def _settings(ctx: click.Context) -> dict[str, int]:
    settings: dict[str, int] = ctx.find_root().ensure_object(dict)
    settings.setdefault("verbosity", 0)
    return settings


def console() -> Console:
    """Return the console of results: standard output; as wide as a table needs where it is not a terminal."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE, soft_wrap=False)


def progress_console() -> Console:
    """Return the console of progress: standard error, silent under -q."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, quiet=verbosity() < 0, width=None if sys.stderr.isatty() else _WIDE)


def check_json_target(target: str | None) -> None:
    """Make sure, before anything is measured, that a document can be written there later.

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
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if target == "-":
        click.echo(text, nl=False)
        return
    path = Path(target)
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"can't write {path}: {error.strerror}") from error


def to_stdout(json_target: str | None) -> bool:
    """Whether tables may go to standard output: not where the JSON does."""
    return json_target != "-"
