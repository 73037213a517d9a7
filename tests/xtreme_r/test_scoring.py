"""Folders of answers in XTREME's format: scores worked out by hand, what is partial, what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import ConfigError, ScoresError, UnknownName
from edgebench.xtreme_r.scoring import FolderScores, score_predictions
from edgebench.xtreme_r.tasks import XTREME, all_tasks, tasks_of
from tests.fork_server import edgebench_command


def squad(**answers: list[str]) -> str:
    """Labels in SQuAD's layout: right answers by question."""
    questions = [
        {"id": id, "question": "?", "answers": [{"text": text, "answer_start": 0} for text in texts]}
        for id, texts in answers.items()
    ]
    return json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": "c", "qas": questions}]}]})


def labels_of(*labels: int) -> str:
    return "".join(json.dumps({"label": label, "idx": at}) + "\n" for at, label in enumerate(labels))


#: (labels, predictions, score by hand) of each task, the same in every language.
FILES: dict[str, tuple[str, str, float]] = {
    "xnli": ("entailment\nneutral\ncontradiction\nneutral\n", "entailment\nneutral\nneutral\nentailment\n", 50.0),
    "pawsx": ("0\n1\n1\n0\n", "0\n1\n1\n1\n", 75.0),
    "xcopa": (labels_of(0, 1, 1, 0), labels_of(0, 0, 0, 0), 50.0),
    # entities DET, NOUN, VERB and PUNCT | DET, ADJ, VERB and PUNCT: three of four each way
    "udpos": ("DET\nNOUN\nVERB\n\nPUNCT\n", "DET\nADJ\nVERB\n\nPUNCT\n", 75.0),
    # PER of two words and LOC | PER of one word, LOC: one of two each way
    "panx": ("B-PER\nI-PER\nO\n\nB-LOC\n", "B-PER\nO\nO\n\nB-LOC\n", 50.0),
    # EM 1/2; F1 (1 + 2/3) / 2
    "xquad": (squad(a=["the cat"], b=["1998"]), json.dumps({"a": "Cat", "b": "in 1998"}), 100 * (1 / 2 + 5 / 6) / 2),
    "mlqa": (squad(a=["Rom"], b=["7"]), json.dumps({"a": "Rom", "b": "8"}), 50.0),
    "tydiqa": (squad(a=["x"], b=["y"]), json.dumps({"a": "x"}), 50.0),
    "tatoeba": ("3\n0\n2\n1\n", "3\n1\n2\n1\n", 75.0),
    "bucc2018": ("a\tb\nc\td\n", "c\td\ne\tf\n", 50.0),
    "mewslix": (json.dumps({"m": ["Q1"], "n": ["Q2"]}), json.dumps({"m": ["Q9", "Q1"], "n": ["Q2"]}), 75.0),
    # ranks 1 and 4 of two right ones: (1 + 2/4) / 2
    "lareqa": (json.dumps({"q": ["en_1", "de_1"]}), json.dumps({"q": ["de_1", "x", "y", "en_1"]}), 75.0),
}


class Folders:
    """A folder of answers and one of labels."""

    def __init__(self, root: Path) -> None:
        self.predictions, self.labels = root / "predictions", root / "labels"
        self.predictions.mkdir()
        self.labels.mkdir()

    def path(self, task: str, lang: str, *, labels: bool = False) -> Path:
        folder = self.labels if labels else self.predictions
        return folder / task / f"test-{lang}.{all_tasks()[task].suffix}"

    def write(self, task: str, lang: str, *, labels: str | None = None, predictions: str | None = None) -> None:
        for of_labels, text in ((True, labels), (False, predictions)):
            path = self.path(task, lang, labels=of_labels)
            path.parent.mkdir(exist_ok=True)
            path.write_text(FILES[task][not of_labels] if text is None else text, encoding="utf-8")

    def fill(self, *names: str) -> None:
        for name in names:
            for lang in all_tasks()[name].langs:
                self.write(name, lang)

    def score(self, **settings: str) -> FolderScores:
        return score_predictions(self.predictions, self.labels, **settings)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


# --- figures ----------------------------------------------------------------------------------------------------


def test_all_tasks_in_all_languages_have_an_overall_score_of_the_ten(folders: Folders) -> None:
    folders.fill(*FILES)
    scores = folders.score()
    assert scores.tasks == pytest.approx({name: FILES[name][2] for name in all_tasks()})
    ten = [value for name, (_, _, value) in FILES.items() if name not in ("pawsx", "bucc2018")]
    assert scores.overall == pytest.approx(sum(ten) / 10)
    assert (scores.missing, scores.absent) == ({}, ())
    assert len(scores.scores) == sum(
        len(task.langs) * (len(task.metrics) + len(task.more_metrics)) for task in all_tasks().values()
    )


def test_xtreme_has_its_own_tasks_and_languages(folders: Folders) -> None:
    for task in tasks_of(XTREME):
        for lang in task.langs_in(XTREME):
            folders.write(task.name, lang)
    scores = folders.score(benchmark="xtreme")
    assert scores.overall == pytest.approx(sum(FILES[task.name][2] for task in tasks_of(XTREME)) / 9)
    assert scores.missing == {}
    assert set(folders.score().missing) == {"udpos", "panx", "tatoeba", "xquad"}


def test_a_score_is_the_mean_over_languages_not_over_examples(folders: Folders) -> None:
    folders.write("tatoeba", "sw", labels="1\n2\n", predictions="1\n2\n")
    folders.write("tatoeba", "th", labels="1\n" * 8, predictions="2\n" * 8)
    assert folders.score().tasks == {"tatoeba": 50}


def test_each_row_says_whose_definition_it_follows_and_of_which_files(folders: Folders) -> None:
    folders.write("udpos", "yo")
    row = folders.score(seqeval="1.2.2").to_json()["scores"][0]
    assert (row["task"], row["lang"], row["metric"], row["n"], row["artifact_sha256"]) == ("udpos", "yo", "f1", 2, None)
    assert "seqeval 1.2.2" in row["protocol"]["convention"]
    for of_labels, name in ((True, "labels_sha256"), (False, "predictions_sha256")):
        content = folders.path("udpos", "yo", labels=of_labels).read_bytes()
        assert row["protocol"][name] == hashlib.sha256(content).hexdigest()


def test_seqevals_versions_differ_where_they_do(folders: Folders) -> None:
    folders.write("udpos", "en", labels="SCONJ\nNOUN\n", predictions="CCONJ\nNOUN\n")
    assert folders.score().tasks == {"udpos": 50}
    assert folders.score(seqeval="1.2.2").tasks == {"udpos": 100}


def test_the_normaliser_is_the_tasks(folders: Folders) -> None:
    answers = {"labels": squad(a=["der Hund"]), "predictions": json.dumps({"a": "Hund"})}
    folders.write("mlqa", "de", **answers)
    folders.write("xquad", "de", **answers)
    found = folders.score().tasks
    assert found["mlqa"] == 100
    assert found["xquad"] == pytest.approx(100 * (0 + 2 / 3) / 2)


def test_a_file_without_its_last_line_end_is_the_same(folders: Folders) -> None:
    folders.write("xnli", "en", predictions=FILES["xnli"][1].rstrip("\n").replace("\n", "\r\n"))
    assert folders.score().tasks == {"xnli": 50}


# --- what is partial --------------------------------------------------------------------------------------------


def test_missing_languages_make_a_partial_score_and_are_named(folders: Folders) -> None:
    folders.fill(*FILES)
    folders.path("xnli", "sw").unlink()
    folders.path("mlqa", "hi", labels=True).unlink()
    scores = folders.score()
    assert scores.overall is None
    assert scores.missing == {"xnli": ("sw",), "mlqa": ("hi",)}
    assert scores.tasks["xnli"] == 50
    assert f"xnli: sw is missing: no {folders.path('xnli', 'sw')}" in scores.notes
    assert scores.to_json()["partial"] == {"xnli": ["sw"], "mlqa": ["hi"]}


def test_a_missing_task_is_named(folders: Folders) -> None:
    folders.fill("xnli", "xcopa")
    scores = folders.score()
    assert scores.overall is None
    assert scores.absent == ("udpos", "panx", "xquad", "mlqa", "tydiqa", "tatoeba", "mewslix", "lareqa")


def test_predictions_without_labels_are_not_scored_and_said(folders: Folders) -> None:
    folders.fill("xnli", "xcopa")
    for path in (folders.labels / "xcopa").iterdir():
        path.unlink()
    (folders.labels / "xcopa").rmdir()
    (folders.predictions / "wikiannn").mkdir()
    (unknown, without_labels) = folders.score().notes
    assert unknown.startswith("wikiannn: not scored, unknown task 'wikiannn'; known: bucc2018")
    assert without_labels == f"xcopa: not scored, {folders.labels / 'xcopa'} is not there"


def test_unanswered_questions_count_zero_and_are_counted(folders: Folders) -> None:
    folders.write("tydiqa", "fi")
    folders.write("mewslix", "ta", predictions="{}")
    scores = folders.score()
    assert scores.tasks == {"tydiqa": 50, "mewslix": 0}
    assert "tydiqa in fi: 1 of 2 without an answer count 0" in scores.notes
    assert "mewslix in ta: 2 of 2 without an answer count 0" in scores.notes


def test_nothing_mined_is_zero(folders: Folders) -> None:
    folders.write("bucc2018", "de", predictions="")
    assert folders.score().tasks == {"bucc2018": 0}


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "changes", "problem"),
    [
        ("xnli", {"predictions": "neutral\n"}, ".tsv has 1 lines and {labels} has 4; they must be aligned"),
        ("xnli", {"predictions": "Neutral\n" * 4}, ".tsv:1: unknown label of xnli 'Neutral'; did you mean 'neut"),
        ("xnli", {"labels": "neutral\n\nneutral\n"}, ".tsv:2: unknown label of xnli ''"),
        ("xnli", {"predictions": "nan\n" * 4}, ".tsv:1: unknown label of xnli 'nan'"),
        ("xnli", {"labels": "", "predictions": ""}, ".tsv is empty: there is nothing to score xnli in en by"),
        ("pawsx", {"predictions": "0\n1\n2\n0\n"}, ".tsv:3: unknown label of pawsx '2'"),
        ("udpos", {"predictions": "DET\nNOUN\n\nPUNCT\n"}, ".tsv:1: sentence 1 has 2 tags and in {labels} it has 3"),
        ("udpos", {"predictions": "DET\nNOUN\nVERB\n"}, ".tsv has 1 sentences and {labels} has 2"),
        ("udpos", {"predictions": "DET\nNOUM\nVERB\n\nPUNCT\n"}, ".tsv:2: unknown label of udpos 'NOUM'; did you"),
        ("panx", {"labels": "B-PER\nI-PERS\n\n"}, ".tsv:2: unknown label of panx 'I-PERS'; did you mean 'I-PER'"),
        ("xquad", {"predictions": '{"a": "x", "a": "y"}'}, ".json: the id a is there twice"),
        ("xquad", {"predictions": '{"a": "x", "c": "y"}'}, ".json: 1 of 2 ids are not among the labels (the first: c"),
        ("xquad", {"predictions": '{"a": NaN}'}, ".json: NaN is no value"),
        ("xquad", {"predictions": '{"a": null}'}, ".json: the answer to a must be text, got None"),
        ("xquad", {"predictions": ""}, ".json: not JSON"),
        ("xquad", {"predictions": "[]"}, ".json: not a JSON object by id, but []"),
        ("xquad", {"labels": squad(), "predictions": "{}"}, ".json is empty"),
        ("xquad", {"labels": squad(a=[]), "predictions": "{}"}, ".json: the question a has no answers"),
        ("xquad", {"labels": '{"data": [{"title": 1}]}'}, ".json: not in SQuAD's layout"),
        ("mewslix", {"predictions": '{"m": "Q1"}'}, ".json: the candidates of m must be a list of ids, got 'Q1'"),
        ("mewslix", {"labels": '{"m": ["Q1", "Q2"], "n": ["Q2"]}'}, ".json: m has 2 right entities"),
        ("lareqa", {"labels": '{"q": []}'}, ".json: q has no right candidate"),
        ("lareqa", {"labels": '{"q": ["a", "a"]}'}, ".json: q has an answer twice"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_that_says_where(
    folders: Folders, task: str, changes: dict[str, str], problem: str
) -> None:
    folders.write(task, "en", **changes)
    with pytest.raises(ScoresError) as error:
        folders.score()
    assert problem.format(labels=folders.path(task, "en", labels=True)) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("predictions", "problem"),
    [
        (labels_of(0, 1, 2, 0), "test-sw.jsonl:3: unknown label 2 of xcopa; known: 0, 1"),
        ('{"label": "0"}\n' * 4, "its labels are text"),
        ('{"label": "0"}\n{"label": 0}\n' * 2, "some labels are text and some numbers"),
        ('{"answer": 0}\n' * 4, "test-sw.jsonl:1: not an object with a 'label'"),
        ('{"label": NaN}\n' * 4, "test-sw.jsonl:1: NaN is no value"),
        ("0\n" * 4, "test-sw.jsonl:1: not an object with a 'label', but '0'"),
    ],
)
def test_bad_choices_are_refused(folders: Folders, predictions: str, problem: str) -> None:
    folders.write("xcopa", "sw", predictions=predictions)
    with pytest.raises(ScoresError, match=problem.replace("(", r"\(")):
        folders.score()


@pytest.mark.parametrize(
    ("predictions", "problem"), [("1.5\n" * 4, "test-sw.tsv:1: not the number of a line"), ("nan\n" * 4, "'nan'")]
)
def test_bad_line_numbers_are_refused(folders: Folders, predictions: str, problem: str) -> None:
    folders.write("tatoeba", "sw", predictions=predictions)
    with pytest.raises(ScoresError, match=problem):
        folders.score()


def test_bad_pairs_are_refused(folders: Folders) -> None:
    folders.write("bucc2018", "de", predictions="a b\n")
    with pytest.raises(ScoresError, match=r"test-de\.tsv:1: not two ids with a tab between, but 'a b'"):
        folders.score()


def test_nothing_to_score_says_what_was_looked_for(folders: Folders) -> None:
    with pytest.raises(ScoresError, match=r"nothing to score in .*: it has none of xnli, xcopa.*test-sw.tsv"):
        folders.score()
    (folders.predictions / "xnli").mkdir()
    with pytest.raises(ScoresError, match=r"nothing to score in .*: xnli: not scored, .*labels/xnli is not there"):
        folders.score()


def test_unknown_settings_and_folders_are_refused(folders: Folders, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown benchmark 'xtreme-s'"):
        folders.score(benchmark="xtreme-s")
    with pytest.raises(UnknownName, match=r"unknown version of seqeval '1.2.3'; did you mean '1.2.2'"):
        folders.score(seqeval="1.2.3")
    with pytest.raises(ConfigError, match="nowhere is not a folder"):
        score_predictions(tmp_path / "nowhere", folders.labels)


# --- the command ------------------------------------------------------------------------------------------------

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def edgebench(tmp_path: Path) -> Command:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        return subprocess.run(
            [*edgebench_command(), *map(str, arguments)],
            capture_output=True, text=True, timeout=600, env=environment, check=False,
        )  # fmt: skip

    return run


def test_the_command_prints_a_table_and_says_what_is_partial(folders: Folders, edgebench: Command) -> None:
    folders.fill("xnli", "udpos")
    folders.path("xnli", "sw").unlink()
    done = edgebench("scores", "eval", "--predictions", folders.predictions, "--labels", folders.labels)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert any(row[:6] == ["XNLI", "50.0", "accuracy", "14", "of", "15"] and "(partial)" in row for row in rows)
    assert "overall: none, it takes all 10 tasks of xtreme-r in all languages (no xcopa, panx" in done.stdout
    assert f"xnli: sw is missing: no {folders.path('xnli', 'sw')}" in done.stdout


def test_the_command_writes_json_alone(folders: Folders, edgebench: Command) -> None:
    folders.write("xquad", "en")
    done = edgebench("scores", "eval", "--predictions", folders.predictions, "--labels", folders.labels, "--json", "-")
    document: dict[str, Any] = json.loads(done.stdout)
    assert set(document) >= {"scores", "tasks", "overall"}
    assert [(row["metric"], row["value"], row["n"]) for row in document["scores"]] == [
        ("f1", pytest.approx(250 / 3), 2),
        ("em", 50, 2),
    ]
    assert document["overall"] is None


def test_bad_input_ends_the_command_with_2_and_one_line(folders: Folders, edgebench: Command) -> None:
    folders.write("xnli", "en", predictions="maybe\n" * 4)
    done = edgebench("scores", "eval", "--predictions", folders.predictions, "--labels", folders.labels)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "test-en.tsv:1: unknown label of xnli 'maybe'" in done.stderr
