"""A study as tables for a terminal, and as a Markdown file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgebench.analysis import Contrast, Figure, Front
from edgebench.artifact import file_notes
from edgebench.reporting.caveats import caveat_lines, marked
from edgebench.reporting.comparison import score_verdict
from edgebench.reporting.layout import PlainTable
from edgebench.reporting.markdown_text import markdown_table, markdown_text
from edgebench.reporting.verdict_style import coloured_sentence
from edgebench.study import Answer, StudyReport, StudyStatus
from edgebench.text import ratio_interval_text, ratio_text, significant

if TYPE_CHECKING:
    from rich.text import Text

#: Columns that a narrow terminal hides, the first one first.
_HIDE_FIRST = ("scores", "seeds", "level", "energy", "memory", "baseline", "worst language", "workload", "interval")
#: The headers, and the rows under them.
Rows = tuple[tuple[str, ...], list[tuple[str, ...]]]


def status_parts(status: StudyStatus) -> Iterator[PlainTable | str]:
    """Yield what to print: a row per device and workload, how long what is missing takes, and what is not scored."""
    table = PlainTable(
        *("device", "workload", "variants", "missing", "session", "took"),
        names=2, whole=("session",), hide_first=("took", "session"),
    )  # fmt: skip
    variants, left_s = status.study.variants, status.estimated_remaining_s
    for cell in status.cells:
        table.add_row(
            cell.device.name,
            cell.workload.label,
            f"{len(cell.have)} of {len(variants)}",
            ", ".join(variant.name for variant in variants if variant.name not in cell.have),
            cell.session or "",
            _span(cell.took_s) if cell.took_s is not None else "",
        )
    yield table
    yield from (f"not evaluated yet: {each}" for each in status.pending)
    missing = sum(not cell.done for cell in status.cells)
    scoring_s = status.estimated_scoring_s
    of_it = f", {_span(scoring_s)} of it scoring" if missing and scoring_s else ""
    about = f", about {_span(left_s)}{of_it}" if left_s is not None else "; the run says how long that takes"
    if missing:
        yield f"{missing} of {len(status.cells)} missing{about}: edgebench study run {status.study.path}"
    elif status.pending:
        yield f"all is measured, not all evaluated{about}: edgebench study run {status.study.path}"
    else:
        yield "nothing is missing; `study run` also checks that the models have not changed since"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def study_parts(report: StudyReport) -> Iterator[PlainTable | Text | str]:
    """Yield what to print of a report."""
    for title, content in study_sections(report):
        yield ""
        yield title
        for part in content:
            yield coloured_sentence(part) if isinstance(part, str) else _table(part)


def study_markdown(report: StudyReport) -> str:
    """Return the report as the text of a Markdown file."""
    lines = [f"# {markdown_text(report.study.name)}"]
    for title, content in study_sections(report):
        lines += ["", f"## {markdown_text(title)}"]
        for part in content:
            lines += ["", *([markdown_text(part)] if isinstance(part, str) else markdown_table(*part))]
    return "\n".join(lines) + "\n"


def study_sections(report: StudyReport) -> Iterator[tuple[str, list[str | Rows]]]:
    """Yield the title and the content of each section of a report, for every way to write it."""
    for answer in report.answers:
        yield answer.name, list(_of_answer(answer))
    for where, found in report.fronts.items():
        for front in found:
            content: list[str | Rows] = [f"{front.scored}; 95 % intervals", _front_rows(front)]
            if front.without:
                content.append(f"not measured: {', '.join(front.without)}")
            yield f"quality against {front.cost} on {where}", content
    if report.notes:
        yield "scores", list(report.notes)
    if report.missing:
        yield "missing", list(report.missing)


def _of_answer(answer: Answer) -> Iterator[str | Rows]:
    yield answer.verdict
    if answer.comparisons:
        yield _cost_rows(answer)
        yield f"{len(answer.comparisons)} comparisons judged together (Holm)"
    scored = _score_rows(answer)
    if scored[1]:
        yield scored
    yield from caveat_lines(
        (score.task, score.lang, score.caveats) for each in answer.comparisons for score in each.scores
    )
    sides = [side for each in answer.comparisons for side in (each.comparison.baseline, each.comparison.candidate)]
    yield from file_notes((side.subject.variant_and_format, side.subject.artifact) for side in sides)
    yield answer.about_training
    if answer.training:
        yield (
            ("format", "task", "lang", "points", "interval", "level", "seeds", "verdict"),
            [
                (
                    each.format,
                    each.task,
                    each.lang,
                    f"{each.difference:+.2f}",
                    f"{each.ci[0]:+.2f} to {each.ci[1]:+.2f}",
                    f"{100 * each.level:.4g} %",
                    str(each.seeds),
                    each.verdict,
                )
                for each in answer.training
            ],
        )
    for each in answer.comparisons:
        yield each.verdict
    yield from answer.notes


def _cost_rows(answer: Answer) -> Rows:
    headers = ("candidate", "baseline", "device", "workload", "format", "latency", "verdict", "memory", "energy")
    rows = []
    for each in answer.comparisons:
        comparison = each.comparison
        sides = [side.subject for side in (comparison.candidate, comparison.baseline)]
        rows.append(
            (
                *(side.variant.name for side in sides),
                str(sides[0].device.name),
                sides[0].label,
                str(sides[0].artifact.format),
                _ratio(comparison.latency),
                comparison.outcome,
                *(_described(part) for part in (comparison.memory, comparison.energy)),
            )
        )
    return headers, rows


def _ratio(contrast: Contrast) -> str:
    if contrast.ratio is None:
        return "not measured"
    if contrast.ci is None:
        return ratio_text(contrast.ratio)
    return f"{ratio_text(contrast.ratio, contrast.ci)} ({ratio_interval_text(contrast.ci)})"


def _described(contrast: Contrast | None) -> str:
    return _ratio(contrast) if contrast is not None else "not measured"


def _score_rows(answer: Answer) -> Rows:
    headers = ("candidate", "baseline", "format", "task", "lang", "points", "interval", "verdict", "scores")
    rows = {}
    for each in answer.comparisons:
        names = [side.subject.variant.name for side in (each.comparison.candidate, each.comparison.baseline)]
        format = str(each.comparison.candidate.subject.artifact.format)
        for score in each.scores:
            interval = f"{score.ci[0]:+.2f} to {score.ci[1]:+.2f}" if score.ci else score.without_interval or ""
            rows[(*names, format, score.task, score.lang)] = (
                *names,
                format,
                score.task,
                score.lang,
                marked(f"{score.difference:+.2f}", score.caveats),
                interval,
                score_verdict(score),
                score.whose,
            )
    return headers, list(rows.values())


def _front_rows(front: Front) -> Rows:
    unit, scale = ("MB", 1e6) if front.unit == "bytes" else (front.unit, 1.0)
    headers = ("row", "quality", f"{front.cost} ({unit})", "worst language", "")
    return headers, [
        (each.name, _figure(each.quality), _figure(each.cost, scale), each.worst, each.verdict)
        for each in front.choices
    ]


def _figure(figure: Figure, scale: float = 1.0) -> str:
    def shown(value: float) -> str:
        return significant(value / scale)

    return shown(figure.value) + (f" ({shown(figure.ci[0])} to {shown(figure.ci[1])})" if figure.ci else "")


def _table(rows: Rows) -> PlainTable:
    # Where there are two names in a row, both say which row it is.
    names = 2 if rows[0][:2] == ("candidate", "baseline") else 1
    table = PlainTable(*rows[0], names=names, verdict="verdict", hide_first=_HIDE_FIRST)
    for row in rows[1]:
        table.add_row(*row)
    return table
