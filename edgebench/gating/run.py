"""gate(): a candidate held against a baseline whose file is measured again in the same session."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgebench.artifact import EXPORT_FORMATS, Format, file_notes, parse_format
from edgebench.board import formats_on
from edgebench.device import LOCAL, Device, find_device
from edgebench.errors import NotValid, UnknownName
from edgebench.events import OnEvent, ignore
from edgebench.export import existing_file, recorded_format, refuse_other_formats
from edgebench.gating.accept import keep_files
from edgebench.gating.baseline import Baseline
from edgebench.gating.budgets import DEFAULT_BUDGETS, NO_BUDGET, Budget, fitting_budgets, read_budgets
from edgebench.gating.exact import judge_scores, judge_size
from edgebench.gating.lines import Role, Sides, timed_lines
from edgebench.gating.metrics import Metric
from edgebench.gating.records import keep_result
from edgebench.gating.references import LAST, choose_workloads, find_anchors, find_baselines, require
from edgebench.gating.result import BudgetResult, GateResult, GateSide
from edgebench.gating.rules import LOOKS, together
from edgebench.gating.schedule import GateSchedule, IsDecided
from edgebench.gating.sentences import gate_sentence
from edgebench.measure import profile_all
from edgebench.measurement import Measurement
from edgebench.request import DEFAULT_MODEL, WAIT_S, Request
from edgebench.store import Store, merged_scores, open_store, stored_scores, with_stored
from edgebench.workload import RunPlan, Workload
from edgebench.xtreme_r import ScoreRow, read_scores

#: In what a candidate may differ from its baseline where that is allowed.
ALLOWABLE = ("format", "runtime")


def gate(
    model: str | Path = DEFAULT_MODEL,
    *,
    baseline: str | Path = LAST,
    anchor: str | Path | None = None,
    device: str | Device | None = None,
    format: str | Format | None = None,
    workloads: Sequence[Workload] = (),
    texts: Sequence[str] | None = None,
    plan: RunPlan | None = None,
    budgets: Sequence[Budget] | None = None,
    margin: float | None = None,
    allow: Collection[str] = (),
    store: Store | str | Path | None = None,
    scores: str | Path | None = None,
    runtime: str | None = None,
    accept_parity: bool = False,
    wait_s: float = WAIT_S,
    wait_idle_s: float | None = None,
    cool_below_c: float | None = None,
    on_event: OnEvent = ignore,
) -> GateResult:
    """Hold a candidate against a baseline, whose file is measured again in the same session; return what was found.

    Args:
        model: the candidate, as for `profile`.
        baseline: `last` (the last accepted of this board and workload), a FILE.json that `accept_baseline` wrote, the
            name of an accepted baseline, a measurement's id, or a variant, NAME or NAME:FORMAT.
        anchor: hold it against this one, too, named in the same way; default: the one that is pinned, if any is.
        device: a name from edgebench.toml, `local`, or a Device; default: the baseline's.
        format: of the candidate; default: the baseline's.
        workloads: default: the baseline's.
        texts: the inputs, where the baseline's are texts and no workload is given.
        plan: inferences and seconds of each run; the numbers of runs are the gate's: 6, 12 and 20.
        budgets: default: those of edgebench.toml, else a latency of at most 3 % above the baseline's.
        margin: of the latency, instead of what the budgets say; 0.03: 3 %.
        allow: `format`, `runtime`: in these the candidate may differ from the baseline.
        store: a Store or its folder, as for `profile`: it has the baselines, and keeps the result for `gate_history`.
        scores: a file of XTREME-R scores of the two files, for budgets on scores; what `evaluate` stored counts, too.
        runtime: of .tflite files: `ai-edge-litert` or `tflite-runtime`.
        accept_parity: as for `edgebench.export_model`.
        wait_s: longest wait for a board that somebody else uses, seconds.
        wait_idle_s: longest wait until nothing else keeps the board busy, seconds; None: no wait.
        cool_below_c: temperature to cool down to before each run, degrees Celsius.
        on_event: receives progress, see `edgebench.events`.

    Returns:
        The result: pass, fail (confirmed in a second session) or undecided.

    Raises:
        UsageError: arguments contradict each other, or the baseline is of another board, workload, format or runtime.
        NotValid: a side is not valid, the baseline's file is gone, or the figure of a budget was not measured.
        StoreError: the store or the baseline can't be read, or is of a newer version.
        DeviceError: the board can't be reached, or is busy.
    """
    for name in allow:
        if name not in ALLOWABLE:
            raise UnknownName("condition", name, ALLOWABLE)
    keep = open_store(store)
    rows = read_scores(Path(scores)) if scores is not None else []
    board = find_device(device) if isinstance(device, str) else device
    known = find_baselines(str(baseline), store=keep, device=board.name if board is not None else _local(str(baseline)))
    board = board if board is not None else find_device(known[0].device.name)
    candidate = _candidate_format(str(model), format, known[0], board)
    if existing_file(str(model)) is None:
        (candidate,) = formats_on(board, [candidate], runtime=runtime, wait_s=wait_s, on_event=on_event)
    require(known, device=board.name, formats=[candidate], allow=allow)
    chosen = choose_workloads(known, workloads, texts=tuple(texts) if texts is not None else None)
    anchors = find_anchors(keep, str(anchor) if anchor is not None else None, device=board.name, rows=chosen)
    set_budgets = read_budgets() if budgets is None else tuple(budgets)
    labels = [workload.label for _, workload in chosen]
    task = _Task(
        baseline=chosen[0][0],
        anchor=anchors[0] if anchors is not None else None,
        budgets=tuple(fitting_budgets(set_budgets or DEFAULT_BUDGETS, device=board.name, labels=labels, margin=margin)),
        store=keep,
        on_event=on_event,
        candidate_format=candidate,
        request=Request(
            device=board,
            models=(str(model),),
            formats=() if existing_file(str(model)) is not None else (candidate,),
            workloads=tuple(workload for _, workload in chosen),
            plan=replace(plan or RunPlan(), runs=LOOKS[0]),
            runtime=runtime,
            accept_parity=accept_parity,
            overhead=False,
            wait_s=wait_s,
            wait_idle_s=wait_idle_s,
            cool_below_c=cool_below_c,
        ),
        rows=tuple(rows),
        notes=(NO_BUDGET,) if not set_budgets and margin is None else (),
    )
    return task.run()


def _local(reference: str) -> str | None:
    """Return the board whose last baseline is meant where none is named."""
    return LOCAL if reference == LAST else None


def _candidate_format(model: str, format: str | Format | None, baseline: Baseline, device: Device) -> Format:
    file = existing_file(model)
    if file is not None:
        refuse_other_formats([model], [parse_format(str(format))] if format is not None else [])
        return recorded_format(file)
    if format is not None:
        return parse_format(str(format))
    known = baseline.artifact.format
    return known if known in EXPORT_FORMATS else device.profile.default_format


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One gate, its arguments resolved. `request`: of the candidate alone."""

    baseline: Baseline
    anchor: Baseline | None
    budgets: tuple[Budget, ...]
    store: Store
    on_event: OnEvent
    candidate_format: Format
    request: Request
    rows: tuple[ScoreRow, ...]
    notes: tuple[str, ...]

    def run(self) -> GateResult:
        started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        models, roles = self._models()
        request = replace(self.request, models=tuple(models))
        names = {Role.BASELINE: self.baseline.name, Role.CANDIDATE: "the candidate"}
        if self.anchor is not None:
            names[Role.ANCHOR] = self.anchor.name
        labels = [workload.label for workload in request.workloads]

        def measure(*, alternate: bool, looks: tuple[int, ...], is_decided: IsDecided) -> list[Measurement]:
            planned = replace(request, alternate=alternate, planned_looks=looks)
            return profile_all(planned, store=self.store, on_event=self.on_event, is_decided=is_decided)

        schedule = GateSchedule(
            roles=roles,
            labels=labels,
            names=names,
            lines=timed_lines(self.budgets, labels, has_anchor=self.anchor is not None),
            measure=measure,
            is_virtual=self.baseline.device.virtual,
            can_alternate=self._can_alternate(),
            on_event=self.on_event,
        )
        schedule.run()
        return self._kept(schedule, roles, started_at)

    def _models(self) -> tuple[list[str], list[Role]]:
        """Return the folders and names of the models to measure, and the side that each one is."""
        models, roles = [str(keep_files(self.store, self.baseline))], [Role.BASELINE]
        models, roles = [*models, *self.request.models], [*roles, Role.CANDIDATE]
        if self.anchor is not None and self.anchor.artifact != self.baseline.artifact:
            models, roles = [*models, str(keep_files(self.store, self.anchor))], [*roles, Role.ANCHOR]
        return models, roles

    def _can_alternate(self) -> bool:
        """Whether the models run in one runtime on the same processors."""
        formats = {self.candidate_format, self.baseline.artifact.format}
        if self.anchor is not None:
            formats.add(self.anchor.artifact.format)
        on_gpu = bool(self.request.device.profile.providers) and len(formats) > 1
        return len({format.runtime for format in formats}) == 1 and not on_gpu

    def _kept(self, schedule: GateSchedule, roles: Sequence[Role], started_at: str) -> GateResult:
        """Return the result, which is also kept in the store."""
        first = next(iter(schedule.sides.values()))
        self._require_files(first)
        candidate = _side(first[Role.CANDIDATE], schedule, Role.CANDIDATE)
        lines = schedule.results
        timed = [found for line, found in lines.items() if line.role is not Role.ANCHOR]
        anchored = [found for line, found in lines.items() if line.role is Role.ANCHOR]
        exact, about_scores = self._exact(first)
        found = [*timed, *exact]
        decided = [each for each in schedule.sessions if each.purpose in ("decide", "repeat")]
        result = GateResult(
            id=schedule.sessions[0].id,
            started_at=started_at,
            result=together(each.result for each in (*found, *anchored)),
            sentence=gate_sentence(found, anchored, candidate=candidate.name, mode=decided[-1].mode),
            sessions=tuple(schedule.sessions),
            device=_device(first[Role.CANDIDATE]),
            baseline=_side(first[Role.BASELINE], schedule, Role.BASELINE, self.baseline),
            candidate=candidate,
            budgets=tuple(found),
            anchor=_side(first[Role.ANCHOR], schedule, Role.ANCHOR, self.anchor) if self.anchor is not None else None,
            anchor_budgets=tuple(anchored),
            notes=(
                *self.notes,
                *self._changed_runtime(first[Role.BASELINE]),
                *file_notes((side.subject.variant_and_format, side.subject.artifact) for side in first.values()),
                *about_scores,
            ),
        )
        keep_result(self.store, result)
        return result

    def _require_files(self, sides: Sides) -> None:
        known = {Role.BASELINE: self.baseline, Role.ANCHOR: self.anchor}
        for role, baseline in known.items():
            measured = sides[role].subject.artifact.sha256
            if baseline is not None and measured != baseline.artifact.sha256:
                raise NotValid(
                    f"the file of {baseline.name} changed while it was measured ({measured[:12]}, not "
                    f"{baseline.artifact.sha256[:12]}); remove artifacts/{baseline.artifact.sha256} from the store"
                )

    def _exact(self, sides: Sides) -> tuple[list[BudgetResult], list[str]]:
        """Return what budgets on size and scores say, and the caveats of the scores."""
        against = self.baseline.name
        baseline, candidate = sides[Role.BASELINE], sides[Role.CANDIDATE]
        found = [
            judge_size(budget, baseline, candidate, against=against)
            for budget in self.budgets
            if budget.metric is Metric.SIZE
        ]
        scored = [budget for budget in self.budgets if budget.metric is Metric.SCORE]
        if not scored:
            return found, []
        subject = baseline.subject
        variant = replace(subject.variant, name=self.baseline.variant.name)
        named = replace(baseline, subject=replace(subject, variant=variant))
        stored, examples = stored_scores(self.store, [named, candidate])
        rows, examples = merged_scores(
            self._rows_of(named, candidate), with_stored(stored, self.baseline.score_rows()), examples
        )
        for budget in scored:
            found += judge_scores(budget, named, candidate, rows, examples, against=against)
        names = {each.subject.variant.name for each in (named, candidate)}
        caveats = [
            f"{row.task} {row.lang} of {row.variant}: {caveat}"
            for row in rows
            if row.variant in names
            for caveat in row.caveats
        ]
        return found, list(dict.fromkeys(caveats))

    def _rows_of(self, baseline: Measurement, candidate: Measurement) -> list[ScoreRow]:
        """Return the rows of the file of scores that tell the sides apart: of one variant, those that name a file."""
        is_one_variant = baseline.subject.variant.name == candidate.subject.variant.name
        return [row for row in self.rows if row.artifact_sha256 is not None or not is_one_variant]

    def _changed_runtime(self, measured: Measurement) -> list[str]:
        then, now = self.baseline.device, measured.subject.device
        if None in (then.runtime_version, now.runtime_version) or then.runtime_version == now.runtime_version:
            return []
        return [
            f"{self.baseline.name} was accepted with {then.runtime} {then.runtime_version}, and both sides were "
            f"measured with {now.runtime_version}: what the runtime itself changed is not in the ratio"
        ]


def _side(measured: Measurement, schedule: GateSchedule, role: Role, baseline: Baseline | None = None) -> GateSide:
    subject = measured.subject
    variant = baseline.variant.name if baseline is not None else subject.variant.name
    return GateSide(
        name=baseline.name if baseline is not None else variant,
        variant=variant,
        format=str(subject.artifact.format),
        artifact_sha256=subject.artifact.sha256,
        bytes=subject.artifact.bytes,
        measurements=tuple(side[role].id for side in schedule.sides.values()),
    )


def _device(measured: Measurement) -> Mapping[str, Any]:
    """Return the board's name and what tells it from another one of that name."""
    device = measured.subject.device
    names = ("name", "model", "arch", "cpu", "cores", "memory_bytes", "runtime", "runtime_version")
    known = {name: getattr(device, name) for name in names}
    return known | {"virtual": device.virtual, "serial_hash": device.serial_hash}
