"""Whether a board is quiet enough to measure on, by the limits that judge a run; and who disturbed a run that was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgebench.analysis.limits import Limits
from edgebench.facts import BusyProcess, OtherLoad
from edgebench.reason import ReasonCode
from edgebench.run import Run
from edgebench.stats import MARGIN

_MOST_NAMED = 3
#: Of what the busiest process took: a process that took less is not named beside it.
_LEAST_SHARE = 0.1
_UNSEEN = "no process that is visible there; it may be outside of a container, or has ended"


def disturbance(load: OtherLoad, *, margin: float = MARGIN) -> str | None:
    """Return what would make a run invalid just now, and who; None: nothing, as far as the board reports it.

    `margin`: what the run's figure is to be held to.
    """
    limits = Limits.of_quiet_board(load.cores, watched_ms=load.watched_ms, margin=margin)
    found = []
    if load.others_millicores is not None and load.others_millicores > limits.load_millicores:
        unseen = load.others_millicores - sum(process.cpu_millicores for process in load.busiest or ())
        who = load.processes or _UNSEEN
        if load.processes and load.own_pids and unseen > limits.load_millicores:
            who = f"{who}, {unseen / 1000:.2f} cores outside of the container, where processes are not visible"
        found.append(f"other processes use {load.others_millicores / 1000:.2f} cores: {who}")
    if load.others_millicores is None and (load.waiting_permille or 0) > limits.load_millicores:
        found.append(f"processes wait for a processor {(load.waiting_permille or 0) / 1000:.0%} of the time")
    if load.stolen_millicores is not None and load.stolen_millicores > limits.load_millicores:
        found.append(f"the hypervisor gives {load.stolen_millicores / 1000:.2f} cores to other machines (steal)")
    return "; ".join(found) or None


def disturbers(runs: Sequence[Run]) -> str:
    """Return who worked while these runs were timed, the busiest first: `stress-ng, PID 812`; empty: not reported.

    Of the runs that do not count because others worked.
    """
    disturbed = [run for run in runs if any(reason.code is ReasonCode.OTHERS_WORKED for reason in run.reasons)]
    used: Counter[BusyProcess] = Counter()
    for run in disturbed:
        for process in run.facts.busiest or ():
            used[BusyProcess(process.name, 0, process.pid)] += process.cpu_millicores
    most = max(used.values(), default=0)
    named = [str(process) for process, amount in used.most_common(_MOST_NAMED) if amount >= _LEAST_SHARE * most]
    return "; ".join(named)
