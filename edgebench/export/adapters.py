"""Adapters (LoRA and others of PEFT): merged with their base into a checkpoint in the cache, which is then exported.

adapter_merge.py is the program of the child process that merges.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgebench.errors import CheckpointError, ExportError
from edgebench.export import hub
from edgebench.export.cache import key_of, remembered_hash, temporary_folder, writing
from edgebench.export.checkpoint import open_checkpoint
from edgebench.export.folder_files import READ, is_module, refuse_foreign_files
from edgebench.export.folders import ADAPTER, CONFIG
from edgebench.export.json_files import read_json_object
from edgebench.export.libraries import crash_message
from edgebench.export.recipes import versions

Say = Callable[[str], None]

#: Command of the child; -P as in isolation.py.
MERGE = (sys.executable, "-P", "-m", "edgebench.export.adapter_merge")
#: Kinds that change the inputs, not the weights.
_NOT_WEIGHTS = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "ADAPTION_PROMPT", "CPT")
_MERGE_FIRST = "merge first, where the base is: PEFT's merge_and_unload(), then save_pretrained()"
_DESCRIPTIONS = (".json", ".model", ".txt")


def merged_folder(folder: Path, *, task: str | None, cache: Path, say: Say) -> Path:
    """Return a folder with the checkpoint that an adapter and its base are together; it is made if necessary.

    Raises:
        CheckpointError: the base is missing, or the adapter does not fit it or can't be merged.
        MissingExtra: peft is not installed.
        ExportError: the child process failed.
    """
    refuse_foreign_files(folder)
    config = _adapter_config(folder)
    base = _base_folder(folder, config, say)
    base_files = (base / CONFIG, *open_checkpoint(base, source=str(base), task="encoder").weight_files)
    libraries = versions(("peft",), extra="lora") | versions(("torch", "transformers"), extra="export")
    identity = {
        "merged": 1,
        "task": task,
        "files": {
            str(path.relative_to(folder)): remembered_hash(cache, path, on_progress=say) for path in _files(folder)
        },
        "base": [remembered_hash(cache, path, on_progress=say) for path in base_files],
        "libraries": libraries,
    }
    target = cache / "merged" / key_of(identity)
    if (target / CONFIG).is_file():
        return target
    say(f"merging the adapter with {base}")
    with temporary_folder(cache) as made:
        _merge(folder, base, made, task=task, kind=config.get("task_type"))
        _copy_descriptions(folder, base, made)
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                made.rename(target)
            except OSError:
                if not (target / CONFIG).is_file():
                    raise
    return target


def _adapter_config(folder: Path) -> dict[str, Any]:
    values = read_json_object(folder / ADAPTER)
    kind = str(values.get("peft_type"))
    if kind.upper() in _NOT_WEIGHTS:
        raise CheckpointError(f"{folder} is an adapter of the kind {kind}, which can't be merged into weights")
    if not any(folder.glob("adapter_model.*")):
        raise CheckpointError(f"{folder} has {ADAPTER} and no adapter_model.safetensors or .bin; download it again")
    return values


def _base_folder(folder: Path, config: dict[str, Any], say: Say) -> Path:
    """Return the folder of the checkpoint that the adapter was trained on."""
    named = config.get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise CheckpointError(f"{folder / ADAPTER} names no base_model_name_or_path", hint=_MERGE_FIRST)
    for path in (Path(named).expanduser(), folder / named):
        if path.is_dir():
            return path
    missing = f"{folder} is an adapter, and its base {named!r} is not here"
    if not hub.may_be_hub_id(named):
        raise CheckpointError(missing, hint=f"correct base_model_name_or_path in {ADAPTER}, or {_MERGE_FIRST}")
    say(f"fetching {named} from the hub, the base of the adapter")
    try:
        return hub.download(named)
    except CheckpointError as error:
        raise CheckpointError(f"{missing} ({error.args[0]})", hint=_MERGE_FIRST) from error


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files that decide the merged checkpoint: the adapter, its tokenizer and modules."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        is_near = len(inside) == 1 or (len(inside) == 2 and is_module(path.parent))
        if is_near and path.is_file() and path.suffix in (*_DESCRIPTIONS, ".safetensors", ".bin"):
            yield path


def _merge(folder: Path, base: Path, made: Path, *, task: str | None, kind: object) -> None:
    job = {"adapter": str(folder), "base": str(base), "out": str(made), "task": task, "kind": kind}
    done = subprocess.run(
        MERGE,
        input=json.dumps(job).encode(),
        capture_output=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        check=False,
    )
    if done.returncode == 0:
        return
    lines = done.stdout.decode(errors="replace").splitlines()
    try:
        message = json.loads(lines[-1])["error"]
    except (IndexError, ValueError, KeyError, TypeError):
        message = crash_message(str(folder), done.returncode, importing=None)
        if message is None:
            message = f"{folder}: the merge with {base} ended with status {done.returncode} and no answer"
        error = ExportError(message)
    else:
        error = CheckpointError(message)
    error.add_note(done.stderr.decode(errors="replace")[-4000:])
    raise error


def _copy_descriptions(folder: Path, base: Path, made: Path) -> None:
    """Copy the tokenizer, labels and modules: the adapter's own, else the base's."""
    with writing(made):
        for module in filter(is_module, sorted(path for path in folder.iterdir() if path.is_dir())):
            (made / module.name).mkdir(exist_ok=True)
            for path in sorted(module.iterdir()):
                if path.suffix in READ and path.is_file():
                    shutil.copyfile(path, made / module.name / path.name)
        descriptions = [path for path in _descriptions(folder) if path.name != ADAPTER]
        if not any(_is_of_tokenizer(path.name) for path in descriptions):
            descriptions += [path for path in _descriptions(base) if _is_of_tokenizer(path.name)]
        for path in descriptions:
            if not (made / path.name).exists():
                shutil.copyfile(path, made / path.name)


def _descriptions(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in _DESCRIPTIONS)


def _is_of_tokenizer(name: str) -> bool:
    return "token" in name or name.startswith(("vocab", "merges", "sentencepiece", "spiece", "spm"))
