"""The course of a session, on a simulated board."""

from __future__ import annotations

from edgebench.analysis.validity import judged
from edgebench.events import Event, LogMessage
from edgebench.measure.scheduler import RunScheduler, order_of_runs
from edgebench.run import Run
from edgebench.testing import Disturbance, SimulatedBoard
from edgebench.testing.simulated_board import simulated_subject
from edgebench.workload import RunPlan

PLAN = RunPlan(runs=4, min_count=50)


def session(*disturbances: Disturbance, has_time: bool = True) -> tuple[list[list[Run]], list[int], list[Event]]:
    """Measure two artifacts, four runs each; return their runs, the order, and what was told."""
    board = SimulatedBoard(seed=3, sensor_hz=10.0, disturbances=disturbances)
    subjects = [simulated_subject(at, name=name, planned_runs=4) for at, name in enumerate("ab")]
    done: dict[str, list[Run]] = {subject.id: [] for subject in subjects}
    order: list[int] = []
    events: list[Event] = []

    def measure(index: int) -> None:
        runs = done[subjects[index].id]
        order.append(index)
        runs.append(judged(board.run(subjects[index], len(runs)), PLAN))

    RunScheduler(
        subjects=subjects,
        done=done,
        looks=(4,),
        seed=7,
        measure=measure,
        has_time=lambda _: has_time,
        on_event=events.append,
    ).run()
    return list(done.values()), order, events


def test_runs_are_made_in_the_order_that_the_seed_gives() -> None:
    runs, order, events = session()
    assert order == order_of_runs(2, 4, seed=7)
    assert [[run.valid for run in each] for each in runs] == [[True] * 4] * 2
    assert events == []


def test_a_run_that_is_not_valid_is_kept_and_repeated() -> None:
    runs, order, events = session(Disturbance(1.5, 2.5, 1.5))
    (first, *_) = order
    kept = runs[first]
    assert [run.valid for run in kept] == [False, True, True, True, True]
    assert order[-1] == first
    (event,) = events
    assert isinstance(event, LogMessage) and "repeating a run that was not valid" in event.text


def test_repeats_are_bounded() -> None:
    runs, _, _ = session(Disturbance(0.0, 1e6, 1.5))
    assert [len(each) for each in runs] == [6, 6]


def test_without_time_nothing_is_repeated() -> None:
    runs, _, events = session(Disturbance(1.5, 2.5, 1.5), has_time=False)
    assert [len(each) for each in runs] == [4, 4]
    (event,) = events
    assert isinstance(event, LogMessage) and "no time is left to repeat a run" in event.text
