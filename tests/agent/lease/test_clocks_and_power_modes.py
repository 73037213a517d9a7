"""Setting clocks and power modes and putting them back: the real agent on recorded trees."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from edgebench_agent.home import Home
from edgebench_agent.lease.board_lease import BoardLease
from edgebench_agent.lease.power import Power
from edgebench_agent.protocol import Hello, LeaseRequest, PowerRequest
from tests.agent.agent_board import SECOND, AgentBoard, wait_until
from tests.agent.power_trees import CPU, NVPMODEL, PI4_GOVERNORS, governors, mode
from tests.agent.trees import JETSON_NANO_POWER, PI4, plant, plant_command


@pytest.fixture
def pi4(board: AgentBoard, tmp_path: Path) -> Path:
    """The root of a Pi 4 whose governors we may set; the board has it."""
    return with_root(board, plant(PI4 | PI4_GOVERNORS, tmp_path / "root"))


@pytest.fixture
def jetson(board: AgentBoard, tmp_path: Path) -> Path:
    """The root of a Jetson with three power modes; the board has it."""
    modes = "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=5W >\n< POWER_MODEL ID=2 NAME=SUPER >\n"
    root = plant(JETSON_NANO_POWER | {"etc/nvpmodel.conf": modes}, tmp_path / "root")
    plant_command(root / "usr/sbin/nvpmodel", NVPMODEL.format(root=root))
    return with_root(board, root)


#: Modes 0 and 1 have eight cores and four. A core that goes takes its governor's file along; the kernel brings it back
#: as it went (`cpufreq.gone`), or, the first time, at its default.
CORES_OF_MODES = """
cpus={root}/sys/devices/system/cpu
for core in 4 5 6 7; do
    cpu=$cpus/cpu$core
    if [ "$2" = 0 ] && [ ! -e $cpu/cpufreq ]; then
        echo 1 > $cpu/online; mv $cpu/cpufreq.gone $cpu/cpufreq
    elif [ "$2" = 1 ] && [ -e $cpu/cpufreq ]; then
        echo 0 > $cpu/online; mv $cpu/cpufreq $cpu/cpufreq.gone
    fi
done
printf "pmode:%04d\\n" "$2" > {root}/var/lib/nvpmodel/status
"""


@pytest.fixture(params=[0, 1])
def xavier(board: AgentBoard, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The root of a Jetson whose power modes have eight cores and four; it is in one of them."""
    found = request.param
    cores = {
        f"{CPU}/cpu{core}/{'cpufreq' if core < 4 or found == 0 else 'cpufreq.gone'}/{name}": value
        for core in range(8)
        for name, value in {
            "scaling_governor": "schedutil\n",
            "scaling_available_governors": "performance schedutil\n",
        }.items()
    }
    states = {f"{CPU}/cpu{core}/online": f"{int(core < 4 or found == 0)}\n" for core in range(8)}
    modes = "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=10W >\n"
    mode_now = {"etc/nvpmodel.conf": modes, "var/lib/nvpmodel/status": f"pmode:{found:04}\n"}
    root = plant(JETSON_NANO_POWER | cores | states | mode_now, tmp_path / "root")
    plant_command(root / "usr/sbin/nvpmodel", CORES_OF_MODES.format(root=root))
    return with_root(board, root)


def with_root(board: AgentBoard, root: Path) -> Path:
    board.environment["EDGEBENCH_ROOT"] = str(root)
    return root


def lease(board: AgentBoard, do: str = "acquire", **values: Any) -> dict[str, Any]:
    values = {"ticket": "a-ticket", "who": "me@host", "purpose": "tests"} | values
    return board.reply("lease", input=LeaseRequest(do=do, **values).to_json())


def power(board: AgentBoard, do: str, token: int, **values: Any) -> dict[str, Any]:
    return board.reply("power", input=PowerRequest(do=do, token=token, **values).to_json())


def test_show_tells_what_there_is_and_changes_nothing(board: AgentBoard, pi4: Path) -> None:
    shown = power(board, "show", lease(board)["token"])
    assert shown["governor"] == "ondemand"
    assert shown["governors"] == ["conservative", "ondemand", "performance", "powersave"]
    assert shown["governor_refused"] is None
    assert (shown["power_mode"], shown["power_modes"]) == (None, {})
    assert shown["power_mode_refused"] == "the board has no power modes"
    assert governors(pi4) == ["ondemand"] * 4
    assert not (board.home / "power.json").exists()


def test_what_was_found_is_on_record_before_anything_is_set_and_put_back(board: AgentBoard, pi4: Path) -> None:
    (pi4 / f"{CPU}/cpu3/cpufreq/scaling_governor").write_text("powersave\n")  # each core has its own
    token = lease(board)["token"]
    assert power(board, "set", token, governor="performance")["governor"] == "performance"
    assert governors(pi4) == ["performance"] * 4
    record = json.loads((board.home / "power.json").read_text())
    assert sorted(record["governors"].values()) == ["ondemand", "ondemand", "ondemand", "powersave"]
    assert power(board, "set", token, governor="conservative")["ok"]  # what was found is still what was there first
    assert power(board, "restore", token)["restored"] is True
    assert governors(pi4) == ["ondemand", "ondemand", "ondemand", "powersave"]
    assert power(board, "restore", token)["restored"] is False


def test_set_without_a_governor_is_as_it_was_found(board: AgentBoard, pi4: Path) -> None:
    token = lease(board)["token"]
    power(board, "set", token, governor="performance")
    assert power(board, "set", token)["governor"] == "ondemand"


def test_only_the_holder_of_the_lease_may_set(board: AgentBoard, pi4: Path) -> None:
    token = lease(board)["token"]
    assert power(board, "set", token + 1, governor="performance")["kind"] == "lease_lost"
    assert power(board, "set", 0, governor="performance")["kind"] == "busy"
    lease(board, "release", token=token)
    assert power(board, "set", 0, governor="performance")["kind"] == "bad_request"
    assert governors(pi4) == ["ondemand"] * 4


def test_without_the_right_it_says_what_is_needed(board: AgentBoard, pi4: Path) -> None:
    file = pi4 / f"{CPU}/cpu0/cpufreq/scaling_governor"
    file.unlink()
    file.symlink_to("/proc/sys/kernel/ostype")  # which nobody may write, not even root
    token = lease(board)["token"]
    refused = power(board, "show", token)["governor_refused"]
    assert refused.startswith("the governor stays 'Linux'")
    assert "sudo chmod a+w" in refused
    reply = power(board, "set", token, governor="performance")
    assert (reply["kind"], "stays 'Linux' instead of 'performance'" in reply["message"]) == ("refused", True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root needs no sudo")
def test_sudo_that_wants_a_password_is_never_asked_for_one(board: AgentBoard, pi4: Path) -> None:
    plant_command(pi4 / "usr/bin/sudo", '[ "$1" = -n ] || exec sleep 600; echo "sudo: a password is required"; exit 1')
    for core in range(4):
        (pi4 / f"{CPU}/cpu{core}/cpufreq/scaling_governor").chmod(0o444)
    assert "a password is required" in power(board, "show", lease(board)["token"])["governor_refused"]


def test_a_governor_that_the_kernel_refuses_is_told_and_the_rest_is_put_back(board: AgentBoard, pi4: Path) -> None:
    file = pi4 / f"{CPU}/cpu3/cpufreq/scaling_governor"
    file.unlink()
    file.symlink_to("/proc/self/oom_score_adj")  # takes what it has, and nothing that is no number
    token = lease(board)["token"]
    assert power(board, "show", token)["governor_refused"] is None
    reply = power(board, "set", token, governor="performance")
    assert reply["kind"] == "refused"
    assert "Invalid argument" in reply["message"]
    assert governors(pi4)[:3] == ["performance"] * 3
    assert power(board, "restore", token)["restored"] is True
    assert governors(pi4)[:3] == ["ondemand"] * 3


def test_a_power_mode_is_set_and_put_back(board: AgentBoard, jetson: Path) -> None:
    token = lease(board)["token"]
    shown = power(board, "show", token)
    assert (shown["power_mode"], shown["power_mode_name"]) == (1, "5W")
    assert shown["power_modes"] == {"0": "MAXN", "1": "5W", "2": "SUPER"}
    assert power(board, "set", token, power_mode=0)["power_mode"] == 0
    assert mode(jetson) == "pmode:0000"
    assert power(board, "restore", token)["restored"] is True
    assert mode(jetson) == "pmode:0001"


def cores_on(root: Path) -> list[str]:
    """Return the governor of each core that is on."""
    return [file.read_text().strip() for file in sorted(root.glob(f"{CPU}/cpu*/cpufreq/scaling_governor"))]


def test_cores_that_a_power_mode_switches_are_set_and_put_back(board: AgentBoard, xavier: Path) -> None:
    found = len(cores_on(xavier))
    before, other, others = (0, 1, 4) if found == 8 else (1, 0, 8)
    token = lease(board)["token"]
    for _ in range(2):
        reply = power(board, "set", token, governor="performance", power_mode=other)
        assert (reply["ok"], reply["governor"], reply["power_mode"]) == (True, "performance", other), reply
        assert cores_on(xavier) == ["performance"] * others
        reply = power(board, "set", token, governor="performance")
        assert (reply["ok"], reply["governor"], reply["power_mode"]) == (True, "performance", before), reply
        assert cores_on(xavier) == ["performance"] * found
    assert power(board, "set", token, power_mode=other)["governor"] == "schedutil"
    assert cores_on(xavier) == ["schedutil"] * others
    power(board, "set", token, governor="performance", power_mode=other)
    assert power(board, "restore", token)["restored"] is True
    assert cores_on(xavier) == ["schedutil"] * found
    every = xavier.glob(f"{CPU}/cpu*/cpufreq*/scaling_governor")  # of those that are off, too
    assert {file.read_text().strip() for file in every} == {"schedutil"}


def test_a_power_mode_that_needs_a_reboot_is_refused(board: AgentBoard, jetson: Path) -> None:
    token = lease(board)["token"]
    reply = power(board, "set", token, power_mode=2)
    assert reply["kind"] == "refused"
    assert reply["message"] == "the power mode stays 1 instead of 2: it needs a reboot"
    assert mode(jetson) == "pmode:0001"


@pytest.mark.slow
def test_the_next_holder_finds_the_board_as_the_dead_one_found_it(board: AgentBoard, pi4: Path) -> None:
    token = lease(board, ttl_ns=SECOND)["token"]
    power(board, "set", token, governor="performance")
    while not (reply := lease(board, ticket="another"))["granted"]:
        assert governors(pi4) == ["performance"] * 4
    assert "note" not in reply
    assert governors(pi4) == ["ondemand"] * 4


@pytest.mark.parametrize("do", ["release", "force"])
def test_a_board_that_is_given_back_is_as_it_was_found(board: AgentBoard, pi4: Path, do: str) -> None:
    token = lease(board)["token"]
    power(board, "set", token, governor="performance")
    lease(board, do, token=token)
    assert governors(pi4) == ["ondemand"] * 4


@pytest.mark.slow
def test_a_run_of_somebody_without_a_lease_finds_the_board_as_it_was(board: AgentBoard, pi4: Path) -> None:
    token = lease(board, ttl_ns=SECOND)["token"]
    power(board, "set", token, governor="performance")
    spec = board.spec(sensors=False)
    while not board.launch(spec)["ok"]:
        pass
    hello = board.journal(spec.run_id)[0].message
    assert isinstance(hello, Hello)
    assert hello.board["governor"] == "ondemand"


def test_a_run_under_the_lease_keeps_what_was_set_and_tells_it(board: AgentBoard, pi4: Path) -> None:
    token = lease(board)["token"]
    power(board, "set", token, governor="performance")
    hello = board.run(board.spec(sensors=False, lease_token=token))[0]
    assert hello.board["governor"] == "performance"


@pytest.mark.slow
def test_what_cannot_be_put_back_is_told_and_stays_on_record(board: AgentBoard, jetson: Path) -> None:
    token = lease(board, ttl_ns=SECOND)["token"]
    power(board, "set", token, power_mode=0)
    (jetson / "usr/sbin/nvpmodel").unlink()
    while not (reply := lease(board, ticket="another"))["granted"]:
        pass
    assert reply["note"].startswith("the board's clocks are not as an earlier session found them: ")
    plant_command(jetson / "usr/sbin/nvpmodel", NVPMODEL.format(root=jetson))
    assert power(board, "restore", reply["token"])["restored"] is True
    assert mode(jetson) == "pmode:0001"


def test_after_a_reboot_only_the_power_mode_is_put_back(tmp_path: Path) -> None:
    root = plant(PI4 | PI4_GOVERNORS, tmp_path / "root")
    home = Home(tmp_path / "home")
    home.create()
    Power(home, root).set(7, "performance", None)
    record = json.loads((home.root / "power.json").read_text())
    (home.root / "power.json").write_text(json.dumps(record | {"boot": "another boot"}))
    assert Power(home, root).restore() is True
    assert governors(root) == ["performance"] * 4  # the board chose these when it started
    assert not (home.root / "power.json").exists()


DAMAGED = (b"", b"{", b"[]", b'{"token": 1, "boot": "x", "power_mode": null, "governors": {"/etc/x": 7}}')


def test_a_damaged_record_is_told_once_and_holds_up_nobody(board: AgentBoard, pi4: Path) -> None:
    token = lease(board)["token"]
    power(board, "set", token, governor="performance")
    for damaged in DAMAGED:
        (board.home / "power.json").write_bytes(damaged)
        reply = power(board, "restore", token)
        assert (reply["ok"], reply["restored"]) == (True, False)
        assert (
            "power.json said what clocks and power mode were before edgebench set them, and is damaged" in reply["note"]
        )
        assert "they stay as they are (governor performance)" in reply["note"]
        assert power(board, "restore", token) == {"ok": True, "restored": False}


def test_a_damaged_record_is_told_to_whoever_sets_or_comes_next(board: AgentBoard, pi4: Path) -> None:
    token = lease(board)["token"]
    power(board, "set", token, governor="performance")
    (board.home / "power.json").write_bytes(b"{")
    assert power(board, "set", token, governor="powersave")["kind"] == "corrupt"
    assert power(board, "set", token, governor="powersave")["ok"]
    (board.home / "power.json").write_bytes(b"{")
    assert board.launch(board.spec(sensors=False, lease_token=token))["ok"]
    state = json.loads((board.home / "lease.json").read_text())
    (board.home / "lease.json").write_text(json.dumps(state | {"holder": None}))
    following = lease(board, ticket="the-next")
    assert "and is damaged" in following["note"]
    (board.home / "power.json").write_bytes(b"{")
    replies: list[dict[str, Any]] = []

    def removed() -> bool:
        replies.append(board.reply("remove", "--lease", str(following["token"])))  # refused while the run still ends
        return bool(replies[-1]["ok"])

    wait_until(removed)
    assert "and is damaged" in replies[-1]["note"]
    assert not board.home.exists()


# --- the guard --------------------------------------------------------------------------------------------------


def guards(board: AgentBoard) -> list[int]:
    """Return the processes that guard what is set on a board."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(board.archive).encode() in words and b"guard" in words:
            found.append(int(folder.name))
    return found


def let_time_pass(board: AgentBoard, seconds: int) -> None:
    path = board.home / "lease.json"
    state = json.loads(path.read_text())
    state["holder"]["granted_ns"] -= seconds * SECOND
    path.write_text(json.dumps(state))
    (board.home / "lease.renewed").unlink(missing_ok=True)


def hurry_guards(board: AgentBoard) -> None:
    """Let guards look more often."""
    board.change("lease/guard.py", b"_CHECK_EVERY_S = 5.0", b"_CHECK_EVERY_S = 0.2")


def test_the_clocks_of_a_dead_host_are_put_back_though_nobody_comes(board: AgentBoard, pi4: Path) -> None:
    hurry_guards(board)
    token = lease(board)["token"]
    power(board, "set", token, governor="powersave")
    power(board, "set", token, governor="performance")
    (guard,) = guards(board)
    assert os.getsid(guard) == guard  # what ends the connection's processes does not end it
    let_time_pass(board, 3600)
    wait_until(lambda: governors(pi4) == ["ondemand"] * 4)
    wait_until(lambda: not guards(board))
    assert not (board.home / "power.json").exists()
    assert lease(board, "renew", token=token)["kind"] == "lease_lost"  # it would measure with other clocks than it set


@pytest.mark.slow
def test_clocks_are_left_as_they_are_while_a_host_may_come_back_or_a_run_measures(board: AgentBoard, pi4: Path) -> None:
    hurry_guards(board)
    home = Home(board.home)
    token = lease(board)["token"]
    power(board, "set", token, governor="performance")
    let_time_pass(board, 300)  # the lease is over, and a host that lost its connection may still look for the board
    assert not BoardLease(home).end_overdue(token, 600 * SECOND, lambda: None)
    run = board.spec(mode="idle", min_duration_ns=600 * SECOND, lease_token=token)
    board.launch_well(run)
    let_time_pass(board, 3600)
    time.sleep(1)  # the guard looks several times meanwhile
    assert governors(pi4) == ["performance"] * 4
    board.end_runs()
    wait_until(lambda: governors(pi4) == ["ondemand"] * 4)


def test_a_guard_ends_when_the_board_is_given_back(board: AgentBoard, pi4: Path) -> None:
    token = lease(board)["token"]
    power(board, "set", token, governor="performance")
    assert guards(board)
    lease(board, "release", token=token)
    assert lease(board, ticket="another")["granted"]
    power(board, "set", lease(board, ticket="another")["token"], governor="powersave")
    wait_until(lambda: len(guards(board)) == 1)
    assert governors(pi4) == ["powersave"] * 4  # which is the other's


# --- cores ------------------------------------------------------------------------------------------------------


def test_a_run_keeps_to_the_cores_that_it_is_given(board: AgentBoard) -> None:
    core = max(os.sched_getaffinity(0))
    spec = board.spec(mode="idle", min_duration_ns=600 * SECOND, affinity=[core])
    pid = board.launch_well(spec)
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert os.sched_getaffinity(int(child)) == {core}
    assert os.sched_getaffinity(pid) == os.sched_getaffinity(0)  # who reads the sensors may run elsewhere


def test_a_core_that_the_board_does_not_have_is_refused(board: AgentBoard) -> None:
    for cores in ([4095], [min(os.sched_getaffinity(0)), 4095]):
        reply = board.launch(board.spec(affinity=cores))
        assert (reply["ok"], reply["kind"]) == (False, "refused")
