"""The journal's messages, and the lines that carry them.

A journal begins with hello and ends with done or failed. One that ends otherwise is partial: its supervisor was killed,
or the board lost power.

Between messages, `follow` sends `wire.HEARTBEAT`, which has no number and no other field: the supervisor lives, and the
worker is not stopped. Every wait of the worker has a bound (`run/progress.py`), after which the supervisor ends the run
with failed, of kind `stuck`. A supervisor without a sign of life is ended by `follow` itself, which then exits with
status 1 and one line on standard error; the journal stays partial.
"""

# ruff: noqa: RUF009 - checked() returns a dataclass field

from dataclasses import dataclass, fields
from typing import Any, Dict, List, Optional, Type, Union

from .checks import (
    ProtocolError,
    checked,
    decode_object,
    from_mapping,
    is_board_facts,
    is_boolean,
    is_identifier,
    is_integer,
    is_list,
    is_model_number,
    is_none_or,
    is_one_of,
    is_sha256,
    is_table,
    is_text,
)
from .wire import FAILURE_KINDS, MAX_INT, encode_object

MAX_BLOCK = 4096  # latencies in one message
MAX_TEXT = 1 << 16


@dataclass(frozen=True)
class Hello:
    """The first message: who measures, with what, where."""

    protocol: int = checked(is_integer(1, 1 << 16))
    run_id: str = checked(is_identifier)
    agent_sha256: Optional[str] = checked(is_none_or(is_sha256))  # None where the agent doesn't run from its zipapp
    runtime: str = checked(is_identifier)
    runtime_version: str = checked(is_text(256))
    libraries: Dict[str, str] = checked(is_table(is_text(256)))
    board: Dict[str, Any] = checked(is_board_facts)
    started_at: str = checked(is_text(64))  # the board's wall clock, UTC, ISO 8601; for people only
    #: Where this journal is kept; a Log says when it moves from tmpfs to disk. A reboot of the
    #: board loses one on a tmpfs, unless the run has ended by then; RunSpec's `journal` keeps it on the disk.
    journal_on: Optional[str] = checked(is_none_or(is_one_of("tmpfs", "disk")), default=None)


@dataclass(frozen=True)
class Phase:
    """The run enters `name`: loading, first, warmup, measuring, finishing; in mode idle: idle, finishing."""

    name: str = checked(is_identifier)


@dataclass(frozen=True)
class Loaded:
    """The model is loaded. `nodes` counts graph nodes by the provider that runs them (empty: unknown).

    `lengths`: the input lengths in tokens that the model accepts; inputs are padded to the smallest that holds them.
    `rows`: how many examples the model takes at a time, to which batches are filled up; 0: any number.
    """

    load_ns: int = checked(is_integer())
    providers: List[str] = checked(is_list(is_text(256)))
    nodes: Dict[str, int] = checked(is_table(is_integer()))
    inputs: List[str] = checked(is_list(is_text(256)))
    outputs: List[str] = checked(is_list(is_text(256)))
    notes: List[str] = checked(is_list(is_text(1024)), default_factory=list)
    lengths: List[int] = checked(is_list(is_integer(1, 1 << 20)), default_factory=list)
    rows: int = checked(is_integer(0, 1 << 16), default=0)
    model: int = checked(is_model_number, default=0)


@dataclass(frozen=True)
class First:
    """The first inference after loading; not part of the latencies."""

    first_ns: int = checked(is_integer())
    model: int = checked(is_model_number, default=0)


@dataclass(frozen=True)
class Latencies:
    """A block of inferences: when each began (the board's monotonic clock), and how long it took."""

    warmup: bool = checked(is_boolean)
    start_ns: List[int] = checked(is_list(is_integer(), MAX_BLOCK))
    latency_ns: List[int] = checked(is_list(is_integer(), MAX_BLOCK))
    items: List[int] = checked(is_list(is_integer(), MAX_BLOCK))  # index of the batch that was run
    model: int = checked(is_model_number, default=0)


@dataclass(frozen=True)
class WarmedUp:
    """Warm-up ended after `count` inferences; `steady`: the latencies had settled, else it reached its bound."""

    steady: bool = checked(is_boolean)
    count: int = checked(is_integer())
    model: int = checked(is_model_number, default=0)


@dataclass(frozen=True)
class Readings:
    """The values of sensors at one moment; names carry units. None: the sensor exists and did not answer.

    Of the worker: `rss_bytes`, and between phases also `pss_bytes` and `peak_rss_bytes`.
    Of the board: `temperature_mc/ZONE`, `frequency_khz/cpuN`, `others_cpu_millicores` and `agent_cpu_millicores`
    (processor time of other programs, and of the agent itself, in thousandths of one core, since the last reading),
    `steal_cpu_millicores` (what a hypervisor gave to other machines; up to agents without it, a part of others'),
    `quota_cpu_millicores` (for how long a control group's quota stopped the run's processes), `waiting_cpu_permille`
    (share of the time in which a process waited for a processor),
    `throttled` (the bits of the Raspberry Pi's get_throttled: 0-3 are now, 16-19 since boot), `swapped_pages` (in and
    out, since boot), `clocksource_changes` (since the run began), `power_uw/SOURCE/RAIL`, `voltage_uv/RAIL`,
    `gpu_load_permille`, `gpu_frequency_khz`, `power_mode` (the number of a Jetson's nvpmodel). Of the model's
    files, just before they are loaded: `model_bytes` and `model_resident_bytes` (in the page cache already).
    """

    values: Dict[str, Optional[int]] = checked(is_table(is_none_or(is_integer(-MAX_INT))))


@dataclass(frozen=True)
class Outputs:
    """The run's outputs are in its file `outputs.npy`.

    It has one .npy record for each output of each batch, in order; rows are inputs. `count`: batches.
    """

    sha256: str = checked(is_sha256)
    bytes: int = checked(is_integer())
    names: List[str] = checked(is_list(is_text(256)))
    count: int = checked(is_integer())


@dataclass(frozen=True)
class Operators:
    """A part of the profiler's result, as columns: each operator's calls and time over `inferences`.

    `wall_ns`: the total time of these inferences.
    """

    inferences: int = checked(is_integer(1))
    wall_ns: int = checked(is_integer())
    names: List[str] = checked(is_list(is_text(256)))
    types: List[str] = checked(is_list(is_text(256)))
    providers: List[str] = checked(is_list(is_text(256)))
    calls: List[int] = checked(is_list(is_integer()))
    total_ns: List[int] = checked(is_list(is_integer()))


@dataclass(frozen=True)
class Busiest:
    """The processes that used most of the board while the run was timed, as columns, without those of the run."""

    pids: List[int] = checked(is_list(is_integer(1)))
    names: List[str] = checked(is_list(is_text(256)))
    cpu_millicores: List[int] = checked(is_list(is_integer()))


@dataclass(frozen=True)
class Log:
    """A note for a person, e.g. about a sensor that stopped answering."""

    text: str = checked(is_text(4096))


@dataclass(frozen=True)
class Done:
    """The run ended well. `count`: timed inferences (of each model); `duration_ns`: from the first one's start to the
    last's end."""

    count: int = checked(is_integer())
    duration_ns: int = checked(is_integer())


@dataclass(frozen=True)
class Failed:
    """The run ended with a failure."""

    kind: str = checked(is_one_of(*FAILURE_KINDS))
    message: str = checked(is_text(4096))
    traceback: str = checked(is_text(MAX_TEXT), default="")
    model: Optional[int] = checked(is_none_or(is_model_number), default=None)  # the model at fault, where that is known


Message = Union[
    Hello, Phase, Loaded, First, Latencies, WarmedUp, Readings, Busiest, Outputs, Operators, Log, Done, Failed
]

MESSAGE_TYPES: Dict[str, Type[Any]] = {
    "hello": Hello,
    "phase": Phase,
    "loaded": Loaded,
    "first": First,
    "latencies": Latencies,
    "warmed_up": WarmedUp,
    "readings": Readings,
    "busiest": Busiest,
    "outputs": Outputs,
    "operators": Operators,
    "log": Log,
    "done": Done,
    "failed": Failed,
}
_TYPE_NAMES = {kind: name for name, kind in MESSAGE_TYPES.items()}


@dataclass(frozen=True)
class Entry:
    """One line of a journal."""

    seq: int
    t_ns: int
    message: Message


def encode_message(seq: int, t_ns: int, message: Message) -> bytes:
    """Return the journal line of a message, newline included."""
    return stamp(seq, t_ns, encode_body(message))


def encode_body(message: Message) -> bytes:
    """Return a journal line from its `type` on: the part that the worker writes; `stamp` completes it."""
    values = {"type": _TYPE_NAMES[type(message)]}
    # Not asdict: it copies every latency one by one.
    values.update((slot.name, getattr(message, slot.name)) for slot in fields(message))
    return encode_object(values)[1:]


def stamp(seq: int, t_ns: int, body: bytes) -> bytes:
    """Return the journal line of an encoded body."""
    return b'{"seq":%d,"t_ns":%d,' % (seq, t_ns) + body


def decode_message(line: bytes) -> Entry:
    """Return the checked message of a journal line.

    Raises:
        ProtocolError: the line is too long, not JSON, of unknown type, or a field is missing or out of bounds.
    """
    values = decode_object(line)
    name = values.get("type")
    if type(name) is not str or name not in MESSAGE_TYPES:
        raise ProtocolError(f"unknown message type {repr(name)[:80]}")
    for key in ("seq", "t_ns"):
        if not is_integer()(values.get(key)):
            raise ProtocolError(f"message {name!r} has no valid {key!r}")
    message = from_mapping(MESSAGE_TYPES[name], values, f"message {name!r}")
    if isinstance(message, Latencies) and not (len(message.start_ns) == len(message.latency_ns) == len(message.items)):
        raise ProtocolError("message 'latencies' has columns of different lengths")
    if isinstance(message, Operators) and len({len(column) for column in _columns(message)}) > 1:
        raise ProtocolError("message 'operators' has columns of different lengths")
    if isinstance(message, Busiest) and not len(message.pids) == len(message.names) == len(message.cpu_millicores):
        raise ProtocolError("message 'busiest' has columns of different lengths")
    return Entry(values["seq"], values["t_ns"], message)


def _columns(message: Operators) -> List[List[Any]]:
    return [message.names, message.types, message.providers, message.calls, message.total_ns]
