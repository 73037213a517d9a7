"""The sections of a page, from the results: which tables and charts there are, and in what order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgebench.analysis import OF_FILE, PairedComparison
from edgebench.gating import GateHistory
from edgebench.measurement import Measurement
from edgebench.reporting.gate.rows import HEADERS, budget_rows
from edgebench.reporting.html import charts
from edgebench.reporting.html.answers import answers_of, warning_of
from edgebench.reporting.html.charts.languages import languages_of_evaluation
from edgebench.reporting.html.downloads import downloads_of
from edgebench.reporting.html.evaluations import evaluation_table
from edgebench.reporting.html.evidence import (
    commands_of,
    environment_table,
    files_table,
    overhead_lines,
    validity_table,
)
from edgebench.reporting.html.page import Block, Figure, Heading, Page, Section, TableBlock, section
from edgebench.reporting.html.results import Group, Results, by_board, groups_of
from edgebench.reporting.html.tables import (
    comparison_name,
    comparisons_table,
    measurements_table,
    score_contrasts_table,
    scores_table,
)
from edgebench.reporting.study import study_sections
from edgebench.study import Answer
from edgebench.text import counted, ratio_interval_text, ratio_text

#: So many measurements are drawn over time; each has up to five sets of axes.
_MOST_OVER_TIME = 12


def page_of(results: Results, *, title: str, store: str, own_command: str | None, with_figures: bool = True) -> Page:
    """Return the page.

    Args:
        store: the folder of the store, for the commands that the page shows.
        own_command: the command that makes the page again; None: it is made in Python.
        with_figures: draw; without, no library for plots is needed.

    Raises:
        MissingExtra: `with_figures`, and Altair is not installed.
    """
    groups = groups_of(results.measurements)
    comparisons = [*results.comparisons, *(each for study in results.studies for each in _compared(study.answers))]
    made = [
        section("Comparisons", list(_comparisons(comparisons, draw=with_figures))),
        *_gates(results, draw=with_figures),
        *_studies(results, draw=with_figures),
        section("Measurements", list(_measurements(groups, draw=with_figures))),
        section("Scores and languages", list(_languages(results, draw=with_figures))),
        section("Over time", list(_over_time(groups) if with_figures else ())),
        section("Validity", [validity_table(results.measurements)] if results.measurements else []),
        section(
            "Environment",
            [environment_table(results), files_table(results.measurements), *overhead_lines(results.measurements)],
        ),
        section("Repeat it", list(commands_of(results, store=store, own=own_command))),
        section("Data", list(downloads_of(results.measurements))),
    ]
    return Page(
        title=title,
        warning=warning_of(results),
        answers=answers_of(results),
        sections=tuple(each for each in made if each.blocks),
    )


def _compared(answers: Sequence[Answer]) -> Iterator[PairedComparison]:
    for answer in answers:
        yield from answer.comparisons


def _measurements(groups: Sequence[Group], *, draw: bool) -> Iterator[Block]:
    for group in groups:
        yield Heading(text=group.title)
        yield measurements_table(group)
        if draw:
            found = (charts.distribution, charts.run_medians, charts.memory_phases, charts.operators)
            yield from _there(chart(group) for chart in found)


def _there(figures: Iterator[Figure | None]) -> Iterator[Figure]:
    return (figure for figure in figures if figure is not None)


def _comparisons(comparisons: Sequence[PairedComparison], *, draw: bool) -> Iterator[Block]:
    if not comparisons:
        return
    yield comparisons_table(comparisons)
    if draw:
        yield from charts.forest(comparisons)
    scores = [(comparison_name(each), score) for each in comparisons for score in each.scores]
    if scores:
        # The scores of two files are the same wherever they were timed.
        once = {(name, score.task, score.lang, score.difference): (name, score) for name, score in scores}
        yield score_contrasts_table(once.values())
        if others := sorted({score.whose for _, score in once.values()} - {OF_FILE}):
            yield f"Some scores are {', '.join(others)}, and not of the file that was timed."
    yield from dict.fromkeys(note for each in comparisons for note in each.notes)


def _gates(results: Results, *, draw: bool) -> Iterator[Section]:
    for gate in results.gates:
        table = TableBlock(
            headers=HEADERS,
            rows=tuple(budget_rows(gate)),
            caption="A budget fails only if a second session confirms it. "
            "Would have seen: the smallest slowdown that the runs would have shown.",
            verdict="result",
        )
        figure = charts.gate_forest(gate) if draw else None
        name = f"Gate: {gate.candidate.name} against {gate.baseline.name} on {gate.device.get('name')}"
        yield section(name, [table, figure, *gate.notes])
    found = [charts.history(each) for each in results.histories] if draw else []
    notes = [note for each in results.histories for note in each.notes]
    yield section("History", [*found, *(_history_table(each) for each in results.histories), *notes])


def _history_table(history: GateHistory) -> TableBlock:
    rows = [
        (
            each.started_at[:10],
            each.candidate,
            ratio_text(each.ratio, each.interval),
            ratio_interval_text(each.interval) if each.interval is not None else "",
            each.result,
            "changed here" if each.is_change else "",
        )
        for each in history.points
    ]
    return TableBlock(
        headers=("day", "candidate", "ratio", "interval", "result", "level"),
        rows=tuple(rows),
        caption=f"{history.device}, {history.workload}: ratio to {history.anchor}, measured in the same session.",
        verdict="result",
        numbers=("ratio", "interval"),
    )


def _studies(results: Results, *, draw: bool) -> Iterator[Section]:
    for study in results.studies:
        blocks: list[Block] = []
        for title, content in study_sections(study):
            blocks.append(Heading(text=title))
            for part in content:
                blocks.append(part if isinstance(part, str) else _study_table(title, *part))
        if draw:
            blocks += [charts.front(one, where) for where, found in study.fronts.items() for one in found]
        yield section(f"Study: {study.study.name}", blocks)


def _study_table(title: str, headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> TableBlock:
    return TableBlock(headers=headers, rows=tuple(rows), caption=title, verdict="verdict")


def _languages(results: Results, *, draw: bool) -> Iterator[Block]:
    yield from (evaluation_table(each) for each in results.evaluations)
    if (scores := scores_table(results.measurements)) is not None:
        yield scores
    if draw:
        yield from _there(languages_of_evaluation(each) for each in results.evaluations)
        yield from _there(charts.languages(group) for group in by_board(results.measurements))


def _over_time(groups: Sequence[Group]) -> Iterator[Block]:
    of: list[tuple[Measurement, str]] = [
        (each, f"{group.name(each)}, {group.title}") for group in groups for each in group.measurements
    ]
    for each, title in of[:_MOST_OVER_TIME]:
        yield from _there(iter([charts.over_time(each, title), charts.memory_over_time(each, title)]))
    if (more := len(of) - _MOST_OVER_TIME) > 0:
        yield f"{counted(more, 'more measurement')} are not drawn over time; name them to see them: edgebench report ID"
