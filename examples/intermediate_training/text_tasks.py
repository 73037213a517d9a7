"""Make an intermediate and a target task of parallel text, so that all phases run where no hub can be reached.

    python text_tasks.py PARALLEL.json data

PARALLEL.json: {"articles": {"en": [text, ...], "sw": [text, ...], ...}}, aligned by position. What becomes of it:

    data/xnli/test-LANG.tsv       the target: XNLI's three labels and layout, which `edgebench evaluate` reads
    data/train/spans.jsonl        the target's training examples, in English
    data/train/TASK.KIND.jsonl    the intermediate tasks `next` and `order`: english, multilingual, translated
    data/train/text.jsonl         plain text of all languages, for masked language modelling

A third of the articles is held out: none of their text is in data/train.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PIVOT = "en"
#: XNLI's languages: only they have files that `edgebench evaluate --task xnli` looks for.
XNLI = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")
TEST_EVERY = 3  # articles
FIRST_WORDS, SECOND_WORDS = (14, 20), (7, 11)  # of the pivot's, from and to
LONGEST_WORD = 15  # letters on average; more: a script without spaces between words

Articles = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of an article, from `start` to `end` of its length (0..1): about the same content in each language."""

    article: int
    start: float
    end: float

    def text(self, articles: Sequence[str]) -> str:
        units, joint = units_of(articles[self.article])
        first, last = round(self.start * len(units)), round(self.end * len(units))
        return joint.join(units[first : max(last, first + 1)]).strip()


@dataclass(frozen=True, slots=True)
class Pair:
    """An example before it is written in a language."""

    first: Span
    second: Span
    label: str

    def row(self, articles: Articles, lang: str) -> dict[str, str]:
        first, second = self.first.text(articles[lang]), self.second.text(articles[lang])
        return {"first": first, "second": second, "label": self.label, "lang": lang}


def units_of(text: str) -> tuple[list[str], str]:
    """Return what a span is counted in, and what joins it: words, or letters where words have no spaces between."""
    words = text.split()
    return (list(text), "") if len(text) > LONGEST_WORD * len(words) else (words, " ")


class Drawer:
    """Draws pairs of spans from some of the articles; `lengths`: of each article in words of the pivot."""

    def __init__(self, lengths: Sequence[int], among: Iterable[int], seed: int) -> None:
        self.random = random.Random(seed)
        self.lengths = lengths
        self.among = [article for article in among if lengths[article] >= FIRST_WORDS[0] + SECOND_WORDS[0]]
        if len(self.among) < 2:
            raise SystemExit("too few articles are long enough; give more text")

    def target(self) -> Pair:
        """The second span is a part of the first, in part, or not at all, of the same article or of another."""
        label = self.random.choice(("entailment", "neutral", "contradiction"))
        article, first, second = self._lengths()
        if label == "entailment":
            start = self._start(article, first)
            part = start + self.random.randint(0, first - second)
            return self._pair(article, (start, first), article, (part, second), label)
        if label == "neutral":
            return self._overlapping(article, first, second, label)
        return self.random.choice((self._apart, self._elsewhere))(article, first, second, label)

    def next(self) -> Pair:
        """The second span goes on where the first ends, or is of another article: BERT's next sentence prediction."""
        article, first, second = self._lengths()
        if self.random.random() < 0.5:
            return self._elsewhere(article, first, second, "other")
        start = self._start(article, first + second)
        return self._pair(article, (start, first), article, (start + first, second), "next")

    def order(self) -> Pair:
        """Two spans side by side, as they stand or exchanged: ALBERT's sentence order prediction."""
        article, first, second = self._lengths()
        start = self._start(article, first + second)
        pair = self._pair(article, (start, first), article, (start + first, second), "as written")
        if self.random.random() < 0.5:
            return pair
        return Pair(pair.second, pair.first, "exchanged")

    def _lengths(self) -> tuple[int, int, int]:
        article = self.random.choice(self.among)
        second = self.random.randint(*SECOND_WORDS)
        first = min(self.random.randint(*FIRST_WORDS), self.lengths[article] - second)
        return article, first, min(first, second)

    def _start(self, article: int, words: int) -> int:
        return self.random.randint(0, max(0, self.lengths[article] - words))

    def _apart(self, article: int, first: int, second: int, label: str) -> Pair:
        rest = self.lengths[article] - first - second
        begin = self.random.randint(0, rest)
        gap = self.random.randint(0, rest - begin)
        if self.random.random() < 0.5:
            return self._pair(article, (begin, first), article, (begin + first + gap, second), label)
        return self._pair(article, (begin + second + gap, first), article, (begin, second), label)

    def _overlapping(self, article: int, first: int, second: int, label: str) -> Pair:
        """Half of the second span is in the first, the other half before or after it."""
        beyond = second // 2
        begin = self._start(article, first + beyond)
        if self.random.random() < 0.5:
            return self._pair(article, (begin, first), article, (begin + first + beyond - second, second), label)
        return self._pair(article, (begin + beyond, first), article, (begin, second), label)

    def _elsewhere(self, article: int, first: int, second: int, label: str) -> Pair:
        other = self.random.choice([each for each in self.among if each != article])
        return self._pair(
            article, (self._start(article, first), first), other, (self._start(other, second), second), label
        )

    def _pair(self, first: int, at: tuple[int, int], second: int, other: tuple[int, int], label: str) -> Pair:
        return Pair(self._span(first, *at), self._span(second, *other), label)

    def _span(self, article: int, start: int, words: int) -> Span:
        length = self.lengths[article]
        return Span(article, start / length, (start + words) / length)


def rows_of(draw: Callable[[], Pair], count: int, kind: str, articles: Articles, seed: int) -> list[dict[str, str]]:
    """Return rows of a kind.

    english: `count` examples in English; multilingual: as many, each in a language that is drawn; translated: the
    English ones in every language.
    """
    pairs = [draw() for _ in range(count)]
    langs = list(articles)
    if kind == "english":
        return [pair.row(articles, PIVOT) for pair in pairs]
    if kind == "translated":
        return [pair.row(articles, lang) for pair in pairs for lang in langs]
    stream = random.Random(seed)
    return [pair.row(articles, stream.choice(langs)) for pair in pairs]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parallel", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--langs", nargs="+", help="of the intermediate tasks and the text (all of the file)")
    parser.add_argument("--train", type=int, default=4000, metavar="N", help="training examples of each task (4000)")
    parser.add_argument("--test", type=int, default=300, metavar="N", help="test examples of each language (300)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    articles: Articles = json.loads(options.parallel.read_text(encoding="utf-8"))["articles"]
    lengths = [len(text.split()) for text in articles[PIVOT]]
    held_out = range(TEST_EVERY - 1, len(lengths), TEST_EVERY)
    seen = [article for article in range(len(lengths)) if article not in held_out]
    chosen = {lang: articles[lang] for lang in options.langs or articles}

    test = Drawer(lengths, held_out, options.seed)
    pairs = [test.target() for _ in range(options.test)]
    for lang in sorted(set(XNLI) & set(articles)):
        lines = ["\t".join(pair.row(articles, lang)[key] for key in ("first", "second", "label")) for pair in pairs]
        write(options.out / "xnli" / f"test-{lang}.tsv", lines)

    train = Drawer(lengths, seen, options.seed + 1)
    spans = rows_of(train.target, options.train, "english", articles, options.seed)
    write_rows(options.out / "train" / "spans.jsonl", spans)
    for name in ("next", "order"):
        for kind in ("english", "multilingual", "translated"):
            drawer = Drawer(lengths, seen, options.seed + 2)
            rows = rows_of(getattr(drawer, name), options.train, kind, chosen, options.seed)
            write_rows(options.out / "train" / f"{name}.{kind}.jsonl", rows)
    text = [{"text": chosen[lang][article], "lang": lang} for lang in chosen for article in seen]
    write_rows(options.out / "train" / "text.jsonl", text)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write(path, [json.dumps(row, ensure_ascii=False) for row in rows])


def write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{path}: {len(lines)}")


if __name__ == "__main__":
    main()
