"""Checkpoints become .tflite files that answer what torch answers in the runtimes that they are for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgebench
import edgebench_agent
from edgebench import RunPlan, Workload
from edgebench.artifact import Artifact, Format, WeightScales
from edgebench.device import find_device
from edgebench.errors import BoardError, CheckpointError, ConfigError, EdgebenchError, ExportError
from edgebench.evaluation.inference import infer_texts
from edgebench.events import Event, LogMessage
from edgebench.export import Exported, encode_texts, export_model
from edgebench.export.heads import HEADS
from edgebench.export.tflite_file import choose_buckets
from edgebench.export.tflite_runtimes import TFLITE_RUNTIMES, tflite_runtime_python
from edgebench.measure.preparation import prepare
from edgebench.request import Request
from tests.export.conftest import BUCKETS, MAX_SEQ_LEN, build
from tests.needed import need

np = pytest.importorskip("numpy")
need("torch", "litert_torch")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

pytestmark = pytest.mark.export
PER_TENSOR = "tflite-int8-per-tensor"
FORMATS = ("tflite-fp32", "tflite-int8", PER_TENSOR)
#: Those that tflite-runtime computes, too.
OF_EVERY_RUNTIME = ("tflite-fp32", PER_TENSOR)
#: Of one number, of outputs of about one.
TOLERANCE = {"tflite-fp32": 1e-4, "tflite-int8": 0.5, PER_TENSOR: 1.0}
SHORT = RunPlan(runs=1, min_count=3, min_duration_s=0.0, max_duration_s=30.0)


@pytest.fixture(scope="session")
def exported(tagger: Path, cache: Path) -> dict[str, Exported]:
    return {format: export_model(tagger, format, buckets=BUCKETS, cache=cache) for format in FORMATS}


@pytest.fixture(scope="session")
def old_runtimes(cache: Path) -> dict[str, Path]:
    """The Pythons of the older runtimes that this machine can have."""
    found = {}
    for version in TFLITE_RUNTIMES:
        try:
            found[version] = tflite_runtime_python(version, cache=cache)
        except BoardError as error:
            print(error)
    if not found:
        pytest.skip("tflite-runtime can't be installed here: no fitting Python, or no package index")
    return found


@pytest.mark.parametrize("format", FORMATS)
def test_an_input_of_any_length_is_answered_as_torch_answers_it(
    tagger: Path, exported: dict[str, Exported], format: str
) -> None:
    import torch
    import transformers

    texts = ["a", "abcdefghijklmn", "abcdefghijklmno", "z" * 62]  # 3, 16, 17 and 64 tokens
    artifact = exported[format].artifact
    answers = infer_texts(artifact, texts, device=find_device("local"))
    model = transformers.XLMRobertaForTokenClassification.from_pretrained(tagger).eval()
    inputs = encode_texts(artifact, texts)
    ends = np.cumsum(inputs.lengths)
    for answer, length, end, bucket in zip(answers, inputs.lengths, ends, (16, 16, 64, 64), strict=True):
        ids = torch.from_numpy(inputs.ids[end - length : end].astype(np.int64))[None]
        with torch.no_grad():
            expected = model(ids).logits.numpy()
        assert answer["logits"].shape == (1, bucket, 3)
        np.testing.assert_allclose(answer["logits"][:, :length], expected, atol=TOLERANCE[format])


@pytest.mark.parametrize("format", OF_EVERY_RUNTIME)
@pytest.mark.long
def test_older_runtimes_answer_the_same(
    exported: dict[str, Exported], old_runtimes: dict[str, Path], format: str
) -> None:
    texts = ["abc", "hello world", "z" * 62]
    artifact, local = exported[format].artifact, find_device("local")
    here = infer_texts(artifact, texts, device=local, runtime="ai-edge-litert")
    for python in old_runtimes.values():
        there = infer_texts(artifact, texts, device=local, runtime="tflite-runtime", python=str(python))
        for a, b in zip(here, there, strict=True):
            x, y = a["logits"].ravel(), b["logits"].ravel()
            assert x @ y / np.linalg.norm(x) / np.linalg.norm(y) > 0.999


def test_parity_is_told_for_every_runtime(exported: dict[str, Exported], old_runtimes: dict[str, Path]) -> None:
    for format, one in exported.items():
        artifact = one.artifact
        assert artifact.parity is not None and artifact.parity.examples >= 32
        assert artifact.parity.runtime is not None and artifact.parity.runtime.startswith("ai-edge-litert ")
        assert [parity.runtime for parity in artifact.parity_elsewhere] == [
            f"tflite-runtime {version}" for version in old_runtimes if format in OF_EVERY_RUNTIME
        ]
        assert all(parity.mean_cosine > 0.98 for parity in (artifact.parity, *artifact.parity_elsewhere))


def test_a_library_that_does_not_load_leaves_the_older_one_to_serve(
    old_runtimes: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").touch()
    (tmp_path / "ai_edge_litert" / "interpreter.py").write_text("raise ImportError('GLIBC_2.34 not found')")
    path = os.pathsep.join([str(tmp_path), str(Path(edgebench_agent.__file__).parent.parent)])
    ask = "from edgebench_agent.runtimes.registry import describe; print(describe('tflite').version)"

    def said_by(python: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.run([python, "-c", ask], env=environment, capture_output=True, text=True, check=False)

    for version, python in old_runtimes.items():
        assert said_by(python).stdout == f"tflite-runtime {version}\n"
    assert "GLIBC_2.34 not found" in said_by(sys.executable).stderr


@pytest.fixture(scope="session")
def unchecked(tagger: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with a file that was made where no older runtime could be installed."""
    folder = tmp_path_factory.mktemp("unchecked")
    with pytest.MonkeyPatch.context() as patch:
        take_offline(patch)
        artifact = export_model(tagger, "tflite-fp32", buckets=(16,), cache=folder).artifact
    assert artifact.parity_elsewhere == ()
    return folder


def take_offline(patch: pytest.MonkeyPatch) -> None:
    """Leave pip no package index."""
    patch.setenv("PIP_CONFIG_FILE", os.devnull)
    patch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    patch.setenv("PIP_RETRIES", "0")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        patch.delenv(name, raising=False)


@pytest.mark.long
def test_a_file_is_checked_in_further_runtimes_once_they_are_there(
    tagger: Path,
    cache: Path,
    unchecked: Path,
    old_runtimes: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = shutil.copytree(unchecked, tmp_path / "cache")
    said: list[str] = []

    def export() -> Artifact:
        return export_model(tagger, "tflite-fp32", buckets=(16,), cache=mine, on_progress=said.append).artifact

    with monkeypatch.context() as offline:
        take_offline(offline)
        before = export()
        assert before.parity_elsewhere == ()
        assert [line for line in said if line.startswith("not checked in tflite-runtime 2.14.0: can't install")]
    shutil.rmtree(mine / "environments")
    (mine / "environments").symlink_to(cache / "environments")
    killed = export_model(tagger, "tflite-fp32", buckets=(16,), cache=mine, on_progress=kill_exports)
    assert killed.artifact == before  # and what was good before still is
    checked = export()
    assert checked.files == before.files
    assert checked.model_path.stat().st_mtime_ns == before.model_path.stat().st_mtime_ns
    assert len(checked.parity_elsewhere) == len(old_runtimes)
    assert export() == checked


def test_a_runtime_that_does_not_answer_is_asked_again(
    tagger: Path, cache: Path, unchecked: Path, old_runtimes: dict[str, Path], tmp_path: Path
) -> None:
    mine = shutil.copytree(unchecked, tmp_path / "cache", ignore=shutil.ignore_patterns("environments"))

    def export() -> Artifact:
        return export_model(tagger, "tflite-fp32", buckets=(16,), cache=mine).artifact

    environments = mine / "environments"
    for version in old_runtimes:  # one whose library does not load
        folder = environments / f"tflite-runtime-{version}" / "bin"
        folder.mkdir(parents=True)
        (folder / "python").symlink_to(sys.executable)
        (folder.parent / ".complete").touch()
    broken = export()
    assert (broken.parity_elsewhere, broken.refused_by) == ((), {})
    shutil.rmtree(environments)
    environments.symlink_to(cache / "environments")
    assert len(export().parity_elsewhere) == len(old_runtimes)


@pytest.mark.long
def test_an_environment_without_its_python_is_made_anew(old_runtimes: dict[str, Path], tmp_path: Path) -> None:
    version, whole = next(iter(old_runtimes.items()))
    folder = shutil.copytree(whole.parents[1], tmp_path / "environments" / whole.parents[1].name, symlinks=True)
    python = folder / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python")
    assert tflite_runtime_python(version, cache=tmp_path) == python
    assert python.exists()
    assert python.readlink() == whole.readlink()


def test_a_file_has_one_signature_a_bucket_and_its_weights_once(exported: dict[str, Exported]) -> None:
    for format, one in exported.items():
        artifact = one.artifact
        assert (artifact.format, artifact.buckets, artifact.max_seq_len) == (Format(format), BUCKETS, 64)
        model = read(artifact)
        names = [model.SignatureDefs(i).SignatureKey().decode() for i in range(model.SignatureDefsLength())]
        assert sorted(names) == ["tokens_16", "tokens_64"]
        table = 300 * 32 * (4 if format == "tflite-fp32" else 1)
        sizes = [model.Buffers(i).DataLength() for i in range(model.BuffersLength())]
        assert sizes.count(table) == 1
    parameters = exported[PER_TENSOR].variant.parameters
    assert parameters == exported["tflite-fp32"].variant.parameters is not None


def test_a_channel_has_a_scale_and_all_lengths_share_it(exported: dict[str, Exported]) -> None:
    for format, rows, scales in (("tflite-int8", 300, WeightScales.CHANNEL), (PER_TENSOR, 1, WeightScales.TENSOR)):
        artifact = exported[format].artifact
        assert artifact.weight_scales is scales
        model = read(artifact)
        tables = [
            tensor
            for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength()))
            for tensor in (graph.Tensors(i) for i in range(graph.TensorsLength()))
            if tensor.ShapeAsNumpy().tolist() == [300, 32]
        ]
        assert len(tables) == len(BUCKETS)
        assert {table.Quantization().ScaleLength() for table in tables} == {rows}
        places = {table.Quantization()._tab.Vector(table.Quantization()._tab.Offset(8)) for table in tables}
        assert len(places) == 1  # the field of slot 8 is the scales


@pytest.mark.long
def test_constants_lie_inside_the_flatbuffer_where_processors_want_them(cache: Path) -> None:
    """The quantiser puts those of a larger model behind it, where tflite-runtime 2.13 does not look."""
    artifact = export_model("reference:tiny", "tflite-int8", buckets=[16], cache=cache).artifact
    model = read(artifact)
    constants = [model.Buffers(i) for i in range(model.BuffersLength())]
    assert all(constant.Offset() == 0 for constant in constants)
    starts = [c._tab.Vector(c._tab.Offset(4)) for c in constants if c.DataLength()]
    assert len(starts) > 10 and all(start % 16 == 0 for start in starts)
    assert artifact.parity is not None and artifact.bytes > 256 << 10


@pytest.mark.parametrize("task", [task for task in HEADS if task != "token-classification"])
@pytest.mark.long
def test_every_head_is_converted_and_quantised(task: str, cache: Path) -> None:
    artifact = export_model("reference:tiny", "tflite-int8", task=task, buckets=[16], cache=cache).artifact
    assert artifact.parity is not None
    assert [output.name for output in artifact.parity.outputs] == [output.name for output in HEADS[task].outputs]
    assert artifact.choices == (2 if HEADS[task].has_choices else None)
    measured = edgebench.profile(
        str(artifact.model_path),
        plan=SHORT,
        workload=Workload(seq_len=9),
        overhead=False,
        cold=False,
        store=cache / "store",
    )
    assert measured.valid, measured.reasons
    assert measured.padding is not None and measured.padding.cost == pytest.approx(16 / 9)
    assert measured.padding.tokens == (18 if HEADS[task].has_choices else 9)


def test_the_second_format_is_made_from_the_first(exported: dict[str, Exported], cache: Path, tagger: Path) -> None:
    said: list[str] = []
    again = export_model(tagger, "tflite-int8", buckets=BUCKETS, cache=cache, on_progress=said.append)
    assert again.cached and said == []
    artifact, base = again.artifact, exported["tflite-fp32"].artifact
    assert artifact.seconds is not None and base.seconds is not None and artifact.seconds > base.seconds


# --- on the agent -----------------------------------------------------------------------------------------------


def test_a_run_records_the_library_and_what_xnnpack_took(
    exported: dict[str, Exported], tagger: Path, cache: Path
) -> None:
    artifact = exported["tflite-fp32"].artifact
    measured = edgebench.profile(
        str(artifact.model_path),
        plan=SHORT,
        workload=Workload(seq_len=20),
        overhead=False,
        cold=False,
        store=cache / "store",
    )
    device, facts = measured.subject.device, measured.runs[0].facts
    assert device.runtime == "tflite" and str(device.runtime_version).startswith("ai-edge-litert ")
    assert facts.nodes is not None and facts.nodes["XNNPACK"] > facts.nodes.get("CPU", 0)
    assert measured.subject.workload["padding"] == "bucket"
    assert measured.padding is not None
    found = {"buckets": [16, 64], "tokens": 20, "padded_tokens": 64, "cost": 3.2, "rows": 1}
    assert measured.padding.to_json() == found
    assert measured.to_json()["padding"]["cost"] == 3.2


def test_the_older_runtime_is_measured_when_it_is_asked_for(
    exported: dict[str, Exported], old_runtimes: dict[str, Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEBENCH_CACHE", str(cache))
    measured = edgebench.profile(
        str(exported[PER_TENSOR].artifact.model_path), plan=SHORT, runtime="tflite-runtime", store=cache / "store",
        workload=Workload(seq_len=20), overhead=False, cold=False,
    )  # fmt: skip
    assert measured.valid
    assert measured.subject.device.runtime_version == "tflite-runtime 2.14.0"


def prepared(model: Path, device: edgebench.Device, **options: Any) -> tuple[Artifact, list[str]]:
    """Return what a session would measure, and what is said about it."""
    said: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, LogMessage):
            said.append(event.text)

    (row,) = prepare(Request(device=device, models=(str(model),), **options), note)
    return row.artifact, said


def test_the_runtime_that_will_run_it_decides_which_int8_is_made(
    exported: dict[str, Exported], old_runtimes: dict[str, Path], tagger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(source: str, format: Format, **_: Any) -> Exported:
        return exported[str(format)]

    monkeypatch.setattr("edgebench.measure.preparation.export_model", export)
    here = find_device("local")
    older = replace(here, python=str(next(iter(old_runtimes.values()))))
    int8 = {"formats": (Format.TFLITE_INT8,), "workloads": (Workload(seq_len=9),)}
    assert prepared(tagger, here, **int8) == (exported["tflite-int8"].artifact, [])
    instead = "local: tflite-runtime can't compute tflite-int8: tflite-int8-per-tensor is used instead"
    for device, runtime in ((older, None), (here, "tflite-runtime")):
        artifact, said = prepared(tagger, device, runtime=runtime, **int8)
        assert (artifact, said) == (exported[PER_TENSOR].artifact, [instead])
    both = {**int8, "formats": (Format.TFLITE_INT8, Format.TFLITE_INT8_PER_TENSOR)}
    assert prepared(tagger, older, **both) == (exported[PER_TENSOR].artifact, [instead])


def test_a_file_that_the_runtime_computes_wrong_is_refused_with_the_right_one(
    exported: dict[str, Exported], old_runtimes: dict[str, Path], tagger: Path, tmp_path: Path, cache: Path
) -> None:
    foreign = tmp_path / "foreign.tflite"
    shutil.copy(exported["tflite-int8"].artifact.model_path, foreign)
    taken = export_model(foreign, cache=cache).artifact
    assert (taken.format, taken.weight_scales) == (Format.TFLITE, WeightScales.CHANNEL)
    python = str(next(iter(old_runtimes.values())))
    for artifact in (replace(taken, tokenizer=str(tagger)), exported["tflite-int8"].artifact):
        with pytest.raises(BoardError, match=r"would be computed wrong.*one for each channel.*tflite-int8-per-tensor"):
            infer_texts(artifact, ["abc"], device=find_device("local"), python=python)
    for format, scales in ((PER_TENSOR, WeightScales.TENSOR), ("tflite-fp32", None)):
        shutil.copy(exported[format].artifact.model_path, foreign)
        assert export_model(foreign, cache=cache).artifact.weight_scales is scales


def test_a_runtime_that_the_board_lacks_is_named_with_what_installs_it(
    exported: dict[str, Exported], old_runtimes: dict[str, Path]
) -> None:
    artifact = exported["tflite-int8"].artifact
    python = str(next(iter(old_runtimes.values())))
    with pytest.raises(BoardError, match=r"lacks ai_edge_litert.*pip install --upgrade numpy ai-edge-litert"):
        infer_texts(artifact, ["abc"], device=find_device("local"), runtime="ai-edge-litert", python=python)


# --- what is there already --------------------------------------------------------------------------------------


def test_a_file_that_was_exported_keeps_what_is_known_of_it(tagger: Path, cache: Path, tmp_path: Path) -> None:
    out = export_model(tagger, "tflite-int8", buckets=BUCKETS, cache=cache, out=tmp_path).artifact
    taken = export_model(out.model_path, cache=cache).artifact
    assert (taken.format, taken.buckets, taken.parity, taken.tokenizer) == (
        Format.TFLITE_INT8, BUCKETS, out.parity, str(tagger)
    )  # fmt: skip
    assert encode_texts(taken, ["abc"]).lengths.tolist() == [5]


def test_int8_of_an_earlier_version_has_one_scale_a_tensor(tagger: Path, cache: Path, tmp_path: Path) -> None:
    out = export_model(tagger, PER_TENSOR, buckets=BUCKETS, cache=cache, out=tmp_path).artifact
    record = json.loads((out.path / "artifact.json").read_text())
    del record["weight_scales"]
    (out.path / "artifact.json").write_text(json.dumps(record | {"format": "tflite-int8"}))
    taken = export_model(out.path, cache=cache).artifact
    assert (taken.format, taken.weight_scales) == (Format.TFLITE_INT8_PER_TENSOR, WeightScales.TENSOR)


def test_a_file_that_is_not_the_recorded_one_is_taken_as_it_is(tagger: Path, cache: Path, tmp_path: Path) -> None:
    out = export_model(tagger, "tflite-int8", buckets=BUCKETS, cache=cache, out=tmp_path).artifact
    other = export_model(tagger, "tflite-fp32", buckets=BUCKETS, cache=cache).artifact
    shutil.copy(other.model_path, out.model_path)
    said: list[str] = []
    taken = export_model(out.model_path, cache=cache, on_progress=said.append).artifact
    assert taken.format is Format.TFLITE and taken.parity is None
    assert (taken.buckets, taken.max_seq_len) == (BUCKETS, 64)
    assert any("is not the file that artifact.json beside it tells of" in line for line in said)


def test_a_tflite_file_with_other_inputs_says_what_it_takes(
    exported: dict[str, Exported], tmp_path: Path, cache: Path
) -> None:
    path = renamed_inputs(exported, tmp_path / "other.tflite", input_ids="pixels", attention_mask="age")
    with pytest.raises(CheckpointError, match=r"takes no 'input_ids' \(it takes .*pixels.*\); try to convert it with"):
        export_model(path, cache=cache)


def test_a_tflite_file_that_wants_more_than_texts_is_refused_before_a_board_is_asked(
    exported: dict[str, Exported], tmp_path: Path, cache: Path
) -> None:
    path = renamed_inputs(exported, tmp_path / "aged.tflite", attention_mask="age")
    with pytest.raises(CheckpointError, match="also takes age, which edgebench does not make"):
        edgebench.profile(path, store=tmp_path / "store")
    assert not list((tmp_path / "store").glob("runs/*"))


def renamed_inputs(exported: dict[str, Exported], path: Path, **names: str) -> Path:
    """Write an exported file whose signatures have other names for their inputs."""
    import flatbuffers

    model = schema.ModelT.InitFromPackedBuf(exported["tflite-fp32"].artifact.model_path.read_bytes())
    for signature in model.signatureDefs:
        for entry in signature.inputs:
            name = entry.name.decode()
            entry.name = names.get(name, name)
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(builder.Output())
    return path


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 64])
def test_a_file_that_is_no_tflite_model_is_refused(tmp_path: Path, cache: Path, content: bytes) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is not a TFLite model|is empty \(0 bytes\)"):
        export_model(path, cache=cache)


# --- what is refused --------------------------------------------------------------------------------------------


def test_a_file_reaches_as_far_as_is_asked(own_cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "long"
    build("XLMRobertaForSequenceClassification", max_position_embeddings=602).save_pretrained(folder)
    said: list[str] = []

    def note_and_kill(text: str) -> None:
        said.append(text)
        kill_exports(text)  # each of the lengths would be converted by itself

    with pytest.raises(ExportError, match="killed"):
        export_model(folder, "tflite-fp32", max_seq_len=600, cache=own_cache, on_progress=note_and_kill)
    assert said[-1].endswith("for inputs of up to 32, 64, 128, 256, 512, 600 tokens")
    with pytest.raises(ConfigError, match=r"an input of 600 tokens, but .* in tflite-int8 takes at most 512"):
        edgebench.profile(folder, format="tflite-int8", workload=Workload(seq_len=600), store=tmp_path / "store")


def test_buckets_reach_as_far_as_the_model() -> None:
    assert choose_buckets(None, 512, where="m") == (32, 64, 128, 256, 512)
    assert choose_buckets(None, 4096, where="m") == (32, 64, 128, 256, 512)
    assert choose_buckets(None, 100, where="m") == (32, 64, 100)
    assert choose_buckets(None, 8, where="m") == (8,)
    assert choose_buckets([64, 16, 64], 64, where="m") == (16, 64)
    for wrong in ([65], [0], [16, 513], []):
        with pytest.raises(ConfigError, match=r"m: buckets must be 1\.\.64 tokens"):
            choose_buckets(wrong, 64, where="m")


def test_a_bucket_longer_than_the_model_is_refused_before_anything_is_done(tagger: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"buckets must be 1..{MAX_SEQ_LEN} tokens, the model's positions; got 65"):
        export_model(tagger, "tflite-fp32", buckets=[16, 65], cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_texts_longer_than_the_largest_bucket_are_counted_or_cut(exported: dict[str, Exported]) -> None:
    artifact = exported["tflite-int8"].artifact
    with pytest.raises(ConfigError, match=r"2 of 3 texts are longer than 64 tokens, the longest that the file is made"):
        encode_texts(artifact, ["a" * 63, "b", "c" * 80])
    cut = encode_texts(artifact, ["a" * 63, "b", "c" * 80], truncate=True)
    assert cut.lengths.tolist() == [64, 3, 64]
    assert cut.ids[63] == cut.ids[-1] == 2  # </s> ends what was cut, too


@pytest.mark.parametrize("format", ["onnx-int8", "tflite-int8"])
def test_a_session_refuses_texts_that_are_too_long_before_it_exports(
    tagger: Path, format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))
    workload = Workload(texts=("a", "b" * 80))
    with pytest.raises(ConfigError, match="1 of 2 texts are longer than 64 tokens"):
        edgebench.profile(tagger, format=format, workload=workload, store=tmp_path / "store")
    assert not list((tmp_path / "cache").glob("**/*.onnx"))


def test_tflite_takes_one_input_at_a_time(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tflite-int8 takes one input at a time, not batches of 2"):
        edgebench.profile("reference:tiny", format="tflite-int8", workload=Workload(batch=2), store=tmp_path)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"runtime": "tflite-runtime", "format": "onnx-int8"}, "tflite-runtime does not run onnx-int8"),
        ({"runtime": "tflite-runtim", "format": "tflite-int8"}, "did you mean 'tflite-runtime'"),
        ({"workload": Workload(choices=3), "format": "onnx-int8"}, "takes one sequence an example"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], message: str
) -> None:
    monkeypatch.setenv("EDGEBENCH_CACHE", str(cache))
    with pytest.raises(EdgebenchError, match=message):
        edgebench.profile("reference:tiny", store=tmp_path, **wanted)


@pytest.mark.long
def test_a_file_for_another_number_of_choices_answers_as_torch_does(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEBENCH_CACHE", str(cache))
    folder = tmp_path / "choosing"
    build("XLMRobertaForMultipleChoice").save_pretrained(folder)
    artifact = export_model(folder, "tflite-fp32", buckets=(16,), choices=3, cache=cache).artifact
    assert artifact.choices == 3
    assert artifact.parity is not None
    assert artifact.parity.max_abs_diff < 1e-4
    workload = Workload(seq_len=9, choices=3)
    measured = edgebench.profile(artifact.path, workload=workload, plan=SHORT, store=tmp_path / "store")
    assert measured.padding is not None
    assert measured.padding.tokens == 27


def test_an_artifact_of_other_choices_is_refused(exported: dict[str, Exported]) -> None:
    from edgebench.measure.inputs import encode, resolve_workload

    artifact = replace(exported["tflite-int8"].artifact, head="XLMRobertaForMultipleChoice", choices=2)
    assert resolve_workload(artifact, Workload(seq_len=9)).choices == 2
    assert encode(artifact, resolve_workload(artifact, Workload(seq_len=9))).lengths.tolist() == [9, 9]
    with pytest.raises(ConfigError, match="is made for 2 choices, not 4"):
        resolve_workload(artifact, Workload(seq_len=9, choices=4))
    with pytest.raises(ConfigError, match="3 texts are no multiple of 2 choices"):
        encode(artifact, resolve_workload(artifact, Workload(texts=("a", "b", "c"))))
    with pytest.raises(ConfigError, match=r"an input of 65 tokens, but .* takes at most 64"):
        resolve_workload(artifact, Workload(seq_len=65))


def test_a_converter_that_is_killed_says_so_and_leaves_nothing(tagger: Path, own_cache: Path) -> None:
    with pytest.raises(ExportError, match="killed by signal 9, probably for want of memory"):
        export_model(tagger, "tflite-int8", buckets=[16], cache=own_cache, on_progress=kill_exports)
    assert not list((own_cache / "artifacts").iterdir())


def test_a_missing_converter_is_named_with_its_extra() -> None:
    from edgebench.export.recipes import versions

    with pytest.raises(EdgebenchError, match=r"no-such-converter.*pip install 'edgebench\[tflite\]'"):
        versions(("no-such-converter",), extra="tflite")


def kill_exports(_: str) -> None:
    """Kill the children that export, as the kernel does for want of memory."""
    psutil = pytest.importorskip("psutil")
    for child in psutil.Process().children():
        if "edgebench.export.worker" in child.cmdline():
            child.send_signal(signal.SIGKILL)


def read(artifact: Artifact) -> Any:
    return schema.Model.GetRootAs(artifact.model_path.read_bytes())
