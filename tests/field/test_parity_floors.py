"""Parity is judged in the terms of the head: what a cosine of 1.0 hides is refused, or accepted by name and marked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgebench.artifact import Artifact
from edgebench.cli import main
from edgebench.errors import ParityError
from edgebench.export import export_model
from tests.export.conftest import build
from tests.needed import need
from tests.schemas import check_schema

np = pytest.importorskip("numpy")
need("torch")
pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.export


def with_outlier(architecture: str, folder: Path, *, bias: float = 0.0, **config: Any) -> Path:
    """Save a model with one huge activation that no weight looks at: it takes the whole range of int8.

    Args:
        bias: of the logits; the larger, the less their cosine shows.
    """
    import torch

    model = build(architecture, **config)
    for name, value in config.items():
        setattr(model.config, name, value)
    with torch.no_grad():
        for layer in model.roberta.encoder.layer:
            layer.intermediate.dense.bias[0] = 1e4
            layer.output.dense.weight[:, 0] = 0
            layer.output.dense.weight[:, 1:] *= 100
        head = model.classifier
        (head.out_proj if hasattr(head, "out_proj") else head).bias += bias
    model.save_pretrained(folder)
    return folder


CASES = {
    "one logit": ("XLMRobertaForSequenceClassification", {"num_labels": 1, "bias": 50.0}, "a rank correlation of "),
    "regression": (
        "XLMRobertaForSequenceClassification",
        {"bias": 50.0, "problem_type": "regression"},
        "a relative error of ",
    ),
    "multi-label": (
        "XLMRobertaForSequenceClassification",
        {"problem_type": "multi_label_classification"},
        "a label agreement of ",
    ),
    "choices": ("XLMRobertaForMultipleChoice", {"bias": 50.0}, "an argmax agreement of "),
    "tags": ("XLMRobertaForTokenClassification", {}, "an argmax agreement of "),
}


@pytest.mark.parametrize("case", CASES)
def test_int8_that_loses_the_decisions_is_refused_whatever_its_cosine(case: str, cache: Path, tmp_path: Path) -> None:
    architecture, config, words = CASES[case]
    folder = with_outlier(architecture, tmp_path / "model", **config)
    with pytest.raises(ParityError) as refused:
        export_model(folder, "onnx-int8", cache=cache)
    message = str(refused.value)
    assert words in message and "nothing was kept; try: `format='onnx-fp32'` or `accept_parity=True`" in message

    taken = export_model(folder, "onnx-int8", cache=cache, accept_parity=True).artifact
    assert taken.parity_accepted and taken.shortfalls
    record = Artifact.from_json(json.loads((taken.path / "artifact.json").read_text()))
    assert record.parity_accepted and record.shortfalls == taken.shortfalls
    if config.get("bias"):
        assert taken.parity is not None and taken.parity.mean_cosine > 0.999  # which would have passed

    with pytest.raises(ParityError, match="accepted before, not now"):
        export_model(folder, "onnx-int8", cache=cache)
    assert export_model(folder, "onnx-int8", cache=cache, accept_parity=True).cached


def test_the_command_refuses_accepts_and_marks(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEBENCH_CACHE", str(cache))
    architecture, config, _ = CASES["one logit"]
    folder = with_outlier(architecture, tmp_path / "reranker", **config)
    capsys.readouterr()  # transformers shows its progress
    with pytest.raises(SystemExit) as ended:
        main(["export", "-q", "--model", str(folder)])
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "rank correlation" in line and "try: --format onnx-fp32 or --accept-parity" in line

    with pytest.raises(SystemExit) as ended:
        main(["export", "-q", "--model", str(folder), "--accept-parity", "--json", str(tmp_path / "result.json")])
    assert ended.value.code == 0
    table = " ".join(capsys.readouterr().out.split())
    assert "(accepted)" in table and "reranker onnx-int8: parity accepted beyond its limit: rank correlation" in table
    document = json.loads((tmp_path / "result.json").read_text())
    check_schema(document, "export")
    (artifact,) = document["artifacts"]
    assert artifact["parity_accepted"] is True
    assert [each["is_met"] for each in artifact["parity"]["judgements"] if each["measure"] == "rank correlation"] == [
        False
    ]


def test_a_sound_reranker_passes_in_every_onnx_format(cache: Path, tmp_path: Path) -> None:
    build("XLMRobertaForSequenceClassification", num_labels=1).save_pretrained(tmp_path / "reranker")
    for format in ("onnx-fp32", "onnx-fp16", "onnx-int8", "onnx-int4"):
        parity = export_model(tmp_path / "reranker", format, cache=cache).artifact.parity
        assert parity is not None and not parity.shortfalls
        (output,) = parity.outputs
        assert output.rank_correlation is not None and output.rank_correlation > 0.9
        assert output.argmax_agreement is None and output.relative_error is not None


@pytest.mark.parametrize("largest", [116_209.0, 70_000.0])
def test_activations_beyond_float16_are_refused_though_this_processor_computes_them(
    cache: Path, tmp_path: Path, largest: float
) -> None:
    """Attention scores, which are the same for all tokens: the processor's answers are right, a GPU's are NaN."""
    import torch

    model = build("XLMRobertaModel")
    with torch.no_grad():
        attention = model.encoder.layer[1].attention.self
        for part in (attention.query, attention.key):
            part.weight[0] = 0
            part.bias[0] = largest**0.5
    model.save_pretrained(tmp_path / "hot")
    with pytest.raises(ParityError, match=r"activations of encoder\.layer\.1\.attention.*, up to [\d,]+: "):
        export_model(tmp_path / "hot", "onnx-fp16", cache=cache)
    taken = export_model(tmp_path / "hot", "onnx-fp16", cache=cache, accept_parity=True).artifact
    (shortfall,) = taken.shortfalls
    assert shortfall.measure == "largest activation" and shortfall.value == pytest.approx(largest, rel=0.01)
    assert taken.parity is not None and taken.parity.mean_cosine > 0.9999
    assert not export_model(tmp_path / "hot", "onnx-fp32", cache=cache).artifact.parity_accepted


def test_outputs_that_are_not_finite_are_never_accepted(cache: Path, tmp_path: Path) -> None:
    import torch

    model = build("XLMRobertaModel")
    with torch.no_grad():
        layer = model.encoder.layer[1]
        layer.intermediate.dense.bias[0] = 60_000
        layer.output.dense.weight[3, 0] = 2
    model.save_pretrained(tmp_path / "hotter")
    with pytest.raises(ParityError, match="can't hold the activations"):
        export_model(tmp_path / "hotter", "onnx-fp16", cache=cache)
    with pytest.raises(ParityError, match=r"is not finite .*nothing was kept"):
        export_model(tmp_path / "hotter", "onnx-fp16", cache=cache, accept_parity=True)


# --- the figures ------------------------------------------------------------------------------------------------


def parity_of(
    expected: Any, actual: Any, task: str = "sequence-classification", problem_type: str | None = None
) -> Any:
    from edgebench.export.heads import HEADS
    from edgebench.export.parity import compare

    sides = [[{"logits": np.asarray(row, np.float32)} for row in side] for side in (expected, actual)]
    return compare(*sides, HEADS["sequence-classification"], runtime=None, problem_type=problem_type).outputs[0]


def test_a_constant_does_not_hide_the_order_of_single_logits() -> None:
    expected = [[100 + i / 1000] for i in range(40)]
    shuffled = [[100 + (i * 7 % 40) / 1000] for i in range(40)]
    output = parity_of(expected, shuffled)
    assert output.mean_cosine == pytest.approx(1) and output.argmax_agreement is None
    assert abs(output.rank_correlation) < 0.5 and output.relative_error > 1
    assert parity_of(expected, expected).rank_correlation == pytest.approx(1)
    assert parity_of(expected, [[100.0]] * 40).rank_correlation == 0


def test_a_large_dimension_does_not_hide_that_an_encoder_lost_the_rest() -> None:
    from edgebench.artifact import Format
    from edgebench.export.floors import judge
    from edgebench.export.heads import HEADS, Meaning
    from edgebench.export.parity import compare

    random = np.random.default_rng(0)
    states = random.normal(0, 1, (40, 1, 16)).astype(np.float32)
    states[..., 3] += 1000
    others = states[random.permutation(40)]
    sides = [[{"last_hidden_state": each} for each in side] for side in (states, others)]
    parity = compare(*sides, HEADS["encoder"], runtime=None)
    assert parity.mean_cosine > 0.9999
    judged = judge(parity, [Meaning.STATES], Format.ONNX_INT8, largest=1000, is_random=False)
    assert [(each.measure, each.is_met) for each in judged] == [("mean cosine", True), ("rank correlation", False)]


def test_one_label_that_always_flips_shows_among_many_that_do_not() -> None:
    expected = [[1.0] * 20 for _ in range(40)]
    flipped = [[1.0] * 19 + [-1.0] for _ in range(40)]
    output = parity_of(expected, flipped, problem_type="multi_label_classification")
    assert output.label_agreement == pytest.approx(0.95) and output.worst_label_agreement == 0
    assert output.argmax_agreement is None


def test_each_of_two_tied_labels_is_right_and_a_third_is_not() -> None:
    expected = [[1.0, 1.0, 0.0]] * 4
    actual = [[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.9, 0.9, 1.0], [1.0, 0.9, 0.0]]
    assert parity_of(expected, actual).argmax_agreement == 0.75


def test_numbers_are_judged_against_their_spread_and_not_their_size() -> None:
    expected = [[1000.0 + i] for i in range(40)]
    output = parity_of(expected, [[value + 5] for (value,) in expected], problem_type="regression")
    assert output.rank_correlation == pytest.approx(1)
    assert output.relative_error == pytest.approx(5 / np.arange(40).std(), rel=1e-3)


def test_the_table_of_results_marks_a_file_whose_parity_was_accepted() -> None:
    from dataclasses import replace

    from edgebench.artifact import Judgement, Parity
    from edgebench.reporting import measurement_table
    from tests.reporting.test_table import measured, text_of

    shortfall = Judgement(output=None, measure="rank correlation", value=0.26, limit=0.9, is_met=False)
    parity = Parity(
        max_abs_diff=1.0, cosine=1.0, mean_cosine=1.0, argmax_agreement=None, examples=41, judgements=(shortfall,)
    )
    row = measured()
    artifact = replace(row.subject.artifact, parity=parity, parity_accepted=True)
    marked = replace(row, subject=replace(row.subject, artifact=artifact))
    assert "accepted beyond its limit: rank correlation 0.26 (limit: 0.9)" in text_of(measurement_table([marked]), 200)
    assert "beyond its limit" not in text_of(measurement_table([row]), 200)
