"""edgebench device setup over a real SSH server: this machine as the board, with its own Python and real wheels."""

from __future__ import annotations

import fcntl
import json
import os
import random
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

import edgebench
from edgebench.artifact import Format
from edgebench.board import RemoteAgent, connect_agent
from edgebench.device import Device, find_device
from edgebench.errors import BoardBusy, BoardError, ConfigError, EdgebenchError, LeaseLost, UnknownName
from edgebench.events import Event, LogMessage, Pushing
from edgebench.provision.checkup import check_device
from edgebench.provision.findings import State
from edgebench.provision.maintenance import clean_device, release_seen, remove_setup, see_lease
from edgebench.provision.plan import SetupPlan
from edgebench.provision.setup import set_up_device, set_up_for
from edgebench.provision.trial import expected_here
from edgebench.request import Request
from edgebench.runtimes import RUNTIMES
from edgebench.workload import RunPlan, Workload
from tests.agent.wheel_making import make_wheel
from tests.board.ssh_board import SshBoard
from tests.board.test_lease import somebody_else
from tests.schemas import check_schema

SHORT = RunPlan(runs=1, min_count=5, min_duration_s=0.0, max_duration_s=30.0)
ONLY_ONNX = SetupPlan(runtimes=("onnxruntime",))


@pytest.fixture(autouse=True)
def one_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for these tests, for `client_home` is another home in each."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "setup-cache"))


@pytest.mark.long
def test_a_board_is_set_up_used_and_left_without_a_trace(ssh_board: SshBoard, tiny_onnx: Path, tmp_path: Path) -> None:
    # A cut in the middle of the wheels: what is there is not sent again.
    ssh_board.proxy.cut_after(8 << 20)
    pushed: list[Event] = []
    done = set_up_device(ssh_board.device(), ONLY_ONNX, pushed.append)
    assert done.is_ready, done.findings
    check_schema(done.to_json(), "device-setup")
    served = done.runtimes["onnxruntime"]
    assert Path(served.python).is_relative_to(ssh_board.edgebench_home / "envs")
    assert "as here" in served.agreement

    again: list[Event] = []
    second = set_up_device(ssh_board.device(), ONLY_ONNX, again.append)
    assert second.runtimes == done.runtimes
    assert any(isinstance(event, Pushing) for event in pushed)
    assert not any(isinstance(event, Pushing) for event in again)

    measured = edgebench.profile(
        tiny_onnx, device=ssh_board.device(), workload=Workload(seq_len=8), plan=SHORT, store=tmp_path / "store"
    )
    assert measured.subject.device.python_executable == served.python
    assert check_device(ssh_board.device()).board["python_executable"] == served.python

    removal = remove_setup(ssh_board.device())
    check_schema(removal.to_json(), "device-remove")
    assert removal.removed["envs"][0] == 2  # the environment and the table
    assert removal.left == ()
    assert not ssh_board.edgebench_home.exists()
    assert not (ssh_board.home / ".cache").exists()  # where ONNX Runtime keeps what it would tell Microsoft


@pytest.mark.long
def test_a_bare_board_is_set_up_for_what_a_request_needs_and_no_more(
    ssh_board: SshBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    request = Request(
        device=ssh_board.device(), models=("reference:tiny",), formats=(Format.ONNX_FP32, Format.ONNX_INT8)
    )
    set_up_for(request)
    assert set(installed(ssh_board).installed_runtimes) == {"onnxruntime"}
    # An .onnx file has its runtime already: nothing is pushed, and no package index is asked.
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "empty"))
    pushed: list[Event] = []
    set_up_for(replace(request, models=("/nowhere/any.onnx",), formats=(Format.TFLITE_INT8,)), pushed.append)
    assert pushed == []


@pytest.mark.long
def test_a_damaged_environment_is_mended_by_the_command_that_messages_name(ssh_board: SshBoard) -> None:
    device = ssh_board.device()
    assert set_up_device(device, ONLY_ONNX).is_ready
    envs = ssh_board.edgebench_home / "envs"
    library = max(envs.rglob("onnxruntime_pybind11_state*.so"), key=lambda path: path.stat().st_size)
    size = library.stat().st_size
    os.truncate(library, size // 2)
    told = {finding.what: finding for finding in check_device(device).findings}["onnxruntime"]
    assert (told.state, told.fix) == (State.FAIL, "edgebench device setup board --runtime onnxruntime")
    assert set_up_device(device, ONLY_ONNX).is_ready
    assert library.stat().st_size == size
    assert installed(ssh_board).installed_runtimes["onnxruntime"].agreement.startswith("as here")

    # What no import meets is seen by its size.
    (metadata,) = envs.rglob("onnxruntime-*.dist-info/METADATA")
    os.truncate(metadata, 100)
    assert set_up_device(device, ONLY_ONNX).is_ready
    assert metadata.stat().st_size > 100
    # What has its size and does not work is seen by an import, where the runtime is named as `device check` says.
    (module,) = envs.rglob("onnxruntime/__init__.py")
    content = module.read_bytes()
    module.write_bytes(b"raise ImportError\n".ljust(len(content), b"#"))
    assert set_up_device(device, ONLY_ONNX).is_ready
    assert module.read_bytes() == content
    # What the agent needs beside the runtime is mended, too.
    (psutil,) = envs.rglob("psutil/__init__.py")
    os.truncate(psutil, 100)
    assert set_up_device(device, ONLY_ONNX).is_ready
    assert psutil.stat().st_size > 100
    # `profile --setup` mends what it needs.
    (numpy,) = envs.rglob("numpy/__init__.py")
    os.truncate(numpy, 100)
    set_up_for(Request(device=device, models=("reference:tiny",), formats=(Format.ONNX_INT8,)))
    assert numpy.stat().st_size > 100


ENTRY = {"python": sys.executable, "environment": None, "packages": {}, "agreement": "as here"}


@pytest.mark.parametrize(
    "table",
    [
        "nonsense",
        "[]",
        '{"runtimes": 7}',
        '{"runtimes": {"onnxruntime": 7}}',
        json.dumps({"runtimes": {"onnxruntime": ENTRY | {"python": "bin/python"}}}),
        json.dumps({"runtimes": {"onnxruntime": ENTRY | {"python": "/nowhere/python"}}}),
        json.dumps({"runtimes": {"onnxruntime": ENTRY | {"packages": [1]}}}),
        json.dumps({"runtimes": {"onnxruntime": {"python": sys.executable}}}),
        json.dumps({"runtimes": {"../x": ENTRY}}),
    ],
)
def test_a_table_of_environments_that_is_not_one_serves_nothing(ssh_board: SshBoard, table: str) -> None:
    (ssh_board.edgebench_home / "envs").mkdir(parents=True)
    (ssh_board.edgebench_home / "envs/table.json").write_text(table)
    assert installed(ssh_board).installed_runtimes == {}


def test_a_runtime_is_run_by_the_python_that_serves_it_and_others_by_the_devices(ssh_board: SshBoard) -> None:
    (ssh_board.edgebench_home / "envs").mkdir(parents=True)
    table = {"runtimes": {"tflite-runtime": ENTRY}}
    (ssh_board.edgebench_home / "envs/table.json").write_text(json.dumps(table))
    agent = installed(ssh_board)
    assert agent.python_for("tflite-runtime") == agent.python_for("tflite") == sys.executable
    assert agent.python_for("onnxruntime") == "python3"
    # A Python of the user's choice is used for all.
    assert installed(ssh_board, python=sys.executable).installed_runtimes == {}


def test_what_a_user_chose_and_no_longer_works_is_not_replaced_by_the_way(ssh_board: SshBoard) -> None:
    (ssh_board.edgebench_home / "envs").mkdir(parents=True)
    table = {"runtimes": {"onnxruntime": ENTRY | {"python": "/bin/false", "own": True}}}
    (ssh_board.edgebench_home / "envs/table.json").write_text(json.dumps(table))
    request = Request(device=ssh_board.device(), formats=(Format.ONNX_INT8,))
    own = r"your own no longer works: .*edgebench device setup board --runtime onnxruntime --wheel FILE"
    with pytest.raises(BoardError, match=rf"^board: onnxruntime: {own}"):
        set_up_for(request)
    assert installed(ssh_board).installed_runtimes["onnxruntime"].own


def installed(board: SshBoard, **settings: str) -> RemoteAgent:
    device = board.device(**settings)
    with connect_agent(device) as agent:
        return agent


def test_a_wheel_for_another_machine_is_refused_before_anything_is_pushed(ssh_board: SshBoard, tmp_path: Path) -> None:
    wheel = tmp_path / "onnxruntime_gpu-1.20.0-cp311-cp311-linux_riscv64.whl"
    wheel.write_bytes(make_wheel({}))
    with pytest.raises(ConfigError, match=r"is made for cp311-cp311-linux_riscv64; the board has Python 3\.\d+ on"):
        set_up_device(ssh_board.device(), SetupPlan(wheels=(wheel,)))
    assert not list(ssh_board.edgebench_home.glob("blobs/*"))


#: A build of ONNX Runtime that loads, runs and answers twice what it should.
WRONG_BUILD = """
_real = {folder!r}
__path__ = [_real]
with open(_real + "/__init__.py") as _file:
    exec(compile(_file.read(), _real + "/__init__.py", "exec"))
_Session = InferenceSession
class InferenceSession(_Session):
    def run(self, *arguments, **options):
        return [2 * each for each in super().run(*arguments, **options)]
"""


@pytest.mark.long
def test_wrong_numbers_are_a_finding_and_the_runtime_is_not_used(ssh_board: SshBoard, tmp_path: Path) -> None:
    done = set_up_device(ssh_board.device(), SetupPlan(wheels=(wrong_build(tmp_path),)))
    assert not done.is_ready
    assert done.runtimes == {}
    (finding,) = [one for one in done.findings if one.state is State.FAIL]
    assert finding.what == "onnxruntime"
    assert "computes wrong numbers in onnx-fp32: within" in finding.seen
    # Nor does it take the room of one that is.
    assert list((ssh_board.edgebench_home / "envs").iterdir()) == []
    assert not any(map(zipfile.is_zipfile, (ssh_board.edgebench_home / "blobs").iterdir()))


def wrong_build(folder: Path) -> Path:
    """Return a wheel of a build that computes wrong numbers."""
    onnxruntime = pytest.importorskip("onnxruntime")
    module = WRONG_BUILD.format(folder=str(Path(onnxruntime.__file__).parent)).encode()
    wheel = folder / "onnxruntime-99.0-py3-none-any.whl"
    files = {"onnxruntime/__init__.py": module}
    wheel.write_bytes(make_wheel(files, name="onnxruntime", version="99.0", requires="Requires-Dist: numpy\n"))
    return wheel


@pytest.mark.long
def test_a_lease_that_is_lost_during_the_trial_is_not_blamed_on_the_build(ssh_board: SshBoard, tmp_path: Path) -> None:
    def force(event: Event) -> None:
        if isinstance(event, LogMessage) and "trying onnxruntime" in event.text:
            release_seen(ssh_board.device(), see_lease(ssh_board.device()), reason="I need it now")

    with pytest.raises(LeaseLost, match=r"taken away by .*: I need it now"):
        set_up_device(ssh_board.device(), SetupPlan(wheels=(wrong_build(tmp_path),)), force)


@pytest.mark.long
def test_the_boards_own_python_is_tried_and_adopted(ssh_board: SshBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    # `python3` there is this very Python, which has onnxruntime and no tflite-runtime.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    plan = SetupPlan(runtimes=("onnxruntime", "tflite-runtime"), system_python=True)
    done = set_up_device(ssh_board.device(), plan)
    assert not done.is_ready
    assert {name: served.environment for name, served in done.runtimes.items()} == {"onnxruntime": None}
    assert Path(done.runtimes["onnxruntime"].python).parent == Path(sys.executable).parent
    (lacking,) = [one for one in done.findings if one.state is State.FAIL]
    assert lacking.what == "tflite-runtime"
    assert "lacks tflite_runtime" in lacking.seen
    assert "edgebench device setup board" in (lacking.fix or "")

    # What the user has chosen stays, whatever else is installed later.
    monkeypatch.setattr("edgebench.provision.plan.RUNTIMES", {"onnxruntime": RUNTIMES["onnxruntime"]})
    later = set_up_device(ssh_board.device(), SetupPlan())
    assert later.runtimes == {"onnxruntime": done.runtimes["onnxruntime"]}
    assert "your own, was there" in later.findings[-1].seen


def test_without_internet_here_and_without_wheels_it_is_one_line(
    ssh_board: SshBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(BoardError, match=r"can't be downloaded: .*--download DIR"):
        set_up_device(ssh_board.device(), SetupPlan(runtimes=("onnxruntime",), folder=tmp_path / "empty"))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all that pip knows: a build of ONNX Runtime of 30 MB that does not work."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))
    for name in ("onnxruntime", "numpy", "psutil"):
        files = {f"{name}/__init__.py": b"raise ImportError('built for another board')\n"}
        if name == "onnxruntime":
            files["onnxruntime/data.bin"] = random.Random(1).randbytes(30 << 20)
        (folder / f"{name}-1.0-py3-none-any.whl").write_bytes(make_wheel(files, name=name, version="1.0"))
    return folder


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")


@pytest.mark.long
def test_without_internet_what_is_kept_here_is_installed_and_the_rest_is_said(
    ssh_board: SshBoard, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = set_up_device(ssh_board.device(), ONLY_ONNX)
    assert "built for another board" in done.findings[-1].seen
    go_offline(monkeypatch)
    found = {finding.what: finding for finding in set_up_device(ssh_board.device(), SetupPlan()).findings}
    assert "built for another board" in found["onnxruntime"].seen
    for name in ("ai-edge-litert", "tflite-runtime"):
        assert found[name].state is State.WARN
        assert found[name].seen.startswith("its wheels for Python")
        assert "can't be downloaded" in found[name].seen


def test_where_no_wheel_fits_the_advice_is_a_command_that_there_is(ssh_board: SshBoard, index: Path) -> None:
    (index / "onnxruntime-1.0-py3-none-any.whl").unlink()
    request = Request(device=ssh_board.device(), models=("reference:tiny",), formats=(Format.ONNX_INT8,))
    own = r"edgebench device setup board --runtime onnxruntime --wheel FILE"
    with pytest.raises(BoardError, match=rf"^board: onnxruntime: no wheel fits Python .*{own}$"):
        set_up_for(request)


@pytest.mark.long
def test_a_runtime_that_can_not_be_had_makes_way_for_the_next(
    ssh_board: SshBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_offline(monkeypatch)
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "empty"))
    told: list[Event] = []
    with pytest.raises(BoardError, match=r"^tflite-runtime: its wheels for .* can't be downloaded"):
        set_up_for(Request(device=ssh_board.device(), formats=(Format.TFLITE_INT8,)), told.append)
    assert any(isinstance(event, LogMessage) and event.text.startswith("ai-edge-litert: its wheels") for event in told)


def test_a_board_that_somebody_has_is_waited_for_as_long_as_is_said(ssh_board: SshBoard) -> None:
    request = Request(device=ssh_board.device(), formats=(Format.ONNX_INT8,), wait_s=0)
    with somebody_else(ssh_board):
        with pytest.raises(BoardBusy, match=r"bert@laptop \(his job\) has the board"):
            set_up_device(ssh_board.device(), SetupPlan(runtimes=("onnxruntime",), wait_s=0))
        with pytest.raises(BoardBusy, match=r"bert@laptop \(his job\) has the board"):
            set_up_for(request)


# --- this machine's answers -------------------------------------------------------------------------------------


def test_several_boards_have_this_machine_answer_once_and_wait_for_a_run_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("edgebench.provision.trial._ANSWERED_HERE", {})
    waits = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, LogMessage) and "local: run another-run is measuring" in event.text:
            assert "waiting for at most 10 minutes" in event.text
            waits.set()

    home = tmp_path / "local-board"
    home.mkdir()
    with ThreadPoolExecutor(2) as pool, (home / "lock").open("w") as lock:
        lock.write("another-run")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        boards = [pool.submit(expected_here, "onnxruntime", Format.ONNX_INT8, listen) for _ in range(2)]
        assert waits.wait(300)
        fcntl.flock(lock, fcntl.LOCK_UN)
        first, second = (board.result(300) for board in boards)
    assert first is second
    assert len(list((home / "runs").iterdir())) == 1


# --- room -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(ssh_board: SshBoard) -> Iterator[SshBoard]:
    """The board with 50 MB of disk."""
    yield from with_disk(ssh_board, "50m")


@pytest.fixture
def disk_for_one(ssh_board: SshBoard) -> Iterator[SshBoard]:
    """The board with 140 MB of disk: room for the build of `index` once, and what is always left free."""
    yield from with_disk(ssh_board, "140m")


def with_disk(ssh_board: SshBoard, size: str) -> Iterator[SshBoard]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    ssh_board.edgebench_home.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", ssh_board.edgebench_home],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode()}")
    yield ssh_board
    subprocess.run(["umount", "-l", ssh_board.edgebench_home], check=True)


def test_a_full_disk_is_one_line_before_anything_is_pushed(small_disk: SshBoard) -> None:
    with pytest.raises(BoardError, match=r"board: \d+ MB of disk are needed and \d\d MB are free; free some"):
        set_up_device(small_disk.device(), ONLY_ONNX)
    assert not list((small_disk.edgebench_home / "blobs").glob("*"))


def test_the_advice_about_room_fits_the_command(small_disk: SshBoard) -> None:
    request = Request(device=small_disk.device(), models=("reference:tiny",), formats=(Format.ONNX_INT8,))
    with pytest.raises(BoardError, match=r"are free; free some \(edgebench device clean board --max-size 0\)$"):
        set_up_for(request)


@pytest.mark.long
def test_wheels_that_an_interrupted_setup_left_are_not_counted_twice(disk_for_one: SshBoard, index: Path) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, LogMessage) and "installing onnxruntime" in event.text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        set_up_device(disk_for_one.device(), ONLY_ONNX, interrupt)
    assert list((disk_for_one.edgebench_home / "blobs").iterdir())
    again: list[Event] = []
    done = set_up_device(disk_for_one.device(), ONLY_ONNX, again.append)
    assert not any(isinstance(event, Pushing) for event in again)
    assert "built for another board" in done.findings[-1].seen
    assert list((disk_for_one.edgebench_home / "blobs").iterdir()) == []


def test_a_full_disk_can_be_cleaned(small_disk: SshBoard) -> None:
    installed(small_disk)
    blobs = small_disk.edgebench_home / "blobs"
    blobs.mkdir()
    with suppress(OSError), (blobs / ("a" * 64)).open("wb") as file:
        while file.write(bytes(4096)):
            pass
    with suppress(OSError):
        (small_disk.edgebench_home / "more").write_bytes(bytes(1 << 16))
    assert clean_device(small_disk.device(), keep_bytes=0).removed_bytes > 10 << 20


def test_what_can_not_be_set_up_is_refused_at_once(ssh_board: SshBoard, tmp_path: Path) -> None:
    refused: list[tuple[type[EdgebenchError], str, Device | None, dict[str, object]]] = [
        (ConfigError, "local is this machine", find_device("local"), {}),
        (ConfigError, "python = 'bench/bin/python'", ssh_board.device(python="bench/bin/python"), {}),
        (UnknownName, "did you mean 'onnxruntime'", None, {"runtimes": ("onnxruntme",)}),
        (ConfigError, "there is no wheel at", None, {"wheels": (tmp_path / "none.whl",)}),
    ]
    for kind, message, device, values in refused:
        with pytest.raises(kind, match=message):
            set_up_device(device or ssh_board.device(), SetupPlan(**values))  # type: ignore[arg-type]
    assert not ssh_board.edgebench_home.exists()
