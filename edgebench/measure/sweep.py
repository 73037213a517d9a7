"""The sweep of a tuning session: the settings worth trying on this board, each in each power state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgebench.artifact import Artifact
from edgebench.board import AS_FOUND, BoardPower, PowerState, RemoteAgent, is_refusal, preflight
from edgebench.errors import BoardError
from edgebench.events import LogMessage, OnEvent
from edgebench.facts import DeviceFacts, Tuning
from edgebench.request import Request
from edgebench.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A power state, and the facts that the board reported in it, by runtime."""

    power: PowerState
    facts: Mapping[str, DeviceFacts]


def conditions_of(
    agent: RemoteAgent, power: BoardPower, request: Request, artifacts: Sequence[Artifact], on_event: OnEvent
) -> list[Condition]:
    """Return the board's facts in each power state; a state that the board refuses is left out and reported.

    Raises:
        BoardError: the board can't run these artifacts.
    """
    found = []
    for state in power.states:
        try:
            power.apply(state)
        except BoardError as error:
            if not is_refusal(error):
                raise
            on_event(LogMessage(f"left out: {error}"))
            power.leave_out(state)
            continue
        facts = preflight(agent, request.device, artifacts, on_event, runtime=request.runtime)
        if request.tune:
            tuning = Tuning(parameters=tuple(request.tune), power_as_found=state == AS_FOUND)
            facts = {runtime: replace(of_runtime, tune=tuning) for runtime, of_runtime in facts.items()}
        found.append(Condition(power=state, facts=facts))
    power.apply(AS_FOUND)
    return found


def settings_of(workload: Workload, request: Request, condition: Condition) -> list[Workload]:
    """Return the workload in each setting of threads and cores worth trying, the usual setting first."""
    usual = workload.threads if workload.threads is not None else request.device.profile.threads or None
    if "threads" not in request.tune:
        return [replace(workload, threads=usual)]
    board = next(iter(condition.facts.values()))
    return [
        replace(workload, threads=threads, affinity=affinity) for threads, affinity in thread_settings(board, usual)
    ]


def thread_settings(board: DeviceFacts, usual: int | None) -> list[tuple[int, tuple[int, ...] | None]]:
    """Return distinct settings, each (threads, cores to run on; None: all), the usual number on all cores first.

    Threads are 1, 2, 4 ... and the number of cores. Where cores differ (big.LITTLE), also threads that are bound to the
    fastest cores, and one thread on each core of every slower kind.

    Args:
        board: the board's facts.
        usual: the number of threads that the device profile or the workload sets; None: the number of cores.
    """
    count = max(1, board.usable_cores or 1)
    kinds = _kinds_of_cores(board, count)
    settings: list[tuple[int, tuple[int, ...] | None]] = [(min(usual, count) if usual else count, None)]
    if len(kinds) == 1:
        settings += [(threads, None) for threads in _counts(count)]
    else:
        fastest, *slower = kinds
        settings += [(len(fastest), None), (count, None)]
        settings += [(threads, fastest) for threads in _counts(len(fastest))]
        settings += [(len(kind), kind) for kind in slower]
    return list(dict.fromkeys(settings))


def _counts(cores: int) -> list[int]:
    return [1 << power for power in range(cores.bit_length()) if 1 << power < cores] + [cores]


def _kinds_of_cores(board: DeviceFacts, count: int) -> list[tuple[int, ...]]:
    """Return the cores of each capacity, the fastest first; one kind if the board reports no capacities."""
    reported = board.core_capacities or {}
    capacities = {int(core): capacity for core, capacity in reported.items() if core.isascii() and core.isdigit()}
    if len(capacities) != count:
        return [tuple(range(count))]
    kinds = sorted(set(capacities.values()), reverse=True)
    return [tuple(sorted(core for core, each in capacities.items() if each == kind)) for kind in kinds]
