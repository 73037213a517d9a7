"""Artifacts that a store keeps: the files of baselines, so that they can be measured again whatever happens elsewhere.

artifacts/<sha256>/       the files and artifact.json, as `edgebench export --out` writes them
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from edgebench.artifact import Artifact
from edgebench.errors import EdgebenchError, StoreError
from edgebench.export import RECORD, cache_folder, copy_artifact, remembered_hash
from edgebench.reading import check_file
from edgebench.store.files import read_json
from edgebench.store.store import Store
from edgebench.variant import Variant


def keep_artifact(store: Store, artifact: Artifact, variant: Variant) -> Path:
    """Copy an artifact's files into the store, unless it has them; return their folder.

    `edgebench.profile` takes the folder as a model; `variant` is what it then reports.

    Raises:
        ExportError: the files can't be copied.
        StoreError: what lies at the artifact's path is another file by now, or the bucket can't be written.
    """
    folder = store.artifact_folder(artifact.sha256)
    if _is_intact(folder, artifact.sha256):
        return folder
    copy_artifact(artifact, folder, extra={"variant": variant.to_json()})
    if not _is_intact(folder, artifact.sha256):
        raise StoreError(f"{artifact.path} no longer has the file that was measured ({artifact.sha256[:12]})")
    store.keep_artifact_folder(artifact.sha256)
    return folder


def find_artifact_files(store: Store, sha256: str, *, elsewhere: Iterable[Artifact] = ()) -> Artifact | None:
    """Return the artifact with this content, from the store, the places named, or the cache; None if it is in none.

    Args:
        elsewhere: artifacts at the paths where they once were; files that have changed since are passed over.
    """
    kept = store.artifact_folder(sha256)
    for artifact in (*_recorded([kept]), *elsewhere, *_recorded(_cached_folders())):
        if artifact.sha256 == sha256 and _has_content(artifact):
            return artifact
    return None


def _cached_folders() -> list[Path]:
    return sorted((cache_folder() / "artifacts").glob("[!.]*"))


def _recorded(folders: Iterable[Path]) -> Iterator[Artifact]:
    """Yield the artifacts that records describe; a folder without a valid one is passed over."""
    for folder in folders:
        try:
            if (folder / RECORD).is_file():
                yield replace(Artifact.from_json(read_json(folder / RECORD)), path=folder.resolve())
        except EdgebenchError:
            continue


def _is_intact(folder: Path, sha256: str) -> bool:
    return any(each.sha256 == sha256 and _has_content(each) for each in _recorded([folder]))


def _has_content(artifact: Artifact) -> bool:
    try:
        for file in artifact.files:
            check_file(artifact.path / file.name, within=artifact.path)
        return all(
            remembered_hash(cache_folder(), artifact.path / file.name, on_progress=lambda _: None) == file.sha256
            for file in artifact.files
        )
    except (EdgebenchError, OSError):
        return False
