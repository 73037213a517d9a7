"""Observed: what earlier runs on a board tell of its runtimes, for predictions of memory and of loading."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from edgebench.facts import DeviceFacts
from edgebench.planning import LEAST_LOAD_BYTES, Observed
from edgebench.store.runs import StoredRun
from edgebench.store.store import Store

#: A long history says no more than its end, and reading it takes time.
_RECENT_RUNS = 40


def observed_on(store: Store, device: str) -> dict[str, Observed]:
    """Return what the latest stored runs on a device showed, by runtime as its library is called.

    Runs that can't be read are left out.
    """
    by_runtime: dict[str, list[StoredRun]] = defaultdict(list)
    for each in store.recent_runs(device, most=_RECENT_RUNS):
        if not each.run.alternates:
            by_runtime[_library(each.subject.device)].append(each)
    return {runtime: _observed(runs) for runtime, runs in by_runtime.items()}


def latest_facts(store: Store, device: str) -> DeviceFacts | None:
    """Return what a device reported of itself at its latest stored run; None: the store has no run of it."""
    found = store.recent_runs(device, most=1)
    return found[0].subject.device if found else None


def _observed(runs: list[StoredRun]) -> Observed:
    imported = [each.run.memory.before_load for each in runs if each.run.memory.before_load]
    loads = [(each.run.load_ns, each.subject.artifact.bytes) for each in runs if each.run.load_ns is not None]
    rates = [load_ns / size for load_ns, size in loads if size >= LEAST_LOAD_BYTES]
    return Observed(
        imported_rss_bytes=round(median(imported)) if imported else None,
        load_ns_per_byte=median(rates) if rates else None,
    )


def _library(facts: DeviceFacts) -> str:
    name, _, version = (facts.runtime_version or "").rpartition(" ")
    return name if name and version else str(facts.runtime)
