"""The tasks' examples in the layout of XTREME's download scripts: one small file of each."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgebench.errors import ScoresError, UnknownName
from edgebench.xtreme_r.example_readers import mewslix_candidates
from edgebench.xtreme_r.example_types import Candidate, Choice, Pair, Question, Words
from edgebench.xtreme_r.examples import find_data, read_task
from edgebench.xtreme_r.tasks import all_tasks


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_tsv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """As XTREME's utils_preprocess.py does it: Python's csv writer with tabs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t").writerows(rows)


def squad(answer: str, **more: object) -> str:
    question = {"id": "q1", "question": "Wer?", "answers": [{"text": answer, "answer_start": 9}]}
    return json.dumps(
        {"version": "1", "data": [{"paragraphs": [{"context": "Ja. Nein. Doch.", "qas": [question], **more}]}]}
    )


def test_pairs_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_tsv(tmp_path / "xnli" / "test-sw.tsv", [("Habari", "Nzuri"), ('Alisema "ndiyo"', '"')])
    found = read_task(tmp_path, "xnli", "sw")
    assert found.inputs == (Pair("Habari", "Nzuri"), Pair('Alisema "ndiyo"', '"'))
    assert (found.ids, found.labels, len(found)) == (("0", "1"), None, 2)


def test_dev_pairs_have_labels(tmp_path: Path) -> None:
    write_tsv(tmp_path / "pawsx" / "dev-de.tsv", [("a", "b", "1"), ("c", "d", "0")])
    assert read_task(tmp_path, "PAWS-X", "de", split="dev").labels == ("1", "0")


def test_labels_come_from_a_folder_of_labels(tmp_path: Path) -> None:
    write_tsv(tmp_path / "data" / "xnli" / "test-sw.tsv", [("a", "b"), ("c", "d")])
    write(tmp_path / "labels" / "xnli" / "test-sw.tsv", "neutral\nentailment\n")
    found = read_task(tmp_path / "data", "xnli", "sw", labels=tmp_path / "labels")
    assert found.labels == ("neutral", "entailment")
    write(tmp_path / "labels" / "xnli" / "test-sw.tsv", "neutral\n")
    with pytest.raises(ScoresError, match="has 1 labels for 2 examples"):
        read_task(tmp_path / "data", "xnli", "sw", labels=tmp_path / "labels")


def test_choices_bring_their_labels(tmp_path: Path) -> None:
    example = {
        "premise": "P",
        "choice1": "A",
        "choice2": "B",
        "question": "cause",
        "label": 1,
        "idx": 0,
        "changed": False,
    }
    write(tmp_path / "xcopa" / "test.et.jsonl", json.dumps(example) + "\n")
    write(tmp_path / "xcopa" / "val.et.jsonl", json.dumps(example | {"label": 0}) + "\n")
    found = read_task(tmp_path, "xcopa", "et")
    assert (found.inputs, found.labels) == ((Choice("P", "cause", ("A", "B")),), (1,))
    assert read_task(tmp_path, "xcopa", "et", split="dev").labels == (0,)


def test_words_are_grouped_by_sentence(tmp_path: Path) -> None:
    write(tmp_path / "udpos" / "test-yo.tsv", "Ẹ\nkú\n\nọ̀sán\n\n")
    write(tmp_path / "udpos" / "dev-yo.tsv", "Ẹ\tPRON\nkú\tVERB\n")
    found = read_task(tmp_path, "udpos", "yo")
    assert (found.inputs, found.labels) == ((Words(("Ẹ", "kú")), Words(("ọ̀sán",))), None)
    assert read_task(tmp_path, "udpos", "yo", split="dev").labels == (("PRON", "VERB"),)
    labels = write(tmp_path / "labels" / "udpos" / "test-yo.tsv", "PRON\nVERB\n\nNOUN\n")
    assert read_task(tmp_path, "udpos", "yo", labels=tmp_path / "labels").labels == (("PRON", "VERB"), ("NOUN",))
    labels.write_text("PRON\n\nVERB\nNOUN\n")
    with pytest.raises(ScoresError, match="sentence 0 has 1 tags for 2 words"):
        read_task(tmp_path, "udpos", "yo", labels=tmp_path / "labels")


@pytest.mark.parametrize(
    ("task", "lang", "name"),
    [
        ("xquad", "de", "xquad/xquad.de.json"),
        ("mlqa", "de", "mlqa/MLQA_V1/test/test-context-de-question-de.json"),
        ("tydiqa", "fi", "tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.fi.dev.json"),
    ],
)
def test_questions_have_answers_only_where_the_scripts_left_them(
    tmp_path: Path, task: str, lang: str, name: str
) -> None:
    write(tmp_path / name, squad(""))
    found = read_task(tmp_path, task, lang)
    assert (found.ids, found.inputs, found.labels) == (("q1",), (Question("Ja. Nein. Doch.", "Wer?"),), None)
    write(tmp_path / "labels" / task / f"test-{lang}.json", squad("Doch"))
    assert read_task(tmp_path, task, lang, labels=tmp_path / "labels").labels == (("Doch",),)
    write(tmp_path / name, squad("Nein"))
    assert read_task(tmp_path, task, lang).labels == (("Nein",),)


def test_tatoeba_has_the_english_lines_as_candidates(tmp_path: Path) -> None:
    write(tmp_path / "tatoeba" / "sw-en.sw", "Habari\nNdiyo\n")
    write(tmp_path / "tatoeba" / "sw-en.en", "Hello\nYes\n")
    write(tmp_path / "labels" / "tatoeba" / "test-sw.tsv", "0\n1\n")
    found = read_task(tmp_path, "tatoeba", "sw", labels=tmp_path / "labels")
    assert found.inputs == ("Habari", "Ndiyo")
    assert found.candidates == (Candidate("0", "Hello"), Candidate("1", "Yes"))
    assert found.labels == (("0",), ("1",))


def test_bucc_has_ids_and_labels_only_for_some(tmp_path: Path) -> None:
    write(tmp_path / "bucc2018" / "de-en.test.de", "de-1\tJa\nde-2\tNein\n")
    write(tmp_path / "bucc2018" / "de-en.test.en", "en-7\tYes\n")
    write(tmp_path / "labels" / "bucc2018" / "test-de.tsv", "de-1\ten-7\n")
    found = read_task(tmp_path, "bucc2018", "de", labels=tmp_path / "labels")
    assert (found.ids, found.inputs, found.candidates) == (
        ("de-1", "de-2"),
        ("Ja", "Nein"),
        (Candidate("en-7", "Yes"),),
    )
    assert found.labels == (("en-7",), ())


def test_mewslix_marks_the_mention_in_its_sentence(tmp_path: Path) -> None:
    text = "Vorher. Der {alte} Smith kam. Danach."
    line = {
        "context": {
            "language": "de",
            "text": text,
            "sentence_spans": [{"start": 0, "end": 7}, {"start": 8, "end": 29}],
        },
        "mentions": [
            {"example_id": "m1", "entity_id": "Q1", "mention_span": {"start": 19, "end": 24, "text": "Smith"}}
        ],
    }
    other = {"context": line["context"] | {"language": "ta"}, "mentions": line["mentions"]}  # type: ignore[operator]
    write(tmp_path / "mewslix" / "wikinews_mentions-test.jsonl", json.dumps(other) + "\n" + json.dumps(line) + "\n")
    found = read_task(tmp_path, "mewslix", "de")
    assert (found.ids, found.labels) == (("m1",), (("Q1",),))
    assert found.inputs == ("Smith: Der (alte) { Smith } kam.",)
    entity = {"entity_id": "Q1", "description": "Ein Schmied. Mehr.", "sentence_spans": [{"start": 0, "end": 12}]}
    write(tmp_path / "mewslix" / "candidate_set_entities.jsonl", json.dumps(entity) + "\n")
    assert list(mewslix_candidates(tmp_path)) == [Candidate("Q1", "Ein Schmied.")]


def test_lareqa_pools_the_sentences_of_all_languages(tmp_path: Path) -> None:
    for lang in all_tasks()["lareqa"].langs:
        text = squad("Nein", sentence_breaks=[[0, 4], [4, 10], [10, 15]])
        write(tmp_path / "lareqa" / "xquad-r" / f"{lang}.json", text.replace("Wer?", f"Wer {lang}?"))
    found = read_task(tmp_path, "lareqa", "th")
    assert (found.ids, found.inputs) == (("q1",), ("Wer th?",))
    assert len(found.candidates) == 11 * 3
    assert found.candidates[4] == Candidate("de_1_1", "Nein. ", "Ja. Nein. Doch.")
    assert found.labels == (tuple(f"{lang}_1_1" for lang in all_tasks()["lareqa"].langs),)


# --- what is missing or wrong -----------------------------------------------------------------------------------


def test_what_is_there_and_what_is_missing_is_named(tmp_path: Path) -> None:
    write_tsv(tmp_path / "xnli" / "test-sw.tsv", [("a", "b")])
    found = find_data(tmp_path)
    assert found["xnli"].langs == ("sw",)
    assert found["xnli"].missing["th"] == tmp_path / "xnli" / "test-th.tsv"
    assert found["lareqa"].langs == ()
    with pytest.raises(ScoresError, match=r"XNLI in th is missing: no .*xnli/test-th.tsv; XTREME's download scripts"):
        read_task(tmp_path, "xnli", "th")


def test_names_that_nothing_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown language of xnli 'yo'"):
        read_task(tmp_path, "xnli", "yo")
    with pytest.raises(UnknownName, match="unknown split 'tst'; did you mean 'test'"):
        read_task(tmp_path, "xnli", "sw", split="tst")


@pytest.mark.parametrize(
    ("name", "text", "task", "lang", "problem"),
    [
        ("xnli/test-sw.tsv", "a\n", "xnli", "sw", "test-sw.tsv:1: 1 cells; it takes two texts"),
        ("xnli/test-sw.tsv", "a\tb\tmaybe\n", "xnli", "sw", "unknown label of xnli 'maybe'"),
        ("xnli/test-sw.tsv", "a\tb\tneutral\nc\td\n", "xnli", "sw", "1 of 2 lines lack a label"),
        ("xcopa/test.et.jsonl", '{"premise": "P"}\n', "xcopa", "et", "test.et.jsonl:1: not an example of XCOPA: it la"),
        ("xcopa/test.et.jsonl", "", "xcopa", "et", "test.et.jsonl has no examples of XCOPA in et"),
        ("udpos/test-yo.tsv", "a\tNOUN\nb\n", "udpos", "yo", "some words have a tag and some have none"),
        ("udpos/test-yo.tsv", "\n\n", "udpos", "yo", "has no examples of UDPOS in yo"),
        ("xquad/xquad.de.json", "{}", "xquad", "de", "has no examples of XQuAD in de"),
        ("xquad/xquad.de.json", "[1]", "xquad", "de", "not in SQuAD's layout"),
        ("mewslix/wikinews_mentions-test.jsonl", "{}\n", "mewslix", "de", "not mentions of Mewsli-X: KeyError"),
    ],
)  # fmt: skip
def test_a_file_that_is_something_else_is_one_clear_line(
    tmp_path: Path, name: str, text: str, task: str, lang: str, problem: str
) -> None:
    write(tmp_path / name, text)
    with pytest.raises(ScoresError) as error:
        read_task(tmp_path, task, lang)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)
