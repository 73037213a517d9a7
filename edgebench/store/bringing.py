"""Bringing what one store has to another: from a folder to a bucket, say. What is there already is left as it is."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from edgebench.errors import StoreError, UsageError
from edgebench.store.files import replace_file, sync, writing
from edgebench.store.runs import StoredRun
from edgebench.store.store import Store
from edgebench.store.stored_documents import KINDS, SyncResult

_TOGETHER = 128


def bring_from(source: Store, target: Store) -> SyncResult:
    """Copy the runs and documents of a store to another that lacks them; return how many that were.

    Raises:
        UsageError: both are the same store, or the source has nothing.
        StoreError: one can't be read or written; what was brought until then is there.
    """
    if source.location == target.location:
        raise UsageError(f"{source.location} is the store that is to be brought there; name another")
    runs = source.stored_runs()
    if not runs and not any(source.documents_folder(kind).is_dir() for kind in KINDS):
        raise UsageError(f"{source.location} holds nothing that could be brought to {target.location}")
    there, gone = target.run_ids()
    missing = [each for each in runs if each.run.id not in there and each.run.id not in gone]
    for at in range(0, len(missing), _TOGETHER):
        some = missing[at : at + _TOGETHER]
        source.bring_traces(some)
        target.take_in([_copied(each, target) for each in some])
    documents = 0
    for kind in KINDS:
        here = target.documents_folder(kind)
        for path in sorted(source.documents_folder(kind).glob("[!.]*.json")):
            if not (here / path.name).exists():
                text = path.read_text(encoding="utf-8")
                with writing(target.folder):
                    replace_file(here / path.name, text)
                target.document_written(here / path.name)
                documents += 1
    return SyncResult(runs=len(missing), documents=documents)


def _copied(stored: StoredRun, target: Store) -> str:
    """Copy a run's files; it appears at once."""
    id = stored.run.id
    if id != stored.folder.name:
        raise StoreError(f"{stored.folder} has the run {id!r}; rename it, or remove it")
    folder = target.folder / "runs" / id
    temporary = folder.with_name(f".{id}.{secrets.token_hex(4)}")
    with writing(target.folder):
        temporary.mkdir(parents=True)
        try:
            for name in ("trace.parquet", "run.json"):
                _copy(stored.folder / name, temporary / name)
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return id


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target, follow_symlinks=False)
    if target.is_symlink():
        raise StoreError(f"{source} is a link; copy the file there")
    sync(target)
