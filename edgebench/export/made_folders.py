"""Made folders: checkpoints that edgebench makes and keeps in the cache, each with the hashes of its files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from edgebench.artifact import hash_file
from edgebench.errors import StoreError
from edgebench.export.cache import has_hash

#: The file with the hashes of a folder's files.
MADE = "made.json"


def first_changed(folder: Path, cache: Path) -> str | None:
    """Return a file of a made folder that is missing or not the one that was made; None: there is none."""
    try:
        hashes = json.loads((folder / MADE).read_text(encoding="utf-8"))
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / MADE]
        if added := [str(path.relative_to(folder)) for path in files if str(path.relative_to(folder)) not in hashes]:
            return added[0]
        for name, digest in hashes.items():
            path = folder / name
            if not path.is_file() or not has_hash(cache, path, digest):
                return str(name)
    except (OSError, ValueError, AttributeError, TypeError, StoreError):
        return MADE
    return None


def keep_folder(made: Path, target: Path, cache: Path) -> None:
    """Move a finished folder into the cache. An intact one that another process put there stays.

    Raises:
        OSError: it can't be moved or written.
    """
    files = sorted(path for path in made.rglob("*") if path.is_file())
    hashes = {str(path.relative_to(made)): hash_file(path) for path in files}
    (made / MADE).write_text(json.dumps(hashes, indent=2), encoding="utf-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and first_changed(target, cache) is not None:
        broken = made.with_name(f"{made.name}.broken")
        target.rename(broken)
        shutil.rmtree(broken, ignore_errors=True)
    try:
        made.rename(target)
    except OSError:
        if not target.exists() or first_changed(target, cache) is not None:
            raise
