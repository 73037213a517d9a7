"""Subsets: a sample of a task's examples that keeps the proportions of the labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from edgebench.xtreme_r.example_types import Examples, Label


def limited(examples: Examples, limit: int | None, *, seed: int) -> Examples:
    """Return at most `limit` of the examples, in their order; None: all.

    In classification, each label keeps its share (rounded by largest remainders); in other tasks, all examples are
    drawn alike. The same seed draws the same positions in every language whose labels
    are the same, so translations of one test set stay aligned. All candidates are kept.
    """
    import numpy as np

    if limit is None or limit >= len(examples):
        return examples
    stream = np.random.default_rng(seed)
    strata = [_stratum(label) for label in examples.labels] if examples.labels is not None else [""] * len(examples)
    shares = _shares(Counter(strata), limit)
    shuffled = stream.permutation(len(examples)).tolist()
    chosen: list[int] = []
    for position in shuffled:
        if shares[strata[position]]:
            shares[strata[position]] -= 1
            chosen.append(position)
    chosen.sort()
    return replace(
        examples,
        ids=tuple(examples.ids[at] for at in chosen),
        inputs=tuple(examples.inputs[at] for at in chosen),
        labels=tuple(examples.labels[at] for at in chosen) if examples.labels is not None else None,
        texts=tuple(examples.texts[at] for at in chosen) if examples.texts is not None else None,
    )


def _stratum(label: Label) -> str:
    return "" if isinstance(label, tuple) else str(label)


def _shares(counts: Counter[str], limit: int) -> dict[str, int]:
    """Return how many of each label are drawn; their sum is `limit`."""
    total = sum(counts.values())
    exact = {label: limit * count / total for label, count in counts.items()}
    shares = {label: int(share) for label, share in exact.items()}
    by_remainder = sorted(exact, key=lambda label: (shares[label] - exact[label], label))
    for label in by_remainder[: limit - sum(shares.values())]:
        shares[label] += 1
    return shares
