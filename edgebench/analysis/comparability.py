"""What must be the same for two results to be compared, said once.

Comparisons refuse measurements that differ in it, a session goes on only on a board that is the same in it, a study
counts only measurements of its own workload, and the rows of a table are paired by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgebench.artifact import Format, WeightScales
from edgebench.facts import DeviceFacts
from edgebench.measurement import Measurement
from edgebench.text import printable

Workload = Mapping[str, Any]  # Workload.to_json()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something that must be the same. `allow`: the name under which a comparison may be let differ in it.

    `device`: names of DeviceFacts; `workload`: keys of a workload's JSON; `read`: where it is neither. `settled`: those
    keys that a session decides by itself, whatever a study has; `optional`: those that count where a study has them.
    `compared` False: it matters between the runs of one measurement only. `may_be_unknown`: earlier edgebenches did not
    keep it, so what is unknown of a side is not refused but noted.
    """

    allow: str
    text: str
    device: tuple[str, ...] = ()
    workload: tuple[str, ...] = ()
    read: Callable[[Measurement], object] | None = None
    settled: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    compared: bool = True
    may_be_unknown: bool = False

    def of(self, measurement: Measurement) -> object:
        """Return what it is of a measurement."""
        if self.read is not None:
            return self.read(measurement)
        subject = measurement.subject
        return self.of_device(subject.device) if self.device else self.of_workload(subject.workload)

    def of_device(self, device: DeviceFacts) -> tuple[object, ...]:
        """Return what a device has of it; nothing where it is about something else."""
        return tuple(getattr(device, name) for name in self.device)

    def of_workload(self, workload: Workload) -> tuple[object, ...]:
        """Return what a workload has of it; nothing where it is about something else."""
        return tuple(workload.get(key) for key in self.workload)


def _instructions(measurement: Measurement) -> frozenset[str] | None:
    features = measurement.subject.device.cpu_features
    return frozenset(features) if features is not None else None


def _memory(measurement: Measurement) -> _MemorySize | None:
    device = measurement.subject.device
    if device.memory_bytes is None:
        return None
    return _MemorySize(min(device.memory_bytes, device.memory_limit_bytes or device.memory_bytes))


class _MemorySize:
    """A size of memory: what the kernel keeps for itself differs a little from boot to boot."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _MemorySize) and abs(self.size - other.size) <= 0.02 * max(self.size, other.size)

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"{self.size / 1e6:.0f} MB"


def _clocks(measurement: Measurement) -> tuple[str, ...] | None:
    """Return what clocks the governor may choose: over all cores, and of each core under load."""
    device = measurement.subject.device
    if device.clock_min_khz is None or device.clock_max_khz is None:
        return None
    span = f"{device.clock_min_khz / 1000:g} to {device.clock_max_khz / 1000:g} MHz"
    return span, *(f"{core} {khz / 1000:g}" for core, khz in sorted((device.clock_allowed_khz or {}).items()))


def _cores(measurement: Measurement) -> tuple[str, ...] | None:
    device = measurement.subject.device
    if device.usable_cores is None or device.usable_core_numbers is None or device.usable_millicores is None:
        return None
    numbers = ",".join(map(str, device.usable_core_numbers))
    return (f"cores {numbers}", f"{device.usable_millicores / 1000:g} cores' time")


def _providers(measurement: Measurement) -> object:
    found = {run.facts.providers for run in measurement.runs if run.valid and run.facts.providers}
    return tuple(sorted({" ".join(each) for each in found})) or None


def _agents(measurement: Measurement) -> object:
    found = {run.facts.agent_sha256 for run in measurement.runs if run.valid and run.facts.agent_sha256}
    return tuple(sorted(each[:12] for each in found)) or None


def _weight_scales(measurement: Measurement) -> str | None:
    """Return what has a scale of its own in tflite-int8, which once was one file for every runtime."""
    artifact = measurement.subject.artifact
    if artifact.format is not Format.TFLITE_INT8:
        return None
    return f"one for each {artifact.weight_scales or WeightScales.TENSOR}"


def _way(measurement: Measurement) -> str:
    """A model that alternates with others finds the CPU caches as they left them."""
    files = measurement.subject.alternates_with
    return f"alternating: {' '.join(file[:8] for file in files)}" if files else "by itself"


def _padded(measurement: Measurement) -> object:
    """Return what padding makes of the inputs: its kind does not matter where the tokens are the same."""
    if measurement.padding is not None:
        return round(measurement.padding.padded_tokens, 3)
    return measurement.subject.workload.get("padding")


_BOARD, _RUNTIME, _PROVIDERS, _SCALES = "board", "runtime", "providers", "weight_scales"
#: What the files of one format have in common; those of several may differ in it.
_OF_ONE_FORMAT = (_PROVIDERS, _SCALES)
CONDITIONS = (
    Condition(allow=_BOARD, text="board", device=("name", "model", "arch", "cpu", "cores")),
    # Virtual machines give processors with and without int8 products one name.
    Condition(allow="instructions", text="instruction set", device=("cpu_features",), read=_instructions),
    Condition(allow="governor", text="clock governor", device=("governor",)),
    Condition(allow="power_mode", text="power mode", device=("power_mode",)),
    Condition(allow="os", text="system", device=("os", "kernel")),
    Condition(allow="clocks", text="range of clocks", read=_clocks, may_be_unknown=True),
    Condition(allow="cores", text="set of usable cores", read=_cores, may_be_unknown=True),
    Condition(allow="memory", text="size of memory", device=("memory_bytes",), read=_memory, may_be_unknown=True),
    Condition(allow="python", text="Python", device=("python",), compared=False),
    # The runtime belongs to the artifact, its version to the circumstances: see `_runtime`.
    Condition(allow="runtime", text="runtime", device=("runtime", "runtime_version"), compared=False),
    Condition(allow=_PROVIDERS, text="execution provider", read=_providers, may_be_unknown=True),
    Condition(allow=_SCALES, text="kind of int8 scales", read=_weight_scales),
    Condition(allow="agent", text="version of the agent", read=_agents, may_be_unknown=True),
    Condition(allow="scenario", text="scenario", workload=("scenario",)),
    Condition(allow="rate", text="rate of queries", workload=("queries_per_s",)),
    Condition(allow="bound", text="bound of the rate's search", workload=("latency_bound_ms",)),
    Condition(allow="sustained", text="length of a sustained run", workload=("sustained_min",)),
    Condition(allow="alternation", text="way of measuring", read=_way),
    Condition(
        allow="inputs",
        text="set of inputs",
        workload=("seq_len", "lang", "texts_sha256", "choices"),
        settled=("choices",),
    ),
    Condition(allow="batch", text="batch", workload=("batch",)),
    Condition(
        allow="threads",
        text="number of threads or set of cores",
        workload=("threads", "affinity"),
        optional=("threads", "affinity"),
    ),
    Condition(
        allow="padding",
        text="number of tokens after padding",
        workload=("padding",),
        read=_padded,
        settled=("padding",),
    ),
)
_BY_NAME = {condition.allow: condition for condition in CONDITIONS}
#: Names of what a comparison refuses, unless they are allowed.
ALLOWABLE = (*(condition.allow for condition in CONDITIONS if condition.compared), _RUNTIME)

#: What decides a score apart from the artifact and what runs it: two sides that differ in it answered other questions.
SCORE_PROTOCOL = ("definition", "convention", "split", "limit", "seed", "data_sha256", "prefix")


def differences(baseline: Measurement, candidate: Measurement) -> dict[str, str]:
    """Return in what two measurements differ that must be the same: in words, by the name that allows it."""
    found = {}
    for condition in _compared(baseline, candidate):
        one, other = condition.of(baseline), condition.of(candidate)
        if condition.may_be_unknown and None in (one, other):
            continue
        if one != other:
            found[condition.allow] = f"another {condition.text} ({_told_apart(one, other)})"
    unit = other_unit(baseline.subject.device, candidate.subject.device)
    if unit is not None and _BOARD not in found:
        found[_BOARD] = f"another board of the same name (its {unit} differs)"
    if is_searched(baseline) and "rate" in found and "bound" not in found:
        found["rate"] += ": both were searched, so the rates are the result"
    one, other = (_runtime(each) for each in (baseline, candidate))
    if one[0] == other[0] and one[1] != other[1]:
        found[_RUNTIME] = f"another version of {one[0]} ({other[1]}, not {one[1]})"
    return found


def unknown_conditions(baseline: Measurement, candidate: Measurement) -> tuple[str, ...]:
    """Return what could not be checked, because a side does not report it, in words.

    Of one session, what neither side reports was the same for both, and is left out.
    """
    is_one_session = baseline.subject.session == candidate.subject.session
    return tuple(
        condition.text
        for condition, known in _known_sides(baseline, candidate)
        if known < _BOTH and (known or not is_one_session)
    )


def reports_the_same(baseline: Measurement, candidate: Measurement) -> bool:
    """Whether what one of two measurements reports of its conditions the other reports, too, and the same."""
    return not differences(baseline, candidate) and all(
        known in (0, _BOTH) for _, known in _known_sides(baseline, candidate)
    )


_BOTH = 2


def _known_sides(baseline: Measurement, candidate: Measurement) -> list[tuple[Condition, int]]:
    """Return the conditions that a side may not report, and how many of the two do."""
    return [
        (condition, sum(condition.of(each) is not None for each in (baseline, candidate)))
        for condition in _compared(baseline, candidate)
        if condition.may_be_unknown
    ]


def other_unit(one: DeviceFacts, other: DeviceFacts) -> str | None:
    """Return in what two boards of one name differ, although they are of one kind; None: nothing shows that they are
    two.

    A new installation of the system changes the machine id, so it decides only where no serial number is known.
    """
    for name, text in (("serial_hash", "serial number"), ("machine_hash", "machine id")):
        values = [getattr(each, name) for each in (one, other)]
        if None not in values:
            return text if values[0] != values[1] else None
    return None


def _compared(baseline: Measurement, candidate: Measurement) -> list[Condition]:
    """Return the conditions that must match between these two."""
    subjects = [each.subject for each in (baseline, candidate)]
    is_one_format = len({(each.artifact.format, each.device.runtime) for each in subjects}) == 1
    return [each for each in CONDITIONS if each.compared and (is_one_format or each.allow not in _OF_ONE_FORMAT)]


def changed_on_board(now: DeviceFacts, then: DeviceFacts) -> str | None:
    """Return what of a board is no longer as it was; None where its runs may be added to those of before."""
    for condition in CONDITIONS:
        for name in condition.device:
            if getattr(now, name) != getattr(then, name):
                return f"the board's {name}"
    return None


def is_same_workload(requested: Workload, measured: Workload) -> bool:
    """Whether a measurement is of a workload that was requested; what a session settles by itself may differ."""
    for condition in CONDITIONS:
        for key in condition.workload:
            is_open = key in condition.settled or (key in condition.optional and requested.get(key) is None)
            if not is_open and requested.get(key) != measured.get(key):
                return False
    return requested.get("truncate") == measured.get("truncate")


def row_key(measurement: Measurement, *, formats_differ: bool) -> tuple[object, ...]:
    """Return what is the same for the rows of a table that are compared with each other.

    Args:
        formats_differ: rows of different formats are compared.
    """
    subject = measurement.subject
    # A rate that was searched is a result: rows do not differ by it.
    workload: object = subject.label
    if is_searched(measurement):
        workload = tuple(_BY_NAME[name].of_workload(subject.workload) for name in ("scenario", "bound", "inputs"))
    return (
        subject.device.name,
        workload,
        subject.workload.get("threads"),
        subject.workload.get("batch"),
        None if formats_differ else str(subject.artifact.format),
        _way(measurement),
    )


def is_searched(measurement: Measurement) -> bool:
    """Whether the rate of a server's queries was searched, not requested."""
    return "latency_bound_ms" in measurement.subject.workload


def _runtime(measurement: Measurement) -> tuple[str | None, str | None]:
    """Return the library that ran the model, and its version; TFLite's runtime has its own name in its version."""
    device = measurement.subject.device
    name, version = device.runtime, device.runtime_version
    if version is not None and " " in version:
        name, version = version.split(" ", 1)
    return name, version


def _told_apart(one: object, other: object) -> str:
    """Return in words what the candidate's value is, and is not; of sets, how they differ."""
    if not isinstance(one, frozenset) or not isinstance(other, frozenset):
        one, other = (_listed(sorted(each)) if isinstance(each, frozenset) else each for each in (one, other))
        return f"{_in_words(other)}, not {_in_words(one)}"
    parts = (("with", other - one), ("without", one - other))
    return ", ".join(f"{word} {_listed(sorted(names))}" for word, names in parts if names)


def _listed(names: Sequence[str], most: int = 6) -> str:
    more = len(names) - most
    return " ".join(map(printable, names[:most])) + (f" and {more} more" if more > 0 else "")


def _in_words(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(printable(str(part)) for part in value if part is not None) or "not reported"
    return printable(str(value)) if value is not None else "not reported"
