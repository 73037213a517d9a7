"""Configs, tokenizers and libraries at fault are named, not the weights; settings that change nothing are taken."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import CheckpointError, ConfigError, ExportError
from edgebench.export import encode_texts, export_model
from tests.evaluation.conftest import write_tokenizer
from tests.export.conftest import build
from tests.needed import need

need("torch")
pytestmark = pytest.mark.export


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a tokenizer of 30 pieces, of which the model has embeddings for 300."""
    folder = tmp_path_factory.mktemp("tagger") / "model"
    build("XLMRobertaForTokenClassification").save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def changed(source: Path, to: Path, **config: Any) -> Path:
    shutil.copytree(source, to)
    path = to / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return to


def refusal(folder: Path, cache: Path, kind: type[Exception] = CheckpointError) -> str:
    with pytest.raises(kind) as caught:
        export_model(folder, "onnx-fp32", cache=cache)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- config.json ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "quant_method fp8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "quant_method bitsandbytes, load_in_4bit True"),
        ({"quant_method": "gptq", "bits": 4}, "quant_method gptq, bits 4"),
        ({"quant_method": "awq", "bits": 4}, "quant_method awq"),
        ({"quant_method": "compressed-tensors", "format": "int-quantized"}, "compressed-tensors"),
    ],
)
def test_weights_that_are_quantised_already_are_refused_by_the_method(
    tagger: Path, tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    message = refusal(changed(tagger, tmp_path / "q", quantization_config=values), tmp_path)
    assert "config.json has quantization_config" in message and words in message


def test_an_older_tool_s_file_of_the_same_is_named(tagger: Path, tmp_path: Path) -> None:
    folder = changed(tagger, tmp_path / "q")
    (folder / "quantize_config.json").write_text(json.dumps({"bits": 4, "group_size": 128}))
    message = refusal(folder, tmp_path)
    assert "quantize_config.json has a quantization_config (bits 4)" in message


def test_float8_weights_without_a_word_in_the_config_are_named(tagger: Path, tmp_path: Path, own_cache: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = changed(tagger, tmp_path / "f8")
    state = load_file(folder / "model.safetensors")
    name = "roberta.encoder.layer.0.output.dense.weight"
    save_file(state | {name: state[name].to(torch.float8_e4m3fn)}, folder / "model.safetensors", {"format": "pt"})
    message = refusal(folder, own_cache)
    assert f"{name.removeprefix('roberta.')}" in message and "torch.float8_e4m3fn" in message
    assert "download" not in message


@pytest.mark.parametrize("mapped", [{"AutoModel": "modeling_my.MyModel"}, {"AutoConfig": "other/repo--conf.MyConfig"}])
def test_code_of_the_checkpoint_is_refused_by_name(tagger: Path, tmp_path: Path, mapped: dict[str, str]) -> None:
    message = refusal(changed(tagger, tmp_path / "remote", auto_map=mapped), tmp_path)
    assert "config.json has auto_map" in message and next(iter(mapped.values())) in message
    assert export_possible(changed(tagger, tmp_path / "none", auto_map={}))


def export_possible(folder: Path) -> bool:
    from edgebench.export.checkpoint import open_checkpoint

    return open_checkpoint(folder, source="x", task=None).folder == folder


@pytest.mark.parametrize(
    "values",
    [
        {"return_dict": False},
        {"pad_token_id": None},
        {"_attn_implementation": "flash_attention_2", "attn_implementation": "flash_attention_2"},
        {"torchscript": True, "output_attentions": True, "output_hidden_states": True},
        {"torch_dtype": "float16", "dtype": "bfloat16", "gradient_checkpointing": True},
    ],
    ids=["tuples", "no-padding", "flash-attention", "torchscript", "dtype"],
)
def test_settings_of_a_config_that_do_not_change_the_function_are_taken(
    tagger: Path, cache: Path, tmp_path: Path, values: dict[str, Any]
) -> None:
    expected = export_model(tagger, "onnx-fp32", cache=cache).artifact
    folder = changed(tagger, tmp_path / "odd", **values)
    write_tokenizer(folder, "abcdefghijklm")  # another tokenizer: torch answers again
    fresh = shutil.copytree(cache / "skeletons", tmp_path / "cache" / "skeletons").parent
    artifact = export_model(folder, "onnx-fp32", cache=fresh).artifact
    assert artifact.sha256 == expected.sha256
    assert artifact.parity is not None and artifact.parity.max_abs_diff < 1e-4


# --- tokenizers -------------------------------------------------------------------------------------------------


def with_tokens(folder: Path, *tokens: str) -> Path:
    from tokenizers import Tokenizer

    path = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    tokenizer.add_tokens(list(tokens))
    tokenizer.save(path)
    return folder


def test_a_tokenizer_larger_than_the_model_is_refused(tagger: Path, tmp_path: Path) -> None:
    folder = changed(tagger, tmp_path / "large")
    write_tokenizer(folder, "".join(chr(0x4E00 + at) for at in range(400)))
    assert "has 404 pieces and the model 300 embeddings: it belongs to another checkpoint" in refusal(folder, tmp_path)


def test_an_added_token_beyond_the_embeddings_is_named_at_the_export(tagger: Path, tmp_path: Path) -> None:
    folder = changed(tagger, tmp_path / "added")
    write_tokenizer(folder, "".join(chr(0x4E00 + at) for at in range(296)))
    with_tokens(folder, "<new>", "<newer>")
    message = refusal(folder, tmp_path)
    assert "2 added tokens beyond the model's 300 embeddings: '<new>' (id 300), '<newer>' (id 301)" in message
    assert "resize_token_embeddings" in message


def test_a_token_added_after_the_export_is_named_before_a_board_gets_it(
    tagger: Path, cache: Path, tmp_path: Path
) -> None:
    folder = changed(tagger, tmp_path / "later")
    artifact = export_model(folder, "onnx-fp32", cache=cache).artifact
    write_tokenizer(folder, "".join(chr(0x4E00 + at) for at in range(296)))
    with_tokens(folder, "<new>")
    assert encode_texts(replace(artifact, tokenizer_sha256=None), ["一丁"]).lengths.tolist() == [4]
    with pytest.raises(ConfigError, match=r"text 2 has a token beyond .*'<new>' \(id 300\)"):
        encode_texts(replace(artifact, tokenizer_sha256=None), ["一", "<new>"])  # as of an earlier version
    with pytest.raises(ConfigError, match="has changed since"):
        encode_texts(artifact, ["一", "<new>"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no sentencepiece model at all", "can't be read as a sentencepiece model"),
        (b"", "can't be read as a sentencepiece model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a git-lfs pointer"),
    ],
    ids=["other", "empty", "lfs"],
)
def test_a_broken_sentencepiece_model_is_named(tagger: Path, tmp_path: Path, content: bytes, words: str) -> None:
    need("sentencepiece")
    folder = changed(tagger, tmp_path / "spm")
    (folder / "tokenizer.json").unlink()
    (folder / "sentencepiece.bpe.model").write_bytes(content)
    message = refusal(folder, tmp_path)
    assert f"sentencepiece.bpe.model {words}" in message and "tiktoken" not in message


def test_a_tokenizer_of_own_code_is_refused(tagger: Path, tmp_path: Path) -> None:
    folder = changed(tagger, tmp_path / "own")
    (folder / "tokenizer.json").unlink()
    (folder / "sentencepiece.bpe.model").write_bytes(b"x")
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["tok.Mine", None]}}))
    assert "tokenizer_config.json has auto_map" in refusal(folder, tmp_path)


# --- libraries --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("own_imports")
@pytest.mark.parametrize(
    ("library", "code", "words"),
    [
        ("torch", "raise ImportError('libtorch_cpu.so: undefined symbol: x')", "torch can't be imported here"),
        ("torch", "raise OSError('libgomp.so.1: cannot open shared object file')", "torch can't be imported here"),
        ("torch", "import os, signal; os.kill(os.getpid(), signal.SIGILL)", "torch has instructions that this process"),
        ("torch", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "torch crashed while it was imported"),
        ("safetensors", "raise ImportError('built for another Python')", "safetensors can't be imported here"),
    ],
    ids=["symbol", "library", "illegal-instruction", "crash", "safetensors"],
)
def test_a_library_that_is_broken_is_named_and_not_the_weights(
    tagger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, code: str, words: str
) -> None:
    (tmp_path / "broken" / library).mkdir(parents=True)
    (tmp_path / "broken" / library / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'broken'}:{':'.join(filter(None, sys.path))}")
    message = refusal(tagger, tmp_path / "cache", ExportError)
    assert words in message
    assert "export on another machine" in message
    assert "weights" not in message
