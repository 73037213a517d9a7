"""What a store holds, as a list; and everything about one measurement."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgebench.figures import PaddingCost
from edgebench.measurement import Measurement
from edgebench.reason import joined
from edgebench.reporting.caveats import marked
from edgebench.reporting.figures import megabytes, rounded, with_interval
from edgebench.reporting.layout import ALWAYS, Column, ResultTable
from edgebench.reporting.run_table import run_table
from edgebench.reporting.table import (
    VALID_CELLS,
    excluded_text,
    measurement_table,
    mlperf_text,
    predicted_text,
    variant_name,
)
from edgebench.run import Run
from edgebench.store import ListedMeasurement
from edgebench.text import printable


def list_of_measurements(measurements: Sequence[Measurement]) -> ResultTable:
    """Return one row per measurement: enough to choose one."""
    columns = [
        Column(
            header,
            [cell(each) for each in measurements],
            names_row=header == "id",
            text=header in _WORDS,
            folds=header == "variant",
            verdict=header == "valid",
            priority=_PRIORITIES.get(header, ALWAYS),
        )
        for header, cell in _LISTED
    ]
    if any(each.tags for each in measurements):
        columns.append(Column("tags", [", ".join(each.tags) for each in measurements], text=True, priority=1))
    return ResultTable(columns)


def list_of_lines(lines: Sequence[ListedMeasurement]) -> ResultTable:
    """Return the same table, from what the index of a store in a bucket has of each measurement."""
    columns = [
        Column(
            header,
            [cell(each) for each in lines],
            names_row=header == "id",
            text=header in _WORDS,
            folds=header == "variant",
            verdict=header == "valid",
            priority=_PRIORITIES.get(header, ALWAYS),
        )
        for header, cell in _LINES
    ]
    if any(each.tags for each in lines):
        columns.append(Column("tags", [", ".join(each.tags) for each in lines], text=True, priority=1))
    return ResultTable(columns)


def details_of(measurement: Measurement) -> RenderableType:
    """Return everything about one measurement: its figures, intervals, runs, and what it was measured on."""
    return Group(
        measurement_table([measurement]),
        "",
        run_table(measurement),
        "",
        _pairs(_facts(measurement)),
    )


_LONG = 10_000  # characters of a fact

#: Columns whose cells are words.
_WORDS = ("variant", "format", "device", "workload", "started at", "valid")

#: Header and cell.
_PRIORITIES = {"threads": 6, "runs": 5, "device": 4, "p50\nms": 3, "valid": 2, "workload": 1, "format": 1}
_LISTED: tuple[tuple[str, Callable[[Measurement], str]], ...] = (
    ("id", lambda each: each.id),
    ("variant", lambda each: variant_name(each.subject.variant)),
    ("format", lambda each: str(each.subject.artifact.format)),
    ("device", lambda each: each.subject.device.name or ""),
    ("workload", lambda each: each.subject.label),
    ("threads", lambda each: str(each.subject.workload.get("threads") or "")),
    ("runs", lambda each: _runs_text(sum(run.valid for run in each.runs), each.subject.planned_runs)),
    ("p50\nms", lambda each: with_interval(each.latency_ms.p50, each.latency_ms.p50_ci)),
    ("valid", lambda each: VALID_CELLS[each.state]),
)

#: The same, of a line of an index.
_LINES: tuple[tuple[str, Callable[[ListedMeasurement], str]], ...] = (
    ("id", lambda each: each.id),
    ("variant", lambda each: f"{each.variant} (random weights)" if each.is_reference else each.variant),
    ("format", lambda each: each.format),
    ("device", lambda each: each.device),
    ("workload", lambda each: each.workload),
    ("threads", lambda each: str(each.threads or "")),
    ("runs", lambda each: _runs_text(each.valid_runs, each.planned_runs)),
    ("p50\nms", lambda each: with_interval(each.p50_ms, each.p50_ci)),
    ("valid", lambda each: VALID_CELLS[each.state]),
)

#: Facts of a run that have a row of their own, or that only figures are worked out with.
_NOT_SHOWN = (
    *("board", "cool_down", "outputs", "log", "journal_on"),
    *("batch_tokens", "batch_padded_tokens", "batch_sizes", "lengths"),
)


def _facts(measurement: Measurement) -> Iterator[tuple[str, Any]]:
    """Yield what stands behind the figures, name and value; what is not known is left out by the caller."""
    subject, latency, memory = measurement.subject, measurement.latency_ms, measurement.memory_bytes
    yield "id", measurement.id
    yield "tags", ", ".join(measurement.tags)
    yield "extends", subject.extends or ""
    yield from ((f"not valid: {run.id}", joined(run.reasons)) for run in measurement.runs)
    yield from ((f"log: {run.id}", "; ".join(run.facts.log or ())) for run in measurement.runs)
    if any(run.facts.journal_on == "tmpfs" for run in measurement.runs):
        yield (
            "journal",
            "in the board's memory until a run's end: a reboot loses it; `--journal disk` keeps it on the disk",
        )
    yield "excluded", excluded_text(measurement)
    yield from ((f"cool-down: {run.id}", _cool_down_text(run)) for run in measurement.runs)
    for name in ("geomean", "p50", "p90", "p95", "p99"):
        yield f"{name} ms", _in_full(getattr(latency, name), getattr(latency, f"{name}_ci"))
    yield "MLPerf ms", _mlperf(measurement)
    yield "min, mean, max ms", _joined([rounded(value) for value in (latency.min, latency.mean, latency.max)])
    yield (
        "RSS MB",
        ", ".join(
            f"{when} {rounded(megabytes(value))}"
            for when, value in (("before load", memory.before_load), ("after load", memory.after_load))
            if value is not None
        ),
    )
    yield "memory", predicted_text(measurement)
    yield "PSS", "the highest at the borders of phases: what loading needs for a moment shows in peak RSS only"
    yield "temperature °C", measurement.temperature_c
    yield "padding", _padding_text(measurement.padding)
    if (cut := subject.truncated) is not None:
        yield "truncated", f"{cut.inputs} of {cut.of} inputs, to {cut.to_tokens} tokens"
    yield "covers", measurement.covers
    yield "source", subject.variant.source
    yield "artifact", f"{subject.artifact.sha256} in {subject.artifact.path}"
    plain = subject.artifact.to_json()
    yield "trimming", str(subject.artifact.trimming or "")
    yield "parity", plain["parity"]
    if (quality := subject.artifact.quality) is not None:
        yield "quality floor", str(quality)
        yield from (("kept", line) for line in quality.lines())
    yield from (("parity elsewhere", parity) for parity in plain["parity_elsewhere"])
    yield from ((f"refused by {runtime}", reason) for runtime, reason in plain["refused_by"].items())
    yield from (("workload " + name, value) for name, value in subject.workload.items())
    yield from (("device " + name, value) for name, value in subject.device.to_json().items())
    facts = measurement.runs[0].facts.to_json() if measurement.runs else {}
    yield from (("run " + name, value) for name, value in facts.items() if name not in _NOT_SHOWN)
    for score in measurement.scores:
        whose = "" if score.artifact_sha256 else " (of the variant)"
        figure = marked(f"{score.metric} {score.value:.1f}{whose}", score.caveats)
        yield f"{score.task} {score.lang}", " ".join((figure, *score.caveats))


def _joined(texts: Sequence[str]) -> str:
    """Return figures as one text; nothing where none was measured."""
    return ", ".join(text or "-" for text in texts) if any(texts) else ""


def _runs_text(valid: int, planned: int) -> str:
    """Return how many runs count, of how many that were planned; of a session that went on, only how many count."""
    return f"{valid} of {planned}" if valid <= planned else str(valid)


def _cool_down_text(run: Run) -> str:
    cooled = run.facts.cool_down
    if cooled is None:
        return ""
    started, target = cooled.started_mc / 1000, cooled.target_mc / 1000
    return f"began at {started:.1f} °C after {cooled.waited_ms / 1000:.0f} s of waiting for {target:.1f} °C"


def _mlperf(measurement: Measurement) -> str:
    found = measurement.mlperf
    return "" if found is None else f"{mlperf_text(measurement)} (LoadGen's early stopping, {found.queries} queries)"


def _pairs(pairs: Iterator[tuple[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if text not in ("", "null", "[]", "{}"):
            table.add_row(Text(printable(name)), Text(printable(text, _LONG)))
    return table


def _padding_text(padding: PaddingCost | None) -> str:
    if padding is None:
        return ""
    to = f" (to {', '.join(map(str, padding.buckets))})" if padding.buckets else ""
    padded = f"{padding.padded_tokens:.1f}{to}, {padding.cost:.2f} times as many"
    rows = f"; the file takes {padding.rows} inputs at a time" if padding.rows > 1 else ""
    return f"{padding.tokens:.1f} tokens an inference padded to {padded}{rows}"


def _in_full(value: float | None, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return rounded(value)
    return f"{with_interval(value, interval)} (95 %, by runs)"
