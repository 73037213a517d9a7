"""Plan: what the files of a checkpoint would take on a board of some name, which is not contacted."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from edgebench.artifact import Format, parse_formats
from edgebench.device import LOCAL, Device, DeviceProfile, configured_devices, find_device, load_profile, profile_names
from edgebench.export import existing_file
from edgebench.planning import (
    BoardMemory,
    ExportPlan,
    PlannedBoard,
    memory_of_facts,
    memory_of_profile,
    plan_file,
)
from edgebench.store import Store, latest_facts, observed_on, open_store

_MEMINFO = Path("/proc/meminfo")


def plan_export(
    model: str | Path,
    formats: Sequence[str | Format] = (Format.ONNX_INT8,),
    *,
    device: str | Device | None = None,
    runtime: str | None = None,
    task: str | None = None,
    max_seq_len: int | None = None,
    buckets: Sequence[int] | None = None,
    choices: int | None = None,
    keep_langs: Sequence[str] = (),
    keep_texts: Sequence[str | Path] = (),
    batch: int = 1,
    seq_len: int | None = None,
    store: Store | str | Path | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> list[ExportPlan]:
    """Return what the files of a checkpoint would take; nothing is exported, and no board is contacted.

    Args:
        model: a folder that has at least config.json, a hub id, `reference:NAME`, or an .onnx or .tflite file.
        formats: export formats, `["all"]` for every one; an existing file has its own.
        device: a name from edgebench.toml, the name of a device profile, or `local`; None: no board in particular.
        runtime: of .tflite files; default: ai-edge-litert.
        task, max_seq_len, buckets, choices, keep_langs, keep_texts: as for `export_model`.
        batch: inputs of a batch.
        seq_len: tokens of an input; default: 128.
        store: whose latest runs on that board are used, a Store or its folder; default: as for `profile`.

    Raises:
        UsageError: the arguments contradict each other, or name something unknown.
        CheckpointError: config.json is missing, not valid or of no supported model.
    """
    board = planned_board(device, open_store(store), runtime=runtime) if device is not None else None
    plans = []
    for format in parse_formats(map(str, formats)):
        plans.append(
            plan_file(
                model,
                format,
                task=task,
                max_seq_len=max_seq_len,
                buckets=buckets,
                choices=choices,
                keep_langs=keep_langs,
                keep_texts=keep_texts,
                batch=batch,
                seq_len=seq_len,
                board=board,
                on_progress=on_progress,
            )
        )
        if existing_file(model) is not None:
            break  # it has one format
    return plans


def planned_board(device: str | Device, store: Store, *, runtime: str | None = None) -> PlannedBoard:
    """Return what is known here of a board: from its profile, and from the latest runs that a store has of it.

    Raises:
        UnknownName: nothing has that name.
    """
    name, profile = _named(device)
    facts = latest_facts(store, name)
    if facts is not None:
        memory = memory_of_facts(facts)
    else:
        memory = _memory_here() if name == LOCAL else memory_of_profile(profile)
    return PlannedBoard(name=name, memory=memory, observed=observed_on(store, name), runtime=runtime)


def _named(device: str | Device) -> tuple[str, DeviceProfile]:
    if isinstance(device, Device):
        return device.name, device.profile
    if device in profile_names() and device not in configured_devices() and device != LOCAL:
        return device, load_profile(device)
    return device, find_device(device).profile


def _memory_here() -> BoardMemory:
    """Return the memory of this machine."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return BoardMemory()
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
    except (OSError, ValueError):
        free = None
    return BoardMemory(total=total, free=free)
