"""The document of `compare --json`: one shape, however many comparisons there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from edgebench._version import __version__
from edgebench.analysis.score_comparison import PairedComparison
from edgebench.measurement import FORMAT_VERSION


def comparison_document(answers: Sequence[PairedComparison]) -> dict[str, Any]:
    """Return the document that `compare --json` writes.

    `results` has an entry for each comparison. What earlier versions wrote is there, too: the keys of the only
    comparison, or the list `comparisons` of several.
    """
    results = [answer.to_json() for answer in answers]
    earlier = results[0] if len(results) == 1 else {"comparisons": results}
    return {
        "format_version": FORMAT_VERSION,
        "edgebench_version": __version__,
        "results": results,
        **earlier,
        "verdict": answers[0].verdict if len(answers) == 1 else _of_several(answers),
    }


def _of_several(answers: Sequence[PairedComparison]) -> str:
    counts = Counter(answer.comparison.outcome for answer in answers)
    return f"{len(answers)} comparisons: " + ", ".join(f"{word} in {count}" for word, count in counts.most_common())
