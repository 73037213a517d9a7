"""A bench: a dask worker with one slot a board. It runs one function, and finds devices in its own settings."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from edgebench import ending
from edgebench._version import __version__
from edgebench.benches.offers import OFFER, board_resource, version_resource
from edgebench.benches.process import measure_in_process
from edgebench.benches.scheduler import Scheduler, import_distributed
from edgebench.benches.task import FAILED, INTERRUPTED, CellResult, CellTask, failed, read_task
from edgebench.device import Device, configured_devices, find_device, looked_in
from edgebench.errors import ConfigError, ConnectionFailed, EdgebenchError, StoreError
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.text import counted, printable

if TYPE_CHECKING:
    from distributed import Worker

Report = Callable[[Mapping[str, Any]], None]
#: How long a bench waits for a scheduler, and before it tries again.
_CONNECT_S, _AGAIN_S = 10.0, 5.0


class MeasureCell(Protocol):
    """Measures a cell on a device into the task's store; `report` takes events, `interrupted` ends it."""

    def __call__(
        self, task: CellTask, device: Device, *, bench: str, report: Report, interrupted: threading.Event
    ) -> CellResult: ...


@dataclass(slots=True, kw_only=True)
class Bench:
    """The boards of this host, by name, and how a cell is measured on one.

    `measure`: in a process of its own; tests and benchmarks measure on simulated boards instead.
    """

    name: str
    devices: Mapping[str, Device]
    measure: MeasureCell = measure_in_process
    version: str = __version__
    on_event: OnEvent = ignore
    _running: dict[str, tuple[CellTask, float, threading.Event]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def offer(self) -> dict[str, Any]:
        """Return what the bench says of itself."""
        boards = {name: device.profile.name for name, device in self.devices.items()}
        return {"bench": self.name, "version": self.version, "boards": boards}

    def resources(self) -> dict[str, float]:
        """Return its slots: one a board."""
        boards = {board_resource(name): 1.0 for name in self.devices}
        return boards | {version_resource(self.version): float(len(self.devices))}

    def running(self) -> list[dict[str, Any]]:
        """Return what is measured now."""
        with self._lock:
            return [
                {
                    "device": task.device,
                    "study": task.study,
                    "workload": task.workload,
                    "session": task.session,
                    "began_s": began_s,
                }
                for task, began_s, _ in self._running.values()
            ]

    def interrupt(self, key: str | None = None) -> None:
        """End the session of one task, or all: each gives its board back."""
        with self._lock:
            found = [event for name, (_, _, event) in self._running.items() if key in (None, name)]
        for event in found:
            event.set()

    def is_idle(self) -> bool:
        """Whether nothing is measured."""
        return not self._running

    @contextmanager
    def _noted(self, task: CellTask) -> Iterator[threading.Event]:
        interrupted = threading.Event()
        with self._lock:
            self._running[task.key] = (task, time.time(), interrupted)
        try:
            yield interrupted
        finally:
            with self._lock:
                del self._running[task.key]

    def run(self, text: str, report: Callable[[CellTask, Mapping[str, Any]], None]) -> CellResult:
        """Measure the cell that a text describes; an error of edgebench is in the result."""
        try:
            task = read_task(text)
        except StoreError as error:
            return failed(error, bench=self.name, session="")
        try:
            self._check(task)
            device = self.devices[task.device]
            with self._noted(task) as interrupted:
                report(task, {"kind": "began"})
                self.on_event(LogMessage(f"{task.device}: measures {task.workload} of {task.study}"))
                try:
                    result = self.measure(
                        task,
                        device,
                        bench=self.name,
                        report=lambda event: report(task, event),
                        interrupted=interrupted,
                    )
                finally:
                    report(task, {"kind": "ended"})
            self.on_event(LogMessage(f"{task.device}: {task.workload} of {task.study}: {result.error or result.state}"))
            return result
        except EdgebenchError as error:
            return failed(error, bench=self.name, session=task.session)
        except KeyboardInterrupt:
            return CellResult(state=INTERRUPTED, bench=self.name, session=task.session)
        except Exception as error:  # noqa: BLE001 - dask would pickle it; the client gets a line
            text = f"unexpected {type(error).__name__}: {error}"
            return CellResult(
                state=FAILED, bench=self.name, session=task.session, error=printable(text), kind="DeviceError"
            )

    def _check(self, task: CellTask) -> None:
        if task.version != self.version:
            raise ConfigError(
                f"bench {self.name} has edgebench {self.version}, the study's client {printable(task.version, 50)}",
                hint="install the same version",
            )
        if task.device not in self.devices:
            raise ConfigError(f"bench {self.name} offers no {printable(task.device)!r}: {', '.join(self.devices)}")


#: The bench of this process.
_bench: Bench | None = None


def run_cell(text: str) -> str:
    """Measure the cell that a JSON text describes; return the result as JSON. The one function that dask calls.

    Raises:
        ConfigError: this worker was not started as a bench.
    """
    from distributed import get_worker

    if _bench is None:
        raise ConfigError("this dask worker is no bench; start benches with: edgebench bench start")
    worker = get_worker()

    def report(task: CellTask, event: Mapping[str, Any]) -> None:
        with suppress(Exception):  # a scheduler that is gone ends no session here
            worker.log_event(task.topic, json.dumps({**event, "key": task.key, "bench": _bench.name if _bench else ""}))

    return _bench.run(text, report).to_text()


def boards_of_settings(names: Sequence[str] = ()) -> dict[str, Device]:
    """Return the boards to offer: those named, else all that edgebench.toml names.

    Raises:
        UnknownName, ConfigError: nothing has a name, or there is no board.
    """
    found = {name: find_device(name) for name in dict.fromkeys(names)} if names else configured_devices()
    if not found:
        raise ConfigError(
            f"there is no board to offer; {looked_in()}", hint="add one: edgebench device add NAME --host USER@HOST"
        )
    return found


def start_bench(
    scheduler: Scheduler | str,
    *,
    devices: Sequence[str] = (),
    name: str | None = None,
    listen: str | None = None,
    on_event: OnEvent = ignore,
    bench: Bench | None = None,
) -> None:
    """Offer this host's boards to a scheduler until Ctrl-C; come back to a scheduler that went away.

    Args:
        scheduler: a Scheduler, or its address, such as `tcp://10.0.0.5:8786`.
        devices: names of edgebench.toml, or `local`; default: all boards of edgebench.toml.
        name: what others see; default: this host's name.
        listen: the address of this host on which the bench listens; default: that from which the scheduler is reached.
        on_event: receives progress.
        bench: what to offer instead, for tests.

    Raises:
        ConfigError, UnknownName: a board is unknown, or there is none.
        ConnectionFailed: the scheduler can't be reached at first.
        MissingExtra: dask.distributed is not installed.
        KeyboardInterrupt: the sessions were ended, and their boards given back.
    """
    global _bench
    import_distributed()
    to = Scheduler(address=scheduler) if isinstance(scheduler, str) else scheduler
    offered = bench or Bench(
        name=name or printable(socket.gethostname(), 60), devices=boards_of_settings(devices), on_event=on_event
    )
    _bench = offered
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="bench-loop", daemon=True)
    thread.start()

    def call(coroutine: Any, timeout_s: float) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout_s)

    try:
        _serve(offered, to, listen, call, on_event)
    finally:
        _bench = None
        loop.call_soon_threadsafe(loop.stop)


def _serve(offered: Bench, to: Scheduler, listen: str | None, call: Any, on_event: OnEvent) -> None:
    connected_before = False
    while True:
        try:
            worker = call(_connect(offered, to, listen), _CONNECT_S * 3)
        except Exception as error:
            if isinstance(error, EdgebenchError):
                raise
            text = f"can't reach the scheduler {to.dask_address}: {printable(str(error) or type(error).__name__)}"
            if not connected_before:
                raise ConnectionFailed(text, hint="start one there: dask scheduler") from error
            ending.sleep(_AGAIN_S)
            continue
        connected_before = True
        boards = ", ".join(offered.devices) if len(offered.devices) <= 10 else counted(len(offered.devices), "board")
        on_event(LogMessage(f"bench {offered.name} offers {boards} to {to.dask_address}; Ctrl-C ends it"))
        try:
            while worker.status.name in ("running", "paused"):
                time.sleep(ending.SLICE_S)
        except KeyboardInterrupt:
            ending.begin()
            _end_sessions(offered, on_event)
            with suppress(Exception):
                call(worker.close(timeout=1, executor_wait=False, reason="the bench was stopped"), 3.0)
            raise
        on_event(LogMessage(f"the scheduler {to.dask_address} went away; sessions end, and the bench waits for it"))
        _end_sessions(offered, on_event)
        with suppress(Exception):
            call(worker.close(timeout=1, executor_wait=False), 3.0)


def _end_sessions(offered: Bench, on_event: OnEvent) -> None:
    """End all sessions, and wait until their boards are free, no longer than an ending may take."""
    if not offered.is_idle():
        on_event(LogMessage("ending sessions and giving boards back"))
    offered.interrupt()
    until_s = time.monotonic() + ending.ENDING_S
    while not offered.is_idle() and time.monotonic() < until_s:
        time.sleep(0.05)


async def _connect(offered: Bench, to: Scheduler, listen: str | None) -> Worker:
    from distributed import Worker, WorkerPlugin
    from distributed.utils import get_ip

    class Cancellations(WorkerPlugin):  # type: ignore[misc]  # a class of dask, which has no types
        """Ends the session of a task that the scheduler takes back: its client ended or cancelled it."""

        name = "edgebench"

        def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
            if start == "executing" and finish in ("cancelled", "released", "forgotten", "resumed"):
                offered.interrupt(str(key))

    async def say_offer(_: Any) -> dict[str, Any]:
        return offered.offer()

    worker = Worker(
        to.dask_address,
        nthreads=len(offered.devices),
        name=f"{offered.name} ({', '.join(list(offered.devices)[:8])})",
        resources=offered.resources(),
        security=to.security(),
        host=listen or get_ip(to.host),
        startup_information={OFFER: say_offer},
        metrics={OFFER: lambda _: offered.running()},
        plugins=(Cancellations(),),
        memory_limit=0,
        dashboard=False,
        death_timeout=_CONNECT_S,
        silence_logs=100,
    )
    try:
        await asyncio.wait_for(worker, _CONNECT_S)
    except BaseException:
        with suppress(Exception):
            await worker.close(timeout=1, executor_wait=False)
        raise
    return worker
