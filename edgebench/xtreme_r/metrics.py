"""The metrics of XTREME-R's tasks, by their original definitions, and how they differ from common libraries.

All values are 0..100. The definitions are those of google-research/xtreme at 838c13b6 (evaluate.py and the evaluators
it calls: SQuAD 1.1's, MLQA's, Mewsli-X's, seqeval) and of LAReQA (Roy et al. 2020, arXiv 2004.05484).
"""

from __future__ import annotations

import math
import re
import string
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Versions of seqeval that find different entities if tags are not BIO tags, as in UDPOS.
SEQEVAL_VERSIONS = ("0.0.12", "1.2.2")

Normaliser = Callable[[str], str]

_TOP = 20


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Precision, recall and their harmonic mean; 0 if nothing is correct or nothing is expected."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean, 0..100."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    @classmethod
    def of(cls, *, correct: int, predicted: int, expected: int) -> PrecisionRecall:
        """Return precision and recall from counts."""
        return cls(
            100.0 * correct / predicted if predicted else 0.0,
            100.0 * correct / expected if expected else 0.0,
        )


def accuracy(labels: Sequence[object], predictions: Sequence[object]) -> float:
    """Return the share of predictions that equal the label at the same position.

    Both sequences have the same length and are not empty.
    """
    return 100.0 * sum(p == e for p, e in zip(predictions, labels, strict=True)) / len(labels)


# --- tagging ----------------------------------------------------------------------------------------------------


def tagging(
    labels: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], *, seqeval: str = SEQEVAL_VERSIONS[0]
) -> PrecisionRecall:
    """Return precision and recall of entities, over all sentences together.

    Args:
        labels, predictions: one sequence of tags per sentence, equally long.
        seqeval: the version of seqeval whose reading of tags is followed.

    Entities follow conlleval's rule, as in seqeval. A tag is its first letter (B, I, E, S or O mean what they
    mean in BIOES) and a type. The versions differ in the type: 0.0.12 takes what stands after the last hyphen, or the
    whole tag without one; 1.2.2 takes what stands after the first hyphen that follows the first letter, or all but the
    first letter, and `_` where nothing is left. So with bare UPOS tags (UDPOS) 0.0.12 keeps SCONJ and CCONJ apart and
    1.2.2 doesn't; with both, equal adjacent tags are one entity, so this differs from token accuracy.
    """
    correct, predicted, expected = tagging_counts(labels, predictions, seqeval=seqeval).sum(axis=0).tolist()
    return PrecisionRecall.of(correct=correct, predicted=predicted, expected=expected)


def tagging_counts(
    labels: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], *, seqeval: str = SEQEVAL_VERSIONS[0]
) -> NDArray[np.int64]:
    """Return the numbers of correct, predicted and expected entities of each sentence.

    Shape (sentences, 3). An entity ends with its sentence, so the sums over sentences are those of `tagging`.
    """
    import numpy as np

    flat = [[tag for sentence in sentences for tag in (*sentence, "O")] for sentences in (labels, predictions)]
    tags = _Tags.of({"O"}.union(*flat), seqeval)
    expected, predicted = (tags.entities(sequence) for sequence in flat)
    both = expected.is_last & predicted.is_last & (expected.first == predicted.first)
    columns = (both & (expected.type == predicted.type), predicted.is_last, expected.is_last)
    ends = np.cumsum([len(sentence) + 1 for sentence in labels])
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    return np.stack([np.add.reduceat(column.astype(np.int64), starts) for column in columns], axis=1)


@dataclass(frozen=True, slots=True)
class _Entities:
    """At each position: whether an entity ends there, where the latest began, and the type of the tag."""

    is_last: NDArray[np.bool_]
    first: NDArray[np.int64]
    type: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Tags:
    """A vocabulary of tags by number, their types, and what a tag after another means; shape (tags, tags)."""

    number: Mapping[str, int]
    types: NDArray[np.int64]
    ends: NDArray[np.bool_]  # an entity ends before this tag
    starts: NDArray[np.bool_]  # an entity starts with this tag

    @classmethod
    def of(cls, tags: set[str], seqeval: str) -> _Tags:
        import numpy as np

        type_of = _type_in_0_0_12 if seqeval == SEQEVAL_VERSIONS[0] else _type_in_1_2_2
        ordered = sorted(tags)
        parts = [(tag[0], type_of(tag)) for tag in ordered]
        number = {type: at for at, type in enumerate({type for _, type in parts})}
        return cls(
            {tag: at for at, tag in enumerate(ordered)},
            np.array([number[type] for _, type in parts]),
            np.array([[_ends(before, tag) for tag in parts] for before in parts]),
            np.array([[_starts(before, tag) for tag in parts] for before in parts]),
        )

    def entities(self, sequence: Sequence[str]) -> _Entities:
        """Return the entities of a sequence of tags that ends with O."""
        import numpy as np

        tags = np.array([self.number[tag] for tag in sequence])
        before = np.concatenate([[self.number["O"]], tags[:-1]])
        starts = np.where(self.starts[before, tags], np.arange(len(tags)), 0)
        is_last = np.append(self.ends[tags[:-1], tags[1:]], [False])
        return _Entities(is_last, np.maximum.accumulate(starts), self.types[tags])


def _ends(before: tuple[str, str], tag: tuple[str, str]) -> bool:
    (letter_before, type_before), (letter, type) = before, tag
    return (
        letter_before in "ES"
        or (letter_before in "BI" and letter in "BSO")
        or (letter_before not in "O." and type_before != type)
    )


def _starts(before: tuple[str, str], tag: tuple[str, str]) -> bool:
    (letter_before, type_before), (letter, type) = before, tag
    return letter in "BS" or (letter_before in "ESO" and letter in "EI") or (letter not in "O." and type_before != type)


def _type_in_0_0_12(tag: str) -> str:
    return tag.split("-")[-1]


def _type_in_1_2_2(tag: str) -> str:
    return tag[1:].split("-", maxsplit=1)[-1] or "_"


# --- question answering -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answered:
    """Mean exact match and F1, 0..100, over all questions; an unanswered one counts 0."""

    em: float
    f1: float


def answers(golds: Mapping[str, Sequence[str]], predictions: Mapping[str, str], normalise: Normaliser) -> Answered:
    """Return exact match and F1 of answers. Each answer is compared with the correct answer that fits it best.

    Args:
        golds: right answers by question, at least one each.
        predictions: answer by question; a question that is missing counts 0.
    """
    matches = 0
    f1s = []
    for question, texts in golds.items():
        if question not in predictions:
            continue
        words = normalise(predictions[question])
        rights = [normalise(text) for text in texts]
        matches += words in rights
        f1s.append(max(_word_f1(words.split(), right.split()) for right in rights))
    return Answered(100.0 * matches / len(golds), 100.0 * math.fsum(f1s) / len(golds))


def _word_f1(predicted: Sequence[str], right: Sequence[str]) -> float:
    if predicted == right:
        return 1.0 if right else 0.0  # SQuAD's and MLQA's scripts give 0 where both are empty
    left: dict[str, int] = {}
    for word in right:
        left[word] = left.get(word, 0) + 1
    common = 0
    for word in predicted:
        if left.get(word, 0) > 0:
            left[word] -= 1
            common += 1
    if common == 0:
        return 0.0
    precision, recall = common / len(predicted), common / len(right)
    return 2 * precision * recall / (precision + recall)


_ENGLISH_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
#: MLQA's articles. Arabic's drops the letters ال wherever they stand, as MLQA's script does.
_MLQA_ARTICLES = {
    "en": _ENGLISH_ARTICLES,
    "es": re.compile(r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "vi": re.compile(r"\b(của|là|cái|chiếc|những)\b"),
    "de": re.compile(r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "ar": re.compile("ال"),
}
_HAN = re.compile("([\u4e00-\u9fa5])")


def normalise_squad(text: str) -> str:
    """Return an answer as SQuAD 1.1 compares it: lower case, without ASCII punctuation and English articles.

    XTREME-R uses it for XQuAD and TyDiQA in every language.
    """
    return " ".join(_ENGLISH_ARTICLES.sub(" ", text.lower().translate(_ASCII_PUNCTUATION)).split())


def mlqa_normaliser(lang: str) -> Normaliser:
    """Return what makes answers as MLQA compares them in that language: any punctuation, the language's articles.

    In Chinese every Han character is a word.
    """
    punctuation = _all_punctuation()
    articles = _MLQA_ARTICLES.get(lang)

    def normalise(text: str) -> str:
        text = text.lower().translate(punctuation)
        if articles is not None:
            text = articles.sub(" ", text)
        if lang == "zh":
            text = _HAN.sub(r" \1 ", text)
        return " ".join(text.split())

    return normalise


@cache
def _all_punctuation() -> dict[int, None]:
    unicodes = (code for code in range(sys.maxunicode) if unicodedata.category(chr(code)).startswith("P"))
    return dict.fromkeys([*unicodes, *map(ord, string.punctuation)])


# --- retrieval --------------------------------------------------------------------------------------------------


def bitext(gold_pairs: set[tuple[str, ...]], predicted_pairs: set[tuple[str, ...]]) -> PrecisionRecall:
    """Return precision and recall of mined pairs (BUCC); the threshold was chosen when the pairs were mined."""
    return PrecisionRecall.of(
        correct=len(gold_pairs & predicted_pairs), predicted=len(predicted_pairs), expected=len(gold_pairs)
    )


def mean_average_precision(
    golds: Mapping[str, Sequence[str]], rankings: Mapping[str, Sequence[str]], *, top: int = _TOP
) -> float:
    """Return mAP at `top`, 0..100: the mean over queries of average precision; a query without a ranking counts 0.

    Average precision is the sum of precision at each right candidate among the first `top`, divided by the number of
    right candidates, at most `top`. With one right candidate (Mewsli-X) it is the reciprocal rank.

    Args:
        golds: the right candidates of each query, at least one, each once.
        rankings: candidates from best to worst; a repeated one counts once, and takes a rank each time.
    """
    return 100.0 * math.fsum(_average_precision(golds[q], rankings.get(q, ())[:top], top) for q in golds) / len(golds)


def _average_precision(rights: Sequence[str], ranking: Sequence[str], top: int) -> float:
    left = set(rights)
    found = 0
    total = 0.0
    for rank, candidate in enumerate(ranking, start=1):
        if candidate in left:
            left.remove(candidate)
            found += 1
            total += found / rank
    return total / min(len(rights), top)
