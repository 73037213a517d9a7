"""A bench whose boards are simulated: `python -m tests.benches.simulated_bench ADDRESS --name lab --board sim`."""

from __future__ import annotations

import argparse
import signal
import sys

from edgebench._version import __version__
from edgebench.benches import Bench, CellResult, CellTask, Scheduler, start_bench
from edgebench.benches.simulated import SimulatedBoards
from edgebench.device import Device, load_profile
from edgebench.errors import EdgebenchError
from edgebench.events import Event, LogMessage


def main() -> None:
    """Offer simulated boards until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--name", default="lab")
    parser.add_argument("--board", action="append", required=True)
    parser.add_argument("--pace", type=float, default=1.0)
    parser.add_argument("--pause", type=float, default=0.1)
    parser.add_argument("--empty", action="store_true", help="measure and store nothing: what remains is the way there")
    parser.add_argument("--version", default=__version__)
    parser.add_argument("--tls", nargs=3, metavar=("CA", "CERT", "KEY"))
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    profile = load_profile("pi4")
    bench = Bench(
        name=given.name,
        devices={name: Device(name=name, profile=profile) for name in given.board},
        measure=_nothing if given.empty else SimulatedBoards(pace=given.pace, pause_s=given.pause),
        version=given.version,
        on_event=_show,
    )
    ca, cert, key = given.tls or (None, None, None)
    try:
        scheduler = Scheduler(address=given.address, tls_ca_file=ca, tls_cert=cert, tls_key=key)
        start_bench(scheduler, bench=bench, on_event=_show)
    except KeyboardInterrupt:
        sys.exit(130)
    except EdgebenchError as error:
        sys.exit(str(error))


def _nothing(task: CellTask, _: Device, *, bench: str, **__: object) -> CellResult:
    return CellResult(state="done", bench=bench, session=task.session)


def _show(event: Event) -> None:
    if isinstance(event, LogMessage):
        print(event.text, flush=True)


if __name__ == "__main__":
    main()
