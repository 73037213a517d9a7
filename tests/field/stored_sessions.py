"""Sessions that no board ran: variants, formats and dates as a store has them after some weeks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgebench.cli import main
from edgebench.measurement import Subject
from edgebench.store import Store
from tests.sample_runs import MS, run, subject, trace

FIRST, SECOND, THIRD = "20260101T100000-aaaaaa", "20260102T100000-bbbbbb", "20260103T100000-cccccc"


def add(
    store: Store,
    session: str,
    number: int,
    name: str,
    *,
    format: str = "onnx-int8",
    ms: float = 10.0,
    runs: int = 6,
    invalid: int = 0,
    planned: int = 6,
    **changes: object,
) -> Subject:
    """Keep a measurement whose runs differ by 1 %; the first `invalid` ones do not count. `changes`: of Subject."""
    of = subject(number, name=name, source=f"runs/{name}", format=format, planned_runs=planned)
    of = replace(of, id=f"{session}-{number:03d}", session=session, **changes)  # type: ignore[arg-type]
    random = np.random.default_rng([number, int(session[:8])])
    day = f"{session[:4]}-{session[4:6]}-{session[6:8]}T{session[9:11]}:{session[11:13]}"
    kept = []
    for at in range(runs):
        latencies = ms * MS * np.exp(random.normal(0, 0.01)) * np.exp(random.normal(0, 0.05, 200))
        kept.append(
            run(
                of,
                at,
                trace(latencies.astype(int).tolist()),
                started_at=f"{day}:{4 * at + number:02d}.000+00:00",
                reasons=["other processes worked"] if at < invalid else (),
            )
        )
    store.add_runs([(of, each) for each in kept])
    return of


def weeks_of_sessions(folder: Path) -> Store:
    """Three sessions of an English and a multilingual variant, the latter in two formats."""
    store = Store(folder)
    for session in (FIRST, SECOND, THIRD):
        add(store, session, 0, "english")
        add(store, session, 1, "multi", ms=10.5)
        add(store, session, 2, "multi", format="tflite-int8", ms=14.0)
    return store


def edgebench(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[object, str, str]:
    """Return the exit code of a command, and what it wrote to standard output and standard error."""
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    written = capsys.readouterr()
    return ended.value.code, written.out, written.err
