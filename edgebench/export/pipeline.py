"""Pipeline: from the source that the user named to an artifact in the cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from edgebench.artifact import Artifact, ArtifactFile, Format, Parity, hash_file, parse_format
from edgebench.errors import CheckpointError, ConfigError, ExportError, ParityError
from edgebench.export import cache as artifacts
from edgebench.export import reference
from edgebench.export.checkpoint import Checkpoint, read_lineage
from edgebench.export.copies import copy_out
from edgebench.export.existing import existing_file, exported_before, take_existing
from edgebench.export.file_sizes import model_sizes
from edgebench.export.floors import check_floor, refuse
from edgebench.export.isolation import Job, run_job
from edgebench.export.keep_texts import keep_of
from edgebench.export.names import name_of_file, name_of_folder
from edgebench.export.recipes import RECIPES, versions
from edgebench.export.sources import Say, Shapes, checked_length, find_checkpoint, shapes_of
from edgebench.export.tflite_checks import computed_by_older, other_runtimes
from edgebench.export.tflite_file import default_buckets
from edgebench.export.tflite_runtimes import TFLITE_RUNTIMES
from edgebench.export.tokenizer_files import hash_tokenizer
from edgebench.quality import QualityFloor
from edgebench.reading import is_folder, user_path
from edgebench.variant import Variant

#: Part of every artifact's key. Raise it when the same checkpoint gives a different file than before.
EXPORTER_VERSION = 7

#: An artifact and its record.
Found: TypeAlias = tuple[Artifact, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """An artifact and the variant it was made from. `cached`: it was not made by this call."""

    variant: Variant
    artifact: Artifact
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What is demanded of a file's outputs; as the arguments of `export_model`."""

    accept_parity: bool
    quality_floor: float | None


def export_model(
    source: str | Path,
    format: Format | str = Format.ONNX_INT8,
    *,
    name: str | None = None,
    task: str | None = None,
    out: Path | None = None,
    max_seq_len: int | None = None,
    buckets: Sequence[int] | None = None,
    choices: int | None = None,
    cache: Path | None = None,
    accept_parity: bool = False,
    quality_floor: float | None = None,
    keep_langs: Sequence[str] = (),
    keep_texts: Sequence[str | Path] = (),
    on_progress: Say | None = None,
) -> Exported:
    """Return a checkpoint as an artifact. It is exported unless the cache has it.

    Args:
        source: a Hugging Face folder, a hub id, `reference:tiny|minilm|base|large`, or an existing .onnx or .tflite
            file (or the folder that an export wrote it to), which is used unchanged; `format` is then ignored.
        name: name of the variant; default: the name of the folder, hub id or reference.
        task: which head to export; default: the one in the checkpoint's config. `encoder` leaves the head out;
            `sentence-embedding` adds the modules of a sentence-transformers folder (Pooling, Dense, Normalize).
        out: also copy the files to OUT/<name>/<format>/; the returned artifact is then there.
        max_seq_len: longest input in tokens; default: the model's maximum.
        buckets: TFLite only: input lengths, in tokens, to make signatures for; default: 32, 64, 128, 256 and 512, up to
            max_seq_len.
        choices: TFLite only: sequences per multiple-choice example; default: 2.
        cache: folder of artifacts; default: $EDGEBENCH_CACHE, else ~/.cache/edgebench.
        accept_parity: keep a file whose parity is beyond the limit for its head and format. The artifact records it.
        quality_floor: for onnx-int8 and onnx-int4: the least cosine, or share of equal answers for a head, above 0 and
            at most 1. As few layers as this needs stay in higher precision; the artifact's `quality` says which.
        keep_langs: languages that the vocabulary is trimmed to, such as `en`; the file then belongs to the smaller
            tokenizer that the artifact names, and `out` gets a copy of it.
        keep_texts: files of texts whose pieces are kept, as well as those of `keep_langs`: one text a line, or texts by
            language in JSON or CSV.

    Raises:
        UsageError: there is no such source, format or task; or max_seq_len, a bucket or the quality floor is out of
            range, or the format has no quality floor.
        CheckpointError: the checkpoint is invalid or not supported.
        ParityError: the exported file's outputs differ from torch's by more than the limit, or no choice of
            layers reaches the quality floor; nothing is kept.
        ExportError: the file can't be written, or the export was killed.
        MissingExtra: torch or another package of the extra is not installed.
    """
    say = on_progress or (lambda _: None)
    cache = cache or artifacts.cache_folder()
    source = str(source)
    keep = keep_of(keep_langs, keep_texts)
    if (existing := existing_file(source)) is not None:
        if keep is not None:
            raise ConfigError(f"{existing} is exported already: name its checkpoint, to trim the vocabulary")
        if quality_floor is not None:
            raise ConfigError(f"{existing} is exported already: name its checkpoint, to set a quality floor")
        exported = _take_existing(existing, name=name or name_of_folder(source), cache=cache, say=say)
    else:
        chosen = parse_format(str(format))
        if quality_floor is not None:
            check_floor(quality_floor, [chosen])
        checkpoint = find_checkpoint(source, task=task, say=say, cache=cache, keep=keep)
        longest = checked_length(checkpoint, max_seq_len)
        if buckets is None and max_seq_len is not None:
            buckets = default_buckets(longest, reach=longest)
        shapes = shapes_of(checkpoint, chosen, longest, buckets=buckets, choices=choices)
        demands = Demands(accept_parity=accept_parity, quality_floor=quality_floor)
        exported = _export(checkpoint, chosen, shapes, demands, name=name, cache=cache, say=say)
        longest = max(shapes.buckets, default=longest)
        exported = replace(exported, artifact=replace(exported.artifact, max_seq_len=longest))
    if out is None:
        return exported
    return replace(exported, artifact=copy_out(exported.variant, exported.artifact, out))


def _take_existing(path: Path, *, name: str | None, cache: Path, say: Say) -> Exported:
    if not path.is_file():
        raise ConfigError(f"no such file: {path}")
    variant = Variant(name=name or name_of_file(path), source=str(path))
    kept = exported_before(path, cache=cache, on_progress=say)
    if kept is not None:
        artifact, recorded = kept
        known = replace(recorded, name=name or recorded.name) if recorded is not None else variant
        return Exported(variant=known, artifact=artifact, cached=True)
    return Exported(variant=variant, artifact=take_existing(path, cache=cache, on_progress=say), cached=True)


def _export(
    checkpoint: Checkpoint,
    format: Format,
    shapes: Shapes,
    demands: Demands,
    *,
    name: str | None,
    cache: Path,
    say: Say,
) -> Exported:
    lineage = read_lineage(checkpoint.folder) if checkpoint.folder else None
    accept_parity, floor = demands.accept_parity, demands.quality_floor
    identity = _identity(checkpoint, format, cache, say) | asdict(shapes)
    key = artifacts.key_of(identity | ({"quality_floor": float(floor)} if floor is not None else {}))
    found = artifacts.find_artifact(cache, key, on_progress=say)
    cached = found is not None
    if found is None:
        _make(checkpoint, format, shapes, demands, cache=cache, key=key, say=say)
        found = artifacts.find_artifact(cache, key)
    elif computed_by_older(format):
        found = _check_in_more_runtimes(
            checkpoint, shapes, found, cache=cache, key=key, accept_parity=accept_parity, say=say
        )
    if found is None:
        raise CheckpointError(f"{checkpoint.source}: the artifact in {cache} was removed while it was made; try again")
    artifact, record = found
    for parity in (artifact.parity, *artifact.parity_elsewhere):
        if parity is not None:
            refuse(parity, format, where=checkpoint.source, accept=accept_parity, outcome="accepted before, not now")
    for shortfall in artifact.shortfalls:
        say(f"parity accepted beyond its limit: {shortfall}")
    for note in artifact.notes:
        say(note)
    variant = Variant(
        name=name or _default_name(checkpoint, floor),
        source=checkpoint.source,
        lineage=lineage,
        parameters=record["parameters"],
    )
    artifact = replace(
        artifact,
        tokenizer=checkpoint.tokenizer,
        tokenizer_sha256=_tokenizer_hash(checkpoint, cache, say),
        sizes=model_sizes(checkpoint, format),
    )
    return Exported(variant=variant, artifact=artifact, cached=cached)


def _identity(checkpoint: Checkpoint, format: Format, cache: Path, say: Say) -> dict[str, Any]:
    """Return everything that determines the artifact's content, except its shapes."""
    recipe = RECIPES[format]
    return _graph_identity(checkpoint, format) | {
        "format": str(format),
        "content": _content(checkpoint, cache, say),
        "problem_type": checkpoint.problem_type,
        "tokenizer": _tokenizer_hash(checkpoint, cache, say),
        "written": versions(recipe.writers, extra=recipe.extra),
        "checked": versions(recipe.checkers, extra=recipe.extra),
        **({"scales": str(recipe.scales)} if recipe.scales is not None else {}),
    }


def _content(checkpoint: Checkpoint, cache: Path, say: Say) -> Any:
    if checkpoint.folder is None:
        return {"seed": reference.SEED}
    return [artifacts.remembered_hash(cache, path, on_progress=say) for path in checkpoint.content_files]


def _graph_identity(checkpoint: Checkpoint, format: Format) -> dict[str, Any]:
    recipe = RECIPES[format]
    return _sentence_identity(checkpoint) | {
        "exporter": EXPORTER_VERSION,
        "geometry": asdict(checkpoint.geometry),
        "task": checkpoint.head.task,
        "traced": versions(recipe.tracers, extra=recipe.extra),
    }


def _sentence_identity(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"sentence": checkpoint.sentence.identity()} if checkpoint.sentence is not None else {}


def _expected_key(checkpoint: Checkpoint, cache: Path, say: Say) -> str:
    """Return the cache key of torch's outputs for this checkpoint, which all formats share."""
    identity = _sentence_identity(checkpoint) | {
        "exporter": EXPORTER_VERSION,
        "geometry": asdict(checkpoint.geometry),
        "task": checkpoint.head.task,
        "content": _content(checkpoint, cache, say),
        "tokenizer": _tokenizer_hash(checkpoint, cache, say),
        "ran": versions(("torch", "transformers"), extra="export"),
    }
    return artifacts.key_of(identity)


def _tokenizer_hash(checkpoint: Checkpoint, cache: Path, say: Say) -> str | None:
    """Return the hash of the tokenizer, which also encodes the parity check's inputs; None if they are random."""
    if checkpoint.tokenizer is None:
        return None
    return hash_tokenizer(Path(checkpoint.tokenizer), partial(artifacts.remembered_hash, cache, on_progress=say))


def _make(
    checkpoint: Checkpoint,
    format: Format,
    shapes: Shapes,
    demands: Demands,
    *,
    cache: Path,
    key: str,
    say: Say,
) -> None:
    """Export into the cache."""
    base = None
    if (source := RECIPES[format].made_from) is not None:
        base = _export(checkpoint, source, shapes, demands, name=None, cache=cache, say=say)
    elsewhere = other_runtimes(TFLITE_RUNTIMES, cache, say) if computed_by_older(format) else []
    start = time.perf_counter()
    with artifacts.temporary_folder(cache) as folder:
        job = replace(
            _job(checkpoint, format, shapes, folder, elsewhere, cache, say),
            skeleton=str(cache / "skeletons" / f"{artifacts.key_of(_graph_identity(checkpoint, format))}.onnx"),
            made_from=str(base.artifact.model_path) if base else None,
            accept_parity=demands.accept_parity,
            quality_floor=demands.quality_floor,
        )
        result = run_job(job, on_progress=say)
        names = sorted(path.name for path in folder.iterdir())  # model.onnx sorts before model.onnx.data
        files = [
            ArtifactFile(name=name, sha256=hash_file(folder / name), bytes=(folder / name).stat().st_size)
            for name in names
        ]
        artifact = Artifact(
            format=format,
            files=tuple(files),
            path=folder,
            parity=Parity.from_json(result["parity"]),
            parity_elsewhere=tuple(Parity.from_json(parity) for parity in result["parity_elsewhere"]),
            refused_by=result["refused_by"],
            buckets=shapes.buckets,
            choices=shapes.choices,
            max_seq_len=checkpoint.geometry.max_seq_len,
            vocab_size=checkpoint.geometry.vocab_size,
            pad_token_id=checkpoint.geometry.pad_token_id,
            head=checkpoint.head.architecture,
            # The total from checkpoint to this file, whether or not the base was cached.
            seconds=round(time.perf_counter() - start + ((base.artifact.seconds or 0) if base else 0), 3),
            trimming=checkpoint.trimming,
            quality=QualityFloor.from_json(result["quality"]) if result["quality"] is not None else None,
            pooling=checkpoint.sentence.description if checkpoint.sentence is not None else None,
            notes=tuple(result["notes"]) if base is None else base.artifact.notes,
            peak_rss_bytes=_highest(result["peak_rss_bytes"], base.artifact.peak_rss_bytes if base else None),
            weight_scales=RECIPES[format].scales,
            sizes=model_sizes(checkpoint, format),
        )
        artifact = replace(artifact, parity_accepted=bool(artifact.shortfalls))
        parameters = result["parameters"] if base is None else base.variant.parameters
        artifacts.keep_artifact(cache, key, folder, artifact.to_json() | {"parameters": parameters})


def _job(
    checkpoint: Checkpoint,
    format: Format,
    shapes: Shapes,
    folder: Path,
    elsewhere: Sequence[tuple[str, str]],
    cache: Path,
    say: Say,
) -> Job:
    """Return the job of a child process for a file in `folder`, which exists already or is to be made."""
    return Job(
        source=checkpoint.source,
        checkpoint=str(checkpoint.root or checkpoint.folder) if checkpoint.folder else None,
        task=checkpoint.head.task,
        format=str(format),
        expected=str(cache / "expected" / f"{_expected_key(checkpoint, cache, say)}.npz"),
        folder=str(folder),
        buckets=shapes.buckets,
        choices=shapes.choices,
        elsewhere=tuple(elsewhere),
    )


def _check_in_more_runtimes(
    checkpoint: Checkpoint,
    shapes: Shapes,
    found: Found,
    *,
    cache: Path,
    key: str,
    accept_parity: bool,
    say: Say,
) -> Found:
    """Return a cached .tflite file, also checked in the runtimes that were not available when it was made.

    If such a check fails to run, for example for lack of memory, the file stays valid.

    Raises:
        ParityError: outputs in one of the runtimes differ; the file is removed from the cache.
    """
    artifact, record = found
    checked_in = {parity.runtime for parity in artifact.parity_elsewhere} | set(artifact.refused_by)
    missing = [version for version in TFLITE_RUNTIMES if f"tflite-runtime {version}" not in checked_in]
    elsewhere = other_runtimes(missing, cache, say)
    if not elsewhere:
        return found
    job = _job(checkpoint, artifact.format, shapes, artifact.path, elsewhere, cache, say)
    try:
        result = run_job(replace(job, only_elsewhere=True, accept_parity=accept_parity), on_progress=say)
    except ParityError:
        artifacts.drop_artifact(cache, key)
        raise
    except ExportError as error:
        say(f"not checked in tflite-runtime {', '.join(version for version, _ in elsewhere)}: {error}")
        return found
    further = tuple(Parity.from_json(parity) for parity in result["parity_elsewhere"])
    checked = replace(
        artifact,
        parity_elsewhere=(*artifact.parity_elsewhere, *further),
        refused_by={**artifact.refused_by, **result["refused_by"]},
    )
    checked = replace(checked, parity_accepted=bool(checked.shortfalls))
    record = record | checked.to_json()
    with suppress(ExportError):  # the cache may be read-only
        artifacts.update_record(cache, key, record)
    return checked, record


def _highest(*values: int | None) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _default_name(checkpoint: Checkpoint, floor: float | None) -> str:
    name = checkpoint.source
    if checkpoint.folder is not None and is_folder(user_path(checkpoint.source)):
        name = user_path(checkpoint.source).resolve().name
    trimmed = "-trimmed" if checkpoint.trimming is not None else ""
    return name + trimmed + (f"-floor-{floor:g}" if floor is not None else "")
