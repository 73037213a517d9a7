"""Comparing two names of a store: their measurements, and the scores that are kept of the timed files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from edgebench.analysis import SCORE_MARGIN, PairedComparison, compare_pairs, compare_with_scores
from edgebench.stats import LEVEL, MARGIN
from edgebench.store.lookup import find_pairs
from edgebench.store.opening import open_store
from edgebench.store.scores import merged_scores, stored_scores
from edgebench.store.session_histories import session_histories
from edgebench.store.store import Store
from edgebench.xtreme_r import read_scores


def compare_stored(
    baseline: str,
    candidate: str,
    *,
    store: Store | str | Path | None = None,
    scores: str | Path | None = None,
    margin: float = MARGIN,
    level: float = LEVEL,
    score_margin: float = SCORE_MARGIN,
    allow: Collection[str] = (),
    allow_variant_scores: bool = False,
    session: str | Sequence[str] = (),
) -> list[PairedComparison]:
    """Compare two stored measurements, or all measurements of two variants; judged together (Holm).

    Measurements of different sessions are not decided, unless the board's history in the store decides.

    Args:
        baseline, candidate: a measurement's id or its beginning, a variant: NAME or NAME:FORMAT, or a file that
            `profile --json` wrote. Two variants are compared in the latest session that has both.
        store: a Store or its folder, as for `profile`.
        scores: a file of XTREME-R scores. Of a variant's task and language that it has, the scores of `evaluate` in the
            store are not used: the file has no results per example, so there is a difference without an interval.
        margin: latencies within 1 ± margin are equivalent.
        level: of the intervals.
        score_margin: scores within ± so many points are comparable.
        allow: conditions that may differ, e.g. `governor`; the comparison says so.
        allow_variant_scores: accept scores of other files of a variant, and label them so.
        session: instead of the latest: a session's id or its beginning, `latest` or `previous`; two: the baseline's and
            the candidate's.

    Returns:
        One for each device and workload in common. Where a side has fewer than two valid runs, latency is not decided
        and its `ratio` is None; the scores are compared all the same.

    Raises:
        UnknownName: the store has nothing of a name.
        ConfigError: no session has both, or a margin or the level is out of bounds.
        NotComparable: conditions differ that must be the same, or all scores of a variant are of other files.
        TooFewRuns: a side has fewer than two valid runs, and there are no scores to compare.
        ScoresError, StoreError: the scores, or the store, can't be read.
    """
    rows = read_scores(Path(scores)) if scores is not None else []
    keep = open_store(store)
    chosen = find_pairs(keep, baseline, candidate, session=(session,) if isinstance(session, str) else session)
    pairs = chosen.pairs
    stored, examples = stored_scores(keep, [side for sides in pairs for side in sides])
    merged, examples = merged_scores(rows, stored, examples)
    histories = session_histories(keep, pairs)

    def compared(*, keep_unmeasured: bool) -> list[PairedComparison]:
        return compare_with_scores(
            compare_pairs(
                pairs, margin=margin, level=level, allow=allow, histories=histories, keep_unmeasured=keep_unmeasured
            ),
            merged,
            examples=examples,
            margin=score_margin,
            level=level,
            allow_variant_scores=allow_variant_scores,
        )

    found = compared(keep_unmeasured=True)
    if not any(each.scores or each.comparison.latency.ratio is not None for each in found):
        found = compared(keep_unmeasured=False)  # raises
    return [replace(each, notes=(*chosen.notes, *each.notes)) for each in found]
