"""Plans: what a file takes, said from config.json alone, and what a board has room for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgebench.artifact import EXPORT_FORMATS, Artifact, ArtifactFile, Format
from edgebench.cli import command as root
from edgebench.device import load_profile
from edgebench.errors import BoardError, CheckpointError, ConfigError, UnknownName
from edgebench.facts import DeviceFacts
from edgebench.measure import plan_export
from edgebench.planning import BoardMemory, Observed, Shape, check_memory, memory_of_profile, predict
from edgebench.prediction import Fit, ModelSizes, Prediction, relative_error
from tests.schemas import check_schema

E5 = {  # multilingual-e5-small
    "model_type": "xlm-roberta",
    "architectures": ["XLMRobertaModel"],
    "vocab_size": 250037,
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "pad_token_id": 1,
}
#: Bytes of its real exports (docs/evidence/predictions.md).
E5_BYTES = {
    "onnx-fp32": 470_108_275,
    "onnx-fp16": 235_095_744,
    "onnx-int8": 119_081_699,
    "onnx-int4": 76_077_120,
    "tflite-fp32": 474_421_248,
    "tflite-int8": 125_545_008,
    "tflite-int8-per-tensor": 122_041_536,
}
SIZES = ModelSizes(
    largest_bytes=96_000_000,
    parameters=117_500_000,
    matrix_parameters=21_200_000,
    hidden_size=384,
    intermediate_size=1536,
    heads=12,
)


@pytest.fixture
def config_only(tmp_path: Path) -> Path:
    """A folder that has config.json and nothing else."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(E5))
    return folder


def predicted(peak: int, *, mapped: int = 0) -> Prediction:
    return Prediction(
        runtime="onnxruntime",
        batch=1,
        seq_len=128,
        file_bytes=peak // 2,
        load_rss_bytes=peak,
        run_rss_bytes=peak // 2,
        range_ratio=0.1,
        mapped_bytes=mapped,
    )


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_the_size_of_a_published_encoder_is_predicted_from_its_config(config_only: Path, format: Format) -> None:
    (plan,) = plan_export(config_only, [format])
    assert plan.file_bytes == pytest.approx(E5_BYTES[format], rel=0.002)
    assert plan.parameters == 117_506_304
    assert plan.prediction is not None
    assert plan.prediction.peak_rss_bytes > 0


def test_a_plan_imports_nothing_large(config_only: Path, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom edgebench.measure import plan_export\n"
        f"plan_export({str(config_only)!r}, ['all'], device='pi4', store={str(tmp_path / 'store')!r})\n"
        "print(sorted({'torch', 'transformers', 'onnx', 'litert_torch', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_plan_says_whether_the_file_fits_a_board(config_only: Path, tmp_path: Path) -> None:
    plans = plan_export(config_only, ["onnx-int8", "onnx-fp32"], device="pi-zero-2w", store=tmp_path)
    assert [plan.fit for plan in plans] == [Fit.FITS, Fit.TOO_LARGE]
    (large,) = plan_export("reference:large", ["onnx-int8"], device="pi4", store=tmp_path)
    assert large.board is not None and large.prediction is not None
    assert large.fit is not Fit.FITS
    assert large.board.memory.smallest_fitting(large.prediction) == 2 << 30


def test_a_plan_for_a_device_without_a_memory_figure_says_so(tmp_path: Path) -> None:
    (plan,) = plan_export("reference:tiny", device="generic-linux", store=tmp_path)
    assert plan.fit is Fit.UNKNOWN
    assert plan.notes == ("generic-linux has no memory figure: whether the file fits is not known",)
    assert plan.to_json()["memory_bytes"] is None


def test_longer_and_larger_batches_need_more_memory(config_only: Path) -> None:
    def running(**shape: Any) -> int:
        (plan,) = plan_export(config_only, **shape)
        assert plan.prediction is not None
        return plan.prediction.run_rss_bytes

    assert running(seq_len=32) < running(seq_len=512) < running(seq_len=512, batch=8)


def test_a_bucket_fixes_the_length_of_a_tflite_input(config_only: Path) -> None:
    (plan,) = plan_export(config_only, ["tflite-int8"], seq_len=100, buckets=[64, 256])
    assert plan.prediction is not None
    assert plan.prediction.seq_len == 256


def test_a_tflite_file_beyond_its_largest_size_is_noted(tmp_path: Path) -> None:
    (plan,) = plan_export("reference:large", ["tflite-fp32"])
    assert "can't be made" in plan.notes[0]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"device": "pi99"}, UnknownName, "unknown device"),
        ({"seq_len": 513}, ConfigError, r"seq_len must be 1\.\.512"),
        ({"seq_len": 0}, ConfigError, "seq_len"),
        ({"batch": 0}, ConfigError, "batch must be >= 1"),
        ({"keep_langs": ["en"]}, ConfigError, "has no tokenizer"),
        ({"task": "poetry"}, UnknownName, "unknown task"),
    ],
)
def test_a_plan_refuses_what_an_export_would(
    config_only: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        plan_export(config_only, store=tmp_path, **options)


def test_a_config_that_is_no_encoders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(CheckpointError, match="no supported architecture"):
        plan_export(tmp_path)


def test_the_command_plans_and_its_json_fits_its_schema(config_only: Path, tmp_path: Path) -> None:
    options = ["export", "--plan", "--model", str(config_only), "--format", "all", "--device", "pi-zero-2w"]
    shown = CliRunner().invoke(root, [*options, "--store", str(tmp_path / "store")])
    assert shown.exit_code == 0, shown.output
    assert "does not fit" in shown.output
    assert "three quarters" in shown.output
    written = CliRunner().invoke(root, [*options, "--store", str(tmp_path / "store"), "--json", "-"])
    document = json.loads(written.stdout)
    check_schema(document, "export-plan")
    assert [plan["format"] for plan in document["plans"]] == [str(format) for format in EXPORT_FORMATS]
    assert {plan["prediction"]["load_ms"] for plan in document["plans"]} == {None}
    assert not (tmp_path / "store").exists()


def test_a_disk_that_is_full_leaves_no_half_of_a_plan(config_only: Path, tmp_path: Path) -> None:
    script = (
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\nfrom edgebench.cli import main\nmain()"
    )
    target = tmp_path / "plan.json"
    options = ["export", "--plan", "--model", str(config_only), "--json", str(target), "--store", str(tmp_path / "s")]
    done = subprocess.run([sys.executable, "-B", "-c", script, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"edgebench: can't write {target}: ")
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


@pytest.mark.parametrize("options", [["--device", "pi4"], ["--batch", "2"], ["--plan", "--out", "x"]])
def test_options_of_a_plan_go_with_a_plan_only(options: list[str]) -> None:
    result = CliRunner().invoke(root, ["export", "--model", "reference:tiny", *options])
    assert result.exit_code == 2 or isinstance(result.exception, ConfigError)


def test_the_range_of_a_prediction_decides_between_fits_tight_and_not() -> None:
    one = predicted(300)
    assert one.peak_rss_range == (270, 330)
    assert [one.fit(available_bytes=free) for free in (330, 329, 270, 269)] == [
        Fit.FITS,
        Fit.TIGHT,
        Fit.TIGHT,
        Fit.TOO_LARGE,
    ]
    assert predicted(300, mapped=100).fit(available_bytes=170) is Fit.TIGHT  # the kernel can drop what is mapped


def test_of_a_board_that_was_never_read_a_quarter_is_taken_to_be_in_use() -> None:
    memory = BoardMemory(total=400)
    assert [memory.fit(predicted(peak)) for peak in (270, 280, 440, 500)] == [
        Fit.FITS,
        Fit.TIGHT,
        Fit.TIGHT,
        Fit.TOO_LARGE,
    ]
    assert BoardMemory().fit(predicted(1)) is Fit.UNKNOWN
    assert memory_of_profile(load_profile("pi3")).total == 512 << 20


def test_what_cannot_fit_is_refused_and_what_may_not_is_reported(tmp_path: Path) -> None:
    artifact = Artifact(
        format=Format.ONNX_INT8, files=(ArtifactFile(name="model.onnx", sha256="0" * 64, bytes=1),), path=tmp_path
    )
    one = predicted(300_000_000)
    free = DeviceFacts(memory_available_bytes=250_000_000)
    with pytest.raises(BoardError, match=r"pi: model\.onnx .* need 300 MB of memory \(±10 %\), .* has 250 MB free"):
        check_memory("pi", artifact, one, free)
    assert check_memory("pi", artifact, one, replace(free, swap_bytes=100_000_000)) is not None
    assert check_memory("pi", artifact, one, DeviceFacts(memory_available_bytes=400_000_000)) is None
    assert check_memory("pi", artifact, one, DeviceFacts()) is None
    assert check_memory("pi", artifact, None, free) is None
    limited = DeviceFacts(memory_available_bytes=400_000_000, memory_limit_bytes=200_000_000)
    with pytest.raises(BoardError, match="200 MB free"):
        check_memory("pi", artifact, one, limited)


def test_what_a_board_showed_before_replaces_what_is_shipped() -> None:
    def of(observed: Observed | None) -> Prediction:
        found = predict(Format.ONNX_INT8, 119_000_000, SIZES, Shape(), observed=observed)
        assert found is not None
        return found

    assert of(None).load_ms is None  # no time is made up
    seen = of(Observed(imported_rss_bytes=152_000_000, load_ns_per_byte=2.0))
    assert seen.peak_rss_bytes - of(None).peak_rss_bytes == 100_000_000
    assert seen.load_ms == pytest.approx(238)
    small = predict(Format.ONNX_INT8, 1_000_000, SIZES, Shape(), observed=Observed(load_ns_per_byte=2.0))
    assert small is not None
    assert small.load_ms is None


def test_a_runtime_of_which_nothing_is_known_has_no_prediction() -> None:
    assert predict(Format.TFLITE_FP32, 1, SIZES, Shape(), runtime="onnxruntime-qnn") is None


def test_a_prediction_survives_the_store_and_its_error_is_relative_to_what_was_measured() -> None:
    one = predicted(412_000_000)
    assert Prediction.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert relative_error(412, 398) == pytest.approx(0.0352, abs=1e-4)
    assert relative_error(412, None) is relative_error(None, 398) is None


@pytest.mark.export
def test_a_profile_stores_its_prediction_and_shows_its_error(cache: Path, tmp_path: Path) -> None:
    import edgebench
    from edgebench.measurement import measurements_to_json
    from edgebench.reporting.table import predicted_text
    from edgebench.store import Store

    plan = edgebench.RunPlan(runs=1, min_count=3, min_duration_s=0, max_warmup_s=0)
    store = Store(tmp_path / "store")
    edgebench.profile("reference:tiny", plan=plan, store=store, overhead=False, cold=False)
    (measured,) = store.measurements()
    found, peak = measured.subject.prediction, measured.runs[0].memory.peak_rss
    assert found is not None and peak is not None
    assert found.file_bytes == measured.subject.artifact.bytes
    assert found.peak_rss_bytes == pytest.approx(peak, rel=0.25)  # of which other versions of runtimes need a part
    document = json.loads(json.dumps(measurements_to_json([measured])))
    check_schema(document, "profile")
    assert document["measurements"][0]["prediction"]["peak_rss_bytes"] == found.peak_rss_bytes
    if measured.memory_bytes.peak_rss is not None:
        assert predicted_text(measured).startswith(f"predicted peak {found.peak_rss_bytes / 1e6:.0f} MB, measured")
    (later,) = plan_export("reference:tiny", device="local", store=store)
    assert later.board is not None
    before = [run.memory.before_load or 0 for run in measured.runs]  # one that is not valid is repeated
    assert min(before) <= (later.board.observed["onnxruntime"].imported_rss_bytes or 0) <= max(before)


@pytest.mark.export
def test_the_size_of_an_export_is_predicted_and_a_copied_file_keeps_its_sizes(cache: Path, tmp_path: Path) -> None:
    import edgebench

    (plan,) = plan_export("reference:tiny", ["onnx-int8"])
    exported = edgebench.export_model("reference:tiny", "onnx-int8", out=tmp_path / "out").artifact
    assert plan.file_bytes == pytest.approx(exported.bytes, rel=0.02)
    (of_file,) = plan_export(exported.path)
    assert of_file.file_bytes == exported.bytes
    assert not of_file.is_predicted
    assert of_file.prediction is not None and plan.prediction is not None
    assert of_file.prediction.peak_rss_bytes == pytest.approx(plan.prediction.peak_rss_bytes, rel=0.01)
    alone = tmp_path / "alone.onnx"
    shutil.copyfile(exported.model_path, alone)
    (foreign,) = plan_export(alone)
    assert foreign.prediction is not None
    assert foreign.prediction.range_ratio > of_file.prediction.range_ratio
    assert foreign.prediction.peak_rss_bytes == pytest.approx(of_file.prediction.peak_rss_bytes, rel=0.1)
