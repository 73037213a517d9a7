"""By language: latency, tokens of a sentence and score, one below the other, for the models of one board."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgebench.analysis import Evaluation
from edgebench.measurement import Measurement
from edgebench.reporting.html.charts.look import (
    LEGEND_HINT,
    MOST_SERIES,
    altair,
    legend_switch,
    named,
    plot,
    shown,
    tips,
)
from edgebench.reporting.html.page import Figure, Plot, Rows, Value
from edgebench.reporting.html.results import Group

_Row = tuple[Value, ...]
_HEIGHT = 20  # pixels of a language


def languages(group: Group) -> Figure | None:
    """Return the panels of the measurements of a board that are about a language; None for fewer than two languages."""
    of_lang = [(lang, each) for each in group.measurements if (lang := _lang(each)) is not None]
    if len({lang for lang, _ in of_lang}) < 2:
        return None
    latency: list[_Row] = []
    tokens: list[_Row] = []
    scores: list[_Row] = []
    for lang, each in of_lang:
        name = shown(group.name(each))
        if (value := each.latency_ms.p50) is not None:
            latency.append((name, lang, value, *(each.latency_ms.p50_ci or (None, None))))
        inferences = sum(run.inferences for run in each.runs)
        if inferences:
            tokens.append((name, lang, sum(run.tokens for run in each.runs) / inferences, None, None))
        scores += [
            (f"{name}, {score.task} {score.metric}", lang, score.value, None, None)
            for score in each.scores
            if score.lang == lang
        ]
    return _figure(group.title, latency, tokens, scores)


def languages_of_evaluation(evaluation: Evaluation) -> Figure | None:
    """Return the panels of an evaluation; None for fewer than two languages."""
    if len({each.lang for each in evaluation.languages}) < 2:
        return None
    latency: list[_Row] = []
    tokens: list[_Row] = []
    scores: list[_Row] = []
    for each in evaluation.languages:
        name = shown(each.task)
        if (value := each.cost.latency_ms.get("p50")) is not None:
            latency.append((name, each.lang, value, None, None))
        if each.cost.tokens is not None:
            tokens.append((name, each.lang, each.cost.tokens, None, None))
        for score in each.scores:
            scores.append((shown(f"{each.task} {score.metric}"), each.lang, score.value, *(score.ci or (None, None))))
    who = f"{evaluation.variant.name} {evaluation.artifact.format} on {evaluation.device.name}"
    return _figure(who, latency, tokens, scores)


def _figure(title: str, latency: Sequence[_Row], tokens: Sequence[_Row], scores: Sequence[_Row]) -> Figure | None:
    panels = (
        ("p50 latency, ms", latency),
        ("tokens of an input", tokens),
        ("score, 0 to 100", scores),
    )
    plots = tuple(_panel(name, rows, title) for name, rows in panels if rows)
    if not plots:
        return None
    lacking = "" if scores else " There are no scores of these files: see edgebench evaluate."
    return Figure(
        kind="languages",
        title=f"By language: {title}",
        caption="A language whose sentences become more tokens takes longer: compare the first two panels. The "
        "last one is the score of the very file that was timed; a line is a 95 % interval. "
        f"{LEGEND_HINT}{lacking}",
        plots=plots,
    )


def _panel(name: str, rows: Sequence[_Row], title: str) -> Plot:
    series = list(dict.fromkeys(row[0] for row in rows))[:MOST_SERIES]
    kept = tuple(row for row in rows if row[0] in series)
    return plot(
        _chart,
        f"{name} by language; {title}",
        name,
        rows=Rows(columns=("series", "lang", "value", "low", "high"), rows=kept),
    )


def _chart(title: str) -> Any:
    alt = altair()
    chosen, opacity = legend_switch(alt)
    base = named("rows").encode(
        y=alt.Y("lang:N", sort=None, title=None), color=alt.Color("series:N", sort=None), opacity=opacity
    )
    line = base.mark_rule(strokeWidth=1.5).encode(
        x=alt.X("low:Q", title=title, scale=alt.Scale(zero=False, padding=10)), x2="high:Q"
    )
    dots = (
        base.mark_point(filled=True, size=70)
        .encode(
            x="value:Q",
            tooltip=[
                "series:N",
                "lang:N",
                *tips("value", "low", "high"),
            ],
        )
        .add_params(chosen)
    )
    return (line + dots).properties(height=alt.Step(_HEIGHT))


def _lang(measurement: Measurement) -> str | None:
    workload = measurement.subject.workload
    lang = workload.get("lang") or workload.get("texts_lang")
    return shown(str(lang)) if lang else None
