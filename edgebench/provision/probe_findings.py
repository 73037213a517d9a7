"""Findings about a board from its agent's answer to `probe`: its runtime, memory, clock, sensors, load."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace

from edgebench.analysis import STICKY_SHIFT, disturbance, throttle_names
from edgebench.board import DEFAULT_PYTHON, BoardFacts, BoardProbe, RuntimeProbe, SensorReading
from edgebench.device import Device
from edgebench.provision.findings import UNKNOWN, Finding, State
from edgebench.text import counted

_MB = 10**6
#: Below the first no run can work; below the second there is a warning.
_MEMORY_BYTES = (64 * _MB, 256 * _MB)
_DISK_BYTES = (64 * _MB, 1000 * _MB)
_HOT_MC = 70_000  # boards begin to slow down at 80 to 85 degrees


def probe_findings(device: Device, runtime: str, probe: BoardProbe) -> Iterator[Finding]:
    """Yield the findings about a board and its runtimes; `runtime` is the one that it is measured with by default."""
    board = probe.board
    yield from _runtime_findings(device, runtime, probe.runtimes[runtime], board.python_executable)
    for name, other in probe.runtimes.items():
        if name != runtime and not other.is_missing:
            yield _other_runtime(device, name, other, board.python_executable)
    yield _model(device, board)
    yield _room("free memory", board.memory_available_bytes, _MEMORY_BYTES, "stop what else runs there")
    clean = f"edgebench device clean {shlex.quote(device.name)}"
    yield _room("free disk", board.disk_free_bytes, _DISK_BYTES, clean)
    if board.usable_cores is not None and board.usable_millicores is not None:
        yield _processor_time(board.usable_cores, board.usable_millicores)
    yield _governor(board.governor)
    yield _temperature(board.temperature_mc)
    if board.throttled is not None:
        yield _throttle_flags(board.throttled)
    yield from _sensor_findings(device, probe.sensors)
    yield _other_run(probe.running)
    yield _other_load(probe)


# --- the board --------------------------------------------------------------------------------------------------


def _model(device: Device, board: BoardFacts) -> Finding:
    arch, expected = board.system.arch, device.profile.arch
    seen = ", ".join(filter(None, (board.model, arch, board.os))) or UNKNOWN
    if expected is not None and arch not in (None, expected):
        fix = f"a 64-bit system, or another profile: edgebench device add {shlex.quote(device.name)} --replace ..."
        return Finding("board", f"{seen}; the profile {device.profile.name} is {expected}", State.WARN, fix)
    return Finding("board", seen)


def _room(what: str, free: int | None, bounds: tuple[int, int], fix: str) -> Finding:
    if free is None:
        return Finding(what, UNKNOWN)
    seen = f"{free / _MB:,.0f} MB"
    if free >= bounds[1]:
        return Finding(what, seen)
    return Finding(what, seen, State.FAIL if free < bounds[0] else State.WARN, fix)


def _processor_time(cores: int, millicores: int) -> Finding:
    if millicores >= 1000 * cores:
        return Finding("processor time", f"{counted(cores, 'core')}, no quota")
    fix = f"measure with `--threads {max(1, millicores // 1000)}`, or raise the quota of the container"
    seen = f"a quota of {millicores / 1000:.3g} of {counted(cores, 'core')}: it stops runs with more threads"
    return Finding("processor time", seen, State.WARN, fix)


def _governor(governor: str | None) -> Finding:
    if governor is None or governor == "performance":
        return Finding("governor", governor or UNKNOWN)
    fix = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    return Finding("governor", governor, State.WARN, fix)


def _temperature(zones: Mapping[str, int]) -> Finding:
    if not zones:
        return Finding("temperature", UNKNOWN)
    hottest = max(zones.values())
    seen = f"{hottest / 1000:.1f} °C"
    if hottest < _HOT_MC:
        return Finding("temperature", seen)
    return Finding("temperature", seen, State.WARN, "let it cool down, or give it a heat sink or fan")


def _throttle_flags(bits: int) -> Finding:
    now, before = throttle_names(bits), throttle_names(bits >> STICKY_SHIFT)
    fix = "a better power supply" if "under-voltage" in (now or before) else "better cooling"
    if now:
        return Finding("throttle flags", f"now: {', '.join(now)}", State.FAIL, fix)
    if before:
        return Finding("throttle flags", f"since boot: {', '.join(before)}", State.WARN, fix)
    return Finding("throttle flags", "none")


# --- sensors ----------------------------------------------------------------------------------------------------

_VCGENCMD = (
    "on the board: sudo apt install raspi-utils (older systems: libraspberrypi-bin); "
    "sudo usermod -aG video $USER, then log in again"
)
#: What makes a sensor work that the profile names and the board lacks.
_SENSOR_FIXES = {
    "thermal": "measure on the board itself: a virtual machine has no temperature",
    "cpufreq": "measure on the board itself: a virtual machine does not report its clock",
    "vcgencmd": _VCGENCMD,
    "pmic": _VCGENCMD,
    "ina3221": "on the board: ls /sys/bus/i2c/drivers/ina3221*/; a container needs /sys from the board",
    "devfreq": "on the board: ls /sys/class/devfreq; a container needs /sys from the board",
    "nvpmodel": "on the board: sudo nvpmodel -q, and choose a mode: sudo nvpmodel -m NUMBER",
}
_SHOWN_VALUES = 4
#: The unit at the end of a series' name: a value divided by so much is in the other unit.
_UNITS = {"_mc": (1e3, "°C"), "_khz": (1e3, "MHz"), "_uw": (1e6, "W"), "_uv": (1e6, "V"), "_permille": (10, "%")}


def _sensor_findings(device: Device, sensors: Mapping[str, SensorReading] | None) -> Iterator[Finding]:
    """Yield each sensor with what it reads, and those that such a board should have and this one lacks."""
    if sensors is None:
        yield Finding("sensors", UNKNOWN)
        return
    for name, sensor in sensors.items():
        yield Finding(f"sensor {name}", _shown(sensor.values))
    for name in device.profile.sensors:
        if name not in sensors:
            seen = f"absent, though the profile {device.profile.name} has it"
            yield Finding(f"sensor {name}", seen, State.WARN, _SENSOR_FIXES.get(name))


def _shown(values: Mapping[str, int | None]) -> str:
    """Return the first values with their units."""
    texts = [f"{name.partition('/')[2] or name} {_with_unit(name, value)}" for name, value in values.items()]
    more = f" and {len(texts) - _SHOWN_VALUES} more" if len(texts) > _SHOWN_VALUES else ""
    return ", ".join(texts[:_SHOWN_VALUES]) + more if texts else "no values just now"


def _with_unit(name: str, value: int | None) -> str:
    if value is None:
        return "?"
    for ending, (divisor, unit) in _UNITS.items():
        if name.partition("/")[0].endswith(ending):
            return f"{value / divisor:.4g} {unit}"
    return str(value)


# --- what else runs there ---------------------------------------------------------------------------------------


def _other_run(running: str | None) -> Finding:
    if running is None:
        return Finding("other runs", "none")
    return Finding("other runs", f"{running} is measuring now", State.FAIL, "wait until it has ended")


def _other_load(probe: BoardProbe) -> Finding:
    load = probe.load
    found = disturbance(load)
    if found is not None:
        fix = "stop what need not run there, or wait for quiet: edgebench profile --wait-idle ..."
        if load.own_pids and not load.busiest:
            fix = "stop it outside of this container, or wait for quiet: edgebench profile --wait-idle ..."
        if load.stolen_millicores and "steal" in found:
            fix = "measure on a machine of its own, or wait for quiet: edgebench profile --wait-idle ..."
        return Finding("other load", f"{found}; runs would not be valid", State.WARN, fix)
    if load.others_millicores is None and load.waiting_permille is None:
        fix = "watch it by other means (top): runs are judged without it"
        seen = load.processes or "unknown: the board does not report it (/proc/stat)"
        return Finding("other load", seen, State.WARN, "stop what need not run there" if load.processes else fix)
    rest = load.processes
    return Finding("other load", f"little: {rest}" if rest else "none")


# --- the runtime ------------------------------------------------------------------------------------------------


def _runtime_findings(device: Device, runtime: str, found: RuntimeProbe, python: str | None) -> Iterator[Finding]:
    if not found.works:
        pip = (found.error or "").partition("; try: ")[2]
        fix = _setup_or(device, runtime, _without_setup(device, runtime, python, pip))
        yield Finding(runtime, found.problem, State.FAIL, fix or None)
        return
    for name in sorted(found.libraries):
        yield Finding(name, found.libraries[name] or UNKNOWN)
    yield Finding(runtime, found.version or UNKNOWN)
    if device.profile.providers and found.providers is not None:
        yield _providers(device, runtime, found.providers)


def _other_runtime(device: Device, runtime: str, found: RuntimeProbe, python: str | None) -> Finding:
    """Return the finding about a runtime that other formats need: where it is broken, the default one can be used."""
    if found.works:
        return Finding(runtime, found.version or UNKNOWN)
    (failed,) = _runtime_findings(device, runtime, found, python)
    return replace(failed, state=State.WARN)


def _providers(device: Device, runtime: str, providers: tuple[str, ...]) -> Finding:
    missing = [name for name in device.profile.providers if name not in providers]
    seen = ", ".join(providers)
    if not missing:
        return Finding("providers", seen)
    name = shlex.quote(device.name)
    setup = f"edgebench device setup {name}"
    fix = (
        f"a build of {runtime} with {missing[0]}: {setup} --wheel FILE, or {setup} --system-python; "
        f"or measure the CPU: edgebench device add {name} --profile generic-linux --replace ..."
    )
    return Finding("providers", f"{seen}; the profile {device.profile.name} asks for {missing[0]}", State.FAIL, fix)


def _setup_or(device: Device, runtime: str, otherwise: str) -> str:
    """Return what installs a runtime: `device setup`, unless the user chose the Python."""
    if device.is_local or device.python != DEFAULT_PYTHON:
        return otherwise
    runtime = "ai-edge-litert" if runtime == "tflite" else runtime
    return f"edgebench device setup {shlex.quote(device.name)} --runtime {runtime}"


def _without_setup(device: Device, runtime: str, python: str | None, pip: str) -> str:
    """Return what installs a runtime for a Python of the user's choice."""
    if python is None or not python.startswith("/usr/"):
        return pip
    # Debian 12 and later forbid pip to install into the system's Python.
    return (
        f"on the board: {shlex.quote(python)} -m venv bench && bench/bin/pip install numpy {runtime}; "
        f'then python = "bench/bin/python" for {device.name} in edgebench.toml'
    )
