"""Lookup: which stored measurements two names stand for, to be compared."""

from __future__ import annotations

from edgebench.analysis import row_key
from edgebench.artifact import Format
from edgebench.errors import ConfigError
from edgebench.measurement import Measurement
from edgebench.store.store import Store


def find_pairs(store: Store, baseline: str, candidate: str) -> list[tuple[Measurement, Measurement]]:
    """Return the (baseline, candidate) pairs that two names stand for.

    A name is a measurement's id, or how one begins, or a variant's name, also with a format: `xnli-multi`,
    `xnli-multi:onnx-int8`. Two variants are paired in the latest session that has both: same device, workload, threads
    and batch, and the same format unless the names say formats.

    Raises:
        UnknownName, UsageError: as `Store.measurement`.
        ConfigError: no session has both, they have no row in common, or are the same measurement.
    """
    sides = [_named(store, name) for name in (baseline, candidate)]
    if all(len(side) == 1 for side in sides):
        if sides[0][0].id == sides[1][0].id:
            raise ConfigError(f"{baseline} and {candidate} are one and the same measurement")
        return [(sides[0][0], sides[1][0])]
    sessions = [{each.subject.session for each in side} for side in sides]
    if not sessions[0] & sessions[1]:
        raise ConfigError(
            f"no session has both {baseline} and {candidate}",
            hint="measure them in one session, or name two measurements by their ids; see: edgebench runs list",
        )
    session = max(sessions[0] & sessions[1])
    # Names say formats where all that they stand for has one.
    formats_differ = any(name.endswith(f":{format}") for name in (baseline, candidate) for format in Format)
    rows = [
        {row_key(each, formats_differ=formats_differ): each for each in side if each.subject.session == session}
        for side in sides
    ]
    pairs = [(one, rows[1][key]) for key, one in rows[0].items() if key in rows[1] and rows[1][key].id != one.id]
    if not pairs:
        raise ConfigError(f"{baseline} and {candidate} have no workload in common in session {session}")
    return pairs


def _named(store: Store, name: str) -> list[Measurement]:
    variant, _, format = name.rpartition(":")
    # A name may have a colon of its own: `reference:tiny`.
    return (
        store.measurements(variant=name)
        or store.measurements(variant=variant, format=format)
        or [store.measurement(name)]
    )
