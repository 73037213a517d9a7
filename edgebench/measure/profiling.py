"""profile(): one session from plain arguments, for scripts and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack, overload

from edgebench.artifact import ALL_FORMATS, Format, parse_formats
from edgebench.device import Device, find_device
from edgebench.errors import ConfigError
from edgebench.events import OnEvent, ignore
from edgebench.measure.preparation import refuse_plain_checkpoints
from edgebench.measure.session import profile_all
from edgebench.measurement import Measurement
from edgebench.request import DEFAULT_MODEL, WAIT_S, Request
from edgebench.stats import MARGIN
from edgebench.store import Store, open_store
from edgebench.workload import RunPlan, Workload
from edgebench.xtreme_r import read_scores


class ProfileOptions(TypedDict, total=False):
    """The arguments of `profile` that mean the same for one row and for several; `profile` describes them."""

    device: str | Device
    plan: RunPlan | None
    store: Store | str | Path | None
    scores: str | Path | None
    runtime: str | None
    operators: bool
    overhead: bool
    cold: bool
    accept_parity: bool
    alternate: bool
    until_decided: bool
    margin: float
    budget_s: float | None
    cool_below_c: float | None
    cool_wait_s: float
    wait_s: float
    wait_idle_s: float | None
    journal: str
    sentence_embedding: bool
    on_event: OnEvent


@overload
def profile(
    model: str | Path = DEFAULT_MODEL,
    *,
    format: str | Format | None = None,
    workload: Workload | None = None,
    tune: None = None,
    **options: Unpack[ProfileOptions],
) -> Measurement: ...


@overload
def profile(
    model: str | Path | Sequence[str | Path] = DEFAULT_MODEL,
    *,
    format: str | Format | Sequence[str | Format] | None = None,
    workload: Workload | Sequence[Workload] | None = None,
    tune: str | Sequence[str] | None = None,
    **options: Unpack[ProfileOptions],
) -> list[Measurement]: ...


def profile(
    model: str | Path | Sequence[str | Path] = DEFAULT_MODEL,
    *,
    format: str | Format | Sequence[str | Format] | None = None,
    workload: Workload | Sequence[Workload] | None = None,
    tune: str | Sequence[str] | None = None,
    device: str | Device = "local",
    plan: RunPlan | None = None,
    store: Store | str | Path | None = None,
    scores: str | Path | None = None,
    runtime: str | None = None,
    operators: bool = False,
    overhead: bool = True,
    cold: bool = True,
    accept_parity: bool = False,
    alternate: bool = False,
    until_decided: bool = False,
    margin: float = MARGIN,
    budget_s: float | None = None,
    cool_below_c: float | None = None,
    cool_wait_s: float = 600.0,
    wait_s: float = WAIT_S,
    wait_idle_s: float | None = None,
    journal: str = "memory",
    sentence_embedding: bool = False,
    on_event: OnEvent = ignore,
) -> Measurement | list[Measurement]:
    """Measure models on one device in one session; the results are also in the store.

    Args:
        model: a Hugging Face folder or hub id, an .onnx or .tflite file, the folder of an earlier export, or
            `reference:tiny|minilm|base|large`; or a list of these. The runs of several models are interleaved.
        format: an export format or a list of them, `["all"]` for every one; default: the device profile's. For a file
            or an exported folder, leave it out, or name the format that it has.
        workload: scenario, inputs, batch and threads, or a list; default: single-stream, one input of 128 tokens.
        tune: what to find the fastest valid setting of: `threads`, `power` or both. `edgebench.tune` returns the answer
            itself.
        device: a name from edgebench.toml, `local`, or a Device. For several boards at once: `run_sessions`.
        plan: number of runs, and inferences and seconds of each; default: six runs of at least 100 inferences and 2 s.
        store: a Store or its folder; default: $EDGEBENCH_STORE, else `.edgebench` in the working folder.
        scores: a file of XTREME-R scores (CSV or JSON lines) to attach to the measurements.
        runtime: of .tflite files: `ai-edge-litert` or `tflite-runtime`; default: whichever the board has.
        operators: also profile the models' operators, in extra runs that do not count.
        overhead: first measure the overhead of edgebench itself on the board, for some seconds.
        cold: also start each model once with its files out of the board's page cache.
        accept_parity: as for `edgebench.export_model`.
        alternate: measure the models in one process, one inference of each in turn.
        until_decided: add runs, at planned looks, until every comparison with the first row is decided.
        margin: latencies within 1 ± margin are equivalent.
        budget_s: longest duration of the session, seconds; runs and inferences are planned to fit.
        cool_below_c: temperature to cool down to before each run, degrees Celsius; default: the device profile's.
        cool_wait_s: longest wait for that, seconds.
        wait_s: longest wait for a board that somebody else uses, seconds.
        wait_idle_s: longest wait until nothing else keeps the board busy, seconds; None: no wait.
        journal: where the board keeps the journal of a run that goes on: `memory`, which a reboot loses, or `disk`.
        sentence_embedding: export a sentence-transformers folder as one graph of encoder and modules.
        on_event: receives progress, see `edgebench.events`.

    Returns:
        One Measurement. If `model`, `format` or `workload` is a list, or `tune` is set: a list with one Measurement for
        each model, format and workload, in this order of nesting; for `tune`, as `profile_all`. A measurement that is
        not valid is returned, too: `valid` is False and `reasons` says why.

    Raises:
        UsageError: the arguments contradict each other, or name something unknown.
        ExportError: the checkpoint can't be exported.
        DeviceError: the board can't be reached, is busy, or can't run the model.
        StoreError: the store can't be written.
    """
    models = (model,) if isinstance(model, str | Path) else tuple(model)
    formats = () if format is None else (format,) if isinstance(format, str) else tuple(format)
    workloads = (workload,) if isinstance(workload, Workload) else tuple(workload or (Workload(),))
    parameters = () if tune is None else (tune,) if isinstance(tune, str) else tuple(tune)
    if format == ALL_FORMATS:
        raise ConfigError("several formats give a list of measurements", hint="try `format=['all']`")
    request = Request(
        device=find_device(device) if isinstance(device, str) else device,
        models=tuple(dict.fromkeys(map(str, models))),
        formats=parse_formats(map(str, formats)),
        workloads=workloads,
        plan=plan or RunPlan(),
        runtime=runtime,
        operators=operators,
        overhead=overhead,
        cold=cold,
        accept_parity=accept_parity,
        alternate=alternate,
        until_decided=until_decided,
        margin=margin,
        budget_s=budget_s,
        cool_below_c=cool_below_c,
        cool_wait_s=cool_wait_s,
        wait_s=wait_s,
        wait_idle_s=wait_idle_s,
        journal=journal,
        sentence_embedding=sentence_embedding,
        tune=parameters,
    )
    if sentence_embedding:
        refuse_plain_checkpoints(request.models)
    rows = read_scores(Path(scores)) if scores is not None else []
    measurements = profile_all(request, store=open_store(store), scores=rows, on_event=on_event)
    is_one = isinstance(model, str | Path) and (format is None or isinstance(format, str))
    if is_one and (workload is None or isinstance(workload, Workload)) and tune is None:
        (measurement,) = measurements
        return measurement
    return measurements
