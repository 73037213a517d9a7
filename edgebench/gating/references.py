"""References: which baselines the name that a user gives stands for, on this board and under these workloads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from edgebench.analysis import is_same_workload
from edgebench.artifact import Format
from edgebench.errors import ConfigError, NotComparable
from edgebench.gating.accept import accepted_baselines
from edgebench.gating.baseline import Baseline, baseline_of, measured_name, read_baseline, workload_of
from edgebench.measurement import Measurement
from edgebench.store import Store
from edgebench.workload import Workload

LAST = "last"


def find_baselines(reference: str, *, store: Store, device: str | None) -> list[Baseline]:
    """Return what a reference stands for: of one file, one baseline for each workload.

    Args:
        reference: `last`, a FILE.json that `gate accept` wrote, the name of an accepted baseline, the id of a
            measurement or how it begins, or a variant: NAME or NAME:FORMAT, in its latest session.
        device: name of the board; None: that of the baseline.

    Raises:
        ConfigError: nothing was accepted, or the file is missing.
        UnknownName, UsageError: the store has nothing of that name.
        StoreError: the store or the file can't be read.
    """
    if reference.endswith(".json"):
        return [read_baseline(Path(reference))]
    accepted = [each for each in accepted_baselines(store) if device in (None, each.device.name)]
    if reference == LAST:
        accepted = [each for each in accepted if not each.is_anchor]
        if not accepted:
            on = f" on {device}" if device is not None else ""
            raise ConfigError(
                f"the store {store.location} has no accepted baseline{on}",
                hint="try: edgebench gate accept ID, or name a measurement: `baseline=ID`",
            )
        return _latest_of_each_workload(_of_one_file(accepted))
    named = [each for each in accepted if each.name == reference]
    if named:
        return _latest_of_each_workload(_of_one_file(named))
    return [
        replace(found, variant=replace(found.variant, name=measured_name(found.variant.name)))
        for found in map(baseline_of, _measurements(store, reference, device))
    ]


def _measurements(store: Store, reference: str, device: str | None) -> list[Measurement]:
    name, _, format = reference.rpartition(":")
    found = store.measurements(variant=reference, device=device)
    if not found and format in {str(known) for known in Format}:
        found = store.measurements(variant=name, format=format, device=device)
    if not found:
        return [store.measurement(reference)]
    session = max(each.subject.session for each in found)
    latest = [each for each in found if each.subject.session == session]
    formats = {str(each.subject.artifact.format) for each in latest}
    if len(formats) > 1:
        raise ConfigError(f"{reference} was measured in {', '.join(sorted(formats))}; name one: {reference}:FORMAT")
    return latest


def _of_one_file(accepted: Sequence[Baseline]) -> list[Baseline]:
    """Return the baselines of the board and the file that were accepted last."""
    last = accepted[-1]
    return [each for each in accepted if (each.device.name, each.artifact) == (last.device.name, last.artifact)]


def _latest_of_each_workload(accepted: Sequence[Baseline]) -> list[Baseline]:
    latest: dict[tuple[str, str], Baseline] = {}
    for each in accepted:
        latest[each.device.name, repr(sorted(each.workload.items()))] = each
    return list(latest.values())


def choose_workloads(
    baselines: Sequence[Baseline], requested: Sequence[Workload], *, texts: tuple[str, ...] | None = None
) -> list[tuple[Baseline, Workload]]:
    """Return the baseline and the workload of each row; without requested workloads, those of the baselines.

    Raises:
        NotComparable: no baseline is of a requested workload.
        ConfigError: the inputs are texts and are not given, two rows have one label, or the rows have different files.
    """
    if not requested:
        chosen = [(each, workload_of(each, texts=texts)) for each in baselines]
    else:
        chosen = [(_baseline_for(baselines, workload), workload) for workload in requested]
        # What a session settles by itself, threads for one, must be as it was for the baseline.
        chosen = [(each, replace(work, threads=work.threads or each.workload.get("threads"))) for each, work in chosen]
    labels = [workload.label for _, workload in chosen]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"{labels.count(label)} rows are {label}; a gate takes each workload once")
    if len({each.artifact.sha256 for each, _ in chosen}) > 1:
        raise ConfigError("the baselines of these workloads are different files; gate one workload after the other")
    return chosen


def _baseline_for(baselines: Sequence[Baseline], workload: Workload) -> Baseline:
    for each in baselines:
        if is_same_workload(workload.to_json(), each.workload):
            return each
    known = ", ".join(each.label for each in baselines)
    raise NotComparable(
        f"baseline {baselines[0].name} is of another workload ({known}), not {workload.label} with batch "
        f"{workload.batch} and these threads; accept a baseline of it, or leave the workload out"
    )


def find_anchors(
    store: Store, reference: str | None, *, device: str, rows: Sequence[tuple[Baseline, Workload]]
) -> list[Baseline] | None:
    """Return the anchor of each row, all of one file; None where none is pinned.

    Args:
        reference: as for `find_baselines`; None: the last one that was pinned.

    Raises:
        NotComparable: a named anchor is of another board or workload.
        ConfigError: the anchors of the rows are different files.
    """
    if reference is not None:
        known = find_baselines(reference, store=store, device=None)
        require(known, device=device, formats=None, allow=())
        chosen = [_baseline_for(known, workload) for _, workload in rows]
    else:
        known = [each for each in accepted_baselines(store, anchors=True) if each.device.name == device]
        found = [_last_of(known, workload) for _, workload in rows]
        chosen = [each for each in found if each is not None]
        if len(chosen) < len(rows):
            return None
    if len({each.artifact.sha256 for each in chosen}) > 1:
        raise ConfigError("the anchors of these workloads are different files; gate one workload after the other")
    return chosen


def _last_of(known: Sequence[Baseline], workload: Workload) -> Baseline | None:
    return next((each for each in reversed(known) if is_same_workload(workload.to_json(), each.workload)), None)


def require(
    baselines: Sequence[Baseline], *, device: str, formats: Collection[Format] | None, allow: Collection[str]
) -> None:
    """Refuse a baseline that the candidate can't be held against.

    Args:
        formats: of the candidate; None: not known here.
        allow: `format` and `runtime` may differ where they are named here.

    Raises:
        NotComparable: it is of another board, format or runtime.
    """
    for each in baselines:
        if each.device.name != device:
            raise NotComparable(
                f"baseline {each.name} was measured on {each.device.name}, not on {device}; measure one there and "
                f"accept it: edgebench gate accept ID"
            )
        for format in formats or ():
            if format.runtime != each.artifact.format.runtime and "runtime" not in allow:
                raise NotComparable(
                    f"baseline {each.name} is {each.artifact.format}, which {each.artifact.format.runtime} runs; the "
                    f"candidate is {format}, for {format.runtime}; hold it against a file of its own runtime, or "
                    f"accept the difference: `allow=['runtime', 'format']`"
                )
            if format != each.artifact.format and "format" not in allow:
                raise NotComparable(
                    f"baseline {each.name} is {each.artifact.format}, the candidate {format}; hold it against a file "
                    f"of its own format, or accept the difference: `allow=['format']`"
                )
