"""Results of other tools as they really are: numbers are taken, what is none is named, partial results are marked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import ScoresError
from edgebench.xtreme_r import Provenance, import_scores, kinds_of, read_scores, score_predictions
from edgebench.xtreme_r.importers import ImportedScores
from tests.schemas import check_schema


def load(tmp_path: Path, document: Any, *, name: str = "r.json", **given: Any) -> ImportedScores:
    path = tmp_path / name
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return import_scores(path, Provenance(**{"variant": "v"} | given))


def lm_eval(results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"results": results, "versions": {}} | more


OLD_MTEB = {
    "dataset_revision": "r",
    "mteb_dataset_name": "Tatoeba",
    "test": {"evaluation_time": 3.1, "swh-eng": {"accuracy": 0.5, "f1": 0.4}, "deu-eng": {"accuracy": "N/A"}},
}
NEW_MTEB = {
    "task_name": "Tatoeba",
    "scores": {
        "test": [
            {"hf_subset": "swh-eng", "accuracy": 0.5, "mteb_version": "1.12.0"},
            {"hf_subset": "deu-eng", "accuracy": None},
        ]
    },
}


@pytest.mark.parametrize(
    ("document", "given", "value", "left_out"),
    [
        (lm_eval({"xnli_sw": {"acc,none": 0.5}, "xnli_de": {"acc,none": "N/A"}}), {}, 50, "xnli in de"),
        (lm_eval({"xnli_sw": {"acc,none": 0.5}, "xnli_de": {"acc,none": None}}), {}, 50, "xnli in de"),
        (lm_eval({"xnli_sw": {"acc,none": 0.5}, "xnli_de": {"acc,none": True}}), {}, 50, "xnli in de"),
        (OLD_MTEB, {}, 50, "tatoeba in de"),
        (OLD_MTEB | {"mteb_version": "1.1.0"}, {}, 50, "tatoeba in de"),
        (NEW_MTEB, {}, 50, "tatoeba in de"),
        (NEW_MTEB | {"mteb_version": None}, {}, 50, "tatoeba in de"),
        ({"exact_match": None, "f1": 80.0}, {"task": "xquad", "lang": "de"}, 80, "em of xquad in de"),
        ({"xnli": {"accuracy": {"en": 80.0, "de": "N/A"}, "avg_accuracy": 80.0}}, {}, 80, "xnli in de"),
    ],
)
def test_entries_without_a_number_are_left_out_and_named(
    tmp_path: Path, document: Any, given: dict[str, Any], value: float, left_out: str
) -> None:
    found = load(tmp_path, document, **given)
    assert [row.value for row in found.rows] == pytest.approx([value])
    (said,) = found.skipped
    assert left_out in said and "value must be a number" in said


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), "NaN"])
def test_figures_that_are_not_finite_are_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ScoresError, match="accuracy of xnli in sw: value must be a number, got"):
        load(tmp_path, lm_eval({"xnli_sw": {"acc,none": value}, "xnli_de": {"acc,none": 0.8}}))


def test_the_filter_of_lm_eval_is_kept_and_several_are_named(tmp_path: Path) -> None:
    one = load(tmp_path, lm_eval({"xquad_de": {"f1,strict-match": 0.5, "exact_match,strict-match": 0.4}}))
    assert [(row.metric, row.value) for row in one.rows] == [("f1", 50), ("em", 40)]
    assert {row.conventions for row in one.rows} == {"answers through the filter strict-match"}
    two = {"f1,strict-match": 0.5, "f1,flexible-extract": 0.6, "exact_match,none": 0.4}
    found = load(tmp_path, lm_eval({"xquad_de": two}))
    assert [row.metric for row in found.rows] == ["em"]
    assert "f1 by several filters (strict-match, flexible-extract)" in found.skipped[0]


@pytest.mark.parametrize(
    ("more", "caveat"),
    [
        ({"n-samples": {"xnli_sw": {"original": 5010, "effective": 10}}, "config": {"limit": 10.0}}, "10 of 5010 ex"),
        ({"n-samples": {"xnli_sw": {"original": 2490, "effective": 100}}}, "100 of 2490 examples"),
        ({"n-samples": {"xnli_sw": {"original": 2490, "effective": 2490}}}, "as many as the dev split has"),
        ({"config": {"limit": 10}}, "a limit of 10 examples"),
        ({"config": {"limit": 0.1}}, "a limit of 10 % of the examples"),
    ],
)
def test_results_on_a_limited_set_are_marked(tmp_path: Path, more: dict[str, Any], caveat: str) -> None:
    (row,) = load(tmp_path, lm_eval({"xnli_sw": {"acc,none": 0.9}}, **more)).rows
    (said,) = row.caveats
    assert said.startswith("partial: ") and caveat in said


def test_a_complete_result_has_no_caveats(tmp_path: Path) -> None:
    samples = {"xnli_sw": {"original": 5010, "effective": 5010}}
    (row,) = load(tmp_path, lm_eval({"xnli_sw": {"acc,none": 0.7}}, **{"n-samples": samples})).rows
    assert row.caveats == ()


@pytest.mark.parametrize(
    ("document", "given", "problem"),
    [
        ([{"id": "1", "context": "c", "question": "q"}], {}, "flat rows of questions"),
        (
            '{"id": "1", "context": "c", "question": "q"}\n{"id": "2", "context": "c", "question": "q"}\n',
            {},
            "flat row",
        ),
        ({"data": [{"paragraphs": [{"context": "c", "qas": []}]}]}, {}, "a data set in SQuAD's layout, and no scores"),
        ({"data": [{"paragraphs": [{"qas": [{"is_impossible": True}]}]}]}, {}, "a data set in the layout of SQuAD 2.0"),
        ({"56be": "Bob", "56bf": "Eve"}, {}, "answers by the question's id, and no scores"),
        ([{"id": "1", "prediction_text": "Bob"}], {}, "flat rows of answers"),
        (
            {"exact": 70.0, "f1": 80.0, "total": 11873, "NoAns_total": 5945},
            {},
            "5945 of 11873 questions have no answer",
        ),
        ({"exact_match": 70.0, "f1": 80.0}, {}, "doesn't say which task and language it is of"),
    ],
)
def test_what_is_no_file_of_scores_is_named(tmp_path: Path, document: Any, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ScoresError) as caught:
        load(tmp_path, document, **given)
    assert problem in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "task;lang;metric;value\nxnli;de;acc;78,4\n",
        '\ufeff"task";"lang";"metric";"value"\r\n"xnli";"de";"acc";"78,4"\r\n',
        "task\tlang\tmetric\tvalue\nxnli\tde\tacc\t78.4\n",
        "task , lang, metric, value\nxnli, de, acc, 78.4\n",
    ],
)
def test_tables_with_other_separators_are_read(tmp_path: Path, text: str) -> None:
    (row,) = load(tmp_path, text, name="scores.csv").rows
    assert (row.task, row.lang, row.value) == ("xnli", "de", pytest.approx(78.4))


def edgebench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgebench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_import_and_show_mark_a_limited_result_and_the_file_keeps_the_mark(tmp_path: Path) -> None:
    more = {"n-samples": {"xnli_sw": {"original": 5010, "effective": 10}}}
    document = lm_eval({"xnli_sw": {"acc,none": 0.9}, "xnli_de": {"acc,none": "N/A"}}, **more)
    (tmp_path / "r.json").write_text(json.dumps(document))
    out = tmp_path / "scores.csv"
    done = edgebench("scores", "import", tmp_path / "r.json", "--variant", "v", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "left out: accuracy of xnli in de" in done.stderr
    assert "! xnli sw: partial: 10 of 5010 examples" in done.stdout
    assert kinds_of(read_scores(out)[0].caveats) == ("partial",)
    shown = edgebench("scores", "show", out, "--json", "-")
    document = json.loads(shown.stdout)
    check_schema(document, "scores-show")
    assert document["scores"][0]["caveats"][0].startswith("partial: 10 of 5010 examples")


# --- a folder of predictions ------------------------------------------------------------------------------------


def folders(tmp_path: Path, task: str, lang: str, predictions: str, labels: str, suffix: str = "tsv") -> Any:
    for name, text in (("predictions", predictions), ("labels", labels)):
        path = tmp_path / name / task / f"test-{lang}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return score_predictions(tmp_path / "predictions", tmp_path / "labels")


def test_predictions_whose_labels_are_exchanged_are_marked(tmp_path: Path) -> None:
    names = ["contradiction", "entailment", "neutral"]
    labels = [names[at % 3] for at in range(60)]
    moved = [names[(at + 1) % 3] for at in range(60)]
    (score,) = folders(tmp_path, "xnli", "en", "\n".join(moved) + "\n", "\n".join(labels) + "\n").scores
    assert score.value == 0
    assert kinds_of(score.caveats) == ("labels", "partial", "below chance")
    assert "0 % of the answers are right, and 100 % would be" in score.caveats[0]
    (score,) = folders(tmp_path, "xnli", "en", "\n".join(labels) + "\n", "\n".join(labels) + "\n").scores
    assert kinds_of(score.caveats) == ("partial",)


def test_numbers_of_lines_with_two_bases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScoresError, match=r"counts the lines from 1, and .* from 0"):
        folders(tmp_path, "tatoeba", "sw", "0\n1\n2\n", "1\n2\n3\n")
    (score,) = folders(tmp_path, "tatoeba", "sw", "1\n2\n3\n", "1\n2\n3\n").scores
    assert score.value == 100


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "s.csv",
            "variant,task,lang,metric,value,value\na,xnli,en,accuracy,84,70\n",
            "the column value is there twice",
        ),
        (
            "s.jsonl",
            '{"variant": "a", "task": "xnli", "lang": "en", "metric": "accuracy", "value": 84, "value": 48}\n',
            "the key 'value' is there twice",
        ),
    ],
)
def test_of_two_values_of_one_row_none_is_chosen(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ScoresError, match=words):
        read_scores(tmp_path / name)
