"""Whether what a board reports of a run can have happened: order, clock, latencies, counts and durations.

A journal whose lines are valid one by one may still be made up, or come from a board whose clock or agent is broken.
The rules follow from how the agent measures (`edgebench_agent.run`): each message is checked as it comes, the totals
once the run is done. What is not plausible ends the run with AgentError, so no figure of it counts. Every count that
the host keeps is bounded here, so that no journal, however long, fills its memory.
"""

from __future__ import annotations

import sys
import time
from typing import NoReturn

from edgebench.errors import AgentError
from edgebench_agent import protocol

#: A call of a runtime takes longer, on any board. Less means that the board's clock is too coarse, or stands still.
_LEAST_LATENCY_NS = 1_000
#: Runtimes of the agent that run no model.
_WITHOUT_MODEL = ("null", "busy")
#: How far a board's clock may run ahead of the host's, and how much may be reported before the host started counting.
_CLOCK_RATIO, _CLOCK_SLACK_NS = 1.1, 10_000_000_000
#: The agent's bounds for warm-up (`_WARMUP_COUNT` and a few windows), beyond one inference of each batch.
_MOST_WARMUP = 100_000 + 8 * 4096
#: Inferences that the agent keeps before it sends them; models that alternate send theirs one after the other.
_BUFFER = 1 << 15
#: A server sends what it measured at most so long after it should have.
_SERVER_DELAY_NS = 1_510_000_000
#: Of the shortest duration, what the inferences must cover at least; the rest may lie before the first.
_COVERED, _NOT_COVERED_NS = 0.9, 200_000_000
#: A sensor is read at most ten times a second, and once more at each phase.
_READINGS_PER_S, _MOST_EXTRA_READINGS = 20, 1000
_PHASES = ("loading", "first", "warmup", "measuring", "finishing", "idle")
#: The agent sends the operators of a model in eight parts at most.
_MOST_OPERATOR_PARTS = 8
_ONCE = (protocol.Hello, protocol.Outputs, protocol.Busiest)
_ONCE_A_MODEL = (protocol.Loaded, protocol.First, protocol.WarmedUp)


class Plausibility:
    """Checks the messages of one process in the order in which they come.

    Args:
        spec: what the board was requested to run.
        name: of the board, for messages.
        is_past: the run was measured before, so its clock may be ahead of the time that passes here.
    """

    def __init__(self, spec: protocol.RunSpec, *, name: str, is_past: bool = False) -> None:
        self._spec = spec
        self._source = f"{name}: run {spec.run_id}"
        self._began_ns = None if is_past else _host_clock_ns()
        self._models = 1 + len(spec.beside)
        sequences = spec.batch * spec.choices
        self._batches = -(-len(spec.lengths) // sequences)
        self._hello_ns: int | None = None
        self._last_ns = 0
        self._phases: dict[str, int] = {}
        self._seen: set[tuple[type, int]] = set()
        self._operator_parts = 0
        self._readings: dict[str, int] = {}
        self._of_models = [_Inferences() for _ in range(self._models)]
        self._rotation = _Rotation()

    def check(self, entry: protocol.Entry) -> None:
        """Check one message.

        Raises:
            AgentError: it can't be true, or it is more than was requested.
        """
        message = entry.message
        self._check_time(entry)
        if isinstance(message, protocol.Hello):
            self._check_hello(entry, message)
        elif self._hello_ns is None and not isinstance(message, (protocol.Failed, protocol.Log)):
            self._refuse("the journal does not begin with hello")
        self._check_once(message)
        match message:
            case protocol.Latencies():
                self._check_latencies(entry.t_ns, message)
            case protocol.Phase():
                if message.name not in _PHASES or message.name in self._phases:
                    self._refuse(f"it enters the phase {message.name!r}, which is not known, or which it has left")
                self._phases[message.name] = entry.t_ns
            case protocol.Loaded():
                self._check_span("loading", message.load_ns, entry.t_ns, least_ns=0)
            case protocol.First():
                self._check_span("the first inference", message.first_ns, entry.t_ns, least_ns=self._least_ns)
            case protocol.WarmedUp():
                count = self._of_model(message.model).warmup
                if message.count != count:
                    self._refuse(f"warm-up had {message.count} inferences, and {count} arrived")
            case protocol.Readings():
                self._check_readings(entry.t_ns, message)
            case protocol.Operators():
                self._operator_parts += 1
                if self._spec.mode != "operators" or self._operator_parts > _MOST_OPERATOR_PARTS:
                    self._refuse("it reports more operators than a model has")
            case protocol.Outputs():
                if self._spec.mode != "infer" or message.count != self._batches:
                    self._refuse(f"it reports outputs of {message.count} batches, which were not requested")
            case protocol.Done():
                self._check_totals(message)

    # --- each message -------------------------------------------------------------------------------------------

    def _check_time(self, entry: protocol.Entry) -> None:
        if entry.t_ns < self._last_ns:
            self._refuse("its clock goes backwards")
        self._last_ns = entry.t_ns
        if self._hello_ns is None or self._began_ns is None:
            return
        passed_ns = _CLOCK_RATIO * (_host_clock_ns() - self._began_ns) + _CLOCK_SLACK_NS
        if entry.t_ns - self._hello_ns > passed_ns:
            self._refuse("more time has passed on its clock than on this machine")

    def _check_hello(self, entry: protocol.Entry, hello: protocol.Hello) -> None:
        if hello.runtime != self._spec.runtime:
            self._refuse(f"it used the runtime {hello.runtime!r}, requested was {self._spec.runtime!r}")
        self._hello_ns = self._hello_ns or entry.t_ns

    def _check_once(self, message: protocol.Message) -> None:
        key: tuple[type, int]
        if isinstance(message, _ONCE):
            key = (type(message), 0)
        elif isinstance(message, _ONCE_A_MODEL):
            self._of_model(message.model)
            key = (type(message), message.model)
        else:
            return
        if key in self._seen:
            self._refuse(f"it sends a second message of the kind {type(message).__name__}")
        self._seen.add(key)

    def _check_span(self, what: str, span_ns: int, now_ns: int, *, least_ns: int) -> None:
        if not least_ns <= span_ns <= now_ns - (self._hello_ns or 0):
            self._refuse(f"{what} took {span_ns} ns, which its own times contradict")

    def _check_readings(self, now_ns: int, message: protocol.Readings) -> None:
        seconds = (now_ns - (self._hello_ns or 0)) / 1e9
        most = _MOST_EXTRA_READINGS + _READINGS_PER_S * seconds
        for name in message.values:
            self._readings[name] = self._readings.get(name, 0) + 1
            if self._readings[name] > most:
                self._refuse("it reports a sensor more often than sensors are read")

    # --- inferences ---------------------------------------------------------------------------------------------

    @property
    def _least_ns(self) -> int:
        return 0 if self._spec.runtime in _WITHOUT_MODEL else _LEAST_LATENCY_NS

    @property
    def _is_server(self) -> bool:
        return self._spec.scenario == "server"

    def _of_model(self, model: int) -> _Inferences:
        if model >= self._models:
            self._refuse("it reports a model that it was not sent")
        return self._of_models[model]

    def _check_latencies(self, now_ns: int, block: protocol.Latencies) -> None:
        of = self._of_model(block.model)
        if not block.start_ns:
            self._refuse("it sends inferences, and there are none")
        if block.warmup and of.timed:
            self._refuse("it warms up after it began to measure")
        # A server's latencies begin when a query arrives, which may be while another is served.
        overlaps = self._is_server and not block.warmup
        least_ns = self._least_ns
        start, end = of.last_start_ns, of.last_end_ns
        for began_ns, latency_ns in zip(block.start_ns, block.latency_ns, strict=True):
            if latency_ns < least_ns:
                self._refuse(
                    f"an inference took {latency_ns} ns, less than a call of the runtime takes: its clock is too "
                    f"coarse, or stands still"
                )
            ended_ns = began_ns + latency_ns
            in_order = began_ns >= start and ended_ns >= end if overlaps else began_ns >= end
            if not in_order:
                self._refuse("its inferences overlap, or are out of order")
            start, end = began_ns, ended_ns
        if block.start_ns[0] < (self._hello_ns or 0) or end > now_ns:
            self._refuse("its inferences are not within the time of the run")
        of.last_start_ns, of.last_end_ns = start, end
        self._count(of, block)
        if self._models > 1 and not self._rotation.add(block, self._models, most=2 * _BUFFER + self._batches):
            self._refuse("its inferences of models that alternate overlap")

    def _count(self, of: _Inferences, block: protocol.Latencies) -> None:
        if block.warmup:
            of.warmup += len(block.start_ns)
            if of.warmup > (_MOST_WARMUP + self._batches if self._spec.mode == "measure" else self._batches):
                self._refuse(f"it made {of.warmup} inferences to warm up, more than that takes")
            return
        if not of.timed:
            of.first_start_ns = block.start_ns[0]
        border_ns = of.first_start_ns + self._models * self._spec.min_duration_ns
        border_ns += _SERVER_DELAY_NS if self._is_server else 0
        of.timed += len(block.start_ns)
        if block.start_ns[-1] < border_ns:
            of.in_shortest_time = of.timed
        else:
            of.in_shortest_time += sum(start_ns < border_ns for start_ns in block.start_ns)
        if block.items != [at % self._batches for at in range(of.timed - len(block.items), of.timed)]:
            self._refuse("it ran other inputs than requested, or in another order")
        if of.timed > self._most_timed(of):
            self._refuse(f"it made {of.timed} inferences, more than requested")

    def _most_timed(self, of: _Inferences) -> int:
        """Return how many inferences a model may have had: up to both minima, then the pass is completed."""
        spec = self._spec
        if spec.mode != "measure":
            return self._batches if spec.mode == "infer" else 0
        # One more: that during which the shortest time ends.
        due = max(spec.min_count, of.in_shortest_time + 1)
        most = max(spec.min_count, spec.most_count // self._models)
        return min(-(-due // self._batches) * self._batches, most + self._batches)

    # --- the end ------------------------------------------------------------------------------------------------

    def _check_totals(self, done: protocol.Done) -> None:
        spec = self._spec
        if self._hello_ns is None:
            self._refuse("it is done before it began")
        if spec.mode == "infer" and self._of_models[0].timed != self._batches:
            self._refuse(f"it ran {self._of_models[0].timed} of {self._batches} batches")
        if spec.mode in ("measure", "infer") and self._of_models[0].timed:
            began_ns = min(of.first_start_ns for of in self._of_models)
            duration_ns = max(of.last_end_ns for of in self._of_models) - began_ns
            if done.duration_ns != duration_ns:
                self._refuse(f"it says that it measured for {done.duration_ns} ns, and its inferences span others")
        if spec.mode == "measure":
            self._check_duration(done)
        if (
            spec.mode == "idle"
            and self._phases.get("finishing", 0) - self._phases.get("idle", 0) < spec.min_duration_ns
        ):
            self._refuse("it was idle for less time than requested")

    def _check_duration(self, done: protocol.Done) -> None:
        spec, models = self._spec, self._models
        if len({of.timed for of in self._of_models}) > 1:
            self._refuse("the models that alternate have different numbers of inferences")
        shortest_ns = models * min(spec.min_duration_ns, spec.max_duration_ns)
        if done.count >= max(spec.min_count, spec.most_count // models):
            return  # a journal holds no more
        began_ns, ended_ns = self._phases.get("measuring"), self._phases.get("finishing")
        covered_ns = _COVERED * shortest_ns - _NOT_COVERED_NS if not self._is_server else 0
        if began_ns is None or ended_ns is None or ended_ns - began_ns < shortest_ns or done.duration_ns < covered_ns:
            self._refuse(f"it measured for less than the {shortest_ns / 1e9:g} s that were requested")
        if done.count < spec.min_count and ended_ns - began_ns < models * spec.max_duration_ns:
            self._refuse(f"it made {done.count} inferences of at least {spec.min_count}")

    def _refuse(self, why: str) -> NoReturn:
        raise AgentError(f"{self._source} reports what can't be: {why}")


class _Inferences:
    """What is known of a model's inferences so far. `in_shortest_time`: timed ones that began within the minimum."""

    __slots__ = ("first_start_ns", "in_shortest_time", "last_end_ns", "last_start_ns", "timed", "warmup")

    def __init__(self) -> None:
        self.first_start_ns = 0
        self.last_start_ns = 0
        self.last_end_ns = 0
        self.warmup = 0
        self.timed = 0
        self.in_shortest_time = 0


class _Rotation:
    """The inferences of models that alternate, kept until those of all models have come, then compared."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._spans: list[tuple[int, int]] = []
        self._ended_ns = 0

    def add(self, block: protocol.Latencies, models: int, *, most: int) -> bool:
        """Add a block; return whether no two inferences overlap, as far as is known.

        `most`: how many the agent keeps before it sends them.
        """
        self._spans.extend((start, start + took) for start, took in zip(block.start_ns, block.latency_ns, strict=True))
        self._counts[block.model] = self._counts.get(block.model, 0) + len(block.start_ns)
        if len(self._counts) < models or len(set(self._counts.values())) > 1:
            return len(self._spans) <= most * models
        for began_ns, ended_ns in sorted(self._spans):
            if began_ns < self._ended_ns:
                return False
            self._ended_ns = ended_ns
        self._spans.clear()
        return True


def _host_clock_ns() -> int:
    """Return this machine's time, which goes on while it sleeps, as a board does."""
    if sys.platform == "linux":
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return time.time_ns()
