"""Predictions: what each cell's file will take on the board, before it is pushed; what can't fit is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgebench.artifact import Artifact
from edgebench.board import providers_for
from edgebench.device import Device
from edgebench.events import LogMessage, OnEvent
from edgebench.facts import DeviceFacts
from edgebench.measure.cells import Cell
from edgebench.planning import Observed, Shape, check_memory, predict
from edgebench.prediction import Prediction
from edgebench.store import Store, observed_on


def with_predictions(cells: Sequence[Cell], device: Device, store: Store, on_event: OnEvent) -> list[Cell]:
    """Return the cells with a prediction of each; what is tight is reported.

    Models that alternate share a process, and what runs on a GPU needs other memory: neither is predicted.

    Raises:
        BoardError: a file can't fit into the memory that is free.
    """
    observed = observed_on(store, device.name)
    found = []
    for cell in cells:
        subject = cell.subject
        if subject.alternates_with or providers_for(device, subject.artifact):
            found.append(cell)
            continue
        artifact, choices = subject.artifact, cell.workload.choices or 1
        shape = Shape(
            batch=cell.workload.batch * choices, seq_len=padded_length(artifact, int(cell.inputs.lengths.max()))
        )
        prediction = predict_on(artifact, shape, subject.device, observed)
        report_memory(device.name, artifact, prediction, subject.device, on_event)
        found.append(replace(cell, subject=replace(subject, prediction=prediction)))
    return found


def predict_on(
    artifact: Artifact, shape: Shape, facts: DeviceFacts, observed: Mapping[str, Observed]
) -> Prediction | None:
    """Return what a file will take on a board; None: its sizes are not known, or nothing is known of the runtime.

    Args:
        observed: by runtime, what earlier runs on this board showed.
    """
    if artifact.sizes is None:
        return None
    runtime = runtime_name(facts)
    return predict(
        artifact.format,
        artifact.bytes,
        artifact.sizes,
        shape,
        runtime=runtime,
        observed=observed.get(runtime) if runtime is not None else None,
    )


def runtime_name(facts: DeviceFacts) -> str | None:
    """Return the library that runs the model: of TFLite, it stands before the version."""
    library, _, version = (facts.runtime_version or "").rpartition(" ")
    return library if version and library else facts.runtime


def report_memory(
    device: str, artifact: Artifact, prediction: Prediction | None, facts: DeviceFacts, on_event: OnEvent
) -> None:
    """Report a file that may not fit into the memory that is free on a board.

    Raises:
        BoardError: it can't fit.
    """
    warning = check_memory(device, artifact, prediction, facts)
    if warning is not None:
        on_event(LogMessage(warning))


def padded_length(artifact: Artifact, tokens: int) -> int:
    """Return the length that the longest input has in a file, which may be made for some lengths only."""
    return min((bucket for bucket in artifact.buckets if bucket >= tokens), default=tokens)
