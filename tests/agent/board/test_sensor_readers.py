"""Sensors and facts, read from what real boards answer."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from edgebench_agent.board.facts import board_facts, boot_id, memory_available, oom_kills
from edgebench_agent.board.sensors import (
    SENSORS,
    Row,
    control_group,
    cpufreq,
    devfreq,
    ina3221,
    kernel,
    load,
    nvpmodel,
    pmic,
    power_supply,
    process,
    raspberry_pi,
    reading,
    steal,
    thermal,
)
from edgebench_agent.board.sensors.reading import SensorSet, read_board
from edgebench_agent.home import Home
from edgebench_agent.protocol.wire import MAX_INT
from tests.agent.trees import (
    JETSON_NANO,
    JETSON_NANO_POWER,
    ORIN_NANO,
    PI4,
    VCGENCMD_PI4,
    VCGENCMD_PI5,
    X86,
    plant,
    plant_answers,
    plant_command,
    plant_vcgencmd,
)

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


def test_swapping_and_changes_of_the_clock_source_are_counted(pi4: Path) -> None:
    reader = kernel.find(pi4, PID)
    assert reader is not None
    assert reader() == {"swapped_pages": 42, "clocksource_changes": 0}
    plant({"proc/vmstat": "pswpin 12\npswpout 100\n", CLOCKSOURCE: "timer\n"}, pi4)
    assert reader() == reader() == {"swapped_pages": 112, "clocksource_changes": 1}
    (pi4 / CLOCKSOURCE).unlink()
    assert reader() == {"swapped_pages": 112, "clocksource_changes": None}


CLOCKSOURCE = "sys/devices/system/clocksource/clocksource0/current_clocksource"


def test_a_core_is_allowed_what_its_governor_is(pi4: Path) -> None:
    assert cpufreq.allowed_clocks(pi4) == {f"cpu{core}": 1500000 for core in range(4)}
    cpu0 = "sys/devices/system/cpu/cpu0/cpufreq"
    plant({f"{cpu0}/scaling_governor": "powersave"}, pi4)
    assert cpufreq.allowed_clocks(pi4)["cpu0"] == 600000
    plant({f"{cpu0}/scaling_driver": "intel_pstate"}, pi4)
    assert cpufreq.allowed_clocks(pi4)["cpu0"] == 1500000
    plant({f"{cpu0}/scaling_governor": "userspace", f"{cpu0}/scaling_setspeed": "900000"}, pi4)
    assert cpufreq.allowed_clocks(pi4)["cpu0"] == 900000


def test_of_turbo_only_the_base_clock_is_allowed(pi4: Path) -> None:
    plant({"sys/devices/system/cpu/intel_pstate/no_turbo": "0"}, pi4)
    assert cpufreq.allowed_clocks(pi4) == {}
    plant({"sys/devices/system/cpu/cpu1/cpufreq/base_frequency": "1100000"}, pi4)
    assert cpufreq.allowed_clocks(pi4) == {"cpu1": 1100000}


@pytest.mark.parametrize(
    ("answer", "flags"), [("throttled=0x0", 0), ("throttled=0x50005", 0x50005), ("VCHI initialization failed", None)]
)
def test_throttle_flags_are_told_as_they_are(pi4: Path, answer: str, flags: int | None) -> None:
    plant_vcgencmd(pi4, answer)
    assert raspberry_pi.read_throttled(pi4) == flags
    assert (raspberry_pi.find(pi4, PID) is None) == (flags is None)


def test_a_board_without_sensors_has_none(tmp_path: Path) -> None:
    assert [row.find(tmp_path, PID) for row in SENSORS] == [None] * len(SENSORS)


def test_a_pi_5_tells_the_power_of_each_rail_that_has_current_and_voltage(tmp_path: Path) -> None:
    plant_answers(tmp_path, VCGENCMD_PI5)
    values = read(pmic, tmp_path)
    powers = {name: value for name, value in values.items() if name.startswith("power_uw/")}
    assert len(powers) == 12  # neither EXT5V nor BATT has a current
    assert powers["power_uw/pmic/VDD_CORE"] == 9_761_433  # 10.87674 A x 0.8974594 V
    assert powers["power_uw/pmic/3V3_SYS"] == 206_511  # 0.06245952 A x 3.306322 V
    assert values["voltage_uv/EXT5V"] == 5_067_880


def test_a_pi_4_has_no_power_and_an_answer_with_garbage_in_it_gives_what_is_whole(tmp_path: Path) -> None:
    plant_answers(tmp_path, VCGENCMD_PI4)
    assert pmic.find(tmp_path, PID) is None
    whole = "HDMI_A current(1)=0.5A\nHDMI_V volt(2)=5.0V"
    plant_answers(tmp_path, {"pmic_read_adc": f"A_A current(7)=1.5A\nA_V volt(15)=nanV\n{whole}\n\x1b[2J"})
    assert read(pmic, tmp_path) == {"power_uw/pmic/HDMI": 2_500_000}


def test_the_firmware_is_asked_for_what_sys_does_not_tell(tmp_path: Path, pi4: Path) -> None:
    plant_answers(tmp_path, VCGENCMD_PI4)
    plant_answers(pi4, VCGENCMD_PI4)
    found = [
        find(root, PID)
        for root in (tmp_path, pi4)
        for find in (raspberry_pi.find_voltage, raspberry_pi.find_temperature, raspberry_pi.find_clock)
    ]
    assert [reader() if reader is not None else None for reader in found] == [
        {"voltage_uv/core": 850_000},
        {"temperature_mc/soc": 42_800},
        {"frequency_khz/arm": 1_800_457},
        {"voltage_uv/core": 850_000},
        None,
        None,
    ]


def test_a_pi_without_vcgencmd_still_has_what_the_kernel_tells(pi4: Path) -> None:
    found = read_board(pi4)
    assert set(found) == {"thermal", "cpufreq"}


def test_the_rails_of_jetpack_6_are_volts_times_amperes(tmp_path: Path) -> None:
    assert read(ina3221, plant(ORIN_NANO, tmp_path)) == {
        "power_uw/ina3221/VDD_IN": 5040 * 984,
        "voltage_uv/VDD_IN": 5_040_000,
        "power_uw/ina3221/VDD_CPU_GPU_CV": 5032 * 152,
        "voltage_uv/VDD_CPU_GPU_CV": 5_032_000,
        "power_uw/ina3221/VDD_SOC": 5032 * 280,
        "voltage_uv/VDD_SOC": 5_032_000,
    }


def test_the_rails_of_jetpack_4_are_told_in_milliwatts(tmp_path: Path) -> None:
    assert read(ina3221, plant(JETSON_NANO_POWER, tmp_path)) == {
        "power_uw/ina3221/POM_5V_IN": 2_176_000,
        "power_uw/ina3221/POM_5V_GPU": 0,
        "power_uw/ina3221/POM_5V_CPU": 483_000,
    }


def test_a_jetson_tells_its_gpu_and_its_power_mode(tmp_path: Path) -> None:
    orin, nano = plant(ORIN_NANO, tmp_path / "orin"), plant(JETSON_NANO_POWER, tmp_path / "nano")
    assert read(devfreq, orin) == {"gpu_load_permille": 998, "gpu_frequency_khz": 624_750}
    assert read(devfreq, nano) == {"gpu_load_permille": 37, "gpu_frequency_khz": 76_800}
    assert [read(nvpmodel, root) for root in (orin, nano)] == [{"power_mode": 2}, {"power_mode": 1}]
    facts = [board_facts(Home(tmp_path), root) for root in (orin, nano)]
    assert [fact["power_mode"] for fact in facts] == ["MAXN_SUPER", "5W"]
    assert [fact["memory_shared_with_gpu"] for fact in facts] == [True, True]


def test_a_power_mode_that_no_file_tells_is_asked_for(tmp_path: Path) -> None:
    plant_command(tmp_path / "usr/sbin/nvpmodel", "echo 'NV Power Mode: 15W'; echo 0")
    assert nvpmodel.read_power_mode(tmp_path) == "15W"
    plant({"var/lib/nvpmodel/status": "pmode:0003\n"}, tmp_path)
    assert nvpmodel.read_power_mode(tmp_path) == "3"  # no file names it


def test_a_zone_without_power_has_no_temperature(tmp_path: Path) -> None:
    assert read(thermal, plant(ORIN_NANO, tmp_path)) == {"temperature_mc/cpu-thermal": 48156}


def test_the_counter_of_a_processor_becomes_mean_power_also_where_it_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [5_000_000_000]
    monkeypatch.setattr(power_supply.time, "monotonic_ns", lambda: now[0])
    reader = power_supply.find_rapl(plant(X86, tmp_path), PID)
    assert reader is not None
    now[0] += 500_000_000
    plant({"sys/class/powercap/intel-rapl:0/energy_uj": "262143300000\n"}, tmp_path)
    assert reader() == {"power_uw/rapl/package-0": 600_000}  # 300,000 uJ in half a second; `core` is a part of it
    now[0] += 1_000_000_000
    plant({"sys/class/powercap/intel-rapl:0/energy_uj": "71150\n"}, tmp_path)
    assert reader() == {"power_uw/rapl/package-0": 100_000}  # 28,850 uJ up to its end, and 71,150


def test_a_counter_that_may_not_be_read_is_absent(tmp_path: Path) -> None:
    counter = plant(X86, tmp_path) / "sys/class/powercap/intel-rapl:0/energy_uj"
    counter.unlink()
    counter.mkdir()  # root may read every file
    assert power_supply.find_rapl(tmp_path, PID) is None
    assert set(read_board(tmp_path)) == {"hwmon", "battery"}


def test_a_battery_tells_power_only_while_it_feeds_the_machine(tmp_path: Path) -> None:
    reader = power_supply.find_battery(plant(X86, tmp_path), PID)
    assert reader is not None
    assert reader() == {"power_uw/battery/BAT0": 9_120_000}  # 11.4 V x 0.8 A
    plant({"sys/class/power_supply/BAT0/status": "Charging\n"}, tmp_path)
    assert reader() == {}


def test_a_power_monitor_is_named_by_its_chip(tmp_path: Path) -> None:
    reader = power_supply.find_hwmon(plant(X86, tmp_path), PID)
    assert reader is not None
    assert reader() == {"power_uw/hwmon/ina226-power1": 4_525_000}


@pytest.mark.parametrize(
    "garbage",
    ["", "\n", "warm\n", "48.2\n", "1_000\n", "0x10\n", "9" * 30, "-" + "9" * 19, "\u0661\u0662", "\0\0", "1 2\n"],
)
def test_garbage_in_a_file_is_no_value(tmp_path: Path, garbage: str) -> None:
    names = [name for tree in (ORIN_NANO, JETSON_NANO_POWER, PI4, X86) for name in tree if name.startswith("sys/")]
    texts = {name for name in names if name.endswith(("type", "label", "name", "status")) or "rail_name" in name}
    plant(dict.fromkeys(texts, "x\n") | dict.fromkeys(set(names) - texts, garbage), tmp_path)
    assert read_board(tmp_path) == {}


def test_a_pipe_where_a_file_should_be_is_no_value_and_holds_up_nothing(pi4: Path) -> None:
    temperature = pi4 / "sys/class/thermal/thermal_zone0/temp"
    temperature.unlink()
    os.mkfifo(temperature)
    assert thermal.find(pi4, PID) is None
    assert board_facts(Home(pi4), pi4)["temperature_mc"] is None


@pytest.mark.slow
def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    plant_command(tmp_path / "usr/bin/vcgencmd", f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    assert raspberry_pi.read_throttled(tmp_path) is None
    child = Path("/proc", (tmp_path / "pid").read_text().strip(), "cmdline")
    deadline = time.monotonic() + 120
    while child.exists() and child.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.05)  # whoever inherited it may not have buried it yet; a dead one has no command line
    assert not child.exists() or not child.read_bytes()


# --- read in turn -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sensor_set() -> Iterator[Callable[..., SensorSet]]:
    made: list[SensorSet] = []

    def make(root: Path, rows: Sequence[Row] = SENSORS) -> SensorSet:
        made.append(SensorSet(PID, root, rows))
        return made[-1]

    yield make
    for each in made:
        each.close()


def taken(sensors: SensorSet, *, until: Callable[[dict[str, int | None], list[str]], object]) -> dict[str, int | None]:
    """Return all that the sensors say until it is what is waited for."""
    values: dict[str, int | None] = {}
    notes: list[str] = []
    deadline = time.monotonic() + 600
    while not until(values, notes) and time.monotonic() < deadline:
        sensors.request_due(time.monotonic_ns())
        select.select([sensors], [], [], 0.05)
        told, new = sensors.collect()
        notes += new
        for each in told:
            values.update(each)
    assert until(values, notes)
    return values


def test_sensors_are_read_when_they_are_due_and_all_at_borders(pi4: Path, sensor_set: Callable[..., SensorSet]) -> None:
    plant_vcgencmd(pi4, "throttled=0x80000")
    sensors = sensor_set(pi4)
    assert sensors.due_ns() == 0
    first = taken(sensors, until=lambda values, _: {"rss_bytes", "throttled", "frequency_khz/cpu3"} <= set(values))
    assert (first["rss_bytes"], first["throttled"]) == (25000 * PAGE, 0x80000)
    assert first["frequency_khz/cpu3"] == 1500003
    assert "pss_bytes" not in first
    assert sensors.due_ns() > 0
    border = sensors.read_border()
    assert border["pss_bytes"] == 91234 * 1024
    assert border["rss_bytes"] == 25000 * PAGE
    assert border["temperature_mc/cpu-thermal"] == 48199
    assert border["throttled"] == 0x80000


@pytest.mark.slow
def test_a_sensor_that_blocks_holds_up_neither_the_others_nor_a_border(
    pi4: Path, sensor_set: Callable[..., SensorSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_HANGS_AFTER_NS", 300_000_000)
    let_go = threading.Event()

    def find(root: Path, pid: int) -> Callable[[], dict[str, int | None]]:
        let_go.wait(60)
        return lambda: {"blocked": 1}

    sensors = sensor_set(pi4, [Row("stuck", find, 1), Row("thermal", thermal.find, 1)])
    try:
        assert sensors.read_border()["pss_bytes"] == 91234 * 1024
        values = taken(sensors, until=lambda values, notes: values and notes)
        assert values == {"temperature_mc/cpu-thermal": 48199}
    finally:
        let_go.set()
    assert "blocked" not in sensors.read_border()


def test_a_sensor_that_goes_on_failing_is_left_out_with_a_note(
    pi4: Path, sensor_set: Callable[..., SensorSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_FAILS_FOR_NS", 200_000_000)

    def broken() -> dict[str, int | None]:
        raise ValueError("no such thing")

    rows = [Row("thermal", thermal.find, 1_000_000), Row("broken", lambda root, pid: broken, 1_000_000)]
    sensors = sensor_set(pi4, rows)
    taken(sensors, until=lambda values, notes: values)
    (pi4 / "sys/class/thermal/thermal_zone0/temp").unlink()
    said: list[str] = []
    taken(sensors, until=lambda values, notes: said.extend(notes) or len(notes) == 2)
    assert {note.partition(" from now on: ")[0] for note in said} == {
        "sensor thermal is left out",
        "sensor broken is left out",
    }
    assert any("no such thing" in note for note in said)
    assert sensors.due_ns() == MAX_INT


def test_more_values_than_a_run_may_have_are_left_out(pi4: Path, sensor_set: Callable[..., SensorSet]) -> None:
    many = {f"temperature_mc/{number}": number for number in range(500)}
    sensors = sensor_set(pi4, [Row("many", lambda root, pid: lambda: many, 1_000_000)])
    assert len(taken(sensors, until=lambda values, notes: values and notes)) == 224


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
        "clock_allowed_khz": {f"cpu{core}": 1500000 for core in range(4)},
        "clock_hardware_max_khz": 1800000,
        "clocksource": "arch_sys_counter",
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


@pytest.mark.parametrize(
    ("interval", "samples", "averaging"),
    [("7", "1", 7), ("7", "64", 448), ("422", "64", 422), ("x", "64", None), (None, None, None)],
)
def test_the_averaging_time_of_a_power_monitor_is_a_fact(
    tmp_path: Path, interval: str | None, samples: str | None, averaging: int | None
) -> None:
    folder = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/"
    files = {folder + "update_interval": interval, folder + "samples": samples}
    root = plant({**ORIN_NANO, **{name: text for name, text in files.items() if text is not None}}, tmp_path / "root")
    found = board_facts(Home(tmp_path / "home"), root)["power_averaging_ms"]
    assert found == (None if averaging is None else {"ina3221": averaging})


def test_steal_is_a_sensor_of_its_own_where_the_board_is_virtual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [5_000_000_000]
    monkeypatch.setattr(steal.time, "monotonic_ns", lambda: now[0])
    assert steal.find(plant(PI4, tmp_path / "pi4"), PID) is None
    root = plant({"proc/stat": "cpu  10 0 5 900 2 0 3 70 0 0\n"}, tmp_path / "vm")
    reader = steal.find(root, PID)
    assert reader is not None
    now[0] += 50_000_000
    assert reader() == {}  # shorter than the kernel's ticks allow
    now[0] += 200_000_000
    plant({"proc/stat": "cpu  30 0 5 900 2 0 3 75 0 0\n"}, root)
    assert reader() == {"steal_cpu_millicores": 200}  # 5 ticks of 10 ms in 250 ms


@pytest.mark.parametrize(
    ("own_group", "stopped"),
    [
        (
            "0::/docker/4711\n",
            {"sys/fs/cgroup/docker/4711/cpu.stat": "usage_usec 9\nnr_throttled 1\nthrottled_usec {}000\n"},
        ),
        (
            "4:cpu,cpuacct:/docker/4711\n",
            {"sys/fs/cgroup/cpu/docker/4711/cpu.stat": "nr_periods 7\nnr_throttled 1\nthrottled_time {}000000\n"},
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_a_quota_that_stops_the_run_is_a_sensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_group: str, stopped: dict[str, str]
) -> None:
    now = [5_000_000_000]
    monkeypatch.setattr(control_group.time, "monotonic_ns", lambda: now[0])
    assert control_group.find_quota(plant(PI4, tmp_path / "pi4"), PID) is None

    def kernel(milliseconds: int) -> Path:
        files = {name: text.format(milliseconds) for name, text in stopped.items()}
        return plant({"proc/self/cgroup": own_group, **files}, tmp_path / "container")

    reader = control_group.find_quota(kernel(100), PID)
    assert reader is not None
    now[0] += 250_000_000
    kernel(150)
    assert reader() == {"quota_cpu_millicores": 200}


def test_waiting_for_a_processor_is_read_of_the_own_group_else_of_the_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [5_000_000_000]
    monkeypatch.setattr(control_group.time, "monotonic_ns", lambda: now[0])
    assert control_group.find_pressure(plant(PI4, tmp_path / "pi4"), PID) is None
    line = "some avg10=0.10 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    board = {"proc/self/cgroup": "0::/\n", "proc/pressure/cpu": line.format(1000)}
    group = {**board, "sys/fs/cgroup/cpu.pressure": line.format(7000)}
    for files, name in ((board, "proc/pressure/cpu"), (group, "sys/fs/cgroup/cpu.pressure")):
        root = plant(files, tmp_path / name.replace("/", "-"))
        reader = control_group.find_pressure(root, PID)
        assert reader is not None
        now[0] += 250_000_000
        plant({name: line.format(57_000)}, root)
        assert reader() == {"waiting_cpu_permille": 224 if files is board else 200}
    plant({name: "nothing that the kernel writes"}, root)
    now[0] += 250_000_000
    assert reader() == {"waiting_cpu_permille": None}


def test_what_others_seem_to_lack_in_one_reading_is_taken_off_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [5_000_000_000]
    monkeypatch.setattr(load.time, "monotonic_ns", lambda: now[0])
    monkeypatch.setattr(load, "_agent_seconds", lambda: 0.0)
    monkeypatch.setattr(load, "process_seconds", lambda stat: worker[0])
    worker = [0.0]
    reader = load.find(plant({"proc/stat": "cpu  0 0 0 0 0 0 0 0 0 0\n"}, tmp_path), PID)
    assert reader is not None
    others = []
    for ticks, seconds in ((10, 0.12), (25, 0.23), (45, 0.4)):
        now[0] += 250_000_000
        worker[0] = seconds
        plant({"proc/stat": f"cpu  {ticks} 0 0 0 0 0 0 99 0 0\n"}, tmp_path)  # steal is not others' work
        others.append(reader()["others_cpu_millicores"])
    assert others == [0, 80, 120]  # 0.05 s in all


@pytest.mark.parametrize(
    ("tree", "virtual"),
    [
        (PI4, False),
        (ORIN_NANO, False),
        ({"proc/cpuinfo": "flags\t\t: fpu sse2 avx2\n"}, False),
        ({"proc/cpuinfo": "flags\t\t: fpu sse2 hypervisor avx2\n"}, True),
        ({"proc/cpuinfo": "flags\t\t: fpu sse2\n", "proc/stat": "cpu  10 0 5 9 2 0 3 7 0 0\n"}, True),  # steal
        ({"sys/class/dmi/id/sys_vendor": "QEMU\n", "sys/class/dmi/id/product_name": "KVM Virtual Machine\n"}, True),
        ({"sys/class/dmi/id/sys_vendor": "Amazon EC2\n", "sys/class/dmi/id/product_name": "c7g.large\n"}, True),
        ({"sys/class/dmi/id/sys_vendor": "Amazon EC2\n", "sys/class/dmi/id/product_name": "c7g.metal\n"}, False),
        (
            {"sys/class/dmi/id/sys_vendor": "Microsoft\n", "sys/class/dmi/id/product_name": "Surface\n"},
            False,
        ),
        ({"proc/device-tree/compatible": "linux,dummy-virt\0"}, True),
        ({"proc/device-tree/model": "x\0", "proc/device-tree/hypervisor/compatible": "xen,xen-4.17\0xen,xen\0"}, True),
        ({"sys/hypervisor/type": "xen\n"}, True),
        ({}, None),
    ],
)
def test_a_virtual_machine_is_recognised(tmp_path: Path, tree: dict[str, str], virtual: bool | None) -> None:
    assert board_facts(Home(tmp_path / "home"), plant(tree, tmp_path / "root"))["virtual"] is virtual


def test_what_a_board_does_not_tell_is_none(tmp_path: Path) -> None:
    facts = board_facts(Home(tmp_path / "no such home"), tmp_path)
    silent = [name for name, value in facts.items() if value is None]
    assert {"model", "cpu", "memory_bytes", "governor", "clock_max_khz", "temperature_mc", "throttled"} <= set(silent)
    assert facts["disk_free_bytes"] > 0
    assert memory_available(tmp_path) is boot_id(tmp_path) is oom_kills(tmp_path) is None
