"""EvaluationRequest: what is to be answered and scored, by which model, on which device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgebench.artifact import Format
from edgebench.device import Device
from edgebench.errors import ConfigError, UnknownName
from edgebench.request import WAIT_S
from edgebench.variant import REFERENCE_PREFIX
from edgebench.xtreme_r import SEQEVAL_VERSIONS, SPLITS


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What is to be answered and scored, by which model, on which device.

    Args:
        device: the board that answers.
        model: a checkpoint's folder or hub id, or an exported file with its tokenizer.
        format: default: the device profile's.
        tasks: names of XTREME-R's tasks.
        langs: empty: all languages whose files are in `data`.
        data: the folder `download/` that XTREME's scripts make.
        labels: a folder of right answers for test files that have none, see `read_task`.
        split: `test` or `dev`.
        limit: use at most so many examples of each language, drawn from `seed`, with the labels in their proportions.
        seed: of that draw, and of the bootstrap intervals.
        prefix: put before each text of a retrieval task, as some encoders expect.
        seqeval: whose rules score tagging tasks, one of SEQEVAL_VERSIONS.
        batch, threads, runtime: as for `edgebench.profile`.
        accept_parity: as for `edgebench.export_model`.
        also_host: also let the fp32 artifact answer on this machine, to see what the format changed.
        again: answer again what the store has already.
        wait_s: how long to wait for a board that another user has leased, in seconds.
        wait_idle_s: longest wait until nothing else keeps the board busy, in seconds; None: no wait.

    Raises:
        UsageError: a value is out of bounds or unknown, or the model has random weights.
    """

    device: Device
    model: str
    format: Format | None = None
    tasks: tuple[str, ...]
    langs: tuple[str, ...] = ()
    data: Path
    labels: Path | None = None
    split: str = "test"
    limit: int | None = None
    seed: int = 0
    prefix: str = ""
    seqeval: str = SEQEVAL_VERSIONS[0]
    batch: int = 1
    threads: int | None = None
    runtime: str | None = None
    accept_parity: bool = False
    also_host: bool = False
    again: bool = False
    wait_s: float = WAIT_S
    wait_idle_s: float | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise UnknownName("split", self.split, SPLITS)
        if self.seqeval not in SEQEVAL_VERSIONS:
            raise UnknownName("version of seqeval", self.seqeval, SEQEVAL_VERSIONS)
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit must be >= 1, got {self.limit}")
        if self.batch < 1:
            raise ConfigError(f"batch must be >= 1, got {self.batch}")
        if not self.tasks:
            raise ConfigError("no task to evaluate", hint="try `tasks=['xnli']`")
        if self.model.startswith(REFERENCE_PREFIX):
            raise ConfigError(f"{self.model} has random weights, whose answers mean nothing; name a checkpoint")
