"""Putting the agent on a board whose disk has no room for it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgebench.board import agent_archive, connect_agent
from edgebench.device import find_device
from edgebench.errors import BoardError


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of this machine's agent on a disk of 2 MB; only root may make one."""
    home = tmp_path / "home"
    home.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(home)], check=False).returncode:
        pytest.skip("can't mount a tmpfs here")
    monkeypatch.setenv("EDGEBENCH_HOME", str(home))
    yield home
    subprocess.run(["umount", "-l", str(home)], check=True)


def fill(file: Path, *, spare_bytes: int) -> None:
    """Fill the disk with a file, but for so many bytes."""
    file.parent.mkdir(exist_ok=True)
    with file.open("wb", buffering=0) as grown:
        try:
            while True:
                grown.write(bytes(4096))
        except OSError:
            grown.truncate(grown.tell() - spare_bytes)


def install() -> None:
    with connect_agent(replace(find_device("local"), name="board"), python="python3"):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["blobs", "runs", "others"])
def test_a_full_disk_is_told_with_what_to_free_and_nothing_is_left(small_disk: Path, folder: str) -> None:
    fill(small_disk / folder / "large", spare_bytes=len(agent_archive()[0]) // 2)
    for _ in range(2):
        with pytest.raises(BoardError, match=r"board: can't put the agent on the board: its disk, .* full; ") as caught:
            install()
        assert list((small_disk / "agents").iterdir()) == []
    assert (f"rm -r {small_disk}/{folder} (" in str(caught.value)) == (folder != "others")
    assert "or set EDGEBENCH_HOME to another disk" in str(caught.value)
    (small_disk / folder / "large").unlink()
    install()
    assert [path.suffix for path in (small_disk / "agents").iterdir()] == [".pyz"]
