"""Budgets: what a change may cost, from `[[gate.budget]]` of edgebench.toml.

[[gate.budget]]
metric = "latency"        # latency, p95, peak_pss, energy, size: margin or ceiling; score: loss_points
margin = 0.03             # at most 3 % above the baseline

[[gate.budget]]
metric = "peak_pss"
ceiling_bytes = 400_000_000
device = "pi4"            # of this board only; `workload = "sw"`: of this workload only

[[gate.budget]]
metric = "score"
loss_points = 0.5         # in each task and language; `task = "xnli"`: of this task only
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgebench.device import config_paths, read_toml
from edgebench.errors import ConfigError
from edgebench.gating.metrics import KINDS, Metric
from edgebench.serialisation import from_plain, refuse_unknown_keys
from edgebench.stats import MARGIN

_CEILINGS = ("ceiling_ms", "ceiling_bytes", "ceiling_j")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One limit. Exactly one of `margin`, a ceiling and `loss_points` is set.

    Args:
        metric: `latency` (the figure of verdicts), `p95`, `peak_pss`, `energy`, `size` or `score`.
        margin: relative to the baseline, 0.03: at most 3 % more.
        ceiling_ms: absolute, of `latency` and `p95`.
        ceiling_bytes: absolute, of `peak_pss` and `size`.
        ceiling_j: absolute, of `energy` for one input.
        loss_points: of `score`, 0..100 points.
        workload: label of the workload that it is for, e.g. `sw` or `128 tok`; None: all.
        device: name of the board that it is for; None: all.
        task: of `score`; None: all.

    Raises:
        ConfigError: no limit or several, or one that the metric does not have.
    """

    metric: Metric
    margin: float | None = None
    ceiling_ms: float | None = None
    ceiling_bytes: float | None = None
    ceiling_j: float | None = None
    loss_points: float | None = None
    workload: str | None = None
    device: str | None = None
    task: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", Metric(self.metric))
        limits = ("margin", *_CEILINGS, "loss_points")
        fitting = ("loss_points",) if self.metric is Metric.SCORE else ("margin", KINDS[self.metric].ceiling)
        known = " or ".join(str(name) for name in fitting)
        limited = [name for name in limits if getattr(self, name) is not None]
        if len(limited) != 1:
            raise ConfigError(f"a budget of {self.metric} needs one limit, {known}; it has {len(limited)}")
        if limited[0] not in fitting:
            raise ConfigError(f"a budget of {self.metric} takes {known}, not {limited[0]}")
        value = getattr(self, limited[0])
        if not 0 < value < (1 if limited[0] == "margin" else float("inf")):
            within = "between 0 and 1 (0.03: 3 %)" if limited[0] == "margin" else "above 0"
            raise ConfigError(f"{limited[0]} of {self.metric} must be {within}, got {value:g}")
        if self.task is not None and self.metric is not Metric.SCORE:
            raise ConfigError(f"a budget of {self.metric} takes no task; tasks are of score")

    @property
    def ceiling(self) -> float | None:
        """The absolute limit in the metric's unit; None for a relative one."""
        name = KINDS[self.metric].ceiling
        value: float | None = getattr(self, name) if name is not None else None
        return value


DEFAULT_BUDGETS = (Budget(metric=Metric.LATENCY, margin=MARGIN),)
NO_BUDGET = f"no budget is set: the gate is a latency of at most {100 * MARGIN:g} % above the baseline's"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The table [gate]."""

    budget: tuple[Budget, ...] = ()


def read_budgets(folder: Path | None = None) -> tuple[Budget, ...]:
    """Return the budgets of the project's edgebench.toml, else of the user's; none where neither has a table `[gate]`.

    Args:
        folder: the project's folder; default: the working folder.

    Raises:
        ConfigError: a file is not valid, or has a table `[gate]` without a budget.
    """
    for path in config_paths(folder=folder):
        if not path.is_file():
            continue
        values = read_toml(path)
        refuse_unknown_keys(values, {"device", "gate"}, where=str(path))
        if "gate" not in values:
            continue
        table = from_plain(_Table, values["gate"], where=f"{path}: [gate]")
        if not table.budget:
            raise ConfigError(f"{path}: [gate] has no budget; add a [[gate.budget]], or take the table out")
        return table.budget
    return ()


def fitting_budgets(
    budgets: Sequence[Budget], *, device: str, labels: Sequence[str], margin: float | None = None
) -> list[Budget]:
    """Return the budgets for a board and its workloads.

    Args:
        margin: of latency, instead of those that the budgets have; None: as they say.

    Raises:
        ConfigError: there are budgets, but all are for other boards or workloads.
    """
    fitting = [
        each for each in budgets if each.device in (None, device) and (each.workload is None or each.workload in labels)
    ]
    if not fitting:
        raise ConfigError(
            f"no budget is for {', '.join(labels)} on {device}; add a [[gate.budget]] without device and workload"
        )
    if margin is None:
        return fitting
    others = [each for each in fitting if not (each.metric is Metric.LATENCY and each.margin is not None)]
    return [replace(DEFAULT_BUDGETS[0], margin=margin), *others]
