"""The operators of a measurement as tables: the slowest, by type, by layer, and what fell back to the CPU."""

from __future__ import annotations

from collections.abc import Iterator

from edgebench.measurement import Measurement
from edgebench.operators import OperatorProfile
from edgebench.reporting.figures import rounded
from edgebench.reporting.layout import PlainTable
from edgebench.reporting.table import variant_name
from edgebench.text import counted

_TOP = 10
_FALLEN = 8


def operator_tables(measurement: Measurement) -> Iterator[PlainTable | str]:
    """Yield what to print of a measurement's operators; nothing where they were not profiled."""
    profile = measurement.operators
    if profile is None:
        return
    subject = measurement.subject
    yield ""
    within, total = rounded(profile.ms(profile.total_ns)), rounded(profile.ms(profile.wall_ns))
    yield (
        f"operators: {variant_name(subject.variant)} {subject.artifact.format} · {subject.label}: {within} ms an "
        f"inference in operators, of {total} ms with the profiler on; "
        f"{counted(profile.inferences, 'inference')} that don't count"
    )
    yield from _fallback(profile)
    slowest = PlainTable(
        *("operator", "type", "runs on", "ms", "share"), figures=("ms", "share"), hide_first=("type", "runs on")
    )
    for operator in profile.operators[:_TOP]:
        where = operator.name.removesuffix(f"/{operator.type}")
        cells = (where, operator.type, operator.provider.removesuffix("ExecutionProvider"))
        slowest.add_row(*cells, *_cells(profile, operator.total_ns))
    yield slowest
    for title, group in (("type", profile.by_type()), ("layer", profile.by_layer())):
        table = PlainTable(title, "ms", "share", figures=("ms", "share"))
        for name, total_ns in group:
            table.add_row(name or "(unnamed)", *_cells(profile, total_ns))
        yield ""
        yield table


def _fallback(profile: OperatorProfile) -> Iterator[str]:
    fallen = profile.fallen_back()
    if fallen:
        share = profile.share(sum(operator.total_ns for operator in fallen))
        names = ", ".join(operator.name for operator in fallen[:_FALLEN]) + (" ..." if len(fallen) > _FALLEN else "")
        yield f"{counted(len(fallen), 'operator')} ran on the CPU, {100 * share:.1f} % of the time: {names}"


def _cells(profile: OperatorProfile, total_ns: int) -> tuple[str, str]:
    return rounded(profile.ms(total_ns)), f"{100 * profile.share(total_ns):.1f} %"
