"""OpenMetrics text of measurements, for Prometheus and whatever reads its format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from edgebench.reason import State
from edgebench.reporting.exchange.entries import Chosen, Entry, latest_of_each_name
from edgebench.reporting.exchange.figures import Figure, Unit, scaled
from edgebench.reporting.exposition import Family, exposition

_Samples = Iterator[tuple[dict[str, str], float]]
_SECONDS = "seconds"
#: Unit of a figure -> OpenMetrics's, and the factor to it.
_UNITS = {
    Unit.MS: (_SECONDS, 1e-3),
    Unit.BYTES: ("bytes", 1.0),
    Unit.JOULES: ("joules", 1.0),
    Unit.WATTS: ("watts", 1.0),
    Unit.CELSIUS: ("celsius", 1.0),
    Unit.PER_SECOND: ("per_second", 1.0),
}
#: Family -> help; its figures by name, each with the label that tells it from the others.
_FAMILIES: tuple[tuple[str, str, dict[str, dict[str, str]]], ...] = (
    (
        "latency_seconds",
        "Latency of an inference, one statistic a sample.",
        {f"latency-{name}": {"statistic": name} for name in ("p50", "p90", "p95", "p99", "geomean", "mean")},
    ),
    ("throughput_inputs_per_second", "Inputs per second.", {"throughput": {}}),
    ("tokens_per_second", "Tokens per second, without padding.", {"tokens": {}}),
    ("load_seconds", "Time to load the model.", {"load": {"start": "warm"}, "cold-load": {"start": "cold"}}),
    (
        "first_inference_seconds",
        "First inference after loading.",
        {"first-inference": {"start": "warm"}, "cold-first-inference": {"start": "cold"}},
    ),
    ("peak_rss_bytes", "Highest resident memory of the measuring process.", {"peak-rss": {}}),
    ("peak_pss_bytes", "Highest proportional memory of the measuring process.", {"peak-pss": {}}),
    ("file_size_bytes", "Size of the model's files.", {"file-size": {}}),
    ("energy_per_inference_joules", "Energy of one inference.", {"energy-per-inference": {}}),
    ("power_mean_watts", "Mean power while inferences were timed.", {"power-mean": {}}),
    ("temperature_max_celsius", "Highest temperature.", {"temperature-max": {}}),
)


def openmetrics_text(entries: Iterable[Entry]) -> tuple[str, Chosen]:
    """Return the exposition of the latest measurement of each name, and which these are.

    One that is not valid has no figures: `edgebench_measurement_valid` is 0, and its label `state` says why.
    """
    chosen = latest_of_each_name(Chosen(list(entries), []))
    kept = chosen.entries
    valid = [each for each in kept if each.state is State.VALID]
    families = [
        _state_family(kept),
        Family(
            name="edgebench_measurement_started_timestamp_seconds",
            about="When the first run of the measurement began.",
            unit=_SECONDS,
            samples=[(_labels(each), datetime.fromisoformat(each.started_at).timestamp()) for each in valid],
        ),
    ]
    for name, about, figures in _FAMILIES:
        families.append(_figures_family(f"edgebench_{name}", about, _samples(valid, figures, _value)))
        if name == "latency_seconds":
            for bound, read in (("lower", _lower), ("upper", _upper)):
                about_bound = f"{bound.capitalize()} bound of the 95 % interval of the latency."
                samples = _samples(valid, figures, read)
                families.append(_figures_family(f"edgebench_latency_{bound}_bound_seconds", about_bound, samples))
    families.append(
        Family(
            name="edgebench_score_points",
            about="Score of a task in a language, 0 to 100.",
            samples=[
                (_labels(each) | {"task": score.task, "lang": score.lang, "metric": score.metric}, score.value)
                for each in valid
                for score in each.scores
            ],
        )
    )
    noted = [
        f"{each.subject.id} is {each.state}: {each.doubts}; of it, only edgebench_measurement_valid is written"
        for each in kept
        if each.state is not State.VALID
    ]
    return exposition(families), Chosen(valid, [*chosen.left_out, *noted])


def _state_family(entries: Iterable[Entry]) -> Family:
    return Family(
        name="edgebench_measurement_valid",
        about="1: the figures count; 0: they do not, and none is written.",
        samples=[(_labels(each) | {"state": str(each.state)}, float(each.state is State.VALID)) for each in entries],
    )


def _figures_family(name: str, about: str, samples: _Samples) -> Family:
    unit = next((unit for unit, _ in _UNITS.values() if name.endswith(f"_{unit}") and unit != "per_second"), "")
    return Family(name=name, about=about, unit=unit, samples=samples)


def _samples(
    entries: Iterable[Entry], figures: dict[str, dict[str, str]], read: Callable[[Figure], float | None]
) -> _Samples:
    for entry in entries:
        for figure in entry.figures:
            value = read(figure) if figure.name in figures else None
            if value is not None:
                yield _labels(entry) | figures[figure.name], scaled(value, _UNITS[figure.unit][1])


def _value(figure: Figure) -> float | None:
    return float(figure.value)


def _lower(figure: Figure) -> float | None:
    return figure.interval[0] if figure.interval is not None else None


def _upper(figure: Figure) -> float | None:
    return figure.interval[1] if figure.interval is not None else None


def _labels(entry: Entry) -> dict[str, str]:
    subject, workload = entry.subject, entry.subject.workload
    optional = {name: workload.get(name) for name in ("scenario", "batch", "threads")}
    affinity = workload.get("affinity")
    return {
        "variant": subject.variant.name,
        "format": str(subject.artifact.format),
        "device": str(subject.device.name or ""),
        "workload": subject.label,
        **{name: str(value) for name, value in optional.items() if value is not None},
        "cores": " ".join(map(str, affinity)) if affinity else "",
        "runtime": str(subject.device.runtime or ""),
    }
