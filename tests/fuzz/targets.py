"""Targets: for each kind of input, the function through which such bytes come in, as a file or as a board's stream.

A target runs the real entry point, and what reads the result next where that interprets it further. It raises what the
entry point raises; `bounds.feed` says which of that is a refusal.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from edgebench.board.agent import RemoteAgent
from edgebench.board.bootstrap import InstalledAgent
from edgebench.board.device_config import write_device
from edgebench.board.facts import SystemFacts
from edgebench.board.power import refusals_of, states_of
from edgebench.board.transport.base import Transport
from edgebench.board.transport.known_hosts import known_keys, listed_keys
from edgebench.device import read_devices, read_profile
from edgebench.errors import ConfigError, EdgebenchError, ScoresError, StoreError
from edgebench.gating.baseline import read_baseline, workload_of
from edgebench.gating.budgets import read_budgets
from edgebench.input_texts import read_input_texts
from edgebench.measure.collect import RunCollector, taker
from edgebench.measurement import measurements_to_json
from edgebench.reporting import details_of, list_of_measurements
from edgebench.store import documents
from edgebench.store.documents import Documents
from edgebench.store.placing import place_of
from edgebench.store.result_files import measurement_ids
from edgebench.store.runs import RunFolder, measurements_by_figures, measurements_of
from edgebench.store.traces import write_trace
from edgebench.study.file import read_study
from edgebench.xtreme_r import answer_files, example_readers
from edgebench.xtreme_r.decoding import labels_of_checkpoint
from edgebench.xtreme_r.importer_formats import Provenance
from edgebench.xtreme_r.importers import import_scores
from edgebench.xtreme_r.pair_reader import read_pairs_task
from edgebench.xtreme_r.tasks import find_task
from edgebench.xtreme_r.word_reader import read_words_task
from edgebench_agent import protocol
from edgebench_agent.home import Home
from edgebench_agent.lease import lease_command
from edgebench_agent.protocol.failure import Failure
from edgebench_agent.storage import environments
from tests import sample_runs
from tests.sample_spec import SPEC

MS, SECOND = 1_000_000, 1_000_000_000
SHA256 = "0" * 64


def _nothing(_: Path) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Target:
    """One kind of input.

    Args:
        run: reads the bytes; the folder is for the file that they stand in.
        syntax: of its inputs, for `mutations`: json, lines (of JSON), toml or text.
        refusals: what it may raise.
        prepare: makes what must be in the folder beside the input.
        needs: modules of an extra, without which it can't run.
    """

    run: Callable[[bytes, Path], None]
    syntax: str
    refusals: tuple[type[Exception], ...] = (EdgebenchError,)
    prepare: Callable[[Path], None] = _nothing
    needs: tuple[str, ...] = ()


def _file(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# --- a board --------------------------------------------------------------------------------------------------------


class _Output:
    """A command's output that was recorded; what is written to it is dropped."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, limit: int, *, timeout_s: float) -> bytes:
        chunk, self._data = self._data[:limit], self._data[limit:]
        return chunk

    def write(self, data: bytes | memoryview) -> None:
        pass

    def end_input(self) -> None:
        pass

    def wait(self, *, timeout_s: float) -> int:
        return 0

    def stderr(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


class _Board(Transport):
    """A board that answers each command with the same bytes."""

    name, shares_files = "board", False

    def __init__(self, data: bytes) -> None:
        self._data = data

    def connect(self) -> None:
        pass

    def start(self, argv: Sequence[str]) -> _Output:
        return _Output(self._data)

    def close(self) -> None:
        pass


def _agent(data: bytes) -> RemoteAgent:
    installed = InstalledAgent(
        path="agent",
        python="python3",
        python_version=(3, 11),
        base_python=None,
        system=SystemFacts(),
        may_be_set_up=True,
        runtimes={},
        intact=frozenset(),
    )
    return RemoteAgent(_Board(data), installed)


def _journal(data: bytes, _: Path) -> None:
    """The journal of a run, followed, checked and collected; the end of a journal that has none is a refusal."""
    collector = RunCollector(SPEC, agent_sha256=SHA256)
    take = taker(SPEC, [collector], name="board", is_past=True)
    for entry in _agent(data).follow(SPEC.run_id):
        take(entry)
    collector.run()


def _reply(data: bytes, _: Path) -> None:
    """The answer to each command that interprets it."""
    agent = _agent(data)
    show_power = protocol.PowerRequest(do="show")
    ask: list[Callable[[], object]] = [
        lambda: agent.probe(["onnxruntime"]),
        lambda: agent.load(seconds=1),
        agent.temperatures,
        lambda: str(agent.lease(protocol.LeaseRequest(do="show")).holder),
        lambda: (states_of(agent.power(show_power)), refusals_of(agent.power(show_power))),
        lambda: agent.make_environment(protocol.InstallSpec(SHA256, []), python="python3"),
        lambda: agent.runs(""),
    ]
    _each(ask, EdgebenchError)


def _each(actions: Sequence[Callable[[], object]], refusal: type[Exception]) -> None:
    """Do all; raise the first refusal if every one of them refuses."""
    first: Exception | None = None
    accepted = False
    for action in actions:
        try:
            action()
            accepted = True
        except refusal as error:
            first = first or error
    if first is not None and not accepted:
        raise first


def _agent_job(data: bytes, folder: Path) -> None:
    """What the agent gets on its standard input. A valid launch would start a run: its specification is only read."""
    home = Home(folder / "home")

    def run_spec() -> None:
        for part in protocol.RunSpec.from_json(data).parts():
            part.model_files()

    _each(
        [
            run_spec,
            lambda: protocol.PowerRequest.from_json(data),
            lambda: lease_command.handle(home, data),
            lambda: environments.install(home, data),
            lambda: environments.adopt(home, data),
            lambda: environments.drop(home, data),
        ],
        _REFUSED_BY_AGENT,
    )


#: What the agent answers as {"ok": false, "kind": ...}; its commands make a Failure of a ProtocolError.
_REFUSED_BY_AGENT = (Failure, protocol.ProtocolError)


def _home(folder: Path) -> None:
    Home(folder / "home").create()


# --- settings and studies ------------------------------------------------------------------------------------------


def _profile(data: bytes, folder: Path) -> None:
    read_profile(_file(folder, "board.toml", data))


def _devices(data: bytes, folder: Path) -> None:
    """edgebench.toml: its boards, its budgets, and one more board, which keeps what is there."""
    path = _file(folder, "edgebench.toml", data)
    read_devices(path)
    read_budgets(folder)
    write_device(path, "new-board", {"host": "10.0.0.9"})


def _study(data: bytes, folder: Path) -> None:
    read_study(_file(folder, "STUDY.toml", data))


def _study_files(folder: Path) -> None:
    (folder / "data").mkdir(exist_ok=True)
    (folder / "scores.csv").touch()


# --- scores, answers and texts ---------------------------------------------------------------------------------------


def _scores(data: bytes, folder: Path) -> None:
    path = _file(folder, "scores/results.json", data)
    given = [
        Provenance(variant="a", task="xnli", lang="sw"),
        Provenance(variant="a", task="xquad", lang="ar"),
        Provenance(variant="a", scale=1),
    ]
    _each([partial(import_scores, path, each) for each in given], EdgebenchError)


def _answers(data: bytes, folder: Path) -> None:
    path = _file(folder, "answers/test-sw.json", data)
    _each(
        [
            lambda: answer_files.read_labels(path, find_task("xnli")),
            lambda: answer_files.check_line_numbers(path, answer_files.read_labels(path, find_task("tatoeba")), 3),
            lambda: answer_files.read_tags(path, find_task("panx")),
            lambda: answer_files.read_choices(path, find_task("xcopa")),
            lambda: answer_files.read_pairs(path),
            lambda: answer_files.read_answers(path),
            lambda: answer_files.read_rankings(path),
            lambda: answer_files.read_right_answers(path),
        ],
        ScoresError,
    )


def _examples(data: bytes, folder: Path) -> None:
    """The examples of tasks, in the layout of XTREME's scripts."""
    path = _file(folder, "examples/task/test-sw.txt", data)
    readers = {
        "xnli": read_pairs_task,
        "panx": read_words_task,
        "udpos": read_words_task,
        "xcopa": example_readers.read_choices_task,
        "xquad": example_readers.read_questions_task,
        "tatoeba": example_readers.read_tatoeba,
        "bucc2018": example_readers.read_bucc,
        "mewslix": example_readers.read_mewslix,
        "lareqa": example_readers.read_lareqa,
    }

    def read(name: str) -> None:
        task = find_task(name)
        readers[name](task, task.langs[0], [path] * len(task.langs if name == "lareqa" else (1, 2)))

    _each([partial(read, name) for name in readers], ScoresError)


def _texts(data: bytes, folder: Path) -> None:
    paths = [_file(folder, f"texts/texts.{suffix}", data) for suffix in ("txt", "json", "csv")]
    _each([partial(read_input_texts, path) for path in paths], ConfigError)


# --- a store and results ----------------------------------------------------------------------------------------------


def _run_json(data: bytes, folder: Path) -> None:
    """A run of a store, as `runs list` and `runs show` read and print it."""
    _file(folder, "store/runs/a/run.json", data)
    stored = list(RunFolder(place_of(folder / "store")).each())
    listed, shown = measurements_by_figures(stored), measurements_of(stored)
    json.dumps([measurements_to_json(listed), measurements_to_json(shown)])
    console = Console(file=io.StringIO())
    console.print(list_of_measurements(listed), *map(details_of, shown))


def _trace(folder: Path) -> None:
    (folder / "store/runs/a").mkdir(parents=True, exist_ok=True)
    if not (folder / "store/runs/a/trace.parquet").exists():
        write_trace(folder / "store/runs/a/trace.parquet", sample_runs.trace([10 * MS] * 20))


def _documents(data: bytes, folder: Path) -> None:
    """The other documents of a store, and what results have of them."""
    kinds = (documents.operators, documents.cold_starts, documents.searches, documents.evaluations)

    def read(kind: Documents[Any]) -> None:
        _file(folder, f"store/{kind.folder.name}/a.json", data)
        found = kind.read("a")
        assert found is not None
        repr(found)
        json.dumps(found.to_json())

    _each([partial(read, kind(place_of(folder / "store"))) for kind in kinds], StoreError)


def _baseline(data: bytes, folder: Path) -> None:
    baseline = read_baseline(_file(folder, "baseline.json", data))
    baseline.score_rows()
    workload_of(baseline, texts=("a text",))


def _result(data: bytes, folder: Path) -> None:
    measurement_ids(_file(folder, "result.json", data))


# --- a checkpoint ---------------------------------------------------------------------------------------------------


def _config(data: bytes, folder: Path) -> None:
    """config.json of a checkpoint whose weights and tokenizer are there."""
    from edgebench.export.checkpoint import open_checkpoint

    _file(folder, "checkpoint/config.json", data)
    open_checkpoint(folder / "checkpoint", source="checkpoint", task=None)


def _weights_header(data: bytes, folder: Path) -> None:
    from edgebench.export.checkpoint import open_checkpoint

    _file(folder, "checkpoint/model.safetensors", data)
    open_checkpoint(folder / "checkpoint", source="checkpoint", task=None)


def _modules(data: bytes, folder: Path) -> None:
    """The files of sentence-transformers, one line each."""
    from edgebench.export.sentence_modules import module_paths, read_modules

    for name, line in zip(_SENTENCE_FILES, [*data.split(b"\n"), *[b"{}"] * len(_SENTENCE_FILES)], strict=False):
        _file(folder, f"sentence/{name}", line)
    module_paths(folder / "sentence")
    read_modules(folder / "sentence", hidden_size=8)


_SENTENCE_FILES = (
    "modules.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)


def _weights_index(data: bytes, folder: Path) -> None:
    """The index of weights in several files, beside a config.json."""
    from edgebench.export.checkpoint import open_checkpoint

    _file(folder, "sharded/model.safetensors.index.json", data)
    open_checkpoint(folder / "sharded", source="checkpoint", task=None)


def _shards(folder: Path) -> None:
    _file(folder, "sharded/config.json", json.dumps(CONFIG).encode())
    _file(folder, "sharded/model-00001-of-00001.safetensors", b"")


def _labels(data: bytes, folder: Path) -> None:
    """What config.json says of the outputs: the labels of a task."""
    _file(folder, "labels/config.json", data)
    labels_of_checkpoint(folder / "labels", find_task("xnli"))


def _tokenizer(data: bytes, folder: Path) -> None:
    from edgebench.export.segments import find_separator
    from edgebench.export.tokenizer_loading import encode_with, load_vocabulary

    path = _file(folder, "tokenizer/tokenizer.json", data).parent
    find_separator(path)
    load_vocabulary(str(path))
    encode_with(str(path), ["habari ya asubuhi", "", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 A1"])


def _tokenizer_settings(data: bytes, folder: Path) -> None:
    from edgebench.export.segments import find_separator
    from edgebench.export.tokenizer_checks import refuse_broken_files

    path = _file(folder, "settings/tokenizer_config.json", data).parent
    find_separator(path)
    refuse_broken_files(path)


def _lineage(data: bytes, folder: Path) -> None:
    from edgebench.export.checkpoint import read_lineage

    _file(folder, "lineage/lineage.json", data)
    read_lineage(folder / "lineage")


def _artifact_record(data: bytes, folder: Path) -> None:
    """artifact.json beside a model file, as an export leaves it."""
    from edgebench.export.existing import existing_file, exported_before

    _file(folder, "artifact/artifact.json", data)
    existing_file(folder / "artifact")
    exported_before(folder / "artifact/model.onnx", cache=folder / "cache", on_progress=lambda _: None)


CONFIG = {
    "model_type": "xlm-roberta",
    "architectures": ["XLMRobertaForSequenceClassification"],
    "vocab_size": 16,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 16,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "layer_norm_eps": 1e-5,
    "id2label": {"0": "a", "1": "b"},
}


def _checkpoint(folder: Path) -> None:
    header = b'{"roberta.embeddings.word_embeddings.weight":{"dtype":"F32","shape":[16,8],"data_offsets":[0,512]}}'
    _file(folder, "checkpoint/config.json", json.dumps(CONFIG).encode())
    _file(folder, "checkpoint/model.safetensors", len(header).to_bytes(8, "little") + header + bytes(512))


def _dense(folder: Path) -> None:
    _file(folder, "sentence/2_Dense/model.safetensors", b"")


def _model(folder: Path) -> None:
    _file(folder, "artifact/model.onnx", b"")


# --- a network ------------------------------------------------------------------------------------------------------


def _known_hosts(data: bytes, folder: Path) -> None:
    path = _file(folder, "known_hosts", data)
    for name in ("pi4", "[pi4.lab]:2222", "10.0.0.5", "fe80::1"):
        known_keys(name, [path])
    with suppress(ValueError):  # which the caller makes a HostKeyError of
        listed_keys(data.decode(errors="replace"))


TARGETS = {
    "journal": Target(run=_journal, syntax="lines"),
    "reply": Target(run=_reply, syntax="json"),
    "agent-job": Target(run=_agent_job, syntax="json", refusals=_REFUSED_BY_AGENT, prepare=_home),
    "profile": Target(run=_profile, syntax="toml"),
    "devices": Target(run=_devices, syntax="toml"),
    "study": Target(run=_study, syntax="toml", prepare=_study_files),
    "scores": Target(run=_scores, syntax="json"),
    "answers": Target(run=_answers, syntax="json"),
    "examples": Target(run=_examples, syntax="lines"),
    "texts": Target(run=_texts, syntax="json"),
    "run": Target(run=_run_json, syntax="json", prepare=_trace),
    "documents": Target(run=_documents, syntax="json"),
    "baseline": Target(run=_baseline, syntax="json"),
    "result": Target(run=_result, syntax="json"),
    "config": Target(run=_config, syntax="json", prepare=_checkpoint),
    "weights-header": Target(run=_weights_header, syntax="text", prepare=_checkpoint),
    "modules": Target(run=_modules, syntax="lines", prepare=_dense),
    "weights-index": Target(run=_weights_index, syntax="json", prepare=_shards),
    "labels": Target(run=_labels, syntax="json"),
    "tokenizer": Target(run=_tokenizer, syntax="json", needs=("tokenizers",)),
    "tokenizer-settings": Target(run=_tokenizer_settings, syntax="json"),
    "lineage": Target(run=_lineage, syntax="json"),
    "artifact": Target(run=_artifact_record, syntax="json", prepare=_model),
    "known-hosts": Target(run=_known_hosts, syntax="text"),
}
