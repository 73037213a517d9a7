"""Weight names: which tensor of the files is which parameter of the model, and what the tensors left over mean.

Ways to train and save leave prefixes (`module.` of DistributedDataParallel, `_orig_mod.` of torch.compile, `model.` of
Lightning, `base_model.model.` of PEFT). They are left out where only one model can be meant. Tensors inside a module
that is exported, which the model does not have, would change what it computes: such files are refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from edgebench.artifact import HEAD_CLASSES
from edgebench.errors import CheckpointError

Canonical = Callable[[str], str]

#: Modules that wrap another one, wherever they stand in a name.
_WRAPPERS = frozenset(["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
#: Attributes in which training code usually holds the model.
_USUAL_HOLDERS = frozenset(["model", "base_model", "network", "net", "state_dict", "backbone"])
_MOST_PARTS = 5  # of a prefix
_FEW = 3  # tensors that a head may have in common with a whole model
_ADAPTERS = re.compile(
    r"(?:^|\.)(?:lora_\w+|base_layer|original_module|modules_to_save|ia3_l|hada_\w+|lokr_\w+|vera_\w+|b?oft_\w+"
    r"|prompt_embeddings|prompt_encoder|adapters?)(?:\.|$)"
)
_QUANTISED = re.compile(
    r"\.(?:qweight|qzeros|g_idx|SCB|weight_scale|weight_scale_inv|weight_packed"
    r"|weight\.(?:absmax|quant_map|nested_absmax|quant_state\.\S+))$"
)
#: How training stores a parameter as something else, and what to do before saving.
_REWRITTEN = (
    (re.compile(r"(?:^|\.)_?flat_param(?:_\d+)?$"), "FSDP flattened its parameters: save a FULL_STATE_DICT"),
    (
        re.compile(r"(?:weight|bias)_(?:orig|mask)$"),
        "it was pruned with masks: call torch.nn.utils.prune.remove() before saving",
    ),
    (
        re.compile(r"(?:^|\.)parametrizations\.|\.weight_[guv]$"),
        "its weights are parametrised: call torch.nn.utils.parametrize.remove_parametrizations() before saving",
    ),
)
#: Buffers of older versions of transformers, and a head beside another in one module: neither feeds an output.
_WITHOUT_EFFECT = re.compile(r"(?:^|\.)(?:position_ids|token_type_ids)$|^cls\.seq_relationship\.")
_LAYER = re.compile(r"^(.*\blayers?)\.(\d{1,9})\.")
#: Heads by a tensor that only they have.
_HEADS = (
    (re.compile(r"^(?:lm_head|cls\.predictions|vocab_\w+|lm_predictions|generator_lm_head)\."), "masked-lm"),
    (re.compile(r"^qa_outputs\."), "question-answering"),
    (re.compile(r"^classifier\.out_proj\."), "sequence-classification"),
    (re.compile(r"^classifier\.weight$"), "token-classification"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """The parameters of a class of transformers.

    Args:
        architecture: the name of the class.
        required: names of parameters, one for each.
        aliases: further names of tied parameters.
        encoder: prefix of the encoder's names; empty for a bare encoder.
    """

    architecture: str
    required: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    encoder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NameMatch:
    """Names in the files by canonical name.

    Args:
        notes: what a person should know.
        renamed: a prefix was left out.
        doubles: pairs of names in the files that are one parameter of the class.
    """

    stored: Mapping[str, str]
    notes: tuple[str, ...] = ()
    renamed: bool = False
    doubles: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Candidate:
    """A prefix, with the parameters that are found under it: canonical name -> name in the files."""

    prefix: str
    found: dict[str, str] = field(default_factory=dict)


def match_names(stored: Collection[str], structure: Structure, canonical: Canonical, *, where: str) -> NameMatch:
    """Return which tensor is which parameter.

    Args:
        stored: the names in the files.
        canonical: returns a name without what differs between ways to save the same encoder.
        where: the folder, for messages.

    Raises:
        CheckpointError: parameters are missing or ambiguous, or there are tensors that change what is computed.
    """
    _refuse_adapters(stored, where)
    cleaned = _without_wrappers(stored, where)
    required = {canonical(name) for name in structure.required}
    best = _best_prefix(cleaned, required, canonical, where)
    missing = [name for name in structure.required if canonical(name) not in best.found]
    known = required | {canonical(name) for name in structure.aliases}
    names: dict[str, str] = {}
    doubles = []
    for name in (name for name in cleaned if name.startswith(best.prefix)):
        first = names.setdefault(canonical(name[len(best.prefix) :]), cleaned[name])
        if first != cleaned[name]:
            doubles.append((first, cleaned[name]))
    outside = [name for name in cleaned if not name.startswith(best.prefix)]
    extra = [name for name in names if name not in known and not _WITHOUT_EFFECT.search(name)]
    if missing:
        _refuse_missing(missing, structure, best.prefix, [*extra, *outside], where)
    _refuse_inside(extra, required, structure, where)
    unused = [*extra, *outside]
    notes = []
    if best.prefix:
        notes.append(f"the weights' names begin with {best.prefix!r}, which was left out")
    elif any(name != stored_as for name, stored_as in cleaned.items()):
        notes.append(f"wrappers in the weights' names were left out ({', '.join(sorted(_wrappers_in(stored)))})")
    if unused:
        notes.append(f"of the weights, the export does not use {_shown(unused)}")
    renamed = any(name != stored_as for name, stored_as in cleaned.items()) or bool(best.prefix)
    return NameMatch(stored=names, notes=tuple(notes), renamed=renamed, doubles=tuple(doubles))


def _refuse_adapters(stored: Iterable[str], where: str) -> None:
    if adapters := [name for name in stored if _ADAPTERS.search(name)]:
        raise CheckpointError(
            f"{where}: beside the weights, there are tensors of an adapter ({_shown(adapters)}), which the exported"
            " file would leave out",
            hint="merge first: PEFT's merge_and_unload(), then save_pretrained()",
        )
    if quantised := [name for name in stored if _QUANTISED.search(name)]:
        raise CheckpointError(
            f"{where}: its weights are quantised already ({_shown(quantised)})",
            hint="export the checkpoint that it was made from",
        )


def _without_wrappers(stored: Iterable[str], where: str) -> dict[str, str]:
    """Return the names in the files by the names without wrapping modules."""
    cleaned: dict[str, str] = {}
    for name in stored:
        short = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
        if short in cleaned:
            raise CheckpointError(f"{where}: {cleaned[short]} and {name} are the same parameter; save one of them")
        cleaned[short] = name
    return cleaned


def _wrappers_in(stored: Iterable[str]) -> set[str]:
    return {f"{part}." for name in stored for part in name.split(".") if part in _WRAPPERS}


def _best_prefix(cleaned: Mapping[str, str], required: set[str], canonical: Canonical, where: str) -> _Candidate:
    """Return the prefix under which most parameters are found; the shortest of equal ones."""
    candidates: dict[str, _Candidate] = {}
    for name in cleaned:
        parts = name.split(".")
        for count in range(min(len(parts), _MOST_PARTS + 1)):
            short = canonical(".".join(parts[count:]))
            if short in required:
                prefix = "".join(f"{part}." for part in parts[:count])
                candidates.setdefault(prefix, _Candidate(prefix)).found[short] = name
    ranked = sorted(candidates.values(), key=lambda one: (-len(one.found), len(one.prefix)))
    if not ranked:
        return _Candidate("")
    best = ranked[0]
    # under the encoder's own prefix stand the same tensors, in a second model there are others
    usual = set(best.prefix.split(".")) - {""} <= _USUAL_HOLDERS
    least = len(best.found) if usual else _FEW
    # a head beside an encoder under a prefix has other parameters: those are missing under it, as is said later
    rivals = [
        one
        for one in ranked[1:]
        if len(one.found) >= least and not _share(one, best) and not one.found.keys().isdisjoint(best.found)
    ]
    if rivals and best.prefix:
        prefixes = ", ".join(repr(one.prefix) for one in (best, *rivals))
        raise CheckpointError(
            f"{where}: the weights hold several models, under {prefixes}; save the one to export by itself"
        )
    return best


def _share(one: _Candidate, other: _Candidate) -> bool:
    return not set(one.found.values()).isdisjoint(other.found.values())


def _refuse_missing(missing: list[str], structure: Structure, prefix: str, extra: list[str], where: str) -> None:
    total = len(structure.required)
    lacks = f"{where} lacks {len(missing)} of the {total} tensors of {structure.architecture}: {_first(missing)}"
    if prefix:
        lacks += f" (the others stand under {prefix!r})"
    for pattern, advice in _REWRITTEN:
        if (rewritten := next(filter(pattern.search, extra), None)) is not None:
            raise CheckpointError(f"{lacks}; the weights have {rewritten}", hint=advice)
    if structure.encoder and not any(name.startswith(structure.encoder) for name in missing):
        others = [each for each in _HEADS if not structure.architecture.endswith(HEAD_CLASSES[each[1]])]
        has = [task for pattern, task in others if any(pattern.search(name) for name in extra)]
        tasks = " or ".join(f"`task={task!r}`" for task in [*has, "encoder"])
        raise CheckpointError(
            f"{lacks}; the head that its config.json or `task` names is untrained, or the weights have another",
            hint=f"try {tasks}",
        )
    raise CheckpointError(lacks)


def _refuse_inside(extra: list[str], required: set[str], structure: Structure, where: str) -> None:
    """Refuse tensors inside a module that is exported: the class would ignore what they were trained to compute."""
    used = {name.split(".")[0] for name in required}
    inside = [name for name in extra if name.split(".")[0] in used]
    if not inside:
        return
    layers = _layers(required)
    deeper = {match[1]: int(match[2]) for name in inside if (match := _LAYER.match(name))}
    for stack, _ in deeper.items():
        held = max(_layers(extra).get(stack, 0), layers.get(stack, 0))
        if 0 < layers.get(stack, 0) < held:
            raise CheckpointError(
                f"{where}: the weights have {held} layers ({stack}.{held - 1}. ...) and config.json says"
                f" {layers[stack]} (num_hidden_layers)",
                hint="correct config.json, or save a model with as many layers as it says",
            )
    raise CheckpointError(
        f"{where}: the weights have {_shown(inside)}, which {structure.architecture} does not have: the exported file"
        " would compute something else",
        hint="save the model without them, or in the class that it was trained in",
    )


def _layers(names: Iterable[str]) -> dict[str, int]:
    """Return the number of layers of each stack of layers."""
    highest: dict[str, int] = defaultdict(int)
    for name in names:
        if match := _LAYER.match(name):
            highest[match[1]] = max(highest[match[1]], int(match[2]) + 1)
    return highest


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def _shown(names: list[str]) -> str:
    return f"{len(names)} tensor{'s' * (len(names) > 1)}: {_first(names)}"
