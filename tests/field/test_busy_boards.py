"""Boards on which something else works: it is named, waited for, and figures are marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from edgebench.analysis import disturbance, reasons_against_one_pass, summarise
from edgebench.errors import BoardBusy
from edgebench.events import Event, LogMessage
from edgebench.facts import BusyProcess, OtherLoad
from edgebench.measure import IdleWait
from edgebench.reporting import measurement_table
from edgebench.text import duration_text
from tests.sample_runs import MS, run, subject, trace

QUIET = OtherLoad(others_millicores=10, stolen_millicores=0, watched_ms=1000, cores=4, busiest=())
BUSY = replace(QUIET, others_millicores=1500, busiest=(BusyProcess("stress-ng", 1500, 812),))


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def wait_for(loads: Sequence[OtherLoad], *, most_s: float = 60.0) -> tuple[str | None, list[str], float]:
    """Return what keeps the board busy in the end, what was reported, and how long it was waited."""
    clock, said, left = Clock(), [], list(loads)

    def note(event: Event) -> None:
        if isinstance(event, LogMessage):
            said.append(event.text)

    def read() -> OtherLoad:
        clock.now += 1.0
        return left.pop(0) if len(left) > 1 else left[0]

    wait = IdleWait(read=read, name="pi4", most_s=most_s, on_event=note, sleep=clock.sleep, clock=clock)
    return wait.wait(), said, clock.now


def test_a_quiet_board_is_not_waited_for() -> None:
    assert wait_for([QUIET]) == (None, [], 2.0)


def test_what_is_waited_for_is_named_and_its_end_reported() -> None:
    busy, said, _ = wait_for([BUSY, BUSY, QUIET, BUSY, QUIET, QUIET])
    assert busy is None
    assert said[0] == (
        "pi4 is busy: other processes use 1.50 cores: stress-ng (PID 812) 1.50 cores; waiting at most 59 s for quiet"
    )
    assert len(said) == 2
    assert said[1].startswith("pi4 is quiet after")


def test_a_board_that_stays_busy_ends_the_wait_with_its_name() -> None:
    busy, _, waited = wait_for([BUSY], most_s=20)
    assert busy is not None
    assert "stress-ng (PID 812)" in busy
    assert waited <= 22
    wait = IdleWait(read=lambda: BUSY, name="pi4", most_s=0, sleep=lambda _: None)
    with pytest.raises(BoardBusy, match=r"pi4: still busy after 0 s: other processes use 1.50 cores") as caught:
        wait.require()
    assert "`wait_idle_s=60`" in str(caught.value)


def test_a_board_that_reports_no_load_is_not_waited_for() -> None:
    busy, said, _ = wait_for([OtherLoad()])
    assert busy is None
    assert said == ["pi4 does not report other load: runs begin without waiting"]


@pytest.mark.parametrize(
    ("load", "found"),
    [
        (QUIET, None),
        (replace(QUIET, others_millicores=200), "other processes use 0.20 cores"),
        (replace(QUIET, stolen_millicores=300), "the hypervisor gives 0.30 cores"),
        (replace(QUIET, others_millicores=900, own_pids=True), "no process that is visible there"),
        (OtherLoad(), None),
    ],
)
def test_the_limits_are_those_of_a_run(load: OtherLoad, found: str | None) -> None:
    text = disturbance(load)
    assert text is None if found is None else found in str(text)


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (0, "0 s"), (-1, "0 s"), (90, "90 s"), (600, "10 minutes")])
def test_a_short_wait_is_not_0_minutes(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


OTHERS = "other processes used more than 0.04 cores"
BUSIEST = [
    {"name": "python train.py", "cpu_millicores": 900, "pid": 812},
    {"name": "cron", "cpu_millicores": 12, "pid": 1},
]


def test_figures_of_a_busy_machine_are_shown_in_parentheses_with_who_disturbed_them() -> None:
    of = subject()
    disturbed = [
        run(of, number, trace([12 * MS] * 100), reasons=[OTHERS], facts={"busiest": BUSIEST}) for number in (1, 2)
    ]
    measurement = summarise(of, disturbed)
    assert (measurement.valid, measurement.latency_ms.p50) == (False, None)  # JSON and comparisons have no figures
    assert f"{OTHERS} (2 runs; most: python train.py, PID 812)" in [reason.text for reason in measurement.reasons]

    valid = summarise(subject(1, name="quiet"), [run(subject(1), n, trace([12 * MS] * 100)) for n in (1, 2)])
    shown = StringIO()
    Console(file=shown, width=200).print(measurement_table([measurement, valid]))
    rows = {line.split()[0]: line for line in shown.getvalue().splitlines() if line.strip()}
    assert "(12.0 " in rows["xnli-multi"]
    assert "(" not in rows["quiet"]
    assert "(in parentheses): not valid" in shown.getvalue()
    assert "(118)" not in rows["xnli-multi"]  # the size of the file is no measurement

    coloured = StringIO()
    Console(file=coloured, width=200, force_terminal=True).print(measurement_table([measurement]))
    assert "\x1b[2m(12.0 " in coloured.getvalue()


def test_a_run_that_failed_shows_no_figures() -> None:
    of = subject()
    measurement = summarise(of, [run(of, 1, trace([12 * MS] * 100), reasons=["failed: crashed"])])
    shown = StringIO()
    Console(file=shown, width=200).print(measurement_table([measurement]))
    assert "(12.0 " not in shown.getvalue()


def test_latencies_of_an_evaluation_are_judged_by_the_board_alone() -> None:
    of = subject()
    drifting = run(of, 1, trace([MS * (10 + n // 20) for n in range(200)]))
    assert reasons_against_one_pass(drifting) == ()
    busy = run(of, 1, trace([12 * MS] * 200, readings={"others_cpu_millicores": [3000] * 30}))
    assert [reason.code for reason in reasons_against_one_pass(busy)] == ["others_worked"]


def test_who_worked_is_kept_with_the_run() -> None:
    from edgebench.facts import RunFacts

    facts = RunFacts.from_json({"busiest": BUSIEST})
    assert facts.busiest is not None
    assert str(facts.busiest[0]) == "python train.py, PID 812"
    assert RunFacts.from_json(facts.to_json()) == facts
