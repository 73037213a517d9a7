"""Inputs that are longer than the model: refused with advice that helps, or cut by `--truncate` and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgebench import Workload
from edgebench.device import find_device
from edgebench.errors import ConfigError
from edgebench.export import encode_texts, export_model
from edgebench.measure import encode, profile_all, resolve_workload
from edgebench.measure.preparation import prepare
from edgebench.request import Request
from edgebench.store import Store
from edgebench.workload import RunPlan, token_lengths
from tests.needed import need
from tests.schemas import check_schema

need("onnx", "onnxruntime", "tokenizers")

from tests.field.foreign_models import encoder, optimum_folder, save  # noqa: E402

LONG = sum(count > 512 for count in token_lengths()["yo"])


@pytest.fixture(autouse=True)
def own_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))


def request_of(model: Path | str, workload: Workload, **changes: Any) -> Request:
    plan = RunPlan(runs=1, min_count=1, min_duration_s=0, max_warmup_s=0)
    return Request(
        device=find_device("local"),
        models=(str(model),),
        workloads=(workload,),
        plan=plan,
        overhead=False,
        cold=False,
        **changes,
    )


@pytest.mark.parametrize("model", ["reference:minilm", "file"])
def test_long_inputs_of_a_language_are_refused_with_advice_that_helps(tmp_path: Path, model: str) -> None:
    if model == "file":
        model = str(optimum_folder(tmp_path / "model", "model.onnx", max_position_embeddings=514))
    with pytest.raises(ConfigError, match=f"yo: {LONG} of 30 inputs are longer than 512 tokens") as error:
        prepare(request_of(model, Workload(lang="yo")), lambda _: None)
    assert error.value.hint == "cut them with `truncate=True`"


def test_truncation_cuts_the_inputs_of_a_language_and_counts_them(tmp_path: Path) -> None:
    from edgebench.reporting import measurement_table

    folder = optimum_folder(tmp_path / "model", "model.onnx", max_position_embeddings=514)
    store = Store(tmp_path / "store")
    (measured,) = profile_all(request_of(folder, Workload(lang="yo", truncate=True)), store=store)
    cut = measured.to_json()["truncated"]
    assert cut == {"inputs": LONG, "of": 30, "to_tokens": 512}
    (again,) = store.measurements()
    assert again.subject.truncated == measured.subject.truncated
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as shown:
        console.print(measurement_table([measured]))
    assert f"{LONG} of 30 inputs, to 512 tokens" in shown.get()
    from edgebench.measurement import measurements_to_json

    check_schema(measurements_to_json([measured]), "profile")


def test_truncation_cuts_texts_and_keeps_the_last_token(tmp_path: Path) -> None:
    folder = optimum_folder(tmp_path / "model", "model.onnx")
    artifact = export_model(folder).artifact
    assert artifact.max_seq_len == 64
    workload = resolve_workload(artifact, Workload(texts=("a" * 70, "b", "c" * 90), truncate=True))
    found = encode(artifact, workload)
    assert (found.lengths.tolist(), found.truncated) == ([64, 3, 64], 2)
    assert found.ids[63] == 2
    with pytest.raises(ConfigError, match="2 of 3 texts are longer than 64 tokens"):
        encode(artifact, Workload(texts=("a" * 70, "b", "c" * 90)))


def test_nothing_is_counted_where_nothing_is_cut(tmp_path: Path) -> None:
    folder = optimum_folder(tmp_path / "model", "model.onnx", max_position_embeddings=514)
    (measured,) = profile_all(request_of(folder, Workload(lang="sw", truncate=True)), store=Store(tmp_path / "store"))
    assert measured.to_json()["truncated"] is None


def test_a_length_that_is_asked_for_is_not_cut(tmp_path: Path) -> None:
    folder = optimum_folder(tmp_path / "model", "model.onnx")
    with pytest.raises(ConfigError, match="128 tok: an input of 128 tokens") as error:
        prepare(request_of(folder, Workload(seq_len=128, truncate=True)), lambda _: None)
    assert error.value.hint == "try `seq_len=64`"


def test_a_file_of_fixed_length_says_so_itself(tmp_path: Path) -> None:
    path = save(encoder(tokens=16), tmp_path / "model.onnx")
    artifact = export_model(path).artifact
    assert artifact.max_seq_len == 16
    found = encode(artifact, resolve_workload(artifact, Workload(lang="sw", truncate=True)))
    assert found.lengths.max() == 16


def test_a_tokenizer_of_another_model_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    folder = optimum_folder(tmp_path / "model", "model.onnx", model=encoder(vocab=10))
    artifact = export_model(folder).artifact
    with pytest.raises(ConfigError, match=r"has 30 pieces and the model 10 embeddings"):
        encode_texts(artifact, ["z"])
