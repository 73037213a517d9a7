"""Boards to test against. What a fixture needs is imported in it: most tests need no SSH."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.board.ssh_board import SshBoard

# Background jobs start with SIGINT ignored, those of nohup with SIGHUP, and children inherit that: tests send both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# pytest imports readline, which sets the width of the terminal for children: some tables would hide columns.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)
    os.unsetenv(name)  # os.environ does not know what a library has set

# Two processes on two cores: torch's threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A test does not depend on speed: other processes may have the processor while an example is drawn.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

#: Of tests that `make test-fast` leaves out: they start an SSH server, or export.
SLOW_FIXTURES = {"new_board", "cache"}

NewBoard = Callable[[str], "SshBoard"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, and put its files first: of two processes, none is left alone with a long one at the end."""
    slow_files = set()
    for item in items:
        if item.get_closest_marker("export") or SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
            slow_files.add(item.path)
    items.sort(key=lambda item: item.path not in slow_files)


@pytest.fixture(autouse=True)
def board_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has this machine, as the board `local`, for itself: no lease of another test's."""
    monkeypatch.setenv("EDGEBENCH_HOME", str(tmp_path / "local-board"))


@pytest.fixture(scope="session", autouse=True)
def shared_imports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Exports of these processes import torch once, all of them together: see fork_server.py."""
    from edgebench.export import adapters, isolation, standstill, trimming
    from tests.fork_server import CLIENTS_WAIT_S, MERGE, TRIM, client_command

    in_xdist = "PYTEST_XDIST_WORKER" in os.environ
    with pytest.MonkeyPatch.context() as patch:
        socket = _of_all_processes(tmp_path_factory) / "exports"
        session = os.getppid() if in_xdist else os.getpid()
        patch.setattr(isolation, "WORKER", client_command(socket, session))
        patch.setattr(standstill, "STANDSTILL_S", CLIENTS_WAIT_S)
        patch.setattr(adapters, "MERGE", client_command(socket, session, MERGE))
        patch.setattr(trimming, "TRIM", client_command(socket, session, TRIM))
        yield


@pytest.fixture
def own_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports of this test start as a user's do, with this test's environment and imports of their own."""
    from edgebench.export import isolation
    from tests.fork_server import WORKER

    monkeypatch.setattr(isolation, "WORKER", (sys.executable, "-P", "-m", WORKER))


def kept_folder() -> Path:
    """Return what tests keep between sessions, outside the repository: ~/.cache/edgebench-tests; it may be removed."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "edgebench-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _of_all_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the session's temporary folder that all processes of pytest-xdist have."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture
def client_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home of the user who runs edgebench: no ~/.ssh but what the test writes, no SSH agent."""
    home = tmp_path / "client-home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture
def new_board(tmp_path: Path, client_home: Path) -> Iterator[NewBoard]:
    """A function that starts a board: `new_board("asyncssh")` or `new_board("openssh")`; each has its own home."""
    boards: list[SshBoard] = []

    def start(kind: str) -> SshBoard:
        from tests.board.ssh_board import SshBoard

        folder = tmp_path / f"board-{len(boards)}"
        folder.mkdir()
        boards.append(SshBoard(_server(kind, folder / "home"), folder))
        return boards[-1]

    yield start
    for board in boards:
        board.close()


def _server(kind: str, home: Path):  # type: ignore[no-untyped-def]  # either import may be missing
    if kind == "asyncssh":
        pytest.importorskip("asyncssh")
        from tests.board.ssh_server import AsyncSshServer

        return AsyncSshServer(home)
    from tests.board.openssh import SSHD, OpenSshServer

    if SSHD is None:
        pytest.skip("OpenSSH's sshd is not installed")
    return OpenSshServer(home)


@pytest.fixture
def ssh_board(new_board: NewBoard) -> SshBoard:
    """A board behind a real SSH server in this process: .device(), .home, .cut(), .proxy, .server."""
    return new_board("asyncssh")


@pytest.fixture
def openssh_board(new_board: NewBoard) -> SshBoard:
    """A board behind OpenSSH; mark the test `openssh`."""
    return new_board("openssh")


@pytest.fixture(params=["asyncssh", pytest.param("openssh", marks=pytest.mark.openssh)])
def any_ssh_board(request: pytest.FixtureRequest, new_board: NewBoard) -> SshBoard:
    """One board after the other: both kinds of server."""
    return new_board(request.param)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for tests that don't mind what is in it, new in every session: graphs are traced once.

    All processes of pytest-xdist have the same one, so more may appear in it at any moment. The environments of older
    runtimes, which pip makes, are kept for the next session.
    """
    from edgebench.export import tflite_runtimes

    cache = _of_all_processes(tmp_path_factory) / "cache"
    recipe = hashlib.sha256(Path(tflite_runtimes.__file__).read_bytes()).hexdigest()[:12]
    environments = kept_folder() / f"environments-{recipe}"
    environments.mkdir(exist_ok=True)
    for failure in environments.glob("*.failed"):  # of an earlier session
        failure.unlink(missing_ok=True)
    cache.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (cache / "environments").symlink_to(environments)
    return cache


@pytest.fixture
def own_cache(cache: Path, tmp_path: Path) -> Path:
    """A cache with no artifact in it, that need not trace, ask torch or install runtimes again as another test did."""
    own = tmp_path / "own-cache"
    own.mkdir()
    for name in ("skeletons", "expected", "environments"):
        (cache / name).mkdir(exist_ok=True)
        (own / name).symlink_to(cache / name)
    return own


@pytest.fixture(scope="session")
def tiny_onnx(cache: Path) -> Path:
    """`reference:tiny` in onnx-int8, exported once: a real model file of some 200 kB."""
    from edgebench.export import export_model

    with (cache / "tiny.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process finds it made
        return export_model("reference:tiny", "onnx-int8", cache=cache).artifact.model_path
