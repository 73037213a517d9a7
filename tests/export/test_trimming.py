"""A trimmed vocabulary: the same pieces and the same outputs for covered texts; what can't be trimmed is refused."""

from __future__ import annotations

import errno
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebench.artifact import Trimming
from edgebench.cli import main
from edgebench.errors import CheckpointError, ConfigError, ExportError
from edgebench.export import export_model, trimming
from edgebench.export.heads import HEADS
from edgebench.export.keep_texts import keep_of
from edgebench.export.languages import known_languages, letters_of
from edgebench.export.piece_selection import Keep, open_pieces, select
from edgebench.export.sources import find_checkpoint
from edgebench.export.tflite_answers import TFLiteRuntime
from edgebench.export.trimmed_tokenizer import read_trimmed, renumbered, trim_description
from edgebench.reporting import trimming_lines
from tests.export.conftest import build
from tests.needed import need
from tests.schemas import check_schema

need("torch")
np = pytest.importorskip("numpy")
pytestmark = pytest.mark.export

COVERED = ["the cats sat on the mat", "a dog and a cat sat", "dogs eat 12 mats, and cats"]
NEW = ["the dogs sat on a mat", "cats and the dog eat"]
OTHER = ["кошка и собака", "кот"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def train(kind: str) -> Any:
    """Return a small tokenizer of one of the kinds of the supported families."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    texts = [*COVERED, *OTHER] * 20
    if kind == "Unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer: Any = trainers.UnigramTrainer(vocab_size=90, special_tokens=SPECIAL, unk_token="<unk>")
    elif kind == "WordPiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=SPECIAL)
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.add_tokens(["<brand>"])
    ends: list[tuple[str, Any]] = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = (
        processors.RobertaProcessing(ends[1], ends[0])
        if kind == "BPE"
        else processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    )
    return tokenizer


@pytest.mark.parametrize("kind", ["Unigram", "WordPiece", "BPE"])
def test_texts_whose_pieces_are_kept_are_segmented_as_before(kind: str) -> None:
    before = train(kind)
    description = json.loads(before.to_str())
    pieces = open_pieces(before, description, where="here")
    kept = select(before, pieces, Keep(languages=("en",)))
    ids = sorted(kept | set(before.get_added_tokens_decoder()))
    new = renumbered(ids)
    after = read_trimmed(trim_description(description, new), new, before, where="here")
    assert after.get_vocab_size() < before.get_vocab_size()
    for text in [*COVERED, *NEW, "<mask> of <brand>"]:
        assert after.encode(text).tokens == before.encode(text).tokens
        assert after.encode(text).ids == [new[id] for id in before.encode(text).ids]
    unknown = after.token_to_id("<unk>")  # the single characters are kept
    assert all(unknown not in after.encode(text).ids for text in OTHER)


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XLMRobertaForMaskedLM, with a row of embeddings more than its tokenizer has tokens, as padded tables have."""
    folder = tmp_path_factory.mktemp("checkpoints") / "lm"
    tokenizer = train("Unigram")
    build("XLMRobertaForMaskedLM", vocab_size=tokenizer.get_vocab_size() + 1).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def trimmed(lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, trimmed to English (a child process that imports torch: some 5 s)."""
    cache = tmp_path_factory.mktemp("cache")
    folder = find_checkpoint(str(lm), task=None, cache=cache, keep=Keep(languages=("en",))).folder
    assert folder is not None
    return folder


def test_a_masked_language_model_answers_the_same_for_the_pieces_that_stay(lm: Path, trimmed: Path) -> None:
    import torch
    import transformers
    from tokenizers import Tokenizer

    before, after = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (lm, trimmed))
    models = [transformers.AutoModelForMaskedLM.from_pretrained(folder).eval() for folder in (lm, trimmed)]
    assert models[1].lm_head.decoder.weight is models[1].get_input_embeddings().weight  # tied
    by_id = sorted(after.get_vocab().items(), key=lambda entry: entry[1])
    old_ids = [before.token_to_id(token) for token, _ in by_id]
    for text in NEW:
        inputs = [torch.tensor([tokenizer.encode(text).ids]) for tokenizer in (before, after)]
        answers = [model(ids).logits.detach().numpy() for model, ids in zip(models, inputs, strict=True)]
        np.testing.assert_allclose(answers[1], answers[0][..., old_ids], rtol=0, atol=1e-5)


def test_the_trimmed_checkpoint_says_what_it_is(lm: Path, trimmed: Path) -> None:
    found = find_checkpoint(str(trimmed), task=None)
    assert found.trimming is not None
    assert found.trimming.languages == ("en",)
    assert found.trimming.pieces == found.geometry.vocab_size < found.trimming.pieces_before
    (english,) = found.trimming.segmentation
    assert english.name == "en"
    assert english.sample
    assert english.words > 100
    assert "vocabulary trimmed to en" in "\n".join(trimming_lines("lm", found.trimming))
    with pytest.raises(ConfigError, match=r"trimmed to en: .* already"):
        find_checkpoint(str(trimmed), task=None, keep=Keep(languages=("en",)))


@pytest.mark.long
@pytest.mark.parametrize("format", ["onnx-fp16", "onnx-int8", "onnx-int4", "tflite-fp32", "tflite-int8"])
@pytest.mark.parametrize("keep", ["langs", "texts"])
def test_a_trimmed_file_of_every_format_answers_as_the_whole_checkpoint(
    lm: Path, cache: Path, tmp_path: Path, format: str, keep: str
) -> None:
    """The file with its own tokenizer, held against torch with the checkpoint's."""
    import torch
    import transformers
    from tokenizers import Tokenizer

    if format.startswith("tflite"):
        need("litert_torch")
    (texts := tmp_path / "mine.txt").write_text("\n".join([*COVERED, *NEW]), encoding="utf-8")
    kept: dict[str, Any] = {"keep_langs": ["en"]} if keep == "langs" else {"keep_texts": [texts]}
    buckets = [16] if format.startswith("tflite") else None
    artifact = export_model(lm, format, task="encoder", cache=cache, buckets=buckets, **kept).artifact
    assert artifact.trimming is not None and artifact.tokenizer is not None
    assert artifact.vocab_size == artifact.trimming.pieces < artifact.trimming.pieces_before
    tokenizers = [Tokenizer.from_file(str(Path(folder) / "tokenizer.json")) for folder in (lm, artifact.tokenizer)]
    model = transformers.AutoModel.from_pretrained(lm).eval()
    least = 0.9999 if format in ("onnx-fp16", "tflite-fp32") else 0.98
    for text in NEW:
        before, after = (tokenizer.encode(text).ids[:16] for tokenizer in tokenizers)
        assert len(before) == len(after) and max(after) < artifact.vocab_size
        with torch.inference_mode():
            states = model(torch.tensor([before])).last_hidden_state[0].numpy()
        found = states_of(artifact.model_path, after)
        assert found.shape == states.shape
        a, b = states.mean(axis=0), found.mean(axis=0)
        assert float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) > least


def states_of(path: Path, ids: list[int]) -> Any:
    """Return what a file answers for one text in ONNX Runtime, or in LiteRT."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        batch = np.array([ids], np.int64)
        return session.run(None, {"input_ids": batch, "attention_mask": np.ones_like(batch)})[0][0]
    runtime = TFLiteRuntime("ai-edge-litert", Path(sys.executable))
    (answer,) = runtime.answers(path, HEADS["encoder"], [np.array(ids, np.int64)], pad_token_id=1)
    return answer["last_hidden_state"]


@pytest.mark.long
def test_an_exported_file_has_its_tokenizer_beside_it(lm: Path, tmp_path: Path) -> None:
    """Two exports of a tiny checkpoint: some 20 s of CPU."""
    plain = export_model(lm, "onnx-fp32", cache=tmp_path / "cache")
    exported = export_model(lm, "onnx-fp32", cache=tmp_path / "cache", keep_langs=["en"], out=tmp_path / "out")
    assert exported.variant.name == "lm-trimmed"
    assert exported.artifact.sha256 != plain.artifact.sha256
    assert exported.artifact.trimming is not None
    assert plain.artifact.trimming is None
    folder = tmp_path / "out" / "lm-trimmed" / "onnx-fp32"
    assert exported.artifact.tokenizer == str(folder)
    shutil.rmtree(tmp_path / "cache")  # the copy needs nothing of it
    again = export_model(folder, cache=tmp_path / "cache")
    assert again.artifact.tokenizer == str(folder)
    assert isinstance(again.artifact.trimming, Trimming)
    document = exported.artifact.to_result() | {"variant": exported.variant.to_json(), "cached": False}
    check_schema({"artifacts": [document]}, "export")


def test_texts_keep_their_pieces_and_half_of_them_judges(lm: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("\n".join([*COVERED, *NEW]))
    keep = keep_of([], [tmp_path / "mine.txt"])
    assert keep is not None
    assert keep.names == ("mine.txt",)
    found = find_checkpoint(str(lm), task=None, cache=tmp_path, keep=keep)
    assert found.trimming is not None
    (segmentation,) = found.trimming.segmentation
    assert segmentation.name == "mine.txt"
    assert not segmentation.sample


def _with_other_tokenizer(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = tokenizer["model"]["vocab"][:8]
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] < 8]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def _with_more_pieces(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] += [[f"piece{n}", -9.0] for n in range(9)]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def _with_other_padding(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": 2}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_with_other_tokenizer, "it belongs to another checkpoint"),
        (_with_more_pieces, "beyond the model's|it belongs to another checkpoint"),
        (_with_other_padding, "pads with 1 and the model with 2: it belongs to another checkpoint"),
    ],
)
def test_a_tokenizer_of_another_checkpoint_is_refused(
    damage: Callable[[Path], None], message: str, lm: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(lm, tmp_path / "lm"))
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        find_checkpoint(str(folder), task=None, cache=tmp_path / "cache", keep=Keep(languages=("en",)))
    assert not (tmp_path / "cache" / "trimmed").exists()


def test_languages_of_which_nothing_is_known_are_one_line() -> None:
    with pytest.raises(ConfigError, match="nothing is known of the languages 'xx', 'tlh'"):
        Keep(languages=("en", "xx", "tlh"))
    assert Keep(languages=("xx",), texts={"xx": ("abc",)}).names == ("xx",)


@pytest.mark.parametrize("source", ["reference:tiny", "model.onnx"])
def test_a_model_without_tokenizer_is_refused(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"no tokenizer|is exported already"):
        export_model(source, cache=tmp_path, keep_langs=["en"])


def test_a_full_disk_leaves_nothing_in_the_cache(lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trimming, "_write_settings", full)
    with pytest.raises(ExportError, match="No space left"):
        find_checkpoint(str(lm), task=None, cache=tmp_path, keep=Keep(languages=("en",)))
    assert not (tmp_path / "trimmed").exists()
    assert not list((tmp_path / "artifacts").iterdir())


def test_a_full_disk_in_the_child_is_one_line(lm: Path, tmp_path: Path) -> None:
    checkpoint = find_checkpoint(str(lm), task=None)
    (tmp_path / "model.safetensors").symlink_to("/dev/full")
    with pytest.raises(ExportError, match="No space left"):
        trimming._write_weights(checkpoint, range(40), tmp_path)


def test_the_command_refuses_what_does_not_go_together(lm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", "--model", str(lm), "--keep-langs", "en", "--compare-formats"])
    assert ended.value.code == 2
    assert "export first" in capsys.readouterr().err


def test_letters_are_those_that_a_language_is_written_in() -> None:
    assert len(known_languages()) == 50
    for language, inside, outside in [
        ("sw", "ng'ombe", "ñandú"),
        ("th", "สวัสดี", "hello"),
        ("hi", "क़लम 12", "قلم"),
        ("zh", "你好", "안녕"),
        ("de", "Straße, Äpfel", "łódź"),
    ]:
        assert letters_of(language).write(inside)
        assert not letters_of(language).write(outside)
