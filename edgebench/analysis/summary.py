"""From runs to a Measurement: what the valid ones amount to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edgebench.analysis.conditions import cpu_temperatures
from edgebench.analysis.energy import energy_of, mean_energy
from edgebench.analysis.passes import batch_contents, complete_passes, duration_ns
from edgebench.analysis.quiet import disturbers
from edgebench.analysis.timeline import inputs_done, sustained_of
from edgebench.figures import Energy, LatencySummary, MlperfLatency, PaddingCost, Score, Sustained
from edgebench.measurement import Measurement, Subject
from edgebench.reason import Reason, ReasonCode
from edgebench.run import Memory, Run, RunFigures
from edgebench.stats import (
    early_stopping_estimate,
    geometric_mean_latency,
    quantiles,
    t_interval,
    typical,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MS = 1e6  # nanoseconds in a millisecond
_WINDOW_NS = 1e9
_MOST_WINDOWS = 100_000  # more than a day of them is a board's wrong clock
#: Quantiles by their names in a summary.
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p97": 0.97, "p99": 0.99, "p999": 0.999}
_WITH_INTERVAL = ("geomean", "p50", "p90", "p95", "p99")
#: Inputs of a query and the percentile that MLPerf Inference reports, by its scenarios whose result is a latency.
_MLPERF = {"single-stream": (1, 90), "multi-stream": (8, 99)}


def summarise(subject: Subject, runs: Sequence[Run], *, scores: Sequence[Score] = ()) -> Measurement:
    """Return the Measurement that these runs amount to; only valid ones enter the figures.

    Percentiles and the geometric mean over inputs are the typical run's, and so are their intervals.
    Load and first inference: the median over runs. Memory: the worst run. Throughput and tokens/s: the mean over runs.
    Whatever weighs inputs is over complete passes (see `complete_passes`).
    """
    valid = [run for run in runs if run.valid]
    timed = [complete_passes(run) for run in valid if len(run.latencies_ns)]
    durations_s = [duration_ns(run) / 1e9 for run in timed]
    energy_j, energy_absent = _energy(valid)
    return Measurement(
        subject=subject,
        runs=tuple(runs),
        latency_ms=_summarise_latencies(timed),
        run_latency_ms=tuple(summarise_run(run) for run in runs),
        throughput_per_s=_mean(run.inferences / time for run, time in zip(timed, durations_s, strict=True)),
        throughput_windows=tuple(rate for run in timed for rate in _window_rates(run)),
        tokens_per_s=_mean(run.tokens / time for run, time in zip(timed, durations_s, strict=True)),
        load_ms=_median_ms(run.load_ns for run in valid),
        first_ms=_median_ms(run.first_ns for run in valid),
        memory_bytes=_worst_memory(valid),
        temperature_c=_temperature_c(valid),
        reasons=_reasons(subject, runs),
        scores=tuple(scores),
        padding=_padding(runs),  # of the inputs, whether the runs count or not
        sustained=_sustained(subject, runs),
        energy_j=energy_j,
        energy_absent=energy_absent,
        mlperf=_mlperf(subject, timed),
    )


def _mlperf(subject: Subject, timed: Sequence[Run]) -> MlperfLatency | None:
    """Return MLPerf's figure where this is its scenario: its number of inputs a query, one model, a run that ends."""
    import numpy as np

    workload = subject.workload
    batch, percentile = _MLPERF.get(str(workload.get("scenario")), (0, 0))
    if not timed or workload.get("batch") != batch or "sustained_min" in workload or subject.alternates_with:
        return None
    pooled = np.concatenate([run.latencies_ns for run in timed])
    found = early_stopping_estimate(pooled, quantile=percentile / 100)
    if found is None:
        return None
    return MlperfLatency(percentile=percentile, at_most_ms=found[0] / _MS, queries=len(pooled), over=found[1])


def _sustained(subject: Subject, runs: Sequence[Run]) -> Sustained | None:
    planned_min = subject.workload.get("sustained_min")
    return sustained_of(runs, planned_min) if planned_min is not None else None


def summarise_run(run: Run) -> LatencySummary:
    """Return the figures of one run's complete passes, valid or not; what they lack is None."""
    return _summarise_latencies([complete_passes(run)] if len(run.latencies_ns) else [])


def figures_of(run: Run) -> RunFigures:
    """Return what comparisons need of a run: stored with it, so that comparing many runs reads no trace."""
    timed = complete_passes(run)
    if not len(timed.latencies_ns):
        return RunFigures()
    p50, p95, p99 = quantiles(timed.latencies_ns, (0.5, 0.95, 0.99))
    # Where something is excluded, the power was also that of other processes; of models that alternate, of all of them.
    energy = energy_of(timed) if not run.excluded_spans and not run.alternates else None
    return RunFigures(
        p50_ns=p50,
        p95_ns=p95,
        p99_ns=p99,
        geomean_ns=geometric_mean_latency(timed.latencies_ns, timed.trace.items),
        throughput_per_s=timed.inferences / duration_ns(timed) * 1e9,
        energy_j=energy.per_inference if isinstance(energy, Energy) else None,
        rails=energy.rails if isinstance(energy, Energy) else None,
    )


def _summarise_latencies(timed: Sequence[Run]) -> LatencySummary:
    """Return the figures of several runs' latencies, none of them empty."""
    import numpy as np

    if not timed:
        return LatencySummary()
    pooled = np.concatenate([run.latencies_ns for run in timed])
    per_run = _figures_per_run(timed)
    of_all = zip(_QUANTILES, quantiles(pooled, list(_QUANTILES.values())), strict=True)
    found: dict[str, Any] = {name: value / _MS for name, value in of_all if value is not None}
    found |= {name: typical(values) for name, values in per_run.items()}
    found |= {f"{name}_ci": t_interval(per_run[name]) for name in _WITH_INTERVAL if name in per_run}
    return LatencySummary(
        mean=float(pooled.mean()) / _MS,
        min=float(pooled.min()) / _MS,
        max=float(pooled.max()) / _MS,
        **found,
    )


def _figures_per_run(timed: Sequence[Run]) -> dict[str, NDArray[np.float64]]:
    """Return the figures that every run has, milliseconds, shape (runs,) each.

    A quantile is missing where a run alone has too few inferences for it: a quantile from too few is biased, and its
    interval with it (simulated with heavy tails: p99 from 111 inferences a run covers 77 %, from 662 and more 91 to
    95 %). So is what is 0 in a run, because the clock is too coarse for the model: it has no logarithm and no meaning.
    """
    import numpy as np

    rows = [quantiles(run.latencies_ns, list(_QUANTILES.values())) for run in timed]
    columns = dict(zip(_QUANTILES, zip(*rows, strict=True), strict=True))
    columns["geomean"] = tuple(geometric_mean_latency(run.latencies_ns, run.trace.items) for run in timed)
    return {
        name: np.asarray(values, np.float64) / _MS
        for name, values in columns.items()
        if all(value is not None and value > 0 for value in values)
    }


def _padding(runs: Sequence[Run]) -> PaddingCost | None:
    """Return what padding costs a typical inference of a pass, the same in all runs; None where none records it."""
    for run in runs:
        sizes, tokens = batch_contents(run)
        padded = run.facts.batch_padded_tokens
        if sizes and padded is not None and len(padded) == len(sizes) and sum(tokens):
            return PaddingCost(
                buckets=run.facts.lengths or (),
                tokens=sum(tokens) / len(sizes),
                padded_tokens=sum(padded) / len(sizes),
                rows=run.facts.rows or 0,
            )
    return None


def _energy(valid: Sequence[Run]) -> tuple[Energy | None, str | None]:
    """Return the mean over the valid runs, or why there is none: it is of all of them, or of none.

    Runs with excluded inferences are left out: the power was also that of other processes.
    """
    timed = [run for run in valid if len(run.latencies_ns)]
    found = [energy_of(complete_passes(run)) for run in timed if not run.excluded_spans]
    reasons = [each for each in found if isinstance(each, str)]
    energies = [each for each in found if isinstance(each, Energy)]
    if not found or reasons:
        disturbed = "other processes worked in every run" if timed else "no run is valid"
        return None, reasons[0] if reasons else disturbed
    if any(run.alternates for run in timed):
        return None, "other models had their inferences in between"
    mean = mean_energy(energies)
    return mean, None if mean is not None else "the power sensors changed from run to run"


def _window_rates(run: Run) -> list[float]:
    """Return inputs per second in equal windows of about a second; an inference across a border counts in parts."""
    import numpy as np

    duration = duration_ns(run)
    windows = max(1, min(_MOST_WINDOWS, round(duration / _WINDOW_NS)))
    borders = np.linspace(0, duration, windows + 1) + float(run.trace.starts_ns[0])
    rates: list[float] = (np.diff(inputs_done(run, borders)) * windows / (duration / 1e9)).tolist()
    return rates


def _worst_memory(runs: Sequence[Run]) -> Memory:
    def worst(name: str) -> int | None:
        return max((value for run in runs if (value := getattr(run.memory, name)) is not None), default=None)

    return Memory(**{name: worst(name) for name in ("peak_rss", "peak_pss", "before_load", "after_load")})


def _temperature_c(runs: Sequence[Run]) -> dict[str, float] | None:
    """Return the hottest CPU zone at the first run's start, and at its hottest in any run; None without a sensor."""
    per_run = []
    for run in runs:
        found = [series.values for series in cpu_temperatures(run.trace.readings).values() if len(series.values)]
        if found:
            per_run.append((max(int(values[0]) for values in found), max(int(values.max()) for values in found)))
    if not per_run:
        return None
    return {"start": per_run[0][0] / 1000, "max": max(hottest for _, hottest in per_run) / 1000}


def _reasons(subject: Subject, runs: Sequence[Run]) -> tuple[Reason, ...]:
    """Return why a measurement can't be trusted: fewer valid runs than planned, and why those that failed did; or that
    the valid ones were made under conditions that differ."""
    valid = sum(run.valid for run in runs)
    if valid >= max(1, subject.planned_runs):
        return tuple(_differences([run for run in runs if run.valid]))
    why = Counter(reason for run in runs for reason in run.reasons)
    return (
        Reason(ReasonCode.TOO_FEW_RUNS, f"{valid} of {subject.planned_runs} planned runs are valid"),
        *(Reason(reason.code, _with_count(reason, count, runs)) for reason, count in why.items()),
    )


def _with_count(reason: Reason, count: int, runs: Sequence[Run]) -> str:
    who = disturbers(runs) if reason.code is ReasonCode.OTHERS_WORKED else ""
    return f"{reason.text} ({count} {'run' if count == 1 else 'runs'}{'; most: ' + who if who else ''})"


def _differences(valid: Sequence[Run]) -> Iterator[Reason]:
    """Yield what differs between runs and decides how fast they are. Each run is held to its own allowed clock, so a
    board that allows less from some run on shows in nothing else."""
    boards = [run.facts.board for run in valid if run.facts.board is not None]
    for what, values in (
        ("governor", {board.governor for board in boards}),
        ("power mode", {board.power_mode for board in boards}),
        (
            "allowed clock",
            {max(board.clock_allowed_khz.values(), default=None) for board in boards if board.clock_allowed_khz},
        ),
    ):
        if len(values - {None}) > 1:
            yield Reason(ReasonCode.RUNS_DIFFER, f"the {what} differed between runs")


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def _median_ms(values: Iterable[int | None]) -> float | None:
    from statistics import median

    found = [value for value in values if value is not None]
    return median(found) / _MS if found else None
