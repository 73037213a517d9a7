"""The example of intermediate training runs, each kind and head of it, and makes what edgebench takes."""

from __future__ import annotations

import importlib
import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgebench
from edgebench.study import read_study
from edgebench.variant import INTERMEDIATE_TASKS, Lineage, TrainingKind
from tests.evaluation.conftest import write_tokenizer
from tests.export.conftest import build
from tests.needed import need

need("torch", "transformers", "accelerate", "datasets")

pytestmark = pytest.mark.export
EXAMPLE = Path(__file__).parents[1] / "examples" / "intermediate_training"
LANGS = ("en", "sw", "zh", "ko")
KINDS = ("none", "english", "multilingual", "translated")
TINY = ("--batch", "2", "--max-len", "32", "--learning-rate", "1e-3")


@pytest.fixture(scope="module")
def example() -> Any:
    """A function that imports a module of the example."""
    sys.path.insert(0, str(EXAMPLE))
    yield importlib.import_module
    sys.path.remove(str(EXAMPLE))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder without any head, as pretrained ones are given away."""
    folder = tmp_path_factory.mktemp("pretrained") / "tiny"
    build("XLMRobertaModel", hidden_dropout_prob=0.1).save_pretrained(folder)
    write_tokenizer(folder)
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "mask_token": "<mask>", **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine articles in four languages, of which one has no spaces between words."""
    stream = random.Random(0)

    def article(words: int, joint: str) -> str:
        return joint.join("".join(stream.choices("abcdefghij", k=4)) for _ in range(words))

    articles = {lang: [article(40 + at, "" if lang == "zh" else " ") for at in range(9)] for lang in LANGS}
    path = tmp_path_factory.mktemp("text") / "parallel.json"
    path.write_text(json.dumps({"articles": articles}))
    return path


@pytest.fixture(scope="module")
def study(example: Any, checkpoint: Path, parallel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a variant of each kind and STUDY.toml."""
    folder = tmp_path_factory.mktemp("study")
    example("text_tasks").main([str(parallel), str(folder / "data"), "--train", "12", "--test", "9"])
    steps = ["--intermediate-steps", "2", "--target-steps", "2", "--langs", "en", "sw", "--formats", "onnx-fp32"]
    where = ["--from", str(checkpoint), "--out", str(folder)]
    example("run").main([*where, *steps, "--kinds", *KINDS, "--seeds", "1", "--", *TINY])
    return folder


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "data" / "train" / name).read_text().splitlines()]


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def test_every_kind_is_a_variant_whose_lineage_tells_it(study: Path) -> None:
    lineages = {
        kind: Lineage.from_json(json.loads((study / "variants" / f"{kind}-1" / "lineage.json").read_text()))
        for kind in KINDS
    }
    assert {kind: lineage.kind for kind, lineage in lineages.items()} == {kind: TrainingKind(kind) for kind in KINDS}
    assert {(each.base, each.target, each.seed) for each in lineages.values()} == {("tiny", "spans", 1)}
    assert lineages["english"].intermediate[0].languages == ("en",)
    assert lineages["translated"].intermediate[0].languages == tuple(sorted(LANGS))
    assert sorted(path.name for path in (study / "variants").iterdir()) == sorted(f"{kind}-1" for kind in KINDS)


def test_the_study_is_one_that_edgebench_reads(study: Path) -> None:
    found = read_study(study / "STUDY.toml")
    (task,) = found.tasks
    assert (task.name, task.data, task.langs) == ("xnli", study / "data", ("en", "sw"))
    assert [variant.name for variant in found.variants] == [f"{kind}-1" for kind in KINDS]
    assert [workload.lang for workload in found.workloads] == ["en", "sw"]
    assert [contrast.name for contrast in found.contrasts] == [f"{kind} against none" for kind in KINDS[1:]]


def test_what_is_exported_scores_what_the_example_says_in_torch(
    example: Any, study: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEBENCH_CACHE", str(cache))
    variant, data = study / "variants" / "multilingual-1", study / "data"
    evaluation = edgebench.evaluate(
        variant, tasks=["xnli"], data=data, langs=["sw", "zh"], format="onnx-fp32", store=tmp_path / "store"
    )
    in_torch = {lang: example("zero_shot").accuracy(variant, "xnli", lang, data) for lang in ("sw", "zh")}
    assert {score.lang: score.value for score in evaluation.scores} == pytest.approx(in_torch)


def overlap(first: str, second: str) -> bool:
    """Return whether a quarter to three quarters of the second text end or begin the first."""
    parts = range(len(second) // 4, 3 * len(second) // 4 + 1)
    return any(first.endswith(second[:at]) or first.startswith(second[at:]) for at in parts)


def test_held_out_articles_are_in_no_training_text(study: Path, parallel: Path) -> None:
    articles = json.loads(parallel.read_text())["articles"]
    for lang in ("en", "sw", "zh"):  # ko is none of XNLI's
        tested = [line.split("\t") for line in (study / "data" / "xnli" / f"test-{lang}.tsv").read_text().splitlines()]
        held_out = [articles[lang][at] for at in (2, 5, 8)]
        assert len(tested) == 9
        for first, second, label in tested:
            (home,) = [text for text in held_out if first in text]
            assert (second in first) == (label == "entailment")
            assert overlap(first, second) == (label == "neutral")
            assert second in home or label == "contradiction"
    trained = {row["first"] for name in ("spans.jsonl", "next.translated.jsonl") for row in rows(study, name)}
    trained |= {row["text"] for row in rows(study, "text.jsonl")}
    for at in (2, 5, 8):
        assert not [text for text in trained for lang in LANGS if text in articles[lang][at]]


def test_translated_is_the_english_task_in_every_language(study: Path) -> None:
    english, translated = (rows(study, f"next.{kind}.jsonl") for kind in ("english", "translated"))
    multilingual = rows(study, "next.multilingual.jsonl")
    assert [row for row in translated if row["lang"] == "en"] == english
    assert len(translated) == len(LANGS) * len(english)
    labels = {lang: [row["label"] for row in translated if row["lang"] == lang] for lang in LANGS}
    assert set(map(tuple, labels.values())) == {tuple(row["label"] for row in english)}
    assert len(multilingual) == len(english)
    assert len({row["lang"] for row in multilingual}) > 1


def test_a_seed_decides_the_weights(example: Any, study: Path, checkpoint: Path, tmp_path: Path) -> None:
    train = example("train")
    for name, seed in (("once", "1"), ("again", "1"), ("other", "2")):
        task = ["--task", "spans", "--data", str(study / "data"), "--steps", "2", "--seed", seed]
        train.main(["target", "--from", str(checkpoint), "--out", str(tmp_path / name), *task, *TINY])
    once, again, other = (weights(tmp_path / name) for name in ("once", "again", "other"))
    assert all((once[name] == again[name]).all() for name in once)
    assert any((once[name] != other[name]).any() for name in once)


def test_masked_words_before_and_beside_tasks(example: Any, study: Path, checkpoint: Path, tmp_path: Path) -> None:
    train = example("train")
    shared = ["--data", str(study / "data"), "--steps", "4", "--freeze-embeddings", *TINY]
    train.main(["mlm", "--from", str(checkpoint), "--out", str(tmp_path / "mlm"), *shared])
    beside = ["--task", "next", "order", "--kind", "multilingual", "--mlm"]
    train.main(["intermediate", "--from", str(tmp_path / "mlm"), "--out", str(tmp_path / "both"), *beside, *shared])
    lineage = Lineage.from_json(json.loads((tmp_path / "both" / "lineage.json").read_text()))
    assert [task.name for task in lineage.intermediate] == ["MLM", "next", "order", "MLM"]
    before, after = weights(tmp_path / "mlm"), weights(tmp_path / "both")
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert {"lm_head.dense.weight", "roberta.encoder.layer.0.attention.self.query.weight"} <= changed
    assert not [name for name in changed if "embeddings" in name]


def write_rows(data: Path, name: str, made: list[dict[str, Any]]) -> None:
    path = data / "train" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in made))


QUESTIONS = [
    {"context": "abc def ghi", "question": "jk", "answer": "def", "start": 4},
    {"context": "abc def ghi", "question": "lm", "answer": "", "start": -1},
    {"context": "abc " * 20 + "def", "question": "no", "answer": "def", "start": 80},
]


@pytest.mark.parametrize(
    ("made", "architecture"),
    [
        (QUESTIONS, "XLMRobertaForQuestionAnswering"),
        ([{"first": "abc", "choices": ["de", "fgh"], "label": 1}] * 2, "XLMRobertaForMultipleChoice"),
    ],
)
def test_other_heads_are_trained(
    example: Any, checkpoint: Path, tmp_path: Path, made: list[dict[str, Any]], architecture: str
) -> None:
    write_rows(tmp_path, "task", made)
    options = ["--from", str(checkpoint), "--out", str(tmp_path / "out"), "--task", "task", "--data", str(tmp_path)]
    example("train").main(["target", *options, "--steps", "2", *TINY])
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == [architecture]
    head = [name for name in weights(tmp_path / "out") if not name.startswith("roberta.")]
    assert head


def test_answers_stand_where_the_tokens_are(example: Any, checkpoint: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    write_rows(tmp_path, "task", QUESTIONS)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    task = example("tasks").load_task("task", "english", tmp_path)
    batch = example("heads").Encoder(tokenizer, max_len=32, max_len_question=32).batch(task, QUESTIONS)
    start, end = int(batch["start_positions"][0]), int(batch["end_positions"][0])
    assert tokenizer.convert_ids_to_tokens(batch["input_ids"][0, start : end + 1]) == ["d", "e", "f"]
    assert batch["start_positions"][1:].tolist() == [0, 0]  # none, and cut away


def test_data_sets_of_the_hub_become_rows(example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library `datasets` reads a folder as it reads the hub."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    tasks = example("tasks")
    made = [{"promptID": at, "premise": f"p{at}", "hypothesis": f"h{at}", "label": at - 1} for at in range(4)]
    source = tmp_path / "mnli"
    source.mkdir()
    (source / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    hub = replace(tasks.HUB["MNLI"], dataset=str(source))
    monkeypatch.setitem(tasks.HUB, "MNLI", hub)
    monkeypatch.setitem(tasks.HUB, "first two", replace(hub, labels=(), take=2))
    task = tasks.load_task("MNLI", "english", tmp_path)
    assert (task.head, task.labels, task.langs) == ("pair", ("entailment", "neutral", "contradiction"), ("en",))
    assert list(task.rows) == [
        {"first": f"p{at}", "second": f"h{at}", "label": tasks.NLI[at - 1]} for at in (1, 2, 3)
    ]  # the first has no label
    assert len(tasks.load_task("first two", "english", tmp_path).rows) == 2
    assert set(INTERMEDIATE_TASKS) - set(tasks.HUB) == {"CCG"}
    with pytest.raises(SystemExit, match="MNLI is there as english, not translated"):
        tasks.load_task("MNLI", "translated", tmp_path)
    with pytest.raises(SystemExit, match="hub's table has MNLI"):
        tasks.load_task("nothing", "english", tmp_path)
