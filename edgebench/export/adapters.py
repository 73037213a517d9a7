"""Adapters (LoRA and others of PEFT): merged with their base into a checkpoint in the cache, which is then exported.

adapter_merge.py is the program of the child process that merges.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from edgebench.errors import CheckpointError
from edgebench.export import hub
from edgebench.export.adapter_head import ADAPTER_WEIGHTS, adapter_shapes, merged_head
from edgebench.export.cache import key_of, remembered_hash, temporary_folder, writing
from edgebench.export.checkpoint import open_checkpoint
from edgebench.export.child import run_child
from edgebench.export.folder_files import READ, refuse_foreign_files
from edgebench.export.folders import ADAPTER, CONFIG
from edgebench.export.json_files import read_json_object
from edgebench.export.made_folders import first_changed, keep_folder
from edgebench.export.recipes import versions
from edgebench.export.sentence_modules import (
    MODULES,
    SENTENCE_FILES,
    TRANSFORMER_SETTINGS,
    is_sentence_folder,
    module_paths,
    settings_of_transformer,
    transformer_folder,
)
from edgebench.export.tokenizer_files import ALL_TOKENIZER_FILES, has_tokenizer
from edgebench.reading import is_folder, user_path

Say = Callable[[str], None]

#: Command of the child; -P as in isolation.py.
MERGE = (sys.executable, "-P", "-m", "edgebench.export.adapter_merge")
#: Kinds that change the inputs, not the weights.
_NOT_WEIGHTS = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT", "CPT")
_MERGE_FIRST = "merge first, where the base is: PEFT's merge_and_unload(), then save_pretrained()"
_DESCRIPTIONS = (".json", ".model", ".txt")


def merged_folder(folder: Path, *, task: str | None, cache: Path, say: Say) -> Path:
    """Return a folder with the checkpoint that an adapter and its base are together; it is made if necessary.

    It has the layout of a sentence-transformers folder if the adapter's or the base's folder is one. A folder in the
    cache is used only if all of its files are those that were made.

    Raises:
        CheckpointError: the base is missing, or the adapter does not fit it or can't be merged.
        MissingExtra: peft is not installed.
        ExportError: the child process failed.
    """
    refuse_foreign_files(folder)
    config = _adapter_config(folder)
    base = base_folder(folder, say)
    encoder = open_checkpoint(base, source=str(base), task="encoder")
    assert encoder.folder is not None  # noqa: S101 - a checkpoint of a folder
    libraries = versions(("peft",), extra="lora") | versions(("torch", "transformers"), extra="export")
    task = merged_head(encoder.folder, adapter_shapes(folder), task=task, kind=config.get("task_type")).task
    copies = _copies(folder, base, encoder.folder)
    hash_one = partial(remembered_hash, cache, on_progress=say)
    identity = {
        "merged": 3,
        "task": task,
        "adapter": [hash_one(path) for path in (folder / ADAPTER, _weights_of(folder))],
        "base": [hash_one(path) for path in (encoder.folder / CONFIG, *encoder.weight_files)],
        "copies": {name: hash_one(path) for name, path in sorted(copies.items())},
        "libraries": libraries,
    }
    target = cache / "merged" / key_of(identity)
    if target.exists():
        if (changed := first_changed(target, cache)) is None:
            return target
        say(f"{target / changed} is not the file that was made: the adapter is merged again")
    say(f"merging the adapter with {base}")
    with temporary_folder(cache) as made:
        place = made / _place_of_encoder(folder, base)
        with writing(made):
            place.mkdir(parents=True, exist_ok=True)
        _merge(folder, encoder.folder, place, task=task)
        with writing(target):
            for name, path in copies.items():
                if not (made / name).exists():  # config.json is the merged model's own
                    (made / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, made / name)
            keep_folder(made, target, cache)
    return target


def base_folder(folder: Path, say: Say = lambda _: None) -> Path:
    """Return the folder of the checkpoint that an adapter was trained on; one of the hub is downloaded.

    Raises:
        CheckpointError: it is not here.
    """
    named = _adapter_config(folder).get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise CheckpointError(f"{folder / ADAPTER} names no base_model_name_or_path", hint=_MERGE_FIRST)
    for path in (user_path(named), folder / named):
        if is_folder(path):
            return path
    missing = f"{folder} is an adapter, and its base {named!r} is not here"
    if not hub.may_be_hub_id(named):
        raise CheckpointError(missing, hint=f"correct base_model_name_or_path in {ADAPTER}, or {_MERGE_FIRST}")
    say(f"fetching {named} from the hub, the base of the adapter")
    try:
        return hub.download(named)
    except CheckpointError as error:
        raise CheckpointError(f"{missing} ({error.args[0]})", hint=_MERGE_FIRST) from error


def _adapter_config(folder: Path) -> dict[str, Any]:
    values = read_json_object(folder / ADAPTER)
    if "peft_type" not in values and ("model_class" in values or any(folder.glob("pytorch_adapter.*"))):
        raise CheckpointError(
            f"{folder} is an adapter of AdapterHub (of the library adapters), whose modules no exported class has",
            hint="merge it there if its kind allows that (model.merge_adapter()), then save_pretrained()",
        )
    kind = str(values.get("peft_type"))
    if kind.upper() in _NOT_WEIGHTS:
        raise CheckpointError(f"{folder} is an adapter of the kind {kind}, which can't be merged into weights")
    if not any((folder / name).is_file() for name in ADAPTER_WEIGHTS):
        raise CheckpointError(f"{folder} has {ADAPTER} and no adapter_model.safetensors or .bin; download it again")
    return values


def _weights_of(folder: Path) -> Path:
    return next(folder / name for name in ADAPTER_WEIGHTS if (folder / name).is_file())


def _merge(folder: Path, base: Path, made: Path, *, task: str) -> None:
    job = {"adapter": str(folder), "base": str(base), "out": str(made), "task": task}
    run_child(MERGE, job, subject=str(folder), what=f"merging with {base}")


def _place_of_encoder(folder: Path, base: Path) -> str:
    """Return the path of the encoder in the merged folder; of sentence-transformers folders, as modules.json says."""
    root = _sentence_root(folder, base)
    return "." if root is None else str(transformer_folder(root).relative_to(root))


def _sentence_root(folder: Path, base: Path) -> Path | None:
    """Return the folder whose modules the merged checkpoint has: the adapter's, else the base's; None: no modules."""
    return next((root for root in (folder, base) if is_sentence_folder(root)), None)


def _copies(folder: Path, base: Path, encoder: Path) -> dict[str, Path]:
    """Return the files to copy, by their paths in the merged folder: tokenizer, lineage and modules.

    Args:
        encoder: the folder of the base's config.json.
    """
    place = Path(_place_of_encoder(folder, base))
    own = [path for path in _descriptions(folder) if path.name not in (ADAPTER, CONFIG, *SENTENCE_FILES)]
    if not has_tokenizer(folder):  # settings without a vocabulary may not fit that of the base
        own = [path for path in own if path.name not in ALL_TOKENIZER_FILES]
        own += [encoder / name for name in ALL_TOKENIZER_FILES if (encoder / name).is_file()]
    found = {str(place / path.name): path for path in own}
    root = _sentence_root(folder, base)
    if root is None:
        return found
    settings = {MODULES: [root / MODULES], **{name: [folder / name, root / name] for name in SENTENCE_FILES[1:]}}
    settings[TRANSFORMER_SETTINGS].append(settings_of_transformer(root / place))
    for name, paths in settings.items():
        if (path := next((path for path in paths if path.is_file()), None)) is not None:
            found[str(place / name) if name == TRANSFORMER_SETTINGS else name] = path
    for module in module_paths(root):
        if Path(module) != place:
            files = [path for path in sorted((root / module).rglob("*")) if path.suffix in READ and path.is_file()]
            found |= {str(path.relative_to(root)): path for path in files}
    return found


def _descriptions(folder: Path) -> list[Path]:
    is_wanted = {*ALL_TOKENIZER_FILES}.__contains__
    return sorted(
        path for path in folder.iterdir() if path.is_file() and (path.suffix in _DESCRIPTIONS or is_wanted(path.name))
    )
