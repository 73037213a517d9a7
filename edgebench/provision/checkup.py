"""Whether a measurement can be made on a board: what was found there, and what would mend what is missing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from edgebench.analysis.throttling import STICKY_SHIFT, throttle_names
from edgebench.board.agent import RemoteAgent
from edgebench.board.facts import busy_processes, sensors_of
from edgebench.board.lease import Holder, board_lease, holder_of
from edgebench.board.pythons import DEFAULT_PYTHON
from edgebench.board.transport import open_transport
from edgebench.device import Device
from edgebench.errors import AuthenticationError, BoardBusy, BoardError, ConnectionLost, DeviceError, HostKeyError
from edgebench.measure.probes.overhead import measure_overhead
from edgebench.report.overhead import cost_text, sensors_text
from edgebench.run import Overhead
from edgebench.text import printable
from edgebench_agent.protocol import LeaseRequest

_MB = 10**6
#: Below the first no run can work; below the second it is worth a word.
_MEMORY_BYTES = (64 * _MB, 256 * _MB)
_DISK_BYTES = (64 * _MB, 1000 * _MB)
_HOT_MC = 70_000  # boards begin to slow down at 80 to 85 degrees


class State(StrEnum):
    """What a finding means; only FAIL prevents a measurement. The values are fixed: `device check --json` has them."""

    OK = "ok"
    WARN = "could be better"
    FAIL = "to mend"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing checked: what was seen and, where something is wrong, the command or act that fixes it (`fix`)."""

    what: str
    seen: str
    state: State = State.OK
    fix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """All findings about one device; `board` holds the facts as the agent told them, empty where it could not."""

    device: str
    findings: tuple[Finding, ...]
    board: Mapping[str, Any] = field(default_factory=dict)
    overhead_us: Overhead | None = None

    @property
    def can_measure(self) -> bool:
        """Whether nothing stands in the way of a measurement."""
        return all(finding.state is not State.FAIL for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `device check --json` writes them."""
        return {
            "device": self.device,
            "can_measure": self.can_measure,
            "findings": [
                asdict(finding) | {"state": str(finding.state), "mend": finding.fix}  # the first version's key stays
                for finding in self.findings
            ],
            "overhead_us": asdict(self.overhead_us) if self.overhead_us is not None else None,
            "board": dict(self.board),
        }


def check_device(device: Device) -> Checkup:
    """Connect to a device, put the agent there, look at what a measurement needs and measure what it costs itself.

    Never raises a DeviceError.
    """
    runtime = device.profile.default_format.runtime
    findings: list[Finding] = []
    board: dict[str, Any] = {}
    overhead: Overhead | None = None
    try:
        with open_transport(device) as transport:
            findings += _way_findings(device)
            agent = RemoteAgent(transport, name=device.name, python=device.python)
            agent.install()
            findings.append(Finding("Python", f"{_version(agent.python_version)} at {agent.python}"))
            reply = agent.probe([runtime])
            board = reply["board"]
            findings += probe_findings(device, runtime, reply)
            findings.append(_lease(holder_of(agent.lease(LeaseRequest(do="show")))))
            if all(finding.state is not State.FAIL for finding in findings):
                told: list[str] = []
                overhead = _own_cost(agent, device, told)
                findings += cost_findings(overhead, told)
    except DeviceError as error:
        findings.append(Finding(_place_of(error, findings), str(error).removeprefix(f"{device.name}: "), State.FAIL))
    return Checkup(device=device.name, findings=tuple(findings), board=board, overhead_us=overhead)


def _own_cost(agent: RemoteAgent, device: Device, told: list[str]) -> Overhead | None:
    """Measure it while the board is ours; `told` gets why that was not possible."""
    try:
        with board_lease(agent, device, purpose="device check", wait_s=0, advice="try again when it is given back"):
            return measure_overhead(agent, report=told.append)
    except BoardBusy as busy:
        told.append(f"own cost not measured: {str(busy).removeprefix(f'{device.name}: ')}")
        return None


def _way_findings(device: Device) -> Iterator[Finding]:
    if device.is_local:
        yield Finding("connection", "this machine, without SSH")
        return
    yield Finding("connection", f"logged in at {device.address}")
    yield Finding("host key", "pinned" if device.host_key else "as known_hosts says")


def _place_of(error: DeviceError, findings: list[Finding]) -> str:
    """Return the row that an error belongs to: the first thing that was looked for and not found."""
    if isinstance(error, HostKeyError):
        return "host key"
    if isinstance(error, AuthenticationError):
        return "login"
    if not findings or isinstance(error, ConnectionLost):
        return "connection"
    return "Python" if isinstance(error, BoardError) and findings[-1].what != "Python" else "agent"


def probe_findings(device: Device, runtime: str, reply: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what the agent's answer to `probe` tells about a board and one runtime on it."""
    board = reply["board"]
    yield from _runtime_findings(device, runtime, reply["runtimes"][runtime], _text(board, "python_executable"))
    yield _model(device, board)
    yield _room("free memory", _number(board, "memory_available_bytes"), _MEMORY_BYTES, "stop what else runs there")
    clean = f"edgebench device clean {shlex.quote(device.name)}"
    yield _room("free disk", _number(board, "disk_free_bytes"), _DISK_BYTES, clean)
    yield _governor(board)
    yield _temperature(board)
    throttled = _number(board, "throttled")
    if throttled is not None:
        yield _throttle_flags(throttled)
    yield from sensor_findings(device, sensors_of(reply))
    yield _other_run(reply)
    yield _other_load(device, reply)


def _model(device: Device, board: Mapping[str, Any]) -> Finding:
    seen = ", ".join(filter(None, (_text(board, "model"), _text(board, "arch"), _text(board, "os")))) or "not told"
    expected = device.profile.arch
    if expected is not None and _text(board, "arch") not in (None, expected):
        fix = f"a 64-bit system, or another profile: edgebench device add {shlex.quote(device.name)} --replace ..."
        return Finding("board", f"{seen}; the profile {device.profile.name} is {expected}", State.WARN, fix)
    return Finding("board", seen)


def _room(what: str, free: int | None, bounds: tuple[int, int], fix: str) -> Finding:
    if free is None:
        return Finding(what, "not told")
    seen = f"{free / _MB:,.0f} MB"
    if free >= bounds[1]:
        return Finding(what, seen)
    return Finding(what, seen, State.FAIL if free < bounds[0] else State.WARN, fix)


def _governor(board: Mapping[str, Any]) -> Finding:
    governor = _text(board, "governor")
    if governor in (None, "performance"):
        return Finding("governor", governor or "not told")
    fix = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    return Finding("governor", governor or "", State.WARN, fix)


def _temperature(board: Mapping[str, Any]) -> Finding:
    zones = board.get("temperature_mc")
    values = [value for value in zones.values() if type(value) is int] if isinstance(zones, dict) else []
    if not values:
        return Finding("temperature", "not told")
    seen = f"{max(values) / 1000:.1f} °C"
    if max(values) < _HOT_MC:
        return Finding("temperature", seen)
    return Finding("temperature", seen, State.WARN, "let it cool down, or give it a heat sink or fan")


def _throttle_flags(bits: int) -> Finding:
    now, before = throttle_names(bits), throttle_names(bits >> STICKY_SHIFT)
    mend = "a better power supply" if "under-voltage" in (now or before) else "better cooling"
    if now:
        return Finding("throttle flags", f"now: {', '.join(now)}", State.FAIL, mend)
    if before:
        return Finding("throttle flags", f"since boot: {', '.join(before)}", State.WARN, mend)
    return Finding("throttle flags", "none")


_VCGENCMD = (
    "on the board: sudo apt install raspi-utils (older systems: libraspberrypi-bin); "
    "sudo usermod -aG video $USER, then log in again"
)
#: What makes a sensor that the profile names answer, where it does not.
_SENSOR_FIXES = {
    "thermal": "measure on the board itself: a virtual machine has no temperature",
    "cpufreq": "measure on the board itself: a virtual machine has no clock to tell",
    "vcgencmd": _VCGENCMD,
    "pmic": _VCGENCMD,
    "ina3221": "on the board: ls /sys/bus/i2c/drivers/ina3221*/; a container needs /sys from the board",
    "devfreq": "on the board: ls /sys/class/devfreq; a container needs /sys from the board",
    "nvpmodel": "on the board: sudo nvpmodel -q, and choose a mode: sudo nvpmodel -m NUMBER",
}
_SHOWN_VALUES = 4


def sensor_findings(
    device: Device, sensors: Mapping[str, tuple[int, Mapping[str, int | None]]] | None
) -> Iterator[Finding]:
    """Yield each sensor with what it says, and those that such a board should have and has not."""
    if sensors is None:
        yield Finding("sensors", "not told")
        return
    for name, (_, values) in sensors.items():
        yield Finding(f"sensor {name}", _shown(values))
    for name in device.profile.sensors:
        if name not in sensors:
            seen = f"absent, though the profile {device.profile.name} has it"
            yield Finding(f"sensor {name}", seen, State.WARN, _SENSOR_FIXES.get(name))


def _shown(values: Mapping[str, int | None]) -> str:
    """Return the first values as a person reads them."""
    told = [f"{name.partition('/')[2] or name} {_with_unit(name, value)}" for name, value in values.items()]
    more = f" and {len(told) - _SHOWN_VALUES} more" if len(told) > _SHOWN_VALUES else ""
    return ", ".join(told[:_SHOWN_VALUES]) + more if told else "nothing to tell just now"


#: How names end that carry a unit: divided by so much, it is that many of the other.
_UNITS = {"_mc": (1e3, "°C"), "_khz": (1e3, "MHz"), "_uw": (1e6, "W"), "_uv": (1e6, "V"), "_permille": (10, "%")}


def _with_unit(name: str, value: int | None) -> str:
    if value is None:
        return "?"
    for ending, (divisor, unit) in _UNITS.items():
        if name.partition("/")[0].endswith(ending):
            return f"{value / divisor:.4g} {unit}"
    return str(value)


def _other_run(reply: Mapping[str, Any]) -> Finding:
    if "running" not in reply:
        return Finding("other runs", "not told")
    running = _text(reply, "running")
    if running is None:
        return Finding("other runs", "none")
    return Finding("other runs", f"{running} is measuring now", State.FAIL, "wait until it has ended")


def _lease(holder: Holder | None) -> Finding:
    if holder is None:
        return Finding("lease", "nobody has the board")
    return Finding("lease", f"{holder} has the board since {holder.since}", State.WARN, "wait until it is given back")


def _other_load(device: Device, reply: Mapping[str, Any]) -> Finding:
    busy = busy_processes(reply)
    if busy is None:
        pip = f"on the board: {shlex.quote(device.python)} -m pip install psutil"
        mend = _mend(device, device.profile.default_format.runtime, pip)
        return Finding("other load", "psutil, which would tell, is not installed", State.WARN, mend)
    if not busy:
        return Finding("other load", "none")
    seen = ", ".join(f"{name} {millicores / 1000:.2f} cores" for name, millicores in busy)
    return Finding("other load", seen, State.WARN, "stop what need not run there")


def _mend(device: Device, runtime: str, otherwise: str | None) -> str | None:
    """Return what installs a runtime and psutil: `device setup`, unless the Python is somebody's choice."""
    if device.is_local or device.python != DEFAULT_PYTHON:
        return otherwise
    runtime = "ai-edge-litert" if runtime == "tflite" else runtime
    return f"edgebench device setup {shlex.quote(device.name)} --runtime {runtime}"


def _runtime_findings(device: Device, runtime: str, found: Mapping[str, Any], python: str | None) -> Iterator[Finding]:
    if not found["ok"]:
        problem, _, pip = (_text(found, "error") or "it does not work").partition("; try: ")
        mend = _mend(device, runtime, _without_setup(device, runtime, python, pip))
        yield Finding(runtime, problem, State.FAIL, mend or None)
        return
    libraries = found.get("libraries")
    libraries = libraries if isinstance(libraries, dict) else {}
    for name in sorted(libraries):
        yield Finding(printable(name), _text(libraries, name) or "not told")
    yield Finding(runtime, _text(found, "version") or "not told")
    wanted, providers = device.profile.providers, found.get("providers")
    if not wanted or not isinstance(providers, list):
        return
    missing = [name for name in wanted if name not in providers]
    seen = ", ".join(printable(name) for name in providers)
    if not missing:
        yield Finding("providers", seen)
        return
    mend = (
        f"a build of {runtime} with {missing[0]}: edgebench device setup {shlex.quote(device.name)} --wheel FILE or "
        f"--system-python; or measure the CPU: "
        f"edgebench device add {shlex.quote(device.name)} --profile generic-linux --replace ..."
    )
    yield Finding("providers", f"{seen}; the profile {device.profile.name} asks for {missing[0]}", State.FAIL, mend)


def _without_setup(device: Device, runtime: str, python: str | None, pip: str) -> str:
    """Return what installs a runtime for a Python of the user's choice."""
    if python is None or not python.startswith("/usr/"):
        return pip
    # Debian 12 and later forbid pip to install into the system's Python.
    return (
        f"on the board: {shlex.quote(python)} -m venv bench && bench/bin/pip install numpy {runtime}; "
        f'then python = "bench/bin/python" for {device.name} in edgebench.toml'
    )


def cost_findings(overhead: Overhead | None, told: Sequence[str]) -> Iterator[Finding]:
    """Yield what edgebench itself costs on a board; `told` is why that is not known, or only in part."""
    if overhead is None:
        yield Finding("own cost", "; ".join(told))
        return
    yield Finding("own cost", cost_text(overhead))
    yield Finding("sensors", sensors_text(overhead) or "; ".join(told))


def _version(parts: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in parts)


def _number(facts: Mapping[str, Any], name: str) -> int | None:
    value = facts.get(name)
    return value if type(value) is int else None


def _text(facts: Mapping[str, Any], name: str) -> str | None:
    value = facts.get(name)
    return printable(value) if type(value) is str and value else None
