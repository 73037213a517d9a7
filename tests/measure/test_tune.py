"""Tuning this machine, as a board whose governors and power modes are recorded files: sessions of the real agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.agent.power_trees import CPU, NVPMODEL, PI4_GOVERNORS, governors, mode
from tests.agent.trees import JETSON_NANO_POWER, PI4, plant, plant_command
from tests.fork_server import edgebench_command
from tests.schemas import check_schema

QUICK = ["--seq-len", "16", "--min-count", "5", "--min-duration", "0.05", "--no-own-cost", "--no-cold"]
MODES = "".join(f"< POWER_MODEL ID={number} NAME={name} >\n" for number, name in enumerate(("MAXN", "5W", "SUPER")))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a board with governors that may be set."""
    planted = plant(PI4 | PI4_GOVERNORS, tmp_path / "root")
    monkeypatch.setenv("EDGEBENCH_ROOT", str(planted))
    monkeypatch.chdir(tmp_path)
    return planted


def profile(model: Path, *options: str, code: int | None = 0) -> tuple[dict[str, Any], str, str]:
    """Run `profile`; return its JSON, what it showed, and what it said meanwhile."""
    done = edgebench("profile", "--model", str(model), *QUICK, *options, "--json", "result.json")
    assert done.returncode in ((0, 4) if code is None else (code,)), done.stderr  # 4: a busy machine's runs
    written = Path("result.json")
    return json.loads(written.read_text()) if written.exists() else {}, done.stdout, done.stderr


def settings(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows among which a setting is chosen, without those that are measured again."""
    return [row for row in result["measurements"] if not row["id"].endswith(".again")]


def edgebench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*edgebench_command(), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def found_again(root: Path) -> bool:
    return governors(root) == ["ondemand"] * 4


def without_spaces(text: str) -> str:
    return "".join(text.split())


@pytest.mark.long
def test_power_is_tuned_and_put_back_and_each_row_says_what_was_in_force(root: Path, tiny_onnx: Path) -> None:
    result, shown, _ = profile(tiny_onnx, "--tune", "threads,power", "--runs", "2", code=None)
    check_schema(result, "profile")
    rows = settings(result)
    told = [(row["device"]["governor"], row["workload"]["threads"]) for row in rows]
    usable = len(os.sched_getaffinity(0))
    assert told[0] == ("ondemand", usable)
    assert {governor for governor, _ in told} == {"ondemand", "performance"}
    assert len(set(told)) == len(told)
    tune = result["tune"]
    assert tune["parameters"] == ["threads", "power"]
    assert tune["found"]["measurement"] == rows[0]["id"]
    again = [row["id"] for row in result["measurements"] if row["id"].endswith(".again")]
    is_usable = rows[0]["validity"]["state"] != "not valid"
    if tune["best"] is not None and tune["best"]["measurement"] != rows[0]["id"] and is_usable:
        assert again == [f"{rows[0]['id']}.again", f"{tune['best']['measurement']}.again"] == tune["measured_again"]
    else:
        assert again == []
    assert without_spaces(tune["sentence"]) in without_spaces(shown)  # it may be broken into lines anywhere
    assert found_again(root)


@pytest.mark.long
def test_what_a_run_itself_saw_of_the_governor_is_what_its_row_says(root: Path, tiny_onnx: Path) -> None:
    from edgebench.store import Store

    profile(tiny_onnx, "--tune", "power", "--runs", "2", code=None)
    stored = Store(".edgebench").measurements()
    assert len([each for each in stored if not each.id.endswith(".again")]) == 2
    for each in stored:
        assert {run.facts.board and run.facts.board.governor for run in each.runs} == {each.subject.device.governor}


@pytest.mark.long
def test_runs_show_reports_what_a_tuned_session_found(root: Path, tiny_onnx: Path) -> None:
    result, _, _ = profile(tiny_onnx, "--tune", "power", "--runs", "2", code=None)
    id = result["measurements"][1]["id"]
    shown = edgebench("runs", "show", id, "--json", "shown.json")
    assert json.loads(Path("shown.json").read_text())["tune"] == result["tune"]
    assert without_spaces(f"tune: {result['tune']['sentence']}") in without_spaces(shown.stdout)


@pytest.mark.long
def test_without_the_right_it_says_so_in_one_line_and_tunes_the_rest(root: Path, tiny_onnx: Path) -> None:
    file = root / f"{CPU}/cpu0/cpufreq/scaling_governor"
    file.unlink()
    file.symlink_to("/proc/sys/kernel/ostype")  # which nobody may write, not even root
    result, _, said = profile(tiny_onnx, "--tune", "threads,power", "--runs", "2", code=None)
    (line,) = [line for line in said.splitlines() if "some settings can't be tuned and stay as they are" in line]
    assert "sudo chmod a+w" in line
    assert len({row["workload"]["threads"] for row in settings(result)}) == len(settings(result))
    assert result["tune"]["found"] is not None


@pytest.mark.long
def test_a_governor_that_the_kernel_refuses_is_left_out(root: Path, tiny_onnx: Path) -> None:
    file = root / f"{CPU}/cpu3/cpufreq/scaling_governor"
    file.unlink()
    file.symlink_to("/proc/self/oom_score_adj")
    result, _, said = profile(tiny_onnx, "--tune", "power", "--runs", "2", code=None)
    assert "left out: local: the governor stays" in said
    assert len(result["measurements"]) == 1
    assert governors(root)[:3] == ["ondemand"] * 3


@pytest.mark.long
def test_a_power_mode_that_needs_a_reboot_is_left_out(
    tmp_path: Path, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = plant(JETSON_NANO_POWER | {"etc/nvpmodel.conf": MODES}, tmp_path / "root")
    plant_command(root / "usr/sbin/nvpmodel", NVPMODEL.format(root=root))
    monkeypatch.setenv("EDGEBENCH_ROOT", str(root))
    monkeypatch.chdir(tmp_path)
    result, _, said = profile(tiny_onnx, "--tune", "power", "--runs", "2", code=None)
    assert [row["device"]["power_mode"] for row in settings(result)] == ["5W", "MAXN"]
    assert "instead of 2: it needs a reboot" in said
    assert mode(root) == "pmode:0001"


def start(model: Path, *options: str) -> subprocess.Popen[str]:
    """Start a tuned session that takes long; return once the board is in another state than it was found."""
    command = [sys.executable, "-m", "edgebench", "profile", "--model", str(model), "--seq-len", "16", *options]
    long = ["--no-own-cost", "--no-cold", "--tune", "power", "--runs", "4", "--min-duration", "30"]
    return subprocess.Popen([*command, *long], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def wait_for(happened: Any) -> None:
    deadline = time.monotonic() + 600
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def measures_at_performance(root: Path) -> bool:
    """Whether a run, which takes half a minute, has begun after the board was set."""
    runs = Path(os.environ["EDGEBENCH_HOME"], "runs").glob("*-001-001-*/journal.ndjson")
    return not found_again(root) and any(b'"governor":"performance"' in journal.read_bytes() for journal in runs)


@pytest.mark.long
def test_an_interrupt_puts_everything_back(root: Path, tiny_onnx: Path) -> None:
    session = start(tiny_onnx)
    wait_for(lambda: measures_at_performance(root))
    session.send_signal(signal.SIGINT)
    session.communicate(timeout=600)
    assert session.returncode == 130
    assert found_again(root)


@pytest.mark.long
def test_after_a_killed_host_the_next_session_puts_everything_back(root: Path, tiny_onnx: Path) -> None:
    from edgebench.device import find_device
    from edgebench.provision.maintenance import release_seen, see_lease

    session = start(tiny_onnx)
    wait_for(lambda: measures_at_performance(root))
    session.kill()
    session.communicate()
    assert not found_again(root)
    device = find_device("local")
    released = release_seen(device, see_lease(device), reason="its host is dead")  # instead of waiting for two minutes
    assert released is not None
    assert found_again(root)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tune", "speed"], "unknown parameter to tune 'speed'"),
        (["--tune", "threads", "--threads", "1,2"], "is tuned at a time"),
        (["--tune", "threads", "--threads", "1"], "leave their number out"),
        (["--tune", "threads", "--device", "local", "--device", "pi4"], "one board is tuned at a time"),
        (["--cores", "x"], "--cores: 'x' is not a whole number"),
        (["--cores", "-1"], "cores to keep to"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_begins(
    root: Path, tiny_onnx: Path, options: list[str], said: str
) -> None:
    _, _, told = profile(tiny_onnx, *options, code=2)
    assert said in told


def test_cores_that_the_board_does_not_have_are_an_error_that_says_so(root: Path, tiny_onnx: Path) -> None:
    _, _, said = profile(tiny_onnx, "--cores", "4000", "--threads", "1", "--runs", "2", code=1)
    assert "the board does not give us cores [4000]" in said
