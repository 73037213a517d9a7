"""A study with a task: the files that were timed answer it, and their answers are in the report and in compare."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgebench.analysis import compare_scores, join_scores, summarise
from edgebench.errors import ConfigError, UnknownName
from edgebench.evaluation.evaluator import evaluate
from edgebench.store.scores import stored_scores
from edgebench.store.store import Store
from edgebench.study import read_study
from tests.analysis.test_comparison import edgebench_compare
from tests.evaluation.conftest import NLI, NewCheckpoint
from tests.evaluation.test_evaluate import CLASSIFIER, nli_data
from tests.needed import need
from tests.sample_runs import subject
from tests.study.test_study import edgebench_study

need("torch", "onnxruntime")

pytestmark = pytest.mark.export
HEAD = """
[study]
name = "tiny"
devices = ["local"]
formats = ["onnx-fp32"]
own_cost = false
cold = false
[plan]
runs = 2
min_count = 5
min_duration_s = 0.0
[[workload]]
seq_len = 16
[[contrast]]
baseline = {kind = "english"}
candidate = {kind = "multilingual"}
"""
TASK = '[[task]]\nname = "xnli"\ndata = "data"\n'


def variant(name: str) -> str:
    return f'[[variant]]\nname = "{name}-1"\nmodel = "{name}"\nlineage = {{kind = "{name}", seed = 1}}\n'


def write_study(folder: Path, new_checkpoint: NewCheckpoint, task: str = TASK) -> Path:
    import torch
    from safetensors.torch import load_file, save_file

    for at, name in enumerate(("english", "multilingual")):
        shutil.copytree(new_checkpoint(CLASSIFIER, NLI), folder / name)
        weights = load_file(folder / name / "model.safetensors")
        weights["classifier.out_proj.bias"] = torch.eye(3)[at] * 100  # the one always says this, the other that
        save_file(weights, folder / name / "model.safetensors", metadata={"format": "pt"})
    file = folder / "STUDY.toml"
    file.write_text(HEAD + variant("english") + variant("multilingual") + task)
    return file


def ran(*arguments: str | Path) -> Any:
    done = edgebench_study(*map(str, arguments), "--json", "-")
    assert done.returncode in (0, 4), done.stderr  # a busy machine's runs may not count
    return json.loads(done.stdout), done.stderr


@pytest.mark.long
def test_the_files_that_were_timed_answer_the_tasks_of_a_study(new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    file, store = write_study(tmp_path, new_checkpoint), tmp_path / "store"
    labels = nli_data(tmp_path / "data")["labels"]
    ran("run", file, "--store", store)
    status, _ = ran("status", file, "--store", store)
    assert status["unanswered"] == []

    measurements = Store(store).measurements()
    kept = {each.scores[0].artifact_sha256: each for each in Store(store).evaluations() if each.lang == "sw"}
    assert set(kept) == {each.subject.artifact.sha256 for each in measurements}
    rows, examples = stored_scores(Store(store), measurements)
    shares = {NLI[at]: 100 * labels.count(NLI[at]) / len(labels) for at in (0, 1)}
    assert {(row.variant, row.lang): row.value for row in rows} == {
        (name, lang): pytest.approx(shares[NLI[at]])
        for at, name in enumerate(("english", "multilingual"))
        for lang in ("sw", "en")
    }
    assert len(examples) == 4

    report, _ = ran("report", file, "--store", store)
    assert not any("xnli" in each for each in report["missing"])
    one, other = (
        join_scores(each, rows, examples=examples) for each in measurements
    )  # whether their runs count or not
    for score in compare_scores([(one, other)])[0]:
        assert score.ci is not None
        assert score.ci[0] < 0 < score.ci[1]  # each is right where the other is wrong
    for each in report["contrasts"][0]["comparisons"]:
        (en, sw) = sorted(each["scores"], key=lambda score: score["lang"])
        assert (en["n"], sw["whose"]) == (24, "of this file")

    # What is answered is not answered again; new data is another question.
    _, told = ran("run", file, "--store", store)
    assert "xnli in" not in told
    nli_data(tmp_path / "data", count=30)
    status, _ = ran("status", file, "--store", store)
    assert [each["langs"] for each in status["unanswered"]] == [["en", "sw"], ["en", "sw"]]

    compared = edgebench_compare("english", "multilingual", "--store", str(store), "--json", "-")
    if all(each.valid for each in measurements):
        assert {score["whose"] for score in json.loads(compared.stdout)["scores"]} == {"of this file"}


@pytest.mark.long
def test_a_full_evaluation_comes_before_a_later_subset(new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    nli_data(tmp_path / "data", langs=("sw",))
    for limit in (None, 6):
        evaluate(
            new_checkpoint(CLASSIFIER, NLI), tasks=["xnli"], data=tmp_path / "data", format="onnx-fp32", limit=limit,
            store=tmp_path / "store",
        )  # fmt: skip
    (sha256,) = {each.scores[0].artifact_sha256 for each in Store(tmp_path / "store").evaluations()}
    measured = subject(0)
    artifact = replace(measured.artifact, files=(replace(measured.artifact.files[0], sha256=sha256),))
    of = summarise(replace(measured, artifact=artifact), [])
    rows, _ = stored_scores(Store(tmp_path / "store"), [of])
    assert [row.n for row in rows] == [24]


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (TASK.replace("xnli", "xnlo"), "xnlo"),
        (TASK.replace('"data"', '"nowhere"'), "nowhere is not a folder"),
        ('[[task]]\nname = "xnli"\n', "lacks data"),
        (TASK + 'lang = ["xx"]\n', "xx"),
        (TASK + 'devices = ["pi4"]\n', "pi4"),
        (TASK + 'limit = "ten"\n', "limit must be a whole number"),
    ],
)
def test_a_wrong_task_is_reported_with_its_place(
    new_checkpoint: NewCheckpoint, tmp_path: Path, task: str, says: str
) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises((ConfigError, UnknownName), match=says) as caught:
        read_study(write_study(tmp_path, new_checkpoint, task))
    assert "[[task]] 1" in str(caught.value)
