"""What a run of pytest measured: the section at its end, and the file of --edge-output."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from edgebench.errors import EdgebenchError
from edgebench.measurement import Measurement, measurements_to_json
from edgebench.store import Store, absolute_location, default_folder, relative_location
from edgebench.text import counted, escaped_json, printable

#: Properties of a test, which JUnit XML shows as well: the ids of its measurements, and what its budgets say.
MEASURED, FINDING = "edge_measurement", "edge_budget"


class Results:
    """The measurements of all processes of a run, by the ids in the reports of tests."""

    def __init__(self, store: str, output: Path | None) -> None:
        self._store, self._output = store, output
        self._tests: dict[str, list[str]] = {}
        self._findings: dict[str, list[str]] = {}
        self._problem = ""

    def add(self, report: pytest.TestReport) -> None:
        """Take what the report of one phase of a test says; the same test may run in several processes."""
        for name, kept in ((MEASURED, self._tests), (FINDING, self._findings)):
            said = [str(value) for key, value in report.user_properties if key == name]
            if said:
                kept[report.nodeid] = list(dict.fromkeys([*kept.get(report.nodeid, ()), *said]))

    @property
    def ids(self) -> list[str]:
        """The ids of the measurements, in the order in which tests ended."""
        return list(dict.fromkeys(id for ids in self._tests.values() for id in ids))

    def write(self) -> None:
        """Write the file of --edge-output, if the run has one."""
        if self._output is None:
            return
        try:
            store = Store(self._store)
            document = measurements_to_json([store.measurement(id) for id in self.ids])
            text = escaped_json(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
            self._output.write_text(text + "\n", encoding="utf-8")
        except (EdgebenchError, OSError) as error:
            self._problem = f"--edge-output: {self._output} was not written: {error}"

    def show(self, reporter: pytest.TerminalReporter) -> None:
        """Write the section."""
        if not self.ids and not self._findings and not self._problem:
            return
        reporter.section("edgebench")
        store = Store(self._store)
        for nodeid, ids in self._tests.items():
            reporter.write_line(printable(nodeid))
            for id in ids:
                reporter.write_line(f"  {_line(store, id)}")
            for finding in self._findings.get(nodeid, ()):
                reporter.write_line(f"  {printable(finding, 2000)}")
        for nodeid in self._findings.keys() - self._tests.keys():
            reporter.write_line(printable(nodeid))
            for finding in self._findings[nodeid]:
                reporter.write_line(f"  {printable(finding, 2000)}")
        if self.ids:
            self._show_commands(reporter)
            try:
                store.deliver()
            except EdgebenchError as error:
                reporter.write_line(printable(str(error), 2000), red=True)
        if self._problem:
            reporter.write_line(printable(self._problem, 2000), red=True)

    def _show_commands(self, reporter: pytest.TerminalReporter) -> None:
        is_default = self._store == absolute_location(default_folder())
        kept = [] if is_default else ["--store", relative_location(self._store)]
        chosen = self.ids if self._output is None or self._problem else [os.path.relpath(self._output)]
        report = shlex.join(["edgebench", "report", *chosen, *kept])
        accept = shlex.join(["edgebench", "gate", "accept", self.ids[0], *kept])
        reporter.write_line(f"{counted(len(self.ids), 'measurement')}; a page about it: {report}")
        reporter.write_line(f"a baseline for edgebench gate: {accept}")


def _line(store: Store, id: str) -> str:
    """Return a measurement in one line."""
    try:
        measured: Measurement = store.measurement(id)
    except EdgebenchError as error:
        return f"{id}: {printable(str(error))}"
    return f"{id}  {printable(repr(measured).strip('<>').partition(': ')[2], 1000)}"
