"""Task data as teams really have it: read rightly, or refused in one line that names what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgebench.device import find_device
from edgebench.errors import ScoresError
from edgebench.evaluation import EvaluationRequest, questions_and_counts
from edgebench.xtreme_r import mewslix_candidates, read_task
from edgebench.xtreme_r.example_types import Examples, Pair, Words
from edgebench.xtreme_r.tasks import all_tasks


def read(folder: Path, task: str, lang: str, files: dict[str, str | bytes], *, labels: bool = False) -> Examples:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_task(folder, task, lang, labels=folder / "labels" if labels else None)


def refusal(folder: Path, task: str, lang: str, files: dict[str, str | bytes], *, labels: bool = False) -> str:
    with pytest.raises(ScoresError) as caught:
        read(folder, task, lang, files, labels=labels)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- words ------------------------------------------------------------------------------------------------------

WIKIANN = "panx/test-de.tsv"


def test_wikianns_own_files_lose_the_language_before_each_word(tmp_path: Path) -> None:
    raw = read(tmp_path, "panx", "de", {WIKIANN: "de:Haus\tO\nde::\tO\n\nde:Berlin\tB-LOC\n"})
    clean = read(tmp_path, "panx", "de", {WIKIANN: "Haus\tO\n:\tO\n\nBerlin\tB-LOC\n"})
    assert raw == clean
    assert raw.inputs == (Words(("Haus", ":")), Words(("Berlin",)))
    unlabelled = read(tmp_path, "panx", "de", {WIKIANN: "de:Haus\nde:Berlin\n"})
    assert (unlabelled.inputs, unlabelled.labels) == ((Words(("Haus", "Berlin")),), None)
    other = read(tmp_path, "panx", "de", {WIKIANN: "http://a.de\tO\nB:C\tO\nDas\tO\n"})
    assert other.inputs == (Words(("http://a.de", "B:C", "Das")),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("en:House\tO\nen:Berlin\tB-LOC\n", "every word begins with 'en:': the words are not of de"),
        ("de:Haus\tO\nin\tO\n", "1 of 2 words begin with 'de:', as in WikiANN's own files, and the others do not"),
        ("O\tHaus\nB-LOC\tBerlin\n", "the tags are in the first column"),
        ("Haus O\nBerlin B-LOC\n", "no tab between word and tag"),
        ("Haus,O\nBerlin,B-LOC\n", "no tab between word and tag"),
        ("Haus\t0\nBerlin\t5\n", "unknown label of panx '0'"),
        ("1\tHaus\tHaus\tNOUN\t_\t_\t0\troot\t_\t_\n", "10 columns, as CoNLL-U has them"),
    ],
)
def test_other_files_of_words_are_named(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in refusal(tmp_path, "panx", "de", {WIKIANN: text})


def test_a_space_that_does_not_break_and_an_ideographic_one_are_words(tmp_path: Path) -> None:
    name = "udpos/test-fr.tsv"
    text = "a\tNOUN\r\n\u00a0\tPUNCT\r\nb\tnoun\r\n\r\n\u3000\tX\r\n"
    found = read(tmp_path, "udpos", "fr", {name: text})
    assert found.inputs == (Words(("a", "\u00a0", "b")), Words(("\u3000",)))
    assert found.labels == (("NOUN", "PUNCT", "NOUN"), ("X",))
    assert read(tmp_path, "udpos", "fr", {name: "a\n\u00a0\nb\n \n\u3000\n"}).inputs == found.inputs


# --- pairs ------------------------------------------------------------------------------------------------------


def test_pairs_with_a_mark_of_byte_order_other_line_ends_and_labels_in_capitals_are_read(tmp_path: Path) -> None:
    text = "\ufeffa\tb\tNEUTRAL\r\nc\td\tcontradictory\r\n"
    found = read(tmp_path, "xnli", "de", {"xnli/test-de.tsv": text})
    assert found.inputs == (Pair("a", "b"), Pair("c", "d"))
    assert found.labels == ("neutral", "contradiction")


@pytest.mark.parametrize(
    ("task", "text", "problem"),
    [
        ("xnli", "a\tb\tneutral\n\nc\td\tneutral\n", ":2: a blank line; it takes two texts"),
        ("xnli", "premise\thypothesis\tlabel\na\tb\tneutral\n", ":1: a header with 3 columns"),
        ("xnli", "language\tgold_label\t" + "\t".join("abcdefghijkl") + "\n", ":1: a header with 14 columns"),
        ("pawsx", "id\tsentence1\tsentence2\tlabel\n1\ta\tb\t1\n", ":1: a header with 4 columns"),
        ("xnli", "neutral\ta\tb\nentailment\tc\td\n", "column 1 has labels; it takes two texts, then the label"),
        ("xnli", "a\tneutral\nb\tentailment\n", "one text and a label a line"),
        ("pawsx", "a\tb\t1.0\n", "unknown label of pawsx '1.0'"),
        ("xnli", "\t\tneutral\n\tb\tneutral\n", "3 of the texts of 2 lines are empty"),
        ("xnli", "a\tb\tneutral\nc\td\t\n", "unknown label of xnli ''"),
    ],
)
def test_other_files_of_pairs_are_named(tmp_path: Path, task: str, text: str, problem: str) -> None:
    assert problem in refusal(tmp_path, task, "de", {f"{task}/test-de.tsv": text})


# --- Tatoeba ----------------------------------------------------------------------------------------------------


def tatoeba(queries: str, english: str, labels: str) -> dict[str, str | bytes]:
    return {"tatoeba/sw-en.sw": queries, "tatoeba/sw-en.en": english, "labels/tatoeba/test-sw.tsv": labels}


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (tatoeba("a\nb\nc\n", "x\ny\n", "0\n1\n2\n"), "has 3 sentences and"),
        (tatoeba("a\nb\n\n", "x\ny\n", "0\n1\n2\n"), "sw-en.sw:3: a blank line at the end; remove it"),
        (tatoeba("a\nb\n", "x\n\n", "0\n1\n"), "sw-en.en:2: a blank line at the end; remove it"),
        (tatoeba("a\n\nb\n", "x\ny\nz\n", "0\n1\n2\n"), "sw-en.sw:2: a blank line; remove it"),
        (tatoeba("a\nb\n", "x\ny\n", "1\n2\n"), "counts the lines from 1 (1 to 2); it takes numbers from 0 (0 to 1)"),
        (tatoeba("a\nb\nc\n", "x\ny\nz\n", "3\n1\n2\n"), "counts the lines from 1"),
        (tatoeba("a\nb\n", "x\ny\n", "0\n5\n"), "test-sw.tsv:2: there is no line 5; the lines are 0 to 1"),
        (tatoeba("a\nb\n", "x\ny\n", "-1\n0\n"), "test-sw.tsv:1: there is no line -1"),
    ],
)
def test_sentences_and_labels_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, files: dict[str, str | bytes], problem: str
) -> None:
    assert problem in refusal(tmp_path, "tatoeba", "sw", files, labels=True)


def test_sentences_are_read_whatever_ends_their_lines(tmp_path: Path) -> None:
    found = read(tmp_path, "tatoeba", "sw", tatoeba("a\r\nb\r\n", "\ufeffx\r\ny", "01\n0"), labels=True)
    assert [each.text for each in found.candidates] == ["x", "y"]
    assert found.labels == (("1",), ("0",))


# --- choices and questions --------------------------------------------------------------------------------------


def choice(**changes: Any) -> str:
    values = {"premise": "P", "choice1": "A", "choice2": "B", "question": "cause", "label": 1, "idx": 0}
    return json.dumps(values | changes) + "\n"


def test_choices_with_blank_lines_and_labels_as_text_are_read(tmp_path: Path) -> None:
    text = "\ufeff" + choice(question="CAUSE") + "\n" + choice(label="0", idx=1).replace("\n", "\r\n")
    found = read(tmp_path, "xcopa", "et", {"xcopa/test.et.jsonl": text})
    assert found.labels == (1, 0)
    assert read(tmp_path, "xcopa", "et", {"xcopa/test.et.jsonl": choice(label=-1)}).labels is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (choice() + choice(), ":2: the idx 0 is there twice"),
        (choice(question="why"), ":1: the question is 'why'"),
        (choice() + choice(label=None, idx=1), "1 of 2 lines lack a label"),
        (choice(label=True), ":1: unknown label True of xcopa"),
        (choice(premise=""), ":1: the premise or a choice is no text, or empty"),
        (choice().encode() + b"\xff\n", "is not UTF-8 text"),
    ],
)
def test_other_files_of_choices_are_named(tmp_path: Path, text: str | bytes, problem: str) -> None:
    assert problem in refusal(tmp_path, "xcopa", "et", {"xcopa/test.et.jsonl": text})


def question(**changes: Any) -> dict[str, Any]:
    return {"id": "1", "question": "Wer?", "answers": [{"text": "Bob", "answer_start": 0}]} | changes


def squad(*questions: dict[str, Any], context: str = "Bob ging") -> str:
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": list(questions)}]}]})


FLAT = {"id": "1", "context": "Bob", "question": "Wer?", "answers": {"text": ["Bob"], "answer_start": [0]}}
QA_FILES = {
    "xquad": "xquad/xquad.de.json",
    "mlqa": "mlqa/MLQA_V1/test/test-context-de-question-de.json",
    "tydiqa": "tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.fi.dev.json",
}


@pytest.mark.parametrize("task", sorted(QA_FILES))
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (squad(question(), question()), "the id 1 is there twice"),
        (squad(question(), question(id="2", answers=[], is_impossible=True)), "SQuAD 2.0 with questions that have no"),
        (squad(question(), question(id="2", answers=[])), "1 of 2 questions have no answer, the others have one"),
        (squad(question(answers=[{"text": "Eve"}])), "the answers to 1 of 1 questions are not in their contexts"),
        (squad(question(question=" ")), "the question 1 has no text, or no context"),
        (squad(question(), context=""), "the question 1 has no text, or no context"),
        (squad(question(answers={"text": ["Bob"]})), "the answers to 1 are no list of texts"),
        (json.dumps([FLAT]), "flat rows of questions, as Hugging Face's datasets have them"),
        (json.dumps({"data": [FLAT]}), "flat rows of questions, as Hugging Face's datasets have them"),
        (f"{json.dumps(FLAT)}\n{json.dumps(FLAT)}\n", "flat rows of questions, as Hugging Face's datasets have them"),
    ],
)
def test_other_files_of_questions_are_named(tmp_path: Path, task: str, text: str, problem: str) -> None:
    assert problem in refusal(tmp_path, task, "fi" if task == "tydiqa" else "de", {QA_FILES[task]: text})


def test_questions_behind_a_mark_of_byte_order_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, "xquad", "de", {QA_FILES["xquad"]: "\ufeff" + squad(question())})
    assert found.labels == (("Bob",),)


# --- retrieval --------------------------------------------------------------------------------------------------


def mention(**changes: Any) -> str:
    span = {"start": 4, "end": 7, "text": "Bob"}
    text = {"language": "de", "text": "Der Bob.", "sentence_spans": [{"start": 0, "end": 8}]}
    return json.dumps(
        {"context": text, "mentions": [{"example_id": "m", "entity_id": "Q1", "mention_span": span | changes}]}
    )


def test_mentions_that_are_there_twice_or_elsewhere_are_refused(tmp_path: Path) -> None:
    name = "mewslix/wikinews_mentions-test.jsonl"
    assert read(tmp_path, "mewslix", "de", {name: "\ufeff" + mention() + "\n\n"}).ids == ("m",)
    twice = f"{mention()}\n{mention()}\n"
    assert ":2: the example m is there twice" in refusal(tmp_path, "mewslix", "de", {name: twice})
    shifted = mention(start=3, end=6)
    assert "characters 3 to 6 are ' Bo', not 'Bob'" in refusal(tmp_path, "mewslix", "de", {name: shifted})
    entity = json.dumps({"entity_id": "Q1", "description": "Bob", "sentence_spans": [{"start": 0, "end": 3}]})
    (tmp_path / "mewslix" / "candidate_set_entities.jsonl").write_text(f"{entity}\n{entity}\n")
    with pytest.raises(ScoresError, match="2: the entity Q1 is there twice"):
        list(mewslix_candidates(tmp_path))


def test_right_answers_that_are_no_candidates_are_refused(tmp_path: Path) -> None:
    read(tmp_path, "mewslix", "de", {"mewslix/wikinews_mentions-test.jsonl": mention() + "\n"})
    entity = json.dumps({"entity_id": "Q2", "description": "Bob", "sentence_spans": [{"start": 0, "end": 3}]})
    (tmp_path / "mewslix" / "candidate_set_entities.jsonl").write_text(entity + "\n")
    request = EvaluationRequest(device=find_device("local"), model="m", tasks=("mewslix",), data=tmp_path)
    with pytest.raises(ScoresError, match="no right answer to 1 of 1 queries is among the candidates"):
        questions_and_counts(request)


def test_a_question_of_lareqa_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    paragraph = {"context": "Bob ging.", "qas": [question(), question()], "sentence_breaks": [[0, 9]]}
    text = json.dumps({"data": [{"paragraphs": [paragraph]}]})
    files: dict[str, str | bytes] = {f"lareqa/xquad-r/{lang}.json": text for lang in all_tasks()["lareqa"].langs}
    assert "the question 1 is there twice" in refusal(tmp_path, "lareqa", "de", files)


def test_pairs_of_bucc_need_an_id_on_each_line(tmp_path: Path) -> None:
    name = "bucc2018/de-en.test.de"
    files: dict[str, str | bytes] = {"bucc2018/de-en.test.en": "en-1\tYes\n"}
    assert ":2: no id, tab and text: ''" in refusal(tmp_path, "bucc2018", "de", files | {name: "de-1\tJa\n\nde-2\tB\n"})
    assert ":2: the id is there twice" in refusal(tmp_path, "bucc2018", "de", files | {name: "de-1\tJa\nde-1\tB\n"})
