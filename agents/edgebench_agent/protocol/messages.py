"""What the host and the board say to each other: one definition for both sides.

Standard library only, Python 3.8 syntax: this file runs on the board and is imported by the host.

Three things cross the wire, all of them lines of JSON:

- the **journal**: messages with `seq` (0, 1, 2, ...) and `t_ns` (the board's monotonic clock), tailed by the host;
- **replies**: each agent command but `follow` and `fetch` prints one `{"ok": true, ...}` or
  `{"ok": false, "kind": ..., "message": ...}` (`receive` prints one before and one after the bytes); those two say
  what is wrong in one line on standard error; the exit status is 0 or 1;
- the **run specification**: what the host asks a run to do, on the standard input of `launch`.

Nothing that arrives is trusted: `decode_message` and `RunSpec.from_json` check every type, size and bound.
"""

# ruff: noqa: RUF009 - checked() returns a dataclass field

import json
import re
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any, Callable, Dict, List, Optional, Type, Union

# Who imports `protocol` finds all of it there.
from .wire import (
    FAILURE_KINDS as FAILURE_KINDS,
    HEARTBEAT as HEARTBEAT,
    MAX_INT as MAX_INT,
    MAX_LINE_BYTES as MAX_LINE_BYTES,
    MAX_SPEC_BYTES as MAX_SPEC_BYTES,
    RENEW as RENEW,
    RUN_FILES as RUN_FILES,
    STOP as STOP,
    encode_object as encode_object,
    one_line as one_line,
)

PROTOCOL_VERSION = 1

MAX_BLOCK = 4096  # latencies in one message
MAX_ITEMS = 4096  # entries in any other list or table
MAX_TEXT = 1 << 16
MAX_MODELS = 16  # in one run


class ProtocolError(ValueError):
    """What arrived is not a message of this protocol."""


# --- checks -----------------------------------------------------------------------------------------------------

Check = Callable[[Any], bool]


def _integer(low: int = 0, high: int = MAX_INT) -> Check:
    return lambda value: type(value) is int and low <= value <= high


def _text(limit: int = 1024) -> Check:
    return lambda value: type(value) is str and len(value) <= limit


def _one_of(*known: str) -> Check:
    return lambda value: type(value) is str and value in known


def _matches(pattern: str) -> Check:
    compiled = re.compile(pattern)
    return lambda value: type(value) is str and compiled.fullmatch(value) is not None


def _list(item: Check, limit: int = MAX_ITEMS) -> Check:
    return lambda value: type(value) is list and len(value) <= limit and all(item(entry) for entry in value)


def _table(item: Check, limit: int = MAX_ITEMS) -> Check:
    key = _text(256)
    return lambda value: (
        type(value) is dict and len(value) <= limit and all(key(name) and item(entry) for name, entry in value.items())
    )


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _or_empty(check: Check) -> Check:
    return lambda value: value == "" or check(value)


def _boolean(value: Any) -> bool:
    return type(value) is bool


def _scalar(value: Any) -> bool:
    return value is None or type(value) is bool or _integer(-MAX_INT)(value) or _text(4096)(value)


def _file_name(value: Any) -> bool:
    """Say whether it can name a file in a folder of ours, and be shown."""
    fits = type(value) is str and value.isprintable() and len(value.encode()) <= 255
    return fits and "/" not in value and value not in ("", ".", "..")


#: A fact about the board: a scalar, a list of scalars, or a table of scalars.
_facts = _table(lambda value: _scalar(value) or _list(_scalar)(value) or _table(_scalar)(value))
_sha256 = _matches("[0-9a-f]{64}")
_identifier = _matches("[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
#: Which of the run's models a message is about: 0, or the position in `beside` from 1 on.
_model = _integer(0, MAX_MODELS - 1)


def checked(check: Check, **options: Any) -> Any:
    """Return a dataclass field whose value must pass `check` when it comes over the wire."""
    return field(metadata={"check": check}, **options)


def _from_mapping(kind: Type[Any], values: Any, what: str) -> Any:
    if type(values) is not dict:
        raise ProtocolError(f"{what} is not an object")
    arguments = {}
    for slot in fields(kind):
        if slot.name not in values:
            if slot.default is MISSING and slot.default_factory is MISSING:
                raise ProtocolError(f"{what} lacks {slot.name!r}")
            continue
        value = values[slot.name]
        if not slot.metadata["check"](value):
            raise ProtocolError(f"{what} has a {slot.name!r} out of bounds: {repr(value)[:80]}")
        arguments[slot.name] = value
    return kind(**arguments)


# --- the journal ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """The first message: who measures, with what, where."""

    protocol: int = checked(_integer(1, 1 << 16))
    run_id: str = checked(_identifier)
    agent_sha256: Optional[str] = checked(_or_none(_sha256))  # None where the agent doesn't run from its zipapp
    runtime: str = checked(_identifier)
    runtime_version: str = checked(_text(256))
    libraries: Dict[str, str] = checked(_table(_text(256)))
    board: Dict[str, Any] = checked(_facts)
    started_at: str = checked(_text(64))  # the board's wall clock, UTC, ISO 8601: for people only
    #: What this journal grows on; a journal that can't go on in memory says so.
    journal_on: Optional[str] = checked(_or_none(_one_of("tmpfs", "disk")), default=None)


@dataclass(frozen=True)
class Phase:
    """The run enters `name`: loading, first, warmup, measuring, finishing; in mode idle: idle, finishing."""

    name: str = checked(_identifier)


@dataclass(frozen=True)
class Loaded:
    """The model is loaded. `nodes` counts graph nodes by the provider that runs them (empty: not told).

    `lengths`: the numbers of tokens that the model is made for; inputs are padded to the smallest that holds them.
    """

    load_ns: int = checked(_integer())
    providers: List[str] = checked(_list(_text(256)))
    nodes: Dict[str, int] = checked(_table(_integer()))
    inputs: List[str] = checked(_list(_text(256)))
    outputs: List[str] = checked(_list(_text(256)))
    notes: List[str] = checked(_list(_text(1024)), default_factory=list)
    lengths: List[int] = checked(_list(_integer(1, 1 << 20)), default_factory=list)
    model: int = checked(_model, default=0)


@dataclass(frozen=True)
class First:
    """The first inference after loading; not part of the latencies."""

    first_ns: int = checked(_integer())
    model: int = checked(_model, default=0)


@dataclass(frozen=True)
class Latencies:
    """A block of inferences: when each began (the board's monotonic clock), and how long it took."""

    warmup: bool = checked(_boolean)
    start_ns: List[int] = checked(_list(_integer(), MAX_BLOCK))
    latency_ns: List[int] = checked(_list(_integer(), MAX_BLOCK))
    items: List[int] = checked(_list(_integer(), MAX_BLOCK))  # position of the input (batch) that was run
    model: int = checked(_model, default=0)


@dataclass(frozen=True)
class WarmedUp:
    """Warm-up ended after `count` inferences; `steady` says whether it was seen to end or ran into its bound."""

    steady: bool = checked(_boolean)
    count: int = checked(_integer())
    model: int = checked(_model, default=0)


@dataclass(frozen=True)
class Readings:
    """What the sensors said at one moment; names carry units. None: the sensor exists and gave no answer.

    Of the measuring process: `rss_bytes`, and at the borders of phases also `pss_bytes` and `peak_rss_bytes`.
    Of the board: `temperature_mc/ZONE`, `frequency_khz/cpuN`, `others_cpu_millicores` and `agent_cpu_millicores` (busy
    time of everything else, and of the agent's sensor process, in thousandths of one core, since the last reading),
    `throttled` (the bits of the Raspberry Pi's get_throttled: 0-3 are now, 16-19 since boot), `swapped_pages` (in and
    out, since boot), `clocksource_changes` (seen since the run began), `power_uw/SOURCE/RAIL`, `voltage_uv/RAIL`,
    `gpu_load_permille`, `gpu_frequency_khz`, `power_mode` (the number of a Jetson's nvpmodel). Of the model's
    files, just before they are loaded: `model_bytes` and `model_resident_bytes` (in the page cache already).
    """

    values: Dict[str, Optional[int]] = checked(_table(_or_none(_integer(-MAX_INT))))


@dataclass(frozen=True)
class Outputs:
    """The run's outputs lie in the run file `outputs.npy`.

    For each batch, in order, one .npy record per name, in order; rows are inputs. `count`: batches.
    """

    sha256: str = checked(_sha256)
    bytes: int = checked(_integer())
    names: List[str] = checked(_list(_text(256)))
    count: int = checked(_integer())


@dataclass(frozen=True)
class Operators:
    """A part of what the runtime's profiler told, as columns: each operator's calls and time over `inferences`.

    `wall_ns`: of these inferences, from the first one's start to the last's end.
    """

    inferences: int = checked(_integer(1))
    wall_ns: int = checked(_integer())
    names: List[str] = checked(_list(_text(256)))
    types: List[str] = checked(_list(_text(256)))
    providers: List[str] = checked(_list(_text(256)))
    calls: List[int] = checked(_list(_integer()))
    total_ns: List[int] = checked(_list(_integer()))


@dataclass(frozen=True)
class Log:
    """A note worth showing to a person, e.g. a sensor that stopped answering."""

    text: str = checked(_text(4096))


@dataclass(frozen=True)
class Done:
    """The run ended well. `count`: timed inferences (of each model); `duration_ns`: from the first one's start to the
    last's end."""

    count: int = checked(_integer())
    duration_ns: int = checked(_integer())


@dataclass(frozen=True)
class Failed:
    """The run ended with a failure."""

    kind: str = checked(_one_of(*FAILURE_KINDS))
    message: str = checked(_text(4096))
    traceback: str = checked(_text(MAX_TEXT), default="")
    model: Optional[int] = checked(_or_none(_model), default=None)  # which of the run's models is at fault, if known


Message = Union[Hello, Phase, Loaded, First, Latencies, WarmedUp, Readings, Outputs, Operators, Log, Done, Failed]

MESSAGE_TYPES: Dict[str, Type[Any]] = {
    "hello": Hello,
    "phase": Phase,
    "loaded": Loaded,
    "first": First,
    "latencies": Latencies,
    "warmed_up": WarmedUp,
    "readings": Readings,
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
    """Return a journal line from its `type` on: what the measuring process knows of it; `stamp` makes it whole."""
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
        if not _integer()(values.get(key)):
            raise ProtocolError(f"message {name!r} has no valid {key!r}")
    message = _from_mapping(MESSAGE_TYPES[name], values, f"message {name!r}")
    if isinstance(message, Latencies) and not (len(message.start_ns) == len(message.latency_ns) == len(message.items)):
        raise ProtocolError("message 'latencies' has columns of different lengths")
    if isinstance(message, Operators) and len({len(column) for column in _columns(message)}) > 1:
        raise ProtocolError("message 'operators' has columns of different lengths")
    return Entry(values["seq"], values["t_ns"], message)


def _columns(message: Operators) -> List[List[Any]]:
    return [message.names, message.types, message.providers, message.calls, message.total_ns]


def decode_object(line: bytes) -> Dict[str, Any]:
    """Return the JSON object of a bounded line.

    Raises:
        ProtocolError: too long, not UTF-8 JSON, not an object, or there is a float or a string that is no text in it.
    """
    if len(line) > MAX_LINE_BYTES:
        raise ProtocolError(f"a line of {len(line)} bytes (at most {MAX_LINE_BYTES})")
    try:
        values = _parse(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not a line of JSON ({one_line(str(error), 100)}): {line[:80]!r}") from error
    if type(values) is not dict:
        raise ProtocolError(f"not an object: {line[:80]!r}")
    return values


def _parse(line: bytes) -> Any:
    values = json.loads(line.decode("utf-8"), parse_constant=_no_number, parse_float=_no_number)
    if b"\\u" in line:  # only an escape can stand for what is no text
        _check_texts(values)
    return values


def _no_number(literal: str) -> Any:
    raise ValueError(f"{literal[:80]} is no whole number, and nothing else is sent")


def _check_texts(value: Any) -> None:
    if type(value) is str:
        if "\0" in value:
            raise ValueError("NUL in a string")
        value.encode("utf-8")  # half a surrogate pair can't be
    elif type(value) is list:
        for entry in value:
            _check_texts(entry)
    elif type(value) is dict:
        for entry in (*value, *value.values()):
            _check_texts(entry)


# --- the run specification --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelFile:
    """One file of the model: a blob on the board by its hash, or (on this machine) a path."""

    name: str = checked(_file_name)
    sha256: str = checked(_sha256)
    path: Optional[str] = checked(_or_none(_text(4096)), default=None)


@dataclass(frozen=True)
class Beside:
    """Another model that a run alternates with, and its inputs: as many as the run's own, one for one."""

    files: List[Any] = checked(_list(lambda value: isinstance(value, dict), 64))  # ModelFile objects as tables
    inputs_sha256: str = checked(_sha256)
    lengths: List[int] = checked(_list(_integer(1, 1 << 20), 1 << 20))
    pad_token_id: int = checked(_integer())


@dataclass(frozen=True)
class RunSpec:
    """What one run does.

    The inputs are a blob: int32 little-endian token ids, end to end, cut by `lengths` into sequences; each `choices` of
    them are an example, and `batch` counts examples. Padding is to a batch's longest, or to what the model is made for.
    """

    run_id: str = checked(_identifier)
    #: infer: each input once, outputs kept; load: only load and infer once, the model's files dropped from memory
    #: before; idle: nothing for `min_duration_ns`, while the sensors are read.
    mode: str = checked(_one_of("measure", "infer", "operators", "load", "idle"))
    runtime: str = checked(_identifier)
    files: List[Any] = checked(_list(lambda value: isinstance(value, dict), 64))  # ModelFile objects as tables
    inputs_sha256: str = checked(_sha256)
    lengths: List[int] = checked(_list(_integer(1, 1 << 20), 1 << 20))  # tokens of each input
    batch: int = checked(_integer(1, 1 << 16))
    pad_token_id: int = checked(_integer())
    threads: int = checked(_integer(0, 4096))  # 0: the runtime's own choice
    providers: List[str] = checked(_list(_text(256)))  # empty: the CPU
    min_count: int = checked(_integer(1, 10_000_000))
    min_duration_ns: int = checked(_integer())
    max_duration_ns: int = checked(_integer(1))
    lease_ns: int = checked(_integer(1_000_000_000))  # without renewal for so long, the run ends itself
    choices: int = checked(_integer(1, 1 << 10), default=1)
    #: As MLPerf Inference defines them; `server`: Poisson arrivals, so many a 1000 s, drawn from the seed.
    scenario: str = checked(_one_of("single-stream", "multi-stream", "offline", "server"), default="single-stream")
    rate_mhz: int = checked(_integer(0, 1_000_000_000), default=0)
    seed: int = checked(_integer(), default=0)
    #: After so many timed inferences (or `min_count` if that is more), and the rest of their turn, a run ends: its
    #: journal must not grow for ever. An inference takes some 30 bytes of it.
    most_count: int = checked(_integer(1, 1 << 24), default=1 << 18)
    #: Of the board's lease that the run is under; 0: none, which only a board that nobody holds allows.
    lease_token: int = checked(_integer(), default=0)
    #: The numbers of the cores that the measuring process may use; empty: all that it has.
    affinity: List[int] = checked(_list(_integer(0, 4095)), default_factory=list)
    sensors: bool = checked(_boolean, default=True)  # off: to find what reading them costs a measurement
    #: What infer keeps of outputs. mean: of each output of shape (rows, tokens, width) its mean over the real tokens,
    #: as float32; made outside of what is timed. Empty: all.
    reduce: str = checked(_one_of("", "mean"), default="")
    #: infer runs one batch of each shape before, told as warm-up: a runtime prepares itself for each new shape.
    warm_shapes: bool = checked(_boolean, default=False)
    #: Beside objects as tables: models that are loaded, too, and measured in rotation, one inference each; the run is
    #: then as many times as long.
    beside: List[Any] = checked(_list(lambda value: isinstance(value, dict), MAX_MODELS - 1), default_factory=list)
    protocol: int = checked(_integer(1, 1 << 16), default=PROTOCOL_VERSION)

    def model_files(self) -> List[ModelFile]:
        """Return the files, the model itself first."""
        return [_from_mapping(ModelFile, entry, "a model file") for entry in self.files]

    def parts(self) -> "List[RunSpec]":
        """Return a specification for each model, the run's own first: what it would be by itself."""
        others = [_from_mapping(Beside, entry, "a model beside") for entry in self.beside]
        alone = [replace(self, beside=[])]
        return alone + [
            replace(alone[0], **{slot.name: getattr(it, slot.name) for slot in fields(it)}) for it in others
        ]

    def to_json(self) -> bytes:
        """Return the specification as one line."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"

    @staticmethod
    def from_json(line: bytes) -> "RunSpec":
        """Return the checked specification.

        Raises:
            ProtocolError: a field is missing or out of bounds, or the protocol is another one.
        """
        if len(line) > MAX_SPEC_BYTES:
            raise ProtocolError(f"a run specification of {len(line)} bytes")
        try:
            values = _parse(line)
        except (ValueError, RecursionError) as error:
            raise ProtocolError("the run specification is not JSON") from error
        spec: RunSpec = _from_mapping(RunSpec, values, "the run specification")
        if spec.protocol != PROTOCOL_VERSION:
            raise ProtocolError(f"protocol {spec.protocol}, this agent speaks {PROTOCOL_VERSION}")
        if spec.batch * spec.choices > len(spec.lengths):
            raise ProtocolError(f"batches of {spec.batch} can't be made of {len(spec.lengths)} inputs")
        if len(spec.lengths) % spec.choices:
            raise ProtocolError(f"{len(spec.lengths)} sequences can't be told into examples of {spec.choices}")
        for part in spec.parts():
            part.model_files()
            if len(part.lengths) != len(spec.lengths):
                raise ProtocolError(f"a model beside has {len(part.lengths)} inputs, the run has {len(spec.lengths)}")
        if spec.beside and (spec.mode != "measure" or spec.scenario == "server"):
            raise ProtocolError("several models alternate in mode measure only, and not as a server")
        return spec


# --- environments -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WheelFile:
    """A wheel: a blob on the board, and its file name for messages."""

    name: str = checked(_file_name)
    sha256: str = checked(_sha256)


@dataclass(frozen=True)
class InstallSpec:
    """An environment to make: the name it gets, and what it is made of.

    `ask`: only say whether it is there and which wheels are not. `anew`: make it even where it is there, for it is
    known not to work.
    """

    environment: str = checked(_sha256)
    wheels: List[Any] = checked(_list(lambda value: isinstance(value, dict), 64))  # WheelFile objects as tables
    ask: bool = checked(_boolean, default=False)
    anew: bool = checked(_boolean, default=False)

    def wheel_files(self) -> List[WheelFile]:
        """Return the wheels."""
        return [_from_mapping(WheelFile, entry, "a wheel") for entry in self.wheels]

    @staticmethod
    def from_json(line: bytes) -> "InstallSpec":
        """Return the checked specification; ProtocolError: a field is missing or out of bounds."""
        spec: InstallSpec = _from_mapping(InstallSpec, decode_object(line), "the installation")
        spec.wheel_files()
        return spec


@dataclass(frozen=True)
class Adoption:
    """A Python serves a runtime from now on."""

    runtime: str = checked(_identifier)
    python: str = checked(_text(4096))
    environment: Optional[str] = checked(_or_none(_sha256))  # None: the board's own Python
    packages: Dict[str, str] = checked(_table(_text(256), 64))  # versions by name
    agreement: str = checked(_text(1024))  # what was compared with the host's numbers, for people
    own: bool = checked(_boolean, default=False)  # the user's own choice: a later setup leaves it as it is

    @staticmethod
    def from_json(line: bytes) -> "Adoption":
        """Return the checked adoption; ProtocolError: a field is missing or out of bounds."""
        adoption: Adoption = _from_mapping(Adoption, decode_object(line), "the adoption")
        return adoption


@dataclass(frozen=True)
class Leftovers:
    """What a setup leaves on the board and nothing needs any more: wheels, by their hash."""

    wheels: List[str] = checked(_list(_sha256, 256))

    @staticmethod
    def from_json(line: bytes) -> "Leftovers":
        """Return the checked leftovers; ProtocolError: a field is missing or out of bounds."""
        leftovers: Leftovers = _from_mapping(Leftovers, decode_object(line), "the leftovers")
        return leftovers


# --- the board's lease ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LeaseRequest:
    """What the host asks of the board's lease, on the standard input of `lease`.

    `ticket` stands for one session that wants the board. `who` and `purpose` are for people, and so is the `reason` of
    a `force`. `token`: what was granted.
    """

    do: str = checked(_one_of("acquire", "leave", "renew", "release", "force", "show"))
    ticket: str = checked(_or_empty(_identifier), default="")
    who: str = checked(_text(200), default="")
    purpose: str = checked(_text(400), default="")
    reason: str = checked(_text(400), default="")
    token: int = checked(_integer(), default=0)
    ttl_ns: int = checked(_integer(1_000_000_000, 86_400_000_000_000), default=120_000_000_000)

    def to_json(self) -> bytes:
        """Return the request as one line."""
        return encode_object(asdict(self))

    @staticmethod
    def from_json(line: bytes) -> "LeaseRequest":
        """Return the checked request.

        Raises:
            ProtocolError: a field is missing or out of bounds.
        """
        request: LeaseRequest = _from_mapping(LeaseRequest, decode_object(line), "the lease request")
        return request


# --- clocks and power -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PowerRequest:
    """What the host asks of the board's clocks and power mode, on the standard input of `power`.

    show: what there is, and what may be set; set: a governor (empty: as it was found) and the number of a power mode
    (None: as it was found); restore: all as it was found. `token`: of the board's lease; only its holder may set.
    """

    do: str = checked(_one_of("show", "set", "restore"))
    token: int = checked(_integer(), default=0)
    governor: str = checked(_or_empty(_identifier), default="")
    power_mode: Optional[int] = checked(_or_none(_integer(0, 999_999)), default=None)

    def to_json(self) -> bytes:
        """Return the request as one line."""
        return encode_object(asdict(self))

    @staticmethod
    def from_json(line: bytes) -> "PowerRequest":
        """Return the checked request.

        Raises:
            ProtocolError: a field is missing or out of bounds.
        """
        request: PowerRequest = _from_mapping(PowerRequest, decode_object(line), "the power request")
        return request
