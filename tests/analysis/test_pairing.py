"""Scores beside measurements: whose they are, what may be said of two, and which rows are worth choosing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench.analysis import (
    OF_FILE,
    ExampleScores,
    PairedComparison,
    ScoredMeasurement,
    compare_scores,
    compare_with_scores,
    fronts,
    join_scores,
)
from edgebench.analysis.comparison import compare
from edgebench.analysis.pairing import OF_OTHER_FILE, OF_VARIANT
from edgebench.errors import ConfigError, NotComparable
from edgebench.measurement import Measurement
from edgebench.stats import align, estimate_difference, estimate_f1_difference, seed_difference
from edgebench.store import Store
from edgebench.xtreme_r.scores import ScoreRow
from tests.analysis.test_comparison import edgebench_compare, measured


def row(value: float, lang: str = "en", *, variant: str = "english", **more: Any) -> ScoreRow:
    return ScoreRow(**{"task": "xnli", "metric": "accuracy"} | more, variant=variant, lang=lang, value=value)


def examples(of: Measurement, right: Sequence[bool], lang: str = "en") -> ExampleScores:
    values = 100.0 * np.asarray(right, np.float64)
    ids = [f"{lang}-{number}" for number in range(len(values))]
    sha256 = of.subject.artifact.sha256
    return ExampleScores(artifact_sha256=sha256, task="xnli", lang=lang, metric="accuracy", ids=ids, values=values)


def scored(of: Measurement, rights: dict[str, Sequence[bool]]) -> ScoredMeasurement:
    per_example = [examples(of, right, lang) for lang, right in rights.items()]
    name, sha256 = of.subject.variant.name, of.subject.artifact.sha256
    rows = [row(float(e.values.mean()), e.lang, variant=name, artifact_sha256=sha256) for e in per_example]
    return join_scores(of, rows, examples=per_example)


# --- differences over examples --------------------------------------------------------------------------------------


def test_the_interval_of_many_examples_is_the_normal_one() -> None:
    """For n = 10,000 the bootstrap must give mean ± 1.96 sd / sqrt(n), known without any bootstrap."""
    differences = np.random.default_rng(1).normal(1.0, 10.0, 10_000)
    found = estimate_difference(np.full(10_000, 50.0), 50.0 + differences)
    half = 1.96 * differences.std() / 100
    low, high = found.interval(0.95)
    assert found.effect == pytest.approx(differences.mean())
    assert (low, high) == (
        pytest.approx(differences.mean() - half, abs=0.02),
        pytest.approx(differences.mean() + half, abs=0.02),
    )
    assert found.p_different() < 0.001


def test_the_interval_and_the_p_values_say_the_same() -> None:
    random = np.random.default_rng(2)
    found = estimate_difference(random.uniform(20, 60, 300), random.uniform(22, 62, 300))
    for level in (0.8, 0.9, 0.95, 0.99):
        low, high = found.interval(level)
        assert found.p_above(low) == pytest.approx((1 - level) / 2, abs=0.002)
        assert found.p_below(high) == pytest.approx((1 - level) / 2, abs=0.002)


def test_thirty_examples_of_which_none_changed_are_no_proof() -> None:
    same = np.full(30, 100.0)
    low, high = estimate_difference(same, same).interval(0.95)
    assert low < -3
    assert high > 3
    assert estimate_difference(same, same).p_equivalent(1.0) > 0.05


def test_the_same_examples_say_the_same_twice() -> None:
    random = np.random.default_rng(3)
    one, other = random.uniform(0, 100, 200), random.uniform(0, 100, 200)
    assert estimate_difference(one, other).interval(0.95) == estimate_difference(one, other).interval(0.95)


def test_examples_are_matched_by_their_ids() -> None:
    one, other = align((["a", "b"], np.array([1.0, 2.0])), (["b", "a"], np.array([20.0, 10.0])))
    assert (one.tolist(), other.tolist()) == ([1, 2], [10, 20])
    with pytest.raises(NotComparable, match="other examples: 2 are on one side only"):
        align((["a", "b"], one), (["a", "c"], one))
    with pytest.raises(NotComparable, match="twice"):
        align((["a", "a"], one), (["a", "b"], one))


@pytest.mark.parametrize("values", [[], [50.0, 101.0], [50.0, float("nan")]])
def test_figures_of_examples_that_are_none_are_refused(values: list[float]) -> None:
    with pytest.raises(NotComparable):
        estimate_difference(np.full(len(values), 50.0), np.array(values))


def test_seeds_on_both_sides_are_paired() -> None:
    from scipy.stats import ttest_ind, ttest_rel

    one, other = {1: 70.0, 2: 72.0, 3: 71.0}, {3: 72.5, 1: 71.0, 2: 73.5}
    paired = seed_difference(one, other)
    assert paired.p_different() == pytest.approx(ttest_rel([71.0, 73.5, 72.5], [70.0, 72.0, 71.0]).pvalue)
    apart = seed_difference(one, {4: 71.0, 5: 73.5, 6: 72.5})
    expected = ttest_ind([71.0, 73.5, 72.5], [70.0, 72.0, 71.0], equal_var=False)
    assert apart.p_different() == pytest.approx(expected.pvalue)
    assert apart.interval(0.95) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    with pytest.raises(NotComparable, match="two checkpoints"):
        seed_difference({1: 70.0}, other)


# --- whose scores they are ------------------------------------------------------------------------------------------


def test_scores_of_another_file_are_refused_or_labelled() -> None:
    a, _ = measured()
    of_other = [row(70.0, artifact_sha256="ab" * 32)]
    with pytest.raises(NotComparable, match=r"another file \(abababababab\).*`allow_variant_scores=True`"):
        join_scores(a, of_other)
    assert [each.whose for each in join_scores(a, of_other, allow_variant_scores=True).scores] == [OF_OTHER_FILE]
    with pytest.raises(NotComparable, match="onnx-fp32"):
        join_scores(a, [row(70.0, format="onnx-fp32")])


def test_scores_of_the_file_and_of_the_variant_are_told_apart() -> None:
    a, _ = measured()
    found = join_scores(a, [row(70.0, artifact_sha256=a.subject.artifact.sha256), row(60.0, "sw")])
    assert [(each.lang, each.whose) for each in found.scores] == [("en", OF_FILE), ("sw", OF_VARIANT)]
    assert found.worst is not None
    assert found.worst.lang == "sw"
    assert found.task_values() == {"xnli": 65.0}


def test_other_files_beside_the_own_scores_are_left_out_and_counted() -> None:
    a, _ = measured()
    found = join_scores(a, [row(70.0), row(75.0, format="onnx-fp32"), row(71.0, "sw", format="onnx-fp32")])
    assert ([each.lang for each in found.scores], found.left_out) == (["en"], 2)


def test_one_of_several_other_files_is_not_chosen() -> None:
    a, _ = measured()
    rows = [row(70.0, artifact_sha256=digit * 64) for digit in "ab"]
    with pytest.raises(NotComparable, match="2 other files"):
        join_scores(a, rows, allow_variant_scores=True)


def test_random_weights_have_no_scores() -> None:
    a, _ = measured()
    reference = replace(a, subject=replace(a.subject, variant=replace(a.subject.variant, source="reference:tiny")))
    assert join_scores(reference, [row(70.0)]).scores == ()


def test_question_answering_is_the_mean_of_f1_and_em() -> None:
    a, _ = measured()
    rows = [
        row(*each, task="xquad", metric=metric) for metric, *each in (("f1", 80.0), ("em", 60.0), ("f1", 50.0, "th"))
    ]
    assert [(each.lang, each.value) for each in join_scores(a, rows).scores] == [("en", 70.0)]


# --- verdicts -------------------------------------------------------------------------------------------------------


def right(share: float, count: int = 5000) -> list[bool]:
    return [number < share * count for number in range(count)]


def test_each_language_has_its_verdict_and_the_sentence_counts_them() -> None:
    a, b = measured()
    ours = {"en": right(0.80), "sw": right(0.70), "th": right(0.60), "zh": right(0.5, 40)}
    theirs = {"en": right(0.801), "sw": right(0.65), "th": right(0.66), "zh": right(0.5, 40)}
    (found,) = compare_scores([(scored(a, ours), scored(b, theirs))])
    assert {each.lang: each.verdict for each in found} == {
        "en": "comparable",
        "sw": "worse",
        "th": "better",
        "zh": "inconclusive",
    }
    assert [each.not_worse for each in found] == [True, False, True, False]
    sentence = PairedComparison(comparison=compare(a, b), scores=found).verdict
    assert sentence.startswith("multilingual onnx-int8 is equivalent to english onnx-int8 on simulated")
    assert sentence.endswith(
        ", and its xnli scores are worse in 1 of 4 languages, better in 1, comparable in 1, inconclusive in 1 "
        "(worst: sw -5.0 points)"
    )


def test_without_results_per_example_nothing_is_concluded() -> None:
    a, b = measured()
    rows = [row(70.0), row(60.0, "sw"), row(71.0, variant="multilingual"), row(57.9, "sw", variant="multilingual")]
    (answer,) = compare_with_scores([compare(a, b)], rows)
    assert {(each.verdict, each.ci) for each in answer.scores} == {("inconclusive", None)}
    assert "no results per example" in str(answer.scores[0].without_interval)
    assert answer.verdict.endswith(
        "its xnli scores (of the variant) differ by -0.6 points on the mean of 2 languages, without an interval "
        "(worst: sw -2.1 points)"
    )


def test_a_metric_that_is_no_mean_over_examples_has_no_interval() -> None:
    a, b = measured()
    sides = [scored(each, {"en": right(0.8, 100)}) for each in (a, b)]
    off = replace(sides[1], scores=(replace(sides[1].scores[0], value=83.0),))
    (((contrast),),) = compare_scores([(sides[0], off)])
    assert contrast.ci is None
    assert "no mean over examples" in str(contrast.without_interval)


def test_languages_are_judged_together() -> None:
    a, b = measured()
    alone = compare_scores([(scored(a, {"en": right(0.80)}), scored(b, {"en": right(0.78)}))])[0][0]
    langs = ("en", "sw", "th", "tr", "ur")
    sides = (scored(a, {lang: right(0.80) for lang in langs}), scored(b, {lang: right(0.80) for lang in langs}))
    together = compare_scores([sides])[0]
    assert alone.level == 0.95
    assert {each.verdict for each in together} == {"comparable"}  # by the 1 - 2 alpha interval
    assert max(each.level or 0 for each in together) == pytest.approx(1 - 2 * 0.05 / 5)


def test_a_margin_that_is_none_is_refused() -> None:
    for change in ({"margin": 0.0}, {"margin": 100.0}, {"level": 95.0}):
        with pytest.raises(ConfigError):
            compare_scores([], **change)


# --- fronts ---------------------------------------------------------------------------------------------------------


def test_a_front_names_who_is_dominated_and_how_surely() -> None:
    a, b, c = measured((1.0, 1.0, 1.5))
    rows = {
        "a": scored(a, {"en": right(0.80), "sw": right(0.70)}),
        "b": scored(b, {"en": right(0.79), "sw": right(0.70)}),
        "c": scored(c, {"en": right(0.60), "sw": right(0.50)}),
    }
    latency, memory = fronts(rows)
    said = {choice.name: choice for choice in latency.choices}
    assert (latency.cost, memory.cost) == ("latency", "memory")
    assert {*said["c"].dominated_by} == {"a", "b"}
    assert said["c"].surely
    assert said["c"].worst == "xnli sw 50.0"
    if said["b"].dominated_by:
        assert said["b"].verdict == "dominated by a (by point estimates only)"
    assert [choice.name for choice in latency.choices][:1] == ["a"]
    assert latency.choices[0].quality.ci is not None
    by_memory = {choice.name: choice for choice in memory.choices}
    assert by_memory["b"].verdict == "dominated by a (by point estimates only)"


def test_rows_without_common_scores_have_no_front() -> None:
    a, b = measured()
    assert fronts({"a": scored(a, {"en": right(0.8)}), "b": scored(b, {"sw": right(0.8)})}) == []
    assert fronts({"a": join_scores(a, [])}) == []


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for measurement in measured():
        for run in measurement.runs:
            Store(tmp_path).add_run(measurement.subject, run)
    return tmp_path


@pytest.mark.slow
def test_the_command_puts_scores_beside(store: Path) -> None:
    file = store / "scores.csv"
    rows = "english,xnli,sw,accuracy,70\nmultilingual,xnli,sw,accuracy,68\nmultilingual,xnli,th,accuracy,60\n"
    file.write_text("variant,task,lang,metric,value\n" + rows)
    done = edgebench_compare("english", "multilingual", "--store", str(store), "--scores", str(file), "--json", "-")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (score,) = document["scores"]
    expected = {"task": "xnli", "lang": "sw", "difference": -2.0, "ci": None, "verdict": "inconclusive"}
    assert score | expected == score
    assert document["notes"] == ["scored on one side only, and left out: xnli th"]
    shown = edgebench_compare("english", "multilingual", "--store", str(store), "--scores", str(file))
    assert "no results per example" in shown.stdout
    gated = edgebench_compare(
        "english", "multilingual", "--store", str(store), "--scores", str(file), "--fail-on", "inconclusive"
    )
    assert gated.returncode == 3


def test_the_command_refuses_scores_of_another_file(store: Path) -> None:
    file = store / "scores.csv"
    sha256 = "ab" * 32
    file.write_text(f"variant,task,lang,metric,value,artifact_sha256\nenglish,xnli,sw,accuracy,70,{sha256}\n")
    done = edgebench_compare("english", "multilingual", "--store", str(store), "--scores", str(file))
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "--allow-variant-scores" in done.stderr


# --- F1 over the counts of examples -----------------------------------------------------------------------------------


def tagged(n: int, share: float, seed: int) -> Any:
    """Return counts, shape (n, 3): ten expected and predicted of each example, about `share` of them right."""
    random = np.random.default_rng(seed)
    return np.stack([random.binomial(10, share, n), np.full(n, 10), np.full(n, 10)], axis=1)


def test_the_difference_of_two_f1_is_that_of_the_sums_and_its_interval_that_of_the_delta_method() -> None:
    one, other = tagged(1000, 0.8, 1), tagged(1000, 0.75, 2)
    found = estimate_f1_difference(one, other)
    assert found.effect == pytest.approx(100 * (other[:, 0].sum() - one[:, 0].sum()) / 10_000)
    # As many of each are expected and predicted: the F1 is a mean over examples, and its error that of a mean.
    half = 1.96 * float(np.std(10.0 * (other[:, 0] - one[:, 0]))) / 1000**0.5
    low, high = found.interval(0.95)
    assert (low, high) == pytest.approx((found.effect - half, found.effect + half), abs=0.1 * half)


def test_an_f1_over_many_examples_is_resampled_in_blocks_to_the_same_interval() -> None:
    one, other = tagged(9000, 0.8, 1), tagged(9000, 0.8, 2)
    half = 1.96 * float(np.std(10.0 * (other[:, 0] - one[:, 0]))) / 9000**0.5
    low, high = estimate_f1_difference(one, other).interval(0.95)
    assert high - low == pytest.approx(2 * half, rel=0.1)


def test_an_f1_of_which_nothing_changed_is_no_proof_of_thirty_examples() -> None:
    counts = tagged(30, 0.8, 1)
    low, high = estimate_f1_difference(counts, counts).interval(0.95)
    assert low < -2 < 2 < high


def test_more_that_is_correct_than_there_is_is_refused() -> None:
    with pytest.raises(NotComparable, match="more that is correct"):
        estimate_f1_difference(np.array([[3, 2, 3]]), np.array([[1, 2, 3]]))


def test_answers_to_another_question_are_not_paired() -> None:
    sides = measured()
    paired = []
    for side, prefix in zip(sides, ("", "query: "), strict=True):
        one = replace(examples(side, [True, False] * 20), protocol={"prefix": prefix})
        name, sha256 = side.subject.variant.name, side.subject.artifact.sha256
        paired.append(join_scores(side, [row(50.0, variant=name, artifact_sha256=sha256)], examples=[one]))
    (contrast,) = compare_scores([(paired[0], paired[1])])[0]
    assert contrast.ci is None
    assert contrast.without_interval == "prefix is 'query: ' and '': not the same question"
