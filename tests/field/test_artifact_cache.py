"""The cache gives back what was made of the same function, and notices files that have changed since."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import ConfigError
from edgebench.export import encode_texts, export_model, open_tokenizer
from tests.export.conftest import build, write_tokenizer
from tests.field.test_families import build_family
from tests.fork_server import TRACE_ANEW
from tests.needed import need

need("torch")
pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.export


@pytest.fixture(scope="session")
def tokenized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare encoder with a tokenizer."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tokenized"
    build("XLMRobertaModel").save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def flip_one_byte(path: Path) -> None:
    """Change a byte in the middle; size and time of modification stay."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("used_before", [True, False])
def test_a_cached_file_with_one_byte_changed_is_made_again(
    tokenized: Path, own_cache: Path, *, used_before: bool
) -> None:
    first = export_model(tokenized, "onnx-fp32", cache=own_cache)
    if used_before:
        assert export_model(tokenized, "onnx-fp32", cache=own_cache).cached
    flip_one_byte(first.artifact.model_path)
    if not used_before:
        shutil.rmtree(own_cache / "hashes")
    said: list[str] = []
    second = export_model(tokenized, "onnx-fp32", cache=own_cache, on_progress=said.append)
    assert not second.cached
    assert second.artifact.sha256 == first.artifact.sha256
    assert any("is not the file that was made: it is made again" in line for line in said)
    assert export_model(tokenized, "onnx-fp32", cache=own_cache).cached


def test_a_file_in_use_is_read_once_and_not_at_every_use(
    tokenized: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebench.export import cache as artifacts

    export_model(tokenized, "onnx-fp32", cache=own_cache)

    def refuse(path: Path) -> str:
        raise AssertionError(f"{path} is read again")

    monkeypatch.setattr(artifacts, "hash_file", refuse)
    assert export_model(tokenized, "onnx-fp32", cache=own_cache).cached


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace_by_text(path: Path) -> None:
    path.write_text("not a model")


@pytest.mark.parametrize(
    "damage", [flip_one_byte, *(pytest.param(each, marks=pytest.mark.long) for each in (truncate, replace_by_text))]
)
def test_a_damaged_skeleton_is_traced_again(
    tokenized: Path, cache: Path, tmp_path: Path, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traces a graph that another test has traced: 8 s of CPU."""
    monkeypatch.setenv(TRACE_ANEW, "1")
    first = export_model(tokenized, "onnx-fp32", cache=cache).artifact
    shutil.copytree(cache / "skeletons", tmp_path / "skeletons")
    (tmp_path / "expected").symlink_to(cache / "expected")
    for skeleton in (tmp_path / "skeletons").glob("*.onnx"):
        damage(skeleton)
    assert export_model(tokenized, "onnx-fp32", cache=tmp_path).artifact.sha256 == first.sha256
    sound = [path for path in (tmp_path / "skeletons").glob("*.onnx") if path.read_bytes() == sound_copy(cache, path)]
    assert len(sound) == 1


def sound_copy(cache: Path, path: Path) -> bytes:
    return (cache / "skeletons" / path.name).read_bytes()


def swap_two_tokens(folder: Path) -> None:
    """Damage a tokenizer into another valid one."""
    values = json.loads((folder / "tokenizer.json").read_text())
    vocab = values["model"]["vocab"]
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]
    (folder / "tokenizer.json").write_text(json.dumps(values))


def test_a_tokenizer_that_has_become_another_is_noticed(tokenized: Path, cache: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tokenized, tmp_path / "model")
    out = export_model(folder, "onnx-fp32", cache=cache, out=tmp_path / "out").artifact
    assert out.tokenizer_sha256 is not None
    swap_two_tokens(folder)

    taken = export_model(out.model_path, cache=cache).artifact  # the exported file, with the tokenizer of then
    for use in (lambda: encode_texts(taken, ["ab"]), lambda: open_tokenizer(taken)):
        with pytest.raises(ConfigError, match=r"tokenizer in .* has changed since .* was made with it"):
            use()
    again = export_model(folder, "onnx-fp32", cache=cache)  # the checkpoint, with the tokenizer of now
    assert not again.cached and again.artifact.tokenizer_sha256 != out.tokenizer_sha256
    assert len(encode_texts(again.artifact, ["ab"]).ids) == 4


@pytest.mark.parametrize(
    ("model_type", "change"),
    [
        ("electra", {"summary_activation": "tanh"}),
        ("electra", {"hidden_act": "relu"}),
        ("bert", {"layer_norm_eps": 0.1}),
    ],
)
@pytest.mark.long
def test_each_entry_of_the_config_that_changes_the_function_makes_another_artifact(
    model_type: str, change: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    """Same weights: the answers, and what is in the cache, differ by the config alone. Some 10 s."""
    folder = build_family(model_type, "multiple-choice", tmp_path / "model")
    changed = shutil.copytree(folder, tmp_path / "changed")
    config = json.loads((folder / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(config | change))
    hashes = [export_model(each, "onnx-fp32", cache=cache).artifact.sha256 for each in (folder, changed, folder)]
    assert hashes[0] == hashes[2] != hashes[1]


def test_names_of_labels_and_versions_are_no_part_of_the_function(tokenized: Path, cache: Path, tmp_path: Path) -> None:
    export_model(tokenized, "onnx-fp32", cache=cache)
    renamed = shutil.copytree(tokenized, tmp_path / "renamed")
    config = json.loads((renamed / "config.json").read_text())
    config |= {"_name_or_path": "elsewhere", "transformers_version": "4.0.0", "hidden_dropout_prob": 0.3}
    (renamed / "config.json").write_text(json.dumps(config))
    assert export_model(renamed, "onnx-fp32", cache=cache).cached
