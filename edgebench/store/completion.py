"""What belongs to a measurement but not to one of its runs, put together with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from edgebench.errors import StoreError
from edgebench.measurement import Measurement
from edgebench.reason import Reason, ReasonCode
from edgebench.store.runs import OnUnreadable


def completed(
    measurement: Measurement, find: Mapping[str, Callable[[str], Any]], on_unreadable: OnUnreadable | None
) -> Measurement:
    """Return a measurement with its parts, as far as they are stored.

    Args:
        find: for each part, by its field's name, what reads it by the measurement's id.

    Raises:
        StoreError: one can't be read; with `on_unreadable`, that is called instead and the part left out.
    """
    parts: dict[str, Any] = {}
    for name, read in find.items():
        try:
            parts[name] = read(measurement.id)
        except StoreError as error:
            if on_unreadable is None:
                raise
            on_unreadable(error)
    search = parts.get("find_qps")
    if search is not None and search.qps is None:
        doubt = Reason(ReasonCode.RATE_NOT_CONFIRMED, "no rate is confirmed yet")
        parts["reasons"] = (*measurement.reasons, doubt)
    return replace(measurement, **parts)
