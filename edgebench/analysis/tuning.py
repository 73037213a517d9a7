"""Which of a tuned session's settings is the fastest valid one, how sure that is, and what it costs in energy.

Not merely the smallest mean: every other setting is compared with the fastest, all judged together, and settings that
are equivalent within the margin are a tie, which fewer threads win, then less energy, then the board as it was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgebench.analysis.comparability import ALLOWABLE
from edgebench.analysis.comparison import Comparison, compare_pairs
from edgebench.analysis.undecided import NOT_DECIDED
from edgebench.errors import TooFewRuns
from edgebench.measurement import Measurement
from edgebench.stats import MARGIN
from edgebench.text import counted, printable, significant


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What a tuned session found. `best` None: nothing can be said, and `why` says why not.

    `found`: the usual threads on the board as it was found. `equivalent` to the fastest within the margin, which is
    not always the best; `undecided`: what these runs can't distinguish from the fastest. `vs_baseline`: best / found,
    of `again`, the board as found and the best setting measured again: the runs that chose the best would promise too
    much. `again` None: there are no such runs (a session of an earlier edgebench), and the runs that chose it are used.
    """

    parameters: tuple[str, ...]
    found: Measurement
    best: Measurement | None = None
    equivalent: tuple[Measurement, ...] = ()
    undecided: tuple[Measurement, ...] = ()
    not_valid: tuple[Measurement, ...] = ()
    vs_baseline: Comparison | None = None
    again: tuple[Measurement, Measurement] | None = None
    margin: float = MARGIN
    why: str = ""

    def __repr__(self) -> str:
        return printable(f"<Tuned: {self.sentence}>")

    @property
    def sentence(self) -> str:
        """The answer in one sentence, to be pasted."""
        subject = self.found.subject
        what = f"{subject.variant.name} {subject.artifact.format} on {subject.device.name}, {subject.label}"
        if self.best is None:
            return printable(f"no setting of {what} is the fastest valid one: {self.why}", 4000)
        hedge = ", as far as these runs show," if self.undecided else ""
        parts = [
            f"the fastest valid setting of {what} is{hedge} {setting_text(self.best)}: "
            f"{_p50_text(self._last(self.best))}, {_energy_text(self._last(self.best))}",
            self._against_found(),
        ]
        if self.equivalent:
            parts.append(f"equivalent within ±{100 * self.margin:g} %: {_listed(self.equivalent)}")
        if self.undecided:
            parts.append(f"not distinguished from the fastest: {_listed(self.undecided)}")
        if self.not_valid:
            parts.append(f"not valid: {_listed(self.not_valid)}")
        return printable("; ".join(parts), 4000)

    def _against_found(self) -> str:
        if self.best is self.found:
            return "which is the setting before tuning"
        if self.vs_baseline is None and self.again is not None:
            return f"what that gains is not known: {self.why}"
        if self.vs_baseline is None:
            return f"the setting before tuning ({setting_text(self.found)}) is not valid"
        source = "" if self.again is not None else " (from the runs that chose it, so probably too good)"
        latency = self.vs_baseline.latency
        ratio = f"{latency.ratio:.3f}" if latency.ratio is not None else ""
        if latency.ci is not None:
            ratio += f" ({100 * latency.level:.4g} % {latency.ci[0]:.3f} to {latency.ci[1]:.3f})"
        joules = f", J/inference ratio {self.energy_ratio:.3f}" if self.energy_ratio is not None else ""
        return f"latency ratio to the setting before tuning ({setting_text(self.found)}) {ratio}{joules}{source}"

    def _last(self, each: Measurement) -> Measurement:
        """Return a setting as it was measured last: that had no part in the choice."""
        return next((last for last in self.again or () if last.id == again_id(each.id)), each)

    @property
    def energy_ratio(self) -> float | None:
        """Joules of an inference, best / found; None where either was not measured."""
        if self.best is None:
            return None
        best, found = (_joules(self._last(each)) for each in (self.best, self.found))
        return best / found if best is not None and found else None

    def to_json(self) -> dict[str, Any]:
        """Return the `tune` object of the JSON."""
        best, energy = self.best, self.best.energy_j if self.best is not None else None
        return {
            "parameters": list(self.parameters),
            "best": None
            if best is None
            else _setting(best)
            | {
                "equivalent": [each.id for each in self.equivalent],
                "undecided": [each.id for each in self.undecided],
                "not_valid": [each.id for each in self.not_valid],
            },
            "found": _setting(self.found),
            "latency_ratio": self.vs_baseline.latency.to_json() if self.vs_baseline is not None else None,
            "measured_again": [each.id for each in self.again] if self.again is not None else None,
            "cost": {
                "j_per_inference": _joules(best),
                "j_per_inference_net": energy.per_inference_net if energy is not None else None,
                "mean_w": energy.mean_w if energy is not None else None,
                "covers": energy.covers if energy is not None else None,
                "absent": best.energy_absent if best is not None else None,
                "energy_ratio": self.energy_ratio,
            },
            "sentence": self.sentence,
        }


def again_id(id: str) -> str:
    """Return the id under which a setting is measured again."""
    return f"{id}.again"


def tuned(measurements: Sequence[Measurement], *, margin: float = MARGIN) -> Tuned | None:
    """Return what a session's measurements say of its settings; None where nothing was tuned."""
    tuning = measurements[0].subject.device.tune if measurements else None
    if tuning is None:
        return None
    settings = [each for each in measurements if not _is_again(each)]
    parameters, found = tuning.parameters, settings[0]
    candidates = [each for each in settings if each.valid and each.latency_ms.p50 is not None]
    not_valid = tuple(each for each in settings if each not in candidates)
    if not candidates:
        return Tuned(parameters=parameters, found=found, not_valid=not_valid, why="none is valid")
    fastest = min(candidates, key=_typical_ms)
    others = [each for each in candidates if each is not fastest]
    try:
        compared = compare_pairs([(fastest, each) for each in others], margin=margin, allow=ALLOWABLE) if others else []
    except TooFewRuns as error:
        return Tuned(parameters=parameters, found=found, not_valid=not_valid, why=str(error))
    verdicts = {each.candidate.id: each.outcome for each in compared}
    ties = [each for each in others if verdicts[each.id] == "equivalent"]
    best = min([fastest, *ties], key=_rank)
    again = _measured_again(measurements, found, best)
    vs_baseline, why = None, ""
    if best is not found and found in candidates:
        vs_baseline, why = _gain(*(again or (found, best)), margin=margin)
    return Tuned(
        parameters=parameters,
        found=found,
        best=best,
        equivalent=tuple(each for each in (fastest, *ties) if each is not best),
        undecided=tuple(each for each in others if verdicts[each.id] in ("inconclusive", NOT_DECIDED)),
        not_valid=not_valid,
        vs_baseline=vs_baseline,
        again=again,
        margin=margin,
        why=why,
    )


def _is_again(each: Measurement) -> bool:
    tuning = each.subject.device.tune
    return tuning is not None and tuning.measured_again


def _measured_again(
    measurements: Sequence[Measurement], found: Measurement, best: Measurement
) -> tuple[Measurement, Measurement] | None:
    """Return the board as found and the best setting as they were measured again; None where they were not."""
    by_id = {each.id: each for each in measurements if _is_again(each)}
    baseline, candidate = by_id.get(again_id(found.id)), by_id.get(again_id(best.id))
    return (baseline, candidate) if baseline is not None and candidate is not None else None


def _gain(found: Measurement, best: Measurement, *, margin: float) -> tuple[Comparison | None, str]:
    """Return the comparison of the best setting with the board as found, or why there is none."""
    if not (found.valid and best.valid):
        return None, "measured again, it is not valid"
    try:
        (comparison,) = compare_pairs([(found, best)], margin=margin, allow=ALLOWABLE)
    except TooFewRuns as error:
        return None, str(error)
    return comparison, ""


def _rank(each: Measurement) -> tuple[int, float, bool, float]:
    """Return what decides a tie, the smaller the better; a joule that was not measured says nothing for its setting."""
    joules, tuning = _joules(each), each.subject.device.tune
    return (
        each.subject.workload.get("threads") or 0,
        joules if joules is not None else float("inf"),
        tuning is None or not tuning.power_as_found,
        _typical_ms(each),
    )


def _typical_ms(each: Measurement) -> float:
    return each.latency_ms.geomean or each.latency_ms.p50 or 0.0


def setting_text(each: Measurement) -> str:
    """Return a setting in a few words: `4 threads on cores 4-7, governor performance`."""
    workload, device = each.subject.workload, each.subject.device
    threads, cores = workload.get("threads"), workload.get("affinity")
    words = counted(threads, "thread") if threads else "the runtime's own threads"
    if cores:
        words += f" on cores {cores_text(cores)}"
    power = (("governor", device.governor), ("power mode", device.power_mode))
    return ", ".join([words, *(f"{name} {value}" for name, value in power if value is not None)])


def cores_text(cores: Sequence[int]) -> str:
    """Return cores as `taskset` takes them: `0,4-7`."""
    spans: list[list[int]] = []
    for core in sorted(cores):
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)


def _setting(each: Measurement) -> dict[str, Any]:
    workload, device, latency = each.subject.workload, each.subject.device, each.latency_ms
    return {
        "measurement": each.id,
        "threads": workload.get("threads"),
        "affinity": workload.get("affinity"),
        "governor": device.governor,
        "power_mode": device.power_mode,
        "p50_ms": latency.p50,
        "p50_ci": list(latency.p50_ci) if latency.p50_ci is not None else None,
        "j_per_inference": _joules(each),
    }


def _p50_text(each: Measurement) -> str:
    p50, ci = each.latency_ms.p50, each.latency_ms.p50_ci
    if p50 is None:
        return "no p50"
    interval = f" (95 % {significant(ci[0])} to {significant(ci[1])} by runs)" if ci else ""
    return f"p50 {significant(p50)} ms{interval}"


def _energy_text(each: Measurement) -> str:
    joules = _joules(each)
    return f"{significant(joules)} J/inference" if joules is not None else f"no energy known ({each.energy_absent})"


def _joules(each: Measurement | None) -> float | None:
    return each.energy_j.per_inference if each is not None and each.energy_j is not None else None


def _listed(measurements: Sequence[Measurement]) -> str:
    return " / ".join(setting_text(each) for each in measurements)
