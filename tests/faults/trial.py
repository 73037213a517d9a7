"""One trial: a session on a board, one fault at one moment, what a user then does, and the judgement."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from edgebench.artifact import hash_file
from tests.board.openssh import OpenSshServer
from tests.faults.board import CAN_OPENSSH, Board, mount_disk, unmount, wait_for_end
from tests.faults.faults import Fault
from tests.faults.faulty_python import FaultyClock, FaultyPython
from tests.faults.host import Ended, Host
from tests.faults.judge import Findings, Kept, judge, read_journal, read_stores
from tests.faults.memory_group import MemoryGroup
from tests.faults.scene import Missed, Scene

#: How long a command may take that nothing troubles, on a machine that other trials keep busy.
ORDINARY_S = 240.0
#: A command that ended early is followed by so many more at most.
_MOST_COMMANDS = 6
#: What the worker and its supervisor may take to end once nobody needs them; runs are that short here.
_LEFT_S = 90.0
_PROFILE = ("--runs", 2, "--min-count", 20, "--min-duration", 0.5, "--max-duration", 20, "--max-warmup", 0.3)
_PROFILE = (*_PROFILE, "--no-cold", "--no-overhead", "--device", "board")
#: Complete, and complete with runs that are not valid.
_COMPLETE = (0, 4)
_ROOT = Path(__file__).parents[2]


@dataclass
class Result:
    """What a trial showed."""

    seed: int
    fault: str
    stage: str
    struck: bool = False
    notes: list[str] = field(default_factory=list)
    commands: list[Ended] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    hangs: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # of the campaign itself
    seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether the last command completed the session."""
        return bool(self.commands) and self.commands[-1].status in _COMPLETE

    @property
    def wrong(self) -> list[str]:
        """What must not be, a sentence each."""
        return [*self.findings.wrong, *self.hangs, *self.broken]

    @property
    def ending(self) -> str:
        """How the trial ended, in a few words."""
        if not self.is_complete:
            return f"not complete: {self.commands[-1].last_line if self.commands else 'no command'}"
        return "complete" if len(self.commands) == 1 else f"complete after {len(self.commands)} commands"


def run_trial(seed: int, fault: Fault, folder: Path, model: Path, *, openssh: bool = CAN_OPENSSH) -> Result:
    """Run the trial of a seed; what it leaves in `folder` is enough to see what happened."""
    rng = random.Random(seed)
    result = Result(seed, fault.name, rng.choice(fault.stages))
    began = time.monotonic()
    folder.mkdir(parents=True)
    scene = _set_up(seed, folder, fault, rng, model, openssh=openssh)
    try:
        _play(scene, fault, result)
        left = wait_for_end(scene.board.processes("supervise", "measure", "follow"), _LEFT_S)
        result.hangs += [f"process {each.pid} was left on the board: {_command_line(each)}" for each in left]
        result.findings = _judge(scene, result)
    finally:
        scene.is_closing.set()
        scene.host.close()
        if scene.other is not None:
            scene.other.close()
        scene.board.close()
        if scene.memory is not None:
            scene.memory.close()
        if "store-disk" in fault.needs:
            shutil.copytree(scene.host.store, folder / "store-as-left", dirs_exist_ok=True)
            unmount(scene.host.store)
    result.seconds = time.monotonic() - began
    (folder / "findings.txt").write_text("\n".join([*result.wrong, *result.findings.named, *result.notes]) + "\n")
    return result


def _set_up(seed: int, folder: Path, fault: Fault, rng: random.Random, model: Path, *, openssh: bool) -> Scene:
    needs = fault.needs
    is_on_host = rng.random() < 0.5
    clock = FaultyClock(folder / "clock", "host" if is_on_host else "board") if "clock" in needs else None
    disk_mb = 64 if "board-disk" in needs else 0
    memory: MemoryGroup | None = None
    board = Board(folder / "board", seed=rng.randrange(1 << 30), openssh=openssh, disk_mb=disk_mb)
    try:
        jumps = clock.environment if clock is not None else {}
        python = None
        if "cgroup" in needs:
            memory = MemoryGroup(f"edgebench-{os.getpid()}-{seed}")
        if needs & {"python", "sensors", "cgroup"}:
            own = {} if is_on_host else jumps
            group = memory.procs if memory is not None else None
            python = FaultyPython(folder / "faulty", own, has_sensors="sensors" in needs, group=group)
            board.python = str(python.python)
        if memory is not None and isinstance(board.server, OpenSshServer):
            # Its namespace has another /sys, in which no process could join.
            memory.procs.write_text(str(board.server.pid))
        settings = board.settings(direct="direct" in needs)
        host = Host(folder / "host", settings, jumps if is_on_host else {})
        if "store-disk" in needs:
            host.store.mkdir()
            mount_disk(host.store, 48)
        scene = Scene(board, host, model, rng)
        scene.python, scene.clock, scene.memory = python, clock, memory
        if "other" in needs:
            changed = _another_agent(folder / "other-agent")
            scene.other = Host(folder / "other-host", settings, {"PYTHONPATH": f"{changed}:{_ROOT}"})
    except BaseException:
        board.close()
        if memory is not None:
            memory.close()
        raise
    return scene


def _another_agent(folder: Path) -> Path:
    """Return a folder with an agent of other bytes than this tree's, as of another version of edgebench."""
    package = folder / "edgebench_agent"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_ROOT / "agents" / "edgebench_agent", package, ignore=ignored)
    with (package / "__init__.py").open("a") as file:
        file.write("\n#: of another version\n")
    return folder


def _play(scene: Scene, fault: Fault, result: Result) -> None:
    """Carry out the commands of the host, and the fault meanwhile."""
    failures: list[str] = []

    def strike() -> None:
        try:
            _await_stage(scene, result.stage, fault.most_later_s)
            fault.does(scene, result.stage)
        except Missed:
            pass
        except Exception:  # noqa: BLE001 - a defect of the campaign, which must not look like a passed trial
            failures.append(traceback.format_exc())
        finally:
            scene.calm()

    thread = scene.thread = threading.Thread(target=strike, name=f"fault-{result.seed}", daemon=True)
    thread.start()
    result.commands = complete(scene.host, scene.model, bound_s=ORDINARY_S + fault.bound_s, scene=scene)
    scene.is_closing.set()
    thread.join(700)
    result.struck, result.notes = scene.struck_at_ns is not None, scene.notes
    for ended in [*result.commands, *scene.other_ended]:
        if ended.is_hang:
            result.hangs.append(f"a command took longer than {ended.seconds:.0f} s")
    result.broken += failures
    if thread.is_alive():
        result.hangs.append("the fault never ended")


def _await_stage(scene: Scene, stage: str, most_later_s: float) -> None:
    """Return when a stage begins.

    Raises:
        Missed: the command ended before.
    """
    if stage == "push":
        scene.wait(lambda: (scene.board.edgebench_home / "agents").is_dir() or scene.board.relay.moved > 2000)
    elif stage == "run":
        scene.await_measuring(most_later_s)
    elif stage == "store":
        before = scene.host.stored_runs()
        scene.wait(lambda: scene.host.stored_runs() > before)
    elif stage in ("fetch", "resume"):
        scene.await_measuring(1.0)
        scene.keeps_runs = stage == "fetch"
        if stage == "fetch":
            scene.host.signal(signal.SIGKILL)
        else:
            scene.interrupt()
        scene.next_command()


def complete(host: Host, model: Path, *, bound_s: float, scene: Scene | None = None) -> list[Ended]:
    """Profile a model as a user does, who resumes what ended early; return how each command of the session ended.

    `scene`: of the host's fault: the next command begins when the fault is over, or waits for that command.
    """
    ended: list[Ended] = []
    while len(ended) < _MOST_COMMANDS:
        command = ("runs", "resume") if host.has_session() else ("profile", "--model", model, *_PROFILE)
        done = host.run(*command, "--store", host.store, bound_s=bound_s)
        ended.append(done)
        wants_more = scene is not None and scene.settle()
        if done.is_hang or (done.status in _COMPLETE and not wants_more):
            break
        if done.status < 0 and scene is not None:
            # The host was killed, so its lease lasts for two minutes. Its user may see its run end, and releases it.
            if scene.keeps_runs:
                wait_for_end(scene.board.processes("supervise", "measure"), 60)
            release = ("device", "release", "board", "--force", "--reason", "its host was killed")
            host.run_aside(*release, bound_s=bound_s)
    return ended


def _judge(scene: Scene, result: Result) -> Findings:
    """Compare the stores with the journals; add what only this fault can make false."""
    stores = [scene.host.store] + ([scene.other.store] if scene.other is not None else [])
    kept, unreadable = read_stores(stores)
    journals = {id: read_journal(data) for id, data in scene.board.journals()}
    said = "\n".join(ended.said for ended in [*result.commands, *scene.other_ended])
    found = judge(journals, kept, said, before={id: read_journal(data) for id, data in scene.torn.items()})
    found.false += unreadable
    if "Traceback (most recent call last)" in said:
        found.false.append("a command printed a traceback")
    last = result.commands[-1]
    if not result.is_complete and not last.is_hang and not last.last_line.startswith("edgebench: "):
        found.false.append(f"a command ended with status {last.status} and without a word why")
    found.false += _unnoticed_damage(scene, kept, {id: each.loading_ns for id, each in journals.items()})
    return found


def _unnoticed_damage(scene: Scene, kept: list[Kept], loading_ns: dict[str, int | None]) -> list[str]:
    """Return what is false because a blob was used that had been damaged."""
    still = [path for path in scene.damaged if path.exists() and hash_file(path) != path.name]
    if not still or scene.struck_at_ns is None:
        return []
    after = [run.id for run in kept if run.valid and (loading_ns.get(run.id) or 0) > scene.struck_at_ns]
    return [f"run {id} counts, though it loaded a damaged file" for id in after]


def _command_line(process: object) -> str:
    try:
        return " ".join(process.cmdline())[-200:]  # type: ignore[attr-defined]
    except Exception as error:  # noqa: BLE001
        return repr(error)
