"""The `model-index` of a model card, read by huggingface_hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebench import Store, UsageError, export_results
from tests.needed import need
from tests.reporting.exchange.sample_store import AWKWARD, export, unusual
from tests.reporting.sample_results import by_language, measured

need("huggingface_hub")


def test_the_hub_reads_latencies_and_scores(exported_store: Store, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    target = tmp_path / "README.md"
    done = export("--to", "model-card", "--variant", "xnli-multi", "--out", target, store=exported_store)
    assert (done.code, done.stdout) == (0, "")
    card = ModelCard.load(target)
    assert card.data.model_name == "xnli-multi"
    results = card.data.eval_results
    assert results is not None
    latencies = {it.dataset_config: it for it in results if it.metric_type == "latency_p50_ms"}
    assert set(latencies) == {
        "onnx-int8 on pi4, 128 tok, threads 4",
        *(f"onnx-int8 on pi5, {lang}, threads 4" for lang in ("en", "sw", "th")),
    }
    one = latencies["onnx-int8 on pi4, 128 tok, threads 4"]
    stored = exported_store.measurement("20250102T030405-abcdef-000").latency_ms
    assert one.metric_value == stored.p50
    assert stored.p50_ci is not None
    assert one.metric_args == {"interval_95": list(stored.p50_ci)}
    assert (one.task_type, one.dataset_name) == ("other", "128 tok")
    assert one.dataset_args == {
        "scenario": "single-stream", "seq_len": 128, "batch": 1, "threads": 4, "padding": "longest",
    }  # fmt: skip
    (score,) = [it for it in results if it.metric_type == "accuracy"]
    assert (score.task_type, score.dataset_type, score.dataset_config) == ("text-classification", "xnli", "sw")
    assert (score.metric_value, score.metric_args) == (75.0, {"examples": 4})
    assert ModelCard(str(card)).data.eval_results == results


def test_any_name_stays_what_it_is() -> None:
    from huggingface_hub import ModelCard

    text = export_results([unusual()], to="model-index").text
    assert text is not None
    card = ModelCard(text)
    assert card.data.model_name == AWKWARD


def test_numbers_are_numbers() -> None:
    import yaml

    from edgebench.reporting.exchange.model_index import _lines

    values = [1e-05, 1e20, 0.1, 3, 2.0, -1.5e-300, True, None, "no", "1e3", "null", "\x85\u2028\ud800"]
    read = yaml.safe_load("\n".join(_lines({"yes": values, "3": [], "a: b": {"c": "d"}}, "")))
    assert read == {"yes": [*values[:-1], "\x85\u2028?"], "3": [], "a: b": {"c": "d"}}
    assert [type(it) for it in read["yes"]] == [type(it) for it in values]


def test_a_card_is_about_one_variant() -> None:
    with pytest.raises(
        UsageError, match=r"these measurements are of 2 variants: xnli-multi, a.*; name one with `variant`"
    ):
        export_results([measured(0), unusual()], to="model-index")


def test_a_score_of_a_file_that_was_timed_twice_is_written_once() -> None:
    from huggingface_hub import ModelCard

    text = export_results([*by_language(), *by_language()[:1]], to="model-index").text
    assert text is not None
    scores = [it for it in ModelCard(text).data.eval_results or [] if it.metric_type == "accuracy"]
    assert sorted(str(it.dataset_config) for it in scores) == ["en", "sw", "th"]
