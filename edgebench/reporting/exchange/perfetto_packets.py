"""Packets of a Perfetto trace, in protobuf's wire format: the few messages that a trace of runs needs.

Field numbers are those of perfetto's trace_packet.proto, track_event.proto and track_descriptor.proto.
"""

from __future__ import annotations

from collections.abc import Mapping

_MONOTONIC = 3  # BuiltinClock
_SEQUENCE = 1  # one writer
_BEGIN, _END, _COUNTER = 1, 2, 4  # TrackEvent.Type

Argument = int | str | bool


def clock_packet() -> bytes:
    """Return the packet that says that all times are of the board's monotonic clock, and need no conversion."""
    monotonic = _number(1, _MONOTONIC) + _number(2, 0)
    return _packet(_message(6, _message(1, monotonic) + _number(2, _MONOTONIC)))


def process_packet(track: int, *, pid: int, name: str, labels: Mapping[str, str]) -> bytes:
    """Return the descriptor of a process. labels: shown beside its name."""
    process = _number(1, pid) + _text(6, name) + b"".join(_text(8, f"{key}: {text}") for key, text in labels.items())
    return _packet(_message(60, _number(1, track) + _message(3, process)))


def track_packet(track: int, *, parent: int, name: str) -> bytes:
    """Return the descriptor of a track of slices below a process."""
    return _packet(_message(60, _number(1, track) + _text(2, name) + _number(5, parent)))


def counter_packet(track: int, *, parent: int, name: str, unit: str) -> bytes:
    """Return the descriptor of a counter below a process."""
    counter = _text(6, unit) if unit else b""
    return _packet(_message(60, _number(1, track) + _text(2, name) + _number(5, parent) + _message(8, counter)))


def slice_packets(
    track: int, *, begin_ns: int, end_ns: int, name: str, category: str, arguments: Mapping[str, Argument]
) -> bytes:
    """Return the beginning and the end of a slice."""
    annotations = b"".join(_message(4, _annotation(key, value)) for key, value in arguments.items())
    begin = _number(9, _BEGIN) + _number(11, track) + _text(22, category) + _text(23, name) + annotations
    return _event(begin_ns, begin) + _event(end_ns, _number(9, _END) + _number(11, track))


def value_packet(track: int, *, at_ns: int, value: int) -> bytes:
    """Return one reading of a counter."""
    return _event(at_ns, _number(9, _COUNTER) + _number(11, track) + _number(30, value))


def _event(at_ns: int, event: bytes) -> bytes:
    return _packet(_number(8, at_ns) + _message(11, event))


def _packet(fields: bytes) -> bytes:
    return _message(1, fields + _number(10, _SEQUENCE))


def _annotation(name: str, value: Argument) -> bytes:
    if isinstance(value, bool):
        return _text(10, name) + _number(2, int(value))
    return _text(10, name) + (_number(4, value) if isinstance(value, int) else _text(6, value))


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode("utf-8", "replace"))


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
