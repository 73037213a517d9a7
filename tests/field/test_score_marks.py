"""Partial and suspicious scores are marked wherever a score is shown or recorded, and a file of scores is obeyed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench.analysis import Evaluation, ExampleScores, compare_scores, join_scores, summarise
from edgebench.errors import ScoresError
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.reporting import evaluation_parts, rows_parts
from edgebench.reporting.comparison import score_table
from edgebench.store import Store, merged_scores, stored_scores
from edgebench.xtreme_r import ScoreRow, caveats_of, kinds_of
from edgebench.xtreme_r.caveats import label_caveats, renaming_caveat
from edgebench.xtreme_r.tasks import find_task
from tests.sample_runs import subject
from tests.test_evaluation_result import evaluation, language


def lines(parts: Any) -> str:
    return "\n".join(part for part in parts if isinstance(part, str))


@pytest.mark.parametrize(
    ("task", "value", "n", "kinds"),
    [
        ("xnli", 70.0, 5010, ()),
        ("xnli", 23.33, 30, ("partial", "chance level")),
        ("xnli", 3.3, 30, ("partial", "below chance")),
        ("xnli", 34.0, 5010, ("chance level",)),
        ("xnli", 12.0, 5010, ("below chance",)),
        ("xnli", 90.0, 10, ("partial",)),
        ("xnli", 33.0, None, ("chance level",)),
        ("xnli", 70.0, None, ()),
        ("xnli", 70.0, 9000, ("partial",)),
        ("pawsx", 54.0, 1946, ()),
        ("pawsx", 50.1, 2000, ("chance level",)),
        ("xcopa", 30.0, 500, ("below chance",)),
        ("tatoeba", 0.2, 1000, ("chance level",)),
        ("tatoeba", 50.0, 390, ()),
    ],
)
def test_figures_show_what_is_partial_or_no_better_than_guessing(
    task: str, value: float, n: int | None, kinds: tuple[str, ...]
) -> None:
    lang = {"tatoeba": "sw" if n == 390 else "de", "xcopa": "et"}.get(task, "de")
    assert kinds_of(caveats_of(task, lang, "accuracy", value, n)) == kinds


def test_a_score_of_nothing_right_and_another_split_are_marked() -> None:
    assert kinds_of(caveats_of("xquad", "de", "f1", 0.0, 1190)) == ("chance level",)
    assert kinds_of(caveats_of("xnli", "de", "accuracy", 80.0, 2490, split="dev")) == ("partial",)
    (limited,) = caveats_of("udpos", "de", "f1", 80.0, 10, limit=10)
    assert limited == "partial: 10 examples (a limit of 10)"


def test_labels_that_are_missing_or_there_twice_are_named() -> None:
    xnli = find_task("xnli")
    assert label_caveats(xnli, ["contradiction", "entailment", "neutral"], []) == ()
    assert label_caveats(xnli, ["entailment", "contradiction"], []) == (
        "labels: the model has no neutral, so such examples are never right",
    )
    twice = label_caveats(xnli, ["entailment", "entailment", "neutral"], [])
    assert "several are entailment" in twice[0] and "no contradiction" in twice[1]
    panx = find_task("panx")
    assert label_caveats(panx, ["O", "B-PER", "I-PER"], {"O", "B-PER"}) == ()
    assert "no B-LOC" in label_caveats(panx, ["O", "B-PER", "I-PER"], {"O", "B-LOC"})[0]


def test_exchanged_names_are_found_in_the_answers() -> None:
    stream = np.random.default_rng(0)
    names = ["contradiction", "entailment", "neutral"]
    right = [names[at] for at in stream.integers(3, size=90)]
    good = [label if stream.random() < 0.8 else names[int(stream.integers(3))] for label in right]
    swap = {"contradiction": "entailment", "entailment": "contradiction", "neutral": "neutral"}
    xnli = find_task("xnli")
    assert renaming_caveat(xnli, right, good) is None
    assert renaming_caveat(xnli, right, [names[at] for at in stream.integers(3, size=90)]) is None
    said = renaming_caveat(xnli, right, [swap[each] for each in good])
    assert said is not None and "contradiction as entailment" in said and "is id2label in order?" in said
    tags = [("O", "O", "B-PER", "O", "B-ORG")] * 20
    other = [("O", "O", "B-ORG", "O", "B-PER")] * 20
    assert renaming_caveat(find_task("panx"), tags, other) is not None
    assert renaming_caveat(find_task("panx"), tags, tags) is None


def of(languages: tuple[LanguageEvaluation, ...], **changes: Any) -> Evaluation:
    measured = subject(0)
    made = Evaluation(
        variant=measured.variant,
        artifact=measured.artifact,
        device=measured.device,
        languages=languages,
        reference=(),
        missing={},
        is_limited=False,
    )
    return replace(made, **changes)


def test_an_evaluation_of_an_earlier_version_is_read_and_marked(tmp_path: Path) -> None:
    protocol = {"convention": "equal labels", "max_len": 128, "split": "test", "limit": 10}
    old = language(evaluation([100.0] * 2 + [0.0] * 8, protocol=protocol), ["a"] * 10)
    store = Store(tmp_path)
    store.write_evaluation(old)
    path = tmp_path / "evaluations" / f"{old.id}.json"
    values = json.loads(path.read_text())
    del values["scores"][0]["caveats"]
    path.write_text(json.dumps(values))
    found = store.evaluation(old.id)
    assert found is not None and found.scores[0].caveats == ()
    shown = of((found,), missing={"xnli": ("de",)})
    assert kinds_of(shown.scores[0].caveats) == ("partial", "chance level")
    assert "! xnli sw: partial: 10 of 5010 examples (a limit of 10)" in lines(evaluation_parts(shown))
    assert shown.to_json()["scores"][0]["caveats"] == list(shown.scores[0].caveats)
    measured = summarise(replace(subject(0), artifact=replace_sha(subject(0).artifact, "a" * 64)), [])
    ((row, *_), _) = stored_scores(store, [measured])
    assert kinds_of(row.caveats) == ("partial", "chance level")


def replace_sha(artifact: Any, sha256: str) -> Any:
    return replace(artifact, files=(replace(artifact.files[0], sha256=sha256),))


def test_question_answering_in_one_language_has_one_figure(tmp_path: Path) -> None:
    protocol = {"convention": "SQuAD's", "max_len": 384, "split": "test", "limit": None}
    f1 = evaluation([100, 100, 50], task="xquad", lang="de", metric="f1", protocol=protocol)
    em = evaluation([100, 50, 0], task="xquad", lang="de", metric="em", protocol=protocol)
    both = replace(language(f1, ["a", "b", "c"]), scores=(f1, em))
    said = lines(evaluation_parts(of((both,), missing={"xquad": ("en",)})))
    assert "mean over 1 of 12 languages (partial): 66.7" in said
    assert "worst: de 66.7" in said
    rows = [ScoreRow(variant="v", task="xquad", lang="de", metric=s.metric, value=s.value) for s in (f1, em)]
    table = next(part for part in rows_parts(rows) if not isinstance(part, str))
    cells = [next(iter(column.cells)) for column in table.columns]  # type: ignore[union-attr]
    assert [str(cell) for cell in cells[3:6]] == ["66.7", "1 of 12 (partial)", "de 66.7"]


def test_a_comparison_shows_the_caveats_of_both_sides() -> None:
    measured = [
        summarise(replace(subject(at), artifact=replace_sha(subject(at).artifact, c * 64)), [])
        for at, c in ((0, "a"), (1, "b"))
    ]
    rows = [
        ScoreRow(
            variant=each.subject.variant.name,
            task="xnli",
            lang="sw",
            metric="accuracy",
            value=value,
            n=n,
            artifact_sha256=each.subject.artifact.sha256,
        ).with_caveats()
        for each, value, n in zip(measured, (70.0, 60.0), (5010, 10), strict=True)
    ]
    sides = [join_scores(each, rows) for each in measured]
    ((contrast,),) = compare_scores([(sides[0], sides[1])])
    said = contrast.caveats
    assert said[0] == "partial: 10 of the test set's 5010 examples (only the candidate)"
    table = score_table([contrast])
    assert "-10.00 !" in [str(cell) for column in table.columns for cell in column.cells]
    assert contrast.to_json()["caveats"] == list(said)


# --- a file of scores beside stored ones ------------------------------------------------------------------------

SHA = "a" * 64


def stored(task: str = "xnli", metric: str = "accuracy", lang: str = "sw") -> tuple[ScoreRow, ExampleScores]:
    row = ScoreRow(variant="v", task=task, lang=lang, metric=metric, value=80, format="onnx-int8", artifact_sha256=SHA)
    return row, ExampleScores(
        artifact_sha256=SHA, task=task, lang=lang, metric=metric, ids=["1"], values=np.array([80.0]), variant="v"
    )


@pytest.mark.parametrize("of_file", [{}, {"format": "onnx-int8"}, {"artifact_sha256": SHA}])
def test_a_file_of_scores_comes_before_what_evaluate_stored(of_file: dict[str, str]) -> None:
    row, examples = stored()
    other, others = stored(lang="en")
    mine = ScoreRow(variant="v", task="xnli", lang="sw", metric="accuracy", value=42, **of_file)  # type: ignore[arg-type]
    kept, kept_examples = merged_scores([mine], [row, other], [examples, others])
    assert kept == [mine, other]
    assert kept_examples == [others]


def test_rows_of_other_files_and_variants_leave_stored_scores_alone() -> None:
    row, examples = stored()
    for change in ({"format": "onnx-fp32"}, {"artifact_sha256": "b" * 64}, {"variant": "w"}):
        mine = replace(ScoreRow(variant="v", task="xnli", lang="sw", metric="accuracy", value=42), **change)  # type: ignore[arg-type]
        kept, kept_examples = merged_scores([mine], [row], [examples])
        assert kept == [mine, row] and kept_examples == [examples]


def test_a_file_with_one_of_two_metrics_is_refused_where_the_store_has_both() -> None:
    pairs = [stored("xquad", metric, "de") for metric in ("f1", "em")]
    mine = ScoreRow(variant="v", task="xquad", lang="de", metric="f1", value=42)
    with pytest.raises(ScoresError, match="has f1 of v on xquad in de, and no em"):
        merged_scores([mine], [row for row, _ in pairs], [each for _, each in pairs])
