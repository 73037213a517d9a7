"""Caveats: why a score may not mean what it seems to mean. A sentence each, which begins with its kind.

- `partial`: not the whole test set (a limit, a smaller data set, the dev split).
- `chance level`, `below chance`: what guessing scores, or surely less, which points to labels in another order.
- `labels`: the model's labels are not those of the task, or its answers fit better with other names.

Chance is judged by the binomial distribution where a guess has a known chance: classification and Tatoeba. In the other
tasks, only a score of 0 is at chance level.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgebench.errors import UnknownName
from edgebench.xtreme_r.example_types import Examples
from edgebench.xtreme_r.tasks import Task, find_task

PARTIAL, CHANCE, BELOW_CHANCE, LABELS = "partial", "chance level", "below chance", "labels"
KINDS = (PARTIAL, CHANCE, BELOW_CHANCE, LABELS)

_COMPLETE = 0.97  # of the published size; releases of one test set differ by less (PAWS-X: up to 2.7 %)
_CHANCE_P = 0.05  # a score that guessing reaches more often than this is at chance level
_BELOW_P = 0.01
_RENAMED_P = 0.001
_RENAMED_POINTS = 30  # by how many points other names of the labels must fit better
_OUTSIDE = "O"  # the tag of most words of NER, which says nothing of the other tags' names


def caveats_of(
    task: str,
    lang: str,
    metric: str,
    value: float,
    n: int | None,
    *,
    split: str = "test",
    limit: int | None = None,
    known: Iterable[str] = (),
) -> tuple[str, ...]:
    """Return the caveats of a score that its figures alone show, after those that are `known` already.

    Args:
        value: 0..100.
        n: number of examples; None: not known, and then only chance is judged, as if the test set were complete.
        split, limit: of the examples, where they are known.
        known: caveats that were recorded with the score; a kind that is among them is not judged again.
    """
    found = list(dict.fromkeys(known))
    kinds = {kind_of(caveat) for caveat in found}
    try:
        of = find_task(task)
    except UnknownName:  # a store of another version may have a task that this one lacks
        return tuple(found)
    if PARTIAL not in kinds and (text := _partial(of, lang, n, split, limit)) is not None:
        found.append(text)
    if not kinds & {CHANCE, BELOW_CHANCE} and (text := _by_chance(of, lang, metric, value, n)) is not None:
        found.append(text)
    return tuple(found)


def kind_of(caveat: str) -> str:
    """Return the kind that a caveat begins with; the caveat itself where it names none."""
    return next((kind for kind in KINDS if caveat.startswith(f"{kind}: ")), caveat)


def kinds_of(caveats: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of some caveats, each once."""
    return tuple(dict.fromkeys(map(kind_of, caveats)))


def _partial(task: Task, lang: str, n: int | None, split: str, limit: int | None) -> str | None:
    whole, dev = task.size(lang), task.size(lang, "dev")
    if split != "test":
        return f"{PARTIAL}: the {split} split{f', {n} examples' if n else ''}, not the test set"
    if n is None:
        return f"{PARTIAL}: a limit of {limit} examples" if limit is not None else None
    if whole is None:
        return f"{PARTIAL}: {n} examples (a limit of {limit})" if limit is not None and n >= limit else None
    if n < _COMPLETE * whole:
        if limit is not None:
            return f"{PARTIAL}: {n} of {whole} examples (a limit of {limit})"
        also = ", as many as the dev split has" if n == dev else ""
        return f"{PARTIAL}: {n} of the test set's {whole} examples{also}"
    if n * _COMPLETE > whole:
        return f"{PARTIAL}: {n} examples, and the test set has {whole}: not the published one"
    return None


def _by_chance(task: Task, lang: str, metric: str, value: float, n: int | None) -> str | None:
    if metric != "accuracy":
        return f"{CHANCE}: not one answer is right" if value == 0 and metric in ("f1", "map@20") else None
    from scipy.special import bdtr, bdtrc  # scipy.stats takes a second to import

    count = n or task.size(lang) or 0
    share = 1 / (len(task.labels) or count or 1)  # Tatoeba: one of the English sentences
    right = round(value / 100 * count)
    if count and bdtr(right, count, share) < _BELOW_P:
        return f"{BELOW_CHANCE}: guessing scores {100 * share:.1f}; is the order of the labels (id2label) right?"
    if not count or right == 0 or bdtrc(right - 1, count, share) > _CHANCE_P:
        few = f" with {count} examples" if n else ""
        return f"{CHANCE}: guessing scores {100 * share:.1f}, and this is not surely more{few}"
    return None


def label_caveats(task: Task, labels: Sequence[str], needed: Iterable[str]) -> tuple[str, ...]:
    """Return what is wrong with the labels of a model's outputs.

    Args:
        labels: the task's label of each output.
        needed: labels that occur among the right answers.
    """
    if not labels:
        return ()
    found = []
    twice = [label for label, times in Counter(labels).items() if times > 1]
    if twice:
        found.append(f"{LABELS}: {len(labels)} outputs of the model, of which several are {', '.join(sorted(twice))}")
    wanted = set(task.labels) if task.group == "classification" else set(needed)
    if absent := sorted(wanted - set(labels)):
        found.append(f"{LABELS}: the model has no {', '.join(absent)}, so such examples are never right")
    return tuple(found)


def renaming_caveat(task: Task, right: Sequence[Any], answers: Sequence[Any]) -> str | None:
    """Return a caveat if the answers would fit far better with the labels' names exchanged; None otherwise.

    Args:
        right, answers: a label of each example or, in tagging, a tag of each word.

    The best assignment of names is found by the Hungarian method (scipy). It counts where it is better by 30 points
    and where guessing would hardly reach it under any of the possible assignments.
    """
    pairs = Counter((str(one), str(other)) for one, other in _compared(task, right, answers))
    total = sum(pairs.values())
    names = sorted({name for pair in pairs for name in pair})
    if len(names) < 2:
        return None
    best = _best_names(pairs, names)
    fits = sum(count for (gold, answer), count in pairs.items() if best[answer] == gold)
    now = sum(count for (gold, answer), count in pairs.items() if gold == answer)
    if fits - now < _RENAMED_POINTS / 100 * total or _chance_of(fits, total, len(names)) > _RENAMED_P:
        return None
    moved = [f"{answer} as {gold}" for answer, gold in best.items() if answer != gold and pairs[gold, answer]]
    return (
        f"{LABELS}: {100 * now / total:.0f} % of the answers are right, and {100 * fits / total:.0f} % would be if the "
        f"model's labels were read otherwise ({', '.join(moved)}); is id2label in order?"
    )


def _compared(task: Task, right: Sequence[Any], answers: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    pairs = zip(right, answers, strict=True)
    if task.group != "tagging":
        return pairs
    words = (word for tags in pairs for word in zip(*tags, strict=True))
    return [word for word in words if _OUTSIDE not in word]


def _best_names(pairs: Mapping[tuple[str, str], int], names: Sequence[str]) -> dict[str, str]:
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    counts = np.array([[pairs.get((gold, answer), 0) for gold in names] for answer in names])
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return {names[row]: names[column] for row, column in zip(rows, columns, strict=True)}


def _chance_of(fits: int, total: int, names: int) -> float:
    """Return a bound on the probability that guessing fits so well under the best of all assignments."""
    from scipy.special import bdtrc

    return float(bdtrc(fits - 1, total, 1 / names)) * math.exp(min(math.lgamma(names + 1), 700))


def answer_caveats(
    task: Task, examples: Examples, predictions: Sequence[Any], labels: Sequence[str]
) -> tuple[str, ...]:
    """Return what a model's labels and its answers to a task's examples give to think about.

    Args:
        predictions: one for each example; see `decode`.
        labels: the task's label of each of the model's outputs; empty where a task has none.
    """
    right = examples.labels
    if right is None or task.group not in ("classification", "tagging"):
        return ()
    needed = {str(tag) for each in right for tag in (each if isinstance(each, tuple) else (each,))}
    renamed = renaming_caveat(task, right, predictions)
    return (*label_caveats(task, labels, needed), *((renamed,) if renamed else ()))
