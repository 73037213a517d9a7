"""A board that draws latencies from a seeded model, to test rules and statistics against known true values.

It returns Runs like those of a real board: latencies, readings of clock, temperature and throttle flags, facts.
Quantities that are unknown on a real board (the variation between processes, the times of throttling, the true
speed-up of an artifact) are arguments.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edgebench.artifact import Artifact, ArtifactFile, Format
from edgebench.facts import DeviceFacts, RunFacts
from edgebench.measurement import Subject
from edgebench.run import Memory, Run, Series, Trace
from edgebench.variant import Variant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NS = 1_000_000_000
_MS = 1_000_000
_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
_CLOCK_KHZ, _THROTTLED_KHZ = 1_800_000, 1_000_000
_COOL_MC, _HOT_MC, _LIMIT_MC = 45_000, 72_000, 81_000
_STICKY = 16
_MEDIANS = 20_000
_CAPPED, _IS_THROTTLED = 1 << 1, 1 << 2


#: How many times as long an artifact takes: all inputs, or each input of a pass.
Factor: TypeAlias = "float | Sequence[float]"


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Multiplies latencies by `factor` from `start_s` to `end_s` of the board's clock.

    `others_millicores`: processor time of other processes, for a noisy neighbour; 0: the board throttles.
    """

    start_s: float
    end_s: float
    factor: float
    others_millicores: int = 0


@dataclass(slots=True, kw_only=True)
class SimulatedBoard:
    """The board and its clock, which every run advances.

    The logarithm of a latency is that of `typical_ms` times the artifact's own factor, plus a process's effect (normal,
    sd `between`), plus the drift, plus noise (normal, sd `within`, each inference correlated with the one before by
    `correlation`). A share `tail_share` of inferences takes up to a few times as long (Pareto, shape 2.5).
    `drift`: the final relative slowdown, approached with the time constant `drift_s`. `swing`: sd of a normal effect of
    invisible neighbours, common to all latencies; its autocorrelation at lag t is exp(-t / `swing_s`). `inputs`: how
    long each input of a pass takes, relative to `typical_ms`. `sawtooth`: a relative slowdown that grows in equal steps
    over `sawtooth_runs` processes and starts again, as with a fan.
    """

    seed: int
    typical_ms: float = 20.0
    between: float = 0.01
    within: float = 0.03
    correlation: float = 0.5
    tail_share: float = 0.01
    drift: float = 0.0
    drift_s: float = 60.0
    swing: float = 0.0
    swing_s: float = 5.0
    pause_s: float = 1.0  # between runs: start, load, warm-up
    sensor_hz: float = 2.0
    disturbances: Sequence[Disturbance] = ()
    inputs: Sequence[float] = (1.0,)
    sawtooth: float = 0.0
    sawtooth_runs: int = 3
    now_s: float = 0.0
    _warm: float = field(init=False, default=0.0)  # between cool (0) and hot (1), for `work` and `rest`
    _processes: int = field(init=False, default=0)  # so far, and some that were before
    _random: Any = field(init=False, default=None)
    _swung: float = field(init=False, default=0.0)  # present effect of the neighbours, log scale

    def __post_init__(self) -> None:
        import numpy as np

        self._random = np.random.default_rng(self.seed)
        if self.swing:
            self._swung = self._random.normal(0.0, self.swing)
        if self.sawtooth:
            self._processes = int(self._random.integers(self.sawtooth_runs))

    def work(self, seconds: float) -> None:
        """Advance the clock while the board heats up."""
        self._warm = 1 - (1 - self._warm) * math.exp(-seconds / self.drift_s)
        self.now_s += seconds

    def rest(self, seconds: float) -> None:
        """Advance the clock while the board cools down."""
        self._warm *= math.exp(-seconds / self.drift_s)
        self.now_s += seconds

    def temperatures(self) -> dict[str, int]:
        """Return the temperature of its zone after `work` and `rest`, in the form of `RemoteAgent.temperatures`."""
        return {"temperature_mc/cpu-thermal": round(_COOL_MC + (_HOT_MC - _COOL_MC) * self._warm)}

    def latencies_ns(self, count: int, *, factor: Factor = 1.0) -> NDArray[np.int64]:
        """Return `count` latencies of a new process, shape (count,), without disturbances; advance the clock."""
        found: NDArray[np.int64] = self.alternating_ns(count, factors=[factor])[0]
        return found

    def alternating_ns(self, count: int, *, factors: Sequence[Factor]) -> NDArray[np.int64]:
        """Return `count` latencies of each of several models that alternate in a new process: shape (models, count).

        A factor is how many times as long a model takes, or that of each input of a pass. The n-th inference has input
        n of the pass.
        Each model has a separate process effect, noise and tail. Drift and neighbours depend on the time only.
        """
        import numpy as np

        self.now_s += self.pause_s
        models = len(factors)
        step_s = self.typical_ms / 1000
        shape = (count, models)
        times_s = self.now_s + np.arange(count * models, dtype=np.float64) * step_s
        moments = (self._drift(times_s) + self._swings(count * models)).reshape(shape)
        items = np.arange(count) % len(self.inputs)
        per_input = np.stack([np.broadcast_to(np.asarray(each), len(self.inputs)) for each in factors], axis=1)
        lengths = np.asarray(self.inputs)[items, None] * per_input[items]
        logs = np.log(self.typical_ms * _MS * lengths) + moments + self._sawtooth()
        for model in range(models):
            logs[:, model] += self._random.normal(0.0, self.between) + self._noise(count)
        latencies = np.exp(logs)
        slow = self._random.random(shape) < self.tail_share
        latencies[slow] *= 1 + self._random.pareto(2.5, int(slow.sum()))
        found: NDArray[np.int64] = latencies.T.astype(np.int64)
        self.now_s += float(found.sum()) / _NS
        return found

    def median_ns(self, count: int, *, factor: float = 1.0) -> float:
        """Return the median of `count` latencies of a new process, without disturbances and swing; advance the clock.

        This approximates the median of `latencies_ns` and is a hundred times as fast: the effect of noise is drawn from
        precomputed medians, and the drift is that at the middle of the run.
        """
        import math

        self.now_s += self.pause_s
        typical_s = self.typical_ms / 1000 * factor
        middle_s = self.now_s + count * typical_s / 2
        drift = math.log1p(self.drift * (1 - math.exp(-middle_s / self.drift_s))) + self._sawtooth()
        noise = _noise_of_medians(self.within, self.correlation, self.tail_share, count)
        deviation = self._random.normal(0.0, self.between) + drift + noise[self._random.integers(len(noise))]
        median_s = typical_s * math.exp(deviation)
        self.now_s += count * median_s
        return median_s * _NS

    def run(self, subject: Subject, number: int, *, factor: Factor = 1.0, count: int = 100) -> Run:
        """Return a run of `count` inferences, with disturbances and readings."""
        return self.runs([subject], number, factors=[factor], count=count)[0]

    def runs(self, subjects: Sequence[Subject], number: int, *, factors: Sequence[Factor], count: int) -> list[Run]:
        """Return the runs of a process in which the subjects alternate; like `run` for one subject."""
        import numpy as np

        started_s = self.now_s
        # In the order in which they ran.
        latencies = self.alternating_ns(count, factors=factors).T.ravel()
        began_s = started_s + self.pause_s
        starts = began_s + np.concatenate([[0.0], np.cumsum(latencies[:-1])]) / _NS
        for each in self.disturbances:
            hit = (starts >= each.start_s) & (starts < each.end_s)
            latencies[hit] = (latencies[hit] * each.factor).astype(np.int64)
            starts = began_s + np.concatenate([[0.0], np.cumsum(latencies[:-1])]) / _NS
        self.now_s = float(starts[-1]) + float(latencies[-1]) / _NS
        empty = np.empty(0, np.int64)
        readings = dict(self._readings(began_s, self.now_s))
        facts: dict[str, Any] = {
            "warmup_steady": True,
            "board": {"clock_allowed_khz": {"policy0": _CLOCK_KHZ}, "cores": 4, "usable_cores": 4},
        }
        if len(self.inputs) > 1:
            passes = {
                "batch_sizes": [1] * len(self.inputs),
                "batch_tokens": [round(128 * each) for each in self.inputs],
            }
            facts |= {"batches": len(self.inputs), **passes}
        memory = Memory(peak_rss=300_000_000, peak_pss=280_000_000)
        if len(subjects) > 1:
            facts["alternating"] = {"process": f"{subjects[0].id}-{number:03d}", "models": len(subjects)}
            memory = Memory()
        found = []
        for at, subject in enumerate(subjects):
            own = slice(at, None, len(subjects))
            trace = Trace(
                starts_ns=(starts[own] * _NS).astype(np.int64),
                latencies_ns=latencies[own],
                items=np.arange(count, dtype=np.int64) % len(self.inputs),
                warmup_starts_ns=empty,
                warmup_latencies_ns=empty,
                warmup_items=empty,
                readings=readings,
            )
            found.append(
                Run(
                    id=f"{subject.id}-{number:03d}",
                    started_at=(_EPOCH + timedelta(seconds=started_s)).isoformat(),
                    trace=trace,
                    load_ns=400 * _MS,
                    first_ns=int(latencies[at]),
                    memory=memory,
                    facts=RunFacts.from_json(facts),
                    tokens=128 * count,
                    inferences=count,
                )
            )
        return found

    def _sawtooth(self) -> float:
        """Return the slowdown of a new process, log scale."""
        if not self.sawtooth:
            return 0.0
        at = self._processes % self.sawtooth_runs
        self._processes += 1
        return math.log1p(self.sawtooth * at / (self.sawtooth_runs - 1))

    def _drift(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        return np.asarray(np.log1p(self.drift * (1 - np.exp(-times_s / self.drift_s))))

    def _swings(self, count: int) -> NDArray[np.float64]:
        """Return the neighbours' effect on `count` successive inferences after a pause."""
        import numpy as np
        from scipy.signal import lfilter

        if not self.swing:
            return np.zeros(count)
        fresh = self._random.normal(0.0, self.swing, count)
        kept = np.full(count, math.exp(-self.typical_ms / 1000 / self.swing_s))
        kept[0] = math.exp(-self.pause_s / self.swing_s)
        fresh *= np.sqrt(1 - kept**2)
        fresh[0] += kept[0] * self._swung
        swings: NDArray[np.float64] = lfilter([1.0], [1.0, -kept[-1]], fresh)
        self._swung = float(swings[-1])
        return swings

    def _noise(self, count: int) -> NDArray[np.float64]:
        from scipy.signal import lfilter

        fresh = self._random.normal(0.0, self.within * (1 - self.correlation**2) ** 0.5, count)
        fresh[0] = self._random.normal(0.0, self.within)
        noise: NDArray[np.float64] = lfilter([1.0], [1.0, -self.correlation], fresh)
        return noise

    def _readings(self, began_s: float, ended_s: float) -> Iterator[tuple[str, Series]]:
        import numpy as np

        phase = self._random.random() / self.sensor_hz
        times = np.arange(began_s - 0.5 + phase, ended_s, 1 / self.sensor_hz)
        throttled = [each for each in self.disturbances if not each.others_millicores]
        now = _during(times, throttled)
        before = np.array([any(each.start_s <= time for each in throttled) for time in times], bool)
        flags = _CAPPED | _IS_THROTTLED
        warm = _COOL_MC + (_HOT_MC - _COOL_MC) * (1 - np.exp(-times / self.drift_s))
        others = np.zeros(len(times))
        for each in self.disturbances:
            others[(times >= each.start_s) & (times < each.end_s)] += each.others_millicores
        columns = {
            "frequency_khz/policy0": np.where(now, _THROTTLED_KHZ, _CLOCK_KHZ),
            "temperature_mc/cpu-thermal": np.where(now, _LIMIT_MC, warm),
            "throttled": np.where(now, flags, 0) | np.where(before, flags << _STICKY, 0),
            "others_cpu_millicores": others,
        }
        for name, values in columns.items():
            yield name, Series((times * _NS).astype(np.int64), np.asarray(values, np.int64))


@cache
def _noise_of_medians(within: float, correlation: float, tail_share: float, count: int) -> NDArray[np.float64]:
    """Return logarithms of medians of `count` latencies, relative to the typical latency, without process effects."""
    import numpy as np

    board = SimulatedBoard(seed=0, between=0.0, within=within, correlation=correlation, tail_share=tail_share)
    medians = [np.median(board.latencies_ns(count)) for _ in range(_MEDIANS)]
    return np.asarray(np.log(np.array(medians) / (board.typical_ms * _MS)))


def _during(times: NDArray[np.float64], disturbances: Sequence[Disturbance]) -> NDArray[np.bool_]:
    import numpy as np

    hit = np.zeros(len(times), bool)
    for each in disturbances:
        hit |= (times >= each.start_s) & (times < each.end_s)
    return hit


def simulated_subject(number: int, *, name: str, planned_runs: int, looks: int = 1) -> Subject:
    """Return a subject for runs of a simulated board; all of them have the same session."""
    return Subject(
        id=f"20250101T000000-513a1a-{number:03d}",
        session="20250101T000000-513a1a",
        variant=Variant(name=name, source=name, parameters=118_000_000),
        artifact=Artifact(
            format=Format.ONNX_INT8,
            files=(ArtifactFile(name="model.onnx", sha256=f"{number:064x}", bytes=118_000_000),),
            path=Path("/models") / name,
        ),
        device=DeviceFacts(name="simulated", profile="pi4", runtime="onnxruntime", runtime_version="1.22.0"),
        workload={"scenario": "single-stream", "seq_len": 128, "batch": 1, "threads": 4, "padding": "longest"},
        label="128 tok",
        planned_runs=planned_runs,
        looks=looks,
    )
