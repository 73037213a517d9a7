"""evaluate(): a task's examples, answered on a device by the artifact that is timed there, and scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgebench import ending
from edgebench.analysis import Evaluation
from edgebench.artifact import Format, parse_format
from edgebench.board import formats_on, open_leased_agent, preflight, providers_for, push_artifact, runtime_of
from edgebench.device import Device, find_device
from edgebench.errors import ConfigError, UnknownName
from edgebench.evaluation.answers import Answerer
from edgebench.evaluation.embeddings import prefix_of
from edgebench.evaluation.examples import TaskExamples, read_examples
from edgebench.evaluation.identity import identity_of
from edgebench.evaluation.inference import BoardModel
from edgebench.evaluation.model import EvaluatedModel, EvaluationTarget, load_model
from edgebench.evaluation.request import EvaluationRequest
from edgebench.evaluation_result import LanguageEvaluation
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.export import existing_file, refuse_other_formats
from edgebench.facts import DeviceFacts
from edgebench.measure import idle_wait_of, predict_on, report_memory
from edgebench.planning import Shape
from edgebench.request import WAIT_S
from edgebench.store import Store, observed_on, open_store
from edgebench.xtreme_r import SEQEVAL_VERSIONS

HOST_FP32 = "host-fp32"


def evaluate(
    model: str | Path,
    *,
    tasks: Sequence[str],
    data: str | Path,
    langs: Sequence[str] = (),
    device: str | Device = "local",
    format: Format | str | None = None,
    also: Sequence[str] = (),
    labels: str | Path | None = None,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    prefix: str = "",
    seqeval: str = SEQEVAL_VERSIONS[0],
    batch: int = 1,
    threads: int | None = None,
    runtime: str | None = None,
    again: bool = False,
    accept_parity: bool = False,
    wait_s: float = WAIT_S,
    wait_idle_s: float | None = None,
    store: Store | str | Path | None = None,
    on_event: OnEvent = ignore,
) -> Evaluation:
    """Answer tasks' examples with an artifact on a device, score the answers, and return the Evaluation.

    Args:
        model: a Hugging Face folder or hub id, or an .onnx or .tflite file (or the folder with it) beside its tokenizer
            and config.json.
        tasks: names of XTREME-R's tasks, for example `xnli`.
        data: the folder `download/` that XTREME's scripts make.
        langs: default: all languages whose files are in `data`.
        device: a name from edgebench.toml, `local`, or a Device.
        format: default: the device profile's.
        also: `host-fp32`: also let the fp32 artifact answer on this machine, and report what differs.
        labels: a folder of right answers for test files that have none.
        split: `test` or `dev`.
        limit: use at most so many examples of each language, with the labels in their proportions.
        seed: of the examples drawn for `limit`, and of the bootstrap intervals.
        prefix: put before each text of a retrieval task, as some encoders expect ("query: ").
        seqeval: whose rules score tagging tasks: a version of seqeval.
        batch: examples of an inference.
        threads: default: the device profile's, else the runtime's.
        runtime: of .tflite files: `ai-edge-litert` or `tflite-runtime`; default: whichever the board has.
        again: answer again what the store has already.
        accept_parity: as for `edgebench.export_model`.
        wait_s: how long to wait for a board that another user has leased, in seconds.
        wait_idle_s: longest wait until nothing else keeps the board busy, in seconds; None: no wait.
        store: a Store or its folder, as for `profile`. Each language is stored as soon as it is answered.
        on_event: receives progress, see `edgebench.events`.

    Raises:
        UsageError: the arguments contradict each other, or name something unknown.
        ScoresError: examples or their labels are missing, or can't be read.
        ExportError: the checkpoint can't be exported.
        DeviceError: the board can't be reached, is busy, or can't run the model.
        EdgebenchError: of any kind: what was answered until then is in the store, and is not answered again.
    """
    if unknown := set(also) - {HOST_FP32}:
        raise UnknownName("artifact to compare with", min(unknown), [HOST_FP32])
    request = EvaluationRequest(
        device=find_device(device) if isinstance(device, str) else device,
        model=str(model),
        format=parse_format(str(format)) if format is not None else None,
        tasks=tuple(tasks),
        langs=tuple(langs),
        data=Path(data),
        labels=Path(labels) if labels is not None else None,
        split=split,
        limit=limit,
        seed=seed,
        prefix=prefix,
        seqeval=seqeval,
        batch=batch,
        threads=threads,
        runtime=runtime,
        also_host=HOST_FP32 in also,
        again=again,
        accept_parity=accept_parity,
        wait_s=wait_s,
        wait_idle_s=wait_idle_s,
    )
    return evaluate_all(request, store=open_store(store), on_event=on_event)


def evaluate_all(request: EvaluationRequest, *, store: Store, on_event: OnEvent = ignore) -> Evaluation:
    """Carry out a request; see `evaluate`."""
    store.check_writable()
    if request.also_host and existing_file(request.model) is not None:
        raise ConfigError(f"{request.model} has no fp32 artifact to compare with; name the checkpoint's folder")
    refuse_other_formats([request.model], [request.format] if request.format is not None else [])
    examples, missing = read_examples(request)
    model = load_model(request, _format(request, on_event), examples, on_event)
    if any(part.task.group == "retrieval" for part in examples):
        request = _with_prompt(request, model, on_event)
    fp32 = load_model(request, Format.ONNX_FP32, examples, on_event) if request.also_host else None
    languages, facts = _evaluate_on(request.device, request, model, examples, store, on_event)
    reference: tuple[LanguageEvaluation, ...] = ()
    if fp32 is not None:
        on_host = replace(request, runtime=None)
        reference, _ = _evaluate_on(find_device("local"), on_host, fp32, examples, store, on_event)
    return Evaluation(
        variant=model.variant,
        artifact=model.artifact,
        device=facts,
        languages=languages,
        reference=reference,
        missing=missing,
        is_limited=request.limit is not None or request.split != "test",
    )


def _format(request: EvaluationRequest, on_event: OnEvent) -> Format:
    """Return the format that answers; of a file, it does not matter."""
    format = request.format or request.device.profile.default_format
    if existing_file(request.model) is not None:
        return format
    device = request.device
    (chosen,) = formats_on(device, [format], runtime=request.runtime, wait_s=request.wait_s, on_event=on_event)
    return chosen


def _with_prompt(request: EvaluationRequest, model: EvaluatedModel, on_event: OnEvent) -> EvaluationRequest:
    """Return the request with the prompt that the checkpoint puts before each text by default."""
    prefix = prefix_of(model.artifact, request.prefix)
    if prefix != request.prefix:
        on_event(LogMessage(f"texts of retrieval tasks begin with {prefix!r}, the checkpoint's default prompt"))
    return replace(request, prefix=prefix)


def _evaluate_on(
    device: Device,
    request: EvaluationRequest,
    model: EvaluatedModel,
    examples: Sequence[TaskExamples],
    store: Store,
    on_event: OnEvent,
) -> tuple[tuple[LanguageEvaluation, ...], DeviceFacts]:
    """Return the evaluations of a model on a device, those that the store has from there; and the device's facts."""
    artifact, runtime = model.artifact, request.runtime
    with open_leased_agent(device, purpose="evaluate", wait_s=request.wait_s, on_event=on_event) as agent:
        facts = preflight(agent, device, [artifact], on_event, runtime=runtime)[runtime_of(artifact, runtime)]
        if not providers_for(device, artifact):
            # Not of the longest text, but of what loading takes: the texts are not encoded yet.
            prediction = predict_on(artifact, Shape(batch=1, seq_len=1), facts, observed_on(store, device.name))
            report_memory(device.name, artifact, prediction, facts, on_event)
        push_artifact(agent, artifact, on_event)
        board = BoardModel(agent=agent, artifact=artifact, providers=providers_for(device, artifact), runtime=runtime)
        target = EvaluationTarget(device=device, model=model, board=board, facts=facts)
        answerer = Answerer(request, target, on_event)
        evaluations = []
        idle_wait = idle_wait_of(agent, request.wait_idle_s, on_event)
        for part in examples:
            id, protocol = identity_of(request, target, part)
            stored = None if request.again else store.evaluation(id)
            if stored is None:
                agent.keep_lease()
                if idle_wait is not None:
                    idle_wait.require()
                stored = answerer.answer(part, id=id, protocol=protocol)
                with ending.deferred():
                    store.write_evaluation(stored)
            else:
                on_event(LogMessage(f"{part.name}: in the store already; `again` answers it once more"))
                if (known := stored.with_clusters(part.examples.clusters())) is not stored:
                    store.write_evaluation(known)  # an earlier edgebench did not keep which text an example is about
                    stored = known
            evaluations.append(stored)
    return tuple(evaluations), facts
