"""Comparisons as sentences and a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgebench.analysis import (
    BY_SESSION,
    NOT_DECIDED,
    NOT_JUDGED,
    OF_FILE,
    Comparison,
    Contrast,
    PairedComparison,
    ScoreContrast,
    sides_lines,
)
from edgebench.artifact import file_notes
from edgebench.reporting.caveats import caveat_lines, marked
from edgebench.reporting.layout import PlainTable
from edgebench.reporting.overhead import cost_lines
from edgebench.reporting.verdict_style import coloured_sentence
from edgebench.stats import MINIMUM_COUNTS, PAIRS
from edgebench.text import ratio_interval_text, ratio_text

if TYPE_CHECKING:
    from rich.text import Text

_UNMEASURED = "not measured on both sides"
#: Title, name, and what is said where it can't be compared; nothing where a board without a sensor is the rule.
_QUANTITIES = (
    ("latency", "latency", _UNMEASURED),
    ("p95", "p95", f"needs two runs of {MINIMUM_COUNTS[0.95]} inferences on both sides"),
    ("p99", "p99", ""),
    ("throughput", "throughput", _UNMEASURED),
    ("peak memory", "memory", _UNMEASURED),
    ("energy / inference", "energy", ""),
)


def comparison_parts(answers: Sequence[PairedComparison]) -> Iterator[PlainTable | Text | str]:
    """Yield what to print: a sentence and tables of quantities and scores for each, then what holds for all."""
    comparisons, said = [answer.comparison for answer in answers], set[str]()
    for answer in answers:
        comparison = answer.comparison
        yield coloured_sentence(answer.verdict)
        yield from sides_lines(comparison.baseline, comparison.candidate)
        yield from (f"  although: {text}" for text in comparison.differs)
        if comparison.unchecked:
            yield f"  not reported by a side, and not checked: {', '.join(comparison.unchecked)}"
        yield ""
        yield _quantity_table(comparison)
        yield ""
        if answer.scores:
            yield score_table(answer.scores)
            yield from caveat_lines((each.task, each.lang, each.caveats) for each in answer.scores)
            yield ""
        yield from (note for note in answer.notes if note not in said)
        said.update(answer.notes)  # how the measurements were chosen is the same for all
        yield from _how_to_decide(comparison)
    drifts = {each.latency.drift for each in comparisons if each.latency.decided_by == "session"}
    yield "ratio: candidate / baseline, from one figure a run"
    yield "latency: the geometric mean over inputs of each input's median"
    yield from _about_verdict(comparisons)
    if PAIRS in drifts:
        yield "alternating: latency is the mean over inputs of the typical ratio of two inferences, side by side"
    if any(each.memory is not None and each.memory.ci is not None and each.to_decide for each in comparisons):
        yield "peak memory: of two sessions RSS is compared, because PSS depends on what else runs on the board"
    sides = [side for each in comparisons for side in (each.baseline, each.candidate)]
    yield from file_notes((side.subject.variant_and_format, side.subject.artifact) for side in sides)
    yield from cost_lines(sides)
    if "none" in drifts:
        yield "too few runs to separate drift from difference: what changed on the board between them is in the ratio"
    if any(comparison.comparisons > 1 for comparison in comparisons):
        yield f"{comparisons[0].comparisons} comparisons judged together (Holm): the intervals are the corrected ones"
    if any(comparison.looks > 1 for comparison in comparisons):
        yield "measured until decided: the intervals are those of one of several planned looks, which keep the level"


def _quantity_table(comparison: Comparison) -> PlainTable:
    table = PlainTable(
        *("", "ratio", "interval", "level", "verdict", "more runs"),
        figures=("ratio", "interval", "level"), verdict="verdict", hide_first=("level", "more runs"),
    )  # fmt: skip
    for title, name, absent in _QUANTITIES:
        contrast: Contrast | None = getattr(comparison, name)
        if contrast is None or (name == "p99" and name not in comparison.deciding):
            if absent:
                table.add_row(title, "", "", "", absent, "")
            continue
        figures = [ratio_text(contrast.ratio, contrast.ci) if contrast.ratio is not None else "", "", ""]
        if contrast.ci is not None:
            figures[1:] = [ratio_interval_text(contrast.ci), f"{100 * contrast.level:.4g} %"]
        table.add_row(title, *figures, _verdict(contrast), _more(contrast))
    return table


def _how_to_decide(comparison: Comparison) -> Iterator[str]:
    """Yield the command that measures as many runs as would decide, where that is left open."""
    is_open = [each for each in comparison.decisive if each.verdict == "inconclusive" and each.decided_by == BY_SESSION]
    if not is_open:
        return
    counts = [min(each.runs) + each.more_runs for each in is_open if each.more_runs is not None]
    if len(counts) < len(is_open):
        yield "to decide: more than 200 runs of each would be needed; a wider margin needs fewer"
        return
    yield (
        f"to decide: edgebench runs extend {comparison.candidate.id} --runs {max(counts)} (a further session, judged "
        f"by itself; so many runs of each decide if the difference and the spread stay as they are)"
    )


def _about_verdict(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield what the verdicts are about, and what the intervals of the other quantities are."""
    judged = [comparison for comparison in comparisons if comparison.outcome != NOT_DECIDED]
    for names in dict.fromkeys(comparison.deciding for comparison in judged):
        together = ", judged together (Holm)" if len(names) > 1 else ""
        yield f"the verdict is about {' and '.join(names)}{together}; the other rows are described, not judged"


def score_table(scores: Sequence[ScoreContrast]) -> PlainTable:
    """Return a row per task and language, the greatest loss first."""
    headers = ("task", "lang", "baseline", "candidate", "points", "interval", "level", "verdict", "scores")
    table = PlainTable(
        *headers, names=2, figures=headers[2:5], verdict="verdict",
        hide_first=("scores", "level", "baseline", "candidate", "interval"),
    )  # fmt: skip
    for each in sorted(scores, key=lambda each: each.difference):
        points = marked(f"{each.difference:+.2f}", each.caveats)
        figures = (f"{each.baseline:.1f}", f"{each.candidate:.1f}", points)
        interval = f"{each.ci[0]:+.2f} to {each.ci[1]:+.2f}" if each.ci else each.without_interval or ""
        level = f"{100 * each.level:.4g} %" if each.level is not None else ""
        whose = "" if each.whose == OF_FILE else each.whose
        table.add_row(each.task, each.lang, *figures, interval, level, score_verdict(each), whose)
    return table


def score_verdict(score: ScoreContrast) -> str:
    """Return the verdict in words; that it is surely no worse than the margin is said where nothing else is."""
    if score.verdict == "inconclusive" and score.not_worse:
        return f"inconclusive, but not worse by {score.margin:g} points"
    return score.verdict


def _verdict(contrast: Contrast) -> str:
    if contrast.verdict == NOT_JUDGED:
        return ""
    beyond = f", by more than {100 * contrast.margin:g} %" if contrast.beyond_margin else ""
    return contrast.verdict + beyond


def _more(contrast: Contrast) -> str:
    if contrast.more_runs == 0 or contrast.verdict == NOT_DECIDED:
        return ""
    return f"{contrast.more_runs} of each" if contrast.more_runs is not None else "too many"
