"""edgebench device check: checks whether a board can be measured."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click
import cloup

from edgebench.cli.options import result_options
from edgebench.cli.output import console, to_stdout, write_json

if TYPE_CHECKING:
    from edgebench.provision import Checkup


@cloup.command("check")
@click.argument("name")
@result_options
def command(name: str, json_target: str | None) -> int:
    """Check whether a board can be measured, and show how to fix what is wrong.

    The exit status is 0 if it can be measured, else 1.

    \b
    Example:
      edgebench device check pi4
    """
    from edgebench.device import find_device
    from edgebench.provision import check_device
    from edgebench.reporting import overhead_findings

    checkup = check_device(find_device(name))
    checkup = dataclasses.replace(checkup, findings=(*checkup.findings, *overhead_findings(checkup)))
    write_json(json_target, checkup.to_json())
    if to_stdout(json_target):
        _show_findings(checkup)
    return 0 if checkup.can_measure else 1


def _show_findings(checkup: Checkup) -> None:
    from edgebench.cli.hints import as_options
    from edgebench.reporting import PlainTable

    verdict = "a measurement can be made" if checkup.can_measure else "no measurement can be made yet"
    table = PlainTable("what", "seen", "", "how to fix it", verdict="", title=f"{checkup.device}: {verdict}")
    for finding in checkup.findings:
        table.add_row(finding.what, as_options(finding.seen), str(finding.state), finding.fix or "")
    console().print(table)
