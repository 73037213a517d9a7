"""Trimming: a checkpoint with fewer pieces, made in the cache, which is then exported like any other.

<cache>/trimmed/<key>/ holds config.json, weights, tokenizer and modules of the trimmed checkpoint, and trimming.json.
trim_weights.py is the program of the child process that writes the weights.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgebench.artifact import Segmentation, Trimming
from edgebench.errors import CheckpointError, ConfigError
from edgebench.export.cache import key_of, remembered_hash, temporary_folder, writing
from edgebench.export.checkpoint import TRIMMING, Checkpoint, open_checkpoint
from edgebench.export.child import run_child
from edgebench.export.folder_files import READ
from edgebench.export.folders import CONFIG
from edgebench.export.json_files import read_json_object
from edgebench.export.languages import samples_of, shipped_sha256
from edgebench.export.made_folders import first_changed, keep_folder
from edgebench.export.piece_selection import Keep, Pieces, open_pieces, select, texts_to_compare, without_compared
from edgebench.export.recipes import versions
from edgebench.export.sentence_modules import SENTENCE_FILES, module_paths
from edgebench.export.tokenizer_files import FAST, deciding_files, hash_tokenizer
from edgebench.export.tokenizer_loading import load_tokenizer
from edgebench.export.tokens import check_tokenizer, pad_of
from edgebench.export.trimmed_tokenizer import compare_segmentation, read_trimmed, renumbered, trim_description
from edgebench.serialisation import to_plain

Say = Callable[[str], None]

#: Command of the child; -P as in isolation.py.
TRIM = (sys.executable, "-P", "-m", "edgebench.export.trim_weights")
#: Files of a tokenizer that tokenizer.json does not replace; the first has ids.
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
#: A tokenizer with fewer pieces than this share of the embeddings is another checkpoint's.
_LEAST_SHARE = 0.5


def trimmed_checkpoint(checkpoint: Checkpoint, keep: Keep, *, cache: Path, say: Say) -> Checkpoint:
    """Return a checkpoint whose vocabulary is cut to some languages and texts; it is made if necessary.

    Raises:
        ConfigError: it has no tokenizer that can be trimmed.
        CheckpointError: the tokenizer is not the checkpoint's, or the weights can't be read.
        ExportError: the cache can't be written, or the child process failed.
        MissingExtra: a library is not installed.
    """
    if checkpoint.folder is None or checkpoint.tokenizer is None:
        raise ConfigError(f"{checkpoint.source} has no tokenizer: its vocabulary can't be trimmed")
    if checkpoint.trimming is not None:
        raise ConfigError(f"{checkpoint.source}: {checkpoint.trimming} already; name the checkpoint that it is made of")
    copies = _copies(checkpoint)
    hash_one = partial(remembered_hash, cache, on_progress=say)
    identity = {
        "trimmed": 1,
        "task": checkpoint.head.task,
        "content": [hash_one(path) for path in (checkpoint.folder / CONFIG, *checkpoint.content_files)],
        "tokenizer": hash_tokenizer(Path(checkpoint.tokenizer), hash_one),
        "copies": {name: hash_one(path) for name, path in sorted(copies.items())},
        "languages": sorted(keep.languages),
        "texts": {name: _hash_texts(texts) for name, texts in keep.texts.items()},
        "shipped": shipped_sha256(),
        "libraries": versions(("torch", "transformers"), extra="export"),
    }
    target = cache / "trimmed" / key_of(identity)
    if target.exists() and (changed := first_changed(target, cache)) is not None:
        say(f"{target / changed} is not the file that was made: the vocabulary is trimmed again")
    if not target.exists() or first_changed(target, cache) is not None:
        say(f"trimming the vocabulary to {', '.join(keep.names)}")
        with temporary_folder(cache) as made:
            _make(checkpoint, keep, copies, made)
            with writing(target):
                keep_folder(made, target, cache)
    return open_checkpoint(target, source=checkpoint.source, task=checkpoint.head.task)


def trimmed_vocabulary(checkpoint: Checkpoint, keep: Keep) -> int:
    """Return how many rows the embeddings of a checkpoint have once its vocabulary is trimmed; nothing is made.

    Raises:
        ConfigError, CheckpointError: as `trimmed_checkpoint`.
    """
    if checkpoint.folder is None or checkpoint.tokenizer is None:
        raise ConfigError(f"{checkpoint.source} has no tokenizer: what a trimmed vocabulary has can't be counted")
    tokenizer = _open_tokenizer(checkpoint)
    pieces = open_pieces(tokenizer, json.loads(tokenizer.to_str()), where=str(checkpoint.folder))
    config = read_json_object(checkpoint.folder / CONFIG)
    return len(_new_ids(checkpoint, tokenizer, pieces, select(tokenizer, pieces, keep), config))


def _hash_texts(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _make(checkpoint: Checkpoint, keep: Keep, copies: Mapping[str, Path], made: Path) -> None:
    where = str(checkpoint.folder)
    assert checkpoint.folder is not None  # noqa: S101 - `trimmed_checkpoint` refuses others
    tokenizer = _open_tokenizer(checkpoint)
    description = json.loads(tokenizer.to_str())
    pieces = open_pieces(tokenizer, description, where=where)
    config = read_json_object(checkpoint.folder / CONFIG)
    new = _new_ids(checkpoint, tokenizer, pieces, select(tokenizer, pieces, keep), config)
    trimmed = trim_description(description, new)
    after = read_trimmed(trimmed, new, tokenizer, where=where)
    segmentation = _compare(checkpoint, tokenizer, pieces, keep, config, after, new)
    place = made / _place(checkpoint)
    with writing(made):
        place.mkdir(parents=True, exist_ok=True)
        for name, path in copies.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, made / name)
        (place / FAST).write_text(json.dumps(trimmed, ensure_ascii=False), encoding="utf-8")
        (place / CONFIG).write_text(json.dumps(_renumbered_config(config, new), indent=2), encoding="utf-8")
        _write_settings(checkpoint.folder, place, new)
    counts = _write_weights(checkpoint, sorted(new, key=new.__getitem__), place)
    weights_before = sum(path.stat().st_size for path in checkpoint.weight_files)
    tokenizer_before = sum(path.stat().st_size for path in deciding_files(checkpoint.folder))
    trimming = Trimming(
        languages=keep.languages,
        texts=tuple(name for name in keep.texts if name not in keep.languages),
        pieces=len(new),
        pieces_before=checkpoint.geometry.vocab_size,
        parameters=counts["parameters"],
        parameters_before=counts["parameters_before"],
        bytes=(place / "model.safetensors").stat().st_size + (place / FAST).stat().st_size,
        bytes_before=weights_before + tokenizer_before,
        segmentation=segmentation,
    )
    with writing(made):
        (place / TRIMMING).write_text(json.dumps(to_plain(trimming), indent=2), encoding="utf-8")


def _open_tokenizer(checkpoint: Checkpoint) -> Any:
    """Return the checkpoint's tokenizer.

    Raises:
        ConfigError: it exists in Python only.
        CheckpointError: it belongs to another checkpoint.
    """
    folder, embeddings = str(checkpoint.tokenizer), checkpoint.geometry.vocab_size
    try:
        tokenizer = load_tokenizer(folder)
    except ConfigError as error:
        raise ConfigError(f"{folder}: its tokenizer exists in Python only, and such ones can't be trimmed") from error
    check_tokenizer(folder, embeddings)
    count, pad = tokenizer.get_vocab_size(with_added_tokens=True), pad_of(tokenizer)
    if count < _LEAST_SHARE * embeddings:
        raise CheckpointError(
            f"the tokenizer in {folder} has {count} pieces and the model {embeddings} embeddings: it belongs to another"
            " checkpoint; put the model's own there"
        )
    if pad not in (None, checkpoint.geometry.pad_token_id):
        raise CheckpointError(
            f"the tokenizer in {folder} pads with {pad} and the model with {checkpoint.geometry.pad_token_id}: it"
            " belongs to another checkpoint; put the model's own there"
        )
    return tokenizer


def _new_ids(
    checkpoint: Checkpoint, tokenizer: Any, pieces: Pieces, kept: set[int], config: Mapping[str, Any]
) -> dict[int, int]:
    """Return the new id of each kept row of the embeddings: tokens in their order, then rows that config.json names."""
    ids = set(tokenizer.get_vocab(with_added_tokens=True).values())
    named = {id for id in _special_ids(config).values() if id < checkpoint.geometry.vocab_size}
    named.add(checkpoint.geometry.pad_token_id)
    if checkpoint.geometry.family.positions_after_padding:  # positions count from the padding's id, so it stays
        named |= set(range(checkpoint.geometry.pad_token_id + 1))
    tokens = (kept | set(tokenizer.get_added_tokens_decoder()) | named) & ids
    new = renumbered([*sorted(tokens), *sorted(named - ids)])
    pad = checkpoint.geometry.pad_token_id
    if checkpoint.geometry.family.positions_after_padding and new[pad] != pad:
        raise CheckpointError(f"{checkpoint.folder}: the padding's id {pad} would change, from which positions count")
    return new


def _special_ids(config: Mapping[str, Any]) -> dict[str, int]:
    return {name: id for name, id in config.items() if name.endswith("_token_id") and type(id) is int and id >= 0}


def _renumbered_config(config: Mapping[str, Any], new: Mapping[int, int]) -> dict[str, Any]:
    special = {name: new[id] for name, id in _special_ids(config).items() if id in new}
    return {**config, **special, "vocab_size": len(new)}


def _compare(
    checkpoint: Checkpoint,
    tokenizer: Any,
    pieces: Pieces,
    keep: Keep,
    config: Mapping[str, Any],
    after: Any,
    new: Mapping[int, int],
) -> tuple[Segmentation, ...]:
    """Return how the words of each language are segmented, by texts for which no piece was kept."""
    fewer = without_compared(keep)
    partly, partly_new = after, new
    if fewer != keep:
        partly_new = _new_ids(checkpoint, tokenizer, pieces, select(tokenizer, pieces, fewer), config)
        description = trim_description(pieces.description, partly_new)
        partly = read_trimmed(description, partly_new, tokenizer, where=str(checkpoint.folder))
    found = []
    for name in keep.names:
        sample = bool(samples_of(name))
        by, ids = (after, new) if sample else (partly, partly_new)
        if texts := texts_to_compare(keep, name):
            found.append(compare_segmentation(tokenizer, by, ids, name, texts, sample=sample))
    return tuple(found)


def _place(checkpoint: Checkpoint) -> str:
    """Return the path of the encoder in the folder that was named."""
    assert checkpoint.folder is not None  # noqa: S101 - `trimmed_checkpoint` refuses others
    return str(checkpoint.folder.relative_to(checkpoint.root)) if checkpoint.root is not None else "."


def _copies(checkpoint: Checkpoint) -> dict[str, Path]:
    """Return the files that trimming does not change, by their paths in the new folder: modules, lineage."""
    assert checkpoint.folder is not None  # noqa: S101 - `trimmed_checkpoint` refuses others
    root, place = checkpoint.root or checkpoint.folder, _place(checkpoint)
    paths = [root / name for name in SENTENCE_FILES]
    paths += [checkpoint.folder / name for name in (*SENTENCE_FILES, "lineage.json")]
    for module in module_paths(root):
        if Path(module) != Path(place):
            paths += [path for path in sorted((root / module).rglob("*")) if path.suffix in READ]
    return {str(path.relative_to(root)): path for path in paths if path.is_file()}


def _write_settings(folder: Path, place: Path, new: Mapping[int, int]) -> None:
    for name in _SETTINGS:
        if not (folder / name).is_file():
            continue
        settings = read_json_object(folder / name)
        if isinstance(added := settings.get("added_tokens_decoder"), dict):
            settings["added_tokens_decoder"] = {
                str(new[int(id)]): token for id, token in added.items() if id.isdecimal() and int(id) in new
            }
        (place / name).write_text(json.dumps(settings, indent=2, ensure_ascii=False), encoding="utf-8")


def _write_weights(checkpoint: Checkpoint, rows: Sequence[int], place: Path) -> dict[str, int]:
    """Write the weights in a child process; return the numbers of `parameters` and `parameters_before`."""
    root = str(checkpoint.root or checkpoint.folder)
    job = {"folder": root, "task": checkpoint.head.task, "rows": list(rows), "out": str(place)}
    return run_child(TRIM, job, subject=root, what="trimming")
