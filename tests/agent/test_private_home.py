"""The agent's home belongs to one user: nobody else may change it, replace it, or stop a run in it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgebench.board import connect_agent
from edgebench.device import find_device
from edgebench.errors import BoardError
from edgebench_agent.protocol import Done
from tests.agent.agent_board import AgentBoard

OTHER = 12345

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as a second user")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder in which others may list files, as a shared one for temporary files."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def refusal(board: AgentBoard) -> str:
    """Return why the agent refuses its home, which must not have changed anything there."""
    reply = board.reply("lease", input=b'{"do":"show"}')
    assert (reply["ok"], reply["kind"]) == (False, "not_permitted")
    assert "try on the board: " in reply["message"]
    return str(reply["message"])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the agent into a home, as the host does, and run a command there."""
    monkeypatch.setenv("EDGEBENCH_HOME", str(home))
    with connect_agent(replace(find_device("local"), name="board"), python=sys.executable) as agent:
        agent.temperatures()


def test_a_home_that_an_older_version_left_open_is_mended(board: AgentBoard) -> None:
    spec = board.spec()
    environment = board.home / "envs/0/lib"
    environment.mkdir(parents=True)
    (environment / "module.py").touch()
    (environment / "lib64").symlink_to("lib")
    (board.home / "private").unlink(missing_ok=True)
    for place, _, names in os.walk(board.home):
        Path(place).chmod(0o777)
        for name in names:
            if not Path(place, name).is_symlink():
                Path(place, name).chmod(0o666)
    assert isinstance(board.run(spec)[-1], Done)
    assert mode(board.home) == 0o700
    for place, _, names in os.walk(board.home):
        for path in (Path(place), *(Path(place, name) for name in names)):
            assert path.is_symlink() or not mode(path) & 0o022, path


def test_a_home_that_was_opened_again_is_checked_to_its_depth_again(board: AgentBoard) -> None:
    board.spec()
    module = board.home / "envs/0/lib/module.py"
    module.parent.mkdir(parents=True)
    module.touch()
    module.chmod(0o666)
    board.home.chmod(0o777)
    assert board.reply("lease", input=b'{"do":"show"}')["ok"]
    assert (mode(board.home), mode(module)) == (0o700, 0o644)


def test_what_the_agent_makes_is_its_owners_alone_whatever_the_umask(board: AgentBoard) -> None:
    board.home = board.home / "deeper/home"
    board.environment["EDGEBENCH_HOME"] = str(board.home)
    before = os.umask(0)
    try:
        board.launch_well(board.spec(), cwd="/")
    finally:
        os.umask(before)
    assert mode(board.home.parent) == 0o700
    found = [Path(place, name) for place, folders, names in os.walk(board.home) for name in (*folders, *names)]
    assert len(found) > 8
    assert [path for path in found if not path.is_symlink() and mode(path) & 0o077] == []


@pytest.mark.parametrize("what", [".", "agents", "blobs", "lock", "envs"])
def test_links_in_place_of_the_home_or_its_folders_are_refused(board: AgentBoard, tmp_path: Path, what: str) -> None:
    board.spec()
    path = board.home / what
    elsewhere = tmp_path / "elsewhere"
    if path.exists():
        path.rename(elsewhere)
    else:
        elsewhere.mkdir()
    path.symlink_to(elsewhere)
    assert f"{path} is a symbolic link" in refusal(board)


def test_a_link_on_the_way_to_the_home_is_refused_with_where_it_leads(board: AgentBoard, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    board.environment["EDGEBENCH_HOME"] = str(tmp_path / "link/home")
    assert f"{tmp_path / 'link'} is a symbolic link" in refusal(board)
    assert f"set EDGEBENCH_HOME to {tmp_path / 'real/home'}, where it leads" in refusal(board)


@pytest.mark.parametrize("open_mode", [0o775, 0o757, 0o777])
def test_a_folder_on_the_way_where_others_may_write_is_refused(
    board: AgentBoard, tmp_path: Path, open_mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = tmp_path / "way"
    way.mkdir()
    way.chmod(open_mode)
    board.environment["EDGEBENCH_HOME"] = str(way / "home")
    assert f"other users may write into {way}" in refusal(board)
    assert f"chmod go-w {way}" in refusal(board)
    with pytest.raises(BoardError, match="other users may write into"):
        install(way / "home", monkeypatch)
    assert list(way.iterdir()) == []
    way.chmod(0o1777)  # as /tmp
    install(way / "home", monkeypatch)


def test_the_users_home_directory_counts_and_what_is_above_it_does_not(board: AgentBoard, tmp_path: Path) -> None:
    above = tmp_path / "above"
    own = above / "user"
    own.mkdir(parents=True)
    above.chmod(0o777)
    board.environment["HOME"] = str(own)
    del board.environment["EDGEBENCH_HOME"]
    assert board.reply("lease", input=b'{"do":"show"}')["ok"]
    assert mode(own / ".edgebench") == 0o700
    own.chmod(0o770)
    assert f"other users may write into {own}" in refusal(board)


@needs_root
@pytest.mark.parametrize(
    "what", [".", "agents", "blobs", "blobs/file", "envs/0/lib/module.py", "private", "lease.json"]
)
def test_files_of_another_user_are_refused(board: AgentBoard, what: str) -> None:
    board.spec()
    for name in ("envs/0/lib/module.py", "lease.json", "blobs/file", "private"):
        (board.home / name).parent.mkdir(parents=True, exist_ok=True)
        (board.home / name).touch()
    board.home.chmod(0o777)  # as it was when they were put there
    os.chown(board.home / what, OTHER, OTHER)
    assert f"{board.home / what} belongs to user {OTHER}, and we are root" in refusal(board)


@needs_root
def test_an_agent_that_another_user_put_there_is_not_started(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = shared / "home"
    install(home, monkeypatch)
    (agent,) = (home / "agents").iterdir()
    ran = shared / "ran"
    for open_to_others in (home, home / "agents"):
        open_to_others.chmod(0o777)
    replaced = f"rm -f {agent}; echo 'open({str(ran)!r}, \"w\")' > {agent}"
    subprocess.run(["sh", "-c", replaced], check=True, user=OTHER, group=OTHER)
    with pytest.raises(BoardError, match=rf"board: {agent} belongs to user {OTHER}, and we are root: user {OTHER}"):
        install(home, monkeypatch)
    assert not ran.exists()
    shutil.rmtree(home)
    install(home, monkeypatch)


@needs_root
def test_a_home_that_another_user_made_in_a_shared_folder_is_refused(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.chmod(0o1777)
    subprocess.run(["mkdir", shared / "theirs"], check=True, user=OTHER, group=OTHER)
    for home in (shared / "theirs", shared / "theirs/home"):
        with pytest.raises(BoardError, match=f"{shared / 'theirs'} belongs to user {OTHER}"):
            install(home, monkeypatch)
    assert list((shared / "theirs").iterdir()) == []


@needs_root
def test_another_user_cannot_replace_the_agent_or_stop_a_run(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = shared / "home"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    install(home, monkeypatch)
    (agent,) = (home / "agents").iterdir()
    for attempt in (
        f"rm -f {agent}",
        f"echo > {agent}",
        f"mv {home}/runs {home}/r",
        f"touch {home}/runs/x",
        f"ls {home}",
    ):
        done = subprocess.run(["sh", "-c", attempt], user=OTHER, group=OTHER, capture_output=True, check=False)
        assert b"ermission denied" in done.stderr, attempt
