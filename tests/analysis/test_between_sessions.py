"""Two sessions of one board: no verdict, unless the history of the board may speak, and then seldom a false one."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from edgebench.analysis import (
    PairedComparison,
    SessionHistory,
    compare_pairs,
    compare_rows,
    figures_of,
    session_history,
    summarise,
)
from edgebench.analysis.comparison import Comparison, compare
from edgebench.facts import DeviceFacts
from edgebench.measurement import Measurement
from edgebench.reporting import comparison_parts
from edgebench.run import Memory
from edgebench.store import Store, compare_stored
from edgebench.testing.simulated_sessions import KNOWN_BOARD, session_effects, simulated_sessions
from tests.fork_server import edgebench_command

#: Of a steady board: sessions differ by some 0.3 %, and none is far from the others.
STEADY = [float(each) for each in np.random.default_rng(5).permutation(0.003 * np.linspace(-1.5, 1.5, 14))]


def sessions(effects: Iterable[float], **options: Any) -> list[Measurement]:
    options = {"seed": 1, "runs": 3, "run_sd": 0.001, "within": 0.005} | options
    found = []
    for subject, runs in simulated_sessions(list(effects), **options):
        found.append(summarise(subject, [replace(run, figures=figures_of(run)) for run in runs]))
    return found


def by_history(before: list[Measurement], candidate: Measurement, **options: Any) -> Comparison:
    pair = (before[-1], candidate)
    return compare_pairs([pair], histories=[session_history(*pair, before, **options)])[0]


def on(device: DeviceFacts, measurement: Measurement) -> Measurement:
    return replace(measurement, subject=replace(measurement.subject, device=device))


# --- without a history ------------------------------------------------------------------------------------------------


def test_two_sessions_are_not_decided_and_the_sentence_says_what_decides() -> None:
    a, b = sessions([0.0, -0.45])
    found = compare(a, b)
    ratio = found.latency.ratio
    assert found.verdict == (
        f"model-0 onnx-int8 (session-00001-0-000) against model-0 onnx-int8 (session-00000-0-000) is not decided on "
        f"simulated, 128 tok: measured in different sessions (p50 ratio {ratio:.3f}). To decide: edgebench gate "
        f"--baseline session-00000-0-000 --device simulated --model model-0 --format onnx-int8"
    )
    assert ratio == pytest.approx(0.638, rel=0.02)
    document = found.to_json()
    assert document["latency"]["verdict"] == "not decided"
    assert document["latency"]["reason"] == "measured in different sessions"
    assert document["to_decide"].startswith("edgebench gate --baseline session-00000-0-000")
    for part in ("latency", "throughput"):
        assert (document[part]["ci"], document[part]["decided_by"], document[part]["more_runs"]) == (None, None, None)
        assert not document[part]["significant"]
        assert not document[part]["beyond_margin"]


@pytest.mark.parametrize("sd", [0.003, 0.01, 0.02, 0.05, 0.17, 0.40])
def test_no_difference_of_sessions_makes_a_verdict(sd: float) -> None:
    chain = sessions(session_effects(12, sd=sd, correlation=0.0, seed=2), runs=2)
    found = compare_pairs(list(pairwise(chain)))
    assert {each.latency.verdict for each in found} == {"not decided"}
    assert {each.throughput and each.throughput.verdict for each in found} == {"not decided"}


def test_sessions_do_not_share_the_level_of_what_one_session_decides() -> None:
    """A pair of two sessions is no comparison that is judged, so it does not widen the interval of the others."""
    a, b = sessions([0.0, 0.1])
    same_session = replace(b, subject=replace(b.subject, session=a.subject.session))
    alone = compare(a, same_session).latency
    together = compare_pairs([(a, same_session), (a, b)])
    assert together[0].latency.ci == alone.ci
    assert [each.latency.verdict for each in together] == ["slower", "not decided"]


def test_rows_of_two_sessions_in_one_table_are_not_decided() -> None:
    assert [each.latency.verdict for each in compare_rows(sessions([0.0, 0.1]))] == ["not decided"]


def with_rss(measurement: Measurement, *peaks: int, pss: int) -> Measurement:
    runs = zip(measurement.runs, peaks, strict=True)
    return replace(
        measurement, runs=tuple(replace(run, memory=Memory(peak_rss=peak, peak_pss=pss)) for run, peak in runs)
    )


def test_of_two_sessions_peak_rss_has_an_interval_and_pss_is_not_compared() -> None:
    """PSS changes with what else runs on the board."""
    a, b = sessions([0.0, 0.3])
    a = with_rss(a, 100_000_000, 100_200_000, 100_100_000, pss=80_000_000)
    memory = compare(a, with_rss(b, 110_100_000, 110_300_000, 110_200_000, pss=60_000_000)).memory
    assert memory is not None
    assert memory.ratio == pytest.approx(1.101, abs=0.001)
    assert memory.ci is not None
    assert (memory.verdict, memory.beyond_margin, memory.decided_by) == ("not judged", True, None)


def test_an_invalid_side_allows_no_verdict_between_sessions_either() -> None:
    a, b = sessions([0.0, 0.1])
    cut = summarise(b.subject, b.runs[:2])
    found = compare(a, cut)
    assert found.latency.reason == "model-0 onnx-int8 is not valid: 2 of 3 planned runs are valid"
    assert found.memory is not None
    assert found.memory.verdict == "not decided"


# --- by the history of the board --------------------------------------------------------------------------------------


def test_a_steady_board_decides_by_its_history_and_says_so() -> None:
    before = sessions(STEADY)
    (same,) = sessions([0.0], first=14)
    (slower,) = sessions([0.06], first=14, file=1)
    found = by_history(before, same)
    assert (found.latency.verdict, found.latency.decided_by) == ("equivalent", "history")
    found = by_history(before, slower)
    assert (found.latency.verdict, found.latency.decided_by) == ("slower", "history")
    assert found.latency.ratio == pytest.approx(1.062, abs=0.003)
    assert found.latency.ci is not None
    half = found.latency.ci[1] / found.latency.ratio - 1
    assert found.verdict.startswith(
        "model-1 onnx-int8 is slower than model-0 onnx-int8 on simulated, 128 tok: latency ratio"
    )
    assert found.verdict.endswith(f"by the history of 14 sessions (they differ by ±{100 * half:.2g} %)")
    assert found.latency.reason == f"by the history of 14 sessions (they differ by ±{100 * half:.2g} %)"
    assert found.to_decide is None


def test_several_comparisons_by_history_share_the_level() -> None:
    before = sessions(STEADY)
    others = [sessions([0.0], first=14, file=file)[0] for file in (1, 2, 3)]
    pairs = [(before[-1], other) for other in others]
    histories = [session_history(*pair, before) for pair in pairs]
    alone = compare_pairs(pairs[:1], histories=histories[:1])[0].latency.ci
    together = compare_pairs(pairs, histories=histories)[0].latency.ci
    assert alone is not None
    assert together is not None
    assert together[0] < alone[0] < alone[1] < together[1]


def test_the_candidates_own_session_is_not_in_its_history() -> None:
    before = sessions(STEADY)
    history = session_history(before[3], before[-1], before)
    assert before[-1] not in history.sessions
    assert len(history.sessions) == 13


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"virtual": True}, "it is a virtual machine"),
        ({"virtual": None}, "it is not known whether it is a virtual machine"),
        ({"serial_hash": None, "machine_hash": None}, "neither serial number nor machine id"),
    ],
)
def test_some_boards_have_no_history_that_speaks(change: dict[str, Any], why: str) -> None:
    device = replace(KNOWN_BOARD, **change)
    found = by_history([on(device, each) for each in sessions(STEADY)], on(device, sessions([0.1], first=14)[0]))
    assert found.latency.verdict == "not decided"
    assert why in (found.latency.reason or "")
    assert f"its history does not decide: {found.latency.reason.partition('decide: ')[2]}" in found.verdict  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"serial_hash": "another"}, "serial number"),
        ({"machine_hash": "another"}, "machine id"),
        ({"memory_bytes": 8_000_000_000}, "memory"),
        ({"model": "Raspberry Pi 5"}, "model"),
        ({"cpu": "Cortex-A76"}, "cpu"),
        ({"cores": 8}, "cores"),
    ],
)
def test_several_boards_under_one_name_have_no_history(change: dict[str, Any], what: str) -> None:
    before = sessions(STEADY)
    before[2] = on(replace(KNOWN_BOARD, **change), before[2])
    reason = by_history(before, sessions([0.1], first=14)[0]).latency.reason
    assert f"several boards have had the name simulated ({what} differs)" in (reason or "")


def test_a_session_of_other_conditions_is_left_out_of_the_history() -> None:
    before = sessions(STEADY[:12])
    assert by_history(before, sessions([0.1], first=12)[0]).latency.decided_by == "history"
    before[2] = on(replace(KNOWN_BOARD, kernel="6.12"), before[2])
    reason = by_history(before, sessions([0.1], first=12)[0]).latency.reason
    assert "11 sessions of this file, 12 are needed" in (reason or "")


def test_a_restless_board_and_a_gap_are_said() -> None:
    restless = by_history(sessions([10 * each for each in STEADY]), sessions([0.1], first=14)[0]).latency.reason
    assert "its 14 sessions differ by ±" in (restless or "")
    assert "more than the margin" in (restless or "")
    late = by_history(sessions(STEADY), sessions([0.1], first=60)[0]).latency.reason
    assert "the history has a gap of 47 days" in (late or "")
    broken = by_history(sessions(STEADY), sessions([0.1], first=14)[0], unreadable=1).latency.reason
    assert "1 stored runs can't be read, so it may have gaps" in (broken or "")


def test_what_may_be_by_chance_is_left_open() -> None:
    before = sessions([2.2 * each for each in STEADY])
    found = by_history(before, sessions([0.014], first=14)[0])
    assert found.latency.verdict == "not decided"
    assert "and so may these" in (found.latency.reason or "")


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_equal_files_are_seldom_called_different_by_history(correlation: float) -> None:
    """80 comparisons: 5 % are 4; more than 8 false ones would have a chance of 2 %."""
    chain = sessions(session_effects(92, sd=0.005, correlation=correlation, seed=7), runs=2)
    said = [by_history(chain[at : at + 12], chain[at + 12]).latency.verdict for at in range(80)]
    assert sum(verdict in ("faster", "slower") for verdict in said) <= 8
    assert sum(verdict == "equivalent" for verdict in said) > 20


# --- from a store -----------------------------------------------------------------------------------------------------


def stored(folder: Path, effects: Iterable[float], **options: Any) -> Store:
    store = Store(folder)
    for subject, runs in simulated_sessions(
        list(effects), **({"seed": 1, "runs": 2, "run_sd": 0.001, "within": 0.005} | options)
    ):
        store.add_runs([(subject, run) for run in runs])
    return store


def test_a_store_knows_by_how_much_sessions_of_a_board_have_differed(tmp_path: Path) -> None:
    store = stored(tmp_path, [0.0, -0.45, -0.45, -0.38])
    (found,) = compare_stored("session-00000", "session-00001", store=store)
    assert "; 4 sessions of this board have differed by 22 %; its history does not decide: 3 sessions" in found.verdict


@pytest.mark.slow
def test_the_history_of_a_store_decides(tmp_path: Path) -> None:
    store = stored(tmp_path, STEADY)
    stored(tmp_path, [0.06], first=14, file=1)
    stored(tmp_path, [0.9], first=3, file=2, device=replace(KNOWN_BOARD, name="another"))
    (found,) = compare_stored("session-00013", "session-00014", store=store)
    assert (found.comparison.latency.verdict, found.comparison.latency.decided_by) == ("slower", "history")


def edgebench_compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*edgebench_command(), "compare", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_the_command_fails_only_where_inconclusive_is_asked_for(tmp_path: Path) -> None:
    stored(tmp_path, [0.0, 0.5])
    names = ("session-00000", "session-00001", "--store", str(tmp_path))
    done = edgebench_compare(*names, "--fail-on", "slower,worse", "--json", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["latency"]["verdict"] == "not decided"
    done = edgebench_compare(*names, "--fail-on", "inconclusive")
    assert done.returncode == 3
    command = "edgebench gate --baseline session-00000-0-000 --device simulated --model model-0 --format onnx-int8"
    assert done.stdout.splitlines()[0].endswith(f". To decide: {command}")


def test_the_table_has_no_interval_and_no_more_runs() -> None:
    found = compare(*sessions([0.0, 0.1]))
    console = Console(file=io.StringIO(), width=120)
    for part in comparison_parts([PairedComparison(comparison=found)]):
        console.print(part)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    (row,) = (line for line in lines if line.startswith("latency ") and "not decided" in line)
    assert row.split()[1:] == [f"{found.latency.ratio:.3f}", "not", "decided"]


def test_a_history_is_empty_where_nothing_is_stored() -> None:
    a, b = sessions([0.0, 0.1])
    history = session_history(a, b, [])
    assert isinstance(history, SessionHistory)
    assert (history.sessions, history.deviation) == ((), None)
    assert compare_pairs([(a, b)], histories=[history])[0].latency.verdict == "not decided"
