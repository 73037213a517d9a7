"""Sizes, depths and numbers of what comes in are bounded before they are used: one clear line, in little memory."""

from __future__ import annotations

import json
import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgebench.device import read_devices
from edgebench.errors import CheckpointError, ConfigError, EdgebenchError, ScoresError
from edgebench.export.json_files import read_json_value
from edgebench.input_texts import read_input_texts
from edgebench.store import Store
from edgebench.study import read_study
from edgebench.workload import random_inputs
from edgebench.xtreme_r import read_scores
from tests.fork_server import edgebench_command

DEEP = 100_000
NESTED = ["a = " + "[" * DEEP, ".".join("a" * DEEP) + " = 1", "[" + ".".join("a" * DEEP) + "]", "a = " + "{a=" * DEEP]


@pytest.mark.parametrize("text", [*NESTED, "a = " + "9" * 5000, "port = " + "9" * 100, "\0"])
def test_toml(tmp_path: Path, text: str) -> None:
    for name, read in (("edgebench.toml", read_devices), ("STUDY.toml", read_study)):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match="is not valid TOML") as refused:
            read(tmp_path / name)
        assert len(str(refused.value)) < 500


@pytest.mark.parametrize("text", NESTED[:2])
def test_toml_of_any_depth_in_little_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / "STUDY.toml").write_text(text)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

    done = subprocess.run(
        [*edgebench_command(), "study", "status", "STUDY.toml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        cwd=tmp_path,
        preexec_fn=limit,
    )
    assert done.returncode == 2, done.stderr
    assert "nested more than" in done.stderr and done.stderr.count("\n") == 1


DOCUMENTS = [
    "[" * DEEP,
    '{"a":' * DEEP,
    "[" * 200 + "]" * 200,
    "1" * 5000,
    "[1e400]",
    "[NaN]",
    '{"value": ' + "[" * 200,
]


@pytest.mark.parametrize("text", DOCUMENTS)
def test_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match="is not valid JSON"):
        read_json_value(path)
    with pytest.raises(EdgebenchError):
        read_input_texts(path)
    with pytest.raises(ScoresError):
        read_scores(path)


@pytest.mark.parametrize(
    "text", [*DOCUMENTS, '{"results": ' + '{"a":' * 60 + "1" + "}" * 61, '{"value": {}}', '[[["x"]]]']
)
def test_scores_import_of_nested_json(tmp_path: Path, text: str) -> None:
    from edgebench.cli import main

    (tmp_path / "s.json").write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["scores", "import", str(tmp_path / "s.json")])
    assert ended.value.code in (1, 2)


def test_scores_import_says_it_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test_scores_import_of_nested_json(tmp_path, '{"results": ' + "[" * 90 + "]" * 90 + "}")
    said = capsys.readouterr().err
    assert "unexpected" not in said and said.count("\n") == 1


def test_cells_of_csv(tmp_path: Path) -> None:
    cell = "x" * 200_000
    (tmp_path / "s.csv").write_text(f"variant,task,lang,metric,value\n{cell},xnli,sw,accuracy,1e400\n")
    with pytest.raises(ScoresError, match="CSV"):
        read_scores(tmp_path / "s.csv")
    (tmp_path / "t.csv").write_text(f'"{cell}",b\n1,2\n')
    with pytest.raises(ConfigError, match="CSV"):
        read_input_texts(tmp_path / "t.csv")
    (tmp_path / "n.csv").write_text(f"variant,task,lang,metric,value\na,xnli,sw,accuracy,{'9' * 400}\n")
    with pytest.raises(ScoresError, match="value must be"):
        read_scores(tmp_path / "n.csv")


@pytest.mark.parametrize("value", ["10", 10**30, {"a": 1}, [1], None])
@pytest.mark.parametrize("kind", ["operators", "cold_starts", "searches"])
def test_other_documents_of_a_store(tmp_path: Path, kind: str, value: Any) -> None:
    from edgebench.errors import StoreError
    from edgebench.store import documents
    from edgebench.store.placing import place_of

    found = getattr(documents, kind)(place_of(tmp_path))
    values = {"inferences": value, "wall_ns": 1, "operators": [], "load_ns": value, "first_ns": 1}
    values |= {"resident_share": "x", "latency_bound_ms": value, "service_ms": 1, "probes": []}
    found.folder.mkdir()
    (found.folder / "a.json").write_text(json.dumps(values))
    if kind == "searches" and value == "10":
        return  # a text that is a number
    with pytest.raises(StoreError, match="is damaged"):
        found.read("a")
    assert found.read("../a") is None
    assert Store(tmp_path).sessions() == []


def test_a_vocabulary_beyond_32_bits() -> None:
    assert int(random_inputs([4, 5], vocab_size=1 << 62).ids.max()) < 1 << 31
    assert int(random_inputs([4, 5], vocab_size=0).ids.max()) == 0


# --- tokenizers -------------------------------------------------------------------------------------------------

tokenizers = pytest.importorskip("tokenizers")


def tokenizer(folder: Path, **parts: Any) -> Path:
    """Write a tokenizer.json with these parts."""
    made = json.loads(
        tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]")).to_str()
    )
    (folder / "tokenizer.json").write_text(json.dumps(made | parts))
    return folder


def replacing(what: str, by: str, *, regex: bool = False) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex" if regex else "String": what}, "content": by}


def sequence(*parts: dict[str, Any], kind: str = "normalizers") -> dict[str, Any]:
    return {"type": "Sequence", kind: list(parts)}


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
MULTIPLYING: list[tuple[str, Any, str]] = [
    ("normalizer", replacing("a", "b" * 10**6), "times as long"),
    ("normalizer", sequence(*[replacing("a", "aa")] * 34), "times as long"),
    ("normalizer", sequence(*[sequence(*[replacing("a", "aaa")] * 4)] * 4), "times as long"),
    ("normalizer", replacing("", "b" * 100), "times as long"),
    ("normalizer", replacing(".?", "b" * 100, regex=True), "times as long"),
    ("normalizer", {"type": "Prepend", "prepend": "x" * 10**6}, "bytes at a time"),
    ("normalizer", sequence(*[{"type": "NFC"}] * 1000), "parts one after another"),
    ("normalizer", replacing("(a+)+$", "", regex=True), "time without bounds"),
    (
        "pre_tokenizer",
        {"type": "Split", "pattern": {"Regex": "(a|aa)*b"}, "behavior": "Isolated", "invert": False},
        "time without bounds",
    ),
    ("pre_tokenizer", sequence(*[BYTE_LEVEL] * 30, kind="pretokenizers"), "times as long"),
    (
        "post_processor",
        {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}] * 1000,
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {},
        },
        "repeats a text 1000 times",
    ),
    (
        "post_processor",
        {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"x": {"id": "x", "ids": [1] * 10**5, "tokens": ["x"] * 10**5}},
        },
        "special tokens",
    ),
]


@pytest.mark.parametrize(("part", "value", "message"), MULTIPLYING)
def test_a_tokenizer_that_multiplies_is_refused_before_it_gets_a_text(
    tmp_path: Path, part: str, value: Any, message: str
) -> None:
    from edgebench.export.tokens import encode_with, load_tokenizer

    folder = str(tokenizer(tmp_path, **{part: value}))
    with pytest.raises(CheckpointError, match=message):
        encode_with(folder, ["a" * 100])
    with pytest.raises(CheckpointError, match=message):
        load_tokenizer(folder)


def test_tokenizers_as_they_are_published_are_used(tmp_path: Path) -> None:
    from edgebench.export.tokens import encode_with

    words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)"
    split = {"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": False}
    for parts in (
        {"normalizer": sequence(replacing(" {2,}", " ", regex=True), {"type": "NFKC"}, replacing(" ", "▁"))},
        {"normalizer": sequence({"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"})},
        {"normalizer": {"type": "Prepend", "prepend": "▁"}},
        {"pre_tokenizer": sequence(split, BYTE_LEVEL, kind="pretokenizers")},
        {"padding": None, "truncation": None},
    ):
        assert encode_with(str(tokenizer(tmp_path, **parts)), ["a"])


def test_padding_of_a_tokenizer_is_left_out(tmp_path: Path) -> None:
    from edgebench.export.tokens import encode_with

    padding = {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
    folder = tokenizer(tmp_path, padding=padding | {"pad_type_id": 0, "pad_token": "a"})
    assert encode_with(str(folder), ["a"]) == [[0]]


@pytest.mark.parametrize("vocab_size", [None, 10])
def test_token_ids_beyond_32_bits(tmp_path: Path, vocab_size: int | None) -> None:
    from edgebench.artifact import Artifact, ArtifactFile, Format
    from edgebench.export.tokens import encode_texts, open_tokenizer

    path = tokenizer(tmp_path) / "tokenizer.json"
    path.write_text(path.read_text().replace('"a": 0', f'"a": {2**32 - 1}'))
    artifact = Artifact(
        format=Format.ONNX,
        files=(ArtifactFile(name="m.onnx", sha256="0" * 64, bytes=1),),
        path=tmp_path,
        vocab_size=vocab_size,
        tokenizer=str(tmp_path),
    )
    with pytest.raises(ConfigError, match=r"a token beyond|embeddings"):
        encode_texts(artifact, ["a"])
    with pytest.raises(ConfigError, match="embeddings"):
        open_tokenizer(artifact)
