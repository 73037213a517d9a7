"""From a specification to a Run: launch it on the board, take the journal's messages in order, build the figures.

This is the only module of the host that interprets the messages of a run's journal.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edgebench import ending
from edgebench.board import Position, RemoteAgent, agent_archive, run_failure
from edgebench.errors import AgentError, BoardBusy
from edgebench.facts import BusyProcess, RunFacts
from edgebench.measure.plausible import Plausibility
from edgebench.run import Memory, Run, Series, Trace
from edgebench.text import printable
from edgebench_agent import protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: More than any board has; a trace of more would fill the host's memory.
_MOST_SENSORS = 256
_MOST_LOG_LINES = 100
#: Messages that name the model that they are about.
_OF_A_MODEL = (protocol.Loaded, protocol.First, protocol.Latencies, protocol.WarmedUp)


def collect_run(
    agent: RemoteAgent, spec: protocol.RunSpec, *, watch: Callable[[RunCollector], None] | None = None
) -> RunCollector:
    """Launch a run on a board and collect its messages to the last one.

    Args:
        watch: called after every message with what was collected so far.

    Raises:
        RunFailed: the run failed: its model, its inputs or its runtime are at fault.
        BoardBusy, LeaseLost, BoardError, AgentError, ConnectionLost: as `collect_models`.
    """
    collector = RunCollector(spec)
    collect_models(agent, spec, [collector], watch=watch)
    if collector.failed is not None:
        raise run_failure(agent.name, collector.failed)
    return collector


def collect_models(
    agent: RemoteAgent,
    spec: protocol.RunSpec,
    collectors: Sequence[RunCollector],
    *,
    watch: Callable[[RunCollector], None] | None = None,
    on_interrupt: Callable[[], None] | None = None,
) -> None:
    """Launch the run of one process and give its messages to a collector for each of its models.

    While another run occupies the board, the launch is retried as long as the agent's retry policy allows. On any later
    error the run is ended on the board, as far as the board can be reached, and the collectors keep what it had sent
    (`RunCollector.has_begun`). A run that fails does not raise: see `RunCollector.failed`. `watch` is called after
    every message with the first collector; `on_interrupt` on Ctrl-C, before the board is waited for.

    Raises:
        BoardBusy: another run still occupies the board.
        LeaseLost: the board is leased to another user by now.
        BoardError: the board refused the run.
        AgentError: a message is not valid, or reports what can't be, or the journal ends without saying how.
        ConnectionLost: the board could not be reached again.
        KeyboardInterrupt: Ctrl-C while the run was in progress.
    """
    agent.retry_while_busy(lambda: _collect_once(agent, spec, collectors, watch, on_interrupt))


def _collect_once(
    agent: RemoteAgent,
    spec: protocol.RunSpec,
    collectors: Sequence[RunCollector],
    watch: Callable[[RunCollector], None] | None,
    on_interrupt: Callable[[], None] | None,
) -> None:
    position = Position()
    take = taker(spec, collectors, name=agent.name)
    try:
        agent.launch(spec)
        for entry in agent.follow(spec.run_id, position=position):
            take(entry)
            if watch is not None:
                watch(collectors[0])
    except BoardBusy:
        raise  # the run was not started
    except BaseException as error:
        try:
            if isinstance(error, KeyboardInterrupt):
                ending.begin()
                if on_interrupt is not None:
                    on_interrupt()
        finally:
            # The rest of a journal of which a message is not valid is not kept.
            agent.stop(spec.run_id, position=position, take=_drop if isinstance(error, AgentError) else take)
        raise


def taker(
    spec: protocol.RunSpec, collectors: Sequence[RunCollector], *, name: str, is_past: bool = False
) -> Callable[[protocol.Entry], None]:
    """Return a function that checks a run's next message (`Plausibility`) and gives it to each of its collectors.

    Args:
        name: of the board.
        is_past: the run was measured before, so its clock may be ahead of the time that passes here.
    """
    plausibility = Plausibility(spec, name=name, is_past=is_past)
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    for collector in collectors:
        collector.started_at = started_at

    def take(entry: protocol.Entry) -> None:
        plausibility.check(entry)
        for collector in collectors:
            collector.take(entry)

    return take


def _drop(_: protocol.Entry) -> None:
    pass


class RunCollector:
    """Takes the messages of one run as they come; `run` returns the Run that they make.

    Args:
        spec: what the board was requested to run.
        agent_sha256: of the agent that must have run it; default: this edgebench's.
        id: of the Run; default: the process's. Where several models alternate in a process, each has its own Run, and
            `spec` is the part of the process's specification that is about the model.
        model, models: the position of this model among those of the process, and how many there are.
    """

    def __init__(
        self,
        spec: protocol.RunSpec,
        *,
        agent_sha256: str | None = None,
        id: str | None = None,
        model: int = 0,
        models: int = 1,
    ) -> None:
        self.run_id = spec.run_id
        self.outputs: protocol.Outputs | None = None
        self.operators: list[protocol.Operators] = []
        self.phase_starts_ns: dict[str, int] = {}  # on the board's monotonic clock
        self._id = id or spec.run_id
        self._model = model
        self._models = models
        self.started_at = ""  # the host's clock, UTC, ISO 8601
        self.phase = "starting"
        self.last_reading: dict[str, int] = {}
        self.log: list[str] = []
        self.failed: protocol.Failed | None = None
        self._agent_sha256 = agent_sha256 or agent_archive()[1]
        self._choices = spec.choices
        sequences = spec.batch * spec.choices
        batches = [spec.lengths[at : at + sequences] for at in range(0, len(spec.lengths), sequences)]
        self._batch_longest = [max(batch) for batch in batches]
        self._batch_sequences = [len(batch) for batch in batches]
        self._batch_tokens = [sum(batch) for batch in batches]
        self._batch_sizes = [len(batch) // spec.choices for batch in batches]
        self._timed = _Columns()
        self._warmup = _Columns()
        self._readings: dict[str, tuple[array[int], array[int]]] = {}
        self._rss_at: dict[str, int] = {}
        self._facts: dict[str, Any] = {
            "providers_asked": list(spec.providers),
            "inputs_sha256": spec.inputs_sha256,
            "batches": len(batches),
            "batch_tokens": self._batch_tokens,
            "batch_sizes": self._batch_sizes,
        }
        if models > 1:
            self._facts["alternating"] = {"process": spec.run_id, "models": models}
        if spec.rate_mhz:
            self._facts["queries_per_s"] = spec.rate_mhz / 1000
        self._load_ns: int | None = None
        self._first_ns: int | None = None

    @property
    def temperature_mc(self) -> int | None:
        """The highest of the last readings of temperatures, millidegrees Celsius; None before there is one."""
        zones = [value for name, value in self.last_reading.items() if name.startswith("temperature_mc/")]
        return max(zones, default=None)

    def take(self, entry: protocol.Entry) -> None:
        """Add one message.

        Raises:
            AgentError: it does not fit the run.
        """
        message = entry.message
        if isinstance(message, _OF_A_MODEL) and message.model != self._model:
            if message.model >= self._models:
                raise AgentError(f"run {self.run_id}: the board reports a model that it was not sent")
            return
        match message:
            case protocol.Latencies():
                if max(message.items, default=0) >= len(self._batch_sizes):
                    raise AgentError(f"run {self.run_id}: the board reports an input that it was not sent")
                (self._warmup if message.warmup else self._timed).extend(message)
            case protocol.Readings():
                self._take_readings(entry.t_ns, message.values)
            case protocol.Hello():
                self._take_hello(message)
            case protocol.Phase():
                self.phase = message.name
                self.phase_starts_ns[message.name] = entry.t_ns
            case protocol.Outputs():
                self.outputs = message
            case protocol.Operators():
                self.operators.append(message)
            case protocol.Loaded():
                self._load_ns = message.load_ns
                loaded = asdict(message)
                del loaded["load_ns"], loaded["model"]
                padded = self._padded(sorted(message.lengths), message.rows)
                self._facts |= loaded | {"batch_padded_tokens": padded}
            case protocol.First():
                self._first_ns = message.first_ns
            case protocol.WarmedUp():
                self._facts |= {"warmup_steady": message.steady, "warmup_count": message.count}
            case protocol.Log():
                if len(self.log) < _MOST_LOG_LINES:
                    self.log.append(printable(message.text))
            case protocol.Busiest():
                columns = zip(message.names, message.cpu_millicores, message.pids, strict=True)
                self._facts["busiest"] = [
                    asdict(BusyProcess(printable(name, 40), amount, pid)) for name, amount, pid in columns
                ]
            case protocol.Failed():
                self.failed = message
            case protocol.Done():
                if message.count != self.count:
                    raise AgentError(f"run {self.run_id}: {message.count} inferences were made, {self.count} arrived")
                self._facts["done_count"] = message.count

    @property
    def has_begun(self) -> bool:
        """Whether the run began on the board, as far as is known."""
        return "agent_sha256" in self._facts

    @property
    def is_done(self) -> bool:
        """Whether the run ended well, and all of it is here."""
        return "done_count" in self._facts

    @property
    def count(self) -> int:
        """Timed inferences so far."""
        return len(self._timed.latency_ns)

    @property
    def recent_ns(self) -> list[int]:
        """The latest timed latencies, at most 1,000, for progress reports."""
        return self._timed.latency_ns[-1000:].tolist()

    @property
    def timed_s(self) -> float:
        """How long inferences have been timed so far, in seconds."""
        starts = self._timed.start_ns
        return (starts[-1] - starts[0]) / 1e9 if starts else 0.0

    def run(self) -> Run:
        """Return the run as far as it was collected, without a judgement of its validity."""
        import numpy as np

        trace = Trace(
            **self._timed.arrays(),
            **{f"warmup_{name}": column for name, column in self._warmup.arrays().items()},
            readings={
                name: Series(np.asarray(times, np.int64), np.asarray(values, np.int64))
                for name, (times, values) in self._readings.items()
            },
        )
        executed = np.bincount(trace.items, minlength=len(self._batch_sizes))[: len(self._batch_sizes)]
        return Run(
            id=self._id,
            started_at=self.started_at,
            trace=trace,
            load_ns=self._load_ns,
            first_ns=self._first_ns,
            memory=self._memory(),
            facts=RunFacts.from_json(self._facts | ({"log": self.log} if self.log else {})),
            tokens=int(executed @ np.asarray(self._batch_tokens, np.int64)),
            inferences=int(executed @ np.asarray(self._batch_sizes, np.int64)),
        )

    def _take_hello(self, hello: protocol.Hello) -> None:
        if hello.run_id != self.run_id or hello.protocol != protocol.PROTOCOL_VERSION:
            raise AgentError(f"run {self.run_id}: the journal is that of another run or protocol")
        if hello.agent_sha256 != self._agent_sha256:
            raise AgentError(f"run {self.run_id}: it was run by another version of the agent")
        self._facts |= {key: value for key, value in asdict(hello).items() if key != "run_id"}

    def _padded(self, buckets: list[int], rows: int) -> list[int]:
        """Return the tokens of each batch after padding, to its longest input or to a bucket of the model.

        A model that takes only so many `rows` (0: any number) works on rows that fill the batch up, too.
        """
        return [
            max(count, rows * self._choices) * next((bucket for bucket in buckets if bucket >= longest), longest)
            for longest, count in zip(self._batch_longest, self._batch_sequences, strict=True)
        ]

    def _take_readings(self, t_ns: int, values: Mapping[str, int | None]) -> None:
        for name, value in values.items():
            if value is None:
                continue
            if name not in self._readings and len(self._readings) >= _MOST_SENSORS:
                raise AgentError(f"run {self.run_id}: the board reports more than {_MOST_SENSORS} sensors")
            times, column = self._readings.setdefault(name, (array("q"), array("q")))
            times.append(t_ns)
            column.append(value)
            self.last_reading[name] = value
        cached, size = values.get("model_resident_bytes"), values.get("model_bytes")
        if cached is not None and size:
            self._facts["resident_before_load"] = cached / size
        rss = values.get("rss_bytes")
        if rss is not None:
            self._rss_at.setdefault(self.phase, rss)

    def _memory(self) -> Memory:
        if self._models > 1:
            return Memory()  # models that share a process have no memory figures of their own

        def highest(*names: str) -> int | None:
            peaks = [max(self._readings[name][1]) for name in names if name in self._readings]
            return max(peaks, default=None)

        return Memory(
            peak_rss=highest("rss_bytes", "peak_rss_bytes"),
            peak_pss=highest("pss_bytes"),
            before_load=self._rss_at.get("loading"),
            after_load=self._rss_at.get("first"),
        )


class _Columns:
    """Inferences as growing columns of 24 bytes each, because a run of an hour has millions."""

    def __init__(self) -> None:
        self.start_ns = array("q")
        self.latency_ns = array("q")
        self.items = array("q")

    def extend(self, block: protocol.Latencies) -> None:
        self.start_ns.extend(block.start_ns)
        self.latency_ns.extend(block.latency_ns)
        self.items.extend(block.items)

    def arrays(self) -> dict[str, NDArray[np.int64]]:
        import numpy as np

        return {
            "starts_ns": np.asarray(self.start_ns, np.int64),
            "latencies_ns": np.asarray(self.latency_ns, np.int64),
            "items": np.asarray(self.items, np.int64),
        }
