"""Options that mean the same in every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import cloup

from edgebench.cli.numbers import time_span
from edgebench.cli.output import settings_of
from edgebench.request import JOURNALS
from edgebench.workload import RunPlan

_DEFAULTS = RunPlan()
WAIT_IDLE = "10m"

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def default_store() -> str:
    """Return where results are kept: $EDGEBENCH_STORE, else `.edgebench` in the working folder."""
    from edgebench.store import default_folder

    return default_folder()


def store_option(function: Decorated) -> Decorated:
    """Add `--store WHERE`, passed as `store: str`."""
    return cloup.option(
        "--store",
        type=click.Path(),
        metavar="WHERE",
        default=default_store,
        help="Folder of results, or a bucket: s3://BUCKET/PREFIX. [default: $EDGEBENCH_STORE, else .edgebench]",
    )(function)


def json_option(function: Decorated) -> Decorated:
    """Add `--json FILE`, passed as `json_target: str | None`; `-` is standard output."""
    return cloup.option("--json", "json_target", metavar="FILE", help="Write the result as JSON; -: standard output.")(
        function
    )


def wait_option(function: Decorated) -> Decorated:
    """Add `--wait TIME`, passed as `wait_s: int`."""
    return cloup.option(
        "--wait",
        "wait_s",
        callback=time_span,
        default="10m",
        show_default=True,
        metavar="TIME",
        help="Longest wait for a board that is in use: 90s, 30m, 0.",
    )(function)


def wait_idle_option(function: Decorated) -> Decorated:
    """Add `--wait-idle[=TIME]`, passed as `wait_idle_s: int | None`."""
    return cloup.option(
        "--wait-idle",
        "wait_idle_s",
        is_flag=False,
        flag_value=WAIT_IDLE,
        callback=time_span,
        metavar="[=TIME]",
        help="First wait until nothing else keeps the board busy, and again after a run that was disturbed; "
        f"TIME: at most so long each time. [without TIME: {WAIT_IDLE}]",
    )(function)


def journal_option(function: Decorated) -> Decorated:
    """Add `--journal memory|disk`, passed as `journal: str`."""
    return cloup.option(
        "--journal",
        type=click.Choice(JOURNALS),
        default="memory",
        show_default=True,
        help="Where the board keeps the journal of a run that goes on; a reboot of the board loses one in memory.",
    )(function)


def min_duration_option(function: Decorated) -> Decorated:
    """Add `--min-duration S`, passed as `min_duration: float`."""
    return cloup.option(
        "--min-duration", type=float, default=_DEFAULTS.min_duration_s, show_default=True, help="Shortest run, seconds."
    )(function)


def max_duration_option(function: Decorated) -> Decorated:
    """Add `--max-duration S`, passed as `max_duration: float`."""
    return cloup.option(
        "--max-duration", type=float, default=_DEFAULTS.max_duration_s, show_default=True, help="Longest run, seconds."
    )(function)


def max_warmup_option(function: Decorated) -> Decorated:
    """Add `--max-warmup S`, passed as `max_warmup: float`."""
    return cloup.option(
        "--max-warmup", type=float, default=_DEFAULTS.max_warmup_s, show_default=True, help="Longest warm-up, seconds."
    )(function)


def cool_below_option(function: Decorated) -> Decorated:
    """Add `--cool-below C`, passed as `cool_below: float | None`."""
    return cloup.option(
        "--cool-below",
        type=click.FloatRange(0, 150),
        metavar="C",
        help="Wait before each run until the CPU is at most C °C. [default: the device profile's]",
    )(function)


def scores_option(function: Decorated) -> Decorated:
    """Add `--scores FILE`, passed as `scores: Path | None`."""
    return cloup.option(
        "--scores", type=click.Path(path_type=Path), metavar="FILE", help="XTREME-R scores to show with the latencies."
    )(function)


def texts_option(function: Decorated) -> Decorated:
    """Add `--texts FILE`, passed as `texts: Path | None`."""
    return cloup.option(
        "--texts",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Use these texts, tokenised: one a line, or parallel texts (JSON or CSV by language), a row for each "
        "language or those of --lang.",
    )(function)


def truncate_option(function: Decorated) -> Decorated:
    """Add `--truncate`, passed as `truncate: bool`."""
    return cloup.option(
        "--truncate", is_flag=True, help="Cut inputs of --texts and --lang that are longer than the model allows."
    )(function)


def verbosity_options(function: Decorated) -> Decorated:
    """Add `-v` (more; -vv also tracebacks) and `-q` (only the result); read them with `verbosity()`."""

    def louder(ctx: click.Context, _: click.Parameter, value: int) -> None:
        settings_of(ctx)["verbosity"] += value

    def quieter(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        settings_of(ctx)["verbosity"] -= int(value)

    function = cloup.option(
        "-v", "--verbose", count=True, callback=louder, expose_value=False, help="Print more; -vv: tracebacks."
    )(function)
    return cloup.option(
        "-q", "--quiet", is_flag=True, callback=quieter, expose_value=False, help="Print only the result."
    )(function)


def wide_option(function: Decorated) -> Decorated:
    """Add `--wide`; `console()` reads it."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        settings_of(ctx)["wide"] = int(value)

    return cloup.option(
        "--wide",
        is_flag=True,
        callback=remember,
        expose_value=False,
        help="Show all columns of tables.",
    )(function)


def tls_options(function: Decorated) -> Decorated:
    """Add `--tls-ca-file`, `--tls-cert` and `--tls-key`, passed as texts or None."""
    return cloup.option_group(
        "Encryption, for tls:// addresses [default: as dask's settings say]",
        cloup.option("--tls-ca-file", metavar="FILE", help="Whose certificates are accepted (PEM)."),
        cloup.option("--tls-cert", metavar="FILE", help="Our certificate (PEM)."),
        cloup.option("--tls-key", metavar="FILE", help="Its key (PEM)."),
    )(function)


def executor_options(function: Decorated) -> Decorated:
    """Add `--executor`, passed as `executor: str`, and the options of encryption."""
    return cloup.option(
        "--executor",
        default="local",
        show_default=True,
        metavar="local|dask://HOST:PORT",
        help="Who measures: this machine, or the benches of a scheduler; tls://HOST:PORT encrypts.",
    )(tls_options(function))


def output_options(function: Decorated) -> Decorated:
    """Add `--store`, `--json`, `--wide`, `-v` and `-q` as the group "Output"."""
    return cloup.option_group("Output", store_option, json_option, wide_option, verbosity_options)(function)


def result_options(function: Decorated) -> Decorated:
    """Add `--json`, `--wide`, `-v` and `-q` as the group "Output", for commands that store nothing."""
    return cloup.option_group("Output", json_option, wide_option, verbosity_options)(function)
