"""Adapter merge: the program of the child process that merges an adapter with its base, with PEFT.

The job (see child.py): the paths `adapter`, `base` (with its config.json) and `out`, and the `task` of the merged
checkpoint. The answer is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebench.errors import CheckpointError
from edgebench.export.adapter_head import PREFIX, adapter_shapes
from edgebench.export.checkpoint import open_checkpoint
from edgebench.export.child import serve
from edgebench.export.libraries import import_libraries

#: How far the merged model may differ from base and adapter: rounding of float32.
_LARGEST_DIFFERENCE = 1e-3


def merge(adapter: Path, base: Path, out: Path, *, task: str) -> None:
    """Write the checkpoint that base and adapter are together.

    Raises:
        CheckpointError: they don't fit each other, the head is in neither, or the merged model answers something else.
    """
    import peft
    import torch
    import transformers

    names = adapter_shapes(adapter)
    head = open_checkpoint(base, source=str(base), task=task).head
    architecture: Any = getattr(transformers, head.architecture)
    config: Any = transformers.AutoConfig.from_pretrained(base, local_files_only=True)
    config.return_dict = True
    labels = names.get(head.labels_weight or "")
    if labels is not None and labels[0] != config.num_labels:
        config.num_labels = labels[0]
    model, loading = architecture.from_pretrained(
        base,
        config=config,
        dtype=torch.float32,
        local_files_only=True,
        attn_implementation="eager",
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **dict(head.arguments),
    )
    absent = {*loading["missing_keys"], *(entry[0] for entry in loading["mismatched_keys"])} - names.keys()
    if absent:
        raise CheckpointError(
            f"{adapter}: neither the adapter nor its base {base} has {', '.join(sorted(absent)[:3])}:"
            " the head is untrained"
        )
    try:
        adapted: Any = peft.PeftModel.from_pretrained(model, str(adapter)).eval()
    except KeyError as error:
        raise _lacking(adapter, [str(error.args[0])]) from error
    taken = {name.removeprefix(PREFIX) for name in peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)}
    if missing := sorted(taken - names.keys()):
        raise _lacking(adapter, missing)
    taken |= {name.removeprefix(PREFIX) for name in peft.get_peft_model_state_dict(adapted)}
    if left := sorted(names.keys() - taken):
        raise CheckpointError(f"{adapter}: its base {base} has no place for {len(left)} of its tensors ({left[0]} ...)")
    before = _answers(adapted, config.vocab_size)
    _unwrap_saved_modules(adapted)
    merged = adapted.merge_and_unload(safe_merge=True).eval()
    difference = max(
        float((a - b).abs().max()) for a, b in zip(before, _answers(merged, config.vocab_size), strict=True)
    )
    if not difference <= _LARGEST_DIFFERENCE * max(1.0, *(float(a.abs().max()) for a in before)):
        raise CheckpointError(f"{adapter}: the merged model differs from base and adapter by {difference:.2g}")
    merged.save_pretrained(out)


def _lacking(adapter: Path, names: list[str]) -> CheckpointError:
    """Return the error for tensors that the adapter's settings ask for and its file has not."""
    more = " ..." if len(names) > 1 else ""
    return CheckpointError(
        f"{adapter}: its file lacks {len(names)} of the tensors that adapter_config.json asks for"
        f" ({names[0].removeprefix(PREFIX)}{more})",
        hint="save the adapter again, or correct target_modules and modules_to_save there",
    )


def _unwrap_saved_modules(adapted: Any) -> None:
    """Put the modules that were trained as a whole where they belong: PEFT does so for some kinds of adapters only."""
    from peft.utils import ModulesToSaveWrapper

    base = adapted.get_base_model()
    for name, module in list(base.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            parent, _, attribute = name.rpartition(".")
            setattr(base.get_submodule(parent), attribute, module.modules_to_save[str(module.active_adapters[0])])


def _answers(model: Any, vocabulary: int) -> list[Any]:
    """Return the model's first output for a few inputs of seeded random tokens."""
    import torch

    stream = torch.Generator().manual_seed(0)
    inputs = [
        torch.randint(min(4, vocabulary - 1), vocabulary, (1, length), generator=stream) for length in (4, 16, 32)
    ]
    with torch.inference_mode():
        return [
            next(iter(model(input_ids=ids, attention_mask=torch.ones_like(ids)).values())).float() for ids in inputs
        ]


def _merge(job: Mapping[str, Any]) -> dict[str, Any]:
    import_libraries()
    import_libraries(["peft"])
    merge(Path(job["adapter"]), Path(job["base"]), Path(job["out"]), task=job["task"])
    return {}


def main() -> None:
    """Merge what standard input names."""
    serve(_merge, failure=lambda job: f"{job['adapter']}: can't be merged with its base {job['base']}")


if __name__ == "__main__":
    main()
