"""Where the seeds and the found cases of a target lie."""

from __future__ import annotations

import hashlib
from pathlib import Path

SEEDS = Path(__file__).parent / "seeds"
_FOUND = "found-"


def known_targets() -> list[str]:
    """Return the names of the targets."""
    return sorted(path.name for path in SEEDS.iterdir())


def cases_of(target: str) -> list[Path]:
    """Return the seeds and the found cases of a target."""
    return sorted((SEEDS / target).iterdir())


def seeds_of(target: str) -> list[Path]:
    """Return the seeds of a target, without the found cases."""
    return [path for path in cases_of(target) if not path.name.startswith(_FOUND)]


def keep_case(folder: Path, data: bytes) -> Path:
    """Keep an input that was a finding, in the folder of its target's seeds; return its file."""
    path = folder / f"{_FOUND}{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path
