"""Measurements on boards as tests: a plugin of pytest.

Options, the ini file and the marker `edge` come in; outcomes of tests, measurements in the store, a summary and a JSON
file come out. Every run of pytest in the environment loads this module: it imports nothing but pytest until a run names
a board.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any, NoReturn

    from edgebench.device import Device
    from edgebench.pytest_plugin.profiling import EdgeProfile
    from edgebench.pytest_plugin.session import EdgeSession

__all__ = ["edge_device", "edge_profile"]

NO_BOARD = "no board is named; try --edge-device NAME, or edge_device in the ini file"
_SESSION: pytest.StashKey[EdgeSession] = pytest.StashKey()
_MARKER = (
    "edge(device=None, max_p95_ms=..., max_peak_pss_mb=...): budgets for what the test measures on a board "
    "(edgebench); also max_latency_ms, max_p50_ms, max_p99_ms, max_energy_j, max_size_mb, min_throughput_per_s"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and the keys of the ini file."""
    group = parser.getgroup("edgebench", "measurements on boards (edgebench)")
    group.addoption(
        "--edge-device",
        action="append",
        metavar="NAME",
        help="Board of edgebench.toml to measure on, or local. Repeatable: each test then runs on each board.",
    )
    group.addoption(
        "--edge-store",
        metavar="DIR",
        help="Folder of results, or s3://BUCKET/PREFIX; default: $EDGEBENCH_STORE, else .edgebench.",
    )
    group.addoption("--edge-output", metavar="FILE", help="Write the measurements as JSON, as edgebench profile does.")
    group.addoption(
        "--edge-wait",
        type=float,
        metavar="SECONDS",
        help="Longest wait for a board that is in use; default: 600.",
    )
    group.addoption(
        "--edge-strict",
        action="store_true",
        help="Fail what would be skipped: no board, a measurement that is not valid, a budget that is not decided.",
    )
    parser.addini("edge_device", type="args", help="Boards to measure on, where --edge-device is not given.")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Find the boards that the run names; nothing is connected yet."""
    names = boards_of(session.config)
    if names:
        from edgebench.pytest_plugin.session import EdgeSession

        edge = EdgeSession(session.config, names)
        session.config.stash[_SESSION] = edge
        session.config.pluginmanager.register(edge, "edgebench-session")


def boards_of(config: pytest.Config) -> list[str]:
    """Return the names of the boards that the command line names, else the ini file."""
    names: list[str] = config.getoption("--edge-device") or config.getini("edge_device")
    return list(dict.fromkeys(names))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that needs a board once on each."""
    names = boards_of(metafunc.config)
    if "edge_device" in metafunc.fixturenames and names:
        metafunc.parametrize("edge_device", names, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse markers with keys or values that no budget has, before anything is measured."""
    for item in items:
        for marker in item.iter_markers("edge"):
            from edgebench.pytest_plugin.limits import limits_of

            limits_of(marker, where=item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """After a test with budgets has passed, hold what it measured against them."""
    result = yield
    if item.get_closest_marker("edge") is not None:
        _session_of(item.config).check_budgets(item)
    return result


@pytest.fixture(scope="session")
def edge_device(request: pytest.FixtureRequest) -> Device:
    """The board that this run of pytest has to itself; skips the test where none is named or can be reached."""
    return _session_of(request.config).device(request.param)


@pytest.fixture(scope="session")
def edge_profile(edge_device: Device, request: pytest.FixtureRequest) -> EdgeProfile:
    """Measure a model on the board and return the Measurement: `edge_profile("model.onnx", lang="sw", runs=6)`."""
    return _session_of(request.config).profile_on(edge_device)


def skip(config: pytest.Config, reason: str) -> NoReturn:
    """Skip the test that runs; with --edge-strict, fail it."""
    if config.getoption("--edge-strict"):
        pytest.fail(reason, pytrace=False)
    raise pytest.skip.Exception(reason, _use_item_location=True)


def _session_of(config: pytest.Config) -> EdgeSession:
    """Return what the run knows of its boards; skip the test where it names none."""
    edge = config.stash.get(_SESSION, None)
    if edge is None:
        skip(config, NO_BOARD)
    return edge
