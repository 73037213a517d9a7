"""The runtimes that a board's own Python has: tried, and adopted where their numbers are right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgebench.board.agent import RemoteAgent
from edgebench.device import Device
from edgebench.events import OnEvent
from edgebench.provision.already_served import problem
from edgebench.provision.checkup import Finding, State
from edgebench.provision.trial import try_runtime
from edgebench.text import printable
from edgebench_agent import protocol


def use_system_python(agent: RemoteAgent, device: Device, runtime: str, on_event: OnEvent) -> Finding:
    """Have the board's own Python serve a runtime, where that passes its trial there; return what was seen."""
    served = agent.served.pop(runtime, None)  # what is looked at is the board's own
    reply = agent.probe([runtime])
    found, python = reply["runtimes"][runtime], reply["board"].get("python_executable")
    if not found["ok"] or type(python) is not str:
        if served is not None:
            agent.served[runtime] = served
        return Finding(
            runtime, problem(found), State.FAIL, f"install it there, or: edgebench device setup {device.name}"
        )
    trial = try_runtime(agent, device, runtime, found, on_event)
    if trial.passed:
        agent.adopt(
            protocol.Adoption(
                runtime=runtime, python=python, environment=None, packages=_libraries(runtime, found),
                agreement=trial.agreement, own=True,
            )
        )  # fmt: skip
    return trial.finding


def _libraries(runtime: str, found: Mapping[str, Any]) -> dict[str, str]:
    libraries = found.get("libraries")
    told = dict(libraries) if isinstance(libraries, dict) else {}
    return {str(name): printable(version) for name, version in ({runtime: found.get("version")} | told).items()}
