"""What stands behind the figures: what was excluded and why, on what it was measured, and how to measure it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote

from edgebench.facts import DeviceFacts
from edgebench.measurement import Measurement
from edgebench.reason import joined
from edgebench.reporting.html.page import Command, TableBlock
from edgebench.reporting.html.results import Results
from edgebench.reporting.html.tables import without_empty
from edgebench.reporting.overhead import cost_lines
from edgebench.reporting.table import VALID_CELLS, excluded_text
from edgebench.text import counted, significant

#: Facts of a board that say what it is; the others are in `runs show`.
_FACTS = (
    *("model", "cpu", "arch", "cores", "usable_cores", "memory_bytes", "os", "kernel", "governor", "power_mode"),
    *("clock_min_khz", "clock_max_khz", "runtime", "runtime_version", "virtual", "python"),
)


def validity_table(measurements: Sequence[Measurement]) -> TableBlock:
    """Return a row per measurement: how many runs count, what was excluded, and why."""
    rows = []
    for each in measurements:
        subject = each.subject
        gone = [run for run in each.runs if not run.valid]
        reasons = joined(dict.fromkeys(reason for run in gone for reason in run.reasons)) if gone else ""
        rows.append(
            (
                f"{subject.variant_and_format}, {subject.device.name}, {subject.label}",
                VALID_CELLS[each.state],
                f"{sum(run.valid for run in each.runs)} of {subject.planned_runs}",
                f"{counted(len(gone), 'run')}: {reasons}" if gone else "",
                excluded_text(each),
                joined(each.doubts),
            )
        )
    return without_empty(
        TableBlock(
            headers=(
                "measurement",
                "valid",
                "valid runs",
                "runs left out",
                "inferences left out",
                "reasons against it",
            ),
            rows=tuple(rows),
            caption="A run with a reason against it does not count. Inferences that other processes disturbed are left "
            "out of every figure; the stored traces contain them.",
            verdict="valid",
        )
    )


def environment_table(results: Results) -> TableBlock | None:
    """Return the boards, one a column, and what each reported of itself; None without a board."""
    boards: dict[str, DeviceFacts] = {}
    devices = [each.subject.device for each in results.measurements]
    for device in (*devices, *(each.device for each in results.evaluations)):
        known = [name for name, facts in boards.items() if _identity(facts) == _identity(device)]
        if not known:
            name = device.name or "board"
            boards[name if name not in boards else f"{name} ({len(boards) + 1})"] = device
    if not boards:
        return None
    rows = [(name, *(_fact(facts, name) for facts in boards.values())) for name in _FACTS]
    return TableBlock(
        headers=("", *boards),
        rows=tuple(row for row in rows if any(row[1:])),
        caption="What each board reported of itself. More: edgebench runs show ID",
    )


def _identity(device: DeviceFacts) -> tuple[str, ...]:
    return tuple(_fact(device, name) for name in ("name", *_FACTS))


def _fact(device: DeviceFacts, name: str) -> str:
    value = getattr(device, name)
    match name, value:
        case _, None:
            return ""
        case "memory_bytes", int():
            return f"{significant(value / 1e9)} GB"
        case (("clock_min_khz" | "clock_max_khz"), int()):
            return f"{value / 1000:g} MHz"
        case "virtual", bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def files_table(measurements: Sequence[Measurement]) -> TableBlock | None:
    """Return a row per model file that was timed; None without one."""
    files = {
        each.subject.artifact.sha256: (
            each.subject.variant_and_format,
            each.subject.variant.source or "",
            significant(each.subject.artifact.bytes / 1e6),
            "; ".join(each.subject.artifact.peculiarities),
            each.subject.artifact.sha256,
        )
        for each in measurements
    }
    if not files:
        return None
    table = TableBlock(
        headers=("file", "made from", "MB", "changed", "sha256"),
        rows=tuple(files.values()),
        caption="The files that were timed. A score belongs to a file by its hash.",
        numbers=("MB",),
    )
    return without_empty(table)


def overhead_lines(measurements: Sequence[Measurement]) -> list[str]:
    """Return what edgebench itself costs on each board."""
    return cost_lines(measurements)


def commands_of(results: Results, *, store: str, own: str | None) -> Iterator[Command]:
    """Yield the commands that measure, compare and report this again.

    Args:
        store: the folder of the store that the results are in.
        own: the command that made the page; None: it was made in Python.
    """
    where = "" if store == ".edgebench" else f" --store {quote(store)}"
    sessions: dict[str, Measurement] = {}
    for each in results.measurements:
        sessions.setdefault(each.subject.session, each)
    for session, each in sessions.items():
        runs = each.subject.planned_runs
        yield Command(
            about=f"Measure session {session} again, with its models, board, workloads and "
            f"{counted(runs, 'run')} of each row:",
            command=f"edgebench runs extend {each.id} --runs {runs}{where}",
        )
    for compared in results.comparisons:
        sides = (compared.comparison.baseline, compared.comparison.candidate)
        yield Command(
            about="Compare the stored measurements again:",
            command=f"edgebench compare {sides[0].id} {sides[1].id}{where}",
        )
    for gate in results.gates:
        device = str(gate.device.get("name"))
        yield Command(
            about=f"Repeat the gate {gate.id}; name the candidate's model, and the workload if it was given:",
            command=f"edgebench gate --baseline {quote(gate.baseline.name)} --device {quote(device)} --model "
            f"MODEL{where}",
        )
    if own is not None:
        yield Command(about="Make this page again:", command=own)
