"""Overhead of edgebench itself on a board: what it adds to a latency, and how much sensors slow inferences down.

What it adds to a latency is the latency of an inference that takes no time (the agent's `null` runtime): the call and
the two clock reads. Sensors are read by another process, which takes some time of one core, whatever the model. That is
measured with the `busy` runtime, whose inferences work on all cores and wait for the slowest. The figure of such a run
is its mean latency, because a median does not show readings that hit one inference in twenty.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgebench.board import RemoteAgent
from edgebench.errors import AgentError, EdgebenchError
from edgebench.measure.cells import Cell
from edgebench.measure.collect import collect_run
from edgebench.measure.context import Session
from edgebench.measure.runs import LEASE_NS
from edgebench.measure.scheduler import order_of_runs
from edgebench.run import Overhead, Run
from edgebench.stats import LEVEL, estimate_ratio, t_interval
from edgebench_agent import protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Runs of the null runtime, and of the busy one with sensors on and off. Two of each would make the intervals twice as
#: wide, four only a seventh narrower.
_RUNS = 3
_NULL_COUNT = 10_000
_BUSY_NS = 300_000_000
_LONGEST_NS = 2_000_000_000
_US = 1e3  # nanoseconds in a microsecond
_INPUT = bytes(4)  # one token: a run must have an input, even if no model reads it


def with_overhead(session: Session, cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells with the overhead of edgebench on the board: as stored by a resumed session, else measured."""
    overhead = _overhead(session)
    return [replace(cell, subject=replace(cell.subject, overhead_us=overhead)) for cell in cells]


def _overhead(session: Session) -> Overhead | None:
    stored = session.store.measurements(session=session.id)
    known = next((each.overhead_us for each in stored if each.overhead_us), None)
    if known is not None or not session.request.overhead:
        return known
    agent = session.agent
    session.log(f"measuring the overhead of edgebench itself on {agent.name}")
    return measure_overhead(agent, report=lambda text: session.log(f"{agent.name}: {text}"))


def measure_overhead(agent: RemoteAgent, *, report: Callable[[str], None]) -> Overhead | None:
    """Measure the overhead of edgebench on a board, in nine short runs; `agent` is installed there.

    What can't be measured is None, and `report` is called with the reason: no session fails because of it.
    """
    try:
        agent.push_bytes(_INPUT)
        overhead = overhead_of([_measure(agent, _null_spec()) for _ in range(_RUNS)])
    except EdgebenchError as error:
        report(f"overhead not measured: {_without_name(agent, error)}")
        return None
    try:
        runs: tuple[list[Run], list[Run]] = ([], [])  # sensors off, sensors on
        for sensors in order_of_runs(2, _RUNS, seed=secrets.randbelow(1 << 32)):
            runs[sensors].append(_measure(agent, _busy_spec(sensors=bool(sensors))))
        return with_sensors(overhead, *runs)
    except EdgebenchError as error:
        report(f"overhead of the sensors not measured: {_without_name(agent, error)}")
        return overhead


def _without_name(agent: RemoteAgent, error: EdgebenchError) -> str:
    return str(error).removeprefix(f"{agent.name}: ")


def overhead_of(null: Sequence[Run]) -> Overhead:
    """Return the overhead in microseconds, from runs of the null runtime.

    The figure of a run is the mean of the middle half of its latencies: finer than a tick of the board's clock, and
    free of moments at which the board did something else. Over runs it is the geometric mean, as in
    `edgebench.stats.intervals`.

    Raises:
        AgentError: on the board's clock, half of the inferences or more took no time.
    """
    import numpy as np

    latency_us = np.array([_middle_mean(run.latencies_ns) for run in null]) / _US
    loop_us = np.array([_middle_mean(np.diff(run.trace.starts_ns)) for run in null]) / _US
    if min(*latency_us, *loop_us) <= 0:
        raise AgentError("the board's clock is too coarse to time an inference that does nothing")
    return Overhead(
        per_inference=float(np.exp(np.log(latency_us).mean())),
        per_inference_ci=t_interval(latency_us, level=LEVEL),
        loop_per_inference=float(np.exp(np.log(loop_us).mean())),
        loop_per_inference_ci=t_interval(loop_us, level=LEVEL),
    )


def _middle_mean(values: NDArray[np.int64]) -> float:
    import numpy as np

    quarter = len(values) // 4
    return float(np.sort(values)[quarter : len(values) - quarter].mean())


def with_sensors(overhead: Overhead, off: Sequence[Run], on: Sequence[Run]) -> Overhead:
    """Return the overhead with the ratio of mean latencies with sensors to those without.

    Raises:
        TooFewRuns: fewer than two runs of either.
    """
    estimate = estimate_ratio(_means(off), _means(on))  # too few runs, and interleaved: no drift in the model
    return replace(overhead, sensors_ratio=estimate.ratio, sensors_ratio_ci=estimate.interval(LEVEL))


def _means(runs: Sequence[Run]) -> NDArray[np.float64]:
    import numpy as np

    return np.array([run.latencies_ns.mean() for run in runs])


def _null_spec() -> protocol.RunSpec:
    return _spec("null", min_count=_NULL_COUNT, min_duration_ns=0, sensors=True)


def _busy_spec(*, sensors: bool) -> protocol.RunSpec:
    return _spec("busy", min_count=2, min_duration_ns=_BUSY_NS, sensors=sensors)


def _spec(runtime: str, *, min_count: int, min_duration_ns: int, sensors: bool) -> protocol.RunSpec:
    return protocol.RunSpec(
        run_id=f"own-cost-{secrets.token_hex(8)}",
        mode="measure",
        runtime=runtime,
        files=[],
        inputs_sha256=hashlib.sha256(_INPUT).hexdigest(),
        lengths=[1],
        batch=1,
        pad_token_id=0,
        threads=0,
        providers=[],
        min_count=min_count,
        min_duration_ns=min_duration_ns,
        max_duration_ns=_LONGEST_NS,
        lease_ns=LEASE_NS,
        sensors=sensors,
    )


def _measure(agent: RemoteAgent, spec: protocol.RunSpec) -> Run:
    """Return a run of at least two inferences.

    Raises:
        DeviceError: the run failed, or it has fewer inferences.
    """
    run = collect_run(agent, spec).run()
    count = len(run.latencies_ns)
    if count < 2 or not run.latencies_ns.any():
        raise AgentError(f"{agent.name}: the {spec.runtime} runtime reported {count} inferences and no time")
    return run
