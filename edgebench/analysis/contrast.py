"""Contrast: what is said of one quantity of two measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgebench.text import ratio_interval_text, ratio_text

BY_SESSION, BY_HISTORY = "session", "history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """What is said of one quantity. `ci` is at `level`, which is the corrected one where several were judged.

    Of one that is "equivalent" it is the interval that lies inside 1 ± margin: 90 % at the level 95 %. One that does
    not enter the verdict on speed is "not judged", and `significant` is None.

    `significant`: it was shown that the ratio is not 1. `beyond_margin`: all of the interval lies outside 1 ± margin.
    `ratio` is None where a side has too few valid runs for one.
    `more_runs` of each side would decide if nothing else changed: 0 where it is decided or not judged, None where no
    sensible number does. `decided_by`: "session", the runs of one; "history", the board's, and the ratio is then to the
    mean of its sessions; None: nothing. Where the verdict is NOT_DECIDED, `reason` says why, and there is no interval:
    one within sessions is not one of the ratio.
    """

    quantity: str
    ratio: float | None
    ci: tuple[float, float] | None
    level: float
    margin: float
    verdict: str
    significant: bool | None
    beyond_margin: bool
    runs: tuple[int, int]
    more_runs: int | None
    #: In the model: `time + time^2`; `none`, where the two were not measured interleaved; `pairs`, where they
    #: alternated within each run: the ratio is then the typical one of two inferences of one input, side by side.
    drift: str
    decided_by: str | None = BY_SESSION
    reason: str | None = None

    def __repr__(self) -> str:
        ratio = f" {ratio_text(self.ratio, self.ci)}" if self.ratio is not None else ""
        interval = f" ({100 * self.level:.4g} % {ratio_interval_text(self.ci)})" if self.ci is not None else ""
        return f"<Contrast {self.quantity}{ratio}{interval}: {self.verdict}>"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "quantity"} | {
            "ci": list(self.ci) if self.ci is not None else None,
            "runs": list(self.runs),
        }
