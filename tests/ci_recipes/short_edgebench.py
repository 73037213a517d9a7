"""edgebench as jobs of recipes call it, its sessions kept short: `python -m tests.ci_recipes.short_edgebench ...`.

Sessions are real; a gate looks after 4 and 5 runs, and all runs count, whatever disturbed them. $RUN_S: how long a run
of `profile` lasts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from edgebench.cli import main
from edgebench.gating import run as gate_run
from edgebench.measurement import Measurement
from edgebench.request import Request
from tests.gating.test_gate_on_this_machine import counted


def keep_gates_short() -> None:
    real = gate_run.profile_all

    def measure(request: Request, *, is_decided: Callable[[list[Measurement]], bool], **others: Any) -> Any:
        short = replace(request, planned_looks=(4, 5), plan=replace(request.plan, runs=4), cold=False)
        return counted(real(short, is_decided=lambda measured: is_decided(counted(measured)), **others))

    gate_run.profile_all = measure


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[0] == "profile":
        seconds = os.environ.get("RUN_S", "0")
        arguments += ["--runs", "2", "--min-count", "10", "--min-duration", seconds, "--no-overhead", "--no-cold"]
    elif arguments[0] == "gate":
        arguments += ["--min-count", "5", "--min-duration", "0"]
    keep_gates_short()
    main([*arguments, "--seq-len", "16"] if arguments[0] == "profile" else arguments)
