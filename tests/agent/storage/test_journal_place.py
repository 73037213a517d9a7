"""Journals that grow in memory: where they are, and what happens when they can't stay there. The real agent."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgebench_agent.home import Home
from edgebench_agent.protocol import Done, Failed, Log
from edgebench_agent.run.journal import Journal, read_journal
from edgebench_agent.storage import journal_place
from edgebench_agent.storage.journal_place import Place
from edgebench_agent.storage.journal_tail import has_writer
from tests.agent.agent_board import SECOND, AgentBoard, children, of, wait_until

SHM = Path("/dev/shm")

pytestmark = pytest.mark.skipif(
    not journal_place.is_on_tmpfs(SHM) or journal_place.is_on_tmpfs(Path.cwd()),
    reason="needs a tmpfs at /dev/shm, and a disk",
)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[AgentBoard]:
    """A board whose home is on a disk."""
    if journal_place.is_on_tmpfs(tmp_path):
        pytest.skip("the folder for temporary files is in memory")
    board = AgentBoard(tmp_path)
    yield board
    board.end_runs()
    for folder in SHM.glob("edgebench-*"):
        if str(tmp_path) in str((folder / "run").readlink()):
            journal_place.remove_place(folder)


def journal_of(board: AgentBoard, run_id: str) -> Path:
    return board.home / "runs" / run_id / "journal.ndjson"


def idle(board: AgentBoard, seconds: float = 600) -> str:
    """Launch a run that does nothing for so long; return its name."""
    spec = board.spec(mode="idle", min_duration_ns=round(seconds * SECOND))
    board.launch_well(spec)
    return spec.run_id


def kill_run(board: AgentBoard, run_id: str) -> None:
    """Kill a run's processes, which leaves everything as it is."""
    supervisor = int((board.home / "runs" / run_id / "pid").read_text())
    for pid in (supervisor, *children(supervisor)):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not has_writer(journal_of(board, run_id)))


def test_a_journal_grows_in_a_folder_of_memory_that_only_we_can_open(board: AgentBoard) -> None:
    journal = journal_of(board, idle(board))
    assert journal.is_symlink()
    folder = journal.readlink().parent
    assert folder.parent == SHM
    assert stat.S_IMODE(folder.lstat().st_mode) == 0o700
    assert read_journal(journal)[0].message.journal_on == "tmpfs"


@pytest.mark.slow
def test_a_journal_is_on_the_disk_once_its_run_has_ended(board: AgentBoard) -> None:
    run_id = idle(board, 0.5)
    folder = journal_of(board, run_id).readlink().parent
    followed = board.journal(run_id)
    assert isinstance(followed[-1].message, Done)
    wait_until(lambda: not folder.exists())
    assert not journal_of(board, run_id).is_symlink()
    assert read_journal(journal_of(board, run_id)) == followed


@pytest.mark.slow
def test_without_a_tmpfs_journals_are_on_the_disk_and_say_so(board: AgentBoard, tmp_path: Path) -> None:
    for place in ("", str(tmp_path), str(tmp_path / "missing"), "/proc"):
        board.environment["EDGEBENCH_SHM"] = place
        run_id = idle(board, 0.1)
        assert board.journal(run_id)[0].message.journal_on == "disk"


def test_a_run_that_is_to_keep_its_journal_on_the_disk_does(board: AgentBoard) -> None:
    spec = board.spec(mode="idle", min_duration_ns=SECOND // 10, journal="disk")
    board.launch_well(spec)
    assert not journal_of(board, spec.run_id).is_symlink()
    assert board.journal(spec.run_id)[0].message.journal_on == "disk"


def test_a_tmpfs_where_others_may_rename_our_folders_is_not_used(board: AgentBoard) -> None:
    open_to_all = SHM / f"edgebench-test-{os.getpid()}"
    open_to_all.mkdir()
    try:
        open_to_all.chmod(0o777)  # no sticky bit
        board.environment["EDGEBENCH_SHM"] = str(open_to_all)
        assert board.journal(idle(board, 0.1))[0].message.journal_on == "disk"
        open_to_all.chmod(0o1777)
        assert board.journal(idle(board, 0.1))[0].message.journal_on == "tmpfs"
    finally:
        open_to_all.rmdir()


@pytest.mark.slow
def test_a_journal_removed_in_mid_run_goes_on_on_the_disk_and_nothing_is_lost(board: AgentBoard) -> None:
    run_id = idle(board, 6)
    before = read_journal(journal_of(board, run_id))
    follower = board.start("follow", run_id, 0)
    journal_place.remove_place(journal_of(board, run_id).readlink().parent)
    followed = board.journal(run_id)  # begun while the journal is gone
    assert followed[: len(before)] == before
    (note,) = of(Log, [entry.message for entry in followed])
    assert note.text == "the journal was in memory and goes on on the disk: somebody removed it there"
    assert isinstance(followed[-1].message, Done)
    assert follower.wait(60) == 0
    told, _ = follower.communicate()
    assert told.splitlines()[-1] == journal_of(board, run_id).read_bytes().splitlines()[-1]


@pytest.mark.slow
def test_a_journal_that_is_gone_with_its_run_is_told_in_one_line(board: AgentBoard) -> None:
    run_id = idle(board)
    kill_run(board, run_id)
    journal_place.remove_place(journal_of(board, run_id).readlink().parent)
    done = board.command("follow", run_id, 0)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert f"the journal of run {run_id} was in memory" in line
    assert "the board was started again or somebody emptied /dev/shm" in line


@pytest.mark.slow
def test_a_follower_does_not_wait_for_a_journal_that_is_gone_with_its_run(board: AgentBoard) -> None:
    run_id = idle(board)
    follower = board.start("follow", run_id, 0)
    assert follower.stdout is not None and follower.stdout.readline()
    folder = journal_of(board, run_id).readlink().parent
    follower.send_signal(signal.SIGSTOP)  # so that it sees both at once, not a run that ended and left its journal
    os.kill(int((board.home / "runs" / run_id / "pid").read_text()), signal.SIGKILL)
    journal_place.remove_place(folder)
    follower.send_signal(signal.SIGCONT)
    assert follower.wait(60) == 1  # its input stays open: it ends by itself
    assert follower.stderr is not None and b"was in memory" in follower.stderr.read()
    follower.communicate()


@pytest.mark.slow
def test_a_folder_of_somebody_else_is_not_read(board: AgentBoard) -> None:
    run_id = idle(board)
    kill_run(board, run_id)
    folder = journal_of(board, run_id).readlink().parent
    folder.chmod(0o755)  # as another user, who can't give it to us, would have to leave it to be read
    done = board.command("follow", run_id, 0)
    assert (done.returncode, done.stdout) == (1, b"")
    folder.chmod(0o700)


@pytest.mark.slow
def test_the_next_launch_takes_home_what_a_dead_run_left_in_memory(board: AgentBoard) -> None:
    run_id = idle(board)
    kill_run(board, run_id)
    folder = journal_of(board, run_id).readlink().parent
    left = read_journal(journal_of(board, run_id))
    wait_until(lambda: board.reply("probe")["running"] is None)
    idle(board, 0.1)
    assert not folder.exists()
    assert read_journal(journal_of(board, run_id)) == left


def test_clean_removes_what_dead_runs_left_in_memory(board: AgentBoard) -> None:
    run_id = idle(board)
    kill_run(board, run_id)
    folder = journal_of(board, run_id).readlink().parent
    assert board.reply("clean", "--older-than-s", 0)["ok"]
    assert not folder.exists()
    assert not journal_of(board, run_id).exists()


def test_clean_leaves_a_running_journal_alone(board: AgentBoard) -> None:
    run_id = idle(board)
    board.reply("clean", "--older-than-s", 0)
    assert journal_of(board, run_id).is_symlink()
    assert read_journal(journal_of(board, run_id))


def test_a_folder_that_no_run_leads_to_is_removed_once_it_is_old(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    place = journal_place.find_place(home.run("gone"))
    assert place is not None
    journal_place.sweep(home)
    assert place.journal.parent.exists()  # its run may be about to begin
    os.utime(place.journal.parent, (1, 1))
    journal_place.sweep(home)
    assert not place.journal.parent.exists()


def test_a_journal_that_outgrows_its_memory_goes_on_on_the_disk(tmp_path: Path) -> None:
    folder = SHM / f"edgebench-test-{os.getpid()}"
    folder.mkdir(mode=0o700)
    path = tmp_path / "journal.ndjson"
    journal = Journal(path, Place(folder / "journal.ndjson", max_bytes=1000))
    for number in range(20):
        journal.append(Log("x" * 80 + str(number)))
    assert not path.is_symlink()
    assert not folder.exists()
    assert has_writer(path)
    texts = [entry.message.text for entry in read_journal(path)]
    assert sum("goes on on the disk: it outgrew 1000 bytes" in text for text in texts) == 1
    assert [text for text in texts if text.startswith("x")] == ["x" * 80 + str(number) for number in range(20)]
    journal.close()
    assert not has_writer(path)


@pytest.fixture
def small_tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 4 MB; only root may make one."""
    mounted = tmp_path / "small"
    mounted.mkdir(mode=0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(mounted)], check=False).returncode:
        pytest.skip("can't mount a tmpfs here")
    yield mounted
    subprocess.run(["umount", "-l", str(mounted)], check=True)


@pytest.mark.slow
def test_a_tmpfs_that_somebody_else_fills_does_not_end_a_run(board: AgentBoard, small_tmpfs: Path) -> None:
    board.environment["EDGEBENCH_SHM"] = str(small_tmpfs)
    run_id = idle(board, 4)
    assert journal_of(board, run_id).is_symlink()
    with (small_tmpfs / "filling").open("wb", buffering=0) as filling, pytest.raises(OSError, match="No space"):
        while True:
            filling.write(bytes(1 << 12))
    messages = [entry.message for entry in board.journal(run_id)]
    assert isinstance(messages[-1], Done)
    assert any("goes on on the disk: there is no room left" in note.text for note in of(Log, messages))


def test_a_tmpfs_without_room_is_not_used(board: AgentBoard, small_tmpfs: Path) -> None:
    (small_tmpfs / "filling").write_bytes(bytes(3 << 20))
    board.environment["EDGEBENCH_SHM"] = str(small_tmpfs)
    assert board.journal(idle(board, 0.1))[0].message.journal_on == "disk"


def test_where_neither_memory_nor_disk_has_room_the_failure_is_out_of_disk(
    board: AgentBoard, small_tmpfs: Path
) -> None:
    board.environment["EDGEBENCH_SHM"] = str(small_tmpfs)
    spec = board.spec(min_count=50_000)
    # A limit of a file's size holds in memory and on the disk.
    import resource

    board.launch_well(spec, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)))
    last = board.journal(spec.run_id)[-1].message
    assert isinstance(last, Failed)
    assert last.kind == "out_of_disk"


@pytest.mark.parametrize("moment", ["_is_ours", "os.open"])
def test_a_journal_that_moves_to_the_disk_while_it_is_opened_is_not_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    memory, journal = tmp_path / "memory", tmp_path / "run" / "journal.ndjson"
    for folder in (memory, journal.parent):
        folder.mkdir(mode=0o700)
    (memory / journal.name).write_bytes(b"{}\n")
    journal.symlink_to(memory / journal.name)
    owner, name = (os, "open") if moment == "os.open" else (journal_place, moment)
    real = getattr(owner, name)

    def move_first(*arguments: object) -> object:
        monkeypatch.setattr(owner, name, real)
        (memory / journal.name).replace(journal)
        memory.rmdir()
        return real(*arguments)

    monkeypatch.setattr(owner, name, move_first)
    descriptor = journal_place.open_journal(journal)
    assert os.read(descriptor, 10) == b"{}\n"
    os.close(descriptor)
