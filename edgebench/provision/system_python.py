"""The runtimes that a board's own Python has: tried, and adopted where their numbers are right."""

from __future__ import annotations

from edgebench.board import InstalledRuntime, RemoteAgent, RuntimeProbe
from edgebench.device import Device
from edgebench.events import OnEvent
from edgebench.provision.findings import Finding, State
from edgebench.provision.trial import try_runtime
from edgebench_agent import protocol


def use_system_python(
    agent: RemoteAgent, device: Device, runtime: str, on_event: OnEvent
) -> tuple[Finding, InstalledRuntime | None]:
    """Have the board use its own Python for a runtime, if that passes its trial there; None: it does not."""
    others = {name: installed for name, installed in agent.installed_runtimes.items() if name != runtime}
    on_own_python = agent.with_runtimes(others)
    found = on_own_python.probe([runtime]).runtimes[runtime]
    python = found.board.python_executable
    if not found.works or python is None:
        fix = f"install it there, or: edgebench device setup {device.name}"
        return Finding(runtime, found.problem, State.FAIL, fix), None
    trial = try_runtime(on_own_python, device, runtime, found, on_event)
    if not trial.passed:
        return trial.finding, None
    adoption = protocol.Adoption(
        runtime=runtime,
        python=python,
        environment=None,
        packages=_packages(runtime, found),
        agreement=trial.agreement,
        own=True,
    )
    return trial.finding, agent.adopt(adoption)


def _packages(runtime: str, found: RuntimeProbe) -> dict[str, str]:
    return {name: str(version) for name, version in ({runtime: found.version} | dict(found.libraries)).items()}
