"""How a server's highest rate was found: the answer in a line, and what was probed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import RenderableType

from edgebench.measurement import Measurement
from edgebench.reporting.figures import rounded
from edgebench.reporting.layout import Column, ResultTable
from edgebench.reporting.table import variant_name
from edgebench.stats import Probe, RateSearch
from edgebench.text import counted, printable


def search_tables(measurement: Measurement) -> Iterator[RenderableType]:
    """Yield the probes and what they amount to; nothing where no rate was searched."""
    search = measurement.find_qps
    if search is None:
        return
    subject = measurement.subject
    probes = sorted(search.probes, key=lambda probe: probe.queries_per_s)
    heading = f"{variant_name(subject.variant)} {subject.artifact.format} · searching queries/s with p99 <= "
    yield ""
    yield ResultTable(
        [
            Column(
                header,
                [cell(probe) for probe in probes],
                text=header in ("measured in", "holds", "not valid"),
                verdict=header == "holds",
                priority=_PRIORITIES.get(header),
            )
            for header, cell in _COLUMNS
            if header != "not valid" or any(probe.reasons for probe in probes)
        ],
        heading=f"{heading}{search.latency_bound_ms:g} ms",
        notes=[answer(search)],
    )


def answer(search: RateSearch) -> str:
    """Return in words what the search has found so far."""
    bound = f"p99 within {search.latency_bound_ms:g} ms of a query's arrival"
    if search.qps is None:
        low, high = search.bracket
        held = "no rate held in a probe" if low is None else f"{rounded(low)}/s held in a probe"
        lower = f", {rounded(high)}/s did not" if any(not each.holds for each in search.probes) else ""
        why = ", because the budget ended" if search.out_of_time else ""
        return f"no rate is confirmed that keeps {bound}{why}; {held}{lower}"
    found = next(probe for probe in search.probes if probe.runs and probe.holds)
    return (
        f"highest rate confirmed with {bound}: {rounded(found.queries_per_s)}/s; confirmed at 99 % confidence by "
        f"{counted(found.runs, 'run')}, in which {found.over_bound} of {counted(found.queries, 'query')} took longer"
    )


#: The least important columns; a narrow terminal hides the one with the greatest number first.
_PRIORITIES = {"not valid": 9, "queries": 8, "server\nbusy": 7, "measured in": 6}
#: Header and cell.
_COLUMNS: tuple[tuple[str, Callable[[Probe], str]], ...] = (
    ("queries\n/s", lambda probe: rounded(probe.queries_per_s)),
    ("measured in", lambda probe: counted(probe.runs, "run") if probe.runs else "a probe"),
    ("queries", lambda probe: str(probe.queries)),
    ("over\nbound", lambda probe: str(probe.over_bound)),
    ("p99\nms", lambda probe: rounded(probe.p99_ms)),
    ("server\nbusy", lambda probe: f"{100 * probe.utilisation:.0f} %" if probe.utilisation is not None else ""),
    ("holds", lambda probe: "yes" if probe.holds else "no"),
    ("not valid", lambda probe: printable("; ".join(probe.reasons))),
)
