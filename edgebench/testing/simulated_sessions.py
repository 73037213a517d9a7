"""Sessions of a simulated board that differ from each other, as those of real boards do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgebench.facts import DeviceFacts
from edgebench.measurement import Subject
from edgebench.run import Run
from edgebench.testing.simulated_board import SimulatedBoard, simulated_subject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DAY_S = 86_400.0
#: A board of which all is known that a history must know.
KNOWN_BOARD = DeviceFacts(
    name="simulated",
    profile="pi4",
    runtime="onnxruntime",
    runtime_version="1.22.0",
    model="Raspberry Pi 4",
    memory_bytes=4_000_000_000,
    serial_hash="0123456789abcdef",
    machine_hash="fedcba9876543210",
    virtual=False,
)


def simulated_sessions(
    effects: Sequence[float],
    *,
    seed: int,
    first: int = 0,
    file: int = 0,
    runs: int = 6,
    run_sd: float = 0.01,
    within: float = 0.03,
    count: int = 30,
    days: float = 1.0,
    device: DeviceFacts = KNOWN_BOARD,
) -> Iterator[tuple[Subject, list[Run]]]:
    """Yield what one file is measured as in each session, and its runs.

    Args:
        effects: by how much each session differs from the board's typical one, on the log scale; a file's factor may be
            added.
        first: number of the first session, of which one is made every `days`.
        file: which file, by number.
        run_sd, within: standard deviations of the runs of a session, and of a run's latencies, on the log scale.
    """
    for number, effect in enumerate(effects, first):
        session = f"session-{number:05d}-{file}"
        plain = simulated_subject(file, name=f"model-{file}", planned_runs=runs)
        subject = replace(plain, id=f"{session}-000", session=session, device=device)
        board = SimulatedBoard(
            seed=seed * 1_000_003 + number * 11 + file,
            typical_ms=20.0 * math.exp(effect),
            between=run_sd,
            within=within,
            now_s=number * days * _DAY_S,
        )
        yield subject, [board.run(subject, run, count=count) for run in range(runs)]


def session_effects(count: int, *, sd: float, correlation: float, seed: int) -> NDArray[np.float64]:
    """Return by how much successive sessions differ, shape (count,), log scale: AR(1) with a standard deviation."""
    import numpy as np
    from scipy.signal import lfilter

    fresh = np.random.default_rng(seed).normal(0.0, sd * math.sqrt(1 - correlation**2), count)
    fresh[0] /= math.sqrt(1 - correlation**2)
    effects: NDArray[np.float64] = lfilter([1.0], [1.0, -correlation], fresh)
    return effects
