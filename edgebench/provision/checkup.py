"""Whether a measurement can be made on a board: what was found there, and what fixes what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edgebench.board import TRY_LATER, BusyRetry, Holder, RemoteAgent, board_lease, connect_agent
from edgebench.device import Device
from edgebench.errors import (
    AuthenticationError,
    BoardBusy,
    ConnectionFailed,
    ConnectionLost,
    DeviceError,
    HostKeyError,
)
from edgebench.measure import measure_overhead
from edgebench.provision.findings import Finding, State
from edgebench.provision.probe_findings import probe_findings
from edgebench.run import Overhead
from edgebench.text import counted, printable
from edgebench_agent.protocol import LeaseRequest

#: Tried on every board that has them: the formats that people measure need one or the other.
_RUNTIMES = ("onnxruntime", "tflite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """All findings about one device.

    Args:
        board: the facts as the agent reports them; empty where it could not be asked.
        overhead_us: what edgebench itself costs there; None: not measured.
        overhead_problems: why that, or a part of it, was not measured.
    """

    device: str
    findings: tuple[Finding, ...]
    board: Mapping[str, Any] = field(default_factory=dict)
    overhead_us: Overhead | None = None
    overhead_problems: tuple[str, ...] = ()

    def __repr__(self) -> str:
        outcome = "can measure" if self.can_measure else "can't measure"
        return printable(f"<Checkup of {self.device}: {outcome}, {counted(len(self.findings), 'finding')}>")

    @property
    def can_measure(self) -> bool:
        """Whether no finding prevents a measurement."""
        return all(finding.state is not State.FAIL for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `device check --json` writes them."""
        return {
            "device": self.device,
            "can_measure": self.can_measure,
            "findings": [finding.to_json() for finding in self.findings],
            "overhead_us": asdict(self.overhead_us) if self.overhead_us is not None else None,
            "board": dict(self.board),
        }


def check_device(device: Device) -> Checkup:
    """Connect to a device, put the agent there, look at what a measurement needs and measure edgebench's overhead.

    Never raises a DeviceError: what goes wrong is a finding.
    """
    runtime = device.profile.default_format.runtime
    findings: list[Finding] = []
    board: Mapping[str, Any] = {}
    overhead: Overhead | None = None
    problems: list[str] = []
    try:
        with connect_agent(device, busy_retry=BusyRetry()) as agent:
            findings += _connection_findings(device)
            findings.append(Finding("Python", f"{_version(agent.installed.python_version)} at {agent.python}"))
            probe = agent.probe([runtime, *(name for name in _RUNTIMES if name != runtime)])
            board = probe.board.reported
            findings += probe_findings(device, runtime, probe)
            findings.append(_lease(agent.lease(LeaseRequest(do="show")).holder))
            if all(finding.state is not State.FAIL for finding in findings):
                overhead = _measure_overhead(agent, device, problems)
    except DeviceError as error:
        if not findings and not isinstance(error, ConnectionFailed | ConnectionLost):
            findings += _connection_findings(device)
        message = str(error).removeprefix(f"{device.name}: ")
        findings.append(Finding(_subject_of(error, findings), message, State.FAIL))
    return Checkup(
        device=device.name,
        findings=tuple(findings),
        board=board,
        overhead_us=overhead,
        overhead_problems=tuple(problems),
    )


def _measure_overhead(agent: RemoteAgent, device: Device, problems: list[str]) -> Overhead | None:
    """Measure it while we hold the board; `problems` gets why that, or a part of it, was not possible."""
    try:
        with board_lease(agent, device, purpose="device check", wait_s=0, advice=TRY_LATER):
            return measure_overhead(agent, report=problems.append)
    except BoardBusy as busy:
        problems.append(f"own cost not measured: {str(busy).removeprefix(f'{device.name}: ')}")
        return None


def _connection_findings(device: Device) -> Iterator[Finding]:
    if device.is_local:
        yield Finding("connection", "this machine, without SSH")
        return
    yield Finding("connection", f"logged in at {device.address}")
    yield Finding("host key", "pinned" if device.host_key else "as known_hosts says")


def _subject_of(error: DeviceError, findings: list[Finding]) -> str:
    """Return which finding an error is: about the first thing that was looked for and not found."""
    if isinstance(error, HostKeyError):
        return "host key"
    if isinstance(error, AuthenticationError):
        return "login"
    if isinstance(error, ConnectionFailed | ConnectionLost):
        return "connection"
    return "agent" if any(finding.what == "Python" for finding in findings) else "Python"


def _lease(holder: Holder | None) -> Finding:
    if holder is None:
        return Finding("lease", "nobody has the board")
    return Finding("lease", f"{holder} has the board since {holder.since}", State.WARN, "wait until it is given back")


def _version(parts: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in parts)
