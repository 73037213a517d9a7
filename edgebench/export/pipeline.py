"""Pipeline: from what the user named to an artifact in the cache."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgebench.artifact import Artifact, ArtifactFile, Format, Parity, hash_file, parse_format
from edgebench.errors import CheckpointError, ConfigError, MissingExtra
from edgebench.export import cache as artifacts
from edgebench.export import hub, reference
from edgebench.export.checkpoint import Checkpoint, open_checkpoint, read_lineage, reference_checkpoint
from edgebench.export.existing import existing_onnx
from edgebench.export.isolation import Job, run_job
from edgebench.variant import REFERENCE_PREFIX, Variant

#: Part of every artifact's key: raise it when the same checkpoint would give another file.
EXPORTER_VERSION = 1
#: Distributions whose versions shape the graph, and the runtime that parity was checked with.
_TRACERS = ("torch", "transformers", "onnx", "onnx-ir", "onnxscript")
_CHECKERS = ("onnxruntime",)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """An artifact and the variant it was made from; `cached` says that it was there already."""

    variant: Variant
    artifact: Artifact
    cached: bool


def export_model(
    source: str | Path,
    format: Format | str = Format.ONNX_INT8,
    *,
    name: str | None = None,
    task: str | None = None,
    out: Path | None = None,
    max_seq_len: int | None = None,
    cache: Path | None = None,
    on_progress: Say | None = None,
) -> Exported:
    """Return a checkpoint as an artifact, exported unless the cache has it.

    Args:
        source: a Hugging Face folder, a hub id, `reference:tiny|minilm|base|large`, or an existing .onnx file, which
            is taken as it is, whatever `format` says.
        name: of the variant; default: the folder's, the hub id, the reference's.
        task: which head to export; default: the one in the checkpoint's config. `encoder` leaves the head out.
        out: also copy the files to OUT/<name>/<format>/, where the artifact then is.
        max_seq_len: longest input in tokens; default: as long as the model allows.
        cache: folder of artifacts; default: $EDGEBENCH_CACHE, else ~/.cache/edgebench.

    Raises:
        UsageError: no such source, format or task; max_seq_len is out of bounds.
        CheckpointError: the checkpoint is not what it should be.
        ParityError: the exported file answers something else; nothing is kept.
        ExportError: it can't be written, or the export was killed.
        MissingExtra: torch or one of its companions is not installed.
    """
    say = on_progress or (lambda _: None)
    cache = cache or artifacts.cache_folder()
    source = str(source)
    if Path(source).suffix == ".onnx":
        exported = _take_existing(Path(source), name=name, cache=cache, say=say)
    else:
        chosen = parse_format(str(format))
        checkpoint = find_checkpoint(source, task=task, say=say)
        longest = _checked_length(checkpoint, max_seq_len)
        exported = _export(checkpoint, chosen, name=name, cache=cache, say=say)
        exported = replace(exported, artifact=replace(exported.artifact, max_seq_len=longest))
    return exported if out is None else _copy_out(exported, out)


def longest_input(source: str | Path) -> int | None:
    """Return how many tokens a model takes, from its config alone; None for an existing file, which doesn't tell.

    Raises:
        UsageError, CheckpointError: as for `export_model`.
    """
    if Path(source).suffix == ".onnx":
        return None
    return find_checkpoint(str(source), task=None).geometry.max_seq_len


def find_checkpoint(source: str, *, task: str | None, say: Say = lambda _: None) -> Checkpoint:
    """Return the checkpoint behind a folder, hub id or reference name; from the hub it is downloaded.

    Raises:
        UsageError, CheckpointError: as for `export_model`.
    """
    if source.startswith(REFERENCE_PREFIX):
        return reference_checkpoint(source, task=task)
    folder = Path(source).expanduser()
    if folder.is_dir():
        return open_checkpoint(folder, source=source, task=task)
    if folder.exists():
        raise ConfigError(f"{source} is neither a checkpoint's folder nor an .onnx file")
    # `runs/xnli` looks like a hub id too; where there is a folder `runs`, a folder was meant.
    if not hub.may_be_hub_id(source) or (folder.parent != Path() and folder.parent.is_dir()):
        raise ConfigError(f"no such folder: {source}")
    say(f"fetching {source} from the hub")
    return open_checkpoint(hub.download(source), source=source, task=task)


def _take_existing(path: Path, *, name: str | None, cache: Path, say: Say) -> Exported:
    if not path.is_file():
        raise ConfigError(f"no such file: {path}")
    artifact = existing_onnx(path, cache=cache, on_progress=say)
    return Exported(variant=Variant(name=name or _name_of_file(path), source=str(path)), artifact=artifact, cached=True)


def _name_of_file(path: Path) -> str:
    """Return a file's name, or what `out` calls it: OUT/<name>/<format>/model.onnx."""
    if path.stem != "model":
        return path.stem
    folder = path.parent.resolve()
    return folder.parent.name if folder.name in {str(format) for format in Format} else folder.name


def _checked_length(checkpoint: Checkpoint, max_seq_len: int | None) -> int:
    longest = checkpoint.geometry.max_seq_len
    if max_seq_len is None:
        return longest
    if not 1 <= max_seq_len <= longest:
        raise ConfigError(
            f"{checkpoint.source}: max_seq_len must be 1..{longest}, the model's positions; got {max_seq_len}"
        )
    return max_seq_len


def _export(checkpoint: Checkpoint, format: Format, *, name: str | None, cache: Path, say: Say) -> Exported:
    lineage = read_lineage(checkpoint.folder) if checkpoint.folder else None
    key = artifacts.key_of(_identity(checkpoint, cache, say) | {"format": str(format)})
    found = artifacts.find_artifact(cache, key)
    cached = found is not None
    if found is None:
        _make(checkpoint, format, cache=cache, key=key, say=say)
        found = artifacts.find_artifact(cache, key)
    if found is None:
        raise CheckpointError(f"{checkpoint.source}: the artifact in {cache} was removed while it was made; try again")
    artifact, record = found
    variant = Variant(
        name=name or _default_name(checkpoint),
        source=checkpoint.source,
        lineage=lineage,
        parameters=record["parameters"],
    )
    return Exported(variant=variant, artifact=replace(artifact, tokenizer=checkpoint.tokenizer), cached=cached)


def _identity(checkpoint: Checkpoint, cache: Path, say: Say) -> dict[str, Any]:
    """Return all that decides the artifact's content, but for its format."""
    if checkpoint.folder is None:
        content: Any = {"seed": reference.SEED}
    else:
        content = [artifacts.remembered_hash(cache, path, on_progress=say) for path in checkpoint.weight_files]
    return _graph_identity(checkpoint) | {"content": content, "checked": _versions(_CHECKERS)}


def _graph_identity(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "exporter": EXPORTER_VERSION,
        "geometry": asdict(checkpoint.geometry),
        "task": checkpoint.head.task,
        "traced": _versions(_TRACERS),
    }


def _versions(distributions: tuple[str, ...]) -> dict[str, str]:
    versions = {}
    for distribution in distributions:
        try:
            versions[distribution] = version(distribution)
        except PackageNotFoundError as error:
            raise MissingExtra(distribution, "export", "exporting a checkpoint") from error
    return versions


def _make(checkpoint: Checkpoint, format: Format, *, cache: Path, key: str, say: Say) -> None:
    """Export into the cache."""
    start = time.perf_counter()
    with artifacts.temporary_folder(cache) as folder:
        job = Job(
            source=checkpoint.source,
            checkpoint=str(checkpoint.folder) if checkpoint.folder else None,
            task=checkpoint.head.task,
            format=str(format),
            skeleton=str(cache / "skeletons" / f"{artifacts.key_of(_graph_identity(checkpoint))}.onnx"),
            folder=str(folder),
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
            max_seq_len=checkpoint.geometry.max_seq_len,
            vocab_size=checkpoint.geometry.vocab_size,
            pad_token_id=checkpoint.geometry.pad_token_id,
            head=checkpoint.head.architecture,
            seconds=round(time.perf_counter() - start, 3),
            peak_rss_bytes=result["peak_rss_bytes"],
        )
        artifacts.keep_artifact(cache, key, folder, artifact.to_json() | {"parameters": result["parameters"]})


def _default_name(checkpoint: Checkpoint) -> str:
    if checkpoint.folder is None or not Path(checkpoint.source).expanduser().is_dir():
        return checkpoint.source
    return checkpoint.folder.resolve().name


def _copy_out(exported: Exported, out: Path) -> Exported:
    folder_name = re.sub(r"[^\w.-]+", "-", exported.variant.name).strip(".-") or "model"
    folder = out / folder_name / str(exported.artifact.format)
    return replace(exported, artifact=artifacts.copy_artifact(exported.artifact, folder))
