"""Retrieval of parallel texts, as Tatoeba is scored: is the nearest English text the one at the same position?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edgebench.errors import ConfigError, ScoresError
from edgebench.input_texts import read_input_texts
from edgebench.text import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The language that the others are searched in.
PIVOT = "en"
_FIRST_BLOCK = 1024  # candidates

Vectors: TypeAlias = "NDArray[np.float64]"
_Ranked: TypeAlias = "tuple[NDArray[np.float32], NDArray[np.int64]]"  # cosines and positions of candidates


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Accuracy of each language but the pivot, 0..100, over `n` texts each, of which `truncated` in all were cut."""

    accuracy: dict[str, float]
    n: int
    truncated: int = 0

    @property
    def mean(self) -> float:
        """Macro mean over the languages."""
        return sum(self.accuracy.values()) / len(self.accuracy)

    @property
    def worst(self) -> str:
        """The language of the lowest accuracy."""
        return min(self.accuracy, key=lambda lang: self.accuracy[lang])

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        figures = {"n": self.n, "mean": self.mean, "accuracy": self.accuracy, "truncated": self.truncated}
        return {"metric": "accuracy", "pivot": PIVOT, **figures}


def read_parallel(path: Path) -> dict[str, list[str]]:
    """Return the texts of each language, aligned by position, the pivot first.

    The file is JSON: {"en": ["...", ...], "sw": [...]}, or that under one key beside keys that begin with `_`; or CSV
    with a column for each language.

    Raises:
        ScoresError: it can't be read, is something else, or the languages have different numbers of texts.
    """
    try:
        found = read_input_texts(path)
    except ConfigError as error:
        raise ScoresError(error.args[0], hint=error.hint) from error
    if found.parallel is None:
        raise ScoresError(
            f"{path}: not parallel texts: it has {len(found.lines or ())} texts of one language, one a line, and "
            f'retrieval needs {PIVOT} and one more; they look like {{"en": ["one", "two"], "sw": ["moja", "mbili"]}}'
        )
    texts = {lang: list(lines) for lang, lines in found.parallel.items()}
    if PIVOT not in texts or len(texts) < 2:
        raise ScoresError(f"{path}: has {', '.join(texts) or 'no language'}; retrieval needs {PIVOT} and one more")
    if len(texts[PIVOT]) < 2:
        raise ScoresError(
            f"{path}: has {counted(len(texts[PIVOT]), 'text')} in each language; retrieval needs two or more"
        )
    return {PIVOT: texts[PIVOT]} | texts


def pooled(states: NDArray[np.generic], tokens: int) -> Vectors:
    """Return the unit-length mean of the first `tokens` states of shape (tokens or more, hidden); shape (hidden,)."""
    import numpy as np

    vector = states[:tokens].astype(np.float64).mean(axis=0)
    return np.asarray(vector / np.linalg.norm(vector))


def retrieve(vectors: Vectors, langs: Sequence[str]) -> Retrieval:
    """Return the accuracy of each language, cosine similarity, one nearest neighbour.

    Args:
        vectors: of unit length, shape (languages * texts, hidden): all of the first language, then of the next.
        langs: the pivot is among them.
    """
    parts = split(vectors, langs)
    return Retrieval(
        accuracy={lang: 100.0 * _hits(part, parts[PIVOT]) for lang, part in parts.items() if lang != PIVOT},
        n=len(parts[PIVOT]),
    )


def split(vectors: Vectors, langs: Sequence[str]) -> Mapping[str, Vectors]:
    """Return the vectors of each language."""
    import numpy as np

    return dict(zip(langs, np.split(vectors, len(langs)), strict=True))


def nearest(vectors: Vectors, candidates: Vectors) -> NDArray[np.int64]:
    """Return the position of the nearest candidate of each vector, by cosine; shape (vectors,)."""
    import numpy as np

    return np.asarray((vectors @ candidates.T).argmax(axis=1))


def nearest_candidates(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], *, count: int, block: int = 1 << 15
) -> NDArray[np.int64]:
    """Return the positions of the `count` nearest candidates of each query by cosine, nearest first.

    Args:
        queries: shape (queries, hidden), of any length.
        candidates: shape (candidates, hidden), of any length; may be memory-mapped (`numpy.load(mmap_mode="r")`).
        block: number of candidates in memory at a time, which takes 4 * block * (queries + 2 * hidden) bytes.

    Returns:
        Shape (queries, min(count, candidates)); equally near candidates keep their order.

    Raises:
        ScoresError: a vector is zero or not finite, or the numbers of dimensions differ.
    """
    import numpy as np

    if queries.ndim != 2 or candidates.ndim != 2 or queries.shape[1] != candidates.shape[1]:
        raise ScoresError(f"queries of shape {queries.shape} can't be matched with candidates of {candidates.shape}")
    units = _unit(queries, "query", 0)
    best: list[_Ranked] = [(np.empty(0, np.float32), np.empty(0, np.int64))] * len(units)
    for start, end in _blocks(len(candidates), block):
        similar = units @ _unit(candidates[start:end], "candidate", start).T
        least = np.array([values[count - 1] if len(values) == count else -np.inf for values, _ in best])
        # After some blocks few candidates are near enough, so one comparison each and a small sort suffice.
        rows, columns = np.nonzero(similar > least[:, None].astype(np.float32))
        borders = np.searchsorted(rows, np.arange(len(units) + 1))
        for row in np.unique(rows):
            near = columns[borders[row] : borders[row + 1]]
            best[row] = _merged(best[row], (similar[row, near], near + start), count)
    return np.array([positions for _, positions in best])


def _blocks(total: int, largest: int) -> Iterator[tuple[int, int]]:
    """Yield the borders of blocks. The first are small, because all of their candidates must be sorted."""
    start, size = 0, min(_FIRST_BLOCK, largest)
    while start < total:
        yield start, min(start + size, total)
        start, size = start + size, min(2 * size, largest)


def _merged(best: _Ranked, more: _Ranked, count: int) -> _Ranked:
    """Return the `count` largest of both, largest first; equal ones keep their order."""
    import numpy as np

    values, positions = np.concatenate([best[0], more[0]]), np.concatenate([best[1], more[1]])
    if len(values) > 8 * count:  # avoids a sort of all; candidates equal to the last one stay in
        kept = np.flatnonzero(values >= np.partition(values, len(values) - count)[len(values) - count])
        values, positions = values[kept], positions[kept]
    order = np.argsort(-values, kind="stable")[:count]
    return values[order], positions[order]


def _unit(vectors: NDArray[np.float32], what: str, first: int) -> NDArray[np.float32]:
    import numpy as np

    norms = np.linalg.norm(np.asarray(vectors, np.float32), axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)))
    if bad.size:
        raise ScoresError(f"the vector of {what} {first + int(bad[0])} is zero or not finite: nothing is near to it")
    return np.asarray(vectors / norms, np.float32)


def _hits(vectors: Vectors, candidates: Vectors) -> float:
    import numpy as np

    return float(np.mean(nearest(vectors, candidates) == np.arange(len(candidates))))
