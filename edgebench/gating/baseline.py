"""Baselines: what a gate measures again. One is accepted from a measurement, in the store or in a file to commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebench._version import __version__
from edgebench.artifact import Format
from edgebench.errors import ConfigError, StoreError
from edgebench.measurement import FORMAT_VERSION, Measurement
from edgebench.serialisation import from_plain, to_plain
from edgebench.store import read_document, replace_file
from edgebench.text import printable
from edgebench.variant import Variant
from edgebench.workload import Workload
from edgebench.xtreme_r import ScoreRow

KIND = "edgebench baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineDevice:
    """The board that a baseline was accepted on."""

    name: str
    model: str | None = None
    arch: str | None = None
    cpu: str | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    virtual: bool | None = None
    serial_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineArtifact:
    """The file of a baseline, by content."""

    format: Format
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineScore:
    """A score of the baseline's file, 0..100."""

    task: str
    lang: str
    metric: str
    value: float
    n: int | None = None
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A measurement that candidates are held against: whose file, on which board, under which workload.

    `name`: what sentences call it. `p50_ms`: as it was measured when it was accepted; no verdict uses it.
    """

    name: str
    measurement: str
    accepted_at: str
    variant: Variant
    artifact: BaselineArtifact
    device: BaselineDevice
    workload: Mapping[str, Any]
    label: str
    is_anchor: bool = False
    p50_ms: float | None = None
    scores: tuple[BaselineScore, ...] = ()
    kind: str = KIND
    format_version: int = FORMAT_VERSION
    edgebench_version: str = __version__
    #: Where the measured file once was; not part of the document.
    found_at: Any = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return the document, as `gate accept --out` writes it."""
        plain: dict[str, Any] = to_plain(self)
        del plain["found_at"]
        return plain

    def score_rows(self) -> list[ScoreRow]:
        """Return its scores as rows of its variant."""
        return [
            ScoreRow(
                variant=self.variant.name,
                task=each.task,
                lang=each.lang,
                metric=each.metric,
                value=each.value,
                n=each.n,
                caveats=each.caveats,
                format=str(self.artifact.format),
                artifact_sha256=self.artifact.sha256,
            )
            for each in self.scores
        ]


def baseline_of(
    measurement: Measurement,
    *,
    name: str | None = None,
    accepted_at: str = "",
    is_anchor: bool = False,
    scores: tuple[BaselineScore, ...] = (),
) -> Baseline:
    """Return a measurement as a baseline; its name is the variant's unless one is given.

    Raises:
        ConfigError: a gate can't measure it again: it is a sustained run, or its rate was searched.
    """
    subject = measurement.subject
    for key, what in (("sustained_min", "one sustained run"), ("latency_bound_ms", "of a rate that was searched")):
        if subject.workload.get(key) is not None:
            raise ConfigError(f"{measurement.id} is {what}; a gate needs a baseline of short runs at a fixed load")
    device = subject.device
    return Baseline(
        name=name or measured_name(subject.variant.name),
        measurement=measurement.id,
        accepted_at=accepted_at,
        variant=subject.variant,
        artifact=BaselineArtifact(
            format=subject.artifact.format, sha256=subject.artifact.sha256, bytes=subject.artifact.bytes
        ),
        device=BaselineDevice(
            name=device.name or "",
            model=device.model,
            arch=device.arch,
            cpu=device.cpu,
            cores=device.cores,
            memory_bytes=device.memory_bytes,
            runtime=device.runtime,
            runtime_version=device.runtime_version,
            virtual=device.virtual,
            serial_hash=device.serial_hash,
        ),
        workload={key: value for key, value in subject.workload.items() if key != "alternating"},
        label=subject.label,
        is_anchor=is_anchor,
        p50_ms=measurement.latency_ms.p50,
        scores=scores,
        found_at=subject.artifact,
    )


def measured_name(variant: str) -> str:
    """Return the name of a variant without the mark that `kept_name` adds."""
    name, at, digits = variant.rpartition("@")
    return name if at and len(digits) == _DIGITS and set(digits) <= set("0123456789abcdef") else variant


_DIGITS = 8


def kept_name(variant: str, sha256: str) -> str:
    """Return the variant name under which a baseline is measured again, so that it is not taken for the candidate."""
    return f"{measured_name(variant)}@{sha256[:_DIGITS]}"


def read_baseline(path: Path) -> Baseline:
    """Return the baseline in a file that `gate accept` wrote.

    Raises:
        ConfigError: there is no such file.
        StoreError: it is not a baseline, or one of a newer version.
    """
    if not path.is_file():
        raise ConfigError(f"no such baseline file: {path}; try: edgebench gate accept ID --out {path}")
    values = read_document(path)
    if values.get("kind") != KIND:
        raise StoreError(f"{path} is not a baseline that `edgebench gate accept --out` wrote")
    return from_plain(
        Baseline, values, where=printable(str(path)), without=("found_at",), error=StoreError, allow_unknown=True
    )


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline to a file at once.

    Raises:
        StoreError: it can't be written.
    """
    try:
        replace_file(path, json.dumps(baseline.to_json(), indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise StoreError(f"can't write {path}: {error.strerror}") from error


def workload_of(baseline: Baseline, *, texts: tuple[str, ...] | None = None) -> Workload:
    """Return the workload of a baseline.

    Args:
        texts: its texts, of which the baseline has the hash only.

    Raises:
        ConfigError: its inputs are texts, and none are given.
    """
    values = dict(baseline.workload)
    if "texts_sha256" in values:
        if texts is None:
            raise ConfigError(
                f"the inputs of baseline {baseline.name} are texts, and only their hash is kept",
                hint="give them again: `texts=FILE`",
            )
        del values["texts_sha256"]
        values["texts"] = list(texts)
    return from_plain(Workload, values, where=f"the workload of baseline {baseline.name}", allow_unknown=True)
