"""Encoders of every supported family, with every head, become files that answer what transformers answers.

A family is one row of SIZES. A trace takes about 5 s and a file of each format as long again: two families are tried
with one head each, and all others with the marker `long`, where .tflite files are, too.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import CheckpointError
from edgebench.export import export_model
from edgebench.export.families import FAMILIES
from edgebench.export.heads import Answer, Head, heads_of
from tests.needed import need

np = pytest.importorskip("numpy")
need("torch")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.export

_COMMON: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
}
SIZES: dict[str, dict[str, Any]] = {
    "xlm-roberta": {**_COMMON, "type_vocab_size": 1},
    "roberta": {**_COMMON, "type_vocab_size": 1},
    "xlm-roberta-xl": _COMMON,
    "bert": _COMMON,
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 66},
    "electra": {**_COMMON, "embedding_size": 16},
    "deberta-v2": {  # as mDeBERTa-v3
        **_COMMON,
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
    },
}
#: What is tried in every run of the tests, beside XLM-R in tests/export: token types, and attention by distance.
QUICK = {"bert": "multiple-choice", "deberta-v2": "token-classification"}
ALL = [(model_type, task) for model_type, family in FAMILIES.items() for task in heads_of(family)]
TOLERANCE = {"onnx-fp32": 1e-4, "onnx-fp16": 0.05, "onnx-int8": None, "onnx-int4": None}
VOCABULARY = 120


def build_family(model_type: str, task: str, folder: Path, **more: Any) -> Path:
    """Save a model of transformers with seeded weights that are larger than a fresh one's: its outputs differ."""
    import torch
    import transformers

    family = FAMILIES[model_type]
    labels = 2 if task == "question-answering" else 3
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "num_labels": labels, **SIZES[model_type], **more}
    config = getattr(transformers, f"{family.classes}Config")(**sizes)
    model = getattr(transformers, heads_of(family)[task].architecture)(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
            elif "layernorm" not in name.lower() and "layer_norm" not in name:
                parameter.normal_(0, 0.1)
    model.save_pretrained(folder)
    return folder


def padded(head: Head, pad: int) -> tuple[Any, Any]:
    """Examples of 5 and 17 tokens (of two choices where the head has them), padded to 24."""
    shape = (2, 2, 24) if head.has_choices else (2, 24)
    ids, mask = np.full(shape, pad, np.int64), np.zeros(shape, np.int64)
    for row, length in enumerate((5, 17)):
        ids[row, ..., :length] = np.random.default_rng(row).integers(4, VOCABULARY, ids[row, ..., :length].shape)
        mask[row, ..., :length] = 1
    return ids, mask


def torch_answers(folder: Path, head: Head, ids: Any, mask: Any, **more: Any) -> dict[str, Any]:
    import torch
    import transformers

    model = getattr(transformers, head.architecture).from_pretrained(folder).eval()
    with torch.no_grad():
        answers = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), **more)
    return {output.name: answers[output.name].numpy() for output in head.outputs}


@pytest.mark.parametrize(
    ("model_type", "task"),
    [pytest.param(*pair, marks=() if QUICK.get(pair[0]) == pair[1] else pytest.mark.long) for pair in ALL],
)
def test_a_family_and_head_answers_in_onnx_as_in_transformers(
    model_type: str, task: str, cache: Path, tmp_path: Path
) -> None:
    head = heads_of(FAMILIES[model_type])[task]
    folder = build_family(model_type, task, tmp_path / "model")
    ids, mask = padded(head, json.loads((folder / "config.json").read_text()).get("pad_token_id", 0))
    expected = torch_answers(folder, head, ids, mask)
    for format, tolerance in TOLERANCE.items():
        is_int8 = (
            tolerance is None
        )  # at least the matrices; random weights nearly tie, so that few of their decisions survive
        artifact = export_model(folder, format, cache=cache, accept_parity=is_int8).artifact
        assert (artifact.head, artifact.task) == (head.architecture, task)
        assert artifact.parity is not None and artifact.parity.judgements and (is_int8 or not artifact.shortfalls)
        if tolerance is None:
            assert artifact.parity.mean_cosine > 0.8
            continue
        session = onnxruntime.InferenceSession(artifact.model_path, providers=["CPUExecutionProvider"])
        actual = session.run(None, {"input_ids": ids, "attention_mask": mask})
        for output, values in zip(head.outputs, actual, strict=True):
            kept = mask.astype(bool) if output.answer is not Answer.LABELS else np.ones(values.shape, bool)
            np.testing.assert_allclose(values[kept], expected[output.name][kept], atol=tolerance, err_msg=format)


@pytest.mark.long
@pytest.mark.parametrize(
    ("model_type", "task"),
    [
        ("roberta", "sequence-classification"),
        ("xlm-roberta-xl", "encoder"),
        ("bert", "multiple-choice"),
        ("distilbert", "question-answering"),
        ("electra", "token-classification"),
        ("deberta-v2", "masked-lm"),
    ],
)
def test_a_family_answers_in_tflite_as_in_transformers(model_type: str, task: str, cache: Path, tmp_path: Path) -> None:
    """Some 30 s each, so each family with one head. XLM-R's are tests/export/test_tflite.py."""
    need("litert_torch", "ai_edge_quantizer")
    folder = build_family(model_type, task, tmp_path / "model")
    for format in ("tflite-fp32", "tflite-int8"):
        is_int8 = format == "tflite-int8"
        artifact = export_model(folder, format, buckets=(16, 32), cache=cache, accept_parity=is_int8).artifact
        assert artifact.parity is not None and (is_int8 or not artifact.shortfalls)
        assert artifact.parity.mean_cosine > (0.8 if is_int8 else 0.999)
        assert artifact.refused_by == {}


def test_every_family_is_tried_here() -> None:
    assert set(SIZES) == set(FAMILIES) > set(QUICK)


def test_another_architecture_is_one_line_with_those_that_are_supported(tmp_path: Path) -> None:
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError) as refused:
        export_model(tmp_path, cache=tmp_path)
    message = str(refused.value)
    assert "model_type is 'gpt2' (architectures: GPT2LMHeadModel)" in message and "\n" not in message
    assert "supported: xlm-roberta, roberta, xlm-roberta-xl, bert, distilbert, electra, deberta-v2" in message


def write_bert_tokenizer(folder: Path, *, type_of_second: int) -> None:
    """Write a tokenizer.json of single characters that frames pairs as BERT's, with type 1 (or 0) for the second."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    vocab = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3} | {chr(97 + i): 4 + i for i in range(26)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    kind = type_of_second
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair=f"[CLS] $A [SEP] $B:{kind} [SEP]:{kind}",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("type_of_second", [1, 0])
def test_the_second_text_of_a_pair_has_the_token_type_that_the_tokenizer_gives_it(
    type_of_second: int, cache: Path, tmp_path: Path
) -> None:
    """BERT's tokenizer says 1, XLM-R's, which many small BERTs have, says 0."""
    import torch
    from tokenizers import Tokenizer

    head = heads_of(FAMILIES["bert"])["sequence-classification"]
    folder = build_family("bert", head.task, tmp_path / "model")
    write_bert_tokenizer(folder, type_of_second=type_of_second)
    encoded = Tokenizer.from_file(str(folder / "tokenizer.json")).encode("abcd", "efg")
    ids = np.array([encoded.ids])
    types = {"token_type_ids": torch.tensor([encoded.type_ids])}
    expected = torch_answers(folder, head, ids, np.ones_like(ids), **types)["logits"]
    artifact = export_model(folder, "onnx-fp32", cache=cache).artifact
    session = onnxruntime.InferenceSession(artifact.model_path, providers=["CPUExecutionProvider"])
    (actual,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    plain = torch_answers(folder, head, ids, np.ones_like(ids))["logits"]
    assert (np.abs(plain - expected).max() > 1e-3) == bool(type_of_second)


def test_a_bert_with_the_tokenizer_of_xlm_r_has_one_segment(tmp_path: Path) -> None:
    """As the Hub's multilingual-e5-small: the tokenizer's settings name no token types, whatever its template says."""
    from edgebench.export.segments import find_separator

    write_bert_tokenizer(tmp_path, type_of_second=1)
    assert find_separator(tmp_path) == 3
    for settings in ({"tokenizer_class": "XLMRobertaTokenizer"}, {"model_input_names": ["input_ids"]}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
        assert find_separator(tmp_path) is None


@pytest.mark.parametrize("setting", ["is_decoder", "add_cross_attention"])
def test_a_decoder_is_refused_by_name_before_and_after_the_encoder_was_exported(
    setting: str, cache: Path, tmp_path: Path
) -> None:
    folder = build_family("xlm-roberta", "encoder", tmp_path / "model")
    decoder = shutil.copytree(folder, tmp_path / "decoder")
    config = json.loads((decoder / "config.json").read_text())
    (decoder / "config.json").write_text(json.dumps(config | {setting: True}))
    for _ in range(2):
        with pytest.raises(CheckpointError, match=f"{setting} is true in config.json, and only encoders"):
            export_model(decoder, "onnx-fp32", cache=cache)
        assert not export_model(folder, "onnx-fp32", cache=cache).artifact.shortfalls
