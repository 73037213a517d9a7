"""Run: what one fresh process on a board measured, exactly as it is kept.

Everything is in integer nanoseconds and bytes; what was not measured is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgebench.facts import RunFacts
from edgebench.reason import Reason, State, joined
from edgebench.text import counted, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Series:
    """One sensor over time. t_ns, values: shape (readings,), int64; `t_ns` on the board's monotonic clock."""

    t_ns: NDArray[np.int64]
    values: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Everything raw that came back from one run.

    latencies_ns, starts_ns, items, and their warm-up counterparts: shape (inferences,), int64; `items` is the
    position of the batch that was run. `readings` by sensor name; names carry units (`temperature_mc/cpu`).
    """

    starts_ns: NDArray[np.int64]
    latencies_ns: NDArray[np.int64]
    items: NDArray[np.int64]
    warmup_starts_ns: NDArray[np.int64]
    warmup_latencies_ns: NDArray[np.int64]
    warmup_items: NDArray[np.int64]
    readings: Mapping[str, Series] = field(default_factory=dict)

    def __repr__(self) -> str:
        sensors = counted(len(self.readings), "sensor")
        return f"<Trace: {counted(len(self.latencies_ns), 'inference')}, readings of {sensors}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of the measuring process, bytes. RSS counts shared pages in full, PSS its share of them.

    `peak_rss` is the kernel's own high-water mark. `peak_pss` is the highest of the readings at the borders of phases
    (PSS takes a lock to read, so it is never read while something is timed): what loading needs for a moment shows in
    RSS only.
    """

    peak_rss: int | None = None
    peak_pss: int | None = None
    before_load: int | None = None  # RSS, runtime imported
    after_load: int | None = None  # RSS


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """What comparisons need of a run, of one input where it says energy.

    None: too few inferences for it, or no sensor; for `geomean_ns` and `p99_ns` also: stored by an edgebench that did
    not have them. `geomean_ns`: the geometric mean over inputs of each input's median latency. `rails`: whose power was
    added up.
    """

    p50_ns: float | None = None
    p95_ns: float | None = None
    p99_ns: float | None = None
    geomean_ns: float | None = None
    throughput_per_s: float | None = None
    energy_j: float | None = None
    rails: tuple[str, ...] | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunFigures:
        """Return what `dataclasses.asdict` became in JSON."""
        rails = values.get("rails")
        return cls(**{**values, "rails": tuple(rails) if rails is not None else None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One fresh process that measured one artifact under one workload.

    `facts`: what the agent reported of itself, the board and the model. `reasons`: why the run is not valid; empty if
    nothing speaks against it. `judged`: whether it was long enough for the rules to find something; None: stored by an
    edgebench that did not ask. `excluded_spans`: [begin, end) in nanoseconds on the board's clock; inferences that
    start inside are excluded from every figure, because other processes kept the board busy. The trace still contains
    them.

    Several models may alternate in one process (`facts.alternating`): then each has a Run of its own, whose n-th
    inference is of the same input as the n-th inference of the others. `log_ratios`: by the id of each other run, the
    mean over inputs of the median of log(latency here / latency there).
    """

    id: str
    started_at: str  # the host's clock, UTC, ISO 8601
    trace: Trace
    load_ns: int | None
    first_ns: int | None
    memory: Memory
    facts: RunFacts
    tokens: int  # real tokens, without padding, in the timed inferences
    inferences: int  # inputs in the timed inferences: count times batch, less a short last batch
    reasons: tuple[Reason, ...] = ()
    judged: bool | None = None
    excluded_spans: tuple[tuple[int, int], ...] = ()
    figures: RunFigures | None = None  # of a run that was read without its trace; see `figures_of`
    log_ratios: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        reasons = f" ({joined(self.reasons)})" if self.reasons else ""
        return printable(f"<Run {self.id}: {counted(len(self.latencies_ns), 'inference')}, {self.state}{reasons}>")

    @property
    def valid(self) -> bool:
        """Whether it counts: nothing is known against it. Whether the rules had enough to judge it by: `judged`."""
        return not self.reasons

    @property
    def state(self) -> State:
        """Whether it counts, and whether that was judged."""
        if self.reasons:
            return State.NOT_VALID
        return State.NOT_JUDGED if self.judged is False else State.VALID

    @property
    def process(self) -> str:
        """The id of the process that measured it, the same for runs of models that alternate."""
        alternating = self.facts.alternating
        return alternating.process if alternating is not None else self.id

    @property
    def alternates(self) -> bool:
        """Whether other models had their inferences between those of this run."""
        return self.facts.alternating is not None

    @property
    def is_excluded(self) -> NDArray[np.bool_]:
        """Shape (inferences,): whether each timed inference is excluded."""
        import numpy as np

        starts = self.trace.starts_ns
        found = np.zeros(len(starts), bool)
        for began, ended in self.excluded_spans:
            found |= (starts >= began) & (starts < ended)
        return found

    @property
    def latencies_ns(self) -> NDArray[np.int64]:
        """Shape (inferences,), int64: every timed inference, in order."""
        return self.trace.latencies_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """The overhead of edgebench itself on a board, in microseconds; measured before the runs.

    `per_inference` is in every latency: what is read of an inference that takes no time. `loop_per_inference`: from the
    start of such a one to the next, with keeping what was measured; sending it, twice a second, comes between.
    `sensors_ratio`: the mean time of inferences on all cores while the sensors are read, to that while they are not.
    Each `*_ci` is a two-sided 95 % interval over runs.
    """

    per_inference: float
    per_inference_ci: tuple[float, float] | None
    loop_per_inference: float
    loop_per_inference_ci: tuple[float, float] | None
    sensors_ratio: float | None = None
    sensors_ratio_ci: tuple[float, float] | None = None

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Overhead:
        """Return what `asdict` made plain, intervals as lists."""
        plain: dict[str, Any] = {name: tuple(it) if isinstance(it, list) else it for name, it in values.items()}
        return Overhead(**plain)
