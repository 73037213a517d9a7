"""EdgeSession: the boards, leases, measurements and findings of one process of a run of pytest that names boards."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from edgebench.device import Device, find_device
from edgebench.errors import (
    AuthenticationError,
    BoardBusy,
    ConnectionFailed,
    ConnectionLost,
    EdgebenchError,
    HostKeyError,
)
from edgebench.events import Event, LogMessage
from edgebench.measurement import Measurement
from edgebench.pytest_plugin import skip
from edgebench.pytest_plugin.limits import Finding, judge_limit, limits_for
from edgebench.pytest_plugin.profiling import EdgeProfile
from edgebench.pytest_plugin.shared_lease import Renewal, SharedLeases
from edgebench.pytest_plugin.summary import FINDING, MEASURED, Results
from edgebench.request import WAIT_S
from edgebench.store import absolute_location, default_folder

_FOLDER = "edgebench_folder"


class EdgeSession:
    """What a process of the run knows of its boards. The controller also renews and gives back leases, and reports.

    Raises:
        pytest.UsageError: a board's name is unknown, or an option has a value that can't be.
    """

    def __init__(self, config: pytest.Config, names: list[str]) -> None:
        self._config = config
        self._worker: dict[str, Any] | None = getattr(config, "workerinput", None)
        try:
            self._devices: dict[str, Device] = {name: find_device(name) for name in names}
        except EdgebenchError as error:
            raise pytest.UsageError(f"--edge-device: {error}") from error
        wait_s: float | None = config.getoption("--edge-wait")
        self._wait_s = WAIT_S if wait_s is None else wait_s
        # pytest may run tests in other working folders.
        self._store = absolute_location(config.getoption("--edge-store") or default_folder())
        output: str | None = config.getoption("--edge-output")
        if output is not None and not Path(output).absolute().parent.is_dir():
            raise pytest.UsageError(f"--edge-output: there is no folder {Path(output).absolute().parent}")
        self._results = Results(self._store, Path(output).absolute() if output is not None else None)
        self._folder = Path(self._worker[_FOLDER] if self._worker else tempfile.mkdtemp(prefix="edgebench-pytest-"))
        self._leases = SharedLeases(self._folder)
        self._renewal = Renewal(self._leases, self._devices) if self._worker is None else None
        self._item: pytest.Item | None = None
        self._measured: dict[str, list[Measurement]] = {}
        self._unusable: dict[str, str] = {}

    # --- fixtures -----------------------------------------------------------------------------------------------

    def device(self, name: str) -> Device:
        """Return a board whose lease this run has; skip the test where it can't be had."""
        device = self._devices[name]
        if name not in self._unusable:
            try:
                self._leases.join(
                    device, purpose=f"pytest in {self._config.rootpath}", wait_s=self._wait_s, on_event=_tell
                )
            except (HostKeyError, AuthenticationError):
                raise  # the board is there
            except (BoardBusy, ConnectionFailed, ConnectionLost) as error:
                self._unusable[name] = str(error)
        if name in self._unusable:
            skip(self._config, f"no board: {self._unusable[name]}")
        return device

    def profile_on(self, device: Device) -> EdgeProfile:
        """Return the function that measures on a board."""
        return EdgeProfile(device, self._store, self._note, {"wait_s": self._wait_s, "on_event": _tell})

    def _note(self, measured: Measurement) -> None:
        if self._item is not None:
            self._measured.setdefault(self._item.nodeid, []).append(measured)
            self._item.user_properties.append((MEASURED, measured.id))

    # --- budgets ------------------------------------------------------------------------------------------------

    def check_budgets(self, item: pytest.Item) -> None:
        """Fail or skip a test as its budgets say of what it measured, and of the measurements that its fixtures give.

        A test fails if a budget fails; it is skipped if none fails and one is not decided. It also fails if nothing was
        measured, so that no budget passes unseen.
        """
        shared = [each for each in getattr(item, "funcargs", {}).values() if isinstance(each, Measurement)]
        found = {each.id: each for each in (*self._measured.get(item.nodeid, ()), *shared)}
        if not found:
            pytest.fail("the test has budgets and measured nothing; call edge_profile", pytrace=False)
        findings = [finding for each in found.values() for finding in self._findings(item, each)]
        for finding in findings:
            item.user_properties.append((FINDING, finding.sentence))
        said = {word: [each.sentence for each in findings if each.verdict == word] for word in ("fail", "undecided")}
        if said["fail"]:
            pytest.fail("\n".join((*said["fail"], *said["undecided"])), pytrace=False)
        if said["undecided"]:
            skip(self._config, "; ".join(said["undecided"]))

    def _findings(self, item: pytest.Item, measured: Measurement) -> list[Finding]:
        name = measured.subject.device.name or ""
        limits = limits_for(item, name)
        if not limits:
            skip(self._config, f"no budget of this test is for {name}")
        return [judge_limit(limit, measured) for limit in limits]

    # --- hooks --------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Know which test measures."""
        self._item = item

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Let go of the traces of a test that has ended."""
        self._item = None
        self._measured.pop(nodeid, None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect what tests measured, those of workers included."""
        self._results.add(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of pytest-xdist where the run's leases are noted."""
        node.workerinput[_FOLDER] = str(self._folder)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Give the boards back, once the workers have ended."""
        self._leases.leave()
        if self._renewal is not None:
            self._renewal.end()
            self._leases.give_back(self._devices)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._results.write()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List what was measured, and commands that show it."""
        if self._worker is None:
            self._results.show(terminalreporter)


def _tell(event: Event) -> None:
    """Print the session's messages where pytest captures them; it shows them for a test that fails."""
    if isinstance(event, LogMessage):
        sys.stderr.write(f"edgebench: {event.text}{os.linesep}")
