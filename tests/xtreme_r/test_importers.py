"""Scores as other tools write them: rows, scales, and what is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import ScoresError, UnknownName
from edgebench.xtreme_r.importer_formats import Provenance
from edgebench.xtreme_r.importers import ImportedScores, import_scores
from edgebench.xtreme_r.score_files import read_scores, write_scores
from tests.fork_server import edgebench_command

EVALUATE_PY = {
    "classification": 77.0,
    "xnli": {"accuracy": {"en": 84.5, "sw": 0.9}, "avg_accuracy": 42.7, "avg_metric": 42.7},
    "xquad": {
        "exact_match": {"en": 70.0, "de": 60.0},
        "f1": {"en": 82.0, "de": 75.0},
        "avg_exact_match": 65.0,
        "avg_f1": 78.5,
        "avg_metric": 71.75,
    },
}
LM_EVAL = {
    "results": {
        "xnli": {"acc,none": 0.4, "alias": "xnli"},
        "xnli_sw": {"acc,none": 0.41, "acc_stderr,none": 0.01, "alias": " - xnli_sw"},
        "xcopa_id": {"acc,none": 0.62, "acc_stderr,none": 0.02},
        "mlqa_de_de": {"f1,none": 0.5, "exact_match,none": 0.25},
        "hellaswag": {"acc,none": 0.5},
    },
    "versions": {"xnli_sw": 1.0},
    "n-samples": {"xnli_sw": {"original": 2490, "effective": 2490}},
}
MTEB = {
    "task_name": "Tatoeba",
    "mteb_version": "1.14.15",
    "dataset_revision": "1",
    "scores": {
        "test": [
            {"hf_subset": "swh-eng", "languages": ["swh-Latn", "eng-Latn"], "accuracy": 0.5, "f1": 0.45},
            {"hf_subset": "cmn-eng", "languages": ["cmn-Hans", "eng-Latn"], "accuracy": 0.9, "f1": 0.88},
            {"hf_subset": "ast-eng", "languages": ["ast-Latn", "eng-Latn"], "accuracy": 0.7, "f1": 0.7},
        ]
    },
}  # fmt: skip
TRAINER = {"epoch": 3.0, "eval_accuracy": 0.8123, "eval_loss": 0.5, "eval_samples": 5010, "train_loss": 0.3}
NLU_EVALS = {"all_metrics": {"xquad.de": {"test_f1": 74.0, "test_exact_match": 58.0, "test_samples": 1190}}}


def edgebench_score(lang: str, value: float) -> dict[str, Any]:
    return {
        "task": "xnli", "lang": lang, "metric": "accuracy", "value": value, "n": 200, "artifact_sha256": "ab" * 32,
        "protocol": {"convention": "equal labels"},
    }  # fmt: skip


def load(tmp_path: Path, document: Any, *, name: str = "scores.json", **given: Any) -> ImportedScores:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    kind = given.pop("kind", None)
    return import_scores(path, Provenance(**{"variant": "v"} | given), kind=kind)


def plain(found: ImportedScores) -> list[tuple[str, str, str, float]]:
    return [(row.task, row.lang, row.metric, pytest.approx(row.value)) for row in found.rows]


@pytest.mark.parametrize(
    ("document", "name", "given", "kind", "rows"),
    [
        (
            EVALUATE_PY, "report.json", {}, "evaluate.py",
            [("xnli", "en", "accuracy", 84.5), ("xnli", "sw", "accuracy", 0.9), ("xquad", "en", "em", 70),
             ("xquad", "de", "em", 60), ("xquad", "en", "f1", 82), ("xquad", "de", "f1", 75)],
        ),
        (
            LM_EVAL, "results.json", {}, "lm-eval",
            [("xnli", "sw", "accuracy", 41), ("xcopa", "id", "accuracy", 62), ("mlqa", "de", "f1", 50),
             ("mlqa", "de", "em", 25)],
        ),
        (MTEB, "Tatoeba.json", {}, "mteb", [("tatoeba", "sw", "accuracy", 50), ("tatoeba", "zh", "accuracy", 90)]),
        (
            TRAINER, "eval_results.json", {"task": "xnli", "lang": "sw"}, "trainer",
            [("xnli", "sw", "accuracy", 81.23)],
        ),
        (
            {"eval_f1": 80.0, "eval_exact_match": 70.0}, "all_results.json", {"task": "xquad", "lang": "de"}, "trainer",
            [("xquad", "de", "f1", 80), ("xquad", "de", "em", 70)],
        ),
        (
            {"eval_accuracy": 0.5, "predict_accuracy": 0.6}, "all_results.json", {"task": "xnli", "lang": "de"},
            "trainer", [("xnli", "de", "accuracy", 60)],
        ),
        (NLU_EVALS, "xquad.json", {}, "nlu-evals", [("xquad", "de", "f1", 74), ("xquad", "de", "em", 58)]),
        (
            {"all_metrics": {"swh-eng": {"predict_accuracy": 0.25}, "oci-eng": {"predict_accuracy": 0.3}}},
            "tatoeba-xtreme-r/all_results.json", {}, "nlu-evals", [("tatoeba", "sw", "accuracy", 25)],
        ),
        (
            {"all_metrics": {"mlqa.ar.ar": {"test_f1": 60.0}, "mlqa.ar.de": {"test_f1": 50.0}}},
            "mlqa/all_results.json", {}, "nlu-evals", [("mlqa", "ar", "f1", 60)],
        ),
        (
            {"scores": [edgebench_score("en", 0.5), edgebench_score("sw", 50)], "tasks": {}, "overall": None},
            "eval.json", {}, "edgebench", [("xnli", "en", "accuracy", 0.5), ("xnli", "sw", "accuracy", 50)],
        ),
        ("task,lang,metric,value\nxnli,en,acc,80\n", "a.csv", {}, "table", [("xnli", "en", "accuracy", 80)]),
        (
            [{"task": "xnli", "lang": "en", "metric": "acc", "value": 80}], "a.json", {}, "table",
            [("xnli", "en", "accuracy", 80)],
        ),
        (
            {"variant": "w", "task": "xnli", "lang": "en", "metric": "acc", "value": 0.8}, "a.jsonl", {"scale": 1},
            "table", [("xnli", "en", "accuracy", 80)],
        ),
    ],
)  # fmt: skip
def test_each_format_is_recognised_with_its_own_scale(
    tmp_path: Path, document: Any, name: str, given: dict[str, Any], kind: str, rows: list[Any]
) -> None:
    found = load(tmp_path, document, name=name, **given)
    assert found.kind == kind
    assert plain(found) == rows


def test_a_row_says_whose_it_is_and_where_it_is_from(tmp_path: Path) -> None:
    found = load(
        tmp_path, LM_EVAL, name="r.json", format="onnx-int8", runtime="onnxruntime", batch=8, padding="longest",
        encoder="frozen",
    )  # fmt: skip
    row = found.rows[0]
    assert (row.variant, row.format, row.runtime, row.batch) == ("v", "onnx-int8", "onnxruntime", 8)
    assert (row.padding, row.encoder, row.n, row.source) == ("longest", "frozen", 2490, "r.json")
    assert row.protocol == "lm-evaluation-harness"
    assert row.conventions == "prompted, no head is trained"
    assert row.source_sha256 == hashlib.sha256((tmp_path / "r.json").read_bytes()).hexdigest()
    assert found.skipped == [f"{name}: no task of XTREME-R in one language" for name in ("xnli", "hellaswag")]


def test_edgebenchs_own_scores_keep_their_artifact_and_convention(tmp_path: Path) -> None:
    (row,) = load(tmp_path, {"scores": [edgebench_score("en", 50)], "tasks": {}, "overall": None}).rows
    assert (row.artifact_sha256, row.conventions, row.n) == ("ab" * 32, "equal labels", 200)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_what_is_written_is_read_again(tmp_path: Path, suffix: str) -> None:
    rows = load(tmp_path, EVALUATE_PY, format="onnx-int8", batch=1).rows
    write_scores(tmp_path / f"out{suffix}", rows)
    assert read_scores(tmp_path / f"out{suffix}") == rows


@pytest.mark.parametrize(
    ("document", "given", "problem"),
    [
        (EVALUATE_PY, {"variant": None}, "doesn't say whose scores they are; try: `variant=NAME`"),
        (TRAINER, {}, "doesn't say which task and language it is of; try: `task='xnli'` `lang='sw'`"),
        (TRAINER | {"eval_accuracy": 81.2}, {"task": "xnli", "lang": "sw"},
         "accuracy of xnli in sw is 81.2, and Hugging Face Trainer gives it on 0..1; if all of the file is on another"),
        ({"eval_f1": 0.8, "eval_exact_match": 0.7}, {"task": "xquad", "lang": "de"},
         "no f1 of xquad is above 1, which may be a scale of 0..1 where 0..100 is expected; say which it is: `sc"),
        ({"xnli": {"accuracy": {"en": 0.8}, "avg_accuracy": 0.8}}, {}, "no accuracy of xnli is above 1"),
        ({"xnli": {"accuracy": {"en": 101}, "avg_accuracy": 101}}, {}, "is 101, and XTREME's evaluate.py gives it on"),
        ({"results": {"xnli_sw": {"acc,none": 0.4}, "xnli_en": {"acc,none": 84}}, "versions": {}}, {},
         "accuracy of xnli in en is 84, and lm-evaluation-harness gives it on 0..1"),
        ({"results": {"xnli_sw": {"acc,none": "N/A"}}, "versions": {}}, {}, "value must be a number, got 'N/A'"),
        ('{"xnli": {"accuracy": {"en": NaN, "sw": 80}, "avg_accuracy": 80}}', {}, "value must be a number, got nan"),
        ({"results": {"hellaswag": {"acc,none": 0.4}}, "versions": {}}, {}, "no score of XTREME-R in it (left out: he"),
        (MTEB | {"task_name": "XNLI"}, {}, "no score of XTREME-R in it (left out: XNLI: MTEB scores it otherwise"),
        (MTEB | {"scores": {}}, {}, "not what MTEB writes: KeyError: 'test'"),
        ({"loss": 1.0}, {}, "no format of scores that is known; try: `kind`, one of edgebench, nlu-evals, lm-eval"),
        (NLU_EVALS, {}, "its name says no task of XTREME-R ('scores'); try: `task='xnli'`"),
        ("{", {}, "not JSON"),
        ("task,lang,metric,value\nxnli,en,acc,0.8\n", {}, "no value is above 1, which may be a scale of 0..1"),
        ("task,lang,metric,value\nxnli,en,acc,0.8\nxnli,sw,acc,70\n", {}, "some values are at most 1 and others above"),
        ("task,lang,metric,value\nxnli,en,acc,80\n", {"scale": 1}, "value must be 0..1, got 80"),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_refused(tmp_path: Path, document: Any, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ScoresError) as error:
        load(tmp_path, document, **given)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_a_scale_that_is_said_is_taken(tmp_path: Path) -> None:
    found = load(tmp_path, {"eval_f1": 0.8, "eval_exact_match": 0.7}, task="xquad", lang="de", scale=1)
    assert [row.value for row in found.rows] == pytest.approx([80, 70])


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"unknown format of scores 'lmeval'; did you mean 'lm-eval'"):
        load(tmp_path, LM_EVAL, kind="lmeval")
    with pytest.raises(UnknownName, match="unknown language of xnli 'yo'"):
        load(tmp_path, TRAINER, task="xnli", lang="yo")


# --- the command ------------------------------------------------------------------------------------------------


def edgebench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*edgebench_command(), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_import_writes_a_scores_file_and_show_shows_it(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(EVALUATE_PY))
    out = tmp_path / "scores.csv"
    done = edgebench("scores", "import", tmp_path / "report.json", "--variant", "multi", "--out", out)
    assert done.returncode == 0
    assert "report.json: 6 scores (evaluate.py)" in done.stderr
    assert {row.variant for row in read_scores(out)} == {"multi"}
    shown = edgebench("scores", "show", out)
    assert shown.returncode == 0
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert any(row[:3] == ["multi", "-", "XQuAD"] and row[3] == "71.8" for row in rows)
    document = json.loads(edgebench("scores", "show", out, "--json", "-").stdout)
    assert len(document["scores"]) == 6


def test_the_same_score_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(EVALUATE_PY))
    done = edgebench(
        "scores", "import", tmp_path / "a.json", tmp_path / "b.json", "--variant", "v", "--out", tmp_path / "o.csv"
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "accuracy of v on xnli in en is in a.json and in b.json; keep one of them" in done.stderr
    assert not (tmp_path / "o.csv").exists()


def test_a_bad_name_for_the_result_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    done = edgebench("scores", "import", tmp_path / "none.json", "--out", tmp_path / "o.txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--out takes a name that ends in .csv or .jsonl, not 'o.txt'" in done.stderr
