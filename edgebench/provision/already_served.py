"""What serves runtimes on a board already: whether it still works, whose choice it was, what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgebench.board.agent import RemoteAgent
from edgebench.board.installed_runtimes import InstalledRuntime
from edgebench.device import Device
from edgebench.errors import AgentError
from edgebench.provision.checkup import Finding, State
from edgebench.provision.environments import BoardEnvironment
from edgebench.provision.plan import SetupPlan
from edgebench.provision.wheels import runtime_of_package
from edgebench.text import printable


def find_broken(agent: RemoteAgent, runtimes: Sequence[str]) -> dict[str, str]:
    """Return which of these runtimes the board's table names that do not import there, and why."""
    broken = {}
    for name in runtimes:
        if name in agent.served:
            try:
                found = agent.probe([name])["runtimes"][name]
            except AgentError as error:  # what is damaged may take the agent with it
                found = {"ok": False, "error": str(error)}
            if not found["ok"]:
                broken[name] = problem(found)
    return broken


def problem(found: Mapping[str, Any]) -> str:
    """Return why a runtime does not import, by what `probe` told of it; without the advice, which is for others."""
    return printable(found.get("error")).partition("; try: ")[0]


def is_kept(agent: RemoteAgent, plan: SetupPlan, runtime: str) -> bool:
    """Whether what serves a runtime is the user's own choice, which only naming the runtime, or an upgrade, changes."""
    served = agent.served.get(runtime)
    return served is not None and served.own and runtime not in plan.runtimes and not plan.upgrade


def intact_environment(agent: RemoteAgent, environment: BoardEnvironment) -> InstalledRuntime | None:
    """Return what serves a runtime, if it is the very same environment, numbers compared, and no file is cut short."""
    served = agent.served.get(environment.runtime)
    if served is None or served.environment != environment.name:
        return None
    python, _ = agent.make_environment(environment.spec(ask=True), python=environment.python.path)
    return served if python is not None else None


def was_there(runtime: str, served: InstalledRuntime) -> Finding:
    """Return what to say of a runtime that is left as it is."""
    version = next((served.packages[name] for name in served.packages if runtime_of_package(name) == runtime), "")
    whose = "your own, " if served.own else ""
    return Finding(runtime, f"{version}, {whose}was there; numbers {served.agreement}")


def was_kept(agent: RemoteAgent, device: Device, runtime: str, broken: str | None) -> Finding:
    """Return what to say of the user's own choice; `broken`: why it does not import."""
    if broken is None:
        return was_there(runtime, agent.served[runtime])
    setup = f"edgebench device setup {device.name} --runtime {runtime}"
    mend = f"{setup}, with --wheel FILE or --system-python for your own again"
    return Finding(runtime, f"your own no longer works: {broken}", State.FAIL, mend)
