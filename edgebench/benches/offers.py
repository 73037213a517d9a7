"""What benches offer: which boards, of which kind, with which version of edgebench."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgebench._version import __version__
from edgebench.device import profile_names
from edgebench.errors import ConfigError
from edgebench.text import printable

#: Under this name a worker says what it is; a worker without it is no bench.
OFFER = "edgebench"
_MOST_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A bench and its boards. `boards`: the name of each device's profile, by the device's name."""

    bench: str
    address: str
    version: str
    boards: Mapping[str, str]
    running: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_same_version(self) -> bool:
        """Whether it has this edgebench."""
        return self.version == __version__


def board_resource(device: str) -> str:
    """Return the resource that stands for a board: a bench has one of it, and a cell takes it."""
    return f"board:{device}"


def version_resource(version: str) -> str:
    """Return the resource that only benches of one version of edgebench have: dask gives no cell to others."""
    return f"edgebench:{version}"


def read_offers(workers: Mapping[str, Mapping[str, Any]]) -> list[Offer]:
    """Return the benches among a scheduler's workers; what one says of itself is made harmless."""
    found = []
    for address, worker in workers.items():
        said = worker.get(OFFER)
        if not isinstance(said, Mapping) or not isinstance(said.get("boards"), Mapping):
            continue
        metrics = worker.get("metrics")
        running = metrics.get(OFFER) if isinstance(metrics, Mapping) else None
        found.append(
            Offer(
                bench=printable(said.get("bench"), 100),
                address=printable(address, 100),
                version=printable(said.get("version"), 50),
                boards={
                    printable(name, 100): profile if profile in profile_names() else "generic-linux"
                    for name, profile in said["boards"].items()
                },
                running=tuple(each for each in running if isinstance(each, Mapping))
                if isinstance(running, list | tuple)
                else (),
            )
        )
    return found


def offered_boards(offers: Iterable[Offer]) -> dict[str, str]:
    """Return the boards that benches of this version offer, each with its profile's name."""
    return {name: profile for offer in offers if offer.is_same_version for name, profile in offer.boards.items()}


def other_versions(offers: Iterable[Offer]) -> list[str]:
    """Return a line for each bench with another edgebench, which is given nothing."""
    return [
        f"bench {each.bench} ({each.address}) has edgebench {each.version}, and this is {__version__}: it is given "
        f"nothing; install the same version there"
        for each in offers
        if not each.is_same_version
    ]


def refuse_missing(devices: Sequence[str], offers: Sequence[Offer], *, scheduler: str) -> None:
    """Raise ConfigError for devices that no bench offers; the message says which are offered."""
    offered = offered_boards(offers)
    missing = [device for device in devices if device not in offered]
    if not missing:
        return
    others = [each for each in offers if not each.is_same_version and set(missing) & set(each.boards)]
    known = f"offered: {_listed(sorted(offered))}" if offered else "no bench offers any board"
    reason = f"; {'; '.join(other_versions(others))}" if others else ""
    raise ConfigError(
        f"no bench at {scheduler} offers {_listed(missing)}; {known}{reason}",
        hint="on the host that reaches the board: edgebench bench start --scheduler HOST:PORT" if not others else None,
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(names[:_MOST_SHOWN]) + more
