"""What a board and a run report of themselves, typed where it enters.

What is not reported, or is not what it should be, is None. `unknown` keeps it for writing back, as it keeps what a
newer edgebench reports, at the top level of the facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, get_type_hints

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternating:
    """That several models had their inferences in turn in one process: its id, and how many they were."""

    process: str
    models: int


@dataclass(frozen=True, slots=True)
class BusyProcess:
    """A process that keeps a board busy, and how much of a core it takes, in thousandths; `pid` None: not reported."""

    name: str
    cpu_millicores: int
    pid: int | None = None

    def __str__(self) -> str:
        return self.name if self.pid is None else f"{self.name}, PID {self.pid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherLoad:
    """What others take of a board just now, by the sensors that a run has; None: not reported.

    Args:
        others_millicores: of other processes than ours; `stolen_millicores`: of other machines on the same hypervisor.
            Both in thousandths of a core.
        waiting_permille: share of the time in which a process waited for a processor, thousandths.
        watched_ms: over what time.
        cores: that we may use.
        own_pids: we are in a container that shows its own processes alone.
        busiest: the visible processes that take most, those first; None: not reported.
    """

    others_millicores: int | None = None
    stolen_millicores: int | None = None
    waiting_permille: int | None = None
    watched_ms: int = 0
    cores: int | None = None
    own_pids: bool = False
    busiest: tuple[BusyProcess, ...] | None = None

    @property
    def processes(self) -> str:
        """Who takes it, with numbers: `stress-ng (PID 812) 1.00 cores, make (PIDs 90, 91) 0.52 cores`."""
        groups: dict[str, list[BusyProcess]] = {}
        for process in self.busiest or ():
            groups.setdefault(process.name, []).append(process)
        return ", ".join(_group(name, processes) for name, processes in groups.items())


def _group(name: str, processes: list[BusyProcess]) -> str:
    numbers = [str(process.pid) for process in processes if process.pid is not None]
    pids = f" (PID{'s' if len(numbers) > 1 else ''} {', '.join(numbers)})" if numbers else ""
    return f"{name}{pids} {sum(process.cpu_millicores for process in processes) / 1000:.2f} cores"


@dataclass(frozen=True, slots=True, kw_only=True)
class CooledDown:
    """How a board cooled down before a run, thousandths of a degree Celsius."""

    target_mc: int
    started_mc: int
    waited_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What a tuned session varies. `power_as_found`: whether this is the state of the board's power before it began.

    `measured_again`: whether these runs say what the chosen setting gains, and had no part in the choice.
    """

    parameters: tuple[str, ...] = ()
    power_as_found: bool = False
    measured_again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """Facts by name; reading and writing them as JSON."""

    unknown: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the facts; what this edgebench can't read is in `unknown`."""
        known: dict[str, Any] = {}
        unknown: dict[str, Any] = {}
        for name, value in values.items():
            try:
                read = _read(value, _TYPES[cls][name]) if value is not None else None
            except (KeyError, msgspec.ValidationError):
                read = None
            (unknown if read is None else known)[name] = value if read is None else read
        return cls(**known, unknown=unknown)

    def adding(self, values: Mapping[str, Any]) -> Self:
        """Return the facts with further ones, in the form that JSON has."""
        return self.from_json({**self.to_json(), **values})

    def to_json(self) -> dict[str, Any]:
        """Return what was reported as plain values."""
        reported = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "unknown"}
        known = {
            name: self.unknown.get(name) if value is None else _plain(value)
            for name, value in reported.items()
            if value is not None or name in self.unknown
        }
        return known | {name: value for name, value in self.unknown.items() if name not in reported}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts(_Facts):
    """What a board reports of itself, and what its device is called. Clocks in kHz, temperatures in m°C.

    `clock_allowed_khz`, `core_capacities`, `temperature_mc`, `power_rails_ms` (how often each rail is read): by name.
    `power_averaging_ms`: over what time power monitors average, by what the names of their rails begin with.
    `usable_*`: what affinity and control groups leave to the agent. `serial_hash`, `machine_hash`: of the board's
    serial number and of the machine id of its system.
    """

    arch: str | None = None
    python_bits: int | None = None
    cores: int | None = None
    usable_cores: int | None = None
    usable_core_numbers: tuple[int, ...] | None = None
    usable_millicores: int | None = None
    kernel: str | None = None
    python: str | None = None
    python_executable: str | None = None
    wall_clock_s: int | None = None
    model: str | None = None
    cpu: str | None = None
    cpu_features: tuple[str, ...] | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    memory_available_bytes: int | None = None
    swap_bytes: int | None = None
    disk_free_bytes: int | None = None
    os: str | None = None
    vendor_release: str | None = None
    libc: str | None = None
    governor: str | None = None
    core_capacities: Mapping[str, int] | None = None
    clock_min_khz: int | None = None
    clock_max_khz: int | None = None
    clock_allowed_khz: Mapping[str, int] | None = None
    clock_hardware_max_khz: int | None = None
    temperature_mc: Mapping[str, int | None] | None = None
    throttled: int | None = None  # a Raspberry Pi's bits
    power_mode: str | None = None
    memory_shared_with_gpu: bool | None = None
    clocksource: str | None = None
    boot_id: str | None = None
    power_averaging_ms: Mapping[str, int] | None = None
    serial_hash: str | None = None
    machine_hash: str | None = None
    virtual: bool | None = None  # a hypervisor runs below it
    name: str | None = None
    profile: str | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    power_rails_ms: Mapping[str, int] | None = None
    tune: Tuning | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts(_Facts):
    """What is known of a run apart from what it measured.

    The first ones are what was requested; then come what the agent and, after loading, the runtime reported.
    `batch_*`: by batch; `batches` different ones are run. `nodes`: of the graph, by the provider that runs them.
    `lengths`: what the model is made for; inputs are padded to the smallest that holds them. `rows`: how many examples
    the model takes at a time, to which batches are filled up; 0: any number. `idle_power_uw`: by rail.
    """

    providers_asked: tuple[str, ...] | None = None
    inputs_sha256: str | None = None
    batches: int | None = None
    batch_tokens: tuple[int, ...] | None = None
    batch_sizes: tuple[int, ...] | None = None
    alternating: Alternating | None = None
    queries_per_s: float | None = None
    protocol: int | None = None
    agent_sha256: str | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    libraries: Mapping[str, str | None] | None = None
    board: DeviceFacts | None = None
    started_at: str | None = None  # the board's clock
    journal_on: str | None = None
    resident_before_load: float | None = None  # share of the model's files that was in memory
    providers: tuple[str, ...] | None = None
    nodes: Mapping[str, int] | None = None
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    notes: tuple[str, ...] | None = None
    lengths: tuple[int, ...] | None = None
    rows: int | None = None
    batch_padded_tokens: tuple[int, ...] | None = None
    warmup_steady: bool | None = None
    warmup_count: int | None = None
    done_count: int | None = None
    busiest: tuple[BusyProcess, ...] | None = None  # other processes while it was timed, those that used most first
    log: tuple[str, ...] | None = None
    idle_power_uw: Mapping[str, float] | None = None
    cool_down: CooledDown | None = None


#: The type of each fact but `unknown`.
_TYPES: dict[type[_Facts], dict[str, Any]] = {
    cls: {name: hint for name, hint in get_type_hints(cls).items() if name != "unknown"}
    for cls in (DeviceFacts, RunFacts)
}


def _read(value: Any, hint: Any) -> Any:
    if hint == DeviceFacts | None:
        return DeviceFacts.from_json(msgspec.convert(value, dict[str, Any]))
    return msgspec.convert(value, hint)


def _plain(value: Any) -> Any:
    if isinstance(value, _Facts):
        return value.to_json()
    if isinstance(value, Alternating | CooledDown | Tuning):
        value = {name: _plain(part) for name, part in asdict(value).items()}
    if isinstance(value, tuple) and value and isinstance(value[0], BusyProcess):
        return [asdict(process) for process in value]
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
