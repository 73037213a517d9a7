"""Sensors and facts, read from what real boards answer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgebench_agent.board import board_facts, boot_id, memory_available, oom_kills
from edgebench_agent.home import Home
from edgebench_agent.sensors import SENSORS, SensorSet, cpufreq, load, process, raspberry_pi, thermal
from tests.agent.trees import JETSON_NANO, PI4, plant, plant_vcgencmd

PAGE = os.sysconf("SC_PAGE_SIZE")
PID = 77


@pytest.fixture
def pi4(tmp_path: Path) -> Path:
    return plant(PI4, tmp_path / "pi4")


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    return plant(JETSON_NANO, tmp_path / "jetson")


def read(sensor, root: Path) -> dict[str, int | None]:  # type: ignore[no-untyped-def]  # any of the modules
    reader = sensor.find(root, PID)
    assert reader is not None
    return dict(reader())


def test_memory_is_read_in_bytes(pi4: Path) -> None:
    assert read(process, pi4) == {"rss_bytes": 25000 * PAGE}
    assert process.find_border(pi4, PID)() == {
        "pss_bytes": 91234 * 1024,
        "peak_rss_bytes": 110000 * 1024,
        "major_faults": 0,
    }


def test_memory_of_a_process_that_is_gone_is_no_answer(pi4: Path) -> None:
    reader = process.find(pi4, PID)
    assert reader is not None
    for name in ("statm", "status", "smaps_rollup", "stat"):
        (pi4 / f"proc/{PID}/{name}").unlink()
    assert reader() == {"rss_bytes": None}
    assert process.find_border(pi4, PID)() == {"pss_bytes": None, "peak_rss_bytes": None, "major_faults": None}


def test_temperatures_are_named_by_their_zones(pi4: Path, jetson: Path) -> None:
    assert read(thermal, pi4) == {"temperature_mc/cpu-thermal": 48199}
    assert read(thermal, jetson) == {
        "temperature_mc/AO-therm": 43500,
        "temperature_mc/CPU-therm": 35000,
        "temperature_mc/CPU-therm-2": 36000,
    }


def test_a_zone_that_stops_answering_is_none_not_zero(pi4: Path) -> None:
    reader = thermal.find(pi4, PID)
    assert reader is not None
    (pi4 / "sys/class/thermal/thermal_zone0/temp").unlink()
    assert reader() == {"temperature_mc/cpu-thermal": None}


def test_every_core_has_its_clock(pi4: Path) -> None:
    assert read(cpufreq, pi4) == {f"frequency_khz/cpu{core}": 1500000 + core for core in range(4)}


def test_the_load_of_others_is_all_but_ours(pi4: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10_000_000_000]
    monkeypatch.setattr(load.time, "monotonic_ns", lambda: now[0])
    monkeypatch.setattr(load, "_agent_seconds", lambda: 0.1 * (now[0] / 1e9 - 10))
    monkeypatch.setattr(load, "_TICKS_PER_S", 100)
    reader = load.find(pi4, PID)
    assert reader is not None
    now[0] += 2_000_000_000
    # In two seconds everybody used 3 s, the measuring process 1.8 s of them and this one 0.2 s.
    plant({"proc/stat": "cpu  1200 0 600 90100 99 0 30 0 0 0\n"}, pi4)
    plant({f"proc/{PID}/stat": PI4[f"proc/{PID}/stat"].replace("200 50", "350 80", 1)}, pi4)
    assert reader() == {"others_cpu_millicores": 500, "agent_cpu_millicores": 100}
    assert reader() == {}  # no time has passed: nothing to say


@pytest.mark.parametrize(
    ("answer", "flags"), [("throttled=0x0", 0), ("throttled=0x50005", 0x50005), ("VCHI initialization failed", None)]
)
def test_throttle_flags_are_told_as_they_are(pi4: Path, answer: str, flags: int | None) -> None:
    plant_vcgencmd(pi4, answer)
    assert raspberry_pi.read_throttled(pi4) == flags
    assert (raspberry_pi.find(pi4, PID) is None) == (flags is None)


def test_a_board_without_sensors_has_none(tmp_path: Path) -> None:
    assert [row.find(tmp_path, PID) for row in SENSORS] == [None] * len(SENSORS)


def test_sensors_are_read_when_they_are_due_and_all_at_borders(pi4: Path) -> None:
    plant_vcgencmd(pi4, "throttled=0x80000")
    sensors = SensorSet(PID, pi4)
    start = 1_000_000_000_000
    first = sensors.read_due(start)
    assert first["rss_bytes"] == 25000 * PAGE
    assert first["throttled"] == 0x80000
    assert first["frequency_khz/cpu3"] == 1500003
    assert "pss_bytes" not in first
    assert sensors.read_due(start + 50_000_000) == {}
    assert sensors.due_ns() == start + 100_000_000
    assert set(sensors.read_due(start + 100_000_000)) == {"rss_bytes"}
    border = sensors.read_border()
    assert border["pss_bytes"] == 91234 * 1024
    assert border["temperature_mc/cpu-thermal"] == 48199


def test_the_facts_of_a_raspberry_pi(pi4: Path, tmp_path: Path) -> None:
    plant_vcgencmd(pi4, "throttled=0x0")
    facts = board_facts(Home(tmp_path), pi4)
    told = {
        "model": "Raspberry Pi 4 Model B Rev 1.4",
        "cpu_features": ["asimd", "cpuid", "crc32", "evtstrm", "fp"],
        "memory_bytes": 3882236 * 1024,
        "memory_available_bytes": 3300000 * 1024,
        "swap_bytes": 102396 * 1024,
        "os": "Debian GNU/Linux 12 (bookworm)",
        "governor": "ondemand",
        "clock_min_khz": 600000,
        "clock_max_khz": 1500000,
        "clock_hardware_max_khz": 1800000,
        "temperature_mc": {"cpu-thermal": 48199},
        "throttled": 0,
        "boot_id": "0a1b2c3d-0000-4000-8000-123456789abc",
    }
    assert {name: facts[name] for name in told} == told
    assert oom_kills(pi4) == 3


@pytest.mark.parametrize(
    ("name", "content", "release"),
    [
        ("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n", "L4T 36.4.3"),
        ("etc/nv_tegra_release", "# R32 (release), REVISION: 7.1, GCID: 29818004\n", "L4T 32.7.1"),
        ("etc/nv_tegra_release", "nonsense", None),
        ("etc/rpi-issue", "Raspberry Pi reference 2024-07-04\nGenerated ...\n", "Raspberry Pi reference 2024-07-04"),
        ("etc/rpi-issue", "", None),
    ],
)
def test_the_vendors_release_is_a_fact(tmp_path: Path, name: str, content: str, release: str | None) -> None:
    assert board_facts(Home(tmp_path), plant({name: content}, tmp_path))["vendor_release"] == release


def test_what_a_board_does_not_tell_is_none(tmp_path: Path) -> None:
    facts = board_facts(Home(tmp_path / "no such home"), tmp_path)
    silent = [name for name, value in facts.items() if value is None]
    assert {"model", "cpu", "memory_bytes", "governor", "clock_max_khz", "temperature_mc", "throttled"} <= set(silent)
    assert facts["disk_free_bytes"] > 0
    assert memory_available(tmp_path) is boot_id(tmp_path) is oom_kills(tmp_path) is None
