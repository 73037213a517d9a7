"""Facts that a board reports about itself, typed and bounded where they enter.

A board is not trusted: strings are made harmless for a terminal, numbers and lists are bounded, and a value of another
type than expected counts as not reported (None).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from edgebench.errors import AgentError
from edgebench.facts import BusyProcess, OtherLoad
from edgebench.text import printable
from edgebench_agent import protocol

_MAX_SENSORS, _MAX_VALUES, _MAX_PROCESSES = 64, 256, 10
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemFacts:
    """What decides which wheels fit a board: its machine (`uname -m`) and its C library ("glibc 2.36")."""

    arch: str | None = None
    libc: str | None = None

    @staticmethod
    def from_report(report: Any) -> SystemFacts:
        """Return the facts in a board's report."""
        facts = _mapping(plain_facts(report))
        return SystemFacts(arch=_text(facts.get("arch")), libc=_text(facts.get("libc")))


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardFacts:
    """What a board is, as its agent reports it; None or empty where it does not.

    `reported` holds all facts as plain values: results are stored with them. The others are those that edgebench reads.
    """

    reported: Mapping[str, Any] = field(default_factory=dict)
    system: SystemFacts = field(default_factory=SystemFacts)
    model: str | None = None
    os: str | None = None
    vendor_release: str | None = None
    python_executable: str | None = None
    governor: str | None = None
    cpu_features: tuple[str, ...] = ()
    temperature_mc: Mapping[str, int] = field(default_factory=dict)  # by thermal zone
    throttled: int | None = None  # bits, as vcgencmd reports them
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    disk_free_bytes: int | None = None
    usable_cores: int | None = None
    usable_millicores: int | None = None
    wall_clock_s: int | None = None

    @staticmethod
    def from_report(report: Any) -> BoardFacts:
        """Return the facts in a board's report; one that is no mapping holds none."""
        facts = _mapping(plain_facts(report))
        features = facts.get("cpu_features")
        zones = _mapping(facts.get("temperature_mc"))
        return BoardFacts(
            reported=facts,
            system=SystemFacts.from_report(facts),
            model=_text(facts.get("model")),
            os=_text(facts.get("os")),
            vendor_release=_text(facts.get("vendor_release")),
            python_executable=_text(facts.get("python_executable")),
            governor=_text(facts.get("governor")),
            cpu_features=tuple(printable(name) for name in features) if isinstance(features, list) else (),
            temperature_mc={zone: value for zone, value in zones.items() if type(value) is int},
            throttled=_number(facts.get("throttled")),
            memory_bytes=_number(facts.get("memory_bytes")),
            memory_available_bytes=_number(facts.get("memory_available_bytes")),
            disk_free_bytes=_number(facts.get("disk_free_bytes")),
            usable_cores=_number(facts.get("usable_cores")),
            usable_millicores=_number(facts.get("usable_millicores")),
            wall_clock_s=_number(facts.get("wall_clock_s")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeProbe:
    """Whether a runtime works on a board, in which version, and what it has.

    Args:
        error: why it does not work, with advice; None where it works.
        is_missing: it is not installed.
        providers: the execution providers it has; None where it does not report any.
        libraries: versions of the libraries it uses, by name.
        board: the facts that the Python of this runtime reports.
    """

    works: bool
    version: str | None = None
    error: str | None = None
    is_missing: bool = False
    providers: tuple[str, ...] | None = None
    libraries: Mapping[str, str | None] = field(default_factory=dict)
    board: BoardFacts = field(default_factory=BoardFacts)

    @property
    def problem(self) -> str:
        """Why it does not work, without the advice, which is for a Python of the user's choice."""
        return (self.error or "it does not work").partition("; try: ")[0]

    @property
    def library(self) -> str | None:
        """The name before the version, which only the libraries of TFLite report; else None."""
        name, _, number = (self.version or "").rpartition(" ")
        return name if self.works and number else None

    @staticmethod
    def from_report(report: Mapping[str, Any], board: BoardFacts) -> RuntimeProbe:
        """Return the probe in a report whose strings are harmless already."""
        providers, libraries = report.get("providers"), _mapping(report.get("libraries"))
        error = report.get("error")
        return RuntimeProbe(
            works=report["ok"],
            version=_text(report.get("version")),
            error=error if isinstance(error, str) and error else None,  # bounded already; its advice stands at the end
            is_missing=report.get("kind") == "runtime_missing",
            providers=tuple(printable(name) for name in providers) if isinstance(providers, list) else None,
            libraries={printable(name): _text(version) for name, version in libraries.items()},
            board=board,
        )


@dataclass(frozen=True, slots=True)
class SensorReading:
    """What a sensor reads now, by the name of each series; None: not just now. It is read every `every_ms`."""

    every_ms: int
    values: Mapping[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardProbe:
    """A board's answer to `probe`.

    Args:
        board: the facts that the first Python reports.
        runtimes: of the runtimes that were named.
        running: the run that is measured there now; None: none.
        load: what else keeps it busy.
        sensors: by name; None: not reported.
    """

    board: BoardFacts
    runtimes: Mapping[str, RuntimeProbe] = field(default_factory=dict)
    running: str | None = None
    load: OtherLoad = field(default_factory=OtherLoad)
    sensors: Mapping[str, SensorReading] | None = None

    @staticmethod
    def from_reply(reply: Mapping[str, Any], runtimes: Sequence[str], *, name: str) -> BoardProbe:
        """Return the answer of device `name`, which was to probe these runtimes.

        Raises:
            AgentError: it holds no facts, or not these runtimes.
        """
        facts, found = plain_facts(reply.get("board")), plain_facts(reply.get("runtimes"))
        valid = isinstance(facts, dict) and isinstance(found, dict) and set(found) == set(runtimes)
        if not valid or not all(isinstance(entry, dict) and type(entry.get("ok")) is bool for entry in found.values()):
            raise AgentError(f"{name}: the board's answer to probe is not valid")
        board = BoardFacts.from_report(facts)
        return BoardProbe(
            board=board,
            runtimes={runtime: RuntimeProbe.from_report(entry, board) for runtime, entry in found.items()},
            running=_text(reply.get("running")),
            load=other_load(reply),
            sensors=_sensor_readings(reply.get("sensors")),
        )


def other_load(reply: Mapping[str, Any]) -> OtherLoad:
    """Return the load of others in a board's answer; one that has none reports nothing."""
    load = _mapping(reply.get("load"))
    return OtherLoad(
        others_millicores=_number(load.get("others_cpu_millicores")),
        stolen_millicores=_number(load.get("steal_cpu_millicores")),
        waiting_permille=_number(load.get("waiting_cpu_permille")),
        watched_ms=_number(load.get("watched_ms")) or 0,
        cores=_number(load.get("usable_cores")),
        own_pids=load.get("own_pids") is True,
        busiest=_busy_processes(reply.get("busiest")),
    )


def _busy_processes(report: Any) -> tuple[BusyProcess, ...] | None:
    if type(report) is not list:
        return None
    entries = [entry for entry in report[:_MAX_PROCESSES] if type(entry) is dict]
    return tuple(
        BusyProcess(sanitize_tail(entry.get("name"), 40), entry["cpu_millicores"], _number(entry.get("pid")))
        for entry in entries
        if type(entry.get("cpu_millicores")) is int
    )


def _sensor_readings(report: Any) -> dict[str, SensorReading] | None:
    if type(report) is not dict:
        return None
    found = {}
    for name, sensor in list(report.items())[:_MAX_SENSORS]:
        values = sensor.get("values") if type(sensor) is dict else None
        if type(values) is dict and type(sensor.get("every_ms")) is int:
            readings = {
                sanitize_tail(series, 200): value
                for series, value in list(values.items())[:_MAX_VALUES]
                if value is None or type(value) is int
            }
            found[sanitize_tail(name, 40)] = SensorReading(sensor["every_ms"], readings)
    return found


def plain_facts(value: Any, depth: int = 4) -> Any:
    """Return a board's report as plain values with harmless strings; what is too large, or no plain value, is None."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) <= protocol.MAX_INT):
        return value
    if isinstance(value, str):
        return sanitize_tail(value, 4096)
    if isinstance(value, list) and depth and len(value) <= protocol.MAX_ITEMS:
        return [plain_facts(entry, depth - 1) for entry in value]
    if isinstance(value, dict) and depth and len(value) <= protocol.MAX_ITEMS:
        return {sanitize_tail(name, 256): plain_facts(entry, depth - 1) for name, entry in value.items()}
    return None


def sanitize_tail(text: Any, limit: int = 500) -> str:
    """Return the end of a text from a board, as one line that is harmless for a terminal."""
    decoded = text.decode("utf-8", "replace") if isinstance(text, (bytes, bytearray)) else str(text)
    line = printable(decoded[-4 * limit :], limit=4 * limit)
    return line if len(line) <= limit else "..." + line[-limit:]


def is_path(value: Any) -> TypeGuard[str]:
    """Whether a value is an absolute path in a board's file system."""
    return type(value) is str and value.startswith("/") and len(value) < 4096 and value.isprintable()


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int | None:
    return value if type(value) is int else None


def _text(value: Any, limit: int = 500) -> str | None:
    return printable(value, limit) if type(value) is str and value else None


@dataclass(frozen=True, slots=True)
class BoardRun:
    """A run whose journal is on a board.

    `state`: `finished`, `running`, `partial` (it has no last message) or `lost` (it was in memory, and is gone).
    """

    id: str
    state: str
    bytes: int

    @staticmethod
    def of(report: Any) -> BoardRun | None:
        """Return the run in a board's report; None: it is not valid."""
        found = {"id": report, "state": "lost", "bytes": 0} if type(report) is str else _mapping(report)
        id, state, size = found.get("id"), found.get("state"), found.get("bytes")
        if type(id) is not str or _RUN_ID.fullmatch(id) is None or type(size) is not int or size < 0:
            return None
        return BoardRun(id, state, size) if state in ("finished", "running", "partial", "lost") else None
