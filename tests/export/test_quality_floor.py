"""A quality floor: real exports keep the layers that lose most, and no others; what can't be had is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebench.artifact import Artifact, Format
from edgebench.errors import ConfigError, ParityError
from edgebench.export import export_model
from edgebench.quality import QualityFloor
from edgebench.reporting import floor_lines
from tests.export.conftest import build, write_tokenizer
from tests.export.test_export_command import edgebench
from tests.needed import need
from tests.schemas import check_schema

np = pytest.importorskip("numpy")
need("torch")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.export
#: The second of three layers' attention output: one of its inputs is tiny, and the weights for it huge.
PLANTED = "encoder.layer.1.attention.output.dense"
FACTOR, GAIN = 1e4, 10  # the layer also matters more than others
HEADS = {
    "sequence-classification": ("XLMRobertaForSequenceClassification", 3),
    "token-classification": ("XLMRobertaForTokenClassification", 3),
    "question-answering": ("XLMRobertaForQuestionAnswering", 2),
    "encoder": ("XLMRobertaModel", 3),
}

Planted = Callable[[str], Path]


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A function that returns a checkpoint of a task in which one layer does not survive int8."""
    made: dict[str, Path] = {}

    def make(task: str) -> Path:
        if task not in made:
            architecture, labels = HEADS[task]
            made[task] = folder = tmp_path_factory.mktemp("planted") / task
            plant(architecture, num_labels=labels).save_pretrained(folder)
            write_tokenizer(folder)
        return made[task]

    return make


def plant(architecture: str, **sizes: Any) -> Any:
    """Return a model in which one input of the planted layer is divided, and its weights multiplied."""
    import torch

    model = build(architecture, num_hidden_layers=3, **sizes)
    attention = getattr(model, "roberta", model).encoder.layer[1].attention
    with torch.no_grad():
        attention.self.value.weight[5] /= FACTOR
        attention.self.value.bias[5] /= FACTOR
        attention.output.dense.weight[:, 5] *= FACTOR
        attention.output.dense.weight *= GAIN
    return model


def quality_of(artifact: Artifact) -> QualityFloor:
    assert artifact.quality is not None
    return artifact.quality


def layers_of(quality: QualityFloor) -> list[str]:
    return [layer.name.removeprefix("roberta.") for layer in quality.kept]


# --- what is kept -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["onnx-int8", "onnx-int4"])
def test_the_layer_that_loses_most_is_kept_and_no_other(planted: Planted, cache: Path, format: str) -> None:
    import onnx

    plain = export_model(planted("encoder"), format, cache=cache, accept_parity=True).artifact
    artifact = export_model(planted("encoder"), format, cache=cache, quality_floor=0.97).artifact
    quality = quality_of(artifact)
    assert layers_of(quality) == [PLANTED]
    assert quality.measure == "mean cosine"
    assert quality.before.least < 0.97 <= quality.after.least
    (layer,) = quality.kept
    assert layer.without < 0.97 and layer.precision == "float32" and layer.weights == (f"{PLANTED}.weight",)
    assert str(f"{layer.without:.6g}") in layer.reason
    assert quality.bytes_before == plain.bytes
    assert quality.size_ratio == artifact.bytes / plain.bytes
    assert layer.bytes == 32 * 32 * 4 - 32 * 32 - 32 * 4
    assert quality.p50_ratio is None or quality.p50_ratio > 0
    floats = {
        tensor.name
        for tensor in onnx.load(artifact.model_path).graph.initializer
        if len(tensor.dims) == 2 and tensor.data_type == onnx.TensorProto.FLOAT and PLANTED in tensor.name
    }
    assert floats == {f"{PLANTED}.weight.transposed"}


def test_the_file_has_the_figures_that_are_recorded(planted: Planted, cache: Path) -> None:
    """Torch and ONNX Runtime asked again, and the cosine by its definition."""
    import torch
    import transformers

    from edgebench.export.checkpoint import open_checkpoint
    from edgebench.export.parity import parity_inputs

    folder = planted("encoder")
    artifact = export_model(folder, cache=cache, quality_floor=0.97).artifact
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    session = onnxruntime.InferenceSession(artifact.model_path, providers=["CPUExecutionProvider"])
    cosines = []
    for ids in parity_inputs(open_checkpoint(folder, source="planted", task=None), longest=64)[:-1]:
        batch = ids[None]
        with torch.inference_mode():
            mask = torch.ones_like(torch.from_numpy(batch))
            states = model(input_ids=torch.from_numpy(batch), attention_mask=mask).last_hidden_state[0].numpy()
        (answer,) = session.run(None, {"input_ids": batch, "attention_mask": np.ones_like(batch)})
        a, b = states.mean(axis=0), answer[0].mean(axis=0)
        cosines.append(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
    held_out = [cosine for at, cosine in enumerate(cosines) if at // 2 % 2]
    searched = [cosine for at, cosine in enumerate(cosines) if not at // 2 % 2]
    quality = quality_of(artifact)
    assert (len(searched), len(held_out)) == (quality.search_inputs, quality.held_out_inputs) == (20, 20)
    assert np.mean(searched) == pytest.approx(quality.after.search, abs=1e-5)
    assert np.mean(held_out) == pytest.approx(quality.after.held_out, abs=1e-5)


@pytest.mark.parametrize("task", [task for task in HEADS if task != "encoder"])
def test_a_head_is_held_to_the_share_of_equal_answers(planted: Planted, cache: Path, task: str) -> None:
    floor = 1.0 if task == "question-answering" else 0.9  # positions hardly depend on the planted layer
    artifact = export_model(planted(task), cache=cache, quality_floor=floor).artifact
    quality = quality_of(artifact)
    assert quality.measure == "argmax agreement"
    assert quality.after.least >= floor > quality.before.least
    assert PLANTED in layers_of(quality) or floor == 1
    assert quality.kept and all(layer.without < floor for layer in quality.kept)


def test_a_stand_in_answers_what_the_file_answers(planted: Planted, cache: Path, tmp_path: Path) -> None:
    from edgebench.export.checkpoint import open_checkpoint
    from edgebench.export.floor_measure import Examples
    from edgebench.export.floor_trials import Stand
    from edgebench.export.onnx_file import MODEL_NAME
    from edgebench.export.parity import parity_inputs, torch_reference
    from edgebench.export.skeleton_file import load_skeleton
    from edgebench.export.weights import open_weights

    checkpoint = open_checkpoint(planted("encoder"), source="planted", task=None)
    inputs = parity_inputs(checkpoint, longest=64)
    reference = torch_reference(checkpoint, inputs, tmp_path, "expected")
    examples = Examples(checkpoint, inputs, reference.outputs)
    skeleton = tmp_path / "skeleton.onnx"
    load_skeleton(skeleton, checkpoint.geometry, checkpoint.head, on_progress=lambda _: None)
    for format in (Format.ONNX_INT8, Format.ONNX_INT4):
        stand = Stand(skeleton, open_weights(checkpoint), format, reference.input_ranges, examples, folder=tmp_path)
        for kept in (frozenset(), frozenset(choice for choice in stand.choices[::3] if choice.precision == "float32")):
            (folder := tmp_path / f"{format}-{len(kept)}").mkdir()
            stand.write(folder, kept)
            assert stand.measure(kept) == examples.measure(folder / MODEL_NAME)
            assert stand.measure_held_out(kept) == examples.measure_held_out(folder / MODEL_NAME)
        layers = {choice.layer for choice in stand.choices}
        assert {"embeddings.word_embeddings", "encoder.layer.0.attention.self.query+key+value", PLANTED} <= layers
        words = {choice.precision for choice in stand.choices if choice.layer == "embeddings.word_embeddings"}
        assert words == ({"float32"} if format is Format.ONNX_INT8 else {"int8", "float32"})
    assert not list(tmp_path.glob(".making-*"))


def test_the_predicted_bytes_of_a_layer_are_those_of_the_file(planted: Planted, cache: Path) -> None:
    artifact = export_model(planted("encoder"), "onnx-int4", cache=cache, quality_floor=0.9999).artifact
    quality = quality_of(artifact)
    assert len(quality.kept) > 1
    more = artifact.bytes - quality.bytes_before
    assert more == pytest.approx(sum(layer.bytes for layer in quality.kept), abs=1500 * len(quality.kept))  # nodes


def test_a_reference_model_is_held_to_the_cosine(cache: Path) -> None:
    quality = quality_of(export_model("reference:tiny", cache=cache, quality_floor=0.999).artifact)
    assert quality.measure == "mean cosine" and quality.after.least >= 0.999


# --- the cache and what is shown --------------------------------------------------------------------------------


def test_a_file_with_a_floor_is_another_file_in_the_cache(planted: Planted, own_cache: Path) -> None:
    plain = export_model(planted("encoder"), cache=own_cache, accept_parity=True)
    first = export_model(planted("encoder"), cache=own_cache, quality_floor=0.97)
    again = export_model(planted("encoder"), cache=own_cache, quality_floor=0.97)
    other = export_model(planted("encoder"), cache=own_cache, quality_floor=0.1, accept_parity=True)
    assert not first.cached and not other.cached and again.cached
    assert again.artifact.quality == first.artifact.quality  # as artifact.json has it
    assert plain.artifact.quality is None
    paths = {each.artifact.path for each in (plain, first, other)}
    assert len(paths) == 3
    assert quality_of(other.artifact).kept == ()
    assert other.artifact.sha256 == plain.artifact.sha256 != first.artifact.sha256
    assert [each.variant.name for each in (plain, first, other)] == [
        "encoder",
        "encoder-floor-0.97",
        "encoder-floor-0.1",
    ]


def test_the_command_says_what_is_kept_and_why(planted: Planted, cache: Path, tmp_path: Path) -> None:
    arguments = ("--model", str(planted("encoder")), "--quality-floor", "0.97", "--out", str(tmp_path / "out"))
    result = edgebench(cache, *arguments)
    assert result.returncode == 0, result.stderr
    assert "encoder-floor-0.97 onnx-int8: quality floor 0.97 reached with 1 layer kept: mean cosine" in result.stdout
    assert f"  {PLANTED} in float32, +0.00294 MB: without it, mean cosine" in result.stdout
    result = edgebench(cache, *arguments, "--json", "-")
    document = json.loads(result.stdout)
    check_schema(document, "export")
    (artifact,) = document["artifacts"]
    record = json.loads((Path(artifact["path"]) / "artifact.json").read_text())
    assert record["quality"] == artifact["quality"]
    assert [layer["name"] for layer in record["quality"]["kept"]] == [PLANTED]


def test_lines_of_a_file_without_a_floor_are_none(cache: Path) -> None:
    assert list(floor_lines("tiny", export_model("reference:tiny", cache=cache).artifact)) == []


# --- what is refused --------------------------------------------------------------------------------------------


def test_a_floor_out_of_reach_names_the_best_value(planted: Planted, own_cache: Path) -> None:
    with pytest.raises(
        ParityError, match=r"does not reach the quality floor 1: the best mean cosine is 1 - "
    ) as caught:
        export_model(planted("encoder"), cache=own_cache, quality_floor=1)
    assert "layers" in str(caught.value) and "\n" not in str(caught.value)
    assert list((own_cache / "artifacts").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--quality-floor", "0"), "above 0 and at most 1, got 0; try: --quality-floor 0.995"),
        (("--quality-floor", "1.01"), "above 0 and at most 1, got 1.01"),
        (("--quality-floor", "nan"), "above 0 and at most 1, got nan"),
        (("--quality-floor", "0.9", "--format", "onnx-int8,onnx-fp32"), "onnx-fp32 quantises nothing"),
        (("--quality-floor", "0.9", "--format", "tflite-int8"), "with a quality floor: onnx-int8 and onnx-int4"),
        (("--quality-floor", "0.9", "--plan"), "--plan measures nothing"),
        (("--quality-floor", "0.9", "--compare-formats"), "doesn't go with --compare-formats"),
    ],
)
def test_what_has_no_floor_is_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = edgebench(tmp_path, "--model", "reference:tiny", *arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert message in line


def test_an_existing_file_has_no_floor(tiny_onnx: Path, cache: Path) -> None:
    with pytest.raises(ConfigError, match="is exported already: name its checkpoint, to set a quality floor"):
        export_model(tiny_onnx, cache=cache, quality_floor=0.9)
