"""Compare the store with the journals on the board, which are the truth: what is lost, doubled, false, or named."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgebench.errors import StoreError
from edgebench.store import Store
from edgebench_agent import protocol

#: A timed inference: when it began on the board's monotonic clock, and how long it took; nanoseconds.
Inference = tuple[int, int]

#: How the id of a run ends that is to be stored; short runs for planning and probes have other ids.
_COUNTS = re.compile(r"-\d{3}-[0-9a-f]{4}$")


@dataclass(frozen=True)
class Journal:
    """What a journal says of a run. `loading_ns`: when the model was loaded, on the board's clock; None: not at all."""

    inferences: tuple[Inference, ...]
    is_done: bool
    loading_ns: int | None = None


@dataclass(frozen=True)
class Kept:
    """A run as the store has it. `valid`: it counts."""

    id: str
    inferences: tuple[Inference, ...]
    valid: bool


@dataclass
class Findings:
    """What is wrong, a sentence each, and `named`: what is not in the store, but named by what a command printed."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.false]


def read_journal(data: bytes) -> Journal:
    """Return what is complete and in order in a journal, which may be torn."""
    inferences: list[Inference] = []
    is_done, loading_ns = False, None
    for number, line in enumerate(data.splitlines(keepends=True)):
        try:
            entry = protocol.decode_message(line)
        except protocol.ProtocolError:
            break
        if entry.seq != number or not line.endswith(b"\n"):
            break
        message = entry.message
        if isinstance(message, protocol.Latencies) and not message.warmup:
            inferences.extend(zip(message.start_ns, message.latency_ns, strict=True))
        elif isinstance(message, protocol.Phase) and message.name == "loading":
            loading_ns = entry.t_ns
        is_done = isinstance(message, protocol.Done)
    return Journal(tuple(inferences), is_done, loading_ns)


def counts(run_id: str) -> bool:
    """Return whether a run on the board is one to be stored."""
    return _COUNTS.search(run_id) is not None


def read_stores(folders: Iterable[Path]) -> tuple[list[Kept], list[str]]:
    """Return the runs of some stores, and what can't be read in them."""
    kept: list[Kept] = []
    unreadable: list[str] = []

    def note(error: StoreError) -> None:
        unreadable.append(f"the store can't be read: {error}")

    for folder in folders:
        for measurement in Store(folder).measurements(on_unreadable=note) if folder.is_dir() else ():
            for run in measurement.runs:
                pairs = zip(run.trace.starts_ns.tolist(), run.trace.latencies_ns.tolist(), strict=True)
                kept.append(Kept(run.id, tuple(pairs), run.valid))
    return kept, unreadable


def judge(
    journals: Mapping[str, Journal], kept: Sequence[Kept], said: str, *, before: Mapping[str, Journal] | None = None
) -> Findings:
    """Compare runs of the store with journals by the ids of the runs.

    Args:
        journals: as they are on the board.
        said: all that the commands printed, in which the id of a run names it as missing or cut short.
        before: journals of which a part was destroyed on the board, as they were before: what the host had received
            until then may be in the store, and what is gone is not missing there.
    """
    full = {**journals, **(before or {})}
    found = Findings()
    for id, count in Counter(each.id for each in kept).items():
        if count > 1:
            found.doubled.append(f"run {id} is in the store {count} times")
    times = Counter(inference for each in kept for inference in each.inferences)
    if doubled := sum(count - 1 for count in times.values()):
        found.doubled.append(f"{doubled} inferences are in the store twice")
    for each in kept:
        _judge_kept(each, journals.get(each.id), full.get(each.id), said, found)
    missing = {id: journal for id, journal in journals.items() if counts(id) and journal.inferences}
    for each in kept:
        missing.pop(each.id, None)
    for id, journal in missing.items():
        text = f"run {id}, {len(journal.inferences)} inferences, is not in the store"
        (found.named if id in said else found.lost).append(text)
    return found


def _judge_kept(run: Kept, journal: Journal | None, full: Journal | None, said: str, found: Findings) -> None:
    if journal is None or full is None:
        found.false.append(f"run {run.id} is in the store, and no journal has it")
        return
    have, all_of_it = len(run.inferences), len(journal.inferences)
    if run.inferences != full.inferences[:have]:
        found.false.append(f"run {run.id} in the store differs from its journal")
    elif run.valid and not (full.is_done and have == len(full.inferences)):
        how = "" if full.is_done else "of a journal that is not done"
        found.false.append(f"run {run.id} counts, with {have} of {len(full.inferences)} inferences {how}".rstrip())
    elif have < all_of_it:
        text = f"run {run.id}: the last {all_of_it - have} of {all_of_it} inferences are not in the store"
        (found.named if run.id in said else found.lost).append(text)
