"""Encoding: turns a task's examples into input sequences, by the conventions of the task.

The conventions are those of google-research/xtreme at 838c13b6 (its scripts and third_party) and, for questions, of
transformers' examples/pytorch/question-answering/run_qa.py. Lengths are in tokens, special tokens included. They
are limited to the model's longest input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from edgebench.errors import ConfigError
from edgebench.xtreme_r.example_types import Candidate, Choice, Examples, Input, Pair, Question, Words
from edgebench.xtreme_r.tasks import Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer

P = ParamSpec("P")
T = TypeVar("T")

_MAX_LEN = {"xquad": 384, "mlqa": 384, "tydiqa": 384, "tatoeba": 512, "bucc2018": 512, "mewslix": 64, "lareqa": 96}
_MAX_LEN_ELSE = 128
_MAX_LEN_CANDIDATES = {"lareqa": 256}
#: Languages written without spaces: their words are only known if the task provides them.
_WITHOUT_SPACES = ("ja", "my", "th", "zh")
_QUESTION_SHARE = 6  # 64 of 384 tokens
_STRIDE_SHARE = 3  # 128 of 384


@dataclass(frozen=True, slots=True)
class Window:
    """Positions of words or of context characters in the tokens of one inference.

    Attributes:
        words: tagging: the position of the first token of each word.
        offsets: QA: the character range of each token in the context; None for tokens outside the context.
    """

    words: tuple[int, ...] = ()
    offsets: tuple[tuple[int, int] | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInputs:
    """The sequences of a task's examples, in order.

    Attributes:
        sequences: token ids; each inference takes `choices` of them.
        owners: shape (inferences,): the index of the example of each inference; an example may need several.
        windows: shape (inferences,).
        truncated: number of sequences that were truncated.
    """

    sequences: list[list[int]]
    choices: int
    owners: list[int]
    windows: list[Window]
    truncated: int

    def tokens_of_examples(self, count: int) -> list[int]:
        """Return the number of tokens of each of `count` examples, over all of its sequences."""
        found = [0] * count
        for position, sequence in enumerate(self.sequences):
            found[self.owners[position // self.choices]] += len(sequence)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Fertility:
    """How a tokenizer splits words, as Rust et al. (2021, arXiv 2012.15613) define it.

    Attributes:
        fertility: tokens per word.
        continued: share of words that are split into two or more tokens.
        words: number of words.
    """

    fertility: float
    continued: float
    words: int


def _clear_errors(encode: Callable[P, T]) -> Callable[P, T]:
    """Return the function with errors of the tokenizers library, which has no class for them, as ConfigError."""

    @wraps(encode)
    def encode_clearly(*args: P.args, **values: P.kwargs) -> T:
        try:
            return encode(*args, **values)
        except BaseException as error:
            if type(error) is not Exception and type(error).__name__ != "PanicException":
                raise
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"the checkpoint's tokenizer can't encode the examples: {reason}") from error

    return encode_clearly


def lengths_of(task: Task, longest: int | None) -> dict[str, int]:
    """Return the lengths, in tokens, that a task's inputs are truncated to; `longest`: the model's longest input."""
    most = longest if longest is not None else 1 << 20
    max_len = min(_MAX_LEN.get(task.name, _MAX_LEN_ELSE), most)
    lengths = {"max_len": max_len}
    if task.group == "qa":
        lengths |= {"doc_stride": max_len // _STRIDE_SHARE, "max_question_len": max_len // _QUESTION_SHARE}
    if task.name in _MAX_LEN_CANDIDATES:
        lengths |= {"max_candidate_len": min(_MAX_LEN_CANDIDATES[task.name], most)}
    return lengths


@_clear_errors
def encode_examples(
    tokenizer: Tokenizer, task: Task, examples: Examples, *, longest: int | None, prefix: str = ""
) -> TaskInputs:
    """Return a task's examples as TaskInputs; `prefix` goes before each text of a retrieval task."""
    lengths = lengths_of(task, longest)
    if task.group == "tagging":
        return _words(tokenizer, examples, lengths["max_len"])
    if task.group == "qa":
        return _questions(tokenizer, examples, **lengths)
    if task.group == "retrieval":
        return _plain(tokenizer, [prefix + str(text) for text in examples.inputs], lengths["max_len"])
    pairs = [pair for example in examples.inputs for pair in _pairs(example)]
    return _plain(tokenizer, pairs, lengths["max_len"], choices=len(pairs) // len(examples))


@_clear_errors
def encode_candidates(
    tokenizer: Tokenizer, task: Task, candidates: Sequence[Candidate], *, longest: int | None, prefix: str = ""
) -> TaskInputs:
    """Return retrieval candidates as TaskInputs. LAReQA's are the sentence followed by its paragraph."""
    lengths = lengths_of(task, longest)
    texts = [prefix + (candidate.text + candidate.context).replace("\n", "") for candidate in candidates]
    return _plain(tokenizer, texts, lengths.get("max_candidate_len", lengths["max_len"]))


@_clear_errors
def fertility_of(tokenizer: Tokenizer, examples: Examples) -> Fertility | None:
    """Return how the words of a task's inputs are split; None if its words are not known."""
    if examples.lang in _WITHOUT_SPACES and not isinstance(examples.inputs[0], Words):
        return None
    words = Counter(word for example in examples.inputs for word in _words_in(example))
    pieces = [max(1, len(each.ids)) for each in tokenizer.encode_batch(list(words), add_special_tokens=False)]
    count = sum(words.values())
    if not count:
        return None
    return Fertility(
        fertility=sum(times * of for times, of in zip(words.values(), pieces, strict=True)) / count,
        continued=sum(times for times, of in zip(words.values(), pieces, strict=True) if of > 1) / count,
        words=count,
    )


def _words_in(example: Input) -> Sequence[str]:
    match example:
        case Words():
            return example.words
        case Pair():
            return f"{example.first} {example.second}".split()
        case Choice():
            return " ".join((example.premise, *example.choices)).split()
        case Question():
            return f"{example.question} {example.context}".split()
        case str():
            return example.split()


def _pairs(example: Input) -> list[tuple[str, str]]:
    """Return the pairs of texts of one example; for XCOPA one per choice, worded as in XTREME-R's run_xcopa.py."""
    match example:
        case Pair():
            return [(example.first, example.second)]
        case Choice():
            question = f"{example.premise} What was the {example.question}?"
            return [(question, choice) for choice in example.choices]
        case _:
            raise TypeError(f"{type(example).__name__} is no pair of texts")


def _plain(
    tokenizer: Tokenizer, texts: Sequence[str] | Sequence[tuple[str, str]], max_len: int, *, choices: int = 1
) -> TaskInputs:
    """Encode texts or pairs of texts; the longer text of a pair is truncated first."""
    tokenizer.enable_truncation(max_len, strategy="longest_first")
    try:
        encoded = tokenizer.encode_batch(list(texts))
    finally:
        tokenizer.no_truncation()
    count = len(encoded) // choices
    return TaskInputs(
        sequences=[each.ids for each in encoded],
        choices=choices,
        owners=list(range(count)),
        windows=[Window()] * count,
        truncated=sum(bool(each.overflowing) for each in encoded),
    )


def _words(tokenizer: Tokenizer, examples: Examples, max_len: int) -> TaskInputs:
    """Encode each sentence word by word. Long sentences are split into several windows, between words.

    A word without tokens becomes an unknown token, because every word needs a tag.
    """
    first, *_, last = special = _special_ids(tokenizer)
    unknown = _unknown_id(tokenizer, special)
    room = max_len - 2
    sequences: list[list[int]] = []
    owners: list[int] = []
    windows: list[Window] = []
    truncated = 0

    def end(owner: int, pieces: list[int], starts: list[int]) -> None:
        sequences.append([first, *pieces, last])
        owners.append(owner)
        windows.append(Window(words=tuple(starts)))

    for owner, example in enumerate(examples.inputs):
        assert isinstance(example, Words)  # noqa: S101 - read_task makes tagging's inputs
        pieces: list[int] = []
        starts: list[int] = []
        for each in tokenizer.encode_batch(list(example.words), add_special_tokens=False):
            word = each.ids[:room] or [unknown]
            truncated += len(each.ids) > room
            if len(pieces) + len(word) > room:
                end(owner, pieces, starts)
                pieces, starts = [], []
            starts.append(len(pieces) + 1)
            pieces += word
        end(owner, pieces, starts)
    return TaskInputs(sequences=sequences, choices=1, owners=owners, windows=windows, truncated=truncated)


def _special_ids(tokenizer: Tokenizer) -> list[int]:
    ids: list[int] = tokenizer.encode("").ids
    if len(ids) != 2:
        raise ConfigError(
            f"the tokenizer frames a text with {len(ids)} special tokens; two are expected, such as <s> and </s>"
        )
    return ids


def _unknown_id(tokenizer: Tokenizer, special: Sequence[int]) -> int:
    found = (tokenizer.token_to_id(name) for name in ("<unk>", "[UNK]"))
    return next((id for id in found if id is not None), special[-1])


def _questions(
    tokenizer: Tokenizer, examples: Examples, max_len: int, doc_stride: int, max_question_len: int
) -> TaskInputs:
    """Encode questions with windows of their context, of which one and the next share `doc_stride` tokens."""
    questions = [_cut_question(tokenizer, _question(example).question, max_question_len) for example in examples.inputs]
    contexts = [_question(example).context for example in examples.inputs]
    tokenizer.enable_truncation(max_len, stride=doc_stride, strategy="only_second")
    try:
        encoded = tokenizer.encode_batch(list(zip(questions, contexts, strict=True)))
    finally:
        tokenizer.no_truncation()
    sequences, owners, windows = [], [], []
    for owner, whole in enumerate(encoded):
        for window in (whole, *whole.overflowing):
            sequences.append(window.ids)
            owners.append(owner)
            windows.append(Window(offsets=_offsets(window)))
    return TaskInputs(sequences=sequences, choices=1, owners=owners, windows=windows, truncated=0)


def _question(example: Input) -> Question:
    assert isinstance(example, Question)  # noqa: S101 - read_task makes QA's inputs
    return example


def _cut_question(tokenizer: Tokenizer, question: str, max_len: int) -> str:
    """Return a question's text of at most so many tokens, without white space before it, as run_qa.py does it."""
    question = question.lstrip()
    offsets = tokenizer.encode(question, add_special_tokens=False).offsets
    return question if len(offsets) <= max_len else question[: offsets[max_len - 1][1]]


def _offsets(window: Any) -> tuple[tuple[int, int] | None, ...]:
    return tuple(offsets if of == 1 else None for of, offsets in zip(window.sequence_ids, window.offsets, strict=True))
