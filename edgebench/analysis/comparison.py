"""compare(): two Measurements -> is the candidate faster, slower or the same, and how sure is that?

The Run is the unit: each gives one figure (its median latency, say), and the ratio is estimated from those, with the
board's drift in the model (edgebench.stats.ratio). Two measurements that differ in more than what is asked are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from edgebench.analysis.summary import figures_of
from edgebench.artifact import Format
from edgebench.errors import ConfigError, NotComparable, TooFewRuns, UnknownName
from edgebench.measurement import Measurement, Run, RunFigures
from edgebench.stats.ratio import PAIRS, RatioEstimate, estimate_paired_ratio, estimate_ratio
from edgebench.stats.verdicts import LEVEL, MARGIN, Judgement, Verdict, is_beyond, judge_all, more_runs
from edgebench.text import printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgebench.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A figure of a run that is compared: its name, the words for a ratio below and above 1, and where it is.

    `kind`: what the figure is of, which must be the same on both sides; None: a measurement has none. `paired`: the
    log ratio of two runs that alternated, candidate / baseline; left out: that of their figures.
    """

    name: str
    lower: str
    higher: str
    of: Callable[[Run], float | None]
    kind: Callable[[Measurement], object] = lambda _: ""
    paired: Callable[[Run, Run], float | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """What is said of one quantity. `ci` is at `level`, which is the corrected one where several were compared.

    `significant`: it was shown that the ratio is not 1. `beyond_margin`: the interval lies outside 1 ± margin as a
    whole. `more_runs` of each side would decide if nothing else changed: 0 where it is decided, None past what is
    sensible.
    """

    quantity: str
    ratio: float
    ci: tuple[float, float]
    level: float
    margin: float
    verdict: str
    significant: bool
    beyond_margin: bool
    runs: tuple[int, int]
    more_runs: int | None
    #: In the model: `time + time^2`; `none`, where the two were not measured interleaved; `pairs`, where they
    #: alternated within each run: the ratio is then the typical one of two inferences of one input, side by side.
    drift: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "quantity"} | {
            "ci": list(self.ci),
            "runs": list(self.runs),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two measurements and what may be said of them. A quantity that was not measured on both sides is None.

    `differs`: what must match and does not, but was allowed. `looks`: how often the data were planned to be looked at.
    """

    baseline: Measurement
    candidate: Measurement
    latency: Contrast
    p95: Contrast | None
    throughput: Contrast | None
    memory: Contrast | None
    energy: Contrast | None = None
    looks: int = 1
    comparisons: int = 1  # judged together
    differs: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """The answer in one sentence, to be pasted."""
        contrast = self.latency
        names = [_name_of(each) for each in (self.candidate, self.baseline)]
        if names[0] == names[1]:
            names = [f"{name} ({each.id})" for name, each in zip(names, (self.candidate, self.baseline), strict=True)]
        words = _SENTENCES[contrast.verdict].format(*names)
        low, high = contrast.ci
        level = f"{100 * contrast.level:.4g}"
        decimals = _decimals(high - low)
        what, how = "p50 ratio", ""
        if contrast.drift == PAIRS:
            what, how = "ratio of pairs", ", alternating"
        elif self.baseline.subject.session != self.candidate.subject.session:
            how = ", measured apart"
        return printable(
            f"{words} on {self.candidate.subject.device.get('name')}, {self.candidate.subject.label}: {what} "
            f"{contrast.ratio:.{decimals}f} ({level} % {low:.{decimals}f} to {high:.{decimals}f}, margin "
            f"±{100 * contrast.margin:g} %, {contrast.runs[0]} + {contrast.runs[1]} runs{how})"
            + "".join(f"; {text}" for text in self.doubts),
            4000,
        )

    @property
    def doubts(self) -> tuple[str, ...]:
        """Which of the two are not valid, and why: what is said rests on those of their runs that are."""
        sides = [each for each in (self.candidate, self.baseline) if not each.valid]
        return tuple(f"{_name_of(each)} is not valid: {'; '.join(each.reasons)}" for each in sides)

    def to_json(self) -> dict[str, Any]:
        """Return one comparison of `compare --json`, as `schemas/common.schema.json` describes it."""
        parts = {name: getattr(self, name) for name in QUANTITIES}
        return {
            "baseline": _described(self.baseline),
            "candidate": _described(self.candidate),
            **{name: part.to_json() if part is not None else None for name, part in parts.items()},
            "looks": self.looks,
            "comparisons": self.comparisons,
            "differs": list(self.differs),
            "scores": [],
            "verdict": self.verdict,
        }


_SENTENCES = {
    "equivalent": "{} is equivalent to {}",
    "faster": "{} is faster than {}",
    "slower": "{} is slower than {}",
    "inconclusive": "{} against {} is inconclusive",
}


def compare(
    baseline: Measurement,
    candidate: Measurement,
    *,
    margin: float = MARGIN,
    level: float = LEVEL,
    allow: Collection[str] = (),
) -> Comparison:
    """Return what may be said of candidate / baseline.

    Args:
        margin: latencies within ±margin are equivalent (0.03: 3 %).
        level: of the intervals; of all planned looks together where there were several.
        allow: names of MUST_MATCH that may differ; the comparison says so.

    Raises:
        NotComparable: they differ in what must match.
        TooFewRuns: one of them has fewer than two valid runs.
    """
    return compare_pairs([(baseline, candidate)], margin=margin, level=level, allow=allow)[0]


def compare_pairs(
    pairs: Sequence[tuple[Measurement, Measurement]],
    *,
    margin: float = MARGIN,
    level: float = LEVEL,
    allow: Collection[str] = (),
) -> list[Comparison]:
    """Return what may be said of each (baseline, candidate), all judged together (Holm): say, languages or formats.

    Raises:
        As `compare`.
    """
    if not 0 < margin < 1:
        raise ConfigError(f"the margin must be between 0 and 1 (0.03: ±3 %), got {margin}")
    if not 0.5 < level < 1:
        raise ConfigError(f"the level must be between 0.5 and 1 (0.95), got {level}")
    for name in allow:
        if name not in (*MUST_MATCH, _RUNTIME):
            raise UnknownName("condition", name, (*MUST_MATCH, _RUNTIME))
    differing = [_differing(baseline, candidate) for baseline, candidate in pairs]
    for (baseline, candidate), names in zip(pairs, differing, strict=True):
        refused = {name: text for name, text in names.items() if name not in allow}
        if refused:
            raise NotComparable(
                f"{_name_of(candidate)} ({candidate.id}) can't be compared with {_name_of(baseline)} ({baseline.id}): "
                f"{'; '.join(refused.values())}; measure both in one session, or try: "
                + " ".join(f"--allow {name}" for name in refused)
            )
    looks = [max(each.subject.looks for each in pair) for pair in pairs]
    contrasts = {
        name: _contrasts(
            quantities[0],
            [_estimate(quantities, *pair) for pair in pairs],
            max(looks, default=1),
            margin=margin,
            level=level,
        )
        for name, quantities in QUANTITIES.items()
    }
    compared = []
    for at, (baseline, candidate) in enumerate(pairs):
        latency = contrasts["latency"][at]
        if latency is None:
            counts = [len(_figures(LATENCY, each)[0]) for each in (baseline, candidate)]
            if pairs_left := _alternated(baseline, candidate):
                counts = [sum(_ratio_of_pairs(*pair) is not None for pair in pairs_left)] * 2
            raise TooFewRuns(
                f"{_name_of(candidate)} and {_name_of(baseline)} have {counts[1]} and {counts[0]} valid runs "
                f"with a median latency; a comparison needs two of each"
            )
        compared.append(
            Comparison(
                baseline=baseline,
                candidate=candidate,
                latency=latency,
                p95=contrasts["p95"][at],
                throughput=contrasts["throughput"][at],
                memory=contrasts["memory"][at],
                energy=contrasts["energy"][at],
                looks=looks[at],
                comparisons=len(pairs),
                differs=tuple(differing[at].values()),
            )
        )
    return compared


def _contrasts(
    quantity: Quantity, estimates: Sequence[RatioEstimate | None], looks: int, *, margin: float, level: float
) -> list[Contrast | None]:
    found = [each for each in estimates if each is not None]
    judged = iter(judge_all(found, margin=margin, level=level, looks=looks))
    return [_contrast(quantity, each, next(judged), margin) if each is not None else None for each in estimates]


def _contrast(quantity: Quantity, estimate: RatioEstimate, judged: Judgement, margin: float) -> Contrast:
    words = {Verdict.LOWER: quantity.lower, Verdict.HIGHER: quantity.higher}
    is_open = judged.verdict is Verdict.INCONCLUSIVE
    return Contrast(
        quantity=quantity.name,
        ratio=estimate.ratio,
        ci=estimate.interval(judged.level),
        level=judged.level,
        margin=margin,
        verdict=words.get(judged.verdict, str(judged.verdict)),
        significant=judged.significant,
        beyond_margin=is_beyond(estimate, margin=margin, level=judged.level),
        runs=estimate.runs,
        more_runs=more_runs(estimate, margin=margin, level=judged.level) if is_open else 0,
        drift=estimate.drift,
    )


# --- figures of a run ---------------------------------------------------------------------------------------------


def _figures_of(run: Run) -> RunFigures:
    return run.figures if run.figures is not None else figures_of(run)


def _ratio_of_pairs(baseline: Run, candidate: Run) -> float | None:
    return candidate.log_ratios.get(baseline.id)


def _peak_pss(run: Run) -> float | None:
    return run.memory.peak_pss


def _peak_rss(run: Run) -> float | None:
    return run.memory.peak_rss


def _rails(measurement: Measurement) -> object:
    """Return whose power was added up; None where nothing was, or where that changed between the runs."""
    found = {rails for run in measurement.runs if run.valid and (rails := _figures_of(run).rails) is not None}
    return found.pop() if len(found) == 1 else None


LATENCY = Quantity(
    name="latency", lower="faster", higher="slower", of=lambda run: _figures_of(run).p50_ns, paired=_ratio_of_pairs
)
P95 = Quantity(name="p95", lower="faster", higher="slower", of=lambda run: _figures_of(run).p95_ns)
THROUGHPUT = Quantity(
    name="throughput", lower="lower", higher="higher", of=lambda run: _figures_of(run).throughput_per_s
)
PEAK_PSS = Quantity(name="memory", lower="less", higher="more", of=_peak_pss)
PEAK_RSS = Quantity(name="memory", lower="less", higher="more", of=_peak_rss)
ENERGY = Quantity(name="energy", lower="less", higher="more", of=lambda run: _figures_of(run).energy_j, kind=_rails)

#: What is compared, by its name in the result. Of several, the first that both sides have: never PSS against RSS.
QUANTITIES = {
    "latency": (LATENCY,),
    "p95": (P95,),
    "throughput": (THROUGHPUT,),
    "memory": (PEAK_PSS, PEAK_RSS),
    "energy": (ENERGY,),
}


def _estimate(quantities: Sequence[Quantity], baseline: Measurement, candidate: Measurement) -> RatioEstimate | None:
    if pairs := _alternated(baseline, candidate):
        return _estimate_of_pairs(quantities[0], pairs)
    for quantity in quantities:
        kinds = [quantity.kind(each) for each in (baseline, candidate)]
        if None in kinds or kinds[0] != kinds[1]:
            continue
        sides = [_figures(quantity, each) for each in (baseline, candidate)]
        if all(len(figures) >= 2 for figures, _ in sides):
            break
    else:
        return None
    (of_baseline, baseline_times), (of_candidate, candidate_times) = sides
    interleaved = baseline.subject.session == candidate.subject.session
    return estimate_ratio(
        of_baseline,
        of_candidate,
        baseline_times=baseline_times if interleaved else None,
        candidate_times=candidate_times if interleaved else None,
    )


def _alternated(baseline: Measurement, candidate: Measurement) -> list[tuple[Run, Run]]:
    """Return the valid runs of both that alternated with each other, (baseline's, candidate's)."""
    theirs = {run.process: run for run in candidate.runs if run.valid and run.alternates}
    ours = [run for run in baseline.runs if run.valid and run.process in theirs]
    return [(run, theirs[run.process]) for run in ours if theirs[run.process].id != run.id]


def _estimate_of_pairs(quantity: Quantity, pairs: Sequence[tuple[Run, Run]]) -> RatioEstimate | None:
    import numpy as np

    found = []
    for one, other in pairs:
        figures = [figure for run in (one, other) if (figure := quantity.of(run)) is not None and figure > 0]
        if quantity.paired is not None:
            ratio = quantity.paired(one, other)
        else:
            ratio = float(np.log(figures[1] / figures[0])) if len(figures) == len((one, other)) else None
        if ratio is not None:
            found.append(ratio)
    return estimate_paired_ratio(np.array(found)) if len(found) > 1 else None


def _figures(quantity: Quantity, measurement: Measurement) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the figure of each valid run that has one, and when the run was, seconds."""
    import numpy as np

    found = [(value, run) for run in measurement.runs if run.valid and (value := quantity.of(run)) is not None]
    usable = [(value, datetime.fromisoformat(run.started_at).timestamp()) for value, run in found if value > 0]
    table = np.asarray(usable, np.float64).reshape(len(usable), 2)
    return table[:, 0], table[:, 1]


# --- what must match ----------------------------------------------------------------------------------------------


def _of_device(*names: str) -> Callable[[Measurement], Any]:
    return lambda each: tuple(each.subject.device.get(name) for name in names)


def _of_workload(*names: str) -> Callable[[Measurement], Any]:
    return lambda each: tuple(each.subject.workload.get(name) for name in names)


def _padded(measurement: Measurement) -> Any:
    """Return what padding makes of the inputs: the kind does not matter where the tokens are the same."""
    if measurement.padding is not None:
        return round(measurement.padding.padded_tokens, 3)
    return measurement.subject.workload.get("padding")


def _set_or_none(value: Any) -> frozenset[str] | None:
    return frozenset(map(str, value)) if isinstance(value, (list, tuple)) else None


def _way(measurement: Measurement) -> str:
    """Models that alternate leave each other other caches than a model leaves itself."""
    files = measurement.subject.alternates_with
    return f"alternating: {' '.join(file[:8] for file in files)}" if files else "by itself"


_INPUTS = ("seq_len", "lang", "texts_sha256", "choices")
#: What must be the same for a ratio to be that of the two artifacts: name -> (how it is said, where it is).
MUST_MATCH: dict[str, tuple[str, Callable[[Measurement], Any]]] = {
    "board": ("board", _of_device("name", "model", "arch", "cpu", "cores")),
    # Virtual machines give processors with and without int8 products one name.
    "instructions": ("instruction set", lambda each: _set_or_none(each.subject.device.get("cpu_features"))),
    "governor": ("clock governor", _of_device("governor")),
    "power_mode": ("power mode", _of_device("power_mode")),
    "os": ("system", _of_device("os", "kernel")),
    "scenario": ("scenario", _of_workload("scenario")),
    "rate": ("rate of queries", _of_workload("queries_per_s")),
    "bound": ("bound of the rate's search", _of_workload("latency_bound_ms")),
    "sustained": ("length of a sustained run", _of_workload("sustained_min")),
    "alternation": ("way of measuring", _way),
    "inputs": ("inputs", _of_workload(*_INPUTS)),
    "batch": ("batch", _of_workload("batch")),
    "threads": ("threads or cores", _of_workload("threads", "affinity")),
    "padding": ("tokens after padding", _padded),
}
_SEARCHED = ("scenario", "latency_bound_ms", *_INPUTS)
_RUNTIME = "runtime"  # its version, where the library is the same


def _differing(baseline: Measurement, candidate: Measurement) -> dict[str, str]:
    """Return what must match and does not, by name, in words."""
    found = {}
    for name, (words, value) in MUST_MATCH.items():
        one, other = value(baseline), value(candidate)
        if one != other:
            found[name] = f"another {words} ({_told_apart(one, other)})"
    if _is_searched(baseline) and "rate" in found and "bound" not in found:
        found["rate"] += ", for each was searched: the rates are the result"
    # The runtime belongs to the artifact, its version to the circumstances.
    one, other = (_runtime(each) for each in (baseline, candidate))
    if one[0] == other[0] and one[1] != other[1]:
        found[_RUNTIME] = f"another version of {one[0]} ({other[1]}, not {one[1]})"
    return found


def _runtime(measurement: Measurement) -> tuple[Any, Any]:
    """Return the library that ran the model, and its version; TFLite's tells its own name with its version."""
    device = measurement.subject.device
    name, version = device.get("runtime"), device.get("runtime_version")
    if isinstance(version, str) and " " in version:
        name, version = version.split(" ", 1)
    return name, version


def _told_apart(one: Any, other: Any) -> str:
    """Return in words what the candidate's value is, and is not; of sets, how they differ."""
    if not isinstance(one, frozenset) or not isinstance(other, frozenset):
        one, other = (_listed(sorted(each)) if isinstance(each, frozenset) else each for each in (one, other))
        return f"{_told(other)}, not {_told(one)}"
    parts = (("with", other - one), ("without", one - other))
    return ", ".join(f"{word} {_listed(sorted(names))}" for word, names in parts if names)


def _listed(names: Sequence[str], most: int = 6) -> str:
    more = len(names) - most
    return " ".join(map(printable, names[:most])) + (f" and {more} more" if more > 0 else "")


def _told(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(printable(str(part)) for part in value if part is not None) or "not told"
    return printable(str(value)) if value is not None else "not told"


def _name_of(measurement: Measurement) -> str:
    subject = measurement.subject
    return f"{subject.variant.name} {subject.artifact.format}"


def _described(measurement: Measurement) -> dict[str, Any]:
    subject = measurement.subject
    return {
        "id": measurement.id,
        "variant": subject.variant.name,
        "format": str(subject.artifact.format),
        "artifact_sha256": subject.artifact.sha256,
        "device": subject.device.get("name"),
        "workload": subject.label,
        "overhead_us": asdict(measurement.overhead_us) if measurement.overhead_us is not None else None,
        "valid": measurement.valid,
        "reasons": list(measurement.reasons),
    }


def _decimals(width: float) -> int:
    """Return how many decimals a ratio is worth whose interval is so wide: two digits of its width, at least 3."""
    import math

    return max(3, min(6, 1 - math.floor(math.log10(width)))) if width > 0 else 3


# --- which measurements -------------------------------------------------------------------------------------------


def find_pairs(store: Store, baseline: str, candidate: str) -> list[tuple[Measurement, Measurement]]:
    """Return the (baseline, candidate) pairs that two names stand for.

    A name is a measurement's id, or how one begins, or a variant's name, also with a format: `xnli-multi`,
    `xnli-multi:onnx-int8`. Two variants are paired in the latest session that has both: same device, workload, threads
    and batch, and the same format unless the names say formats.

    Raises:
        UnknownName, UsageError: as `Store.measurement`.
        ConfigError: no session has both, they have no row in common, or are the same measurement.
    """
    sides = [_named(store, name) for name in (baseline, candidate)]
    if all(len(side) == 1 for side in sides):
        if sides[0][0].id == sides[1][0].id:
            raise ConfigError(f"{baseline} and {candidate} are one and the same measurement")
        return [(sides[0][0], sides[1][0])]
    sessions = [{each.subject.session for each in side} for side in sides]
    if not sessions[0] & sessions[1]:
        raise ConfigError(
            f"no session has both {baseline} and {candidate}; measure them together: edgebench profile --model ..., "
            f"or name two measurements by their ids (edgebench runs list)"
        )
    session = max(sessions[0] & sessions[1])
    # Names say formats where all that they stand for has one.
    formats_differ = any(name.endswith(f":{format}") for name in (baseline, candidate) for format in Format)
    rows = [
        {_row(each, formats_differ=formats_differ): each for each in side if each.subject.session == session}
        for side in sides
    ]
    pairs = [(one, rows[1][key]) for key, one in rows[0].items() if key in rows[1] and rows[1][key].id != one.id]
    if not pairs:
        raise ConfigError(f"{baseline} and {candidate} have no workload in common in session {session}")
    return pairs


def run_figures(quantity: Quantity, measurement: Measurement) -> NDArray[np.float64]:
    """Return the quantity of each valid run that has it, shape (runs,)."""
    return _figures(quantity, measurement)[0]


def why_not_comparable(baseline: Measurement, candidate: Measurement) -> str | None:
    """Return why two measurements can't be compared; None where they can."""
    differs = _differing(baseline, candidate)
    counts = [sum(run.valid for run in each.runs) for each in (baseline, candidate)]
    if min(counts) < 2:
        return f"{counts[0]} and {counts[1]} valid runs; a comparison needs two of each"
    return "; ".join(differs.values()) or None


def compare_rows(measurements: Sequence[Measurement], *, margin: float = MARGIN) -> list[Comparison]:
    """Return what may be said of each row against the first of its workload, judged together.

    Rows with fewer than two valid runs are left out, for they must not keep the others from being decided; what must
    match and does not is said, not refused: these rows were asked for beside each other.
    """
    pairs = [pair for pair in pairs_with_the_first(measurements) if _estimate((LATENCY,), *pair) is not None]
    return compare_pairs(pairs, margin=margin, allow=(*MUST_MATCH, _RUNTIME)) if pairs else []


def pairs_with_the_first(measurements: Sequence[Measurement]) -> list[tuple[Measurement, Measurement]]:
    """Return (baseline, candidate) pairs: the first row of each workload, threads and batch, and each other of it."""
    first: dict[tuple[Any, ...], Measurement] = {}
    pairs = []
    for each in measurements:
        baseline = first.setdefault(_row(each, formats_differ=True), each)
        if baseline is not each:
            pairs.append((baseline, each))
    return pairs


def _named(store: Store, name: str) -> list[Measurement]:
    variant, _, format = name.rpartition(":")
    # A name may have a colon of its own: `reference:tiny`.
    return (
        store.measurements(variant=name)
        or store.measurements(variant=variant, format=format)
        or [store.measurement(name)]
    )


def _row(measurement: Measurement, *, formats_differ: bool) -> tuple[Any, ...]:
    subject = measurement.subject
    workload = subject.workload
    format = None if formats_differ else str(subject.artifact.format)
    # A rate that was searched is a result, by which rows are not told apart.
    label = subject.label if not _is_searched(measurement) else _of_workload(*_SEARCHED)(measurement)
    return (
        subject.device.get("name"),
        label,
        workload.get("threads"),
        workload.get("batch"),
        format,
        _way(measurement),
    )


def _is_searched(measurement: Measurement) -> bool:
    return "latency_bound_ms" in measurement.subject.workload
