"""Request: what a session is asked to measure, and how it is kept for a session that is resumed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from edgebench.artifact import Format, parse_format
from edgebench.device import Device, load_profile
from edgebench.errors import ConfigError, StoreError, UnknownName
from edgebench.stats.percentiles import MINIMUM_COUNTS
from edgebench.stats.verdicts import LOOKS, MARGIN
from edgebench.workload import Padding, RunPlan, Scenario, Workload

DEFAULT_MODEL = "reference:minilm"
WAIT_S = 600.0
#: What `tune` may name: threads and the cores they keep to; the clock governor and the power mode.
PARAMETERS = ("threads", "power")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for: each combination of model, format and workload is one cell of the table.

    `formats` empty: the device profile's own. A model that is a file is profiled as it is, in no other format.
    """

    device: Device
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    formats: tuple[Format, ...] = ()
    workloads: tuple[Workload, ...] = field(default_factory=lambda: (Workload(),))
    operators: bool = False  # profile each cell's operators, too, in an extra run
    own_cost: bool = True  # first measure what edgebench itself costs on the board
    runtime: str | None = None  # of .tflite files: `ai-edge-litert` or `tflite-runtime`; None: whichever is there
    plan: RunPlan = field(default_factory=RunPlan)
    until_decided: bool = False  # more runs, at planned looks, until every comparison with the first row is decided
    wait_s: float = WAIT_S  # for a board that somebody else holds
    margin: float = MARGIN  # that is decided about
    tune: tuple[str, ...] = ()  # of PARAMETERS: what to find the fastest valid setting of
    budget_s: float | None = None  # runs and counts are planned so that the session takes no longer
    most_runs: int | None = None  # looks at more runs than these do not fit into the budget
    cool_below_c: float | None = None  # before each run; None: as the device's profile says
    cool_wait_s: float = 600.0  # for which at most
    seed: int | None = None  # of the order of runs; None: drawn when the session begins, and kept with it
    cold: bool = True  # also start each row once with its files out of the page cache
    alternate: bool = False  # measure models in one process, one inference each in turn

    def __post_init__(self) -> None:
        self._check_tune()
        if self.alternate:
            self._check_alternate()
        if any(workload.latency_bound_ms is not None for workload in self.workloads):
            self._check_search()
        count, longest_s = self.plan.min_count, self.plan.max_duration_s
        for rate in (workload.queries_per_s for workload in self.workloads):
            if rate is not None and count / rate > longest_s:
                raise ConfigError(
                    f"{count} queries at {rate:g} a second take {count / rate:.0f} s, longer than a run may, "
                    f"{longest_s:g} s; raise --max-duration or --qps, or lower --min-count"
                )

    def _check_tune(self) -> None:
        for name in self.tune:
            if name not in PARAMETERS:
                raise UnknownName("parameter to tune", name, PARAMETERS)
        rows = max(1, len(self.models)) * max(1, len(self.formats)) * len(self.workloads)
        if self.tune and rows > 1:
            raise ConfigError(f"one model in one format under one workload is tuned at a time, not {rows}")
        if "threads" in self.tune and self.workloads[0].threads is not None:
            raise ConfigError("threads are what is tuned: leave their number out")
        if self.tune and self.workloads[0].latency_bound_ms is not None:
            raise ConfigError("a rate is searched, or settings are tuned, not both")

    def _check_alternate(self) -> None:
        if len(self.models) * max(1, len(self.formats)) < 2:
            raise ConfigError(
                "one model in one format has nothing to alternate with; name two different models, or two formats"
            )
        if self.tune:
            raise ConfigError("models alternate, or settings are tuned, not both")
        if self.plan.sustained_min is not None:
            raise ConfigError("a sustained run is of one model, which alternates with none")
        if any(workload.scenario is Scenario.SERVER for workload in self.workloads):
            raise ConfigError("a server's queries don't wait for another model's: servers can't alternate")

    def _check_search(self) -> None:
        needed, queries = MINIMUM_COUNTS[0.99], self.plan.runs * self.plan.min_count
        if queries < needed:
            raise ConfigError(
                f"p99 needs {needed} queries, {self.plan.runs} runs of {self.plan.min_count} have {queries}; "
                f"raise --min-count or --runs"
            )
        if self.budget_s is not None:
            raise ConfigError("how long the search of a rate takes is not known before; leave the budget out")
        if self.until_decided:
            raise ConfigError("a rate is searched, or rows are measured until they are decided, not both")

    @property
    def looks(self) -> tuple[int, ...]:
        """After how many runs of each row the data are looked at."""
        fitting = tuple(runs for runs in LOOKS if self.most_runs is None or runs <= self.most_runs)
        return fitting if self.until_decided and fitting else (self.plan.runs,)


def request_to_json(request: Request) -> dict[str, Any]:
    """Return plain values, texts included: what is needed to go on with an interrupted session."""
    device = {name: value for name, value in asdict(request.device).items() if name != "profile"}
    return {
        "device": device | {"profile": request.device.profile.name},
        "models": list(request.models),
        "formats": [str(format) for format in request.formats],
        "runtime": request.runtime,
        "operators": request.operators,
        "own_cost": request.own_cost,
        "workloads": [asdict(workload) for workload in request.workloads],
        "plan": asdict(request.plan),
        "until_decided": request.until_decided,
        "margin": request.margin,
        "wait_s": request.wait_s,
        "tune": list(request.tune),
        "budget_s": request.budget_s,
        "most_runs": request.most_runs,
        "cool_below_c": request.cool_below_c,
        "cool_wait_s": request.cool_wait_s,
        "seed": request.seed,
        "cold": request.cold,
        "alternate": request.alternate,
    }


def request_from_json(values: dict[str, Any]) -> Request:
    """Return the request that `request_to_json` described.

    Raises:
        StoreError: it is not one.
    """
    try:
        return Request(
            device=Device(**values["device"] | {"profile": load_profile(values["device"]["profile"])}),
            models=tuple(values["models"]),
            formats=tuple(parse_format(format) for format in values["formats"]),
            runtime=values.get("runtime"),
            operators=values.get("operators", False),
            own_cost=values.get("own_cost", True),
            workloads=tuple(
                Workload(
                    **workload
                    | {
                        "scenario": Scenario(workload["scenario"]),
                        "padding": Padding(workload["padding"]),
                        "texts": tuple(workload["texts"]) if workload["texts"] is not None else None,
                        "affinity": tuple(workload["affinity"]) if workload.get("affinity") is not None else None,
                    }
                )
                for workload in values["workloads"]
            ),
            plan=RunPlan(**values["plan"]),
            until_decided=values.get("until_decided", False),
            margin=values.get("margin", MARGIN),
            wait_s=values.get("wait_s", WAIT_S),
            tune=tuple(values.get("tune", ())),
            budget_s=values.get("budget_s"),
            most_runs=values.get("most_runs"),
            cool_below_c=values.get("cool_below_c"),
            cool_wait_s=values.get("cool_wait_s", 600.0),
            seed=values["seed"],
            cold=values.get("cold", True),
            alternate=values.get("alternate", False),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"the stored session can't be read: {error}") from error
