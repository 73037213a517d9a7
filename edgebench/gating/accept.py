"""accept_baseline(): a measurement becomes the baseline, or the anchor, of its board and workload."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgebench.errors import NotValid
from edgebench.gating.baseline import (
    Baseline,
    BaselineScore,
    baseline_of,
    kept_name,
    measured_name,
    read_baseline,
    write_baseline,
)
from edgebench.reason import joined
from edgebench.store import Store, find_artifact_files, keep_artifact, open_store, stored_scores, writing

#: Folder of the store.
FOLDER = "baselines"


def accept_baseline(
    id: str,
    *,
    store: Store | str | Path | None = None,
    name: str | None = None,
    anchor: bool = False,
    out: str | Path | None = None,
) -> Baseline:
    """Make a stored measurement the baseline of its board and workload, and keep its file in the store.

    Args:
        id: of the measurement, or how it begins.
        store: a Store or its folder, as for `profile`.
        name: what the gate calls it, `main` say; default: the variant's name.
        anchor: pin it as the anchor instead: every later gate holds its candidate against this one, too, so that a
            series of small slowdowns does not pass.
        out: also write it to this file, to be committed and given to the gate as its baseline.

    Raises:
        UnknownName, UsageError: the store has no such measurement, or several that begin so.
        ConfigError: a gate can't measure it again.
        NotValid: the measurement is not valid, or its file is gone.
        StoreError, ExportError: the store or the file can't be written.
    """
    keep = open_store(store)
    measurement = keep.measurement(id)
    if not measurement.valid:
        raise NotValid(f"{measurement.id} is not valid and can be no baseline: {joined(measurement.reasons)}")
    subject = measurement.subject
    rows, _ = stored_scores(keep, [measurement])
    scores = tuple(
        BaselineScore(task=row.task, lang=row.lang, metric=row.metric, value=row.value, n=row.n, caveats=row.caveats)
        for row in rows
    )
    accepted_at = datetime.now(UTC).isoformat(timespec="microseconds")
    baseline = baseline_of(measurement, name=name, accepted_at=accepted_at, is_anchor=anchor, scores=scores)
    baseline = replace(baseline, variant=replace(subject.variant, name=measured_name(subject.variant.name)))
    keep_files(keep, baseline)
    path = keep.folder / FOLDER / f"{_key(baseline)}.json"
    with writing(keep.folder):
        write_baseline(path, baseline)
    keep.document_written(path)
    if out is not None:
        write_baseline(Path(out), baseline)
    return baseline


def keep_files(store: Store, baseline: Baseline) -> Path:
    """Make sure that the store has a baseline's file; return the folder, which `profile` takes as a model.

    Raises:
        NotValid: the file is neither in the store, nor where it was measured, nor in the cache.
        ExportError, StoreError: it can't be copied.
    """
    sha256 = baseline.artifact.sha256
    found = find_artifact_files(store, sha256, elsewhere=[baseline.found_at] if baseline.found_at is not None else [])
    if found is None:
        raise NotValid(
            f"the file of baseline {baseline.name} ({baseline.artifact.format}, sha256 {sha256[:12]}) is neither in "
            f"the store {store.location} nor in the cache of artifacts; export it again, or accept another baseline: "
            f"edgebench gate accept ID"
        )
    return keep_artifact(store, found, replace(baseline.variant, name=kept_name(baseline.variant.name, sha256)))


def accepted_baselines(store: Store, *, anchors: bool | None = None) -> list[Baseline]:
    """Return the accepted baselines of a store, the oldest first.

    Args:
        anchors: only anchors, or only others; None: all.

    Raises:
        StoreError: one can't be read.
    """
    found = [read_baseline(path) for path in sorted(store.documents_folder(FOLDER).glob("[!.]*.json"))]
    wanted = [each for each in found if anchors is None or each.is_anchor == anchors]
    return sorted(wanted, key=lambda each: each.accepted_at)


def _key(baseline: Baseline) -> str:
    """Return the name of a baseline's document: the next one of this board, workload and name replaces it."""
    of: Mapping[str, Any] = {
        "device": baseline.device.name,
        "workload": dict(baseline.workload),
        "name": baseline.name,
        "anchor": baseline.is_anchor,
    }
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]
