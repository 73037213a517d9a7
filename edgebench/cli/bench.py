"""edgebench bench: this host's boards, for studies that others run."""

from __future__ import annotations

import cloup

from edgebench.cli.groups import Group
from edgebench.cli.hints import as_options
from edgebench.cli.options import tls_options, verbosity_options
from edgebench.cli.output import progress_console
from edgebench.events import Event, LogMessage


@cloup.group("bench", cls=Group)
def command() -> None:
    """Offer the boards of this host to studies, through a scheduler of dask.

    \b
    Example:
      edgebench bench start --scheduler 10.0.0.5:8786
    """


@command.command("start")
@cloup.option("--scheduler", required=True, metavar="HOST:PORT", help="The scheduler; tls://HOST:PORT encrypts.")
@cloup.option(
    "--device",
    "devices",
    multiple=True,
    metavar="NAME",
    help="A board of edgebench.toml, or local; repeatable. [default: all boards of edgebench.toml]",
)
@cloup.option("--name", metavar="NAME", help="What others see. [default: this host's name]")
@cloup.option(
    "--listen",
    metavar="ADDRESS",
    help="Address of this host to listen on. [default: the one that reaches the scheduler]",
)
@tls_options
@verbosity_options
def start(
    scheduler: str,
    devices: tuple[str, ...],
    name: str | None,
    listen: str | None,
    tls_ca_file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
) -> None:
    """Offer this host's boards until Ctrl-C. A scheduler that went away is waited for.

    The scheduler decides what is measured here. Devices come from this host's edgebench.toml only.

    \b
    Example:
      edgebench bench start --scheduler 10.0.0.5:8786 --device pi4
    """
    from edgebench.benches import Scheduler, start_bench

    def show(event: Event) -> None:
        if isinstance(event, LogMessage):
            progress_console().print(as_options(event.text), markup=False)

    address = scheduler if "://" in scheduler else f"tcp://{scheduler}"
    start_bench(
        Scheduler(address=address, tls_ca_file=tls_ca_file, tls_cert=tls_cert, tls_key=tls_key),
        devices=devices,
        name=name,
        listen=listen,
        on_event=show,
    )
