"""The judge of the campaign finds what is lost, doubled or false, and lets pass what is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebench.store import Store
from edgebench_agent import protocol
from tests.faults import __main__ as campaign
from tests.faults.faults import FAULTS
from tests.faults.host import Ended
from tests.faults.judge import Findings, Journal, Kept, judge, read_journal, read_stores
from tests.faults.trial import Result
from tests.sample_runs import run, subject, trace

RUN = "20250102T030405-abcdef-000-001-aaaa"
PILOT = "20250102T030405-abcdef-000-pilot-aaaa"
TIMES = tuple((1000 * number, 900) for number in range(5))
JOURNALS = {RUN: Journal(TIMES, is_done=True)}


def findings(*kept: Kept, said: str = "", **changes: Journal) -> Findings:
    return judge({**JOURNALS, **changes}, kept, said)


def test_a_store_that_has_each_inference_once_is_right() -> None:
    found = findings(Kept(RUN, TIMES, valid=True), **{PILOT: Journal(TIMES, is_done=True)})
    assert not found.wrong and not found.named


def test_a_run_that_is_not_in_the_store_is_lost_unless_it_is_named() -> None:
    assert findings().lost == [f"run {RUN}, 5 inferences, is not in the store"]
    found = findings(said=f"run {RUN} stays on the board")
    assert not found.wrong and len(found.named) == 1
    assert not judge({RUN: Journal((), is_done=False)}, [], "").lost


def test_inferences_at_the_end_of_a_run_are_lost_unless_it_is_named() -> None:
    part = Kept(RUN, TIMES[:3], valid=False)
    assert findings(part).lost == [f"run {RUN}: the last 2 of 5 inferences are not in the store"]
    assert not findings(part, said=f"run {RUN} (partial) stays on the board").wrong


def test_a_part_of_a_run_never_counts() -> None:
    assert len(findings(Kept(RUN, TIMES[:3], valid=True)).false) == 1
    found = judge({RUN: Journal(TIMES, is_done=False)}, [Kept(RUN, TIMES, valid=True)], "")
    assert len(found.false) == 1


@pytest.mark.parametrize("times", [TIMES[1:], (*TIMES[:4], (4000, 901)), (*TIMES, (6000, 900))])
def test_what_the_journal_does_not_have_is_false(times: tuple[tuple[int, int], ...]) -> None:
    assert findings(Kept(RUN, times, valid=False)).false == [f"run {RUN} in the store differs from its journal"]


def test_a_run_without_a_journal_is_false() -> None:
    assert len(judge({}, [Kept(RUN, TIMES, valid=True)], "").false) == 1


def test_an_inference_in_two_runs_is_doubled() -> None:
    again = f"{RUN[:-4]}bbbb"
    found = findings(Kept(RUN, TIMES, valid=True), Kept(again, TIMES[:2], valid=False), **{again: JOURNALS[RUN]})
    assert found.doubled == ["2 inferences are in the store twice"]
    assert len(findings(Kept(RUN, TIMES, valid=True), Kept(RUN, TIMES, valid=True)).doubled) == 2


def test_what_was_destroyed_on_the_board_is_not_missing_but_must_not_differ() -> None:
    torn = {RUN: Journal(TIMES[:2], is_done=False)}
    assert not judge(torn, [Kept(RUN, TIMES[:4], valid=False)], "", before=JOURNALS).wrong
    assert judge(torn, [Kept(RUN, TIMES[:1], valid=False)], "", before=JOURNALS).lost
    assert judge(torn, [Kept(RUN, TIMES[1:3], valid=False)], "", before=JOURNALS).false
    assert not judge(torn, [Kept(RUN, TIMES, valid=True)], "", before=JOURNALS).wrong  # it was over, and received
    assert judge(torn, [Kept(RUN, TIMES, valid=True)], "", before={RUN: Journal(TIMES, is_done=False)}).false
    assert judge(torn, [Kept(RUN, TIMES[:4], valid=True)], "", before=JOURNALS).false


def test_a_torn_journal_is_read_as_far_as_it_is_right() -> None:
    messages = [
        protocol.Phase("loading"),
        protocol.Latencies(True, [1], [1], [0]),
        protocol.Latencies(False, [10, 20], [5, 6], [0, 1]),
        protocol.Latencies(False, [30], [7], [2]),
        protocol.Done(3, 27),
    ]
    lines = [protocol.encode_message(number, 50 + number, each) for number, each in enumerate(messages)]
    full = Journal(((10, 5), (20, 6), (30, 7)), is_done=True, loading_ns=50)
    assert read_journal(b"".join(lines)) == full
    assert read_journal(b"".join(lines)[:-1]) == Journal(full.inferences, is_done=False, loading_ns=50)
    assert read_journal(b"".join(lines[:3]) + bytes(40)).inferences == full.inferences[:2]
    assert read_journal(b"".join([*lines[:3], lines[4]])).inferences == full.inferences[:2]


def test_stores_are_read_as_they_are(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.add_run(subject(), run(subject(), 1, trace([5, 6, 7]), id="a"))
    kept, unreadable = read_stores([store.folder, tmp_path / "none"])
    assert [(each.id, [latency for _, latency in each.inferences]) for each in kept] == [("a", [5, 6, 7])]
    assert not unreadable
    (store.folder / "runs" / "a" / "run.json").write_text("{")
    kept, unreadable = read_stores([store.folder])
    assert not kept and len(unreadable) == 1


def test_the_campaign_fails_with_its_worst_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def trial(seed: int, fault: object, folder: Path, model: Path, *, openssh: bool) -> Result:
        folder.mkdir(parents=True)
        result = Result(seed, "host killed", "run", struck=True, commands=[Ended(0, "", 1.0, is_hang=False)])
        if seed == 8:
            result.findings.lost.append("an inference")
        return result

    monkeypatch.setattr(campaign, "run_trial", trial)
    common = ["--folder", str(tmp_path), "--model", "model.onnx", "--server", "asyncssh"]
    assert campaign.main(["--n", "1", "--seed", "7", *common]) == 0
    assert campaign.main(["--n", "2", "--seed", "7", *common, "--only", "host killed"]) == 1
    printed = capsys.readouterr().out
    assert "again: python -m tests.faults --n 1 --seed 8 --only 'host killed'" in printed
    assert printed.splitlines()[-1].split() == ["all", "2", "2", "2", "0", "0", "1", "0", "0", "0", "0"]
    assert [path.name for path in tmp_path.iterdir()] == ["trial-8"]


def test_the_faults_are_those_that_are_promised() -> None:
    assert len(FAULTS) >= 40
    assert all(fault.stages for fault in FAULTS.values())
