"""An evaluation as a table: a row for each task and language."""

from __future__ import annotations

from edgebench.analysis import Evaluation
from edgebench.reporting.caveats import marked
from edgebench.reporting.html.page import TableBlock
from edgebench.reporting.html.tables import without_empty


def evaluation_table(evaluation: Evaluation) -> TableBlock:
    """Return the scores with their intervals, and what the answers cost."""
    rows = []
    caveats = {(score.task, score.lang, score.metric): score.caveats for score in evaluation.scores}
    for each in evaluation.languages:
        for score in each.scores:
            interval = f"{score.ci[0]:.1f} to {score.ci[1]:.1f}" if score.ci is not None else ""
            figure = marked(f"{score.value:.1f}", caveats[score.task, score.lang, score.metric])
            rows.append(
                (
                    each.task,
                    each.lang,
                    score.metric,
                    figure,
                    interval,
                    str(score.n),
                    _number(each.cost.latency_ms.get("p50"), ".2f"),
                    _number(each.cost.tokens, ".1f"),
                    _number(evaluation.premium(each), ".2f"),
                )
            )
    who = f"{evaluation.variant.name} {evaluation.artifact.format} on {evaluation.device.name}"
    missing = "".join(
        f" Not evaluated: {task} {', '.join(langs)}." for task, langs in evaluation.missing.items() if langs
    )
    return without_empty(
        TableBlock(
            headers=("task", "lang", "metric", "score", "95 % interval", "n", "p50 ms", "tokens", "vs English"),
            rows=tuple(rows),
            caption=f"{who}. vs English: tokens, as a multiple of those of the English text. A score with ! has a "
            f"caveat: edgebench evaluate shows it.{missing}",
            numbers=("score", "95 % interval", "n", "p50 ms", "tokens", "vs English"),
        )
    )


def _number(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)
