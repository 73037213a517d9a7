"""evaluate(): a task's examples through the artifact on the device that timed it, and what its answers score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.analysis.energy import energy_of
from edgebench.analysis.evaluation import Evaluation
from edgebench.artifact import Artifact, Format, hash_file, parse_format
from edgebench.board.lease import open_leased_agent
from edgebench.board.preflight import preflight, providers_for, push_artifact, runtime_of
from edgebench.device import Device, find_device
from edgebench.errors import ConfigError, ScoresError, UnknownName
from edgebench.evaluation.inference import BoardModel, Inferred
from edgebench.evaluation_result import LanguageCost, LanguageEvaluation, TaskEvaluation
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.export import Exported, existing_file, export_model, open_tokenizer
from edgebench.export.checkpoint import TOKENIZER_FILES
from edgebench.facts import DeviceFacts
from edgebench.measure.collect import RunCollector
from edgebench.measure.inputs import resolve_workload
from edgebench.request import WAIT_S
from edgebench.run import Run
from edgebench.stats.percentiles import quantiles
from edgebench.stats.resampling import bootstrap_interval
from edgebench.store.store import Store
from edgebench.variant import REFERENCE_PREFIX
from edgebench.workload import EncodedInputs, Workload
from edgebench.xtreme_r.decoding import (
    MAX_ANSWER_LEN,
    N_BEST,
    MetricScore,
    Row,
    decode,
    head_for,
    labels_of_checkpoint,
    rank,
    score_predictions,
)
from edgebench.xtreme_r.encoding import (
    TaskInputs,
    encode_candidates,
    encode_examples,
    fertility_of,
    lengths_of,
)
from edgebench.xtreme_r.examples import (
    SPLITS,
    Candidate,
    Examples,
    NoExamples,
    find_data,
    mewslix_candidates,
    read_task,
)
from edgebench.xtreme_r.metrics import SEQEVAL_VERSIONS
from edgebench.xtreme_r.scoring import convention_of
from edgebench.xtreme_r.subsets import limited
from edgebench.xtreme_r.tasks import Task, find_task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

HOST_FP32 = "host-fp32"
_STATES = "last_hidden_state"
_NOT_ANSWERED = {
    "bucc2018": "which pairs are mined depends on a threshold that is fitted on other pairs; "
    "score pairs that were mined: edgebench scores eval"
}
_MS = 1e6
_TELL_EVERY = 500  # inferences


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What is to be answered and scored, by what, where.

    langs: empty: those whose files are in `data`. labels: a folder of right answers beside the data (see `read_task`).
    limit: of each language at most so many examples, drawn from `seed` with the labels' shares kept. prefix: before
    each text of a retrieval task, as some encoders want it. batch, threads, runtime: as for `edgebench.profile`.
    also_host: also let the fp32 artifact answer on this machine, to see what the format changed. again: answer anew
    what the store has.
    """

    device: Device
    model: str
    format: Format | None = None
    tasks: tuple[str, ...]
    langs: tuple[str, ...] = ()
    data: Path
    labels: Path | None = None
    split: str = "test"
    limit: int | None = None
    seed: int = 0
    prefix: str = ""
    seqeval: str = SEQEVAL_VERSIONS[0]
    batch: int = 1
    threads: int | None = None
    runtime: str | None = None
    also_host: bool = False
    again: bool = False
    wait_s: float = WAIT_S

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise UnknownName("split", self.split, SPLITS)
        if self.seqeval not in SEQEVAL_VERSIONS:
            raise UnknownName("version of seqeval", self.seqeval, SEQEVAL_VERSIONS)
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit must be >= 1, got {self.limit}")
        if self.batch < 1:
            raise ConfigError(f"batch must be >= 1, got {self.batch}")
        if not self.tasks:
            raise ConfigError("no task to evaluate; try --task xnli")
        if self.model.startswith(REFERENCE_PREFIX):
            raise ConfigError(f"{self.model} has random weights, whose answers mean nothing; name a checkpoint")


def evaluate(
    model: str | Path,
    *,
    tasks: Sequence[str],
    data: str | Path,
    langs: Sequence[str] = (),
    device: str | Device = "local",
    format: Format | str | None = None,
    also: Sequence[str] = (),
    store: Store | str | Path = ".edgebench",
    on_event: OnEvent = ignore,
    **more: Any,
) -> Evaluation:
    """Answer tasks' examples with an artifact on a device, score the answers, and return the Evaluation.

    Args:
        model, device, format: as for `edgebench.profile`.
        tasks, langs: names of XTREME-R's; no language: all whose files are in `data`.
        data: the folder `download/` that XTREME's scripts make.
        also: `host-fp32`: also the fp32 artifact on this machine, and what differs.
        more: labels, split, limit, seed, prefix, seqeval, batch, threads, runtime, again: see EvaluationRequest.

    Raises:
        EdgebenchError: see edgebench.errors. What was answered until then is in the store, and is not answered again.
    """
    if unknown := set(also) - {HOST_FP32}:
        raise UnknownName("artifact to compare with", min(unknown), [HOST_FP32])
    labels = more.pop("labels", None)
    request = EvaluationRequest(
        device=find_device(device) if isinstance(device, str) else device,
        model=str(model),
        format=parse_format(str(format)) if format is not None else None,
        tasks=tuple(tasks),
        langs=tuple(langs),
        data=Path(data),
        labels=Path(labels) if labels is not None else None,
        also_host=HOST_FP32 in also,
        **more,
    )
    return evaluate_all(request, store=store if isinstance(store, Store) else Store(store), on_event=on_event)


def evaluate_all(request: EvaluationRequest, *, store: Store, on_event: OnEvent = ignore) -> Evaluation:
    """Carry out a request; see `evaluate`."""
    store.check_writable()
    if request.also_host and existing_file(request.model) is not None:
        raise ConfigError(f"{request.model} has no fp32 artifact to compare with; name the checkpoint's folder")
    parts, missing = _parts(request)
    subject = _subject(request, request.format or request.device.profile.default_format, parts, on_event)
    fp32 = _subject(request, Format.ONNX_FP32, parts, on_event) if request.also_host else None
    languages, facts = _on_device(request, request.device, subject, parts, store, on_event)
    reference: tuple[LanguageEvaluation, ...] = ()
    if fp32 is not None:
        here = replace(request, runtime=None)
        reference, _ = _on_device(here, find_device("local"), fp32, parts, store, on_event)
    return Evaluation(
        variant=subject.exported.variant,
        artifact=subject.exported.artifact,
        device=facts,
        languages=languages,
        reference=reference,
        missing=missing,
        is_limited=request.limit is not None or request.split != "test",
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A task's examples in one language, with their labels, as many as are wanted."""

    task: Task
    examples: Examples

    @property
    def lang(self) -> str:
        return self.examples.lang


def _parts(request: EvaluationRequest) -> tuple[list[_Part], dict[str, tuple[str, ...]]]:
    """Return what is to be answered, and the languages of each task that are not."""
    if not request.data.is_dir():
        raise ConfigError(f"{request.data} is not a folder; --data takes the folder download/ of XTREME's scripts")
    parts, missing = [], {}
    for task in dict.fromkeys(find_task(name) for name in request.tasks):
        if task.name in _NOT_ANSWERED:
            raise ConfigError(f"{task.title} can't be evaluated on a device: {_NOT_ANSWERED[task.name]}")
        answered = list(_parts_of(request, task))
        parts += answered
        there = {part.lang for part in answered}
        if absent := tuple(lang for lang in task.langs if lang not in there):
            missing[task.name] = absent
    return parts, missing


def _parts_of(request: EvaluationRequest, task: Task) -> Iterator[_Part]:
    """Yield a task's examples in each language that is asked for, or else that has some."""
    empty: NoExamples | None = None
    is_none = True
    for lang in dict.fromkeys(request.langs or _langs_there(request, task)):
        try:
            yield _Part(task, _examples(request, task, lang))
            is_none = False
        except NoExamples as error:
            if request.langs:
                raise
            empty = error
    if is_none and empty is not None:
        raise empty


def _question(request: EvaluationRequest, part: _Part) -> dict[str, Any]:
    """Return what of a protocol is the same for every artifact and board."""
    values: dict[str, Any] = {
        **convention_of(part.task, part.lang, seqeval=request.seqeval),
        "split": request.split,
        "limit": request.limit,
        "seed": request.seed if request.limit is not None else None,
        "data_sha256": _data_sha256(part.examples),
    }
    return values | ({"prefix": request.prefix} if part.task.group == "retrieval" else {})


def questions_of(request: EvaluationRequest) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what of the protocol is the same for every artifact and board, by task and language.

    Raises:
        EdgebenchError: examples or their labels are not there, or can't be read.
    """
    parts, _ = _parts(request)
    return {(part.task.name, part.lang): _question(request, part) for part in parts}


def _langs_there(request: EvaluationRequest, task: Task) -> tuple[str, ...]:
    found = find_data(request.data, split=request.split)[task.name]
    if not found.langs:
        first = next(iter(found.missing.values()))
        raise ScoresError(f"{task.title}: no language has its files in {request.data}; for example no {first}")
    return found.langs


def _examples(request: EvaluationRequest, task: Task, lang: str) -> Examples:
    examples = read_task(request.data, task.name, lang, split=request.split, labels=request.labels)
    if task.name == "mewslix":
        examples = replace(examples, candidates=tuple(mewslix_candidates(request.data)))
    if examples.labels is None:
        raise ScoresError(_no_labels(request, task, lang))
    return limited(examples, request.limit, seed=request.seed)


def _no_labels(request: EvaluationRequest, task: Task, lang: str) -> str:
    return (
        f"{task.title} in {lang}: {request.data} has no right answers in its {request.split} files (XTREME's scripts "
        f"take them out); name a folder of them, --labels DIR with {task.name}/test-{lang}.{task.suffix}"
        f"{', or try --split dev' if request.split == 'test' else ''}"
    )


@dataclass(frozen=True, slots=True)
class _Subject:
    """What answers: the artifact, its checkpoint's tokenizer, and by task what each of its labels means."""

    exported: Exported
    tokenizer: Tokenizer
    labels: Mapping[str, tuple[str, ...]]


def _subject(request: EvaluationRequest, format: Format, parts: Sequence[_Part], on_event: OnEvent) -> _Subject:
    """Export a model, and make sure that its head, tokenizer and labels fit the tasks."""
    exported = export_model(request.model, format, on_progress=lambda text: on_event(LogMessage(text)))
    artifact = exported.artifact
    wanted = dict.fromkeys(part.task for part in parts)
    for task in wanted:
        _refuse_head(artifact, task)
    tokenizer = open_tokenizer(artifact)
    assert artifact.tokenizer is not None  # noqa: S101 - open_tokenizer has refused that
    folder = Path(artifact.tokenizer)
    labels = {task.name: labels_of_checkpoint(folder, task) for task in wanted if task.labels and task.name != "xcopa"}
    return _Subject(exported, tokenizer, labels)


def _refuse_head(artifact: Artifact, task: Task) -> None:
    wanted, name = head_for(task)
    if artifact.head == wanted:
        return
    has = artifact.head or "a head that the file does not tell"
    hint = f"; try: edgebench export --task {name} --out DIR, and --model with the folder that it writes"
    raise ConfigError(
        f"{task.title} needs {wanted}; {artifact.model_path} has {has}{hint if task.group == 'retrieval' else ''}"
    )


def _on_device(
    request: EvaluationRequest,
    device: Device,
    subject: _Subject,
    parts: Sequence[_Part],
    store: Store,
    on_event: OnEvent,
) -> tuple[tuple[LanguageEvaluation, ...], DeviceFacts]:
    """Return what an artifact answers on a device, from the store where it is there; and the device's facts."""
    artifact = subject.exported.artifact
    with open_leased_agent(device, purpose="evaluate", wait_s=request.wait_s, on_event=on_event) as agent:
        facts = preflight(agent, device, [artifact], on_event, runtime=request.runtime)
        told = facts[runtime_of(artifact, request.runtime)]
        push_artifact(agent, artifact, on_event)
        board = BoardModel(
            agent=agent, artifact=artifact, providers=providers_for(device, artifact), runtime=request.runtime
        )
        evaluator = _Evaluator(request, device, subject, told, board, on_event)
        answered = []
        for part in parts:
            id, protocol = evaluator.identity(part)
            kept = None if request.again else store.evaluation(id)
            if kept is None:
                agent.keep_lease()
                kept = evaluator.answer(part, id, protocol)
                store.write_evaluation(kept)
            else:
                on_event(LogMessage(f"{part.task.name} {part.lang}: in the store already; --again answers it anew"))
            answered.append(kept)
    return tuple(answered), told


@dataclass(frozen=True, slots=True)
class _Evaluator:
    """One artifact on one board that is ours. `vectors`: of candidates that several languages share."""

    request: EvaluationRequest
    device: Device
    subject: _Subject
    facts: DeviceFacts
    board: BoardModel
    on_event: OnEvent
    vectors: dict[str, tuple[NDArray[np.float32], list[int]]] = field(default_factory=dict)

    def identity(self, part: _Part) -> tuple[str, dict[str, Any]]:
        """Return the id of an evaluation and the protocol that, with artifact and device, it stands for."""
        protocol = self._protocol(part)
        artifact = self.subject.exported.artifact
        key = json.dumps([artifact.sha256, self.device.name, part.task.name, part.lang, protocol], sort_keys=True)
        return hashlib.sha256(key.encode()).hexdigest()[:40], protocol

    def _protocol(self, part: _Part) -> dict[str, Any]:
        request, artifact, task = self.request, self.subject.exported.artifact, part.task
        values: dict[str, Any] = {
            **_question(request, part),
            **lengths_of(task, artifact.max_seq_len),
            "batch": request.batch,
            "padding": "bucket" if artifact.format.runtime == "tflite" else "longest",
            "threads": self._threads,
            "tokenizer_sha256": _tokenizer_sha256(artifact),
            "format": str(artifact.format),
            "runtime": self.facts.runtime,
            "runtime_version": self.facts.runtime_version,
            "providers": list(self.board.providers),
            "arch": self.facts.arch,
        }
        if task.group == "qa":
            values |= {"n_best": N_BEST, "max_answer_len": MAX_ANSWER_LEN, "spans": "run_qa.py of transformers"}
        if task.group == "retrieval":
            values["pooling"] = "mean over all tokens of the last layer"
        return values

    @property
    def _threads(self) -> int | None:
        return self.request.threads or self.device.profile.threads or None

    def answer(self, part: _Part, id: str, protocol: dict[str, Any]) -> LanguageEvaluation:
        """Let the model answer a task's examples in one language, and score that."""
        task, examples = part.task, part.examples
        inputs = encode_examples(
            self.subject.tokenizer,
            task,
            examples,
            longest=self.subject.exported.artifact.max_seq_len,
            prefix=self.request.prefix,
        )
        self.on_event(LogMessage(f"{task.name} {part.lang}: {len(examples)} examples, {len(inputs.owners)} inferences"))
        told = self._infer(inputs, reduce=task.group == "retrieval", name=f"{task.name} {part.lang}")
        english: float | None = None
        if task.group == "retrieval":
            predictions, english = self._retrieve(part, told)
        else:
            labels = self.subject.labels.get(task.name, ())
            predictions = decode(task, examples, inputs, list(_rows(told)), labels)
        scores = score_predictions(task, examples, predictions, seqeval=self.request.seqeval)
        return LanguageEvaluation(
            id=id,
            started_at=told.run.started_at,
            scores=tuple(self._evaluation(part, protocol, score) for score in scores),
            predictions=tuple(predictions),
            tokens=_int_array(inputs.tokens_of_examples(len(examples))),
            cost=self._cost(part, inputs, told.run, english),
        )

    def _infer(self, inputs: TaskInputs, *, reduce: bool, name: str) -> Inferred:
        artifact = self.subject.exported.artifact
        encoded = _encoded(inputs.sequences)
        self._refuse_ids(encoded)
        workload = resolve_workload(
            artifact,
            Workload(
                seq_len=int(encoded.lengths.max()),
                batch=min(self.request.batch, len(inputs.owners)),
                threads=self._threads,
                choices=inputs.choices if inputs.choices > 1 else None,
            ),
        )
        return self.board.infer(
            workload, encoded, reduce="mean" if reduce else "", warm_shapes=True, watch=self._watching(name, inputs)
        )

    def _watching(self, name: str, inputs: TaskInputs) -> Callable[[RunCollector], None]:
        told = [0]
        inferences = -(-len(inputs.owners) // self.request.batch)

        def watch(collector: RunCollector) -> None:
            if collector.count - told[0] >= _TELL_EVERY:
                told[0] = collector.count
                self.on_event(LogMessage(f"{name}: {collector.count} of {inferences}"))

        return watch

    def _refuse_ids(self, encoded: EncodedInputs) -> None:
        vocabulary, highest = self.subject.exported.artifact.vocab_size, int(encoded.ids.max())
        if vocabulary is not None and highest >= vocabulary:
            raise ConfigError(
                f"the tokenizer in {self.subject.exported.artifact.tokenizer} gives the id {highest} and the model has "
                f"{vocabulary} embeddings: it belongs to another checkpoint; put the model's own there"
            )

    def _retrieve(self, part: _Part, told: Inferred) -> tuple[list[list[str]], float | None]:
        """Return each query's ranking, and the mean tokens of its English counterpart where the task tells which."""
        import numpy as np

        examples = part.examples
        vectors, tokens = self._candidates(part.task, examples.candidates)
        rankings = rank(part.task, examples, _vectors(told, self.subject.exported.artifact), vectors)
        if part.task.name != "tatoeba" or examples.labels is None:
            return rankings, None
        position = {candidate.id: at for at, candidate in enumerate(examples.candidates)}
        rights = [tokens[position[label[0]]] for label in examples.labels if isinstance(label, tuple)]
        return rankings, float(np.mean(rights))

    def _candidates(self, task: Task, candidates: Sequence[Candidate]) -> tuple[NDArray[np.float32], list[int]]:
        key = hashlib.sha256("\0".join(f"{each.text}\0{each.context}" for each in candidates).encode()).hexdigest()
        if (found := self.vectors.get(key)) is not None:
            return found
        artifact = self.subject.exported.artifact
        inputs = encode_candidates(
            self.subject.tokenizer, task, candidates, longest=artifact.max_seq_len, prefix=self.request.prefix
        )
        self.on_event(LogMessage(f"{task.name}: {len(candidates)} candidates"))
        told = self._infer(inputs, reduce=True, name=f"{task.name} candidates")
        self.vectors[key] = _vectors(told, artifact), [len(sequence) for sequence in inputs.sequences]
        return self.vectors[key]

    def _evaluation(self, part: _Part, protocol: dict[str, Any], score: MetricScore) -> TaskEvaluation:
        made = TaskEvaluation(
            task=part.task.name,
            lang=part.lang,
            metric=score.metric,
            value=score.value,
            n=len(part.examples),
            ids=part.examples.ids,
            per_example=score.per_example,
            counts=score.counts,
            protocol=protocol,
            artifact_sha256=self.subject.exported.artifact.sha256,
            variant=self.subject.exported.variant.name,
            format=str(self.subject.exported.artifact.format),
            device=self.device.name,
        )
        return replace(made, ci=bootstrap_interval(made.n, made.resampled, seed=self.request.seed))

    def _cost(self, part: _Part, inputs: TaskInputs, run: Run, english: float | None) -> LanguageCost:
        count = len(part.examples)
        split = fertility_of(self.subject.tokenizer, part.examples)
        energy = energy_of(run)
        padded = run.facts.batch_padded_tokens
        return LanguageCost(
            examples=count,
            inferences=len(inputs.owners),
            batch=self.request.batch,
            latency_ms=_latency_ms(run, inputs, self.request.batch),
            tokens=sum(map(len, inputs.sequences)) / count,
            padded_tokens=sum(padded) / count if padded is not None else None,
            buckets=run.facts.lengths or (),
            truncated=inputs.truncated,
            fertility=split.fertility if split else None,
            continued_words=split.continued if split else None,
            words=split.words if split else None,
            energy_j=None if isinstance(energy, str) else energy.per_inference * len(inputs.owners) / count,
            energy_absent=energy if isinstance(energy, str) else None,
            english_tokens=english,
        )


def _latency_ms(run: Run, inputs: TaskInputs, batch: int) -> dict[str, float | None]:
    """Return the figures of an example, or of a batch of several."""
    import numpy as np

    latencies = run.trace.latencies_ns
    if batch == 1:
        of_items = np.zeros(len(inputs.owners), np.int64)
        of_items[run.trace.items] = latencies
        latencies = np.zeros(max(inputs.owners) + 1, np.int64)
        np.add.at(latencies, inputs.owners, of_items)
    p50, p95 = quantiles(latencies, (0.5, 0.95))
    figures = {"mean": float(latencies.mean()), "p50": p50, "p95": p95, "max": float(latencies.max())}
    return {name: value / _MS if value is not None else None for name, value in figures.items()}


def _rows(told: Inferred) -> Iterator[Row]:
    for batch in told.batches:
        for at in range(len(next(iter(batch.values())))):
            yield {name: values[at] for name, values in batch.items()}


def _vectors(told: Inferred, artifact: Artifact) -> NDArray[np.float32]:
    import numpy as np

    if _STATES not in told.batches[0]:
        raise ConfigError(f"{artifact.model_path}: has no {_STATES} (it answers {', '.join(told.batches[0])})")
    return np.concatenate([batch[_STATES] for batch in told.batches]).astype(np.float32)


def _encoded(sequences: Sequence[Sequence[int]]) -> EncodedInputs:
    import numpy as np

    ids = np.concatenate([np.asarray(sequence, np.int32) for sequence in sequences])
    return EncodedInputs(ids, np.asarray([len(sequence) for sequence in sequences], np.int32))


def _int_array(values: Sequence[int]) -> NDArray[np.int64]:
    import numpy as np

    return np.asarray(values, np.int64)


def _data_sha256(examples: Examples) -> str:
    # Not asdict: it copies each of a million candidates.
    values = {name: getattr(examples, name) for name in examples.__slots__}
    text = json.dumps(values, ensure_ascii=False, default=lambda one: [getattr(one, name) for name in one.__slots__])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _tokenizer_sha256(artifact: Artifact) -> str:
    assert artifact.tokenizer is not None  # noqa: S101 - open_tokenizer has refused that
    paths = [Path(artifact.tokenizer) / name for name in TOKENIZER_FILES]
    return hash_file(next(path for path in paths if path.is_file()))
