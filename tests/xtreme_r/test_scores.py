"""The table of tasks, and files of scores: what is read, and what is refused with which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import ScoresError, UnknownName
from edgebench.figures import Score
from edgebench.xtreme_r.score_files import read_scores
from edgebench.xtreme_r.scores import ScoreRow, scores_of, task_scores
from edgebench.xtreme_r.tasks import XTREME, XTREME_R, all_tasks, find_metric, find_task, tasks_of

HEADER = "variant,task,lang,metric,value\n"
SHA = "ab" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "scores.csv"


def read(file: Path, text: str) -> list[ScoreRow]:
    file.write_text(text, encoding="utf-8")
    return read_scores(file)


# --- tasks ------------------------------------------------------------------------------------------------------


def test_there_are_ten_tasks_in_fifty_languages() -> None:
    expected = {
        "xnli": 15, "xcopa": 11, "udpos": 38, "panx": 48, "xquad": 12,
        "mlqa": 7, "tydiqa": 9, "tatoeba": 41, "mewslix": 11, "lareqa": 11,
    }  # fmt: skip
    assert {task.name: len(task.langs) for task in tasks_of(XTREME_R)} == expected
    assert len({lang for task in tasks_of(XTREME_R) for lang in task.langs}) == 50
    assert all(len(set(task.langs)) == len(task.langs) for task in all_tasks().values())


def test_xtreme_has_nine_tasks_in_forty_languages() -> None:
    expected = {
        "xnli": 15, "pawsx": 7, "udpos": 33, "panx": 40, "xquad": 11,
        "mlqa": 7, "tydiqa": 9, "bucc2018": 4, "tatoeba": 36,
    }  # fmt: skip
    assert {task.name: len(task.langs_in(XTREME)) for task in tasks_of(XTREME)} == expected
    assert len({lang for task in tasks_of(XTREME) for lang in task.langs_in(XTREME)}) == 40


REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "xtreme_r_tasks.json"


@pytest.mark.skipif(not REFERENCE.exists(), reason="the table that ours was made from is not here")
def test_the_table_has_the_languages_of_its_source() -> None:
    source = json.loads(REFERENCE.read_text())["tasks"]
    assert {task.name: set(task.langs) for task in tasks_of(XTREME_R)} == {
        name: set(task["langs"]) for name, task in source.items()
    }


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("xnli", "xnli"),
        ("XNLI", "xnli"),
        ("wikiann", "panx"),
        ("WikiANN-NER", "panx"),
        ("pan-x", "panx"),
        ("tydiqa-goldp", "tydiqa"),
        ("TyDiQA_GoldP", "tydiqa"),
        ("Mewsli-X", "mewslix"),
        ("ud_pos", "udpos"),
        ("PAWS-X", "pawsx"),
        ("BUCC", "bucc2018"),
    ],
)
def test_a_task_is_found_however_it_is_spelled(spelled: str, name: str) -> None:
    assert find_task(spelled).name == name


@pytest.mark.parametrize(
    ("task", "spelled", "metric"),
    [
        ("xnli", "acc", "accuracy"),
        ("xquad", "exact_match", "em"),
        ("xquad", "EM", "em"),
        ("panx", "F1", "f1"),
        ("lareqa", "mAP@20", "map@20"),
    ],
)
def test_a_metric_is_found_however_it_is_spelled(task: str, spelled: str, metric: str) -> None:
    assert find_metric(find_task(task), spelled) == metric


def test_unknown_tasks_and_metrics_name_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown task 'xnlii'; did you mean 'xnli'"):
        find_task("xnlii")
    with pytest.raises(UnknownName, match="unknown metric of xnli 'accurcy'; did you mean 'accuracy'"):
        find_metric(find_task("xnli"), "accurcy")


# --- files ------------------------------------------------------------------------------------------------------


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    row = {"variant": "a, b", "task": "wikiann", "lang": "sw", "metric": "F1", "value": 61.5, "n": 1000}
    more = {"format": "onnx-int8", "artifact_sha256": SHA, "source": "evaluate.py"}
    csv_file, jsonl = tmp_path / "a.csv", tmp_path / "a.jsonl"
    csv_file.write_text(
        "variant,task,lang,metric,value,n,format,artifact_sha256,source,seed\n"
        f'"a, b",wikiann,sw,F1,61.5,1000,onnx-int8,{SHA},evaluate.py,7\n\n'
        "b,xnli,en,accuracy,80,,,,,\n"
    )
    jsonl.write_text(
        json.dumps(row | more)
        + "\n\n"
        + json.dumps(
            {"variant": "b", "task": "xnli", "lang": "en", "metric": "acc", "value": 80, "n": None, "unknown": [1]}
        )
    )
    expected = [
        ScoreRow(
            variant="a, b", task="panx", lang="sw", metric="f1", value=61.5, n=1000,
            format="onnx-int8", artifact_sha256=SHA, source="evaluate.py",
        ),
        ScoreRow(variant="b", task="xnli", lang="en", metric="accuracy", value=80),
    ]  # fmt: skip
    assert read_scores(csv_file) == expected
    assert read_scores(jsonl) == expected


def test_what_a_spreadsheet_writes_is_read(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfvariant, task, lang, metric, value\r\na,xnli,en,accuracy,80.5\r\n")
    assert read_scores(file)[0].value == 80.5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,xnlii,en,accuracy,80", ":2: unknown task 'xnlii'; did you mean 'xnli'"),
        ("a,xnli,yo,accuracy,80", ":2: unknown language of xnli 'yo'"),
        ("a,xnli,en,f1,80", ":2: unknown metric of xnli 'f1'; known: accuracy"),
        ("a,xnli,en,accuracy,100.1", ":2: value must be 0..100, got 100.1"),
        ("a,xnli,en,accuracy,-1", ":2: value must be 0..100, got -1"),
        ("a,xnli,en,accuracy,inf", ":2: value must be 0..100, got inf"),
        ("a,xnli,en,accuracy,nan", ":2: value must be a number, got 'nan'"),
        ("a,xnli,en,accuracy,80%", ":2: value must be a number, got '80%'"),
        ("a,xnli,en,accuracy,8_0", ":2: value must be a number, got '8_0'"),
        ("a,xnli,en,accuracy,", ":2: lacks value"),
        (",xnli,en,accuracy,80", ":2: lacks variant"),
        ("a,xnli,en,accuracy", ":2: 4 cells under 5 columns"),
        ("a,xnli,en,accuracy,80\na,xnli,de,accuracy,79,1", ":3: 6 cells under 5 columns"),
        ('a,xnli,en,accuracy,80\na,"xnli,en,accuracy,79', ":3: not valid CSV"),
        (
            "a,xnli,en,accuracy,80\nb,xnli,en,accuracy,80\na,XNLI,en,acc,81",
            ":4: accuracy of a on xnli in en is already in line 2; keep one of them",
        ),
    ],
)  # fmt: skip
def test_a_bad_row_is_one_line_that_says_where(file: Path, rows: str, message: str) -> None:
    with pytest.raises(ScoresError) as error:
        read(file, HEADER + rows + "\n")
    assert str(error.value).startswith(f"{file}{message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: lacks the column variant, task, lang, metric, value; a file of scores has"),
        ("variant,task,language,metric,value\n", ":1: lacks the column lang; a file of scores has variant, task, lang"),
        (HEADER, " has no scores in it"),
        ('{"variant": "a"}', ":1: lacks task, lang, metric, value"),
        ('{"variant": "a"', ":1: not a line of JSON"),
        ('{"variant":"a","task":"xnli","lang":"en","metric":"acc","value":"x"}', ":1: value must be a number"),
        ('{"variant":"a","task":"xnli","lang":"en","metric":"acc","value":true}', ":1: value must be a number"),
        ('{"variant":"a","task":"xnli","lang":"en","metric":"acc","value":NaN}', ":1: value must be a number"),
        ('{"variant":"a","task":3,"lang":"en","metric":"acc","value":80}', ":1: task must be text, got 3"),
        ('{"variant":"a","task":"xnli","lang":"en","metric":"acc","value":80}\n[1]', ":2: not an object"),
    ],
)
def test_a_file_that_is_none_of_scores_is_refused(file: Path, text: str, message: str) -> None:
    with pytest.raises(ScoresError) as error:
        read(file, text)
    assert str(error.value).startswith(f"{file}{message}")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("n", "0", "n must be a whole number above 0, got '0'"),
        ("n", "1.5", "n must be a whole number above 0"),
        ("artifact_sha256", "abc", "artifact_sha256 must be 64 hexadecimal digits"),
        ("scale", "10", "scale must be 1 or 100, got 10"),
    ],
)
def test_optional_columns_are_checked(file: Path, column: str, value: str, message: str) -> None:
    with pytest.raises(ScoresError, match=message):
        read(file, f"variant,task,lang,metric,value,{column}\na,xnli,en,accuracy,80,{value}\n")


def test_a_missing_or_binary_file_is_said(file: Path) -> None:
    with pytest.raises(ScoresError, match=r"can't read .*scores.csv: No such file"):
        read_scores(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScoresError, match="not UTF-8"):
        read_scores(file)


# --- scales -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ((0.81, 0.79), "no value is above 1"),
        ((1.0,), "no value is above 1"),
        ((80.5, 0.79), "some values are at most 1 and others above"),
        ((0.0, 0.4, 30.0), "some values are at most 1 and others above"),
    ],
)
def test_a_scale_that_is_not_certain_is_refused_with_what_to_do(
    file: Path, values: tuple[float, ...], what: str
) -> None:
    rows = "".join(f"a,xnli,{lang},accuracy,{value}\n" for lang, value in zip(("en", "sw", "th"), values, strict=False))
    with pytest.raises(ScoresError, match=what) as error:
        read(file, HEADER + "b,xnli,en,accuracy,80\n" + rows)
    assert "multiply by 100, or say what it is in a column 'scale' (1 or 100)" in str(error.value)


def test_zero_is_zero_on_either_scale(file: Path) -> None:
    rows = read(file, HEADER + "a,xquad,th,em,0\na,xquad,en,em,71\nb,tatoeba,ka,accuracy,0.0\n")
    assert [row.value for row in rows] == [0, 71, 0]


def test_a_declared_scale_takes_the_doubt_away(file: Path) -> None:
    rows = read(
        file,
        "variant,task,lang,metric,value,scale\n"
        "a,xnli,en,accuracy,0.81,1\na,xnli,sw,accuracy,0.5,100\na,xnli,th,accuracy,72,\n",
    )
    assert [row.value for row in rows] == pytest.approx([81, 0.5, 72])
    with pytest.raises(ScoresError, match=r"value must be 0..1, got 81"):
        read(file, "variant,task,lang,metric,value,scale\na,xnli,en,accuracy,81,1\n")


# --- whose a score is -------------------------------------------------------------------------------------------


def row(value: float, lang: str = "en", **more: Any) -> ScoreRow:
    return ScoreRow(**{"variant": "a", "task": "xnli", "metric": "accuracy", "lang": lang, "value": value} | more)


def test_scores_go_to_their_variant_format_and_artifact_alone() -> None:
    rows = [
        row(1.5),
        row(2.5, "sw", format="onnx-int8"),
        row(3.5, "th", format="onnx-fp32"),
        row(4.5, "tr", artifact_sha256=SHA),
        row(5.5, "ur", artifact_sha256="cd" * 32),
        row(6.5, "vi", variant="b"),
        row(7.5, "zh", format="onnx-fp32", artifact_sha256=SHA),
    ]
    found = scores_of(rows, variant="a", format="onnx-int8", artifact_sha256=SHA)
    assert [(score.lang, score.value, score.artifact_sha256) for score in found] == [
        ("en", 1.5, None),
        ("sw", 2.5, None),
        ("tr", 4.5, SHA),
    ]


def test_the_most_specific_score_is_taken() -> None:
    rows = [row(30.0, artifact_sha256=SHA), row(10.0), row(20.0, format="onnx-int8")]
    (found,) = scores_of(rows, variant="a", format="onnx-int8", artifact_sha256=SHA)
    assert (found.value, found.artifact_sha256) == (30.0, SHA)
    (found,) = scores_of(rows, variant="a", format="onnx-int8", artifact_sha256="0" * 64)
    assert (found.value, found.artifact_sha256) == (20.0, None)
    (found,) = scores_of(rows, variant="a", format="onnx-fp32", artifact_sha256="0" * 64)
    assert found.value == 10.0


def test_a_task_score_is_the_mean_over_languages_and_qa_the_mean_of_f1_and_em() -> None:
    scores = [
        Score(task="xquad", lang="en", metric="f1", value=80, artifact_sha256=SHA),
        Score(task="xquad", lang="en", metric="em", value=70, artifact_sha256=SHA),
        Score(task="xquad", lang="de", metric="f1", value=60, artifact_sha256=SHA),
        Score(task="xquad", lang="de", metric="em", value=30, artifact_sha256=SHA),
        Score(task="xquad", lang="th", metric="f1", value=99, artifact_sha256=SHA),  # without EM: left out
        Score(task="xnli", lang="en", metric="accuracy", value=81),
        Score(task="xnli", lang="sw", metric="accuracy", value=70),
    ]
    found = task_scores(scores)
    assert list(found) == ["xnli", "xquad"]
    assert (found["xquad"].value, found["xquad"].langs, found["xquad"].of_artifact) == (60, ("en", "de"), True)
    assert (found["xnli"].value, found["xnli"].of_artifact, found["xnli"].complete) == (75.5, False, False)


def test_a_task_with_all_its_languages_is_complete() -> None:
    scores = [Score(task="xnli", lang=lang, metric="accuracy", value=50) for lang in all_tasks()["xnli"].langs]
    assert task_scores(scores)["xnli"].complete
