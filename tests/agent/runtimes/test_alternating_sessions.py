"""Idle threads of a model that alternates with others stop: the next inference is another model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgebench_agent.runtimes.registry import open_runtime

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("alternates", [True, False])
def test_threads_stop_spinning_only_where_models_alternate(
    alternates: bool, tiny_model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: list[Any] = []

    class Recorded(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            options.append(self.get_session_options())

    monkeypatch.setattr(onnxruntime, "InferenceSession", Recorded)
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_model)
    open_runtime("onnxruntime").load(str(path), threads=2, providers=[], alternates=alternates)
    if alternates:
        assert options[0].get_session_config_entry("session.force_spinning_stop") == "1"
    else:
        with pytest.raises(RuntimeError, match="force_spinning_stop"):
            options[0].get_session_config_entry("session.force_spinning_stop")
