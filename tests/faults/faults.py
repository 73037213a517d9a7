"""The faults of the campaign: what happens, at which stages, and how much longer a command may take for it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from tests.faults import memory_group
from tests.faults.board import CAN_OPENSSH, IS_ROOT, fill, signal_all
from tests.faults.faulty_python import CAN_JUMP
from tests.faults.scene import Missed, Scene

#: While the command starts; while files are pushed; while a run that counts is timed; while a run is stored; while
#: `runs resume` fetches a run that ended without its host; while `runs resume` goes on after Ctrl-C.
STAGES = ("start", "push", "run", "store", "fetch", "resume")
#: A connection to a run is opened again for so long (host.RECONNECT_S), by other commands in 8 attempts.
_RECONNECT_S = 60.0
#: A follower that is silent for so long is given up (journal.SILENCE_S, or 8 times what a command takes).
_SILENCE_S = 45.0
_STOPPED_WORKER_S = 10.0 + 5.0 + 5.0  # progress.STOPPED_S, and the grace to end
_STOPPED_SUPERVISOR_S = 60.0  # pulse.STALLED_S, and the next look
_HANGING_RUNTIME_S = 300.0 + 10.0  # progress.TIMED_S (60 s), in a first inference IDLE_FIRST_S; and the grace to end
_INTERRUPT_S = 15.0

Does = Callable[[Scene, str], None]


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        does: makes it happen; gets the scene and the stage, at whose moment it has been called.
        bound_s: how much longer a command may take because of it, by the stated bounds.
        most_later_s: where a run is waited for, `does` is called at most so long after its timing began.
        needs: what the trial prepares: python, sensors, clock, store-disk, board-disk, other, direct, cgroup.
    """

    name: str
    does: Does
    stages: tuple[str, ...] = ("push", "run", "store", "fetch", "resume")
    bound_s: float = 0.0
    needs: frozenset[str] = field(default_factory=frozenset)
    most_later_s: float = 1.0

    @property
    def is_possible(self) -> bool:
        """Whether this machine can do it."""
        if self.needs & {"direct", "sshd"}:
            return CAN_OPENSSH
        if "cgroup" in self.needs:
            return memory_group.why_not() is None
        if self.needs & {"store-disk", "board-disk"}:
            return IS_ROOT
        return CAN_JUMP if "clock" in self.needs else True


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    *,
    stages: tuple[str, ...] = ("push", "run", "store", "fetch", "resume"),
    bound_s: float = 0.0,
    needs: str = "",
    most_later_s: float = 1.0,
) -> Callable[[Does], Does]:
    """Add a function to the faults."""

    def add(does: Does) -> Does:
        FAULTS[name] = Fault(name, does, stages, bound_s, frozenset(needs.split()), most_later_s)
        return does

    return add


# --- the link -----------------------------------------------------------------------------------------------------


def _at_random_byte(scene: Scene, stage: str, action: Callable[[], None]) -> None:
    """Have something happen to the link between two bytes."""
    moved = scene.random_bytes(stage)
    scene.board.relay.at(moved, action)
    scene.wait(lambda: not scene.board.relay.is_armed)
    scene.note_strike(f"after {moved} bytes")


@fault("link cut and back", stages=STAGES)
def _(scene: Scene, stage: str) -> None:
    for _ in range(scene.rng.choice([1, 1, 2, 4])):
        _at_random_byte(scene, stage, scene.board.relay.cut)


@fault("link away for seconds", stages=STAGES, bound_s=30)
def _(scene: Scene, stage: str) -> None:
    relay = scene.board.relay
    _at_random_byte(scene, stage, relay.refuse)
    scene.notes.append(f"for {scene.pause(1, 9):.1f} s")
    relay.restore()


@fault("link silent for seconds", stages=STAGES, bound_s=30 + _SILENCE_S)
def _(scene: Scene, stage: str) -> None:
    relay = scene.board.relay
    _at_random_byte(scene, stage, relay.hold)
    scene.notes.append(f"for {scene.pause(2, 30):.1f} s")
    relay.restore()


@fault("link gone, Ctrl-C", stages=STAGES, bound_s=15 + _INTERRUPT_S)
def _(scene: Scene, stage: str) -> None:
    relay = scene.board.relay
    silently = scene.rng.random() < 0.5
    _at_random_byte(scene, stage, relay.hold if silently else relay.refuse)
    scene.notes.append("silently" if silently else "refused")
    scene.pause(1, 15)
    scene.interrupt()
    scene.await_end_of_command(60)
    relay.restore()


@fault("link gone for good", stages=STAGES, bound_s=_RECONNECT_S + 2 * _SILENCE_S)
def _(scene: Scene, stage: str) -> None:
    relay = scene.board.relay
    _at_random_byte(scene, stage, relay.refuse)
    scene.await_end_of_command(600)
    relay.restore()


@fault("30 ms and 2 % loss", stages=("start",), bound_s=60)
def _(scene: Scene, stage: str) -> None:
    scene.board.relay.shape(delay_s=0.03, loss=0.02)
    scene.note_strike("to the end")


@fault("1 Mbit/s", stages=("start",), bound_s=60, needs="direct")
def _(scene: Scene, stage: str) -> None:
    assert scene.board.namespace is not None
    scene.board.namespace.limit(1_000_000)
    scene.note_strike("to the end")


@fault("interface down", stages=("push", "run", "store", "fetch", "resume"), bound_s=30 + _SILENCE_S, needs="direct")
def _(scene: Scene, stage: str) -> None:
    assert scene.board.namespace is not None
    scene.pause(0, 1.5)
    scene.check()
    scene.board.namespace.set_link("down")
    scene.note_strike(f"for {scene.pause(0.5, 25):.1f} s")
    scene.board.namespace.set_link("up")


@fault("bytes twice", stages=STAGES, bound_s=30)
def _(scene: Scene, stage: str) -> None:
    _at_random_byte(scene, stage, scene.board.relay.duplicate)


@fault("bytes in another order", stages=STAGES, bound_s=30 + _SILENCE_S)
def _(scene: Scene, stage: str) -> None:
    _at_random_byte(scene, stage, scene.board.relay.reorder)


def _of_follower(name: str) -> Does:
    def does(scene: Scene, stage: str) -> None:
        assert scene.python is not None
        scene.python.arm(name)
        scene.wait(lambda: scene.python is not None and not scene.python.is_armed(name))
        scene.note_strike("in a journal on its way")

    return does


fault("journal lines twice", stages=("run", "fetch", "resume"), bound_s=30, needs="python")(_of_follower("lines-twice"))
fault("journal lines late", stages=("run", "fetch", "resume"), bound_s=30, needs="python")(_of_follower("lines-late"))


# --- processes ----------------------------------------------------------------------------------------------------


@fault("host killed", stages=STAGES)
def _(scene: Scene, stage: str) -> None:
    scene.pause(0, 1.5)
    scene.check()
    scene.host.signal(signal.SIGKILL)
    scene.note_strike("SIGKILL")


@fault("host stopped for seconds", stages=STAGES, bound_s=45)
def _(scene: Scene, stage: str) -> None:
    scene.pause(0, 1.0)
    scene.check()
    scene.host.signal(signal.SIGSTOP)
    scene.note_strike(f"SIGSTOP for {scene.pause(1, 25):.1f} s")
    scene.host.signal(signal.SIGCONT)


@fault("host interrupted", stages=STAGES, bound_s=_INTERRUPT_S)
def _(scene: Scene, stage: str) -> None:
    scene.pause(0, 1.5)
    scene.check()
    number = scene.rng.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    is_twice = scene.rng.random() < 0.3
    scene.host.signal(number)
    scene.note_strike(number.name + (" twice" if is_twice else ""))
    if is_twice:
        scene.pause(0.1, 1.0)
        scene.host.signal(number)


def _of_agent(*commands: str, number: signal.Signals, seconds: tuple[float, float] | None = None) -> Does:
    """Return a fault that sends a signal to processes of the agent; SIGSTOP with `seconds`: they go on after that."""

    def does(scene: Scene, stage: str) -> None:
        if commands != ("follow",) or stage != "fetch":
            scene.pause(0, 0.8)
        while not (found := scene.board.processes(*commands)):
            scene.check()
            time.sleep(0.01)
        if not signal_all(found, number):
            raise Missed
        text = f"{number.name} of {', '.join(sorted(set(map(_command, found))))}"
        scene.note_strike(text)
        if seconds is not None:
            scene.notes.append(f"for {scene.pause(*seconds):.1f} s")
            signal_all(found, signal.SIGCONT)
        elif number == signal.SIGSTOP:
            scene.await_end_of_command(900)
            if "supervise" not in commands:
                signal_all(found, signal.SIGCONT)

    return does


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error, IndexError):
        words = process.cmdline()
        return next(words[at + 1] for at, word in enumerate(words) if word.endswith(".pyz"))
    return "a process"


_MEASURING = ("run", "resume")
fault("supervisor killed", stages=_MEASURING)(_of_agent("supervise", number=signal.SIGKILL))
fault("supervisor stopped", stages=_MEASURING, bound_s=2 * _STOPPED_SUPERVISOR_S)(
    _of_agent("supervise", number=signal.SIGSTOP)
)
fault("supervisor stopped for seconds", stages=_MEASURING, bound_s=30)(
    _of_agent("supervise", number=signal.SIGSTOP, seconds=(1, 20))
)
fault("worker killed", stages=_MEASURING)(_of_agent("measure", number=signal.SIGKILL))
fault("worker stopped", stages=_MEASURING, bound_s=_STOPPED_WORKER_S)(_of_agent("measure", number=signal.SIGSTOP))
fault("worker stopped for seconds", stages=_MEASURING, bound_s=15)(
    _of_agent("measure", number=signal.SIGSTOP, seconds=(0.5, 8))
)
fault("follower killed", stages=("run", "fetch", "resume"))(_of_agent("follow", number=signal.SIGKILL))
fault("follower stopped", stages=("run", "fetch", "resume"), bound_s=2 * _SILENCE_S)(
    _of_agent("follow", number=signal.SIGSTOP, seconds=(5, 60))
)
fault("command of the agent killed", stages=("start", "push", "resume"))(
    _of_agent("receive", "launch", "lease", "probe", "runs", number=signal.SIGKILL)
)
fault("board's processes killed", stages=("push", "run", "resume"))(_of_agent(number=signal.SIGKILL))


@fault("sshd's session killed", stages=STAGES, needs="sshd")
def _(scene: Scene, stage: str) -> None:
    _of_server(scene, signal.SIGKILL)


@fault("sshd's session stopped", stages=STAGES, bound_s=2 * _SILENCE_S + 30, needs="sshd")
def _(scene: Scene, stage: str) -> None:
    found = _of_server(scene, signal.SIGSTOP)
    scene.notes.append(f"for {scene.pause(2, 40):.1f} s")
    signal_all(found, signal.SIGCONT)


def _of_server(scene: Scene, number: signal.Signals) -> list[psutil.Process]:
    scene.pause(0, 1.0)
    while not (found := scene.board.sessions_of_server()):
        scene.check()
        time.sleep(0.01)
    signal_all(found, number)
    scene.note_strike(number.name)
    return found


@fault("sensor's command killed", stages=_MEASURING, needs="sensors")
def _(scene: Scene, stage: str) -> None:
    _of_sensors(scene, signal.SIGKILL)


@fault("sensor's command stopped", stages=_MEASURING, bound_s=15, needs="sensors")
def _(scene: Scene, stage: str) -> None:
    _of_sensors(scene, signal.SIGSTOP)


def _of_sensors(scene: Scene, number: signal.Signals) -> None:
    assert scene.python is not None
    mark = str(scene.python.python.parent)
    deadline = time.monotonic() + 20
    struck = 0
    while struck < 3 and time.monotonic() < deadline:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if any(word.startswith(mark) and word.endswith("vcgencmd") for word in process.cmdline()):
                    struck += signal_all([process], number)
        if not struck:
            scene.check()
        time.sleep(0.03)
    if not struck:
        raise Missed
    scene.note_strike(f"{number.name} of {struck} commands")


# --- disks, memory, clocks ----------------------------------------------------------------------------------------


@fault("board's disk full", stages=("push", "run", "resume"), bound_s=30, needs="board-disk")
def _(scene: Scene, stage: str) -> None:
    scene.pause(0, 1.0)
    scene.check()
    full = fill(scene.board.home)
    for_s = scene.pause(1, 10)
    scene.note_strike(f"for {for_s:.1f} s")
    if scene.rng.random() < 0.5:
        scene.await_end_of_command(120)
    full.unlink()


@fault("host's disk full", stages=("run", "store", "fetch", "resume"), needs="store-disk")
def _(scene: Scene, stage: str) -> None:
    full = fill(scene.host.store)
    scene.note_strike("until the command ends")
    scene.await_end_of_command(180)
    full.unlink()


@fault("store read-only", stages=("run", "store", "fetch", "resume"), needs="store-disk")
def _(scene: Scene, stage: str) -> None:
    remounted = subprocess.run(["mount", "-o", "remount,ro", scene.host.store], capture_output=True, check=False)
    if remounted.returncode:
        raise Missed  # a file was being written at this moment
    scene.note_strike("until the command ends")
    scene.await_end_of_command(180)
    subprocess.run(["mount", "-o", "remount,rw", scene.host.store], check=True)


@fault("out of memory", stages=("run", "resume"), bound_s=30, needs="cgroup", most_later_s=0.2)
def _(scene: Scene, stage: str) -> None:
    assert scene.memory is not None
    killed = 0
    while not killed:  # again, if the run ended before its memory
        scene.memory.prepare()
        while not (found := scene.board.processes("measure")):
            scene.check()
            time.sleep(0.01)
        scene.pause(0, 0.3)
        killed = scene.memory.run_out([each.pid for each in found])
    scene.note_strike(f"the kernel killed {killed} of the run's processes")


@fault("clock jumps", stages=STAGES, needs="clock python")
def _(scene: Scene, stage: str) -> None:
    assert scene.clock is not None
    scene.pause(0, 1.5)
    scene.check()
    year = 365 * 86400
    seconds = scene.rng.choice([3600, -3600, 86400, 10 * year, -10 * year, -int(time.time())])
    scene.clock.jump(seconds)
    scene.note_strike(f"the {scene.clock.side}'s by {seconds} s")


# --- files on the board -------------------------------------------------------------------------------------------


# While a run is timed: a file that changes between its check and its use, within a launch, can't be told.
@fault("blob damaged", stages=("run", "resume"), bound_s=10, most_later_s=0)
def _(scene: Scene, stage: str) -> None:
    if stage == "resume":
        scene.await_measuring(0)
    blobs = [path for path in (scene.board.edgebench_home / "blobs").iterdir() if len(path.name) == 64]
    blob = scene.rng.choice(sorted(blobs))
    with blob.open("r+b") as file:
        at = scene.rng.randrange(blob.stat().st_size)
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << scene.rng.randrange(8)]))
    scene.damaged.append(blob)
    scene.note_strike(f"a bit of byte {at} of {blob.name[:8]}")


@fault("journal torn", stages=("run",), bound_s=10)
def _(scene: Scene, stage: str) -> None:
    signal_all(scene.board.processes("supervise", "measure"), signal.SIGKILL)
    id, data = max(scene.board.journals(), key=lambda each: (scene.board.runs / each[0]).stat().st_mtime)
    scene.torn[id] = data
    left = scene.rng.randrange(len(data) // 2, len(data) + 1)
    with (scene.board.runs / id / "journal.ndjson").open("r+b") as file:
        file.truncate(left)
        if scene.rng.random() < 0.5:
            file.seek(0, os.SEEK_END)
            file.write(scene.rng.choice([bytes(300), b'{"seq":9999,"t_n', scene.rng.randbytes(80)]))
    scene.note_strike(f"{len(data) - left} of {len(data)} bytes")


# --- hosts and runtimes -------------------------------------------------------------------------------------------


@fault("another edgebench on the board", stages=STAGES, bound_s=300, needs="other")
def _(scene: Scene, stage: str) -> None:
    from tests.faults.trial import complete

    assert scene.other is not None
    scene.pause(0, 1.0)
    scene.note_strike("with another agent")
    scene.other_ended += complete(scene.other, scene.model, bound_s=600)


def _of_runtime(name: str) -> Does:
    def does(scene: Scene, stage: str) -> None:
        assert scene.python is not None
        scene.python.arm(name)
        scene.wait(lambda: scene.python is not None and not scene.python.is_armed(name))
        scene.note_strike("at an inference")

    return does


fault("runtime crashes", stages=("push", "run", "resume"), needs="python")(_of_runtime("runtime-crashes"))
fault("runtime raises", stages=("push", "run", "resume"), needs="python")(_of_runtime("runtime-raises"))
fault("runtime hangs", stages=("run",), bound_s=_HANGING_RUNTIME_S, needs="python", most_later_s=0)(
    _of_runtime("runtime-hangs")
)
fault("runtime prints megabytes", stages=("push", "run", "resume"), needs="python")(_of_runtime("runtime-prints"))
