"""Which CI system a repository uses: from its files, else from where it was cloned."""

from __future__ import annotations

import subprocess
from enum import StrEnum
from pathlib import Path

from edgebench.errors import UsageError
from edgebench.text import printable


class CiSystem(StrEnum):
    """A CI system that there is a recipe for."""

    GITHUB = "github"
    GITLAB = "gitlab"
    JENKINS = "jenkins"


#: What a repository has that uses a system.
_FILES = {CiSystem.GITHUB: ".github", CiSystem.GITLAB: ".gitlab-ci.yml", CiSystem.JENKINS: "Jenkinsfile"}
_TIMEOUT_S = 10


def repository_of(folder: Path) -> Path:
    """Return the repository's folder that this one is in, or the folder itself."""
    start = folder.absolute()
    return next((each for each in (start, *start.parents) if (each / ".git").exists()), start)


def detect_system(repository: Path) -> CiSystem:
    """Return the CI system that a repository uses.

    Raises:
        UsageError: its files show several or none, and its remote shows none.
    """
    found = [system for system, name in _FILES.items() if (repository / name).exists()]
    if len(found) == 1:
        return found[0]
    remote = _remote_host(repository)
    named = [system for system in found or CiSystem if str(system) in remote]
    if len(named) == 1:
        return named[0]
    shown = " and ".join(_FILES[system] for system in found)
    nothing = f"nothing shows its CI system (no {', '.join(_FILES.values())}, no remote at GitHub or GitLab)"
    raise UsageError(
        f"{repository}: {f'there are {shown}' if found else nothing}",
        hint=f"try: edgebench ci init --for {found[0] if found else CiSystem.GITHUB}",
    )


def _remote_host(repository: Path) -> str:
    """Return the host that the repository was cloned from, in lower case; empty where there is none."""
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), "config", "--get", "remote.origin.url"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    address = printable(done.stdout.strip())
    # https://HOST/..., ssh://git@HOST:PORT/..., git@HOST:...
    if "://" in address:
        address = address.partition("://")[2].partition("/")[0]
    elif ":" in address:
        address = address.partition(":")[0]
    else:
        return ""
    return address.rpartition("@")[2].partition(":")[0].lower()
