"""Measurements as a table for a terminal, and as one line of text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from edgebench.analysis import cores_text, has_power
from edgebench.artifact import file_notes
from edgebench.facts import DeviceFacts
from edgebench.figures import Score
from edgebench.measurement import Measurement
from edgebench.reason import State, joined
from edgebench.reporting.caveats import caveat_lines, marked
from edgebench.reporting.figures import megabytes, rounded, with_interval
from edgebench.reporting.layout import ALWAYS, Column, ResultTable
from edgebench.reporting.overhead import cost_lines
from edgebench.reporting.provisional import PROVISIONAL_NOTE, figure_column, has_provisional_figures
from edgebench.text import counted, printable
from edgebench.variant import Variant
from edgebench.xtreme_r import TaskScore, task_scores

_OF_VARIANT = "*"
_SIZE = "size\nMB"  # of the file, whatever was measured
_NOTED_PADDING = 1.05  # times as many tokens as there are, from which on it is said
_LONG = 4000  # characters of a heading or a note
_NOT_COLD = "not known, because the board keeps the model's file in memory, or does not report it"
VALID_CELLS = {State.VALID: "yes", State.NOT_JUDGED: "not judged", State.NOT_VALID: "no"}


def measurement_table(measurements: Sequence[Measurement]) -> ResultTable:
    """Return one row per measurement; what was not measured is an empty cell.

    What all rows share (device, workload, threads, batch) is in a line above, what differs in columns of its own.
    A terminal that is too narrow hides the least important columns.
    """
    shared, differing = _circumstances(measurements)
    columns = [
        Column("variant", [variant_name(each.subject.variant) for each in measurements], names_row=True, folds=True),
        Column("format", [str(each.subject.artifact.format) for each in measurements], names_row=True),
        *differing,
        *(
            figure_column(header, measurements, cell, priority=_priority_of(header, measurements))
            if header != _SIZE
            else Column(header, [cell(each) for each in measurements], priority=_PRIORITIES[header])
            for header, cell in _figures(measurements)
        ),
        *_mlperf_column(measurements),
        *_energy_column(measurements),
        valid_column(measurements),
        *_score_columns(measurements),
    ]
    return ResultTable(columns, heading=" · ".join(shared), notes=list(_notes(measurements)))


def summary_line(measurement: Measurement) -> str:
    """Return the measurement in one line of plain text."""
    subject, latency = measurement.subject, measurement.latency_ms
    figures = [
        ("p95 {} ms", latency.p95),
        ("p99 {} ms", latency.p99),
        ("{} inputs/s", measurement.throughput_per_s),
        ("{} tokens/s", measurement.tokens_per_s),
        ("peak RSS {} MB", megabytes(measurement.memory_bytes.peak_rss)),
    ]
    said = [f"p50 {with_interval(latency.p50, latency.p50_ci)} ms"] if latency.p50 is not None else []
    said += [text.format(rounded(value)) for text, value in figures if value is not None]
    name = f"{variant_name(subject.variant)} {subject.artifact.format} on {subject.device.name}, {subject.label}"
    doubts = measurement.doubts
    state = [f"{measurement.state.upper()}: {joined(doubts)}"] if doubts else []
    return printable(f"{name}: " + ", ".join([*(said or ["nothing was measured"]), *state]), _LONG)


def valid_column(measurements: Sequence[Measurement]) -> Column:
    """Return the column of validity, in colour: green, yellow for what was not judged, red."""
    return Column(
        "valid",
        [VALID_CELLS[each.state] for each in measurements],
        text=True,
        verdict=True,
        priority=ALWAYS,
    )


def variant_name(variant: Variant) -> str:
    """Return the name as a table shows it: a reference model is never taken for a trained one."""
    return f"{variant.name} (random weights)" if variant.is_reference else variant.name


# --- what a row says --------------------------------------------------------------------------------------------


def _circumstances(measurements: Sequence[Measurement]) -> tuple[list[str], list[Column]]:
    """Return what all rows share, for the line above, and columns for what differs."""
    shared, differing = [], []
    for header, above, value in _CIRCUMSTANCES:
        values = [str(found) if (found := value(each)) is not None else "" for each in measurements]
        if len(set(values)) > 1:
            differing.append(Column(header, values, names_row=True, priority=_PRIORITIES.get(header, ALWAYS)))
        elif values and values[0] and above:
            shared.append(counted(int(values[0]), "thread") if header == "threads" else above.format(values[0]))
    return shared, differing


#: Header, how the line above says it (empty: it does not), and where it is.
_CIRCUMSTANCES: tuple[tuple[str, str, Callable[[Measurement], Any]], ...] = (
    ("device", "{}", lambda each: each.subject.device.name),
    ("workload", "{}", lambda each: each.subject.label),
    ("batch", "batch {}", lambda each: each.subject.workload.get("batch")),
    ("threads", "{}", lambda each: each.subject.workload.get("threads")),
    ("cores", "cores {}", lambda each: cores_text(each.subject.workload.get("affinity") or ())),
    ("governor", "", lambda each: each.subject.device.governor),
    ("power\nmode", "", lambda each: each.subject.device.power_mode),
    ("runtime", "{}", lambda each: _runtime(each.subject.device)),
)

#: Header and cell of every figure.
_FIGURES: tuple[tuple[str, Callable[[Measurement], str]], ...] = (
    (_SIZE, lambda each: rounded(megabytes(each.subject.artifact.bytes))),
    ("load\nms", lambda each: rounded(each.load_ms)),
    ("first\nms", lambda each: rounded(each.first_ms)),
    ("cold load\nms", lambda each: _cold(each, "load_ms")),
    ("cold first\nms", lambda each: _cold(each, "first_ms")),
    ("p50\nms", lambda each: with_interval(each.latency_ms.p50, each.latency_ms.p50_ci)),
    ("p95\nms", lambda each: rounded(each.latency_ms.p95)),
    ("p99\nms", lambda each: rounded(each.latency_ms.p99)),
    ("inputs\n/s", lambda each: rounded(each.throughput_per_s)),
    ("tokens\n/s", lambda each: rounded(each.tokens_per_s)),
    ("peak\nRSS MB", lambda each: rounded(megabytes(each.memory_bytes.peak_rss))),
    ("PSS MB", lambda each: rounded(megabytes(each.memory_bytes.peak_pss))),
)


#: What a narrow terminal hides first has the greatest number.
_PRIORITIES = {
    "p50\nms": ALWAYS,
    "geomean\nms": 1,
    "batch": 1,
    "cores": 1,
    "p95\nms": 2,
    "peak\nRSS MB": 2,
    "J\n/inf": 3,
    "runtime": 4,
    "inputs\n/s": 4,
    "power\nmode": 5,
    "governor": 5,
    _SIZE: 5,
    "p99\nms": 6,
    "load\nms": 7,
    "PSS MB": 7,
    "first\nms": 8,
    "MLPerf\nms": 9,
    "tokens\n/s": 10,
    "cold load\nms": 11,
    "cold first\nms": 12,
}
_OF_SCORES = 3
#: What a scenario is about: of its tables, these are hidden last.
_RESULTS = {"server": "p99\nms", "offline": "inputs\n/s"}


def _priority_of(header: str, measurements: Sequence[Measurement]) -> int:
    scenarios = {each.subject.workload.get("scenario") for each in measurements}
    return 1 if header in {_RESULTS.get(str(scenario)) for scenario in scenarios} else _PRIORITIES[header]


def _figures(measurements: Sequence[Measurement]) -> Iterator[tuple[str, Callable[[Measurement], str]]]:
    """Yield the figures; before the median, the mean over inputs that comparisons judge, where lengths are mixed."""
    mixed = any(len(set(run.facts.batch_tokens or ())) > 1 for each in measurements for run in each.runs)
    is_cold = any(each.cold_start is not None and each.cold_start.is_cold for each in measurements)
    for header, cell in _FIGURES:
        if header.startswith("cold") and not is_cold:
            continue
        if mixed and header.startswith("p50"):
            yield _GEOMEAN
        yield header, cell


_GEOMEAN: tuple[str, Callable[[Measurement], str]] = (
    "geomean\nms",
    lambda each: with_interval(each.latency_ms.geomean, each.latency_ms.geomean_ci),
)


def _runtime(device: DeviceFacts) -> str | None:
    """Return the runtime with its version; what runs .tflite files names itself in its version."""
    name, version = device.runtime, device.runtime_version
    if name is None or version is None:
        return None
    return version if " " in version else f"{name} {version}"


def _mlperf_column(measurements: Sequence[Measurement]) -> list[Column]:
    """Return the column of MLPerf's figure, where any row has it."""
    if all(each.mlperf is None for each in measurements):
        return []
    note = "MLPerf: the percentile that its scenario reports, by LoadGen's early stopping over the runs' queries"
    cells = [mlperf_text(each) for each in measurements]
    return [Column("MLPerf\nms", cells, priority=_PRIORITIES["MLPerf\nms"], note=note)]


def _energy_column(measurements: Sequence[Measurement]) -> list[Column]:
    """Return the column of joules, where any row has some."""
    if all(each.energy_j is None for each in measurements):
        return []
    joules = [each.energy_j.per_inference if each.energy_j is not None else None for each in measurements]
    return [Column("J\n/inf", [rounded(value) for value in joules], priority=_PRIORITIES["J\n/inf"])]


def _score_columns(measurements: Sequence[Measurement]) -> list[Column]:
    """Return a column for each task that any row has a score of."""
    rows = [_scores_of_row(each) for each in measurements]
    names = dict.fromkeys(name for row in rows for name in row)
    return [Column(name, [_score(row.get(name)) for row in rows], priority=_OF_SCORES) for name in names]


def _scores_of_row(measurement: Measurement) -> dict[str, TaskScore]:
    """Return the scores that belong to a row: of its own language, where it is about one; else the tasks' means."""
    return task_scores(_shown_scores(measurement))


def _shown_scores(measurement: Measurement) -> list[Score]:
    workload = measurement.subject.workload
    lang = workload.get("lang") or workload.get("texts_lang")
    return [score for score in measurement.scores if lang is None or score.lang == lang]


def _score(score: TaskScore | None) -> str:
    if score is None:
        return ""
    some = score.langs[0] if len(score.langs) == 1 else f"{len(score.langs)} langs"
    languages = "" if score.complete else f" ({some})"
    return marked(f"{score.value:.1f}{'' if score.of_artifact else _OF_VARIANT}{languages}", score.caveats)


def _notes(measurements: Sequence[Measurement]) -> Iterable[str]:
    """Say below the table what a cell has no room for."""
    if has_provisional_figures(measurements):
        yield PROVISIONAL_NOTE
    if any(each.latency_ms.p50_ci for each in measurements):
        yield (
            "± or low to high: the 95 % interval, from one figure of each run, within this session: another may differ "
            "more"
        )
    if any(header == _GEOMEAN[0] for header, _ in _figures(measurements)):
        yield "geomean: over inputs of mixed length, of each input's median; what comparisons judge"
    yield from _scenarios(measurements)
    yield from _cold_notes(measurements)
    yield from _of_rows("padding", measurements, _padding)
    yield from _of_rows("truncated", measurements, _truncated)
    yield from _of_rows("memory", measurements, predicted_text)
    if any(each.subject.alternates_with for each in measurements):
        yield (
            "alternating: memory and energy are not reported, because the models share one process; loading and the "
            "first inference take longer for the model that comes first"
        )
    yield from dict.fromkeys(_energy_notes(measurements))
    yield from file_notes((_row_name(each), each.subject.artifact) for each in measurements)
    yield from _of_rows("excluded", measurements, excluded_text)
    scores = [score for each in measurements for score in _scores_of_row(each).values()]
    yield from caveat_lines(
        (score.task, score.lang, score.caveats) for each in measurements for score in _shown_scores(each)
    )
    if any(not score.of_artifact for score in scores):
        yield f"{_OF_VARIANT} score of the variant, not of this very file"
    yield from cost_lines(measurements)
    for each in measurements:
        if each.doubts:
            yield f"{each.state}: {_row_name(each)}: {joined(each.doubts)}"


def _scenarios(measurements: Sequence[Measurement]) -> Iterable[str]:
    """Say what a latency is, where it is not that of one input that waits for nothing."""
    workloads = [each.subject.workload for each in measurements]
    for scenario, batch in dict.fromkeys((workload.get("scenario"), workload.get("batch")) for workload in workloads):
        match scenario:
            case "server":
                yield "server: a latency counts from the query's arrival, its waiting included"
            case "multi-stream":
                yield f"multi-stream: a latency is that of a query of {batch} inputs"
            case "offline":
                yield f"offline: inputs/s is the result; a latency is that of a batch of {batch}"


def mlperf_text(measurement: Measurement) -> str:
    """Return MLPerf's figure in words; empty where the scenario is not MLPerf's."""
    found = measurement.mlperf
    return "" if found is None else f"p{found.percentile} <= {rounded(found.at_most_ms)}"


def _of_rows(title: str, measurements: Sequence[Measurement], text_of: Callable[[Measurement], str]) -> Iterator[str]:
    """Yield each text once, with the rows that it is about; only with the title where it is about all of them."""
    rows: dict[str, list[str]] = {}
    for each in measurements:
        if text := text_of(each):
            rows.setdefault(text, []).append(_row_name(each))
    for text, names in rows.items():
        about = "" if len(names) == len(measurements) else f" {', '.join(dict.fromkeys(names))}:"
        yield f"{title}:{about} {text}"


def _padding(measurement: Measurement) -> str:
    padding = measurement.padding
    if padding is None or padding.cost < _NOTED_PADDING:
        return ""
    return (
        f"the model works on {padding.padded_tokens:.0f} tokens an inference, {padding.cost:.2f} times the "
        f"{padding.tokens:.0f} of its inputs"
        + (f"; the file takes {padding.rows} inputs at a time" if padding.rows > 1 else "")
    )


def _truncated(measurement: Measurement) -> str:
    cut = measurement.subject.truncated
    return (
        f"{cut.inputs} of {counted(cut.of, 'input')}, to {counted(cut.to_tokens, 'token')}" if cut is not None else ""
    )


def predicted_text(measurement: Measurement) -> str:
    """Say what peak of memory was predicted and how far off that was; nothing where none was predicted."""
    predicted, measured = measurement.subject.prediction, measurement.memory_bytes.peak_rss
    if predicted is None:
        return ""
    text = f"predicted peak {predicted.peak_rss_bytes / 1e6:.0f} MB"
    error = measurement.peak_rss_error
    if measured is None or error is None:
        return text
    return f"{text}, measured {measured / 1e6:.0f} MB ({100 * error:+.1f} %)"


def _cold(measurement: Measurement, figure: str) -> str:
    """Return a figure of the start with the model's file out of memory; empty where there was no such start."""
    started = measurement.cold_start
    return rounded(started.to_json()[figure]) if started is not None and started.is_cold else ""


def _cold_notes(measurements: Sequence[Measurement]) -> Iterator[str]:
    started = [each.cold_start for each in measurements]
    if any(each is not None and each.is_cold for each in started):
        yield "load, first: of a warm start, with the model's file in memory; cold: of one start with the file on disk"
    elif any(each is not None for each in started):
        yield "load, first: of a warm start, with the model's file in memory"
    yield from _of_rows("cold", measurements, _why_not_cold)


def _why_not_cold(measurement: Measurement) -> str:
    started = measurement.cold_start
    return _NOT_COLD if started is not None and not started.is_cold else ""


def _row_name(measurement: Measurement) -> str:
    subject = measurement.subject
    return f"{variant_name(subject.variant)} {subject.artifact.format} {subject.label}"


def excluded_text(measurement: Measurement) -> str:
    """Say how many inferences of the valid runs are excluded; nothing where none is."""
    valid = [run for run in measurement.runs if run.valid]
    gone, count = sum(int(run.is_excluded.sum()) for run in valid), sum(len(run.latencies_ns) for run in valid)
    if not gone:
        return ""
    runs = sum(bool(run.excluded_spans) for run in valid)
    return (
        f"{gone} of {count} inferences do not count, because other processes worked meanwhile "
        f"(in {counted(runs, 'run')})"
    )


def _energy_notes(measurements: Sequence[Measurement]) -> Iterator[str]:
    """Yield what the joules are of, and why there are none though power was read."""
    for each in measurements:
        energy = each.energy_j
        if energy is not None:
            idle = "" if energy.idle_w is None else f"; idle it takes {energy.idle_w:.3g} W, which are in it"
            unknown = "" if energy.averaging_s is not None else "; over what time its sensor averages is not known"
            yield f"J/inf: {energy.covers} ({', '.join(energy.rails)}){idle}{unknown}"
        elif each.energy_absent is not None and any(has_power(run) for run in each.runs if run.valid):
            yield f"J/inf: {each.energy_absent}"
