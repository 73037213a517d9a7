"""The run specification: what the host asks a run to do, on the standard input of `launch`."""

# ruff: noqa: RUF009 - checked() returns a dataclass field

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, List, Optional

from .checks import (
    MAX_MODELS,
    ProtocolError,
    checked,
    from_mapping,
    is_boolean,
    is_file_path,
    is_identifier,
    is_integer,
    is_list,
    is_none_or,
    is_one_of,
    is_sha256,
    is_text,
    parse_json,
)
from .wire import MAX_SPEC_BYTES, PROTOCOL_VERSION


@dataclass(frozen=True)
class ModelFile:
    """One file of the model: a blob on the board by its hash, or (on this machine) a path."""

    name: str = checked(is_file_path)  # with folders where the model refers to its data by them
    sha256: str = checked(is_sha256)
    path: Optional[str] = checked(is_none_or(is_text(4096)), default=None)


@dataclass(frozen=True)
class AlternateModel:
    """Another model that a run alternates with, and its inputs: as many as the run has, in the same order."""

    files: List[Any] = checked(is_list(lambda value: isinstance(value, dict), 64))  # ModelFile objects as tables
    inputs_sha256: str = checked(is_sha256)
    lengths: List[int] = checked(is_list(is_integer(1, 1 << 20), 1 << 20))
    pad_token_id: int = checked(is_integer())
    first_position: Optional[int] = checked(is_none_or(is_integer(0, 1 << 20)), default=None)
    separator: Optional[int] = checked(is_none_or(is_integer()), default=None)


@dataclass(frozen=True)
class RunSpec:
    """What one run does.

    The inputs are a blob: int32 little-endian token ids, end to end, which `lengths` divides into sequences. `choices`
    consecutive sequences make one example, and `batch` counts examples. Sequences are padded to the longest of their
    batch, or to a length that the model accepts.
    """

    run_id: str = checked(is_identifier)
    #: infer: run each input once and keep the outputs; load: drop the model's files from memory, then load and infer
    #: once; idle: read the sensors for `min_duration_ns`, and do nothing else.
    mode: str = checked(is_one_of("measure", "infer", "operators", "load", "idle"))
    runtime: str = checked(is_identifier)
    files: List[Any] = checked(is_list(lambda value: isinstance(value, dict), 64))  # ModelFile objects as tables
    inputs_sha256: str = checked(is_sha256)
    lengths: List[int] = checked(is_list(is_integer(1, 1 << 20), 1 << 20))  # tokens of each input
    batch: int = checked(is_integer(1, 1 << 16))
    pad_token_id: int = checked(is_integer())
    threads: int = checked(is_integer(0, 4096))  # 0: the runtime's own choice
    providers: List[str] = checked(is_list(is_text(256)))  # empty: the CPU
    min_count: int = checked(is_integer(1, 10_000_000))
    min_duration_ns: int = checked(is_integer())
    max_duration_ns: int = checked(is_integer(1))
    lease_ns: int = checked(is_integer(1_000_000_000))  # the run ends after so long without a renewal
    choices: int = checked(is_integer(1, 1 << 10), default=1)
    #: Under MLPerf Inference's names. `server`: Poisson arrivals at `rate_mhz` (queries per 1000 s), from `seed`.
    scenario: str = checked(is_one_of("single-stream", "multi-stream", "offline", "server"), default="single-stream")
    rate_mhz: int = checked(is_integer(0, 1_000_000_000), default=0)
    seed: int = checked(is_integer(), default=0)
    #: A run ends after so many timed inferences (or `min_count` if that is more), once their pass over the inputs is
    #: complete: the journal must stay bounded. An inference takes some 30 bytes of it.
    most_count: int = checked(is_integer(1, 1 << 24), default=1 << 18)
    #: The token of the board's lease under which the run is made; 0: none, which a leased board refuses.
    lease_token: int = checked(is_integer(), default=0)
    #: The numbers of the cores that the worker may use; empty: all.
    affinity: List[int] = checked(is_list(is_integer(0, 4095)), default_factory=list)
    sensors: bool = checked(is_boolean, default=True)  # False: to find the overhead of reading them
    #: What infer keeps of outputs. mean: for outputs of shape (rows, tokens, width), the mean over the real tokens as
    #: float32, computed outside of the timed span. Empty: everything.
    reduce: str = checked(is_one_of("", "mean"), default="")
    #: infer first runs one batch of each shape, reported as warm-up: a runtime prepares itself for each new shape.
    warm_shapes: bool = checked(is_boolean, default=False)
    #: AlternateModel objects as tables. The models are measured in rotation, one inference each, so a run with N models
    #: takes N times as long.
    beside: List[Any] = checked(is_list(lambda value: isinstance(value, dict), MAX_MODELS - 1), default_factory=list)
    #: Warm-up ends after so long at the latest.
    warmup_ns: int = checked(is_integer(), default=10_000_000_000)
    #: Warm-up goes on until latencies fall by at most so many millionths of themselves in a second, as far as can be
    #: seen in the time; 0: only until neighbouring parts of it agree.
    most_fall_ppm_per_s: int = checked(is_integer(0, 1_000_000), default=0)
    #: What `position_ids` begin with; None: they are numbered as XLM-R does, from the padding's id + 1 on.
    first_position: Optional[int] = checked(is_none_or(is_integer(0, 1 << 20)), default=None)
    #: The token that ends the first text of a pair, for `token_type_ids`: 0 up to it, 1 after it; None: all are 0.
    separator: Optional[int] = checked(is_none_or(is_integer()), default=None)
    #: Where the journal is kept while the run goes on. memory: in a tmpfs if there is room, so that long runs do not
    #: wear the card, but a reboot of the board loses it; at the end it moves to the disk.
    journal: str = checked(is_one_of("memory", "disk"), default="memory")
    protocol: int = checked(is_integer(1, 1 << 16), default=PROTOCOL_VERSION)

    def model_files(self) -> List[ModelFile]:
        """Return the files, the model itself first."""
        return [from_mapping(ModelFile, entry, "a model file") for entry in self.files]

    def parts(self) -> "List[RunSpec]":
        """Return the specification that each model would have in a run of its own, the run's own model first."""
        others = [from_mapping(AlternateModel, entry, "an alternate model") for entry in self.beside]
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
            values = parse_json(line)
        except (ValueError, RecursionError) as error:
            raise ProtocolError("the run specification is not JSON") from error
        spec: RunSpec = from_mapping(RunSpec, values, "the run specification")
        if spec.protocol != PROTOCOL_VERSION:
            raise ProtocolError(f"protocol {spec.protocol}, this agent speaks {PROTOCOL_VERSION}")
        if spec.batch * spec.choices > len(spec.lengths):
            raise ProtocolError(f"batches of {spec.batch} can't be made of {len(spec.lengths)} inputs")
        if len(spec.lengths) % spec.choices:
            raise ProtocolError(f"{len(spec.lengths)} sequences can't be divided into examples of {spec.choices}")
        for part in spec.parts():
            part.model_files()
            if len(part.lengths) != len(spec.lengths):
                found = len(part.lengths)
                raise ProtocolError(f"an alternate model has {found} inputs, the run has {len(spec.lengths)}")
        if spec.beside and (spec.mode != "measure" or spec.scenario == "server"):
            raise ProtocolError("several models alternate in mode measure only, and not as a server")
        return spec
