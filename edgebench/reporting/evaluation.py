"""What an artifact scores, and what its answers cost, as tables: one a task, a row a language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from edgebench.artifact import file_notes
from edgebench.reporting.caveats import caveat_lines, marked
from edgebench.reporting.figures import rounded
from edgebench.reporting.layout import PlainTable
from edgebench.stats import MINIMUM_COUNTS
from edgebench.text import counted
from edgebench.xtreme_r import all_tasks, task_values

if TYPE_CHECKING:
    from edgebench.analysis import Difference, Evaluation
    from edgebench.evaluation_result import LanguageCost, LanguageEvaluation, TaskEvaluation


def evaluation_parts(evaluation: Evaluation) -> Iterator[PlainTable | str]:
    """Yield what to print of an evaluation: a table a task, then what must be known of it."""
    caveats = {(score.task, score.lang, score.metric): score.caveats for score in evaluation.scores}
    differences = {(each.task, each.lang, each.metric): each for each in evaluation.differences()}
    for name in dict.fromkeys(each.task for each in evaluation.languages):
        mine = [each for each in evaluation.languages if each.task == name]
        title = all_tasks()[name].title
        yield f"{title}: {evaluation.variant.name}, {evaluation.artifact.format}, {_where(evaluation)}"
        yield _table(evaluation, mine, differences, caveats)
        yield from _below(evaluation, name, mine)
        yield from caveat_lines((task, lang, each) for (task, lang, _), each in caveats.items() if task == name)
    yield from file_notes([(f"{evaluation.variant.name} {evaluation.artifact.format}", evaluation.artifact)])
    if evaluation.overall is not None:
        yield f"overall (XTREME-R, mean of ten tasks): {evaluation.overall:.1f}"


#: Columns that a narrow terminal hides, the first one first.
_HIDE_FIRST = ("J", "padding", "split words", "tokens/word", "vs English", "tokens", "p95 ms", "fp32 agrees")


def _where(evaluation: Evaluation) -> str:
    device = evaluation.device
    return f"{device.name} ({device.runtime} {device.runtime_version})"


def _table(
    evaluation: Evaluation,
    mine: list[LanguageEvaluation],
    differences: dict[tuple[str, str, str], Difference],
    caveats: Mapping[tuple[str, str, str], Sequence[str]],
) -> PlainTable:
    task = all_tasks()[mine[0].task]
    metrics = [score.metric for score in mine[0].scores if score.metric in task.metrics]
    of_fp32 = ["fp32 agrees", "minus fp32 [95 %]"] if evaluation.reference else []
    columns = ["lang", *(f"{metric} [95 %]" for metric in metrics), "n", *of_fp32]
    columns += ["p50 ms", "p95 ms", "tokens", "vs English", "tokens/word", "split words", "padding", "J"]
    table = PlainTable(*columns, figures=columns[1:], hide_first=_HIDE_FIRST)
    for each in mine:
        scores = {score.metric: score for score in each.scores}
        cost = each.cost
        figures = [marked(_score(scores[name]), caveats[each.task, each.lang, name]) for name in metrics]
        cells = [each.lang, *figures, str(scores[metrics[0]].n)]
        if evaluation.reference:
            difference = differences.get((each.task, each.lang, metrics[0]))
            cells += [_share(difference.agreement), _difference(difference)] if difference else ["-", "-"]
        cells += [
            _latency(cost, "p50"),
            _latency(cost, "p95"),
            _number(cost.tokens),
            _number(evaluation.premium(each)),
            _number(cost.fertility),
            _share(cost.continued_words),
            _number(cost.padding_cost),
            _number(cost.energy_j),
        ]
        table.add_row(*cells)
    return table


def _below(evaluation: Evaluation, name: str, mine: list[LanguageEvaluation]) -> Iterator[str]:
    task = all_tasks()[name]
    protocol = mine[0].scores[0].protocol
    absent = evaluation.missing.get(name, ())
    of = f"{len(mine)} of {counted(len(task.langs), 'language')}{' (partial)' if absent else ''}"
    metric = " and ".join(task.metrics)
    by_lang = task_values(task, [(each.lang, score.metric, score.value) for each in mine for score in each.scores])
    worst = min(by_lang, key=lambda lang: by_lang[lang])
    yield (
        f"mean over {of}: {evaluation.tasks[name]:.1f} ({metric}; {protocol['convention']}); "
        f"worst: {worst} {by_lang[worst]:.1f}"
    )
    batch = mine[0].cost.batch
    yield (
        f"latency: {'of an example' if batch == 1 else f'of a batch of {batch}'}, model only; each input shape "
        f"was run once before; p95 needs {MINIMUM_COUNTS[0.95]} inferences; inputs of at most "
        f"{counted(protocol['max_len'], 'token')}"
    )
    yield (
        "vs English: tokens, as a multiple of those of the English text; split words: share of words that become "
        "several tokens; padding: tokens that the model works on, as a multiple of those of the text"
    )
    for each in mine:
        if each.cost.latency_reasons:
            yield f"(latency) not valid: {each.lang}: {'; '.join(each.cost.latency_reasons)}"
    if (truncated := sum(each.cost.truncated for each in mine)) > 0:
        yield f"{counted(truncated, 'sequence')} of more tokens {'was' if truncated == 1 else 'were'} truncated"
    if any(score.ci is None for each in mine for score in each.scores):
        yield "no interval: all examples are alike, which leaves nothing to resample"


def _latency(cost: LanguageCost, name: str) -> str:
    """Return a latency, in parentheses where it is not valid."""
    text = _number(cost.latency_ms[name])
    return f"({text})" if cost.latency_reasons and text != "-" else text


def _score(score: TaskEvaluation) -> str:
    interval = f" [{score.ci[0]:.1f}, {score.ci[1]:.1f}]" if score.ci is not None else ""
    return f"{score.value:.1f}{interval}"


def _difference(difference: Difference) -> str:
    ci = difference.ci
    interval = f" [{ci[0]:+.1f}, {ci[1]:+.1f}]" if ci is not None else ""
    return f"{difference.difference:+.2f}{interval}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return rounded(value) or "-"
