"""export_results(): measurements as a document of another tool, or as runs of a tracking server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgebench.errors import UnknownName, UsageError
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.measure import scores_for
from edgebench.measurement import Measurement
from edgebench.reporting.exchange.bencher import bencher_document
from edgebench.reporting.exchange.entries import Chosen, Entry, entry_of
from edgebench.reporting.exchange.figures import Better
from edgebench.reporting.exchange.github_benchmark import github_benchmark_document
from edgebench.reporting.exchange.mlflow_runs import open_tracking
from edgebench.reporting.exchange.model_index import model_index_text
from edgebench.reporting.exchange.openmetrics import openmetrics_text
from edgebench.reporting.exchange.perfetto import PerfettoTrace, has_events
from edgebench.reporting.exchange.writing import written_at_once
from edgebench.store import Store, stored_scores

#: What `export_results` writes.
EXCHANGE_FORMATS = ("perfetto", "bmf", "github-action-benchmark", "openmetrics", "mlflow", "model-index")
DEFAULT_EXPERIMENT = "edgebench"
_TABLES = ("csv", "parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedResults:
    """What became of an export.

    `measurements`: how many are in it. `notes`: a line for each that was left out, or written in part, and why.
    `text`: the document; None where it went to `out` alone (Perfetto) or to a server.
    """

    measurements: int
    notes: tuple[str, ...]
    text: str | None


def export_results(
    measurements: Iterable[Measurement],
    *,
    to: str,
    out: str | Path | None = None,
    store: Store | str | Path | None = None,
    better: str = "smaller",
    tracking_uri: str | None = None,
    experiment: str = DEFAULT_EXPERIMENT,
) -> ExportedResults:
    """Write measurements in a format that another tool reads.

    A figure that was not measured is left out. Measurements that are not valid, or too short to be judged, are in no
    document of figures; OpenMetrics says of them that they are not valid, MLflow has them with their state, and a
    Perfetto trace has them marked.

    Args:
        measurements: they are read once, one after the other: `Store.each_measurement` gives any number of them.
        to: perfetto, bmf (Bencher), github-action-benchmark, openmetrics, mlflow or model-index (the front matter of
            a Hugging Face model card). Tables of every inference are written by `Store.export`.
        out: the file; what was there is replaced. None: none is written. Perfetto needs one, MLflow takes none.
        store: where evaluations are kept, whose scores are added; None: those that the measurements have themselves.
        better: github-action-benchmark: the figures of which `smaller` or `bigger` values are better.
        tracking_uri: MLflow: a server's URL or a folder; None: $MLFLOW_TRACKING_URI.
        experiment: MLflow: the experiment's name; it is made if there is none.

    Raises:
        UsageError: there is no measurement, none has a trace (Perfetto), they are of several variants (model-index), or
            an argument is not what it should be.
        NotValid: no measurement is valid.
        MissingExtra: the extra `mlflow` is not installed.
        StoreError: the file can't be written, or the store not read.
        EdgebenchError: the tracking server refuses, or does not answer.
    """
    _check(to, out, better)
    scored = _Scored(store)
    if to == "perfetto":
        return _export_trace(_nonempty(measurements), Path(str(out)))
    if to == "mlflow":
        return _export_runs(_nonempty(measurements), scored, tracking_uri, experiment)
    text, chosen = _builder(to, better)(list(map(scored.entry, _nonempty(measurements))))
    if out is not None:
        with written_at_once(Path(out)) as file:
            file.write(text.encode())
    return ExportedResults(measurements=len(chosen.entries), notes=tuple(chosen.left_out), text=text)


def _check(to: str, out: str | Path | None, better: str) -> None:
    if to in _TABLES:
        raise UsageError(f"{to} is a table of every inference, which `Store.export` writes")
    if to not in EXCHANGE_FORMATS:
        raise UnknownName("format of an export", to, EXCHANGE_FORMATS)
    if better not in set(Better):
        raise UnknownName("value of better", better, list(Better))
    if to == "perfetto" and out is None:
        raise UsageError("a Perfetto trace is no text", hint="name a file: `out='runs.pftrace'`")
    if to == "mlflow" and out is not None:
        raise UsageError("an export to MLflow writes no file; leave `out` out")


def _nonempty(measurements: Iterable[Measurement]) -> Iterator[Measurement]:
    is_empty = True
    for each in measurements:
        is_empty = False
        yield each
    if is_empty:
        raise UsageError("there is no measurement to export")


def _builder(to: str, better: str) -> Callable[[Iterable[Entry]], tuple[str, Chosen]]:
    builders: dict[str, Callable[[Iterable[Entry]], tuple[str, Chosen]]] = {
        "bmf": bencher_document,
        "github-action-benchmark": partial(github_benchmark_document, better=Better(better)),
        "openmetrics": openmetrics_text,
        "model-index": model_index_text,
    }
    return builders[to]


class _Scored:
    """Finds the scores of measurements in a store, whose evaluations it reads once."""

    def __init__(self, store: Store | str | Path | None) -> None:
        self._store = Store(store) if isinstance(store, str | Path) else store
        self._evaluations: dict[str, list[LanguageEvaluation]] | None = None

    def entry(self, measurement: Measurement) -> Entry:
        """Return what exports take of a measurement."""
        if self._store is None:
            return entry_of(measurement, ())
        if self._evaluations is None:
            self._evaluations = defaultdict(list)
            for each in self._store.evaluations():
                self._evaluations[each.scores[0].artifact_sha256].append(each)
        found = self._evaluations.get(measurement.subject.artifact.sha256, [])
        rows, _ = stored_scores(self._store, [measurement], evaluations=found)
        return entry_of(measurement, scores_for(measurement.subject, rows))


def _export_trace(measurements: Iterator[Measurement], out: Path) -> ExportedResults:
    trace = PerfettoTrace()
    exported = 0
    without: list[str] = []
    with written_at_once(out) as file:
        file.write(trace.begin())
        for each in measurements:
            if not any(map(has_events, each.runs)):
                without.append(each.id)
                continue
            exported += 1
            for packet in trace.measurement(each):
                file.write(packet)
        if not exported:
            raise UsageError(f"nothing to export: {', '.join(without[:3])} has no trace of its runs")
    notes = tuple(f"{id} has no trace of its runs" for id in without)
    return ExportedResults(measurements=exported, notes=notes, text=None)


def _export_runs(
    measurements: Iterator[Measurement], scored: _Scored, uri: str | None, experiment: str
) -> ExportedResults:
    tracking = open_tracking(uri, experiment)
    notes: list[str] = []
    exported = 0
    for each in measurements:
        entry = scored.entry(each)
        outcome = tracking.export(each, entry)
        exported += outcome != "unchanged"
        if outcome == "unchanged":
            notes.append(f"{each.id} is there already")
        elif entry.doubts:
            notes.append(f"{each.id} is {entry.state}: {entry.doubts}; its run has that as tags")
    return ExportedResults(measurements=exported, notes=tuple(notes), text=None)
