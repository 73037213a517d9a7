"""Which setting wins, on simulated boards whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from edgebench.analysis import again_id, cores_text, summarise, tuned
from edgebench.analysis.comparability import ALLOWABLE
from edgebench.analysis.comparison import compare
from edgebench.board import AS_FOUND, PowerState
from edgebench.board.power import refusals_of, states_of
from edgebench.device import find_device
from edgebench.errors import ConfigError, NotComparable, UnknownName
from edgebench.facts import DeviceFacts, Tuning
from edgebench.figures import Energy
from edgebench.measure.scheduler import order_of_runs
from edgebench.measure.sweep import thread_settings
from edgebench.measurement import Measurement
from edgebench.reason import reasons_from_json
from edgebench.request import Request, request_from_json, request_to_json
from edgebench.run import Run
from edgebench.testing.simulated_board import SimulatedBoard, simulated_subject
from edgebench.workload import Workload

RUNS = 6


def measured(
    settings: Mapping[str, tuple[float, int, str]],
    *,
    runs: int = RUNS,
    between: float = 0.003,
    joules: Mapping[str, float] | None = None,
) -> list[Measurement]:
    """Return a tuned session: settings as name -> (times as slow as the truth's unit, threads, governor)."""
    subjects = []
    for number, (_, threads, governor) in enumerate(settings.values()):
        subject = simulated_subject(number, name="xnli", planned_runs=runs)
        about = Tuning(parameters=("threads", "power"), power_as_found=governor == "ondemand")
        device = replace(subject.device, governor=governor, tune=about)
        subjects.append(replace(subject, device=device, workload={**subject.workload, "threads": threads}))
    factors = [factor for factor, _, _ in settings.values()]
    board = SimulatedBoard(seed=1, between=between, drift=0.05)
    done: list[list[Run]] = [[] for _ in subjects]
    for cell in order_of_runs(len(factors), runs, seed=1):
        done[cell].append(board.run(subjects[cell], len(done[cell]), factor=factors[cell]))
    found = [summarise(subject, each) for subject, each in zip(subjects, done, strict=True)]
    return [
        replace(each, energy_j=energy(joules[name]), energy_absent=None) if joules and name in joules else each
        for name, each in zip(settings, found, strict=True)
    ]


def energy(joules: float) -> Energy:
    return Energy(
        per_inference=joules, per_inference_net=joules / 2, mean_w=3.0, idle_w=1.5, rails=("x",), covers="all of it"
    )


def test_the_fastest_setting_wins_and_says_what_it_costs() -> None:
    joules = {"usual": 0.4, "fast": 0.5}
    rows = measured({"usual": (1.3, 4, "ondemand"), "fast": (1.0, 4, "performance")}, joules=joules)
    found = tuned(rows)
    assert found is not None and found.best is rows[1]
    told = found.to_json()
    assert told["parameters"] == ["threads", "power"]
    assert (told["best"]["threads"], told["best"]["governor"]) == (4, "performance")
    assert told["best"]["p50_ci"][0] < told["best"]["p50_ms"] < told["best"]["p50_ci"][1]
    assert told["latency_ratio"]["verdict"] == "faster"
    low, high = told["latency_ratio"]["ci"]
    assert low < 1 / 1.3 < high
    assert told["cost"] == {
        "j_per_inference": 0.5,
        "j_per_inference_net": 0.25,
        "mean_w": 3.0,
        "covers": "all of it",
        "absent": None,
        "energy_ratio": pytest.approx(1.25),
    }
    assert "is 4 threads, governor performance: p50 " in found.sentence
    assert (
        "0.500 J/inference; latency ratio to the setting before tuning (4 threads, governor ondemand) 0.7"
        in found.sentence
    )
    assert "J/inference ratio 1.250" in found.sentence


def measured_again(
    rows: list[Measurement], factors: Mapping[int, float], *, seed: int = 2, runs: int = RUNS
) -> list[Measurement]:
    """Return rows (position -> factor) as they are measured again after the choice."""
    board = SimulatedBoard(seed=seed, between=0.003)
    found = []
    for position, factor in factors.items():
        of = rows[position].subject
        about = Tuning(parameters=("threads", "power"), power_as_found=True, measured_again=True)
        of = replace(of, id=again_id(of.id), device=replace(of.device, tune=about))
        found.append(summarise(of, [board.run(of, number, factor=factor) for number in range(runs)]))
    return found


def test_only_runs_that_had_no_part_in_the_choice_say_what_it_gains() -> None:
    """The chosen setting was lucky: it is as fast as the board as found."""
    rows = measured({"usual": (1.0, 4, "ondemand"), "lucky": (0.9, 4, "performance")})
    again = measured_again(rows, {0: 1.0, 1: 1.0})
    found = tuned([*rows, *again])
    assert found is not None and found.best is rows[1]
    assert found.again == tuple(again)
    told = found.to_json()
    assert told["measured_again"] == [f"{row.id}.again" for row in rows]
    low, high = told["latency_ratio"]["ci"]
    assert low < 1 < high
    assert f"p50 {again[1].latency_ms.p50:.1f} ms" in found.sentence
    alone = tuned(rows)
    assert alone is not None and alone.vs_baseline is not None
    assert alone.vs_baseline.latency.ci[1] < 0.95
    assert "from the runs that chose it, so probably too good" in alone.sentence
    assert alone.to_json()["measured_again"] is None


def test_a_gain_that_could_not_be_measured_again_is_not_stated() -> None:
    rows = measured({"usual": (1.3, 4, "ondemand"), "fast": (1.0, 4, "performance")})
    again = measured_again(rows, {0: 1.3, 1: 1.0})
    throttled = replace(again[1], reasons=reasons_from_json(("throttled",), None))
    found = tuned([*rows, again[0], throttled])
    assert found is not None and found.best is rows[1]
    assert found.vs_baseline is None
    assert "what that gains is not known: measured again, it is not valid" in found.sentence
    few = tuned([*rows, *measured_again(rows, {0: 1.3, 1: 1.0}, runs=1)])
    assert few is not None and few.vs_baseline is None
    assert "what that gains is not known: " in few.sentence


def test_of_equivalent_settings_fewer_threads_win() -> None:
    rows = measured({"four": (1.0, 4, "ondemand"), "three": (1.001, 3, "ondemand"), "one": (2.0, 1, "ondemand")})
    found = tuned(rows)
    assert found is not None and found.best is rows[1]
    assert found.equivalent == (rows[0],)
    assert "equivalent within ±3 %: 4 threads, governor ondemand" in found.sentence


def test_of_equivalent_settings_with_as_many_threads_less_energy_wins() -> None:
    settings = {"usual": (1.0, 4, "ondemand"), "other": (1.001, 4, "performance")}
    rows = measured(settings, joules={"usual": 0.5, "other": 0.4})
    found = tuned(rows)
    assert found is not None and found.best is rows[1]


def test_of_equivalent_settings_without_energy_the_board_stays_as_it_was_found() -> None:
    for factors in ((1.0, 1.001), (1.001, 1.0)):
        rows = measured({"usual": (factors[0], 4, "ondemand"), "other": (factors[1], 4, "performance")})
        found = tuned(rows)
        assert found is not None and found.best is rows[0]
        assert "which is the setting before tuning" in found.sentence
        assert "no energy known (" in found.sentence
        assert found.to_json()["cost"]["j_per_inference"] is None


def test_a_setting_that_is_not_valid_never_wins() -> None:
    rows = measured({"usual": (1.0, 4, "ondemand"), "fast": (0.5, 2, "ondemand")})
    rows[1] = replace(rows[1], reasons=reasons_from_json(("throttled",), None))
    found = tuned(rows)
    assert found is not None and found.best is rows[0]
    assert found.to_json()["best"]["not_valid"] == [rows[1].id]
    assert "not valid: 2 threads" in found.sentence


def test_what_the_runs_cannot_tell_apart_is_said() -> None:
    rows = measured({"usual": (1.0, 4, "ondemand"), "other": (0.98, 2, "ondemand")}, between=0.03)
    found = tuned(rows)
    assert found is not None and found.best is not None
    assert [each.id for each in found.undecided] == [each.id for each in rows if each is not found.best]
    assert "is, as far as these runs show, " in found.sentence


def test_one_run_of_each_setting_decides_nothing_and_says_why() -> None:
    found = tuned(measured({"usual": (1.0, 4, "ondemand"), "other": (2.0, 2, "ondemand")}, runs=1))
    assert found is not None and found.best is None
    assert found.to_json()["best"] is None
    assert "a comparison needs two of each" in found.sentence


def test_a_session_in_which_nothing_is_valid_has_no_best() -> None:
    rows = [
        replace(each, reasons=reasons_from_json(("throttled",), None))
        for each in measured({"usual": (1.0, 4, "ondemand")})
    ]
    found = tuned(rows)
    assert found is not None and found.best is None
    assert "none is valid" in found.sentence


def test_a_session_in_which_nothing_was_tuned_has_no_result() -> None:
    (row,) = measured({"usual": (1.0, 4, "ondemand")})
    plain = replace(row.subject.device, tune=None)
    assert tuned([replace(row, subject=replace(row.subject, device=plain))]) is None
    assert tuned([]) is None


def test_other_cores_are_not_compared_unless_it_is_allowed() -> None:
    one, other = measured({"usual": (1.0, 4, "ondemand"), "other": (1.0, 4, "ondemand")})
    pinned = replace(other, subject=replace(other.subject, workload={**other.subject.workload, "affinity": [4, 5]}))
    with pytest.raises(NotComparable, match="another number of threads or set of cores"):
        compare(one, pinned)
    assert compare(one, pinned, allow=ALLOWABLE).differs


# --- what is tried ----------------------------------------------------------------------------------------------


def test_on_equal_cores_only_the_number_of_threads_is_tried() -> None:
    assert thread_settings(DeviceFacts.from_json({"usable_cores": 4}), 4) == [(4, None), (1, None), (2, None)]
    assert thread_settings(
        DeviceFacts.from_json({"usable_cores": 6, "core_capacities": {str(core): 1024 for core in range(6)}}), 3
    ) == [
        (3, None),
        (1, None),
        (2, None),
        (4, None),
        (6, None),
    ]
    assert thread_settings(DeviceFacts.from_json({}), None) == [(1, None)]


def test_on_a_big_little_board_the_fast_cores_are_tried_by_themselves() -> None:
    capacities = {str(core): 1024 if core >= 4 else 381 for core in range(6)}
    assert thread_settings(DeviceFacts.from_json({"usable_cores": 6, "core_capacities": capacities}), None) == [
        (6, None),
        (2, None),
        (1, (4, 5)),
        (2, (4, 5)),
        (4, (0, 1, 2, 3)),
    ]


def test_more_threads_than_cores_are_never_tried() -> None:
    assert thread_settings(DeviceFacts.from_json({"usable_cores": 2}), 4) == [(2, None), (1, None)]


def test_capacities_that_a_board_does_not_report_as_it_should_count_for_nothing() -> None:
    for told in ({"0": 1, "1": 2, "x": 3}, {"0": "1", "1": 2}, [1, 2], "?", {"0": 1}):
        settings = thread_settings(DeviceFacts.from_json({"usable_cores": 2, "core_capacities": told}), None)
        assert all(cores is None or set(cores) <= {0, 1} for _, cores in settings)


SHOWN: dict[str, Any] = {
    "governor": "ondemand",
    "governors": ["ondemand", "performance"],
    "governor_refused": None,
    "power_mode": 1,
    "power_modes": {"0": "MAXN", "1": "5W"},
    "power_mode_refused": None,
}


def test_the_states_of_power_to_try_are_those_that_may_be_set() -> None:
    fastest, full = PowerState(governor="performance"), PowerState(governor="performance", power_mode=0)
    assert states_of(SHOWN) == (AS_FOUND, fastest, full)
    assert states_of(SHOWN | {"governor_refused": "no right"}) == (AS_FOUND, PowerState(power_mode=0))
    assert states_of(SHOWN | {"power_mode_refused": "no right"}) == (AS_FOUND, fastest)
    assert states_of(SHOWN | {"governor": "performance"}) == (AS_FOUND, full)
    assert refusals_of(SHOWN | {"governor_refused": "no\x1b[2J right"}) == ["no [2J right"]


@pytest.mark.parametrize(
    "answer", [{}, {"governors": 7, "power_modes": [1], "governor_refused": None}, {"governor": {}}]
)
def test_an_answer_that_is_none_gives_nothing_to_set(answer: dict[str, Any]) -> None:
    assert states_of(answer) == (AS_FOUND,)


def test_cores_are_told_in_spans() -> None:
    assert cores_text([0, 1, 2, 3]) == "0-3"
    assert cores_text([7, 0, 4, 5]) == "0,4-5,7"
    assert cores_text(()) == ""


# --- what is asked ----------------------------------------------------------------------------------------------


def test_only_one_row_is_tuned_at_a_time() -> None:
    device = find_device("local")
    with pytest.raises(ConfigError, match="not 2"):
        Request(device=device, models=("a", "b"), tune=("threads",))
    with pytest.raises(ConfigError, match="leave their number out"):
        Request(device=device, workloads=(Workload(threads=2),), tune=("threads",))
    with pytest.raises(UnknownName, match="did you mean 'threads'"):
        Request(device=device, tune=("thread",))


def test_a_tuned_session_can_be_resumed() -> None:
    request = Request(
        device=find_device("local"), workloads=(Workload(affinity=(0, 2)),), tune=("threads", "power"), seed=1
    )
    assert request_from_json(request_to_json(request)) == request


def test_cores_must_be_numbers_of_cores() -> None:
    for cores in ((), (-1,), (4096,)):
        with pytest.raises(ConfigError, match="cores to keep to"):
            Workload(affinity=cores)
