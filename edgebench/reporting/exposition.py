"""OpenMetrics text: families of samples, escaped as the standard asks; what a gate and an export of results write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgebench.text import harmless


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Gauges of one name. `unit`: in OpenMetrics's words, with which the name ends; empty: none is declared.

    samples: labels and value. Of samples with the same labels, the first is written. Labels without text are left out.
    """

    name: str
    about: str
    samples: Iterable[tuple[Mapping[str, str], float]]
    unit: str = ""


def exposition(families: Iterable[Family]) -> str:
    """Return the text; families without samples are left out."""
    lines: list[str] = []
    for family in families:
        samples = _sample_lines(family)
        if samples:
            unit = [f"# UNIT {family.name} {family.unit}"] if family.unit else []
            lines += [f"# TYPE {family.name} gauge", *unit, f"# HELP {family.name} {_escaped(family.about)}", *samples]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _sample_lines(family: Family) -> list[str]:
    by_sample: dict[str, str] = {}
    for labels, value in family.samples:
        listed = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items() if text)
        sample = f"{family.name}{{{listed}}}"
        by_sample.setdefault(sample, f"{sample} {value!r}")
    return list(by_sample.values())


def _escaped(text: str) -> str:
    """Return text as a label's value holds it, without what acts on a terminal, such as `cat` of the file."""
    return harmless(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
