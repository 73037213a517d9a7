"""Folders of sentence-transformers: encoder, Pooling, Dense and Normalize become one graph, and are what is scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import edgebench
from edgebench.errors import CheckpointError, ConfigError
from edgebench.evaluation.embeddings import check_pooling
from edgebench.evaluation.inference import sentence_vectors
from edgebench.export import export_model, longest_input
from tests.evaluation.conftest import NLI, encode, texts, write_tatoeba, write_tokenizer, write_xnli
from tests.export.conftest import build
from tests.field.sentence_folders import ALL, torch_vectors, write_sentence_folder
from tests.needed import need

np = pytest.importorskip("numpy")
need("torch")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.export

TASK = "sentence-embedding"
LINES = ["a", "ab cd", "the quick brown fox jumps over", "jumps over the lazy dog and then some more of it"]
ROWS = [encode(line) for line in LINES]


@pytest.fixture(autouse=True)
def one_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are traced once for all of these tests."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(cache))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All ways to pool, concatenated, then Dense and Normalize."""
    folder = tmp_path_factory.mktemp("sentences") / "whole"
    return write_sentence_folder(folder, ALL, dense=16, normalize=True)


@pytest.fixture(scope="module")
def by_cls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLS, Dense and Normalize, as a folder whose mean-pooled states were scored once."""
    folder = tmp_path_factory.mktemp("sentences") / "by-cls"
    return write_sentence_folder(folder, ["cls"], dense=16, normalize=True)


def refusal(folder: Path, cache: Path, task: str | None = TASK) -> str:
    with pytest.raises(CheckpointError) as caught:
        export_model(folder, "onnx-fp32", task=task, cache=cache)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ALL)
def test_each_pooling_of_the_graph_is_that_of_sentence_transformers(name: str) -> None:
    import torch

    from edgebench.export.sentence_graph import graph_module
    from edgebench.export.sentence_modules import SentenceModules

    torch.manual_seed(0)
    states = torch.randn(3, 9, 4)
    mask = torch.tensor([[1] * count + [0] * (9 - count) for count in (1, 5, 9)])
    actual = graph_module(SentenceModules(pooling=(name,)))(states, mask).numpy()
    wide = mask[:, :, None].float()
    ramp = wide * torch.arange(1, 10)[None, :, None]
    expected = {
        "cls": states[:, 0],
        "max": states.masked_fill(wide == 0, -1e9).amax(1),
        "mean": (states * wide).sum(1) / wide.sum(1),
        "mean_sqrt_len_tokens": (states * wide).sum(1) / wide.sum(1).sqrt(),
        "weightedmean": (states * ramp).sum(1) / ramp.sum(1),
        "lasttoken": torch.stack([states[0, 0], states[1, 4], states[2, 8]]),
    }[name]
    np.testing.assert_allclose(actual, expected.numpy(), atol=1e-5)


# Traces a graph, some 15 s.
@pytest.mark.parametrize(("format", "tolerance"), [("onnx-fp32", 1e-5), ("onnx-fp16", 0.01), ("onnx-int8", 0.15)])
def test_encoder_and_modules_are_one_graph_padded_or_not(
    whole: Path, cache: Path, format: str, tolerance: float
) -> None:
    artifact = export_model(whole, format, task=TASK, cache=cache).artifact
    expected = torch_vectors(whole, ROWS, ALL)
    session = onnxruntime.InferenceSession(artifact.model_path, providers=["CPUExecutionProvider"])
    assert [(entry.name, entry.shape) for entry in session.get_outputs()] == [("sentence_embedding", ["batch", 16])]
    longest = max(map(len, ROWS))
    ids = np.array([[*row, *[1] * (longest - len(row))] for row in ROWS])
    mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in ROWS])
    (vectors,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
    np.testing.assert_allclose(vectors, expected, atol=tolerance)
    (alone,) = session.run(None, {"input_ids": ids[:1, :3], "attention_mask": mask[:1, :3]})
    np.testing.assert_allclose(alone, expected[:1], atol=tolerance)
    assert artifact.pooling == f"{' + '.join(ALL)}, dense 192->16 Tanh, normalize"
    assert artifact.parity is not None and artifact.parity.argmax_agreement is None  # a vector decides nothing
    assert artifact.parity.mean_cosine > 0.95


# Each traces a graph, some 5 s.
@pytest.mark.parametrize(
    "family",
    ["bert", "distilbert", *(pytest.param(name, marks=pytest.mark.long) for name in ("electra", "deberta-v2"))],
)
def test_the_encoder_may_be_of_any_family(family: str, cache: Path, tmp_path: Path) -> None:
    folder = write_sentence_folder(tmp_path / family, ["mean"], family=family, dense=16)
    artifact = export_model(folder, "onnx-fp32", task=TASK, cache=cache).artifact
    assert artifact.pooling == "mean, dense 32->16 Tanh"
    check_pooling(artifact)
    vectors = sentence_vectors(artifact, LINES, device=edgebench.find_device("local"))
    expected = torch_vectors(folder, ROWS, ["mean"])
    units = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, units, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "distilbert"}, 768),  # the class's default
        ({"model_type": "distilbert", "dim": 96}, 96),
        ({"model_type": "electra"}, 256),
        ({"model_type": "mpnet", "hidden_size": 32}, 32),
        ({"model_type": "t5", "d_model": 64}, 64),
        ({"model_type": "mpnet"}, None),
    ],
)
def test_the_size_of_the_states_has_the_name_and_default_of_its_family(
    tmp_path: Path, config: dict[str, Any], expected: int | None
) -> None:
    from edgebench.export.sentence_modules import sentence_modules_of

    folder = tmp_path / "sized"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / "2_Dense").mkdir()
    size = {"in_features": expected or 1, "out_features": 2, "bias": False}
    (folder / "2_Dense" / "config.json").write_text(json.dumps(size))
    (folder / "2_Dense" / "model.safetensors").write_bytes(b"never read")
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for kind, path in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config.json").write_text(json.dumps(config))
    if expected is None:
        with pytest.raises(CheckpointError, match="has no hidden_size"):
            sentence_modules_of(folder)
    else:
        read = sentence_modules_of(folder)
        assert read is not None and read.description == f"mean, dense {expected}->2 Tanh"


@pytest.mark.long
def test_the_graph_in_tflite_is_the_same(whole: Path, cache: Path) -> None:
    need("litert_torch")
    artifact = export_model(whole, "tflite-fp32", task=TASK, buckets=(16, 64), cache=cache).artifact
    assert artifact.parity is not None and artifact.parity.max_abs_diff < 1e-3
    vectors = sentence_vectors(artifact, LINES, device=edgebench.find_device("local"))
    np.testing.assert_allclose(vectors, torch_vectors(whole, ROWS, ALL), atol=1e-3)


def test_retrieval_is_scored_by_the_folder_s_own_vectors(by_cls: Path, tmp_path: Path) -> None:
    queries, english = texts(1, 20), texts(2, 20)

    def nearest(vectors: Any) -> list[int]:
        units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return [int(at) for at in (units[:20] @ units[20:].T).argmax(axis=1)]

    rows = [encode(line) for line in (*queries, *english)]
    own = nearest(torch_vectors(by_cls, rows, ["cls"]))
    labels = write_tatoeba(tmp_path / "data", "sw", queries, english, own)
    evaluation = edgebench.evaluate(
        by_cls, tasks=["tatoeba"], data=tmp_path / "data", labels=labels, format="onnx-fp32", store=tmp_path / "store"
    )
    (score,) = evaluation.scores
    assert score.value == 100
    assert score.protocol["pooling"] == "in the file: cls, dense 32->16 Tanh, normalize"
    assert own != nearest(mean_vectors(by_cls, rows))  # which the mean of the states would not have


def mean_vectors(folder: Path, rows: list[list[int]]) -> Any:
    import torch
    import transformers

    model = transformers.XLMRobertaModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        return np.stack([model(torch.tensor([row])).last_hidden_state[0].mean(0).numpy() for row in rows])


def test_states_of_a_folder_with_other_modules_are_never_averaged(by_cls: Path, cache: Path, tmp_path: Path) -> None:
    artifact = export_model(by_cls, "onnx-fp32", task="encoder", cache=cache, out=tmp_path / "out").artifact
    with pytest.raises(ConfigError, match=r"makes vectors of them by: cls, dense 32->16 Tanh, normalize; .* --sent"):
        sentence_vectors(artifact, LINES, device=edgebench.find_device("local"))
    labels = write_tatoeba(tmp_path / "data", "sw", ["ab", "cd"], ["ef", "gh"], [0, 1])
    with pytest.raises(ConfigError, match="would be another model"):
        edgebench.evaluate(
            artifact.path, tasks=["tatoeba"], data=tmp_path / "data", labels=labels, store=tmp_path / "store"
        )


def test_formats_are_compared_by_the_folder_s_own_vectors(by_cls: Path, cache: Path) -> None:
    parallel = {"en": texts(1, 8), "sw": texts(2, 8)}
    (result,) = edgebench.compare_formats(by_cls, ["onnx-fp32"], texts=parallel, cache=cache)
    assert result.artifact is not None and result.artifact.pooling == "cls, dense 32->16 Tanh, normalize"
    vectors = torch_vectors(by_cls, [encode(line) for line in (*parallel["en"], *parallel["sw"])], ["cls"])
    hits = np.mean((vectors[8:] @ vectors[:8].T).argmax(axis=1) == np.arange(8))
    assert result.retrieval is not None and result.retrieval.accuracy["sw"] == pytest.approx(100 * hits)


def test_an_encoder_in_0_transformer_is_found(by_cls: Path, cache: Path, tmp_path: Path) -> None:
    folder = write_sentence_folder(tmp_path / "old", ["cls"], dense=16, normalize=True, subfolder="0_Transformer")
    exported = export_model(folder, "onnx-fp32", task=TASK, cache=cache)
    assert exported.artifact.sha256 == export_model(by_cls, "onnx-fp32", task=TASK, cache=cache).artifact.sha256
    assert exported.artifact.tokenizer == str(folder / "0_Transformer")
    assert exported.variant.name == "old"
    states = export_model(folder, "onnx-fp32", cache=cache).artifact  # not asked for: the encoder
    assert states.pooling is None
    with pytest.raises(ConfigError, match="would be another model"):
        sentence_vectors(states, LINES, device=edgebench.find_device("local"))


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ("cls",)),
        ({"pooling_mode_cls_token": True}, ("cls",)),
        ({"pooling_mode_mean_tokens": False}, ("mean",)),  # as sentence-transformers reads it
        ({"word_embedding_dimension": 32}, ("mean",)),
        ({"pooling_mode": "lasttoken", "embedding_dimension": 32}, ("lasttoken",)),
        ({"pooling_mode": ["mean", "cls"]}, ("mean", "cls")),  # in the order that is given
        (
            {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True, "pooling_mode_cls_token": True},
            ("cls", "max", "mean"),
        ),
    ],
)
def test_the_keys_of_every_version_are_read(tmp_path: Path, pooling: dict[str, Any], expected: tuple[str, ...]) -> None:
    from edgebench.export.sentence_modules import read_modules

    folder = write_sentence_folder(tmp_path / "keys", pooling=pooling)
    assert read_modules(folder, hidden_size=32).pooling == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"more": ["sentence_transformers.models.WeightedLayerPooling"]}, "WeightedLayerPooling (9_More) can't be"),
        ({"more": ["sentence_transformers.models.LSTM"]}, "models.LSTM (9_More)"),
        ({"more": ["custom_st.Transformer"]}, "custom_st.Transformer is not of sentence-transformers"),
        ({"pooling": {"pooling_mode": "attention"}}, "pooling_mode 'attention' is not known"),
        ({"pooling": {"pooling_mode_attention_tokens": True}}, "pooling_mode_attention_tokens is not known"),
        ({"transformer": {"transformer_task": "fill-mask"}}, "transformer_task 'fill-mask' is not supported"),
        ({"transformer": {"module_output_name": "x"}}, "module_output_name 'x' is not supported"),
        ({"transformer": {"max_seq_length": 32, "do_lower_case": True}}, "do_lower_case is set"),
    ],
    ids=["layers", "lstm", "custom", "mode", "old-mode", "task", "output", "lower-case"],
)
def test_modules_that_are_not_known_are_refused_by_name(
    cache: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    folder = write_sentence_folder(tmp_path / "other", **change)
    assert words in refusal(folder, cache)
    labels = write_tatoeba(tmp_path / "data", "sw", ["ab", "cd"], ["ef", "gh"], [0, 1])
    with pytest.raises(CheckpointError):
        edgebench.evaluate(folder, tasks=["tatoeba"], data=tmp_path / "data", labels=labels, store=tmp_path / "store")


def test_a_dense_layer_of_another_size_or_activation_is_refused(by_cls: Path, cache: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(by_cls, tmp_path / "wide")
    path = folder / "2_Dense" / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"in_features": 33}))
    assert "takes 33 dimensions and the module before it gives 32" in refusal(folder, cache)
    path.write_text(json.dumps(values | {"activation_function": "my.Activation"}))
    assert "the activation 'my.Activation' is not supported" in refusal(folder, cache)
    path.write_text(json.dumps(values | {"use_residual": True}))
    assert "use_residual is not supported" in refusal(folder, cache)
    (folder / "2_Dense" / "model.safetensors").unlink()
    path.write_text(json.dumps(values))
    assert "2_Dense has no weights" in refusal(folder, cache)


def test_a_folder_without_modules_has_no_sentence_embedding(by_cls: Path, cache: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(by_cls, tmp_path / "plain")
    (folder / "modules.json").unlink()
    assert "has no modules.json" in refusal(folder, cache)
    assert "reference:tiny is a bare encoder" in refusal(Path("reference:tiny"), cache)


def test_settings_that_change_the_vectors_are_kept(by_cls: Path, cache: Path, tmp_path: Path) -> None:
    settings = {"prompts": {"query": "q ", "passage": "p "}, "default_prompt_name": "query"}
    folder = write_sentence_folder(
        tmp_path / "prompted",
        ["cls"],
        dense=16,
        normalize=True,
        settings=settings,
        transformer={"max_seq_length": 24, "do_lower_case": False},
    )
    assert longest_input(folder, task=TASK) == 24
    assert longest_input(folder) == 64
    queries, english = texts(1, 8), texts(2, 8)
    labels = write_tatoeba(tmp_path / "data", "sw", queries, english, list(range(8)))
    evaluation = edgebench.evaluate(
        folder, tasks=["tatoeba"], data=tmp_path / "data", labels=labels, format="onnx-fp32", store=tmp_path / "store"
    )
    (language,) = evaluation.languages
    assert language.scores[0].protocol["prefix"] == "q "
    assert language.tokens.tolist() == [min(24, len(encode("q " + line))) for line in queries]
    assert evaluation.artifact.max_seq_len == 24


def test_texts_are_held_against_where_the_folder_cuts_them(by_cls: Path, tmp_path: Path) -> None:
    from edgebench.artifact import Format
    from edgebench.export import refuse_texts

    folder = shutil.copytree(by_cls, tmp_path / "short")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 24}))
    line = "a" * 30  # 32 tokens
    refuse_texts(folder, Format.ONNX_FP32, [line])
    with pytest.raises(ConfigError, match="longer than 24 tokens"):
        refuse_texts(folder, Format.ONNX_FP32, [line], task=TASK)


@pytest.mark.parametrize("pooling", [None, "mean"])
def test_a_prompt_is_refused_where_its_tokens_are_not_pooled(tmp_path: Path, pooling: str | None) -> None:
    """Also where the file answers states: their mean here has the tokens of the prompt in it."""
    from edgebench.artifact import Artifact, ArtifactFile, Format
    from edgebench.evaluation.embeddings import prefix_of

    settings = {"prompts": {"q": "q "}, "default_prompt_name": "q"}
    values = {"pooling_mode_mean_tokens": True, "include_prompt": False}
    folder = write_sentence_folder(tmp_path / "st", ["mean"], pooling=values, settings=settings)
    files = (ArtifactFile(name="model.onnx", sha256="0" * 64, bytes=1),)
    artifact = Artifact(format=Format.ONNX_FP32, files=files, path=folder, tokenizer=str(folder), pooling=pooling)
    for prefix in ("", "own "):
        with pytest.raises(ConfigError, match="leaves out the tokens of a prompt"):
            prefix_of(artifact, prefix)
    (folder / "config_sentence_transformers.json").unlink()
    assert prefix_of(artifact, "") == ""


def test_a_task_that_is_no_retrieval_does_not_read_the_modules(tmp_path: Path) -> None:
    folder = tmp_path / "xnli"
    model = build("XLMRobertaForSequenceClassification")
    model.config.id2label = dict(enumerate(NLI))
    model.save_pretrained(folder)
    write_tokenizer(folder)
    modules = [{"path": "", "type": "sentence_transformers.models.Transformer"}]  # and no Pooling
    (folder / "modules.json").write_text(json.dumps(modules))
    pairs = list(zip(texts(1, 4), texts(2, 4), strict=True))
    write_xnli(tmp_path / "data", "en", pairs, ["neutral"] * 4)
    evaluation = edgebench.evaluate(
        folder, tasks=["xnli"], data=tmp_path / "data", format="onnx-fp32", store=tmp_path / "store"
    )
    assert len(evaluation.scores) == 1


def test_plain_checkpoints_are_refused_where_sentence_embeddings_are_wanted(by_cls: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from edgebench.cli.profile import command
    from edgebench.measure import refuse_plain_checkpoints

    refuse_plain_checkpoints([str(by_cls)])
    plain = shutil.copytree(by_cls, tmp_path / "plain")
    (plain / "modules.json").unlink()
    for source in (str(plain), "reference:tiny"):
        message = f"{source} is no sentence-transformers model .*leave `sentence_embedding` out"
        with pytest.raises(ConfigError, match=message):
            edgebench.profile(source, sentence_embedding=True, store=tmp_path / "store")
        with pytest.raises(ConfigError, match=message):
            arguments = ["--model", source, "--sentence-embedding", "--store", str(tmp_path / "store")]
            CliRunner().invoke(command, arguments, catch_exceptions=False)


@pytest.mark.parametrize("similarity", ["dot", "manhattan"])
def test_vectors_that_are_not_compared_by_cosine_are_refused(cache: Path, tmp_path: Path, similarity: str) -> None:
    from edgebench.export.sentence_modules import sentence_modules_of

    settings = {"similarity_fn_name": similarity}
    folder = write_sentence_folder(tmp_path / "dot", ["mean"], settings=settings)
    modules = sentence_modules_of(folder)
    assert modules is not None and not modules.ranks_as_cosine and modules.is_mean
    artifact = export_model(folder, "onnx-fp32", task=TASK, cache=cache).artifact
    with pytest.raises(ConfigError, match=rf"compared by {similarity} .*, and rankings here are by cosine"):
        check_pooling(artifact)
    unit = write_sentence_folder(tmp_path / "unit", ["mean"], normalize=True, settings=settings)
    modules = sentence_modules_of(unit)
    assert modules is not None and modules.ranks_as_cosine == (similarity == "dot")


def test_the_command_exports_a_sentence_embedding(by_cls: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from edgebench.cli.export import command

    arguments = ["--model", str(by_cls), "--format", "onnx-fp32", "--sentence-embedding"]
    done = CliRunner().invoke(command, [*arguments, "--json", str(tmp_path / "j.json")])
    assert done.exit_code == 0, done.output
    (artifact,) = json.loads((tmp_path / "j.json").read_text())["artifacts"]
    assert artifact["pooling"] == "cls, dense 32->16 Tanh, normalize"
    with pytest.raises(ConfigError, match="leave --task encoder out"):
        CliRunner().invoke(command, [*arguments, "--task", "encoder"], catch_exceptions=False)


@pytest.mark.parametrize("name", ["sentence_xlm-roberta_config.json", "sentence_roberta_config.json"])
def test_settings_under_the_names_of_early_versions_are_read(name: str, tmp_path: Path) -> None:
    folder = write_sentence_folder(tmp_path / "early", ["mean"])
    (folder / name).write_text(json.dumps({"max_seq_length": 12}))
    assert longest_input(folder, task=TASK) == 12
    (folder / name).write_text(json.dumps({"max_seq_length": 12, "do_lower_case": True}))
    with pytest.raises(CheckpointError, match=f"{name}: do_lower_case is set"):
        longest_input(folder, task=TASK)


def test_a_default_prompt_that_is_none_of_the_prompts_is_refused(tmp_path: Path) -> None:
    settings = {"prompts": {"query": "q "}, "default_prompt_name": "passage"}
    folder = write_sentence_folder(tmp_path / "prompted", ["mean"], settings=settings)
    with pytest.raises(CheckpointError, match=r"default_prompt_name 'passage' is none of its prompts \(query\)"):
        longest_input(folder, task=TASK)


def test_tensors_of_a_dense_layer_that_its_settings_do_not_mean_are_refused(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    from edgebench.export.sentence_graph import dense_readers
    from edgebench.export.sentence_modules import read_modules

    folder = write_sentence_folder(tmp_path / "more", ["mean"], dense=16)
    path, config = folder / "2_Dense" / "model.safetensors", folder / "2_Dense" / "config.json"
    assert dense_readers(read_modules(folder, hidden_size=32))
    without_bias = json.loads(config.read_text()) | {"bias": False}
    config.write_text(json.dumps(without_bias))
    with pytest.raises(CheckpointError, match=r"has linear\.bias, which its config\.json does not mean"):
        dense_readers(read_modules(folder, hidden_size=32))
    config.write_text(json.dumps(without_bias | {"bias": True}))
    save_file(load_file(path) | {"residual.weight": torch.zeros(16, 32)}, path)
    with pytest.raises(CheckpointError, match=r"has residual\.weight, which"):
        dense_readers(read_modules(folder, hidden_size=32))
