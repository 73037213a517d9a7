"""What boards tell of themselves, taken as what it is: small plain facts, none of which does anything to a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgebench.text import printable
from edgebench_agent import protocol

_MOST_SENSORS, _MOST_VALUES = 64, 256


def plain_facts(value: Any, depth: int = 4) -> Any:
    """Return facts from a board, strings so that they do nothing to a terminal; what is no small plain fact is None."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) <= protocol.MAX_INT):
        return value
    if isinstance(value, str):
        return sanitize_tail(value, 4096)
    if isinstance(value, list) and depth and len(value) <= protocol.MAX_ITEMS:
        return [plain_facts(entry, depth - 1) for entry in value]
    if isinstance(value, dict) and depth and len(value) <= protocol.MAX_ITEMS:
        return {sanitize_tail(name, 256): plain_facts(entry, depth - 1) for name, entry in value.items()}
    return None


def sanitize_tail(said: Any, limit: int = 500) -> str:
    """Return the last words of something from a board, as one line that does nothing to a terminal."""
    text = said.decode("utf-8", "replace") if isinstance(said, (bytes, bytearray)) else str(said)
    line = printable(text[-4 * limit :], limit=4 * limit)
    return line if len(line) <= limit else "..." + line[-limit:]


def is_path(value: Any) -> bool:
    """Whether a board names a place in its file system."""
    return type(value) is str and value.startswith("/") and len(value) < 4096 and value.isprintable()


def busy_processes(reply: Mapping[str, Any]) -> list[tuple[str, int]] | None:
    """Return what keeps a board busy, from its answer to `probe`: (name, thousandths of a core), the busiest first.

    None where the board can't tell.
    """
    listed = reply.get("busiest")
    if type(listed) is not list:
        return None
    entries = [entry for entry in listed[:10] if type(entry) is dict]
    found = [(sanitize_tail(entry.get("name"), 40), entry.get("cpu_millicores")) for entry in entries]
    return [(name, millicores) for name, millicores in found if type(millicores) is int]


def sensors_of(reply: Mapping[str, Any]) -> dict[str, tuple[int, dict[str, int | None]]] | None:
    """Return what a board's sensors say, from its answer to `probe`: name -> (read every so many ms, values).

    None where the board can't tell; what is no sensor is left out.
    """
    told = reply.get("sensors")
    if type(told) is not dict:
        return None
    found = {}
    for name, sensor in list(told.items())[:_MOST_SENSORS]:
        values = sensor.get("values") if type(sensor) is dict else None
        if type(values) is dict and type(sensor.get("every_ms")) is int:
            found[sanitize_tail(name, 40)] = (
                sensor["every_ms"],
                {
                    sanitize_tail(key, 200): value
                    for key, value in list(values.items())[:_MOST_VALUES]
                    if value is None or type(value) is int
                },
            )
    return found
