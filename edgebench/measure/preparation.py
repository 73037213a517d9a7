"""Preparation: refuse what can't be measured, export models, encode inputs; all of it on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace

from edgebench.artifact import Artifact, Format, format_of_file
from edgebench.board import formats_on
from edgebench.device import Device
from edgebench.errors import ConfigError, UnknownName, UsageError
from edgebench.events import LogMessage, OnEvent
from edgebench.export import (
    SENTENCE_EMBEDDING,
    existing_file,
    export_model,
    is_sentence_model,
    longest_input,
    refuse_other_formats,
    refuse_texts,
    unique_names,
)
from edgebench.measure.inputs import encode, refuse_batch, refuse_length, resolve_workload
from edgebench.request import Request
from edgebench.runtimes import TFLITE_RUNTIMES
from edgebench.variant import Variant
from edgebench.workload import EncodedInputs, Workload

#: Sessions on several boards prepare one after the other: the second finds in the cache what the first exported.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, slots=True)
class Prepared:
    """One row of the result table, as far as this machine prepares it; `workload` is resolved for the artifact."""

    variant: Variant
    artifact: Artifact
    workload: Workload
    inputs: EncodedInputs


def prepare(request: Request, on_event: OnEvent, *, ask_board: bool = True) -> list[Prepared]:
    """Export every model in every format, and encode every workload's inputs; in the request's order.

    A format that the board's runtime would compute wrong is replaced by the one that it computes (`formats_on`).
    `ask_board`: False where this machine does not reach the board; formats are then those of the request.

    Raises:
        DeviceError: the board was asked for its runtime, and can't be reached or is busy.
        UsageError: a model, format, runtime and workload do not fit together; nothing is exported then.
        ExportError: a checkpoint can't be exported.
    """
    with _ONE_AT_A_TIME:
        _refuse_contradictions(request)
        for model, format in _files(request):
            _refuse_misfits(model, format, request.workloads, task=_task(model, request))
        choices = _common_choices(request)
    computed = _for_the_board(request, on_event) if ask_board else request
    with _ONE_AT_A_TIME:
        exported = _with_unique_names(
            [_export(model, format, choices, computed, on_event) for model, format in _files(computed)]
        )
        _report_fallbacks(request.device, {artifact.format for _, artifact in exported}, on_event)
        resolved = [(*pair, resolve_workload(pair[1], work)) for pair in exported for work in request.workloads]
        return [Prepared(variant, artifact, work, encode(artifact, work)) for variant, artifact, work in resolved]


def refuse_plain_checkpoints(models: Sequence[str]) -> None:
    """Refuse models that have no modules to make one vector of a text; files are taken as they are.

    Raises:
        ConfigError: one is no sentence-transformers folder.
        CheckpointError: a hub checkpoint can't be downloaded.
    """
    for model in models:
        if existing_file(model) is None and not is_sentence_model(model):
            raise ConfigError(
                f"{model} is no sentence-transformers model (it has no modules.json): it makes no vector of a text",
                hint="leave `sentence_embedding` out",
            )


def _files(request: Request) -> Iterator[tuple[str, Format | None]]:
    """Yield each model with each requested format; None for a file, which has its format already."""
    for model in request.models:
        if existing_file(model) is not None:
            yield model, None
        else:
            for format in request.formats or (request.device.profile.default_format,):
                yield model, format


def _for_the_board(request: Request, on_event: OnEvent) -> Request:
    """Return a request in the formats that the runtimes of its board compute."""
    requested = [format for _, format in _files(request) if format is not None]
    if not requested:
        return request
    formats = tuple(dict.fromkeys(requested))
    device = request.device
    chosen = formats_on(device, formats, runtime=request.runtime, wait_s=request.wait_s, on_event=on_event)
    return replace(request, formats=tuple(dict.fromkeys(chosen)))


def _runtime(model: str, format: Format | None) -> str:
    """Return the agent's runtime for a model in a format, or for a file as it is."""
    if format is not None:
        return format.runtime
    file = existing_file(model)
    found = format_of_file(file) if file is not None else None
    assert found is not None  # noqa: S101 - only files have no requested format
    return found.runtime


def _refuse_contradictions(request: Request) -> None:
    """Refuse options that contradict each other: another format than files have, a runtime for other files."""
    files = [model for model in request.models if existing_file(model) is not None]
    if request.until_decided and len(list(_files(request))) < 2:
        raise UsageError(
            "`until_decided` compares rows with the first one, and there is only one",
            hint="name a second `model` or `format`",
        )
    if len(files) == len(request.models):
        refuse_other_formats(files, request.formats)
    if request.runtime is None:
        return
    if request.runtime not in TFLITE_RUNTIMES:
        raise UnknownName("runtime", request.runtime, TFLITE_RUNTIMES)
    for model, format in _files(request):
        if _runtime(model, format) != "tflite":
            raise ConfigError(f"{request.runtime} does not run {format or model}", hint="try `format='tflite-int8'`")


def _task(model: str, request: Request) -> str | None:
    """Return the task that a model is exported for; None: the one in its config."""
    return SENTENCE_EMBEDDING if request.sentence_embedding and is_sentence_model(model) else None


def _refuse_misfits(model: str, format: Format | None, workloads: Sequence[Workload], *, task: str | None) -> None:
    """Refuse inputs that the model or the format can't take, before anything is exported or contacted."""
    longest = longest_input(model, format, task=task)
    for workload in workloads:
        if _runtime(model, format) == "tflite":
            refuse_batch(str(format or model), workload)
        refuse_length(workload, longest, where=f"{model} in {format}" if format is not None else model)
        if format is not None and workload.texts and not workload.truncate:
            refuse_texts(model, format, workload.texts, task=task)


def _common_choices(request: Request) -> int | None:
    """Return the number of choices that .tflite files are exported for."""
    choices = {workload.choices for workload in request.workloads}
    if len(choices) > 1:
        raise ConfigError("the workloads of one session must have the same number of choices")
    return choices.pop()


def _report_fallbacks(device: Device, formats: Set[Format], on_event: OnEvent) -> None:
    """Report formats that run slower on this device than another format would."""
    name, providers = device.name, device.profile.providers
    for format in (Format.ONNX_INT8, Format.ONNX_INT4):
        if providers and format in formats:
            gpu = providers[0]
            on_event(
                LogMessage(
                    f"{name}: dynamic int8 does not run on {gpu}: {format} is measured on the CPU; try onnx-fp16"
                )
            )
    if not providers and Format.ONNX_FP16 in formats:
        on_event(
            LogMessage(f"{name}: onnx-fp16 is for GPUs: a CPU works in float32 and converts each value; try onnx-int8")
        )


def _export(
    model: str, format: Format | None, choices: int | None, request: Request, on_event: OnEvent
) -> tuple[Variant, Artifact]:
    exported = export_model(
        model,
        format or Format.ONNX,
        task=_task(model, request),
        choices=choices,
        accept_parity=request.accept_parity,
        on_progress=lambda text: on_event(LogMessage(text)),
    )
    return exported.variant, exported.artifact


def _with_unique_names(exported: list[tuple[Variant, Artifact]]) -> list[tuple[Variant, Artifact]]:
    """Return the same with distinct names for distinct sources, because scores refer to variants by name."""
    names = unique_names([(variant.source, variant.name) for variant, _ in exported])
    return [(replace(variant, name=name), artifact) for (variant, artifact), name in zip(exported, names, strict=True)]
