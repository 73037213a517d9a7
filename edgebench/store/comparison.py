"""Comparing two names of a store: their measurements, and the scores that are kept of the timed files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edgebench.analysis import SCORE_MARGIN, PairedComparison, compare_pairs, compare_with_scores
from edgebench.stats import LEVEL, MARGIN
from edgebench.store.lookup import find_pairs
from edgebench.store.opening import open_store
from edgebench.store.scores import stored_scores, with_stored
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
) -> list[PairedComparison]:
    """Compare two stored measurements, or all measurements of two variants; judged together (Holm).

    Measurements of different sessions are not decided, unless the board's history in the store decides.

    Args:
        baseline, candidate: a measurement's id or its beginning, or a variant: NAME or NAME:FORMAT. Two variants are
            compared in the latest session that has both.
        store: a Store or its folder, as for `profile`.
        scores: a file of XTREME-R scores. They take precedence over those of `evaluate` that the store has.
        margin: latencies within 1 ± margin are equivalent.
        level: of the intervals.
        score_margin: scores within ± so many points are comparable.
        allow: conditions that may differ, e.g. `governor`; the comparison says so.
        allow_variant_scores: accept scores of other files of a variant, and label them so.

    Raises:
        UnknownName: the store has nothing of a name.
        ConfigError: no session has both, or a margin or the level is out of bounds.
        NotComparable: conditions differ that must be the same, or all scores of a variant are of other files.
        TooFewRuns: a side has fewer than two valid runs.
        ScoresError, StoreError: the scores, or the store, can't be read.
    """
    rows = read_scores(Path(scores)) if scores is not None else []
    keep = open_store(store)
    pairs = find_pairs(keep, baseline, candidate)
    stored, examples = stored_scores(keep, [side for sides in pairs for side in sides])
    return compare_with_scores(
        compare_pairs(pairs, margin=margin, level=level, allow=allow, histories=session_histories(keep, pairs)),
        with_stored(rows, stored),
        examples=examples,
        margin=score_margin,
        level=level,
        allow_variant_scores=allow_variant_scores,
    )
