"""The real agent on a board whose vcgencmd answers, hangs or lies."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgebench_agent.board.sensors.command import command_output
from edgebench_agent.protocol import Done, Loaded, Log, Phase, Readings
from edgebench_agent.run.journal import read_journal
from tests.agent.agent_board import SECOND, AgentBoard, of, wait_until
from tests.agent.trees import VCGENCMD_PI5, plant, plant_answers, plant_command


@pytest.fixture
def vcgencmd(tmp_path: Path, board: AgentBoard) -> Path:
    """Let the board find a command of that name; it is still to be written."""
    path = tmp_path / "usr/bin/vcgencmd"
    board.environment["PATH"] = f"{path.parent}:{os.environ['PATH']}"
    return path


def test_probe_tells_what_the_sensors_say(board: AgentBoard, vcgencmd: Path, tmp_path: Path) -> None:
    plant_answers(tmp_path, VCGENCMD_PI5)
    (reply,) = board.replies("probe")
    assert reply["sensors"]["pmic"]["every_ms"] == 1000
    assert reply["sensors"]["pmic"]["values"]["power_uw/pmic/VDD_CORE"] == 9_761_433
    assert reply["sensors"]["vcgencmd"]["values"] == {"throttled": 0}


@pytest.mark.slow
def test_an_idle_run_does_nothing_but_read_sensors(board: AgentBoard, vcgencmd: Path, tmp_path: Path) -> None:
    plant_answers(tmp_path, VCGENCMD_PI5)
    messages = board.run(board.spec(mode="idle", min_duration_ns=SECOND))
    assert [message.name for message in of(Phase, messages)] == ["idle", "finishing"]
    assert of(Loaded, messages) == []
    assert messages[-1] == Done(0, SECOND)
    rails = [message.values.get("power_uw/pmic/HDMI") for message in of(Readings, messages)]
    assert set(rails) == {None, 69_341}  # 0.0136752 A x 5.07056 V


def give_commands_less_time(board: AgentBoard) -> None:
    """Let a sensor's command time out after 0.3 s."""
    board.change("board/sensors/command.py", b"_TIMEOUT_S = 2\n", b"_TIMEOUT_S = 0.3\n")


@pytest.mark.slow
def test_a_vcgencmd_that_hangs_holds_up_no_run(board: AgentBoard, vcgencmd: Path) -> None:
    plant_command(vcgencmd, "exec sleep 600")
    give_commands_less_time(board)
    messages = board.run(board.spec(mode="idle", min_duration_ns=2 * SECOND))
    assert messages[-1] == Done(0, 2 * SECOND)
    resident = [message for message in of(Readings, messages) if "rss_bytes" in message.values]
    assert len(resident) > 10  # others are read meanwhile
    assert all("throttled" not in message.values for message in of(Readings, messages))


@pytest.mark.slow
def test_a_vcgencmd_that_starts_to_lie_is_left_out_with_a_note(board: AgentBoard, vcgencmd: Path) -> None:
    plant_command(
        vcgencmd,
        '[ "$1" = get_throttled ] || exit 1\n'
        'echo >> "$0.asked"\n'
        'if [ "$(wc -l < "$0.asked")" -gt 4 ]; then echo lies; else echo throttled=0x0; fi\n',
    )
    board.change("board/sensors/reading.py", b"_FAILS_FOR_NS = 5_000_000_000", b"_FAILS_FOR_NS = 300_000_000")
    often = b'Row("vcgencmd", raspberry_pi.find, 100_000_000,'
    board.change("board/sensors/__init__.py", b'Row("vcgencmd", raspberry_pi.find, 1_000_000_000,', often)
    spec = board.spec(mode="idle", min_duration_ns=600 * SECOND)
    board.launch_well(spec)
    journal = board.home / "runs" / spec.run_id / "journal.ndjson"
    wait_until(lambda: of(Log, [entry.message for entry in read_journal(journal)]))
    (journal.parent / "stop").touch()
    messages = [entry.message for entry in board.journal(spec.run_id)]
    assert [note.text.partition(":")[0] for note in of(Log, messages)] == ["sensor vcgencmd is left out from now on"]
    read = [message.values["throttled"] for message in of(Readings, messages) if "throttled" in message.values]
    assert set(read) == {0, None}


@pytest.mark.slow
def test_a_vcgencmd_whose_child_keeps_its_output_open_holds_up_nobody(board: AgentBoard, vcgencmd: Path) -> None:
    plant_command(vcgencmd, 'setsid sleep 600 & echo $! >> "$0.children"; exit 0\n')
    give_commands_less_time(board)
    try:
        assert board.reply("probe")["board"]["throttled"] is None
        messages = board.run(board.spec(sensors=False))
        assert messages[0].board["throttled"] is None
        assert isinstance(messages[-1], Done)
    finally:
        for pid in Path(f"{vcgencmd}.children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)


def test_a_command_that_never_stops_talking_is_stopped(tmp_path: Path) -> None:
    talker = tmp_path / "talker"
    plant_command(talker, 'while head -c 65536 /dev/zero; do echo >> "$0.said"; done\n')
    assert command_output(str(talker)) is None
    assert len(Path(f"{talker}.said").read_text()) < 10  # pieces of 64 KiB: what it could say until it was heard


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Path]:
    """A board's root whose thermal zones hang: a file system that answers nothing; only root may mount one."""
    folder = tmp_path / "root/sys/class/thermal"
    folder.mkdir(parents=True)
    try:
        silent = os.open("/dev/fuse", os.O_RDWR)
    except OSError:
        pytest.skip("there is no FUSE here")
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={silent},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    if libc.mount(b"silent", os.fsencode(folder), b"fuse", 0, options.encode()):
        os.close(silent)
        pytest.skip("can't mount here")
    yield tmp_path / "root"
    libc.umount2(os.fsencode(folder), 2)  # MNT_DETACH
    os.close(silent)  # whoever hangs in it gets an error


@pytest.mark.slow
def test_a_file_that_hangs_costs_its_own_fact_and_holds_up_nobody(board: AgentBoard, hanging: Path) -> None:
    plant({"etc/os-release": "NAME=Linux\n", "proc/sys/kernel/random/boot_id": "a-boot\n"}, hanging)
    board.environment["EDGEBENCH_ROOT"] = str(hanging)
    board.change("board/timeout.py", b"_EACH_S = 4.0", b"_EACH_S = 1.0")
    board.change("board/sensors/reading.py", b"within_s: float = 8.0", b"within_s: float = 1.0")
    facts = board.reply("probe")["board"]
    assert (facts["temperature_mc"], facts["os"], facts["boot_id"]) == (None, "Linux", "a-boot")
    hello, *_, last = board.run(board.spec(sensors=False))
    assert (hello.board["temperature_mc"], hello.board["boot_id"]) == (None, "a-boot")
    assert isinstance(last, Done)
