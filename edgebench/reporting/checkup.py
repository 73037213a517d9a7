"""The rows of `device check` that report words: what edgebench itself costs on a board."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgebench.reporting.overhead import cost_text, sensors_text

if TYPE_CHECKING:
    from edgebench.provision import Checkup, Finding


def overhead_findings(checkup: Checkup) -> Iterator[Finding]:
    """Yield the rows about what edgebench itself costs on a board that was checked, or why that is not known."""
    from edgebench.provision import Finding  # only here: a report of a measurement needs no board

    overhead, problems = checkup.overhead_us, "; ".join(checkup.overhead_problems)
    if overhead is not None:
        yield Finding("own cost", cost_text(overhead))
        yield Finding("sensors", sensors_text(overhead) or problems)
    elif problems:
        yield Finding("own cost", problems)
