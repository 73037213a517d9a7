"""What edgebench itself costs on a board: what it adds to a latency, and what reading the sensors does to inferences.

What it adds is what it reads of an inference that takes no time (the agent's `null` runtime): the call and the clock.
The sensors are read by another process, which takes a little of some core, whatever the model: measured with the
`busy` runtime, whose inferences work on all cores and wait for the slowest. The figure of such a run is its mean
latency, for a median does not see readings that hit one inference in twenty; and their share of the time is that of
any model.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgebench.board.agent import RemoteAgent
from edgebench.board.archive import agent_archive
from edgebench.board.journal import failure
from edgebench.errors import AgentError, EdgebenchError
from edgebench.events import LogMessage, OnEvent
from edgebench.measure.collect import RunCollector
from edgebench.measure.run_order import order_of_runs
from edgebench.measure.runs import LEASE_NS
from edgebench.request import Request
from edgebench.run import Overhead, Run
from edgebench.stats.intervals import t_interval
from edgebench.stats.ratio import estimate_ratio
from edgebench.stats.verdicts import LEVEL
from edgebench.store.store import Store
from edgebench_agent import protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Of the null runtime, and of the busy one with the sensors on and off: what can be done in some seconds. Two of each
#: would leave intervals twice as wide, four no narrower than by a seventh.
_RUNS = 3
_NULL_COUNT = 10_000
_BUSY_NS = 300_000_000
_LONGEST_NS = 2_000_000_000
_US = 1e3  # nanoseconds in a microsecond
_INPUT = bytes(4)  # one token: a run has an input, even where nothing looks at it


def cost_of_session(
    agent: RemoteAgent, request: Request, session: str, store: Store, on_event: OnEvent
) -> Overhead | None:
    """Return what edgebench costs on a session's board: as its stored runs say, if it goes on, or measured now."""
    kept = next((each.overhead_us for each in store.measurements(session=session) if each.overhead_us), None)
    if kept is not None or not request.own_cost:
        return kept
    on_event(LogMessage(f"measuring what edgebench itself costs on {agent.name}"))
    return own_cost(agent, tell=lambda text: on_event(LogMessage(f"{agent.name}: {text}")))


def own_cost(agent: RemoteAgent, *, tell: Callable[[str], None]) -> Overhead | None:
    """Measure what edgebench costs on a board, in nine short runs; `agent` is installed there.

    What can't be measured is None, and `tell` is told why: nobody's session fails for it.
    """
    try:
        agent.push_bytes(_INPUT)
        overhead = overhead_of([_measure(agent, _null_spec()) for _ in range(_RUNS)])
    except EdgebenchError as error:
        tell(f"own cost not measured: {_without_name(agent, error)}")
        return None
    try:
        runs: tuple[list[Run], list[Run]] = ([], [])  # off, on
        for sensors in order_of_runs(2, _RUNS, seed=secrets.randbelow(1 << 32)):
            runs[sensors].append(_measure(agent, _busy_spec(sensors=bool(sensors))))
        return with_sensors(overhead, *runs)
    except EdgebenchError as error:
        tell(f"cost of the sensors not measured: {_without_name(agent, error)}")
        return overhead


def _without_name(agent: RemoteAgent, error: EdgebenchError) -> str:
    return str(error).removeprefix(f"{agent.name}: ")


def overhead_of(null: Sequence[Run]) -> Overhead:
    """Return what runs of inferences that take no time tell.

    A run's figure is the mean of the middle half: finer than a tick of the board's clock, and without the moments at
    which the board did something else. Typical is the geometric mean over runs, as in `edgebench.stats.intervals`.

    Raises:
        AgentError: by the board's clock, half of them and more took no time at all.
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
    """Return the same with the ratio of the mean time of inferences with the sensors read, to that without.

    Raises:
        TooFewRuns: fewer than two runs of either.
    """
    estimate = estimate_ratio(_means(off), _means(on))  # so few runs can't tell a drift, interleaved as they are
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
    """Return a run of two inferences at least.

    Raises:
        DeviceError: the run failed, or what came back is none; it is ended on the board.
    """
    collector = RunCollector(spec, started_at="", agent_sha256=agent_archive()[1])
    with agent.running(spec) as entries:
        for entry in entries:
            collector.take(entry)
    if collector.failed is not None:
        raise failure(agent.name, collector.failed)
    run = collector.run()
    if collector.count < 2 or not run.latencies_ns.any():
        raise AgentError(f"{agent.name}: the {spec.runtime} runtime told of {collector.count} inferences and no time")
    return run
