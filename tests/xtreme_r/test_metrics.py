"""The metrics against values worked out by hand from their definitions, and against seqeval itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgebench.xtreme_r.metrics import (
    SEQEVAL_VERSIONS,
    accuracy,
    answers,
    bitext,
    mean_average_precision,
    mlqa_normaliser,
    normalise_squad,
    tagging,
)

SEQEVAL = json.loads(Path(__file__).with_name("seqeval_answers.json").read_text())


def test_accuracy_is_the_share_of_equal_labels() -> None:
    assert accuracy(["a", "b", "c", "a"], ["a", "b", "b", "c"]) == 50


# --- tagging ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", SEQEVAL_VERSIONS)
def test_tagging_says_what_that_version_of_seqeval_says(version: str) -> None:
    for (labels, found), expected in zip(SEQEVAL["cases"], SEQEVAL["answers"][version], strict=True):
        result = tagging(labels, found, seqeval=version)
        assert [result.precision, result.recall, result.f1] == pytest.approx(
            [100 * each for each in expected], abs=1e-9
        )


def test_the_versions_differ_on_bare_tags_and_agree_on_bio() -> None:
    pairs = list(zip(SEQEVAL["answers"]["0.0.12"], SEQEVAL["answers"]["1.2.2"], strict=True))
    upos, bio = pairs[:30], pairs[30:60]
    assert any(old != pytest.approx(new) for old, new in upos)
    assert all(old == pytest.approx(new) for old, new in bio)


def test_equal_tags_in_a_row_are_one_entity() -> None:
    labels = [["NOUN", "NOUN", "VERB", "NOUN"]]  # three entities
    found = [["NOUN", "VERB", "VERB", "NOUN"]]  # three; only the last is right, though three of four tags are
    assert tagging(labels, found).f1 == pytest.approx(100 / 3)


def test_1_2_2_takes_the_first_letter_of_a_bare_tag_away() -> None:
    labels, found = [["SCONJ", "NOUN"]], [["CCONJ", "NOUN"]]
    assert tagging(labels, found, seqeval="0.0.12").f1 == 50
    assert tagging(labels, found, seqeval="1.2.2").f1 == 100


def test_no_entity_on_either_side_is_zero() -> None:
    assert tagging([["O", "O"]], [["O", "O"]]).f1 == 0


# --- question answering -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The  Cat, sat on a MAT.", "cat sat on mat"),
        ("an-other the", "another"),  # the hyphen goes first, so no article is left
        ("der Hund", "der hund"),
        ("猫。", "猫。"),  # not ASCII punctuation: stays
        ("a an the", ""),
        ("«oui»", "«oui»"),
    ],
)
def test_squads_normaliser_knows_english_and_ascii_only(text: str, plain: str) -> None:
    assert normalise_squad(text) == plain


@pytest.mark.parametrize(
    ("lang", "text", "plain"),
    [
        ("en", "The «Cat»", "cat"),
        ("de", "Der Hund, einen Tag", "hund tag"),
        ("es", "las Casas – unas", "casas"),
        ("vi", "những con mèo", "con mèo"),
        ("hi", "एक बिल्ली।", "एक बिल्ली"),
        ("ar", "القط والكلب", "قط و كلب"),
        ("zh", "在1998年，the end", "在 1998 年 the end"),
        ("zh", "北京。", "北 京"),
        ("en", "١٢٪ a", "١٢"),  # U+066A is punctuation to Unicode
    ],
)
def test_mlqas_normaliser_knows_each_language(lang: str, text: str, plain: str) -> None:
    assert mlqa_normaliser(lang)(text) == plain


def test_answers_take_the_best_of_several_and_count_the_unanswered() -> None:
    golds = {
        "1": ["the cat", "black cat"],
        "2": ["in Paris"],
        "3": ["1998"],
        "4": ["nobody"],
    }
    found = {"1": "Black Cat!", "2": "Paris, France", "3": "1998 1998"}
    # 1: exact, F1 1.  2: 1 of 2 words each way: F1 1/2.  3: precision 1/2, recall 1: F1 2/3.  4: unanswered.
    result = answers(golds, found, normalise_squad)
    assert result.em == 25
    assert result.f1 == pytest.approx(100 * (1 + 1 / 2 + 2 / 3) / 4)


def test_two_empty_answers_are_an_exact_match_without_f1() -> None:
    result = answers({"1": ["the"]}, {"1": ""}, normalise_squad)
    assert (result.em, result.f1) == (100, 0)


# --- retrieval --------------------------------------------------------------------------------------------------


def test_bitext_counts_pairs() -> None:
    gold = {("de-1", "en-1"), ("de-2", "en-2"), ("de-3", "en-3"), ("de-4", "en-4")}
    found = {("de-1", "en-1"), ("de-2", "en-3")}
    result = bitext(gold, found)
    assert (result.precision, result.recall) == (50, 25)
    assert result.f1 == pytest.approx(100 / 3)
    assert bitext(gold, set()).f1 == 0


def test_average_precision_with_one_right_candidate_is_the_reciprocal_rank() -> None:
    golds = {"a": ["Q1"], "b": ["Q2"], "c": ["Q3"], "d": ["Q4"], "e": ["Q5"]}
    rankings = {
        "a": ["Q1", "Q9"],
        "b": ["Q9", "Q8", "Q7", "Q2"],
        "c": [*(f"X{n}" for n in range(19)), "Q3"],  # the 20th
        "d": [*(f"X{n}" for n in range(20)), "Q4"],  # the 21st: too late
    }
    assert mean_average_precision(golds, rankings) == pytest.approx(100 * (1 + 1 / 4 + 1 / 20) / 5)


def test_average_precision_with_several_right_candidates() -> None:
    # right ones at ranks 1, 3 and never: (1/1 + 2/3) / 3
    assert mean_average_precision({"a": ["x", "y", "z"]}, {"a": ["x", "o", "y"]}) == pytest.approx(100 * (5 / 3) / 3)


def test_a_repeated_candidate_counts_once() -> None:
    assert mean_average_precision({"a": ["x", "y"]}, {"a": ["x", "x", "y"]}) == pytest.approx(100 * (1 + 2 / 3) / 2)
