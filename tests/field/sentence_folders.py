"""Folders as sentence-transformers saves them, and their vectors worked out in torch apart from edgebench."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.evaluation.conftest import write_tokenizer
from tests.export.conftest import build
from tests.field.test_families import build_family

HIDDEN = 32
KEYS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
ALL = tuple(KEYS)


def write_sentence_folder(
    folder: Path,
    poolings: Sequence[str] = ("cls",),
    *,
    family: str = "xlm-roberta",
    dense: int | None = None,
    normalize: bool = False,
    subfolder: str = "",
    more: Sequence[str] = (),
    settings: dict[str, Any] | None = None,
    transformer: dict[str, Any] | None = None,
    pooling: dict[str, Any] | None = None,
) -> Path:
    """Write encoder, tokenizer and modules; `more`: further module types; the others: keys of the settings' files."""
    import torch
    from safetensors.torch import save_file

    encoder = folder / subfolder
    if family == "xlm-roberta":
        build("XLMRobertaModel").save_pretrained(encoder)
    else:
        build_family(family, "encoder", encoder, pad_token_id=1)
    write_tokenizer(encoder)
    modules = [("Transformer", subfolder), ("Pooling", "1_Pooling")]
    (folder / "1_Pooling").mkdir()
    values = {"word_embedding_dimension": HIDDEN} | {key: name in poolings for name, key in KEYS.items()}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling or values))
    if dense is not None:
        path = folder / "2_Dense"
        path.mkdir()
        torch.manual_seed(1)
        inputs = HIDDEN * len(poolings)
        weights = {"linear.weight": torch.randn(dense, inputs) / inputs**0.5, "linear.bias": torch.randn(dense) / 2}
        save_file(weights, path / "model.safetensors")
        shape = {"in_features": inputs, "out_features": dense, "bias": True}
        (path / "config.json").write_text(
            json.dumps(shape | {"activation_function": "torch.nn.modules.activation.Tanh"})
        )
        modules.append(("Dense", "2_Dense"))
    if normalize:
        (folder / "3_Normalize").mkdir()
        modules.append(("Normalize", "3_Normalize"))
    listed = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (kind, path) in enumerate(modules)
    ]
    listed += [{"idx": 9, "name": "9", "path": "9_More", "type": kind} for kind in more]
    (folder / "modules.json").write_text(json.dumps(listed))
    if settings is not None:
        (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    if transformer is not None:
        (encoder / "sentence_bert_config.json").write_text(json.dumps(transformer))
    return folder


def torch_vectors(folder: Path, rows: Sequence[Sequence[int]], poolings: Sequence[str], *, subfolder: str = "") -> Any:
    """Return the vectors of rows of token ids, one padded batch, as sentence-transformers computes them."""
    import torch
    import transformers
    from safetensors.torch import load_file

    model = transformers.AutoModel.from_pretrained(folder / subfolder).eval()
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[1] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in rows])
    with torch.inference_mode():
        states = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    wide = mask[:, :, None]
    total = (states * wide).sum(1)
    ramp = torch.arange(1, longest + 1)[None, :, None] * wide
    last = mask.sum(1).long() - 1
    found = {
        "cls": states[:, 0],
        "max": states.masked_fill(wide == 0, -1e9).max(1).values,
        "mean": total / wide.sum(1),
        "mean_sqrt_len_tokens": total / wide.sum(1).sqrt(),
        "weightedmean": (states * ramp).sum(1) / ramp.sum(1),
        "lasttoken": states[torch.arange(len(rows)), last],
    }
    vectors = torch.cat([found[name] for name in KEYS if name in poolings], 1)
    if (folder / "2_Dense").is_dir():
        weights = load_file(folder / "2_Dense" / "model.safetensors")
        vectors = torch.tanh(vectors @ weights["linear.weight"].T + weights["linear.bias"])
    if (folder / "3_Normalize").is_dir():
        vectors = torch.nn.functional.normalize(vectors, p=2, dim=1)
    return vectors.numpy()
