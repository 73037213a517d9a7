"""`study report` and `study status`: which scores are reported, where they come from, and how long scoring takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench.evaluation_result import LanguageCost, LanguageEvaluation, TaskEvaluation
from edgebench.reporting import status_parts, study_markdown, study_parts
from edgebench.store import Store
from edgebench.study import Study, study_report, study_status
from edgebench.study.scores import questions_of_study
from tests.schemas import check_schema
from tests.study.test_study import CONTRAST, HEAD, WORKLOADS, keep, study_of, variant

EXAMPLES = 30
TASK = '[[task]]\nname = "xnli"\ndata = "data"\nlang = ["en", "sw"]\n'


def write_data(folder: Path) -> None:
    """Write XNLI's test files as XTREME's scripts make them: premise, hypothesis and label in columns."""
    (folder / "xnli").mkdir(parents=True)
    labels = ("entailment", "neutral", "contradiction")
    for lang in ("en", "sw", "th"):
        rows = [f"a sentence {lang} {at}\tanother one {at}\t{labels[at % 3]}" for at in range(EXAMPLES)]
        (folder / "xnli" / f"test-{lang}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def study(folder: Path, *, task: str = TASK, head: str = HEAD) -> Study:
    if not (folder / "data").is_dir():
        write_data(folder / "data")
    variants = "".join(variant(kind, 1) for kind in ("english", "multilingual"))
    return study_of(folder, head + variants + WORKLOADS + CONTRAST + task)


def answered(store: Store, of: Study, lang: str, *, device: str = "local", right: int = 20, **changes: Any) -> None:
    """Keep what each file of a study answered in a language; `changes`: of the protocol."""
    asked = questions_of_study(replace(of, tasks=(replace(of.tasks[0], langs=(lang,)),)))
    protocol = dict(asked["xnli", "xnli", lang].protocol) | changes
    for at, sha256 in enumerate(sorted({each.artifact.sha256 for each in store.subjects()})):
        values = np.array([100.0] * (right + at) + [0.0] * (EXAMPLES - right - at))
        score = TaskEvaluation(
            task="xnli",
            lang=lang,
            metric="accuracy",
            value=float(values.mean()),
            n=EXAMPLES,
            ids=tuple(map(str, range(EXAMPLES))),
            per_example=values,
            protocol=protocol,
            artifact_sha256=sha256,
            variant="any",
            format="onnx-int8",
            device=device,
        )
        cost = LanguageCost(
            examples=EXAMPLES,
            inferences=EXAMPLES,
            batch=1,
            latency_ms={"mean": 500.0, "p50": 500.0, "p95": None, "max": 600.0},
            tokens=10.0,
            padded_tokens=10.0,
            buckets=(),
            truncated=0,
            fertility=None,
            continued_words=None,
            words=None,
            energy_j=None,
            energy_absent="no sensor",
        )
        store.write_evaluation(
            LanguageEvaluation(
                id=f"{lang}{device}{at}{len(store.evaluations())}".replace("_", ""),
                started_at="2026-01-01T00:00:00Z",
                scores=(score,),
                predictions=("neutral",) * EXAMPLES,
                tokens=np.full(EXAMPLES, 10),
                cost=cost,
            )
        )


@pytest.fixture
def measured(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    keep(study(tmp_path), store)
    return store


def langs(document: dict[str, Any]) -> set[str]:
    return {score["lang"] for each in document["contrasts"][0]["comparisons"] for score in each["scores"]}


def test_only_languages_that_a_task_names_are_reported(measured: Store, tmp_path: Path) -> None:
    of = study(tmp_path)
    for lang in ("en", "sw", "th"):
        answered(measured, of, lang)
    report = study_report(of, measured)
    document = report.to_json()
    check_schema(document, "study-report")
    assert langs(document) == {"en", "sw"}
    assert document["notes"] == ["scores that the study's tasks do not ask for are left out: xnli in th on local"]
    assert "xnli in th on local" in study_markdown(report)
    assert any("xnli in th on local" in str(part) for part in study_parts(report))


def test_answers_of_another_device_or_to_another_question_are_left_out(measured: Store, tmp_path: Path) -> None:
    of = study(tmp_path)
    answered(measured, of, "en")
    answered(measured, of, "sw", device="laptop", right=25)
    answered(measured, of, "en", limit=10, right=5)
    document = study_report(of, measured).to_json()
    assert langs(document) == {"en"}
    (score,) = document["contrasts"][0]["comparisons"][0]["scores"]
    assert score["baseline"] in (pytest.approx(100 * 20 / 30), pytest.approx(100 * 21 / 30))
    (note,) = document["notes"]
    assert "xnli in sw on laptop" in note
    assert any("xnli in sw" in each for each in document["missing"])


def test_mixed_sources_are_said(measured: Store, tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text(
        "variant,task,lang,metric,value\nenglish-1,xnli,sw,accuracy,70\nmultilingual-1,xnli,sw,accuracy,72\n"
        "english-1,xnli,th,accuracy,70\nmultilingual-1,xnli,th,accuracy,72\n",
        encoding="utf-8",
    )
    of = study(tmp_path, head=HEAD + 'scores = "scores.csv"\n')
    answered(measured, of, "en")
    document = study_report(of, measured).to_json()
    assert langs(document) == {"en", "sw"}
    mixed, left_out = document["notes"]
    assert mixed.startswith("scores are from 2 sources: ")
    assert "scores.csv (english-1, multilingual-1)" in mixed
    assert "edgebench evaluate on local" in mixed
    assert left_out.endswith("xnli in th of scores.csv")


def test_without_tasks_all_that_is_known_is_reported(measured: Store, tmp_path: Path) -> None:
    of = study(tmp_path)
    for lang in ("en", "th"):
        answered(measured, of, lang)
    document = study_report(study(tmp_path, task=""), measured).to_json()
    assert (langs(document), document["notes"]) == ({"en", "th"}, [])


def test_the_estimate_counts_scoring(measured: Store, tmp_path: Path) -> None:
    of = study(tmp_path)
    everything = study_status(of, measured)
    # Nothing is scored: 2 files, 2 languages, 30 examples each, at the pace of the timed inferences.
    assert everything.estimated_scoring_s is not None
    assert 0 < everything.estimated_scoring_s < 60
    answered(measured, of, "en")
    status = study_status(of, measured)
    check_schema(status.to_json(), "study-status")
    # English is scored, at 0.5 s an example: Swahili takes 2 files x 30 examples x 0.5 s.
    assert status.estimated_scoring_s == pytest.approx(30)
    assert status.estimated_remaining_s == pytest.approx(30)
    assert any("about 30 s" in str(part) for part in status_parts(status))
    answered(measured, of, "sw")
    assert study_status(of, measured).estimated_scoring_s == 0


def test_files_that_are_not_measured_yet_are_scored_later(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert study_status(study(tmp_path), store).estimated_scoring_s is None  # nothing is known of this device
