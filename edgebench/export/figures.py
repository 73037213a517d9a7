"""Figures of parity: how far one output is from torch's, in the terms of what it means.

Cosine and largest difference say little of decisions: the cosine of one logit is its sign, and a large constant part
hides what distinguishes the examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from edgebench.artifact import OutputParity
from edgebench.export.heads import Answer, Meaning, Output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]
    Wide: TypeAlias = NDArray[np.float64]

#: Logits that differ by less, relative to the largest, are equal: their order is rounding.
_TIE = 1e-5
#: A spread below this part of the values is rounding.
_CONSTANT = 1e-6
_MULTI_LABEL, _REGRESSION = "multi_label_classification", "regression"


def meaning_of(output: Output, task: str, expected: Sequence[Floats], *, problem_type: str | None) -> Meaning:
    """Return what an output means.

    Args:
        task: of the head.
        expected: torch's values, one array per example.
        problem_type: as in config.json.
    """
    if output.answer is Answer.STATES:
        return Meaning.STATES
    if output.answer is Answer.VECTOR:
        return Meaning.VECTOR
    if output.answer is Answer.POSITIONS:
        return Meaning.POSITIONS
    width = max(values.shape[-1] for values in expected)
    if output.answer is Answer.TOKEN_LABELS:
        return Meaning.REGRESSION if width == 1 else Meaning.VOCABULARY if task == "masked-lm" else Meaning.TAGS
    if problem_type == _REGRESSION:
        return Meaning.REGRESSION
    if problem_type == _MULTI_LABEL:
        return Meaning.LABELS
    if width == 1:
        return Meaning.SCORE
    return Meaning.CHOICE if task == "multiple-choice" else Meaning.CLASS


def compare_output(
    expected: Sequence[Floats], actual: Sequence[Floats | None], output: Output, meaning: Meaning
) -> OutputParity:
    """Return how far an output is from torch's, over examples.

    An output that is missing, misshapen or not finite is infinitely far.
    """
    import numpy as np

    pairs = [(a, b) for a, b in zip(expected, actual, strict=True) if b is not None and a.shape == b.shape]
    complete = len(pairs) == len(expected)
    cosines = [_cosine(_vector(a, meaning), _vector(b, meaning)) for a, b in pairs] if complete else [0.0]
    distance = max(_difference(a, b) for a, b in pairs) if complete else float("inf")
    decides = meaning not in (Meaning.STATES, Meaning.VECTOR, Meaning.SCORE, Meaning.REGRESSION, Meaning.LABELS)
    figures: dict[str, float | None] = {}
    if np.isfinite(distance):
        figures = _figures(pairs, meaning)
    return OutputParity(
        name=output.name,
        max_abs_diff=distance,
        cosine=min(cosines),
        mean_cosine=float(np.mean(cosines)),
        argmax_agreement=_argmax_agreement(pairs) if decides and complete else (0.0 if decides else None),
        **figures,
    )


def _figures(pairs: Sequence[tuple[Floats, Floats]], meaning: Meaning) -> dict[str, float | None]:
    """Return the figures that some meanings have."""
    import numpy as np

    if meaning in (Meaning.STATES, Meaning.VECTOR):
        expected, actual = (np.stack([_vector(pair[side], meaning) for pair in pairs]) for side in (0, 1))
        return {"rank_correlation": rank_correlation(_similarities(expected), _similarities(actual))}
    if meaning not in (Meaning.SCORE, Meaning.REGRESSION, Meaning.LABELS):
        return {}
    # One row per example (or token), one column per label.
    expected, actual = (
        np.concatenate([np.atleast_2d(pair[side].astype(np.float64)) for pair in pairs]) for side in (0, 1)
    )
    if meaning is Meaning.LABELS:
        same = (expected > 0) == (actual > 0)
        return {"label_agreement": float(same.mean()), "worst_label_agreement": float(same.mean(axis=0).min())}
    columns = range(expected.shape[1])
    ranks = [rank_correlation(expected[:, column], actual[:, column]) for column in columns]
    return {
        "rank_correlation": min((rank for rank in ranks if rank is not None), default=None),
        "relative_error": max(relative_error(expected[:, column], actual[:, column]) for column in columns),
    }


def spread_error(pairs: Sequence[tuple[Floats, Floats]], meaning: Meaning) -> float:
    """Return the sum of squared errors, relative to how much torch's values differ from their mean; 0 is perfect.

    Args:
        pairs: of each example, torch's values and the other ones, of the same shape.
    """
    import numpy as np

    def rows(values: Floats) -> Wide:
        if meaning in (Meaning.STATES, Meaning.VECTOR):
            return _vector(values, meaning)[None]
        wide = values.astype(np.float64)
        return wide[:, None] if meaning is Meaning.POSITIONS else np.atleast_2d(wide)

    expected, actual = (np.concatenate([rows(pair[side]) for pair in pairs]) for side in (0, 1))
    error, spread = float(((actual - expected) ** 2).sum()), float(((expected - expected.mean(axis=0)) ** 2).sum())
    return error / max(spread, np.finfo(np.float64).tiny) if np.isfinite(error) else float("inf")


def rank_correlation(expected: Wide, actual: Wide) -> float | None:
    """Return Spearman's correlation of two rankings, -1..1; None if torch's values are all the same.

    Args:
        expected, actual: shape (n,).
    """
    import numpy as np

    if len(expected) < 3 or np.ptp(expected) <= _CONSTANT * np.abs(expected).max():
        return None
    if np.ptp(actual) == 0:
        return 0.0
    from scipy.stats import spearmanr

    return float(spearmanr(expected, actual).statistic)


def relative_error(expected: Wide, actual: Wide) -> float:
    """Return the root of the mean square error, relative to the standard deviation of torch's values.

    Where these are all the same, it is relative to their size.
    """
    import numpy as np

    error = float(np.sqrt(np.mean((actual - expected) ** 2)))
    spread, size = float(expected.std()), float(np.abs(expected).max())
    scale = spread if spread > _CONSTANT * size else size
    return error / scale if scale > 0 else (0.0 if error == 0 else 1.0)


def _argmax_agreement(pairs: Sequence[tuple[Floats, Floats]]) -> float:
    """Return the share of decisions that are the same. Where torch's best values tie, each of them is right."""
    import numpy as np

    same = []
    for expected, actual in pairs:
        best = expected.max(axis=-1)
        chosen = np.take_along_axis(expected, actual.argmax(axis=-1)[..., None], axis=-1)[..., 0]
        same.append(np.atleast_1d(best - chosen <= _TIE * np.abs(expected).max(initial=0)))
    return float(np.concatenate(same).mean())


def _similarities(vectors: Wide) -> Wide:
    """Return the cosines of all pairs of vectors, shape (n * (n - 1) / 2,)."""
    import numpy as np

    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1)
    similarities: Wide = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    return similarities


def _vector(values: Floats, meaning: Meaning) -> Wide:
    """Return an example's output as one vector; states are averaged over tokens."""
    import numpy as np

    wide = values.astype(np.float64)
    return wide.mean(axis=0) if meaning is Meaning.STATES else wide.ravel()


def _difference(a: Floats, b: Floats) -> float:
    """Return the largest absolute difference; infinity if a value is not finite."""
    import numpy as np

    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    return float(np.abs(a - b).max())


def _cosine(a: Wide, b: Wide) -> float:
    """Return the cosine of two vectors; 0 if one is zero or not finite."""
    import numpy as np

    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return min(1.0, float(a @ b) / norm) if norm > 0 and np.isfinite(norm) else 0.0
