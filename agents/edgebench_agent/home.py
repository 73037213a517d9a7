"""Where the agent keeps its files on the board, and how it starts itself again.

EDGEBENCH_HOME (else ~/.edgebench) holds agents/, blobs/, envs/, runs/ and `lock`, which is held while a run measures.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence, Tuple

from .private import MARKER, NotPrivate, make_private, user_name
from .protocol.failure import Failure

if TYPE_CHECKING:
    from .protocol.run_spec import ModelFile  # not loaded by every command

PACKAGE = "edgebench_agent"


class Home:
    """The agent's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.agents = root / "agents"
        self.blobs = root / "blobs"
        self.envs = root / "envs"
        self.runs = root / "runs"
        self.lock = root / "lock"
        self.power = root / "power.json"  # what clocks and power were before we set them
        self.power_part = root / "power.part"
        self.lease = root / "lease.json"
        self.lease_part = root / "lease.json.part"
        self.lease_renewed = root / "lease.renewed"
        self.lease_lock = root / "lease.lock"
        self.private = root / MARKER
        self.verified = root / "verified.json"  # which files were verified, and when

    def blob(self, sha256: str) -> Path:
        """Return the path of a blob."""
        return self.blobs / sha256

    def run(self, run_id: str) -> "RunFolder":
        """Return the folder of a run."""
        return RunFolder(self.runs / run_id)

    def folders(self) -> List[Path]:
        """Return the folders that edgebench makes here."""
        return [self.agents, self.blobs, self.envs, self.runs]

    def files(self) -> List[Path]:
        """Return the files that edgebench makes here, apart from the folders."""
        files = [self.lock, self.power, self.lease, self.lease_renewed, self.lease_lock]
        return [*files, self.power_part, self.lease_part, self.private, self.verified]

    def require_private(self) -> None:
        """Make sure that no other user can change anything here; loose permissions of our own files are mended.

        Raises:
            Failure: not_permitted.
        """
        try:
            make_private(self.root)
        except NotPrivate as error:
            raise Failure("not_permitted", str(error)) from error

    def create(self) -> None:
        """Make the folders that do not exist yet; only the owner may read them."""
        if not os.path.lexists(self.root):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.private.touch(mode=0o600)  # nothing to check yet
        for folder in (self.agents, self.blobs, self.runs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec = path / "spec.json"
        self.pid = path / "pid"
        self.journal = path / "journal.ndjson"
        self.log = path / "agent.log"
        self.outputs = path / "outputs.npy"
        self.renewed = path / "renewed"
        self.stop = path / "stop"

    def model(self, number: int = 0) -> Path:
        """Return the folder of the run's own model, or of one that it alternates with."""
        return self.path / (f"model-{number}" if number else "model")

    def inputs(self, number: int = 0) -> Path:
        """Return the inputs of the run's own model, or of one that it alternates with."""
        return self.path / (f"inputs-{number}" if number else "inputs")

    def model_paths(self, files: Sequence["ModelFile"], number: int = 0) -> List[Path]:
        """Return the paths of a model's files: in the run's folder, or their own paths on this machine."""
        return [Path(file.path) if file.path is not None else self.model(number) / file.name for file in files]


def concerns_home(home: Home, error: PermissionError) -> bool:
    """Return whether an error is about a path below the home, or about making the home."""
    if error.filename is None:
        return False
    path = Path(os.fsdecode(error.filename))
    return home.root in (path, *path.parents) or path in home.root.parents


def not_permitted(home: Home, error: PermissionError) -> Failure:
    """Return the failure for files of another user, or our own ones without permission."""
    path = Path(os.fsdecode(error.filename or home.root))
    where = path
    while not os.path.lexists(where) and where != where.parent:
        where = where.parent  # a path that can't be made: its folder forbids it
    owner = _owner(where)
    if owner == os.geteuid():
        why, fix = f"the permissions of {where} forbid it", f"chmod -R u+rwX {home.root}"
    else:
        theirs = "another user" if owner is None else user_name(owner)
        why = f"{where} belongs to {theirs}, and we are {user_name(os.geteuid())}"
        fix = f'sudo chown -R "$USER" {home.root}'
    return Failure(
        "not_permitted",
        f"{path} can't be opened or written: {why}; try on the board: {fix}, "
        f"or set EDGEBENCH_HOME to a folder of this user",
    )


def _owner(path: Path) -> Optional[int]:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def find_home() -> Home:
    """Return the agent's folder: EDGEBENCH_HOME, else ~/.edgebench; it need not exist."""
    configured = os.environ.get("EDGEBENCH_HOME")
    # Without `..`, so that every folder on the way is one that was checked.
    root = Path(configured).absolute() if configured else Path("~/.edgebench").expanduser()
    return Home(Path(os.path.normpath(root)))


def board_root() -> Path:
    """Return where /proc, /sys and /etc of the board are: EDGEBENCH_ROOT (for tests with recorded trees), else /."""
    return Path(os.environ.get("EDGEBENCH_ROOT") or "/")


def own_archive() -> Optional[Path]:
    """Return the zipapp that this code runs from, or None."""
    archive = getattr(sys.modules[PACKAGE].__loader__, "archive", None)
    return None if archive is None else Path(archive).absolute()


def own_sha256() -> Optional[str]:
    """Return the content hash that names the zipapp, or None where the agent doesn't run from one."""
    archive = own_archive()
    if archive is None or len(archive.stem) != 64 or set(archive.stem) - set("0123456789abcdef"):
        return None
    return archive.stem


def own_command(*arguments: str) -> Tuple[List[str], Dict[str, str]]:
    """Return the command line and environment that run this very agent again."""
    archive = own_archive()
    # ONNX Runtime 1.29 and later reports every model load to Microsoft, in a thread of the measured process.
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    if archive is not None:
        return [sys.executable, str(archive), *arguments], environment
    folder = str(Path(next(iter(sys.modules[PACKAGE].__path__))).absolute().parent)
    before = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = folder if not before else folder + os.pathsep + before
    return [sys.executable, "-m", PACKAGE, *arguments], environment
