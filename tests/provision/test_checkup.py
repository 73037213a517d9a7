"""Findings of `device check`, from what agents tell."""

from __future__ import annotations

from typing import Any

import pytest

from edgebench.board import BoardProbe
from edgebench.device import Device, load_profile, profile_names
from edgebench.provision.checkup import Checkup
from edgebench.provision.findings import Finding, State
from edgebench.provision.probe_findings import probe_findings
from edgebench.reporting import overhead_findings
from edgebench.run import Overhead
from edgebench_agent.board.sensors import BOARD_SENSORS

HEALTHY: dict[str, Any] = {
    "model": "Raspberry Pi 4 Model B Rev 1.4",
    "arch": "aarch64",
    "os": "Debian GNU/Linux 12 (bookworm)",
    "memory_available_bytes": 3_000_000_000,
    "disk_free_bytes": 20_000_000_000,
    "governor": "performance",
    "temperature_mc": {"cpu-thermal": 45_123},
    "throttled": 0,
    "usable_cores": 4,
    "usable_millicores": 4000,
}
RUNTIME: dict[str, Any] = {
    "ok": True,
    "version": "1.32.0",
    "providers": ["CPUExecutionProvider"],
    "libraries": {"numpy": "2.4.6"},
}


QUIET = {"load": {"others_cpu_millicores": 10, "watched_ms": 500, "usable_cores": 4}, "busiest": []}


def found_by(device: Device, **reply: Any) -> list[Finding]:
    """Return the findings about a board that answers so to `probe`."""
    return list(probe_findings(device, "onnxruntime", BoardProbe.from_reply(reply, ["onnxruntime"], name="board")))


def findings(
    profile: str = "pi4", runtime: dict[str, Any] | None = None, python: str = "python3", **facts: Any
) -> dict[str, Finding]:
    """Return the findings about a healthy board on which these facts differ, by what they are about."""
    device = Device(name="board", profile=load_profile(profile), host="10.0.0.4", python=python)
    found = found_by(device, board=HEALTHY | facts, runtimes={"onnxruntime": runtime or RUNTIME}, **QUIET)
    return {finding.what: finding for finding in found}


def test_nothing_is_amiss_on_a_healthy_board() -> None:
    found = findings()
    assert {finding.state for finding in found.values()} == {State.OK}
    assert found["onnxruntime"].seen == "1.32.0"
    assert found["numpy"].seen == "2.4.6"
    assert found["temperature"].seen == "45.1 °C"
    assert found["free memory"].seen == "3,000 MB"
    assert all(finding.fix is None for finding in found.values())


def test_a_second_runtime_that_is_broken_is_a_warning_and_one_that_is_missing_is_no_finding() -> None:
    device = Device(name="board", profile=load_profile("pi4"), host="10.0.0.4")

    def about_tflite(**report: Any) -> list[Finding]:
        reply = {"board": HEALTHY, "runtimes": {"onnxruntime": RUNTIME, "tflite": report}, **QUIET}
        probe = BoardProbe.from_reply(reply, ["onnxruntime", "tflite"], name="board")
        return [finding for finding in probe_findings(device, "onnxruntime", probe) if finding.what == "tflite"]

    error = "the first inference of tflite died of signal SIGILL: it is built for another processor; try: pip install x"
    (broken,) = about_tflite(ok=False, error=error)
    assert (broken.state, broken.seen) == (State.WARN, error.partition("; try")[0])
    assert broken.fix == "edgebench device setup board --runtime ai-edge-litert"
    assert about_tflite(ok=False, error="no module", kind="runtime_missing") == []
    (works,) = about_tflite(ok=True, version="ai-edge-litert 2.1")
    assert (works.state, works.seen) == (State.OK, "ai-edge-litert 2.1")


def test_what_keeps_the_board_busy_is_named() -> None:
    device = Device(name="board", profile=load_profile("pi4"), host="10.0.0.4")
    reply = {"board": HEALTHY, "runtimes": {"onnxruntime": RUNTIME}}
    busy = [{"name": "chromium\x1b[2J", "cpu_millicores": 940}, {"name": 7}, "nonsense"]
    (load,) = [f for f in found_by(device, **reply, busiest=busy) if f.what == "other load"]
    assert (load.state, load.seen) == (State.WARN, "chromium [2J 0.94 cores")
    (load,) = [f for f in found_by(device, **reply, busiest=None) if f.what == "other load"]
    assert (load.state, load.seen) == (State.WARN, "unknown: the board does not report it (/proc/stat)")


def other_load(load: dict[str, Any], *busy: dict[str, Any]) -> Finding:
    device = Device(name="board", profile=load_profile("pi4"), host="10.0.0.4")
    reply = {"board": HEALTHY, "runtimes": {"onnxruntime": RUNTIME}, "busiest": list(busy)}
    load = {"watched_ms": 500, "usable_cores": 4, **load}
    (found,) = [each for each in found_by(device, **reply, load=load) if each.what == "other load"]
    return found


def test_processes_of_one_name_are_listed_once_with_their_numbers() -> None:
    busy = [{"name": "python train.py", "pid": pid, "cpu_millicores": 510} for pid in (12, 13, 14, 15)]
    found = other_load({"others_cpu_millicores": 2040}, *busy)
    assert found.state is State.WARN
    assert "use 2.04 cores: python train.py (PIDs 12, 13, 14, 15) 2.04 cores; runs would not be valid" in found.seen
    assert "--wait-idle" in str(found.fix)


@pytest.mark.parametrize(
    ("load", "seen"),
    [
        ({"others_cpu_millicores": 3000, "own_pids": True}, "3.00 cores: no process that is visible there"),
        ({"others_cpu_millicores": 5, "steal_cpu_millicores": 800}, "0.80 cores to other machines (steal)"),
        ({"waiting_cpu_permille": 250}, "processes wait for a processor 25% of the time"),
        ({"others_cpu_millicores": 130}, "0.13 cores"),  # little, and more than a run stands
    ],
)
def test_what_would_make_runs_fail_is_never_no_load(load: dict[str, Any], seen: str) -> None:
    found = other_load(load)
    assert found.state is State.WARN
    assert seen in found.seen


def test_a_container_says_how_much_of_the_load_it_can_not_see() -> None:
    busy = {"name": "sleeper", "pid": 7, "cpu_millicores": 100}
    found = other_load({"others_cpu_millicores": 2100, "own_pids": True}, busy)
    assert "sleeper (PID 7) 0.10 cores, 2.00 cores outside of the container" in found.seen


def test_a_quiet_board_is_ok_though_something_runs() -> None:
    found = other_load({"others_cpu_millicores": 60}, {"name": "sshd", "pid": 7, "cpu_millicores": 55})
    assert (found.state, found.seen) == (State.OK, "little: sshd (PID 7) 0.06 cores")


def test_a_quota_of_processor_time_is_a_warning_with_the_threads_that_it_allows() -> None:
    found = findings(usable_millicores=1500)["processor time"]
    assert (found.state, found.seen) == (State.WARN, "a quota of 1.5 of 4 cores: it stops runs with more threads")
    assert "--threads 1" in str(found.fix)


def test_a_board_that_tells_nothing_can_still_measure() -> None:
    device = Device(name="board", profile=load_profile("generic-linux"), host="10.0.0.4")
    found = tuple(found_by(device, board={}, runtimes={"onnxruntime": {"ok": True}}))
    assert Checkup(device="board", findings=found).can_measure
    assert {"not reported"} <= {finding.seen for finding in found}


@pytest.mark.parametrize(
    ("facts", "what", "state", "seen", "mend"),
    [
        ({"memory_available_bytes": 10_000_000}, "free memory", State.FAIL, "10 MB", "stop what else"),
        ({"memory_available_bytes": 200_000_000}, "free memory", State.WARN, "200 MB", "stop what else"),
        ({"disk_free_bytes": 0}, "free disk", State.FAIL, "0 MB", "edgebench device clean board"),
        ({"disk_free_bytes": 500_000_000}, "free disk", State.WARN, "500 MB", "edgebench device clean board"),
        ({"governor": "ondemand"}, "governor", State.WARN, "ondemand", "echo performance | sudo tee"),
        ({"temperature_mc": {"a": 40_000, "b": 81_500}}, "temperature", State.WARN, "81.5 °C", "cool"),
        ({"throttled": 0x5}, "throttle flags", State.FAIL, "now: under-voltage, throttled", "power supply"),
        ({"throttled": 0x80008}, "throttle flags", State.FAIL, "now: soft temperature limit", "cooling"),
        ({"throttled": 0x50000}, "throttle flags", State.WARN, "since boot: under-voltage, throttled", "power"),
        ({"arch": "armv7l"}, "board", State.WARN, "armv7l", "64-bit"),
    ],
)
def test_what_is_amiss_says_what_mends_it(facts: dict[str, Any], what: str, state: State, seen: str, mend: str) -> None:
    finding = findings(**facts)[what]
    assert finding.state == state
    assert seen in finding.seen
    assert mend in (finding.fix or "")
    assert [other for other in findings(**facts).values() if other.state is not State.OK] == [finding]


def test_a_missing_runtime_says_the_command_that_installs_it() -> None:
    error = "/usr/bin/python3 lacks onnxruntime; try: /usr/bin/python3 -m pip install onnxruntime"
    seen = "/usr/bin/python3 lacks onnxruntime"
    missing = {"ok": False, "error": error}
    setup = Finding("onnxruntime", seen, State.FAIL, "edgebench device setup board --runtime onnxruntime")
    assert findings(runtime=missing)["onnxruntime"] == setup
    # A Python of the user's choice is left to the user.
    chosen = Finding("onnxruntime", seen, State.FAIL, "/usr/bin/python3 -m pip install onnxruntime")
    assert findings(runtime=missing, python="bench/bin/python")["onnxruntime"] == chosen


def test_the_systems_python_is_left_alone_where_a_runtime_is_missing() -> None:
    finding = findings(
        runtime={"ok": False, "error": "it lacks onnxruntime"},
        python="python3.11",
        python_executable="/usr/bin/python3.11",
    )
    mend = finding["onnxruntime"].fix or ""
    assert "/usr/bin/python3.11 -m venv bench && bench/bin/pip install numpy onnxruntime" in mend
    assert 'python = "bench/bin/python" for board in edgebench.toml' in mend


def test_another_run_stands_in_the_way() -> None:
    device = Device(name="board", profile=load_profile("pi4"), host="10.0.0.4")
    reply = {"board": HEALTHY, "runtimes": {"onnxruntime": RUNTIME}, "running": "20261122T2200-001", **QUIET}
    (finding,) = [one for one in found_by(device, **reply) if one.state is not State.OK]
    assert (finding.what, finding.state) == ("other runs", State.FAIL)
    assert "20261122T2200-001 is measuring now" in finding.seen


def test_a_gpu_profile_wants_a_build_for_the_gpu() -> None:
    finding = findings(profile="jetson-orin-nano")["providers"]
    assert finding.state is State.FAIL
    assert "CUDAExecutionProvider" in finding.seen
    assert "--profile generic-linux" in (finding.fix or "")
    both = RUNTIME | {"providers": ["CUDAExecutionProvider", "CPUExecutionProvider"]}
    assert findings(profile="jetson-orin-nano", runtime=both)["providers"].state is State.OK


def test_what_a_board_says_can_do_nothing_to_the_terminal() -> None:
    found = findings(model="Pi\x1b[2J\nroot# ", governor="\x07" * 10_000)
    assert found["board"].seen.startswith("Pi [2J root#")
    assert all(finding.seen.isprintable() and len(finding.seen) < 2000 for finding in found.values())


def test_what_edgebench_costs_is_a_finding_or_why_that_is_not_known() -> None:
    cost = Overhead(
        per_inference=0.0625, per_inference_ci=(0.06, 0.07), loop_per_inference=0.25, loop_per_inference_ci=(0.2, 0.3)
    )
    partly = Checkup(
        device="board",
        findings=(),
        overhead_us=cost,
        overhead_problems=("cost of the sensors not measured: the run failed",),
    )
    measured = list(overhead_findings(partly))
    assert [(finding.what, finding.state) for finding in measured] == [("own cost", State.OK), ("sensors", State.OK)]
    assert measured[0].seen.startswith("0.0625 µs (95 % 0.0600 to 0.0700) in each latency")
    assert measured[1].seen == "cost of the sensors not measured: the run failed"
    busy = Checkup(device="board", findings=(), overhead_problems=("own cost not measured: busy",))
    assert list(overhead_findings(busy)) == [Finding("own cost", "own cost not measured: busy")]
    assert list(overhead_findings(Checkup(device="board", findings=()))) == []


@pytest.mark.parametrize("nonsense", [None, "x", -1, 1.5, [], {}, {"a": "b"}, True])
def test_nonsense_from_a_board_is_no_crash(nonsense: Any) -> None:
    reply_facts = dict.fromkeys(HEALTHY, nonsense)
    assert findings(
        runtime={"ok": True, **dict.fromkeys(["version", "providers", "libraries"], nonsense)}, **reply_facts
    )
    assert findings(runtime={"ok": False, "error": nonsense})["onnxruntime"].state is State.FAIL


def sensors(profile: str, told: Any) -> dict[str, Finding]:
    """Return the findings about sensors, by the sensor's name."""
    device = Device(name="board", profile=load_profile(profile), host="10.0.0.4")
    found = found_by(device, board=HEALTHY, runtimes={"onnxruntime": RUNTIME}, **QUIET, sensors=told)
    return {one.what.removeprefix("sensor "): one for one in found if one.what.startswith("sensor")}


def test_sensors_are_shown_with_what_they_say() -> None:
    rails = {f"power_uw/pmic/{rail}": 1_234_567 for rail in "ABCDE"}
    told = {
        "thermal": {"every_ms": 500, "values": {"temperature_mc/cpu-thermal": 48_312}},
        "cpufreq": {"every_ms": 500, "values": {"frequency_khz/cpu0": 2_400_000}},
        "vcgencmd": {"every_ms": 1000, "values": {"throttled": 0}},
        "pmic": {"every_ms": 1000, "values": rails},
    }
    found = sensors("pi5", told)
    assert found["thermal"].seen == "cpu-thermal 48.31 °C"
    assert found["cpufreq"].seen == "cpu0 2400 MHz"
    assert found["pmic"].seen == "pmic/A 1.235 W, pmic/B 1.235 W, pmic/C 1.235 W, pmic/D 1.235 W and 1 more"
    assert {one.state for one in found.values()} == {State.OK}


def test_a_sensor_that_such_a_board_has_and_this_one_lacks_says_what_mends_it() -> None:
    found = sensors("pi5", {"thermal": {"every_ms": 500, "values": {"temperature_mc/cpu-thermal": 48_312}}})
    assert found["pmic"].seen == "absent, though the profile pi5 has it"
    assert found["pmic"].state is State.WARN
    assert "apt install raspi-utils" in (found["pmic"].fix or "")
    assert "pmic" not in sensors("pi4", {})


@pytest.mark.parametrize("told", [None, 7, [], {"thermal": 1}, {"\x1b[2J": {"every_ms": "x", "values": {}}}])
def test_nonsense_about_sensors_is_no_crash(told: Any) -> None:
    assert all("\x1b" not in one.seen + one.what for one in sensors("pi4", told).values())


def test_every_sensor_of_a_profile_is_one_that_the_agent_reads() -> None:
    read = {row.name for row in BOARD_SENSORS}
    assert {name for profile in profile_names() for name in load_profile(profile).sensors} <= read
