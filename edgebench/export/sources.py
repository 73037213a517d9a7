"""Sources: resolves the model that the user named to a checkpoint, and the input shapes of its export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgebench.artifact import Format
from edgebench.errors import ConfigError
from edgebench.export import hub
from edgebench.export.adapters import base_folder, merged_folder
from edgebench.export.cache import cache_folder
from edgebench.export.checkpoint import Checkpoint, open_checkpoint, reference_checkpoint
from edgebench.export.existing import existing_file
from edgebench.export.folders import CONFIG, is_adapter
from edgebench.export.piece_selection import Keep
from edgebench.export.sentence_modules import is_sentence_folder
from edgebench.export.tflite_file import DEFAULT_CHOICES, choose_buckets, default_buckets
from edgebench.export.tokenizer_loading import encode_with
from edgebench.export.tokens import refuse_long
from edgebench.export.trimming import trimmed_checkpoint
from edgebench.reading import is_folder, is_there, user_path
from edgebench.variant import REFERENCE_PREFIX

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """Input shapes that a .tflite file fixes: lengths in tokens, sequences per example. ONNX fixes neither."""

    buckets: tuple[int, ...] = ()
    choices: int | None = None


def longest_input(source: str | Path, format: Format | None = None, *, task: str | None = None) -> int | None:
    """Return the longest input of a model in a format, in tokens, from its config; None for an existing file.

    Raises:
        UsageError, CheckpointError: as for `export_model`.
    """
    if existing_file(source) is not None:
        return None
    longest = find_checkpoint(str(source), task=task).max_seq_len
    return max(default_buckets(longest)) if format is not None and format.runtime == "tflite" else longest


def refuse_texts(source: str | Path, format: Format, texts: Sequence[str], *, task: str | None = None) -> None:
    """Refuse texts that are longer than the longest input of a checkpoint's export.

    Does nothing for an existing file, whose limit is not known here.

    Args:
        task: as for `export_model`; the modules of a sentence-transformers folder may take shorter texts.

    Raises:
        ConfigError: some texts are too long, or the checkpoint has no tokenizer.
        UsageError, CheckpointError, MissingExtra: as for `export_model`.
    """
    if existing_file(source) is not None:
        return
    checkpoint = find_checkpoint(str(source), task=task)
    if checkpoint.tokenizer is None:
        raise ConfigError(f"{source} has no tokenizer: texts can't be encoded; try `seq_len` or `lang`")
    longest = checkpoint.max_seq_len
    buckets = shapes_of(checkpoint, format, longest, buckets=None, choices=None).buckets
    lengths = [len(ids) for ids in encode_with(checkpoint.tokenizer, texts)]
    refuse_long(lengths, max(buckets, default=longest), buckets=buckets)


def find_checkpoint(
    source: str,
    *,
    task: str | None,
    say: Say = lambda _: None,
    cache: Path | None = None,
    keep: Keep | None = None,
) -> Checkpoint:
    """Return the checkpoint that a folder, hub id or reference name stands for.

    Hub checkpoints are downloaded. An adapter (LoRA) is merged with its base, and a vocabulary is trimmed to what
    `keep` names, in the cache.

    Raises:
        UsageError, CheckpointError: as for `export_model`.
    """
    if source.startswith(REFERENCE_PREFIX):
        if keep is not None:
            raise ConfigError(f"{source} has no tokenizer: its vocabulary can't be trimmed")
        return reference_checkpoint(source, task=task)
    folder = _local_folder(source)
    if folder is None:
        say(f"fetching {source} from the hub")
        folder = hub.download(source)
    found = _open(folder, source=source, task=task, say=say, cache=cache)
    if keep is None:
        return found
    return trimmed_checkpoint(found, keep, cache=cache or cache_folder(), say=say)


def describe_checkpoint(source: str, *, task: str | None, say: Say = lambda _: None) -> Checkpoint:
    """Return what a folder, hub id or reference name says of its model; weights need not be there, nor are downloaded.

    An adapter is described by its base.

    Raises:
        UsageError, CheckpointError: as for `export_model`.
    """
    if source.startswith(REFERENCE_PREFIX):
        return reference_checkpoint(source, task=task)
    folder = _local_folder(source)
    if folder is None:
        say(f"reading the config of {source} from the hub")
        folder = hub.download(source, with_weights=False)
    if is_adapter(folder):
        folder = base_folder(folder)
    return open_checkpoint(folder, source=source, task=task, with_weights=False)


def _local_folder(source: str) -> Path | None:
    """Return the folder that a source names; None: it is the id of a checkpoint on the hub.

    Raises:
        ConfigError: there is no such folder, or it is a file.
    """
    folder = user_path(source)
    if is_folder(folder):
        return folder
    if is_there(folder):
        raise ConfigError(
            f"{source} is neither a checkpoint's folder nor an .onnx or .tflite file",
            hint=f"try the folder that it is in: {folder.parent}" if (folder.parent / CONFIG).is_file() else None,
        )
    # `runs/xnli` also looks like a hub id. If there is a folder `runs`, the user meant a folder.
    if not hub.may_be_hub_id(source) or (folder.parent != Path() and folder.parent.is_dir()):
        raise ConfigError(f"no such folder: {source}")
    return None


def _open(folder: Path, *, source: str, task: str | None, say: Say, cache: Path | None) -> Checkpoint:
    if is_adapter(folder):
        folder = merged_folder(folder, task=task, cache=cache or cache_folder(), say=say)
    return open_checkpoint(folder, source=source, task=task)


def is_sentence_model(source: str | Path) -> bool:
    """Return whether a source is a sentence-transformers model, whose vectors `task='sentence-embedding'` exports.

    An adapter without modules of its own has those of its base.

    Raises:
        ConfigError: there is no such folder.
        CheckpointError: a hub checkpoint can't be downloaded, or an adapter's base is not here.
    """
    source = str(source)
    if existing_file(source) is not None or source.startswith(REFERENCE_PREFIX):
        return False
    folder = _local_folder(source) or hub.download(source)
    return is_sentence_folder(folder) or (is_adapter(folder) and is_sentence_folder(base_folder(folder)))


def checked_length(checkpoint: Checkpoint, max_seq_len: int | None) -> int:
    longest = checkpoint.max_seq_len
    if max_seq_len is None:
        return longest
    if not 1 <= max_seq_len <= longest:
        raise ConfigError(
            f"{checkpoint.source}: max_seq_len must be 1..{longest}, the model's positions; got {max_seq_len}"
        )
    return max_seq_len


def shapes_of(
    checkpoint: Checkpoint, format: Format, longest: int, *, buckets: Sequence[int] | None, choices: int | None
) -> Shapes:
    if format.runtime != "tflite":
        return Shapes()
    if choices is not None and choices < 1:
        raise ConfigError(f"choices must be >= 1, got {choices}")
    return Shapes(
        buckets=choose_buckets(buckets, longest, where=checkpoint.source),
        choices=(choices or DEFAULT_CHOICES) if checkpoint.head.has_choices else None,
    )
