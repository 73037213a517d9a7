"""The real agent on a board whose vcgencmd answers, hangs or lies."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgebench import RunPlan, Workload, profile
from edgebench.analysis.energy import energy_of
from edgebench_agent.protocol import Done, Loaded, Log, Phase, Readings
from edgebench_agent.sensors.command import command_output
from tests.agent.board import SECOND, AgentBoard, of
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


def test_an_idle_run_does_nothing_but_read_sensors(board: AgentBoard, vcgencmd: Path, tmp_path: Path) -> None:
    plant_answers(tmp_path, VCGENCMD_PI5)
    messages = board.run(board.spec(mode="idle", min_duration_ns=SECOND))
    assert [message.name for message in of(Phase, messages)] == ["idle", "finishing"]
    assert of(Loaded, messages) == []
    assert messages[-1] == Done(0, SECOND)
    rails = [message.values.get("power_uw/pmic/HDMI") for message in of(Readings, messages)]
    assert set(rails) == {None, 69_341}  # 0.0136752 A x 5.07056 V


def test_a_vcgencmd_that_hangs_holds_up_no_run(board: AgentBoard, vcgencmd: Path) -> None:
    plant_command(vcgencmd, "exec sleep 600")
    messages = board.run(board.spec(mode="idle", min_duration_ns=4 * SECOND))
    assert messages[-1] == Done(0, 4 * SECOND)
    resident = [message for message in of(Readings, messages) if "rss_bytes" in message.values]
    assert len(resident) > 10  # others are read meanwhile
    assert all("throttled" not in message.values for message in of(Readings, messages))


def test_a_vcgencmd_that_starts_to_lie_is_left_out_with_a_note(board: AgentBoard, vcgencmd: Path) -> None:
    plant_command(
        vcgencmd,
        '[ "$1" = get_throttled ] || exit 1\n'
        'echo >> "$0.asked"\n'
        'if [ "$(wc -l < "$0.asked")" -gt 4 ]; then echo lies; else echo throttled=0x0; fi\n',
    )
    messages = board.run(board.spec(mode="idle", min_duration_ns=12 * SECOND))
    assert [note.text.partition(":")[0] for note in of(Log, messages)] == ["sensor vcgencmd is left out from now on"]
    told = [message.values["throttled"] for message in of(Readings, messages) if "throttled" in message.values]
    assert set(told) == {0, None}


def test_a_vcgencmd_whose_child_keeps_its_output_open_holds_up_nobody(board: AgentBoard, vcgencmd: Path) -> None:
    plant_command(vcgencmd, 'setsid sleep 600 & echo $! >> "$0.children"; exit 0\n')
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


def test_a_file_that_hangs_costs_its_own_fact_and_holds_up_nobody(board: AgentBoard, hanging: Path) -> None:
    plant({"etc/os-release": "NAME=Linux\n", "proc/sys/kernel/random/boot_id": "a-boot\n"}, hanging)
    board.environment["EDGEBENCH_ROOT"] = str(hanging)
    facts = board.reply("probe")["board"]
    assert (facts["temperature_mc"], facts["os"], facts["boot_id"]) == (None, "Linux", "a-boot")
    hello, *_, last = board.run(board.spec(sensors=False))
    assert (hello.board["temperature_mc"], hello.board["boot_id"]) == (None, "a-boot")
    assert isinstance(last, Done)


def test_a_session_measures_idle_power_first_and_says_which_readings_are_too_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_answers(tmp_path, VCGENCMD_PI5)
    monkeypatch.setenv("PATH", f"{tmp_path}/usr/bin:{os.environ['PATH']}")
    monkeypatch.setenv("EDGEBENCH_HOME", str(tmp_path / "home"))
    noted: list[str] = []
    measured = profile(
        "reference:tiny",
        workload=Workload(seq_len=16),
        plan=RunPlan(runs=1, min_count=5, min_duration_s=0.2),
        own_cost=False,
        cold=False,
        store=tmp_path / "store",
        on_event=lambda event: noted.append(getattr(event, "text", "")),
    )
    assert measured.energy_j is None
    assert any("idle power" in text for text in noted)
    run = measured.runs[0]
    assert (run.facts.idle_power_uw or {})["pmic/VDD_CORE"] == pytest.approx(9_761_433)
    assert len(run.facts.idle_power_uw or {}) == 12
    assert "raise --min-duration" in str(energy_of(run))
