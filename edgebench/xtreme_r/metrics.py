"""The metrics of XTREME-R's tasks, by their definitions; on what they disagree with common libraries, and why.

All values are 0..100. The definitions are those of google-research/xtreme at 838c13b6 (evaluate.py and the evaluators
it calls: SQuAD 1.1's, MLQA's, Mewsli-X's, seqeval) and of LAReQA (Roy et al. 2020, arXiv 2004.05484).
"""

from __future__ import annotations

import math
import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

#: The versions of seqeval that tell entities apart differently where a tag is no BIO tag, as in UDPOS.
SEQEVAL_VERSIONS = ("0.0.12", "1.2.2")

Normaliser = Callable[[str], str]

_TOP = 20


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Precision, recall and their harmonic mean; 0 where nothing is right or nothing is there to be right."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean, 0..100."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    @classmethod
    def of(cls, *, correct: int, predicted: int, expected: int) -> PrecisionRecall:
        """Return it from counts."""
        return cls(
            100.0 * correct / predicted if predicted else 0.0,
            100.0 * correct / expected if expected else 0.0,
        )


def accuracy(labels: Sequence[object], predictions: Sequence[object]) -> float:
    """Return the share of predictions that equal the label of the same position. At least one, equally many."""
    return 100.0 * sum(p == e for p, e in zip(predictions, labels, strict=True)) / len(labels)


# --- tagging ----------------------------------------------------------------------------------------------------

Span = tuple[str, int, int]


def tagging(
    labels: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], *, seqeval: str = SEQEVAL_VERSIONS[0]
) -> PrecisionRecall:
    """Return precision and recall of entities, over all sentences together.

    Args:
        labels, predictions: one sequence of tags per sentence, equally long.
        seqeval: the version of seqeval whose reading of tags is followed; see `spans`.
    """
    expected = set(spans(labels, seqeval=seqeval))
    predicted = set(spans(predictions, seqeval=seqeval))
    return PrecisionRecall.of(correct=len(expected & predicted), predicted=len(predicted), expected=len(expected))


def spans(sentences: Iterable[Sequence[str]], *, seqeval: str = SEQEVAL_VERSIONS[0]) -> Iterator[Span]:
    """Yield (type, first, last) of each entity; positions count over all sentences with one place between two.

    The rule is conlleval's as seqeval has it: a tag is its first letter (B, I, E, S or O mean what they mean in BIOES)
    and a type. They differ in the type: 0.0.12 takes what stands after the last hyphen, or the whole tag without one;
    1.2.2 takes what stands after the first hyphen that follows the first letter, or all but the first letter, and `_`
    where nothing is left. So with bare UPOS tags (UDPOS) 0.0.12 keeps SCONJ and CCONJ apart and 1.2.2 doesn't; with
    both, equal tags in a row are one entity, so this is no accuracy of tokens.
    """
    type_of = _type_in_0_0_12 if seqeval == SEQEVAL_VERSIONS[0] else _type_in_1_2_2
    known = {tag: (tag[0], type_of(tag)) for tag in {"O"}.union(*sentences := list(sentences))}
    position = first = 0
    before, type_before = "O", ""
    for sentence in sentences:
        for tag in (*sentence, "O"):
            letter, type = known[tag]
            changed = type != type_before
            if before in "ES" or (before in "BI" and letter in "BSO") or (before not in "O." and changed):
                yield type_before, first, position - 1
            if letter in "BS" or (before in "ESO" and letter in "EI") or (letter not in "O." and changed):
                first = position
            before, type_before = letter, type
            position += 1


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
    """Return exact match and F1 of answers; with several right answers each counts against the one that fits it best.

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
    common = sum((Counter(predicted) & Counter(right)).values())
    if common == 0:  # also where both are empty: SQuAD's and MLQA's scripts give 0 there
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
    """Return precision and recall of mined pairs (BUCC); the threshold is whoever's who mined them."""
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
