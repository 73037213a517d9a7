"""A comparison in one sentence, and in a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgebench.analysis.contrast import BY_HISTORY, Contrast
from edgebench.analysis.undecided import NOT_DECIDED, OTHER_SESSION, name_of
from edgebench.analysis.verdict_family import NOT_JUDGED
from edgebench.measurement import Measurement
from edgebench.stats import PAIRS
from edgebench.text import printable, ratio_interval_text, ratio_text

if TYPE_CHECKING:
    from edgebench.analysis.comparison import Comparison

_LONG = 4000  # characters
_SENTENCES = {
    "equivalent": "{} is equivalent to {}",
    "faster": "{} is faster than {}",
    "slower": "{} is slower than {}",
    "inconclusive": "{} against {} is inconclusive",
    NOT_DECIDED: "{} against {} is not decided",
}


def verdict_sentence(comparison: Comparison) -> str:
    """Return the answer in one sentence, to be pasted."""
    contrasts = comparison.decisive
    sides = (comparison.candidate, comparison.baseline)
    names = [name_of(each) for each in sides]
    if names[0] == names[1]:
        names = [f"{name} ({each.id})" for name, each in zip(names, sides, strict=True)]
    words = _SENTENCES[comparison.outcome].format(*names)
    where = f"on {comparison.candidate.subject.device.name}, {comparison.candidate.subject.label}"
    if comparison.outcome == NOT_DECIDED:
        return printable(f"{words} {where}: {_why_not_decided(comparison)}", _LONG)
    alike = len({contrast.verdict for contrast in contrasts}) == 1
    ratios = ", ".join(_ratio_text(each, with_verdict=not alike) for each in contrasts)
    contrast = contrasts[0]
    how = ", alternating" if contrast.drift == PAIRS else ""
    history = f", {contrast.reason}" if contrast.decided_by == BY_HISTORY else ""
    return printable(
        f"{words} {where}: {ratios}; margin ±{100 * contrast.margin:g} %, "
        f"{contrast.runs[0]} + {contrast.runs[1]} runs{how}{history}",
        _LONG,
    )


def comparison_text(comparison: Comparison) -> str:
    """Return a few lines: the sentence, both sides with id and date, and each ratio with its verdict."""
    return "\n".join(
        [comparison.verdict, *sides_lines(comparison.baseline, comparison.candidate), *_ratios(comparison)]
    )


def sides_lines(baseline: Measurement, candidate: Measurement) -> Iterator[str]:
    """Yield a line for each side: which measurement it is, and when it was made."""
    for role, side in (("baseline", baseline), ("candidate", candidate)):
        began = min((run.started_at for run in side.runs), default="")
        when = f", measured {began[:10]} {began[11:16]} UTC" if began else ""
        yield f"  {role + ':':10} " + printable(f"{name_of(side)}, {side.id}{when}", _LONG)


def _ratios(comparison: Comparison) -> Iterator[str]:
    for name in ("latency", "p95", "p99", "throughput", "memory", "energy"):
        contrast: Contrast | None = getattr(comparison, name)
        if contrast is not None and contrast.ratio is not None:
            yield f"  {_ratio_text(contrast, with_verdict=contrast.verdict not in (NOT_JUDGED, NOT_DECIDED))}"


def _why_not_decided(comparison: Comparison) -> str:
    why = next((each.reason for each in comparison.decisive if each.verdict == NOT_DECIDED and each.reason), "")
    if why.startswith(OTHER_SESSION):
        details = [text for text in (_p50_ratio_text(comparison), *why.split("; ")[1:]) if text]
        why = f"{OTHER_SESSION} ({'; '.join(details)})" if details else OTHER_SESSION
    return why + (f". To decide: {comparison.to_decide}" if comparison.to_decide else "")


def _p50_ratio_text(comparison: Comparison) -> str:
    p50s = comparison.candidate.latency_ms.p50, comparison.baseline.latency_ms.p50
    return f"p50 ratio {p50s[0] / p50s[1]:.3f}" if p50s[0] and p50s[1] else ""


def _ratio_text(contrast: Contrast, *, with_verdict: bool) -> str:
    verdict = f", {contrast.verdict}" if with_verdict else ""
    if contrast.ratio is None:
        return f"{contrast.quantity} ({contrast.verdict})"
    if contrast.ci is None:
        return f"{contrast.quantity} ratio {contrast.ratio:.3f} ({contrast.verdict})"
    interval = f"{100 * contrast.level:.4g} % {ratio_interval_text(contrast.ci)}"
    return f"{contrast.quantity} ratio {ratio_text(contrast.ratio, contrast.ci)} ({interval}{verdict})"
