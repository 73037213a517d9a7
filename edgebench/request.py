"""Request: what a session measures, and how the store keeps it so that the session can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgebench.artifact import EXPORT_FORMATS, Format
from edgebench.device import Device, load_profile
from edgebench.errors import ConfigError, StoreError, UnknownName
from edgebench.serialisation import formerly, from_plain, to_plain
from edgebench.stats import LOOKS, MARGIN, MINIMUM_COUNTS
from edgebench.text import counted
from edgebench.workload import RunPlan, Scenario, Workload

DEFAULT_MODEL = "reference:minilm"
WAIT_S = 600.0
#: What can be tuned. threads: their number and cores; power: the clock governor and the power mode.
PARAMETERS = ("threads", "power")
#: Where a board keeps the journal of a run that goes on.
JOURNALS = ("memory", "disk")
_LEAST_SEARCH_RUNS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one session measures on one device: each combination of model, format and workload is a cell.

    Args:
        models: Hugging Face folders or hub ids, .onnx or .tflite files, or `reference:tiny|minilm|base|large`. A file
            is profiled as it is, in no other format.
        formats: to export to; empty: the device profile's default.
        operators: also profile the operators of each cell, in an extra run that does not count.
        overhead: first measure the overhead of edgebench itself on the board.
        runtime: of .tflite files, `ai-edge-litert` or `tflite-runtime`; None: whichever the board has.
        until_decided: add runs, at planned looks, until every comparison with the first cell is decided.
        wait_s: longest wait for a board that somebody else uses, seconds.
        margin: latencies within 1 ± margin are equivalent.
        tune: which of PARAMETERS to find the fastest valid setting of.
        budget_s: longest duration of the session, seconds; runs and inferences are planned to fit. The search of a rate
            ends then, with what it has found.
        most_runs: most runs of each cell that fit into the budget.
        cool_below_c: temperature to cool down to before each run, degrees Celsius; None: the device profile's.
        cool_wait_s: longest wait for that, seconds.
        seed: of the order of runs; None: drawn when the session begins, and kept with it.
        wait_idle_s: longest wait until nothing else keeps the board busy, before the first run and after a run that was
            disturbed, seconds; None: no wait.
        journal: where the board keeps the journal of a run that goes on, one of JOURNALS. memory, where there is room,
            spares the card, but a reboot of the board loses it.
        cold: also start each cell once with its files out of the page cache.
        alternate: measure the models in one process, one inference of each in turn.
        accept_parity: also measure files whose parity is beyond the limit for their head and format.
        sentence_embedding: export sentence-transformers folders as one graph of encoder and modules, not the encoder
            alone.
        planned_looks: after how many runs of each cell the data are examined, ascending; None: after `plan.runs`, or as
            `until_decided` says.
        extends: the session that this one repeats with other runs; None: none.

    Raises:
        ConfigError: fields contradict each other.
        UnknownName: a format or parameter is unknown.
    """

    device: Device
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    formats: tuple[Format, ...] = ()
    workloads: tuple[Workload, ...] = field(default_factory=lambda: (Workload(),))
    operators: bool = False
    overhead: bool = field(default=True, metadata=formerly("own_cost"))
    runtime: str | None = None
    plan: RunPlan = field(default_factory=RunPlan)
    until_decided: bool = False
    wait_s: float = WAIT_S
    margin: float = MARGIN
    tune: tuple[str, ...] = ()
    budget_s: float | None = None
    most_runs: int | None = None
    cool_below_c: float | None = None
    cool_wait_s: float = 600.0
    wait_idle_s: float | None = None
    journal: str = "memory"
    seed: int | None = None
    cold: bool = True
    alternate: bool = False
    sentence_embedding: bool = False
    planned_looks: tuple[int, ...] | None = None
    extends: str | None = None
    accept_parity: bool = False

    def __post_init__(self) -> None:
        if not self.models or not self.workloads:
            raise ConfigError(f"nothing to measure: there is no {'workload' if self.models else '`model`'}")
        for format in self.formats:
            if format not in EXPORT_FORMATS:
                raise UnknownName("format", str(format), EXPORT_FORMATS)
        if self.journal not in JOURNALS:
            raise UnknownName("journal", self.journal, JOURNALS)
        self._check_tune()
        if self.alternate:
            self._check_alternate()
        if self.searches_rate:
            self._check_search()
        count, longest_s = self.plan.min_count, self.plan.max_duration_s
        for rate in (workload.queries_per_s for workload in self.workloads):
            if rate is not None and count / rate > longest_s:
                raise ConfigError(
                    f"{counted(count, 'query')} at {rate:g} a second take {count / rate:.0f} s, longer than a run may, "
                    f"{longest_s:g} s",
                    hint="raise `max_duration_s` or `queries_per_s`, or lower `min_count`",
                )

    def _check_tune(self) -> None:
        for name in self.tune:
            if name not in PARAMETERS:
                raise UnknownName("parameter to tune", name, PARAMETERS)
        rows = max(1, len(self.models)) * max(1, len(self.formats)) * len(self.workloads)
        if self.tune and rows > 1:
            raise ConfigError(f"one model in one format under one workload is tuned at a time, not {rows}")
        if "threads" in self.tune and self.workloads[0].threads is not None:
            raise ConfigError("threads are tuned; leave their number out")
        if self.tune and self.workloads[0].latency_bound_ms is not None:
            raise ConfigError("a session searches a rate or tunes settings, not both")

    def _check_alternate(self) -> None:
        if len(self.models) * max(1, len(self.formats)) < 2:
            raise ConfigError(
                "one model in one format has nothing to alternate with; name two different models, or two formats"
            )
        if self.tune:
            raise ConfigError("a session alternates models or tunes settings, not both")
        if self.plan.sustained_min is not None:
            raise ConfigError("a sustained run measures one model; models can't alternate in it")
        if any(workload.scenario is Scenario.SERVER for workload in self.workloads):
            raise ConfigError("a server's queries can't wait for another model: servers can't alternate")

    def _check_search(self) -> None:
        if self.plan.sustained_min is None and self.plan.runs < _LEAST_SEARCH_RUNS:
            raise ConfigError(
                f"a rate is confirmed by {_LEAST_SEARCH_RUNS} runs or more, because runs differ; got {self.plan.runs}",
                hint="raise `runs`",
            )
        needed, queries = MINIMUM_COUNTS[0.99], self.plan.runs * self.plan.min_count
        if queries < needed:
            raise ConfigError(
                f"p99 needs {needed} queries, {counted(self.plan.runs, 'run')} of {self.plan.min_count} have {queries}",
                hint="raise `min_count` or `runs`",
            )
        if self.until_decided:
            raise ConfigError("a session searches a rate or measures until it is decided, not both")

    @property
    def searches_rate(self) -> bool:
        """Whether a server's rate is searched."""
        return any(workload.latency_bound_ms is not None for workload in self.workloads)

    @property
    def looks(self) -> tuple[int, ...]:
        """After how many runs of each cell the comparisons are made."""
        if self.planned_looks:
            return self.planned_looks
        fitting = tuple(runs for runs in LOOKS if self.most_runs is None or runs <= self.most_runs)
        return fitting if self.until_decided and fitting else (self.plan.runs,)


def request_to_json(request: Request) -> dict[str, Any]:
    """Return plain values, texts included: what is needed to resume an interrupted session.

    A device profile is kept by its name.
    """
    plain: dict[str, Any] = to_plain(request)
    plain["device"]["profile"] = request.device.profile.name
    if request.journal == "memory":
        del plain["journal"]  # an edgebench that does not know the key can resume the session
    return plain


def request_from_json(values: Mapping[str, Any]) -> Request:
    """Return the request that `request_to_json` described; what an earlier version did not write takes its default.

    Raises:
        StoreError: the values are not valid.
    """
    where = "the stored session can't be read"
    device = values.get("device")
    if isinstance(device, Mapping) and isinstance(name := device.get("profile"), str):
        try:
            values = {**values, "device": {**device, "profile": load_profile(name)}}
        except UnknownName as error:
            raise StoreError(f"{where}: {error}") from error
    for key in ("models", "formats", "workloads", "plan", "seed"):
        if key not in values:  # a document that was cut short must not resume as another session
            raise StoreError(f"{where}: it has no {key!r}")
    return from_plain(Request, values, where=where, error=StoreError)
