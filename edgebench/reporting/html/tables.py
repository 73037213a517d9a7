"""The tables of a report: what the terminal shows, as plain rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgebench.analysis import NOT_JUDGED, Contrast, PairedComparison, ScoreContrast
from edgebench.measurement import Measurement
from edgebench.reporting.caveats import marked
from edgebench.reporting.comparison import score_verdict
from edgebench.reporting.figures import megabytes, rounded, with_interval
from edgebench.reporting.html.page import TableBlock
from edgebench.reporting.html.results import Group
from edgebench.reporting.table import VALID_CELLS
from edgebench.text import ratio_interval_text, ratio_text

_FIGURES = (
    "size MB", "load ms", "first ms", "p50 ms", "p95 ms", "p99 ms", "inputs/s", "tokens/s", "peak RSS MB", "PSS MB",
    "J/inf",
)  # fmt: skip


def measurements_table(group: Group) -> TableBlock:
    """Return a row per measurement of a group; figures that no row has are left out."""
    rows = [
        (group.name(each), *_cells(each), f"{sum(run.valid for run in each.runs)} of {each.subject.planned_runs}",
         VALID_CELLS[each.state])
        for each in group.measurements
    ]  # fmt: skip
    return without_empty(
        TableBlock(
            headers=("variant and format", *_FIGURES, "valid runs", "valid"),
            rows=tuple(rows),
            caption="± or low to high: the 95 % interval, from one figure of each run, within this session: another "
            "session may differ more. An empty cell was not measured.",
            verdict="valid",
            numbers=_FIGURES,
        )
    )


def _cells(each: Measurement) -> tuple[str, ...]:
    latency = each.latency_ms
    return (
        rounded(megabytes(each.subject.artifact.bytes)),
        rounded(each.load_ms),
        rounded(each.first_ms),
        with_interval(latency.p50, latency.p50_ci),
        rounded(latency.p95),
        rounded(latency.p99),
        rounded(each.throughput_per_s),
        rounded(each.tokens_per_s),
        rounded(megabytes(each.memory_bytes.peak_rss)),
        rounded(megabytes(each.memory_bytes.peak_pss)),
        rounded(each.energy_j.per_inference if each.energy_j is not None else None),
    )


def without_empty(table: TableBlock) -> TableBlock:
    """Return the table without columns that are empty in all rows."""
    kept = [at for at in range(len(table.headers)) if any(row[at] for row in table.rows)]
    return TableBlock(
        headers=tuple(table.headers[at] for at in kept),
        rows=tuple(tuple(row[at] for at in kept) for row in table.rows),
        caption=table.caption,
        verdict=table.verdict,
        numbers=table.numbers,
    )


_QUANTITIES = ("latency", "p95", "p99", "throughput", "memory", "energy")


def contrasts_of(comparison: PairedComparison) -> list[Contrast]:
    """Return what is said of each quantity that was measured on both sides."""
    found = (getattr(comparison.comparison, name) for name in _QUANTITIES)
    return [contrast for contrast in found if contrast is not None]


def comparison_name(each: PairedComparison) -> str:
    """Return which two measurements are compared."""
    one, other = each.comparison.baseline.subject, each.comparison.candidate.subject
    return f"{other.variant_and_format} / {one.variant_and_format}"


def comparisons_table(comparisons: Sequence[PairedComparison]) -> TableBlock:
    """Return a row per comparison and quantity."""
    rows = []
    for each in comparisons:
        subject = each.comparison.candidate.subject
        for contrast in contrasts_of(each):
            said = contrast.verdict if contrast.verdict != NOT_JUDGED else "described, not judged"
            low_high = ratio_interval_text(contrast.ci) if contrast.ci is not None else ""
            rows.append(
                (
                    comparison_name(each),
                    f"{subject.device.name}, {subject.label}",
                    contrast.quantity,
                    ratio_text(contrast.ratio, contrast.ci) if contrast.ratio is not None else "",
                    low_high,
                    f"{100 * contrast.level:.4g} %" if contrast.ci is not None else "",
                    said + (f": {contrast.reason}" if contrast.reason else ""),
                )
            )
    return TableBlock(
        headers=("candidate / baseline", "board and workload", "quantity", "ratio", "interval", "level", "verdict"),
        rows=tuple(rows),
        caption="The ratio of the candidate to the baseline, from one figure of each run: below 1 the candidate takes "
        "less. Latency is the geometric mean over inputs of each input's median.",
        verdict="verdict",
        numbers=("ratio", "interval", "level"),
    )


def score_contrasts_table(scores: Iterable[tuple[str, ScoreContrast]]) -> TableBlock:
    """Return a row per comparison, task and language, the greatest loss first."""
    rows = [
        (
            name,
            each.task,
            each.lang,
            f"{each.baseline:.1f}",
            f"{each.candidate:.1f}",
            marked(f"{each.difference:+.2f}", each.caveats),
            f"{each.ci[0]:+.2f} to {each.ci[1]:+.2f}" if each.ci else each.without_interval or "",
            score_verdict(each),
        )
        for name, each in sorted(scores, key=lambda named: named[1].difference)
    ]
    return TableBlock(
        headers=("candidate / baseline", "task", "lang", "baseline", "candidate", "points", "interval", "verdict"),
        rows=tuple(rows),
        caption="Points: the candidate's score less the baseline's, the greatest loss first. A figure with ! has a "
        "caveat: edgebench compare shows it.",
        verdict="verdict",
        numbers=("baseline", "candidate", "points", "interval"),
    )


def scores_table(measurements: Sequence[Measurement]) -> TableBlock | None:
    """Return a row per file, task, language and metric that a measurement has a score of; None without scores."""
    rows = {
        (subject.variant_and_format, score.task, score.lang, score.metric): (
            subject.variant_and_format,
            score.task,
            score.lang,
            score.metric,
            marked(f"{score.value:.1f}", score.caveats),
            "of this file" if score.artifact_sha256 is not None else "of the variant",
        )
        for each in measurements
        for subject in (each.subject,)
        for score in each.scores
    }
    if not rows:
        return None
    return TableBlock(
        headers=("variant and format", "task", "lang", "metric", "score", "whose"),
        rows=tuple(rows.values()),
        caption="Scores, 0 to 100, of the files that were timed; one of the variant may be another file's. A score "
        "with ! has a caveat: edgebench scores shows it.",
        numbers=("score",),
    )
