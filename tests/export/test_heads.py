"""Every head becomes a file of every format that answers what torch answers, output by output."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgebench.artifact import EXPORT_FORMATS, Artifact, Parity
from edgebench.errors import CheckpointError
from edgebench.export import export_model
from edgebench.export.heads import HEADS, Answer, Head
from edgebench.export.parity import compare
from tests.export.conftest import MAX_SEQ_LEN, build
from tests.needed import need

np = pytest.importorskip("numpy")
need("torch")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.export
LABELS = {"question-answering": 2}
#: Largest difference of one number, of outputs of about one.
TOLERANCE = {"onnx-fp32": 1e-4, "onnx-fp16": 0.05, "onnx-int8": 1.0, "onnx-int4": 1.0}


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each head."""
    folder = tmp_path_factory.mktemp("heads")
    for task, head in HEADS.items():
        build(head.architecture, num_labels=LABELS.get(task, 3)).save_pretrained(folder / task)
    return {task: folder / task for task in HEADS}


@pytest.mark.parametrize("task", HEADS)
def test_a_head_in_onnx_answers_what_torch_answers_padded_or_not(
    heads: dict[str, Path], cache: Path, task: str
) -> None:
    head = HEADS[task]
    ids, mask = padded(head)
    expected = torch_answers(heads[task], head, ids, mask)
    for format, tolerance in TOLERANCE.items():
        artifact = export_model(heads[task], format, cache=cache).artifact
        session = onnxruntime.InferenceSession(artifact.model_path, providers=["CPUExecutionProvider"])
        assert {entry.type for entry in session.get_inputs()} == {"tensor(int64)"}
        assert [entry.name for entry in session.get_outputs()] == [output.name for output in head.outputs]
        actual = session.run(None, {"input_ids": ids, "attention_mask": mask})
        for output, values in zip(head.outputs, actual, strict=True):
            assert values.dtype == np.float32 and values.shape == expected[output.name].shape
            kept = mask.astype(bool) if output.answer is not Answer.LABELS else np.ones(values.shape, bool)
            np.testing.assert_allclose(values[kept], expected[output.name][kept], atol=tolerance, err_msg=format)
        check_parity(artifact, head)


def test_float16_takes_half_of_the_bytes(heads: dict[str, Path], cache: Path) -> None:
    sizes = [export_model(heads["encoder"], f"onnx-{kind}", cache=cache).artifact for kind in ("fp16", "fp32")]
    tensors = [sum_of_tensors(artifact) for artifact in sizes]
    assert tensors[0] * 2 == pytest.approx(tensors[1], rel=0.01)


def test_a_masked_language_model_holds_its_vocabulary_once(heads: dict[str, Path], cache: Path) -> None:
    import onnx

    for format in ("onnx-fp32", "onnx-fp16", "onnx-int8"):  # onnx-int4: test_int4.py
        artifact = export_model(heads["masked-lm"], format, cache=cache).artifact
        model = onnx.load(artifact.model_path)
        of_vocabulary = [t for t in model.graph.initializer if 300 in t.dims and len(t.dims) == 2 and min(t.dims) > 1]
        assert len(of_vocabulary) == 1, format


@pytest.mark.long
def test_weights_beyond_float16_are_refused(heads: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "large"
    shutil.copytree(heads["encoder"], folder)
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.0.output.dense.bias"][0] = 70_000.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"layer\.0\.output\.dense\.bias holds values beyond 65504"):
        export_model(folder, "onnx-fp16", cache=tmp_path / "cache")


def test_a_second_format_asks_torch_nothing(heads: dict[str, Path], cache: Path, tmp_path: Path) -> None:
    """What torch answered is kept: without it a wrong answer would be noticed, with it another checkpoint's would."""
    export_model(heads["token-classification"], "onnx-fp32", cache=cache)
    for path in (*cache.glob("expected/*.npz"), *cache.glob("skeletons/*.onnx")):  # and none of its artifacts
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / path.parent.name)

    def kept() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in tmp_path.glob("[es]*/*")}

    before = kept()
    assert not export_model(heads["token-classification"], "onnx-int8", cache=tmp_path).cached
    assert kept() == before


@pytest.mark.parametrize("wrong", [{"num_labels": 5}, {"id2label": {"0": "a", "1": "b"}}])
def test_labels_that_the_weights_do_not_have_are_one_line(
    heads: dict[str, Path], tmp_path: Path, wrong: dict[str, Any]
) -> None:
    folder = changed_config(heads["token-classification"], tmp_path, {"id2label": None} | wrong)
    told = len(wrong.get("id2label", ())) or 5
    with pytest.raises(CheckpointError, match=rf"means {told} labels .* classifier\.weight has 3; set num_labels"):
        export_model(folder, "onnx-int8", cache=tmp_path / "cache")


def test_a_config_without_labels_means_two(heads: dict[str, Path], tmp_path: Path) -> None:
    folder = changed_config(heads["token-classification"], tmp_path, {"id2label": None, "label2id": None})
    with pytest.raises(CheckpointError, match="means 2 labels"):
        export_model(folder, "onnx-int8", cache=tmp_path / "cache")


def test_a_config_with_an_empty_list_of_labels_is_refused(heads: dict[str, Path], tmp_path: Path) -> None:
    folder = changed_config(heads["token-classification"], tmp_path, {"id2label": {}})
    with pytest.raises(CheckpointError, match="names no labels"):
        export_model(folder, "onnx-int8", cache=tmp_path / "cache")


def test_question_answering_has_a_start_and_an_end(heads: dict[str, Path], tmp_path: Path) -> None:
    labels = {"id2label": {"0": "a", "1": "b", "2": "c"}}
    folder = changed_config(heads["question-answering"], tmp_path, labels)
    with pytest.raises(CheckpointError, match="3 labels; question answering has 2"):
        export_model(folder, "onnx-int8", cache=tmp_path / "cache")


def test_every_export_format_is_written_by_something() -> None:
    from edgebench.export.recipes import RECIPES

    assert set(RECIPES) == set(EXPORT_FORMATS)


def test_the_worst_output_stands_for_all() -> None:
    head = HEADS["question-answering"]
    right = {"start_logits": np.array([0.0, 1.0, 2.0], np.float32), "end_logits": np.array([3.0, 1.0, 0.0], np.float32)}
    wrong = right | {"end_logits": np.array([0.0, 1.0, 3.0], np.float32)}
    parity = compare([right, right], [right, wrong], head, runtime="r")
    assert [output.name for output in parity.outputs] == ["start_logits", "end_logits"]
    assert parity.outputs[0].max_abs_diff == 0 and parity.outputs[0].argmax_agreement == 1
    assert parity.max_abs_diff == parity.outputs[1].max_abs_diff == 3
    assert parity.argmax_agreement == 0.5 and parity.cosine == parity.outputs[1].cosine < 1


@pytest.mark.parametrize("broken", [{}, {"logits": np.zeros((2, 3), np.float32)}, {"logits": np.full(3, np.nan)}])
def test_an_output_that_is_missing_or_misshapen_or_nan_is_infinitely_far(broken: dict[str, Any]) -> None:
    head = HEADS["sequence-classification"]
    parity = compare([{"logits": np.ones(3, np.float32)}], [broken], head, runtime=None)
    assert parity.max_abs_diff == float("inf") and parity.cosine == 0


def padded(head: Head) -> tuple[Any, Any]:
    """Examples of 5, 17 and 64 tokens (of two choices where the head has them), padded."""
    shape = (3, 2, MAX_SEQ_LEN) if head.has_choices else (3, MAX_SEQ_LEN)
    ids, mask = np.ones(shape, np.int64), np.zeros(shape, np.int64)
    for row, length in enumerate((5, 17, MAX_SEQ_LEN)):
        ids[row, ..., :length] = np.random.default_rng(row).integers(4, 300, ids[row, ..., :length].shape)
        mask[row, ..., :length] = 1
    return ids, mask


def torch_answers(folder: Path, head: Head, ids: Any, mask: Any) -> dict[str, Any]:
    import torch
    import transformers

    model = getattr(transformers, head.architecture).from_pretrained(folder).eval()
    with torch.no_grad():
        answers = model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
    return {output.name: answers[output.name].numpy() for output in head.outputs}


def check_parity(artifact: Artifact, head: Head) -> None:
    parity = artifact.parity
    assert isinstance(parity, Parity) and parity.examples >= 32
    assert [output.name for output in parity.outputs] == [output.name for output in head.outputs]
    for output, of in zip(parity.outputs, head.outputs, strict=True):
        assert (output.argmax_agreement is None) == (of.answer is Answer.STATES)
    assert parity.runtime == f"onnxruntime {onnxruntime.__version__}"


def sum_of_tensors(artifact: Artifact) -> int:
    import onnx

    return sum(len(tensor.raw_data) for tensor in onnx.load(artifact.model_path).graph.initializer if len(tensor.dims))


def changed_config(checkpoint: Path, tmp_path: Path, changes: dict[str, Any]) -> Path:
    folder = tmp_path / "changed"
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text()) | changes
    kept = {name: value for name, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))
    return folder
