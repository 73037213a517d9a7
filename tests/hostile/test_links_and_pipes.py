"""What the host reads and carries away stays in the folder that was named; a pipe is never waited for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import CheckpointError, EdgebenchError
from edgebench.export.checkpoint import open_checkpoint
from edgebench.export.existing import existing_file
from edgebench.gating.baseline import read_baseline
from edgebench.input_texts import read_input_texts
from edgebench.store.result_files import measurement_ids
from edgebench.study import read_study
from edgebench.xtreme_r import read_scores, read_task
from tests.fork_server import edgebench_command

SECRET = "-----BEGIN OPENSSH PRIVATE KEY-----\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is named; a secret lies beside it."""
    (tmp_path / "secret").write_text(SECRET)
    made = tmp_path / "named"
    made.mkdir()
    return made


def replace(path: Path, kind: str) -> None:
    """Put something else in the place of a file: a link out of its folder to the same content, or no regular file."""
    content = path.read_bytes() if path.exists() else b""
    path.unlink(missing_ok=True)
    if kind == "link":
        target = path.parents[1] / f"elsewhere-{path.name}"
        target.write_bytes(content)
        path.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as listening:
            here = Path.cwd()
            os.chdir(path.parent)
            listening.bind(path.name)
            os.chdir(here)


KINDS = ("link", "pipe", "device", "socket")

READERS: dict[str, tuple[str, str, Callable[[Path], Any]]] = {
    "texts": ("texts.txt", "one\ntwo\n", read_input_texts),
    "scores": ("s.csv", "variant,task,lang,metric,value\na,xnli,sw,accuracy,50\n", read_scores),
    "result": ("r.json", '{"measurements": [{"id": "x"}]}', measurement_ids),
    "study": ("STUDY.toml", '[study]\nname = "s"\n[[variant]]\nname = "a"\nmodel = "reference:tiny"\n', read_study),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_files_that_are_named(folder: Path, reader: str, kind: str) -> None:
    name, text, read = READERS[reader]
    path = folder / name
    path.write_text(text)
    read(path)
    replace(path, kind)
    with pytest.raises(EdgebenchError, match=r"leads out of|it is a (pipe|device|socket)") as refused:
        read(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_baseline(folder: Path, kind: str) -> None:
    (folder / "b.json").write_text("{}")
    replace(folder / "b.json", kind)
    with pytest.raises(EdgebenchError, match=r"leads out of|it is a |no such baseline"):
        read_baseline(folder / "b.json")


@pytest.mark.parametrize("kind", KINDS)
def test_examples_of_a_task(folder: Path, kind: str) -> None:
    path = folder / "xnli" / "test-sw.tsv"
    path.parent.mkdir()
    path.write_text("one\ttwo\tneutral\n")
    read_task(folder, "xnli", "sw")
    target = folder / "same.tsv"
    target.write_text("one\ttwo\tneutral\n")
    path.unlink()
    path.symlink_to("../same.tsv")
    read_task(folder, "xnli", "sw")  # a link that stays inside
    path.unlink()
    if kind == "link":
        path.symlink_to(folder.parent / "secret")
    else:
        replace(path, kind)
    with pytest.raises(EdgebenchError, match=r"leads out of|it is a |is missing"):
        read_task(folder, "xnli", "sw")


@pytest.mark.parametrize("command", [["study", "status"], ["scores", "import"], ["device", "list"]])
def test_no_pipe_hangs_a_command(folder: Path, command: list[str]) -> None:
    os.mkfifo(folder / "edgebench.toml")
    arguments = [*command, "edgebench.toml"] if command[0] != "device" else command
    arguments += ["--out", "x.csv", "--variant", "v"] if command[0] == "scores" else []
    done = subprocess.run(
        [*edgebench_command(), *arguments], capture_output=True, text=True, check=False, timeout=600, cwd=folder
    )
    assert "unexpected" not in done.stderr
    assert command[0] == "device" or "it is a pipe" in done.stderr


# --- models -----------------------------------------------------------------------------------------------------


def onnx_with_data(folder: Path, location: str) -> Path:
    """Write an ONNX file whose weights are in another file."""
    onnx = pytest.importorskip("onnx")
    ids = onnx.helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, ["b", "t"])
    out = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["b", "t", 2])
    table = onnx.TensorProto(name="table", dims=[4, 2], data_type=onnx.TensorProto.FLOAT)
    table.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "32")):
        entry = table.external_data.add()
        entry.key, entry.value = key, value
    node = onnx.helper.make_node("Gather", ["table", "input_ids"], ["logits"])
    graph = onnx.helper.make_graph([node], "g", [ids], [out], initializer=[table])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


@pytest.mark.parametrize("kind", KINDS)
def test_external_data_out_of_the_folder_is_not_carried_away(folder: Path, kind: str) -> None:
    from edgebench.export.existing_onnx import existing_onnx

    path = onnx_with_data(folder, "w.bin")
    (folder / "w.bin").write_bytes(bytes(32))
    cache = folder.parent / "cache"
    existing_onnx(path, cache=cache, on_progress=lambda _: None)
    (folder / "w.bin").rename(folder / "other.bin")
    (folder / "w.bin").symlink_to("other.bin")
    assert [file.name for file in existing_onnx(path, cache=cache, on_progress=lambda _: None).files] == [
        "model.onnx",
        "w.bin",
    ]
    replace(folder / "w.bin", kind)
    with pytest.raises(CheckpointError, match=r"leads out of|it is a "):
        existing_onnx(path, cache=cache, on_progress=lambda _: None)


def test_external_data_in_the_hubs_cache_is_followed(folder: Path) -> None:
    from edgebench.export.existing_onnx import existing_onnx

    snapshot = folder / "models--a--b" / "snapshots" / "01"
    (folder / "models--a--b" / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    onnx_with_data(snapshot, "w.bin")
    (folder / "models--a--b" / "blobs" / "ff").write_bytes(bytes(32))
    (snapshot / "w.bin").symlink_to("../../blobs/ff")
    artifact = existing_onnx(snapshot / "model.onnx", cache=folder / "cache", on_progress=lambda _: None)
    assert len(artifact.files) == 2


def test_the_one_model_of_a_folder_is_in_it(folder: Path) -> None:
    (folder / "model.onnx").symlink_to(folder.parent / "secret")
    with pytest.raises(CheckpointError, match="leads out of"):
        existing_file(folder)


CONFIG = {"model_type": "xlm-roberta", "architectures": ["XLMRobertaModel"], "vocab_size": 300, "hidden_size": 32}
CONFIG |= {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 66}


def checkpoint(folder: Path, tensors: dict[str, list[int]] | None = None, **changes: Any) -> Path:
    """Write a checkpoint whose weights are a header of safetensors alone."""
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    header: dict[str, Any] = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in (tensors or {}).items()
    }
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "1_Pooling/config.json"]
)
def test_files_of_a_checkpoint(folder: Path, name: str, kind: str) -> None:
    checkpoint(folder)
    (folder / "1_Pooling").mkdir()
    for each in ("tokenizer.json", "tokenizer_config.json", "1_Pooling/config.json"):
        (folder / each).write_text("{}")
    open_checkpoint(folder, source="m", task="encoder")
    if kind == "link":
        (folder.parent / "elsewhere").write_bytes((folder / name).read_bytes())
        (folder / name).unlink()
        (folder / name).symlink_to(folder.parent / "elsewhere")
    else:
        replace(folder / name, kind)
    with pytest.raises(CheckpointError, match=r"leads out of|it is a |has no config.json"):
        open_checkpoint(folder, source="m", task="encoder")


def test_shards_out_of_the_folder(folder: Path) -> None:
    checkpoint(folder)
    (folder / "model.safetensors").rename(folder.parent / "shard.safetensors")
    (folder / "model-1.safetensors").symlink_to("../shard.safetensors")
    index = {"weight_map": {"embeddings.word_embeddings.weight": "model-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="leads out of"):
        open_checkpoint(folder, source="m", task="encoder")


@pytest.mark.parametrize(
    ("changes", "tensors", "message"),
    [
        ({"num_hidden_layers": 10**9}, {}, "num_hidden_layers 1000000000"),
        ({"num_hidden_layers": 10**5}, {}, "num_hidden_layers 100000"),
        (
            {"num_hidden_layers": 400},
            {"encoder.layer.1.output.dense.weight": [1]},
            "400 layers, and the weights have 2",
        ),
        ({"vocab_size": 10**9}, {}, "vocab_size 1000000000"),
        (
            {"vocab_size": 10**6},
            {"roberta.embeddings.word_embeddings.weight": [300, 32]},
            r"has shape \[300, 32\], config.json says \[1000000, 32\]",
        ),
        ({"hidden_size": 65536, "intermediate_size": 1 << 20, "num_hidden_layers": 500}, {}, "parameters"),
        ({"max_position_embeddings": 10**9}, {}, "max_position_embeddings"),
        ({"num_labels": 10**9}, {}, "num_labels"),
        ({"hidden_size": 10**400}, {}, "not valid JSON"),
    ],
)
def test_sizes_that_no_encoder_has_are_refused_at_once(
    folder: Path, changes: dict[str, int], tensors: dict[str, list[int]], message: str
) -> None:
    checkpoint(folder, tensors, **changes)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(folder, source="m", task="encoder")
