"""The plugin of pytest: whole runs of it on this machine and over SSH, without a board, and with wrong requests.

Each run is a process; those that measure take some seconds.
"""

from __future__ import annotations

import json
import socket
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgebench.board import open_leased_agent
from edgebench.cli import main
from edgebench.device import find_device
from edgebench.provision.maintenance import see_lease
from tests.board.ssh_board import SshBoard
from tests.board.test_lease import FREE
from tests.pytest_plugin.plugin_runs import prepare, run
from tests.schemas import check_schema

pytest_plugins = "pytester"

BUDGETS = """
from dataclasses import replace

from edgebench import Reason, ReasonCode


@pytest.fixture(scope="module")
def measured(edge_profile):
    return edge_profile("model.onnx", **SHORT)


@pytest.mark.edge(max_p50_ms=1e9, max_latency_ms=1e9, min_throughput_per_s=1e-9, max_peak_pss_mb=1e9, max_size_mb=100)
def test_kept(measured):
    assert len(measured.runs) == 2


@pytest.mark.edge(max_p50_ms=1e-9, max_size_mb=100)
def test_exceeded(measured):
    pass


@pytest.mark.edge(max_size_bytes=1)
class TestOfClass:
    def test_class_exceeded(self, measured):
        pass

    @pytest.mark.edge(max_size_bytes=1e9)
    def test_closest_marker_counts(self, measured):
        pass


@pytest.mark.edge(max_energy_j=1e9)
def test_not_measured(measured):
    if measured.energy_j is not None:
        pytest.skip("was not measured: this machine has a sensor")


@pytest.fixture
def disturbed(measured):
    return replace(measured, reasons=(Reason(ReasonCode.OTHERS_WORKED, "it was disturbed"),))


@pytest.mark.edge(max_p50_ms=1e9)
def test_not_valid(disturbed, request):
    request.node.funcargs.pop("measured", None)


@pytest.mark.edge(max_p50_ms=1e-9, device="pi4")
def test_budget_of_another_board(measured):
    pass


@pytest.mark.edge(max_p50_ms=1e9)
def test_measures_nothing(edge_profile):
    pass


@pytest.mark.edge(max_p50_ms=1e9)
def test_own_assertion(measured):
    assert measured is None
"""


def read_junit(path: Path) -> ElementTree.Element:
    return ElementTree.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 - pytest has just written it


def test_budgets_decide_the_outcome_and_results_feed_report_and_gate(
    pytester: pytest.Pytester, tiny_onnx: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(pytester, tiny_onnx, test_budgets=BUDGETS)
    result = run(pytester, "--edge-device", "local", "--edge-output", "out.json", "--junit-xml", "junit.xml")
    outcomes = {case.get("name"): case for case in read_junit(pytester.path / "junit.xml").iter("testcase")}
    failed, skipped = (
        {name: found.get("message") for name, case in outcomes.items() if (found := case.find(kind)) is not None}
        for kind in ("failure", "skipped")
    )
    assert set(failed) == {
        f"{name}[local]"
        for name in ("test_exceeded", "test_class_exceeded", "test_measures_nothing", "test_own_assertion")
    }, result.stdout.str()
    assert "failed: p50 " in failed["test_exceeded[local]"]
    assert "is above 1e-09 ms (95 % interval " in failed["test_exceeded[local]"]
    assert "measured nothing; call edge_profile" in failed["test_measures_nothing[local]"]
    assert set(skipped) == {
        f"{name}[local]" for name in ("test_not_measured", "test_not_valid", "test_budget_of_another_board")
    }
    assert "was not measured" in skipped["test_not_measured[local]"]
    assert "not valid: it was disturbed" in skipped["test_not_valid[local]"]
    assert "no budget of this test is for local" in skipped["test_budget_of_another_board[local]"]
    result.assert_outcomes(passed=2, failed=4, skipped=3)

    # One measurement, which the tests share: in the summary, the file, the store.
    document = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))
    check_schema(document, "profile")
    (id,) = [each["id"] for each in document["measurements"]]
    lines = result.stdout.str()
    assert "1 measurement; a page about it: edgebench report out.json" in lines
    assert f"edgebench gate accept {id}" in lines
    assert "  passed: peak memory " in lines
    noted = [(each.get("name"), each.get("value")) for each in outcomes["test_kept[local]"].iter("property")]
    assert ("edge_measurement", id) in noted
    assert sum(name == "edge_budget" for name, _ in noted) == 5
    monkeypatch.chdir(pytester.path)
    for arguments in (["report", "out.json", "--markdown"], ["gate", "accept", id, "--out", "baseline.json"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        shown = capsys.readouterr()
        # A baseline must be valid, which a busy machine and short runs may prevent.
        assert ended.value.code == 0 or (arguments[0] == "gate" and ended.value.code == 4), shown.err
    assert see_lease(find_device("local")) == FREE


TURNS = """
import json, os, time
from pathlib import Path
from edgebench.board.kept_lease import kept_lease

@pytest.mark.parametrize("number", range(2))
def test_turn(edge_device, edge_profile, number):
    measured = edge_profile("model.onnx", **SHORT)
    begun = min(run.started_at for run in measured.runs)
    ended = max(run.started_at for run in measured.runs)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    token = kept_lease(edge_device).token
    Path(f"turn-{worker}-{number}.json").write_text(json.dumps([begun, ended, token, measured.subject.session]))

def test_needs_no_board():
    pass
"""


@pytest.mark.long
def test_workers_share_one_lease_and_measure_in_turns(pytester: pytest.Pytester, tiny_onnx: Path) -> None:
    prepare(pytester, tiny_onnx, test_turns=TURNS)
    result = run(pytester, "--edge-device", "local", "-n", "2", "--dist", "each", "--edge-output", "out.json")
    result.assert_outcomes(passed=6)
    files = sorted(pytester.path.glob("turn-*.json"))
    assert len(files) == 4
    turns = sorted(json.loads(path.read_text()) for path in files)
    assert len({token for _, _, token, _ in turns}) == 1
    assert all(before[1] < after[0] for before, after in pairwise(turns))
    assert {path.name.split("-")[1] for path in files} == {"gw0", "gw1"}
    document = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))
    assert {each["id"].rpartition("-")[0] for each in document["measurements"]} == {session for *_, session in turns}
    assert "4 measurements" in result.stdout.str()
    assert see_lease(find_device("local")) == FREE


BOARDS = """
@pytest.mark.edge(max_size_mb=100)
def test_size(edge_profile):
    edge_profile("model.onnx", **SHORT)

def test_another_way(edge_device, tmp_path):
    measured = edgebench.profile(
        "model.onnx", device=edge_device, store=tmp_path, workload=edgebench.Workload(seq_len=16),
        plan=SHORT["plan"], cold=False, overhead=False, wait_s=0,
    )
    assert measured.subject.device.name == "board"
"""


def table(board: SshBoard, **changes: str | int) -> str:
    """Return the table of edgebench.toml of a board."""
    device = board.device()
    values: dict[str, str | int | None] = {
        "profile": "local",
        "host": "127.0.0.1",
        "port": device.port,
        "user": device.user,
        "identity_file": device.identity_file,
        "host_key": device.host_key,
        "python": sys.executable,
        **changes,
    }
    return "[device.board]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def test_a_board_behind_ssh_is_leased_once_and_given_back(
    pytester: pytest.Pytester, ssh_board: SshBoard, tiny_onnx: Path
) -> None:
    prepare(pytester, tiny_onnx, test_boards=BOARDS)
    (pytester.path / "edgebench.toml").write_text(table(ssh_board), encoding="utf-8")
    result = run(pytester, "--edge-device", "board")
    result.assert_outcomes(passed=2)
    assert see_lease(ssh_board.device(python=sys.executable)) == FREE


NEEDS = """
def test_device(edge_device):
    pass

def test_profile(edge_profile):
    edge_profile("model.onnx", **SHORT)

@pytest.mark.edge(max_p95_ms=120)
def test_budget():
    pass
"""


def test_without_a_board_tests_are_skipped_with_the_reason_or_fail_where_that_is_asked(
    pytester: pytest.Pytester,
) -> None:
    prepare(pytester, None, test_needs=NEEDS)
    result = run(pytester)
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines(["SKIPPED*test_needs.py*no board is named; try --edge-device NAME*"])
    run(pytester, "--edge-strict").assert_outcomes(failed=1, errors=2)


def test_a_board_that_is_away_or_taken_skips_with_the_reason(pytester: pytest.Pytester) -> None:
    prepare(pytester, None, test_needs=NEEDS)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens
        text = f'[device.away]\nhost = "127.0.0.1"\nport = {unused.getsockname()[1]}\n'
        (pytester.path / "edgebench.toml").write_text(text, encoding="utf-8")
        (pytester.path / "pytest.ini").write_text("[pytest]\nedge_device = away local\n", encoding="utf-8")
        with open_leased_agent(find_device("local"), purpose="another job"):
            result = run(pytester, "--edge-wait", "0")
    result.assert_outcomes(skipped=4, failed=1)  # the last one needs no board, and measures nothing
    shown = result.stdout.str()
    assert "no board: away: " in shown
    assert "another job" in shown


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("max_p95=120", "unknown key of the marker edge 'max_p95'; did you mean 'max_p95_ms'?"),
        ("max_p95_ms='fast'", "max_p95_ms must be a number above 0, got 'fast'"),
        ("max_p95_ms=True", "max_p95_ms must be a number above 0, got True"),
        ("120", "the marker edge takes keys, such as max_p95_ms=120, not 120"),
        ("device='pi4'", "the marker edge has no budget"),
    ],
)
def test_a_wrong_marker_is_a_usage_error(pytester: pytest.Pytester, marker: str, message: str) -> None:
    prepare(pytester, None, test_wrong=f"@pytest.mark.edge({marker})\ndef test_it(edge_profile): pass\n")
    result = run(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()
    assert "test_wrong.py::test_it" in result.stderr.str()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--edge-device", "locl"], "unknown device 'locl'; did you mean 'local'?"),
        (["--edge-device", "local", "--edge-output", "no/folder/out.json"], "--edge-output: there is no folder"),
    ],
)
def test_a_wrong_option_is_a_usage_error(pytester: pytest.Pytester, arguments: list[str], message: str) -> None:
    prepare(pytester, None, test_needs=NEEDS)
    result = run(pytester, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()


LOADED = """
import sys

def pytest_sessionfinish():
    names = [name for name in sys.modules if name.split(".")[0] == "edgebench"]
    print("LOADED", sorted(names), "numpy" in sys.modules)
"""


def test_a_run_without_boards_loads_nothing_of_edgebench_but_the_plugin(pytester: pytest.Pytester) -> None:
    (pytester.path / "conftest.py").write_text(LOADED, encoding="utf-8")
    (pytester.path / "test_other.py").write_text("def test_it(): pass\n", encoding="utf-8")
    result = run(pytester, "-s")
    loaded = ["edgebench", "edgebench._version", "edgebench.pytest_plugin"]
    assert f"LOADED {loaded} False" in result.stdout.str()
