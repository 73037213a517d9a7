"""Environments on the board: made of wheels by the agent alone, adopted, removed; every command is the real agent."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgebench_agent.home import Home
from edgebench_agent.lease.board_lease import BoardLease
from edgebench_agent.lease.lock import current_run
from edgebench_agent.protocol import LeaseRequest
from tests.agent.agent_board import AgentBoard, wait_until
from tests.agent.wheel_making import INFO, make_wheel, record_line

CODE = b"VALUE = 'from the wheel'\n"
GOOD = {"thing/__init__.py": CODE, "thing/data/table.bin": bytes(range(256)) * 4000}


@pytest.fixture
def board(tmp_path: Path) -> AgentBoard:
    return AgentBoard(tmp_path)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach; pytest's own is the user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def install(board: AgentBoard, *wheels: bytes, name: str = "a", anew: bool = False) -> dict[str, Any]:
    """Push wheels and make an environment of them; return the reply."""
    entries = [{"name": f"w{at}.whl", "sha256": board.push(wheel)} for at, wheel in enumerate(wheels)]
    return board.reply("install", input=line({"environment": name * 64, "wheels": entries, "anew": anew}))


def ask(board: AgentBoard, *wheels: bytes) -> dict[str, Any]:
    """Ask whether the environment of some wheels is there."""
    entries = [{"name": f"w{at}.whl", "sha256": hashlib.sha256(wheel).hexdigest()} for at, wheel in enumerate(wheels)]
    return board.reply("install", input=line({"environment": "a" * 64, "wheels": entries, "ask": True}))


def line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def adopt(board: AgentBoard, python: str, **changes: Any) -> dict[str, Any]:
    adoption = {
        "runtime": "onnxruntime",
        "python": python,
        "environment": "a" * 64,
        "packages": {"thing": "1.0"},
        "agreement": "as here",
    }
    return board.reply("adopt", input=line(adoption | changes))


def python_says(python: str, code: str) -> str:
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_environment_has_its_wheels_and_nothing_of_the_systems_python(board: AgentBoard) -> None:
    reply = install(board, make_wheel(GOOD))
    python = reply["python"]
    assert reply["missing"] == []
    assert python_says(python, "import thing; print(thing.VALUE)") == "from the wheel"
    where = python_says(python, "import thing, sys; print(thing.__file__); print(sys.prefix)").splitlines()
    folder = board.home / "envs" / ("a" * 64)
    assert where[0].startswith(str(folder))
    assert where[1] == str(folder)
    # Of this test's own Python, which has numpy, it sees nothing.
    assert python_says(python, "import importlib.util as u; print(u.find_spec('numpy'))") == "None"


def test_the_agent_runs_in_an_environment(board: AgentBoard, tmp_path: Path) -> None:
    python = install(board, make_wheel(GOOD))["python"]
    inside = AgentBoard(tmp_path / "inside", python) if (tmp_path / "inside").mkdir() is None else board
    assert inside.reply("probe")["board"]["python_executable"] == python


def test_wheels_that_are_not_there_are_told_and_nothing_is_made(board: AgentBoard) -> None:
    here, absent = board.push(make_wheel(GOOD)), "f" * 64
    entries = [{"name": "a.whl", "sha256": here}, {"name": "b.whl", "sha256": absent}]
    reply = board.reply("install", input=line({"environment": "a" * 64, "wheels": entries}))
    assert (reply["python"], reply["missing"]) == (None, [absent])
    assert list((board.home / "envs").iterdir()) == []


def test_an_installation_sent_twice_is_made_once(board: AgentBoard) -> None:
    first = install(board, make_wheel(GOOD))
    marker = board.home / "envs" / ("a" * 64) / "marker"
    marker.touch()
    again = board.reply("install", input=line({"environment": "a" * 64, "wheels": []}))
    assert again["python"] == first["python"]
    assert marker.exists()


def test_what_an_installation_left_that_was_killed_does_no_harm(board: AgentBoard) -> None:
    left = board.home / "envs" / ("a" * 64 + ".part") / "lib"
    left.mkdir(parents=True)
    (left / "half").touch()
    python = install(board, make_wheel(GOOD))["python"]
    assert python_says(python, "import thing; print(thing.VALUE)") == "from the wheel"
    assert not left.exists()


def test_an_environment_whose_python_is_gone_is_made_anew(board: AgentBoard) -> None:
    wheel = make_wheel(GOOD)
    python = Path(install(board, wheel)["python"])
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert install(board, wheel)["python"] == str(python)
    assert python_says(str(python), "import thing; print(thing.VALUE)") == "from the wheel"


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_an_environment_of_which_a_file_is_damaged_is_made_anew(board: AgentBoard, damage: str) -> None:
    wheel = make_wheel(GOOD)
    python = install(board, wheel)["python"]
    (table,) = (board.home / "envs").rglob("table.bin")
    assert ask(board, wheel)["python"] == python
    if damage == "cut":
        os.truncate(table, 4096)
    else:
        table.unlink()
    assert ask(board, wheel)["python"] is None
    assert install(board, wheel)["python"] == python
    assert table.read_bytes() == GOOD["thing/data/table.bin"]


def test_an_environment_that_is_known_not_to_work_is_made_anew_however_whole_it_looks(board: AgentBoard) -> None:
    wheel = make_wheel(GOOD)
    python = install(board, wheel)["python"]
    (module,) = (board.home / "envs").rglob("thing/__init__.py")
    module.write_bytes(bytes(len(CODE)))  # of the right size, and not what it was
    assert install(board, wheel)["python"] == python
    assert module.read_bytes() == bytes(len(CODE))
    install(board, wheel, anew=True)
    assert python_says(python, "import thing; print(thing.VALUE)") == "from the wheel"


def test_who_only_asks_gets_to_know_which_wheels_are_missing_and_changes_nothing(board: AgentBoard) -> None:
    here, absent = board.push(make_wheel(GOOD)), "f" * 64
    entries = [{"name": "a.whl", "sha256": here}, {"name": "b.whl", "sha256": absent}]
    reply = board.reply("install", input=line({"environment": "a" * 64, "wheels": entries, "ask": True}))
    assert (reply["python"], reply["missing"]) == (None, [absent])
    assert not (board.home / "envs").exists()


def test_libraries_apart_from_the_rest_are_put_with_it_and_scripts_are_left_out(board: AgentBoard) -> None:
    files = {
        "thing-1.0.data/purelib/pure.py": b"A = 1\n",
        "thing-1.0.data/platlib/plat.py": b"B = 2\n",
        "thing-1.0.data/scripts/tool": b"#!python\n",
        "thing-1.0.data/data/etc/x": b"x",
    }
    python = install(board, make_wheel(files))["python"]
    assert python_says(python, "import pure, plat; print(pure.A + plat.B)") == "3"
    names = {path.name for path in (board.home / "envs").rglob("*")}
    assert not names & {"tool", "x"}


def _changed(wheel: bytes) -> bytes:
    return make_wheel({"thing/__init__.py": b"VALUE = 'other'\n"}, record=record_line("thing/__init__.py", CODE))


@pytest.mark.parametrize(
    ("wheel", "message"),
    [
        (lambda: make_wheel({"../../evil.py": b""}), "leads out of it"),
        (lambda: make_wheel({"/etc/evil": b""}), "leads out of it"),
        (lambda: make_wheel({"a/../../evil.py": b""}), "leads out of it"),
        (lambda: make_wheel({"thing-1.0.data/purelib/../../../evil.py": b""}), "leads out of it"),
        (lambda: make_wheel({"thing.py": CODE}, record=""), "has no SHA-256"),
        (lambda: make_wheel({"thing.py": CODE}, record="thing.py,md5=x,1\n"), "has no SHA-256"),
        (lambda: _changed(b""), "is not what its RECORD says"),
        (lambda: b"no zip at all", "not a wheel that can be unpacked"),
        (lambda: make_wheel(GOOD)[:-2000], "not a wheel that can be unpacked"),
        (lambda: make_wheel(GOOD).replace(INFO.encode(), b"thing-1.0.dist-xxxx"), "no RECORD"),
    ],
)
def test_a_wheel_that_is_not_right_is_refused_and_leaves_nothing(
    board: AgentBoard, tmp_path: Path, wheel: Callable[[], bytes], message: str
) -> None:
    reply = install(board, wheel())
    assert (reply["ok"], reply["kind"]) == (False, "corrupt")
    assert message in reply["message"]
    assert list((board.home / "envs").iterdir()) == []
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    "spec", [b"", b"{}", line({"environment": "../x", "wheels": []}), line({"environment": "a" * 64, "wheels": [{}]})]
)
def test_a_bad_installation_is_refused(board: AgentBoard, spec: bytes) -> None:
    reply = board.reply("install", input=spec)
    assert (reply["ok"], reply["kind"]) == (False, "bad_request")


def test_adopting_notes_what_serves_a_runtime_and_removes_what_served_it_before(board: AgentBoard) -> None:
    wheel = make_wheel(GOOD)
    old = install(board, wheel)["python"]
    assert adopt(board, old)["ok"]
    new = install(board, wheel, make_wheel({"other.py": b""}), name="b")["python"]
    reply = adopt(board, new, environment="b" * 64)
    assert reply["removed"] == ["a" * 64]
    assert not Path(old).exists()
    assert Path(new).exists()
    table = json.loads((board.home / "envs/table.json").read_text())
    assert table["runtimes"]["onnxruntime"]["python"] == new


def test_what_a_setup_leaves_is_dropped_and_what_serves_a_runtime_stays(board: AgentBoard) -> None:
    wheel, other = make_wheel(GOOD), make_wheel({"other.py": b""})
    kept = install(board, wheel)["python"]
    assert adopt(board, kept)["ok"]
    failed = install(board, wheel, other, name="b")["python"]
    hashes = [hashlib.sha256(each).hexdigest() for each in (wheel, other)]
    part = board.home / "blobs" / (hashes[1] + ".part")
    part.touch()
    reply = board.reply("drop", input=line({"wheels": [*hashes, "f" * 64]}))
    assert reply["removed"] == ["b" * 64]
    assert not Path(failed).exists()
    assert Path(kept).exists()
    assert not list((board.home / "blobs").iterdir())


def test_an_environment_that_serves_another_runtime_stays(board: AgentBoard) -> None:
    first = install(board, make_wheel(GOOD))["python"]
    assert adopt(board, first)["ok"]
    second = install(board, make_wheel({"other.py": b""}), name="b")["python"]
    assert adopt(board, second, runtime="tflite-runtime", environment="b" * 64)["removed"] == []
    assert Path(first).exists()


def test_a_python_that_is_not_there_can_not_be_adopted(board: AgentBoard) -> None:
    reply = adopt(board, "/nowhere/python")
    assert (reply["ok"], reply["kind"]) == (False, "not_found")


def test_a_table_that_is_garbage_is_written_anew(board: AgentBoard) -> None:
    python = install(board, make_wheel(GOOD))["python"]
    (board.home / "envs/table.json").write_text('{"runtimes": [1, 2')
    assert adopt(board, python)["ok"]
    assert list(json.loads((board.home / "envs/table.json").read_text())["runtimes"]) == ["onnxruntime"]


CHANGES = {
    "install": line({"environment": "a" * 64, "wheels": []}),
    "adopt": line({"runtime": "null", "python": "/bin/sh", "environment": None, "packages": {}, "agreement": ""}),
    "drop": line({"wheels": []}),
    "clean": b"",
    "remove": b"",
}


def leased(board: AgentBoard, ticket: str) -> int:
    """Take the board's lease; return its token."""
    request = LeaseRequest(do="acquire", ticket=ticket, who="bert@laptop", purpose="his job")
    token: int = BoardLease(Home(board.home)).acquire(request)["token"]
    return token


@pytest.mark.parametrize("command", list(CHANGES))
def test_nothing_is_changed_on_a_board_that_is_somebody_elses(board: AgentBoard, command: str) -> None:
    ours = leased(board, "ours")
    BoardLease(Home(board.home)).release_by_force("bert", "I need it")
    theirs = leased(board, "theirs")
    before = sorted(board.home.rglob("*"))
    for token, kind in ((ours, "lease_lost"), (0, "busy")):
        reply = board.reply(command, "--lease", token, input=CHANGES[command])
        assert (reply["ok"], reply["kind"]) == (False, kind)
    assert {path for path in board.home.rglob("*") if path.name not in ("envs", "lock")} == {
        path for path in before if path.name not in ("envs", "lock")
    }
    assert board.reply(command, "--lease", theirs, input=CHANGES[command])["ok"]


@pytest.mark.slow
def test_an_installation_whose_lease_is_lost_meanwhile_puts_nothing_in_place(board: AgentBoard) -> None:
    ours = leased(board, "ours")
    wheel = make_wheel({f"thing/m{number}.py": CODE for number in range(2_500)})
    entries = [{"name": "w.whl", "sha256": board.push(wheel)}]
    part = board.home / "envs" / ("a" * 64 + ".part")
    with board.start("install", "--lease", ours) as process:
        assert process.stdin and process.stdout
        process.stdin.write(line({"environment": "a" * 64, "wheels": entries}))
        process.stdin.close()
        wait_until(part.exists)
        process.send_signal(signal.SIGSTOP)  # the host is gone; the board goes on, and then somebody else has it
        assert part.exists()
        BoardLease(Home(board.home)).release_by_force("bert", "I need it")
        leased(board, "theirs")
        process.send_signal(signal.SIGCONT)
        reply = json.loads(process.stdout.read())
    assert (reply["ok"], reply["kind"]) == (False, "lease_lost")
    assert list((board.home / "envs").iterdir()) == []


@pytest.mark.parametrize("command", ["install", "adopt", "drop", "remove"])
def test_nothing_is_changed_while_a_run_measures(board: AgentBoard, command: str) -> None:
    board.home.mkdir()
    (board.home / "lock").write_text("run-7")
    spec = CHANGES[command]
    with (board.home / "lock").open("r") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        reply = board.reply(command, input=spec)
    assert (reply["ok"], reply["kind"]) == (False, "busy")
    assert "run-7" in reply["message"]
    assert (board.home / "lock").exists()


def test_removal_leaves_nothing_and_says_what_went(board: AgentBoard) -> None:
    wheel = make_wheel(GOOD)
    install(board, wheel)
    board.run(board.spec())
    wait_until(lambda: current_run(Home(board.home)) is None)  # the supervisor ends a moment after its last message
    reply = board.reply("remove")
    assert reply["left"] == []
    assert not board.home.exists()
    assert reply["removed"]["envs"]["count"] == 1
    assert reply["removed"]["envs"]["bytes"] > len(GOOD["thing/data/table.bin"])
    assert reply["removed"]["blobs"]["bytes"] > len(wheel)
    assert reply["removed"]["runs"]["count"] == 1
    assert board.reply("remove")["removed"] == {}


def test_removal_is_refused_by_a_run_that_really_measures(board: AgentBoard, tiny_model: bytes) -> None:
    spec = board.long_spec(tiny_model)
    board.launch_well(spec)
    assert board.reply("remove")["kind"] == "busy"
    board.end_runs()
    wait_until(lambda: board.reply("remove")["ok"])
    assert not board.home.exists()


def test_removal_keeps_what_is_not_ours(board: AgentBoard) -> None:
    install(board, make_wheel(GOOD))
    (board.home / "notes.txt").write_text("mine")
    for name in ("lease.json.part", "power.part"):  # what an agent leaves that is killed while it writes
        (board.home / name).write_text("{")
    assert board.reply("remove")["left"] == ["notes.txt"]
    assert [path.name for path in board.home.iterdir()] == ["notes.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
@pytest.mark.parametrize("command", ["install", "remove"])
def test_files_of_another_user_are_one_line_with_what_mends_it(open_folder: Path, command: str) -> None:
    board = AgentBoard(open_folder, "/usr/bin/python3")
    (board.home / "envs" / "theirs").mkdir(parents=True)
    for path in (board.home / "envs" / "theirs", board.home / "envs"):
        path.chmod(0o700)
    os.chown(board.home, 65534, 65534)
    spec = line({"environment": "a" * 64, "wheels": []}) if command == "install" else b""
    reply = board.reply(command, input=spec, user=65534, group=65534)
    assert (reply["ok"], reply["kind"]) == (False, "not_permitted")
    assert "sudo chown" in reply["message"]
    assert str(board.home) in reply["message"]
