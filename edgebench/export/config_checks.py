"""What a config.json may not ask for: weights that are quantised already, and code that comes with the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebench.errors import CheckpointError
from edgebench.reading import parse_json, read_text

_QUANTISED = ("quantization_config", "compression_config")
#: Where older tools wrote the same.
_QUANTISED_FILES = ("quantize_config.json", "quant_config.json")
_STEP_KEYS = (
    "quant_method",
    "quant_type",
    "format",
    "bits",
    "w_bit",
    "load_in_4bit",
    "load_in_8bit",
    "weight_block_size",
)


def refuse_quantised(config: Mapping[str, Any], folder: Path) -> None:
    """Refuse a checkpoint whose weights are quantised already (fp8, bitsandbytes, GPTQ, AWQ and others).

    Raises:
        CheckpointError: the message names the key and the method.
    """
    for key in _QUANTISED:
        if config.get(key):
            _refuse(folder / "config.json", key, config[key])
    for name in _QUANTISED_FILES:
        path = folder / name
        if path.is_file():
            try:
                values = parse_json(read_text(path, within=path.parent))
            except (OSError, ValueError):
                values = {}
            _refuse(path, "a quantization_config", values)


def _refuse(path: Path, key: str, values: Any) -> None:
    told = [f"{name} {values[name]}" for name in _STEP_KEYS if values.get(name)] if isinstance(values, dict) else []
    how = f" ({', '.join(told)})" if told else ""
    raise CheckpointError(
        f"{path} has {key}{how}: the weights are quantised already, and can't be exported",
        hint="export the checkpoint that it was made from, or save it dequantised: model.dequantize(), then"
        " save_pretrained()",
    )


def refuse_remote_code(config: Mapping[str, Any], path: Path) -> None:
    """Refuse a checkpoint (or tokenizer) that is computed by code of its own.

    Raises:
        CheckpointError: the message names `auto_map`.
    """
    mapped = config.get("auto_map")
    if not mapped:
        return
    named = mapped.values() if isinstance(mapped, dict) else [mapped]
    classes = ", ".join(str(name) for name in list(named)[:3])
    raise CheckpointError(
        f"{path} has auto_map: the checkpoint is computed by code of its own ({classes}), which edgebench does not run",
        hint=f"remove auto_map there if the class of transformers ({config.get('model_type') or 'stock'}) computes the"
        " same",
    )
