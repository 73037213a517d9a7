"""Small ONNX files as other exporters write them, and Optimum's folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.evaluation.conftest import write_tokenizer
from tests.needed import need

need("onnx", "numpy")

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

INT64, FLOAT, FLOAT16, BOOL = TensorProto.INT64, TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BOOL
WIDTH = 4


def encoder(
    *,
    ids: str = "input_ids",
    mask: str = "attention_mask",
    mask_type: int = INT64,
    vocab: int = 300,
    positions: int | None = None,
    batch: int | str = "batch",
    tokens: int | str = "tokens",
    output: str = "last_hidden_state",
    nodes: Sequence[Any] = (),
) -> onnx.ModelProto:
    """Return a model: embeddings, plus those of `position_ids` if it takes some, are 0 where the mask is.

    `nodes`: what makes `output` of `states`; default: the states themselves.
    """
    stream = np.random.default_rng(0)
    tables = {"words": stream.normal(size=(vocab, WIDTH)).astype(np.float32)}
    made = [
        helper.make_node("Gather", ["words", ids], ["embedded"]),
        helper.make_node("Cast", [mask], ["as_float"], to=FLOAT),
        helper.make_node("Unsqueeze", ["as_float", "last"], ["wide"]),
    ]
    inputs = [(ids, INT64), (mask, mask_type)]
    summed = "embedded"
    if positions is not None:
        tables["places"] = stream.normal(size=(positions, WIDTH)).astype(np.float32)
        inputs.append(("position_ids", INT64))
        made += [
            helper.make_node("Gather", ["places", "position_ids"], ["placed"]),
            helper.make_node("Add", ["embedded", "placed"], ["both"]),
        ]
        summed = "both"
    made.append(helper.make_node("Mul", [summed, "wide"], ["states"]))
    made += nodes or [helper.make_node("Identity", ["states"], [output])]
    graph = helper.make_graph(
        made,
        "foreign",
        [helper.make_tensor_value_info(name, kind, [batch, tokens]) for name, kind in inputs],
        [helper.make_tensor_value_info(output, FLOAT, None)],
        [
            *(numpy_helper.from_array(values, name) for name, values in tables.items()),
            numpy_helper.from_array(np.array([-1], np.int64), "last"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def save(model: onnx.ModelProto, path: Path, *, data: str | None = None) -> Path:
    """Write a model, its weights to the file `data` in its folder if that is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if data is None:
        onnx.save(model, path)
        return path
    (path.parent / data).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path, save_as_external_data=True, location=data, size_threshold=64)
    return path


def write_config(folder: Path, **values: Any) -> None:
    """Write a config.json as Optimum leaves it beside its files."""
    config = {"model_type": "xlm-roberta", "architectures": ["XLMRobertaModel"], "vocab_size": 300, "pad_token_id": 1}
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 66, **values}))


def optimum_folder(folder: Path, *names: str, model: onnx.ModelProto | None = None, **config: Any) -> Path:
    """Write files of a model under these names, a tokenizer and a config."""
    for name in names:
        save(model if model is not None else encoder(), folder / name)
    write_tokenizer(folder)
    write_config(folder, **config)
    return folder
