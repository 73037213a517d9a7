"""Layouts that are taken for another one: data and answers of question answering as other tools write them."""

from __future__ import annotations

from typing import Any

from edgebench.reading import parse_json


def layout_of(document: Any) -> str | None:
    """Return what a JSON document of question answering is, in words; None for anything else."""
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        return "a data set in the layout of SQuAD 2.0" if has_unanswerable(document["data"]) else _squad(document)
    first = document[0] if isinstance(document, list) and document else document
    if isinstance(first, dict) and {"context", "question"} <= first.keys():
        return "flat rows of questions, as Hugging Face's datasets have them"
    if isinstance(first, dict) and "prediction_text" in first:
        return "flat rows of answers, as Hugging Face's metrics take them"
    if isinstance(document, dict) and document and all(isinstance(value, str) for value in document.values()):
        return "answers by the question's id"
    return None


def first_value(text: str) -> Any:
    """Return the JSON value that a text is, or that is in its first line; None where there is none."""
    for part in (text, text.lstrip().partition("\n")[0]):
        try:
            return parse_json(part, not_finite=True)
        except ValueError:
            continue
    return None


def _squad(document: Any) -> str | None:
    data = document["data"]
    if any(isinstance(article, dict) and "paragraphs" in article for article in data):
        return "a data set in SQuAD's layout"
    return layout_of(data) if data else None


def has_unanswerable(articles: Any) -> bool:
    """Return whether articles in SQuAD's layout have questions without an answer (`is_impossible`)."""
    return any(
        question.get("is_impossible")
        for article in _objects(articles)
        for paragraph in _objects(article.get("paragraphs"))
        for question in _objects(paragraph.get("qas"))
    )


def _objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a list; what is no list has none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
