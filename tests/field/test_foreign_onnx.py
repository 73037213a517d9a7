"""ONNX files of other exporters: they run as they are, or one line says why not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgebench import Workload
from edgebench.device import find_device
from edgebench.errors import CheckpointError, EdgebenchError
from edgebench.evaluation.inference import infer_texts
from edgebench.export import existing_file, export_model
from edgebench.measure import encode, profile_all, resolve_workload
from edgebench.request import Request
from edgebench.store import Store
from edgebench.workload import RunPlan
from tests.fork_server import edgebench_command
from tests.needed import need

need("onnx", "onnxruntime", "tokenizers")

import numpy as np  # noqa: E402

from tests.field.foreign_models import BOOL, FLOAT, FLOAT16, encoder, optimum_folder, save, write_config  # noqa: E402

TEXTS = ("ab", "abcd")
SHORT = RunPlan(runs=1, min_count=3, min_duration_s=0, max_warmup_s=0)


def measure(path: Path, folder: Path, **workload: Any) -> Any:
    """Profile a file on this machine, one short run; return the measurement."""
    request = Request(
        device=find_device("local"),
        models=(str(path),),
        workloads=(Workload(**workload),),
        plan=SHORT,
        overhead=False,
        cold=False,
    )
    (measured,) = profile_all(request, store=Store(folder / "store"))
    return measured


@pytest.fixture(autouse=True)
def own_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))


def rows_of(path: Path, texts: list[str], *, batch: int = 1) -> list[Any]:
    """Return what a file answers to texts on this machine, without padding."""
    artifact = export_model(path).artifact
    answers = infer_texts(artifact, texts, device=find_device("local"), batch=batch)
    rows = [row for answer in answers for row in answer["last_hidden_state"]]
    return [row[: len(text) + 2] for text, row in zip(texts, rows, strict=True)]


@pytest.fixture(scope="module")
def plain_rows(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What a file with the usual inputs answers to two texts."""
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEBENCH_CACHE", str(folder / "cache"))
        patch.setenv("EDGEBENCH_HOME", str(folder / "board"))
        return rows_of(optimum_folder(folder / "model", "model.onnx"), list(TEXTS), batch=2)


@pytest.mark.parametrize(
    "changes",
    [
        {"mask_type": FLOAT},
        {"mask_type": FLOAT16},
        {"mask_type": BOOL},
        {"ids": "input_ids:0", "mask": "attention_mask:0"},
        {"ids": "serving_default_input_ids:0", "mask": "bert/input_mask:0"},
        {"ids": "input_word_ids", "mask": "attention_mask.1"},
    ],
    ids=str,
)
def test_masks_of_any_type_and_names_of_any_exporter_give_the_same_answers(
    tmp_path: Path, plain_rows: list[Any], changes: dict[str, Any]
) -> None:
    other = optimum_folder(tmp_path / "other", "model.onnx", model=encoder(**changes))
    for expected, found in zip(plain_rows, rows_of(other, list(TEXTS), batch=2), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_an_extension_in_capitals_is_that_of_a_model(tmp_path: Path) -> None:
    path = save(encoder(), tmp_path / "Model.ONNX")
    assert existing_file(path) == path
    assert measure(path, tmp_path, seq_len=5).runs[0].inferences >= 3


@pytest.mark.parametrize(("rows", "config", "first"), [(64, {"model_type": "bert"}, 0), (64, None, 0), (66, None, 2)])
def test_positions_are_numbered_as_the_family_numbers_them(
    tmp_path: Path, rows: int, config: dict[str, Any] | None, first: int
) -> None:
    path = save(encoder(positions=rows), tmp_path / "model.onnx")
    if config is not None:
        write_config(tmp_path, max_position_embeddings=rows, **config)
    artifact = export_model(path).artifact
    assert (artifact.max_seq_len, artifact.first_position) == (64, None if first else 0)
    longest = measure(path, tmp_path, seq_len=64)  # one more than the table has, if numbered the other way
    assert longest.runs[0].inferences >= 3
    import onnxruntime

    optimum_folder(tmp_path / "texts", "model.onnx", model=encoder(positions=rows), max_position_embeddings=rows)
    if config is not None or first:
        write_config(tmp_path / "texts", max_position_embeddings=rows, **(config or {}))
        (found,) = rows_of(tmp_path / "texts", ["abc"])
        ids = np.array([[0, 4, 5, 6, 2]])
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "position_ids": np.arange(5)[None] + first}
        (expected,) = onnxruntime.InferenceSession(path).run(None, inputs)
        np.testing.assert_allclose(found, expected[0], rtol=1e-6)


def test_external_data_may_lie_in_a_folder_below(tmp_path: Path) -> None:
    path = save(encoder(), tmp_path / "model.onnx", data="weights/deep/model.data")
    artifact = export_model(path).artifact
    assert [file.name for file in artifact.files] == ["model.onnx", "weights/deep/model.data"]
    assert measure(path, tmp_path, seq_len=5).runs[0].inferences >= 3
    copied = export_model(path, out=tmp_path / "out").artifact
    assert copied.sha256 == artifact.sha256
    assert (copied.path / "weights/deep/model.data").is_file()


def test_external_data_below_reaches_a_board(tmp_path: Path, ssh_board: Any) -> None:
    """An SSH server, and a run over it: some seconds."""
    path = save(encoder(), tmp_path / "model.onnx", data="weights/model.data")
    request = Request(
        device=ssh_board.device(python=sys.executable),
        models=(str(path),),
        workloads=(Workload(seq_len=5),),
        plan=SHORT,
        overhead=False,
    )
    (measured,) = profile_all(request, store=Store(tmp_path / "store"))
    assert measured.runs[0].inferences >= 3


@pytest.mark.parametrize("location", ["../model.data", "weights/../../model.data"])
def test_external_data_out_of_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    path = save(encoder(), tmp_path / "in" / "model.onnx", data="model.data")
    (tmp_path / "model.data").write_bytes((tmp_path / "in" / "model.data").read_bytes())
    import onnx

    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="out of the model's folder"):
        export_model(path)


def test_ids_stay_below_a_small_vocabulary(tmp_path: Path) -> None:
    path = save(encoder(vocab=20), tmp_path / "model.onnx")
    artifact = export_model(path).artifact
    assert artifact.vocab_size == 20
    workload = resolve_workload(artifact, Workload(seq_len=64))
    assert encode(artifact, workload).ids.max() < 20
    assert measure(path, tmp_path, lang="sw").runs[0].inferences >= 3


def test_the_vocabulary_of_quantised_and_fused_embeddings_is_found(tmp_path: Path) -> None:
    from onnx import helper, numpy_helper

    from edgebench.export.onnx_graph import read_graph

    table = numpy_helper.from_array(np.zeros((50, 4), np.uint8), "table_quantized")
    scale = numpy_helper.from_array(np.array(1, np.float32), "scale")
    ids = helper.make_tensor_value_info("input_ids", 7, ["batch", "tokens"])

    def vocabulary(*nodes: Any) -> int | None:
        return read_graph(helper.make_model(helper.make_graph(list(nodes), "g", [ids], [], [table, scale]))).vocab_size

    cast = helper.make_node("Cast", ["input_ids"], ["small"], to=6)
    unpack = helper.make_node("DequantizeLinear", ["table_quantized", "scale"], ["table"])
    assert vocabulary(cast, helper.make_node("Gather", ["table_quantized", "small"], ["rows"])) == 50
    assert vocabulary(unpack, helper.make_node("Gather", ["table", "input_ids"], ["rows"])) == 50
    fused = helper.make_node(
        "EmbedLayerNormalization", ["small", "", "table_quantized"], ["rows"], domain="com.microsoft"
    )
    assert vocabulary(cast, fused) == 50
    assert vocabulary(cast) is None


def test_a_fixed_batch_that_is_filled_up_costs_its_rows(tmp_path: Path) -> None:
    from edgebench.reporting import measurement_table

    measured = measure(save(encoder(batch=8), tmp_path / "model.onnx"), tmp_path, seq_len=16)
    assert measured.padding.cost == 8.0
    assert (measured.padding.rows, measured.padding.to_json()["rows"]) == (8, 8)
    assert measured.to_json()["padding"]["cost"] == 8.0
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as shown:
        console.print(measurement_table([measured]))
    assert "the file takes 8 inputs at a time" in shown.get()
    full = measure(save(encoder(batch=4), tmp_path / "four.onnx"), tmp_path, seq_len=16, batch=4)
    assert full.padding.cost == 1.0


@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty (0 bytes)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 132\n", "git lfs pull"),
        (b"# xet version 0\nfilesize = 12\n", "a pointer of Xet"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "a page of HTML"),
    ],
    ids=["empty", "pointer", "xet", "page"],
)
def test_a_file_that_is_not_yet_the_model_is_named(tmp_path: Path, suffix: str, content: bytes, says: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        export_model(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_external_data_that_is_a_pointer_or_cut_off_is_named(tmp_path: Path) -> None:
    path = save(encoder(), tmp_path / "model.onnx", data="model.data")
    data = tmp_path / "model.data"
    whole = data.read_bytes()
    data.write_bytes(whole[:100])
    with pytest.raises(CheckpointError, match=r"model\.data has 100 bytes, and the model needs"):
        export_model(path)
    data.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        export_model(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ids": "pixels"}, "takes no 'input_ids'"),
        ({"mask": "bbox"}, "also takes bbox"),
    ],
)
def test_other_inputs_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(EdgebenchError, match=says):
        export_model(save(encoder(**changes), tmp_path / "model.onnx"))


@pytest.mark.long
def test_the_vocabulary_of_a_tflite_file_is_found(cache: Path, tmp_path: Path) -> None:
    """An export to TFLite: some seconds, if no test has made it before."""
    need("torch", "ai_edge_litert", "litert_torch")
    made = export_model("reference:tiny", "tflite-int8", cache=cache).artifact
    path = tmp_path / "foreign.TFLITE"
    path.write_bytes(made.model_path.read_bytes())
    artifact = export_model(path).artifact
    assert (artifact.vocab_size, artifact.buckets) == (made.vocab_size, made.buckets)


def test_models_of_one_name_are_exported_to_folders_of_their_own(tmp_path: Path) -> None:
    """Of two checkpoints called alike, the second once replaced the first."""
    for name, vocab in (("one", 300), ("two", 200)):
        save(encoder(vocab=vocab), tmp_path / name / "best.onnx")
    models = [option for name in ("one", "two") for option in ("--model", str(tmp_path / name / "best.onnx"))]
    command = [*edgebench_command(), "export", *models, "--out", str(tmp_path / "out"), "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    artifacts = json.loads(done.stdout)["artifacts"]
    for artifact, name in zip(artifacts, ("one", "two"), strict=True):
        copy = tmp_path / "out" / f"{name}-best" / "onnx" / "best.onnx"
        assert copy.read_bytes() == (tmp_path / name / "best.onnx").read_bytes()
        assert Path(artifact["path"]) == copy.parent
