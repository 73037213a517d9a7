"""The difference of two scores, candidate less baseline, in points, over the same examples.

Right or wrong answers: McNemar's exact test (`mcnemar`). Partly right ones, F1 of sums, and examples that share a text:
sign flips (`sign_flips`). Both hold their level far in the tails, where Holm's correction of a family needs them; the
bootstrap does not. `python -m benchmarks.score_verdicts` shows how they do on known truths.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from edgebench.errors import NotComparable
from edgebench.stats.mcnemar import ExactMcNemar
from edgebench.stats.sign_flips import SignFlips, sign_flips

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Figures = NDArray[np.float64]
    AnyArray = NDArray[Any]
    Counts = NDArray[np.int64]

_POINTS = 100.0

PairedEstimate: TypeAlias = ExactMcNemar | SignFlips


def align(
    baseline: tuple[Sequence[Hashable], AnyArray], candidate: tuple[Sequence[Hashable], AnyArray]
) -> tuple[AnyArray, AnyArray]:
    """Return both sides' figures in the order of the baseline's examples.

    Args:
        baseline, candidate: ids and figures of the examples, shape (n, ...) each.

    Raises:
        NotComparable: an id twice, or not the same examples on both sides.
    """
    import numpy as np

    (ids, ours), (other_ids, theirs) = baseline, candidate
    at = {id: position for position, id in enumerate(other_ids)}
    if len(at) != len(other_ids) or len(set(ids)) != len(ids):
        raise NotComparable("an example stands in the results twice")
    if set(ids) != set(at):
        alone = len(set(ids) ^ set(at))
        raise NotComparable(f"scored on other examples: {alone} are on one side only")
    return np.asarray(ours), np.asarray(theirs)[[at[id] for id in ids]]


def estimate_difference(
    baseline: Figures, candidate: Figures, *, clusters: Sequence[int] | None = None, seed: int = 0
) -> PairedEstimate:
    """Return an estimate of the difference of the means of paired examples.

    Args:
        baseline, candidate: shape (n,), 0..100 points, the same examples in the same order.
        clusters: of each example, which text it is about; examples of one text are not independent. None: each is
            about its own.
        seed: of the flips, so that the same results say the same twice.

    Raises:
        NotComparable: no example, not as many on both sides, or a figure that is not 0..100.
    """
    import numpy as np

    _refuse_unpaired(len(baseline), len(candidate), clusters)
    both = np.stack([baseline, candidate]).astype(np.float64)
    if not np.all((both >= 0) & (both <= _POINTS)):
        raise NotComparable("the score of an example is not 0..100")
    shared = _shared(clusters)
    difference = both[1] - both[0]
    if shared is None and np.all((both == 0) | (both == _POINTS)):
        return ExactMcNemar(gained=int((difference > 0).sum()), lost=int((difference < 0).sum()), n=len(difference))
    return sign_flips(difference, shared, seed=seed)


def estimate_f1_difference(
    baseline: Counts, candidate: Counts, *, clusters: Sequence[int] | None = None, seed: int = 0
) -> PairedEstimate:
    """Return an estimate of the difference of two F1 over paired examples, which are no means over these.

    What an example adds to the difference is counted from the F1 of both sides together: correct ones less that F1
    times the mean of predicted and expected ones. To swap the two sides of an example flips the sign of that and
    leaves the rest, so that flips are an exact test here, too; and the mean is the difference of the two F1 exactly.

    Args:
        baseline, candidate: shape (n, 3): of each example, in the same order, how many are correct, predicted and
            expected.
        clusters, seed: as for `estimate_difference`.

    Raises:
        NotComparable: no example, not as many on both sides, or fewer predicted or expected than correct.
    """
    import numpy as np

    _refuse_unpaired(len(baseline), len(candidate), clusters)
    both = np.stack([baseline, candidate]).astype(np.float64)
    if np.any(both < 0) or np.any(both[:, :, [0]] > both[:, :, 1:]):
        raise NotComparable("an example has more that is correct than is predicted or expected")
    correct, weight = both[:, :, 0], both[:, :, 1:].mean(axis=2)
    ours, theirs = weight.sum(axis=1)
    f1 = correct.sum() / max(ours + theirs, 1.0)
    added = np.diff(correct - f1 * weight, axis=0)[0]
    # The sum of `added` is 2 ours theirs / (ours + theirs) times the difference; where a side has none, it has no F1.
    scale = (ours + theirs) / (2 * ours * theirs) if ours and theirs else 1 / max(ours + theirs, 1.0)
    return sign_flips(_POINTS * len(added) * scale * added, _shared(clusters), seed=seed)


def _refuse_unpaired(ours: int, theirs: int, clusters: Sequence[int] | None) -> None:
    if not ours or ours != theirs:
        raise NotComparable(f"paired examples needed, got {ours} and {theirs}")
    if clusters is not None and len(clusters) != ours:
        raise NotComparable(f"{ours} examples have the texts of {len(clusters)}")


def _shared(clusters: Sequence[int] | None) -> NDArray[np.int64] | None:
    """Return the clusters if examples share any; None if each is by itself."""
    import numpy as np

    if clusters is None or len(set(clusters)) == len(clusters):
        return None
    return np.asarray(clusters, np.int64)
