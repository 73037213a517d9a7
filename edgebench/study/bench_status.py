"""Who measures what of a study just now, and which of its boards no bench offers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgebench.benches import Activity, Offer, Scheduler, bench_activities, connect_benches, offered_boards
from edgebench.events import OnEvent, ignore
from edgebench.study.file import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyBenchStatus:
    """What the benches of a scheduler say, as far as it is about a study's boards.

    running: what is measured on its boards now, also of other studies. not_offered: boards that no bench offers.
    """

    offers: tuple[Offer, ...]
    running: tuple[Activity, ...]
    not_offered: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield it in words."""
        yield ""
        yield from map(str, self.running)
        if not self.running:
            yield "no bench measures on a board of this study now"
        for device in self.not_offered:
            yield f"{device}: no bench offers it"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "offers": [
                {"bench": each.bench, "version": each.version, "boards": sorted(each.boards)} for each in self.offers
            ],
            "running": [each.to_json() for each in self.running],
            "not_offered": list(self.not_offered),
        }


def study_bench_status(study: Study, scheduler: Scheduler, *, on_event: OnEvent = ignore) -> StudyBenchStatus:
    """Return who measures on the boards of a study just now.

    Raises:
        ConnectionFailed, ConnectionLost: the scheduler can't be reached, or went away.
        MissingExtra: dask.distributed is not installed.
    """
    with connect_benches(scheduler, on_event=on_event) as benches:
        offers = benches.offers()
    mine, offered = {device.name for device in study.devices}, offered_boards(offers)
    return StudyBenchStatus(
        offers=tuple(offers),
        running=tuple(each for each in bench_activities(offers) if each.device in mine),
        not_offered=tuple(device.name for device in study.devices if device.name not in offered),
    )
