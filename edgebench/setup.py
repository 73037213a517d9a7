"""device setup: a bare board made ready. The board needs no internet, no root and no pip: all comes from here."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgebench.board_pythons import DEFAULT_PYTHON, BoardPython, find_pythons
from edgebench.checkup import Finding, State
from edgebench.device import Device
from edgebench.errors import (
    AgentError,
    BoardBusy,
    BoardError,
    ConfigError,
    ConnectionFailed,
    ConnectionLost,
    DeviceError,
    LeaseLost,
    NoWheelFits,
    UnknownName,
)
from edgebench.events import Noted, OnEvent, Pushing, ignore
from edgebench.export import cache_folder
from edgebench.lease import hold_board
from edgebench.preparing import TFLITE_RUNTIMES
from edgebench.printable import printable
from edgebench.remote_agent import RemoteAgent
from edgebench.request import WAIT_S, Request
from edgebench.served import Served
from edgebench.transport import open_transport
from edgebench.trial import Trial, try_runtime
from edgebench.wheels import (
    RUNTIME_REQUIREMENTS,
    Target,
    Wheel,
    WheelFolder,
    check_wheel,
    runtime_of_package,
    target_of,
    unpacked_bytes,
    versions_of,
)
from edgebench_agent import protocol

RUNTIMES = tuple(RUNTIME_REQUIREMENTS)
_SPARE_BYTES = 64 << 20  # left free on the board's disk for models and runs
_CLOCK_OFF_S = 3600
#: What a part of a name in L4T's versions means: https://developer.nvidia.com/embedded/jetpack-archive
_JETPACKS = {"32": "4", "35": "5", "36": "6", "38": "7"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupPlan:
    """What is asked for. `runtimes` empty: all that have wheels for the board.

    Args:
        wait_s: at most so long for a board that somebody else holds.
        wheels: the user's own, instead of the ones from the package index.
        system_python: use the runtimes that the board's own Python has; install nothing.
        folder: where wheels are kept on this machine; None: in edgebench's cache.
        upgrade: look for newer wheels, even where the board is set up.

    Raises:
        UnknownName, ConfigError.
    """

    runtimes: tuple[str, ...] = ()
    wheels: tuple[Path, ...] = ()
    system_python: bool = False
    folder: Path | None = None
    upgrade: bool = False
    wait_s: float = WAIT_S

    def __post_init__(self) -> None:
        for name in self.runtimes:
            if name not in RUNTIMES:
                raise UnknownName("runtime", name, RUNTIMES)
        if self.system_python and self.wheels:
            raise ConfigError("--system-python installs nothing: leave --wheel out, or --system-python")
        for path in self.wheels:
            if not path.is_file():
                raise ConfigError(f"there is no wheel at {path}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What was found and done; `served`: the runtimes that are ready, and by what."""

    device: str
    findings: tuple[Finding, ...]
    served: Mapping[str, Served] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Whether all that was asked for works."""
        return bool(self.served) and all(finding.state is not State.MEND for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `device setup --json` writes them."""
        return {
            "device": self.device,
            "ready": self.is_ready,
            "findings": [asdict(finding) | {"state": str(finding.state)} for finding in self.findings],
            "runtimes": {name: asdict(served) for name, served in self.served.items()},
        }


@dataclass(frozen=True, slots=True)
class _Environment:
    """One to be there in the end: which Python it is for, the wheels in it, and the name that stands for both."""

    runtime: str
    python: BoardPython
    wheels: tuple[Wheel, ...]
    own: bool  # with a wheel of the user's

    @property
    def name(self) -> str:
        text = json.dumps([self.python.path, self.python.version[:2], sorted(wheel.sha256 for wheel in self.wheels)])
        return hashlib.sha256(text.encode()).hexdigest()


def set_up(device: Device, plan: SetupPlan, on_event: OnEvent = ignore) -> Setup:
    """Make a board ready for the runtimes of a plan; what is there already is left as it is.

    Raises:
        ConfigError: this device is not set up so, or a wheel of the user's does not fit it.
        BoardBusy: a run measures there, or somebody else still has the board.
        BoardError: no fitting Python or libc, no room, or the wheels can't be had.
        ConnectionFailed, ConnectionLost.
    """
    _refuse(device)
    with open_transport(device) as transport:
        agent = RemoteAgent(transport, name=device.name, python=device.python)
        try:
            agent.install(inspect=True)
        except BoardError:
            _fitting(device, find_pythons(transport))  # says more, where the Pythons are why
            raise
        if (ready := _ready_already(agent, device, plan)) is not None:
            return ready  # looking needs no lease
        with hold_board(agent, device, purpose="device setup", wait_s=plan.wait_s, on_event=on_event):
            return _set_up(agent, device, plan, on_event)


def set_up_for(request: Request, on_event: OnEvent = ignore) -> None:
    """Make a request's board ready for what it measures, and for no more.

    What is served there already is taken as it is, and needs no package index. Of TFLite's runtimes the first that fits
    the board is taken, unless the request names one.

    Raises:
        EdgebenchError: as `set_up`; or a runtime that is needed does not work there.
    """
    _refuse(request.device)
    formats = {format.runtime for format in request.formats or (request.device.profile.default_format,)}
    of_files = {".onnx": {"onnxruntime"}, ".tflite": {"tflite"}}
    kinds = {kind for model in request.models for kind in of_files.get(Path(model).suffix, formats)}
    for kind in sorted(kinds):
        of_tflite = (request.runtime,) if request.runtime is not None else TFLITE_RUNTIMES
        _set_up_one_of(request, of_tflite if kind == "tflite" else (kind,), on_event)


def _set_up_one_of(request: Request, runtimes: Sequence[str], on_event: OnEvent) -> None:
    """Make sure that a board has the first of some runtimes that works there."""
    device = request.device
    with open_transport(device) as transport:
        agent = RemoteAgent(transport, name=device.name, python=device.python)
        agent.install()
        used = [name for name in runtimes if name in agent.served][:1]  # as `python_for` picks it
        broken = _broken(agent, used)
        if used and not broken:
            return
        if used and agent.served[used[0]].own:
            raise _as_error(device, _kept(agent, device, used[0], broken[used[0]]))  # not replaced without being asked
    order = list(dict.fromkeys([*used, *runtimes]))
    for name in order:
        try:
            _set_up_alone(request, name, on_event)
            return
        except (BoardBusy, LeaseLost):
            raise
        except BoardError as error:
            if name == order[-1]:
                raise
            on_event(Noted(str(error)))


def _set_up_alone(request: Request, runtime: str, on_event: OnEvent) -> None:
    """Make sure that a board has one runtime; BoardError: it can't be had, or does not work there."""
    device = request.device
    findings = set_up(device, SetupPlan(runtimes=(runtime,), wait_s=request.wait_s), on_event).findings
    lacking = next((finding for finding in findings if finding.state is State.MEND), None)
    if lacking is not None:
        raise _as_error(device, lacking)


def _as_error(device: Device, lacking: Finding) -> BoardError:
    return BoardError(f"{device.name}: {lacking.what}: {lacking.seen}; try: {lacking.mend}")


def _set_up(agent: RemoteAgent, device: Device, plan: SetupPlan, on_event: OnEvent) -> Setup:
    reply = agent.probe()
    if isinstance(reply.get("running"), str):
        raise BoardBusy(f"{device.name}: {printable(reply['running'])} is measuring; try again when it is done")
    own = [agent.base] if agent.base is not None else []
    if plan.system_python:
        findings = list(board_findings(reply["board"], own))
        findings += [_use_system_python(agent, device, name, on_event) for name in plan.runtimes or RUNTIMES]
    else:
        pythons = _fitting(device, find_pythons(agent.transport))
        findings = list(board_findings(reply["board"], pythons))
        findings += _install(agent, device, plan, pythons, reply["board"], on_event)
    return Setup(device=device.name, findings=tuple(findings), served=dict(agent.served))


def _refuse(device: Device) -> None:
    if device.is_local:
        raise ConfigError("local is this machine: its runtimes are installed with pip install 'edgebench[local]'")
    if device.python != DEFAULT_PYTHON:
        raise ConfigError(
            f"{device.name}: edgebench.toml says python = {device.python!r}, which is used instead of what setup "
            f"installs; take that line out and try again, or check that Python: edgebench device check {device.name}"
        )


def _fitting(device: Device, pythons: Sequence[BoardPython]) -> list[BoardPython]:
    fitting = [python for python in pythons if python.is_new_enough]
    if not fitting:
        shown = ", ".join(python.shown for python in pythons)
        raise BoardError(
            f"{device.name}: the board has only Python {shown}, edgebench needs >= 3.8; install one beside it "
            f"(Ubuntu 18.04: sudo apt install python3.8), or take a newer system"
        )
    return fitting


# --- what the board is ------------------------------------------------------------------------------------------


def board_findings(
    board: Mapping[str, Any], pythons: Sequence[BoardPython], *, now_s: float | None = None
) -> Iterator[Finding]:
    """Yield what a board told of itself, as far as it matters here; `now_s`: the time of this machine."""
    told = {name: printable(value) for name, value in board.items() if isinstance(value, (str, int))}
    system = [told.get("os"), _vendor(told.get("vendor_release"))]
    yield Finding("board", ", ".join(filter(None, (told.get("model"), told.get("arch"), *system))) or "not told")
    if pythons:
        yield Finding("Python", ", ".join(python.shown for python in pythons))
    yield Finding("libc", told.get("libc", "not told"))
    features = board.get("cpu_features")
    listed = [printable(name) for name in features] if isinstance(features, list) else []
    yield Finding("CPU features", printable(" ".join(listed), limit=120) or "not told")
    for what, name in (("memory", "memory_bytes"), ("free disk", "disk_free_bytes")):
        size = board.get(name)
        yield Finding(what, f"{size / 1e6:,.0f} MB" if type(size) is int else "not told")
    yield _clock(board.get("wall_clock_s"), time.time() if now_s is None else now_s)


def _vendor(release: str | None) -> str | None:
    if release is None or not release.startswith("L4T "):
        return release
    jetpack = _JETPACKS.get(release.removeprefix("L4T ").partition(".")[0])
    return f"{release} (JetPack {jetpack})" if jetpack else release


def _clock(told_s: Any, now_s: float) -> Finding:
    """Nothing here depends on the board's clock; whoever reads its logs should know."""
    if type(told_s) is not int:
        return Finding("clock", "not told")
    off_s = told_s - now_s
    if abs(off_s) < _CLOCK_OFF_S:
        return Finding("clock", "right")
    days = abs(off_s) / 86400
    seen = f"{days:,.1f} days {'ahead' if off_s > 0 else 'behind'}"
    mend = f"on the board: sudo timedatectl set-ntp true, or, without internet there: sudo date -s @{now_s:.0f}"
    return Finding("clock", seen, State.BETTER, mend)


# --- the board's own Python -------------------------------------------------------------------------------------


def _use_system_python(agent: RemoteAgent, device: Device, runtime: str, on_event: OnEvent) -> Finding:
    served = agent.served.pop(runtime, None)  # what is looked at is the board's own
    reply = agent.probe([runtime])
    found, python = reply["runtimes"][runtime], reply["board"].get("python_executable")
    if not found["ok"] or type(python) is not str:
        if served is not None:
            agent.served[runtime] = served
        return Finding(
            runtime, _problem(found), State.MEND, f"install it there, or: edgebench device setup {device.name}"
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


# --- environments of our own ------------------------------------------------------------------------------------


def _install(
    agent: RemoteAgent,
    device: Device,
    plan: SetupPlan,
    pythons: Sequence[BoardPython],
    board: Mapping[str, Any],
    on_event: OnEvent,
) -> list[Finding]:
    folder = _wheel_folder(plan)
    wanted = list(_own_wheels(plan, _targets(device, board, pythons)))
    broken = _broken(agent, [runtime for runtime, _ in wanted])
    findings: list[Finding] = []
    environments: list[_Environment] = []
    refused: list[BoardError] = []
    for runtime, own in wanted:
        if not own and _is_kept(agent, plan, runtime):
            findings.append(_kept(agent, device, runtime, broken.get(runtime)))
            continue
        try:
            environments.append(_resolve(folder, device, board, pythons, runtime, own, plan.upgrade))
        except NoWheelFits as none:
            findings.append(_no_wheel(device, none, runtime, is_asked=runtime in plan.runtimes))
        except BoardError as error:
            if runtime in plan.runtimes or own:
                raise
            refused.append(error)
            findings.append(_not_had(agent, runtime, broken, error))
    if refused and not environments and not agent.served:
        raise refused[0]
    there = [_whole_there(agent, one) if one.runtime not in broken else None for one in environments]
    new = [one for one, served in zip(environments, there, strict=True) if served is None]
    _require_room(agent, device, folder, new, board)
    with _leaving_no_wheels(agent, environments if new else []):
        for one, served in zip(environments, there, strict=True):
            if served is not None:
                findings.append(_was_there(one.runtime, served))
            else:
                findings.append(_make_and_try(agent, device, folder, one, on_event).finding)
    return findings


def _broken(agent: RemoteAgent, runtimes: Sequence[str]) -> dict[str, str]:
    """Return which of these runtimes the board's table names that do not import there, and why."""
    broken = {}
    for name in runtimes:
        if name in agent.served:
            try:
                found = agent.probe([name])["runtimes"][name]
            except AgentError as error:  # what is damaged may take the agent with it
                found = {"ok": False, "error": str(error)}
            if not found["ok"]:
                broken[name] = _problem(found)
    return broken


def _problem(found: Mapping[str, Any]) -> str:
    return printable(found.get("error")).partition("; try: ")[0]


def _no_wheel(device: Device, none: NoWheelFits, runtime: str, *, is_asked: bool) -> Finding:
    seen = str(none).removeprefix(f"{runtime}: ")
    if not is_asked:
        return Finding(runtime, seen, State.BETTER)
    own = f"edgebench device setup {device.name} --runtime {runtime} --wheel FILE"
    return Finding(runtime, seen, State.MEND, f"another system on the board, or a build of your own: {own}")


def _not_had(agent: RemoteAgent, runtime: str, broken: Mapping[str, str], error: BoardError) -> Finding:
    """Return what to say of a runtime that nobody named and whose wheels can't be had now."""
    if runtime in agent.served and runtime not in broken:
        return _was_there(runtime, agent.served[runtime])
    return Finding(runtime, str(error).removeprefix(f"{runtime}: "), State.BETTER, "see the message")


@contextmanager
def _leaving_no_wheels(agent: RemoteAgent, environments: Sequence[_Environment]) -> Iterator[None]:
    """Take the wheels of these environments off the board at the end, and environments that serve nothing.

    Several share some, and an interrupted setup may have left others. Where the board can't be reached, or is no longer
    ours, they stay: the next setup goes on with them.
    """
    wheels = sorted({wheel.sha256 for one in environments for wheel in one.wheels})
    try:
        yield
    except (KeyboardInterrupt, ConnectionFailed, ConnectionLost, LeaseLost):
        raise
    except BaseException:
        with suppress(DeviceError):  # why it failed is what is told
            agent.drop(wheels)
        raise
    if wheels:
        agent.drop(wheels)


def _is_kept(agent: RemoteAgent, plan: SetupPlan, runtime: str) -> bool:
    """Whether what serves a runtime is the user's own choice, which only naming the runtime, or an upgrade, changes."""
    served = agent.served.get(runtime)
    return served is not None and served.own and runtime not in plan.runtimes and not plan.upgrade


def _kept(agent: RemoteAgent, device: Device, runtime: str, problem: str | None) -> Finding:
    if problem is None:
        return _was_there(runtime, agent.served[runtime])
    setup = f"edgebench device setup {device.name} --runtime {runtime}"
    mend = f"{setup}, with --wheel FILE or --system-python for your own again"
    return Finding(runtime, f"your own no longer works: {problem}", State.MEND, mend)


def _was_there(runtime: str, served: Served) -> Finding:
    version = next((served.packages[name] for name in served.packages if runtime_of_package(name) == runtime), "")
    whose = "your own, " if served.own else ""
    return Finding(runtime, f"{version}, {whose}was there; numbers {served.agreement}")


def _targets(device: Device, board: Mapping[str, Any], pythons: Sequence[BoardPython]) -> list[Target]:
    return [_target(device, board, python) for python in pythons]


def _target(device: Device, board: Mapping[str, Any], python: BoardPython) -> Target:
    arch, libc = board.get("arch"), board.get("libc")
    return target_of(
        device.name,
        arch=arch if type(arch) is str else None,
        bits=python.bits,
        python=python.version[:2],
        libc=libc if type(libc) is str else None,
    )


def _own_wheels(plan: SetupPlan, targets: Sequence[Target]) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """Yield each runtime with the user's wheels for it; a wheel that is no runtime's build goes to all.

    Raises:
        ConfigError: a wheel fits none of the board's Pythons, or is of a runtime that isn't asked for.
    """
    packages = {path: _package_of(path, targets) for path in plan.wheels}
    builds = {path: runtime_of_package(package) for path, package in packages.items()}
    wanted = plan.runtimes or tuple(dict.fromkeys(name for name in builds.values() if name is not None)) or RUNTIMES
    for path, runtime in builds.items():
        if runtime is not None and runtime not in wanted:
            raise ConfigError(f"{path.name} is a build of {runtime}, which is not among --runtime {', '.join(wanted)}")
    for runtime in wanted:
        yield runtime, tuple(path for path, build in builds.items() if build in (None, runtime))


def _package_of(path: Path, targets: Sequence[Target]) -> str:
    """Return the package in a wheel that fits one of the targets; the error is the one about the first."""
    refused: ConfigError | None = None
    for target in targets:
        try:
            return check_wheel(path, target)
        except ConfigError as error:
            refused = refused or error
    raise refused or ConfigError(f"{path} fits nothing")


def _resolve(
    folder: WheelFolder,
    device: Device,
    board: Mapping[str, Any],
    pythons: Sequence[BoardPython],
    runtime: str,
    own: Sequence[Path],
    upgrade: bool,
) -> _Environment:
    """Return the environment of a runtime, for the first of the board's Pythons that there are wheels for.

    Raises:
        NoWheelFits: for none of them; the message is about the first.
        BoardError: the wheels can't be downloaded.
    """
    refused: NoWheelFits | None = None
    for python in pythons:
        target = _target(device, board, python)
        try:
            for path in own:
                check_wheel(path, target)
            wheels = folder.resolve(runtime, target, own=own, upgrade=upgrade)
            return _Environment(runtime, python, wheels, bool(own))
        except NoWheelFits as none:
            refused = refused or none
        except ConfigError as error:
            refused = refused or NoWheelFits(str(error))
    raise refused or NoWheelFits(f"{runtime}: no Python to look for wheels for")


def _whole_there(agent: RemoteAgent, environment: _Environment) -> Served | None:
    """Return what serves a runtime, if it is the very same environment, numbers compared, and no file is cut short."""
    served = agent.served.get(environment.runtime)
    if served is None or served.environment != environment.name:
        return None
    python, _ = agent.make_environment(_spec(environment, ask=True), python=environment.python.path)
    return served if python is not None else None


def _ready_already(agent: RemoteAgent, device: Device, plan: SetupPlan) -> Setup | None:
    """Return what is there, if that is all that is wanted, for the board's `python3`; None where it is not.

    Nothing more is asked of the board than its agent's installation told: that every file of an environment which
    passed its trial there is as long as it was. A runtime that is named is imported, too: so `device check` tells to
    mend one that no longer works.
    """
    wanted, own = plan.runtimes or RUNTIMES, agent.base
    changes = plan.system_python or plan.wheels or plan.upgrade
    if own is None or changes or not agent.whole.issuperset(wanted) or _broken(agent, plan.runtimes):
        return None
    try:
        for name in wanted:
            if _is_kept(agent, plan, name):
                continue
            environment = _resolve(_wheel_folder(plan), device, agent.system, [own], name, (), False)
            if environment.name != agent.served[name].environment:
                return None
    except BoardError:
        return None
    told = {name: printable(value) for name, value in agent.system.items() if isinstance(value, str)}
    findings = [
        Finding("board", told.get("arch", "not told")),
        Finding("Python", own.shown),
        Finding("libc", told.get("libc", "not told")),
        *(_was_there(name, agent.served[name]) for name in wanted),
    ]
    return Setup(device=device.name, findings=tuple(findings), served=dict(agent.served))


def _wheel_folder(plan: SetupPlan) -> WheelFolder:
    return WheelFolder(plan.folder or cache_folder() / "board-wheels")


def _require_room(
    agent: RemoteAgent,
    device: Device,
    folder: WheelFolder,
    new: Sequence[_Environment],
    board: Mapping[str, Any],
) -> None:
    """Make sure that what is to come fits: wheels that are on the board already take no more room."""
    free = board.get("disk_free_bytes")
    if not new or type(free) is not int:
        return
    absent = {sha256 for one in new for sha256 in agent.make_environment(_spec(one, ask=True), python=agent.python)[1]}
    wheels = {wheel.sha256: wheel for one in new for wheel in one.wheels if wheel.sha256 in absent}
    needed = _SPARE_BYTES + sum(wheel.bytes for wheel in wheels.values())
    needed += sum(unpacked_bytes(folder.path(wheel)) for one in new for wheel in one.wheels)
    if free < needed:
        fewer = ", or take fewer, with --runtime" if len(new) > 1 else ""
        raise BoardError(
            f"{device.name}: {needed / 1e6:.0f} MB of disk are needed and {free / 1e6:.0f} MB are "
            f"free; free some (edgebench device clean {device.name} --max-size 0){fewer}"
        )


def _make_and_try(
    agent: RemoteAgent,
    device: Device,
    folder: WheelFolder,
    environment: _Environment,
    on_event: OnEvent,
) -> Trial:
    """Make an environment on the board, and let it serve its runtime where that passes its trial there."""
    python = _make(agent, device, folder, environment, on_event)
    runtime = environment.runtime
    packages = versions_of(environment.wheels)
    before = agent.served.get(runtime)
    agent.served[runtime] = Served(python, environment.name, packages, "")
    found = agent.probe([runtime])["runtimes"][runtime]
    if found["ok"]:
        trial = try_runtime(agent, device, runtime, found, on_event)
    else:
        mend = f"a build for this board: edgebench device setup {device.name} --runtime {runtime} --wheel FILE"
        trial = Trial(False, "", Finding(runtime, _problem(found), State.MEND, mend))
    if trial.passed:
        agent.adopt(
            protocol.Adoption(
                runtime=runtime,
                python=python,
                environment=environment.name,
                packages=packages,
                agreement=trial.agreement,
                own=environment.own,
            )
        )
    elif before is not None:
        agent.served[runtime] = before  # goes on as it was
    else:
        del agent.served[runtime]
    return trial


def _spec(environment: _Environment, *, ask: bool = False, anew: bool = False) -> protocol.InstallSpec:
    wheels = [{"name": wheel.name, "sha256": wheel.sha256} for wheel in environment.wheels]
    return protocol.InstallSpec(environment=environment.name, wheels=wheels, ask=ask, anew=anew)


def _make(agent: RemoteAgent, device: Device, folder: WheelFolder, environment: _Environment, on_event: OnEvent) -> str:
    served = agent.served.get(environment.runtime)
    # What the table names and is made all the same does not work, whole as it may look.
    spec = _spec(environment, anew=served is not None and served.environment == environment.name)
    python, missing = agent.make_environment(spec, python=environment.python.path)
    if python is not None:
        return python
    for wheel in environment.wheels:
        if wheel.sha256 in missing:
            _push(agent, folder.path(wheel), wheel, on_event)
    on_event(Noted(f"{device.name}: installing {environment.runtime} for Python {environment.python.shown}"))
    python, missing = agent.make_environment(spec, python=environment.python.path)
    if python is None:
        raise AgentError(f"{device.name}: {len(missing)} wheels went missing on the board; is it being cleaned?")
    return python


def _push(agent: RemoteAgent, path: Path, wheel: Wheel, on_event: OnEvent) -> None:
    def tell(done: int, size: int) -> None:
        on_event(Pushing(wheel.name, done, size))

    agent.push(path, sha256=wheel.sha256, size=wheel.bytes, on_progress=tell)


# --- removing ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What went from a board: number of things and bytes by kind; `left`: what is not edgebench's and stays."""

    device: str
    removed: Mapping[str, tuple[int, int]]
    left: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `device setup --remove --json` writes them."""
        removed = {kind: {"count": count, "bytes": size} for kind, (count, size) in self.removed.items()}
        return {"device": self.device, "removed": removed, "left": list(self.left)}


def remove_setup(device: Device, *, wait_s: float = WAIT_S, on_event: OnEvent = ignore) -> Removal:
    """Take everything of edgebench off a board: environments, models, journals, the agent itself.

    Raises:
        BoardBusy: a run measures there, or somebody else still had the board after `wait_s`.
        BoardError: something belongs to another user.
        ConnectionFailed, ConnectionLost.
    """
    with open_transport(device) as transport:
        agent = RemoteAgent(transport, name=device.name, python=device.python)
        agent.install()
        with hold_board(agent, device, purpose="device setup --remove", wait_s=wait_s, on_event=on_event):
            reply = agent.remove()
    try:
        removed = {
            printable(kind): (_count(went["count"]), _count(went["bytes"])) for kind, went in reply["removed"].items()
        }
        left = tuple(printable(name) for name in reply["left"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AgentError(f"{device.name}: the board's answer to the removal is not valid") from error
    return Removal(device=device.name, removed=removed, left=left)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(value)
    return value
