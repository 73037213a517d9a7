"""The client's side: cells go to a scheduler as tasks, results come back; failures that may pass are tried again."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgebench import ending
from edgebench._version import __version__
from edgebench.benches.bench import run_cell
from edgebench.benches.offers import (
    Offer,
    board_resource,
    offered_boards,
    other_versions,
    read_offers,
    version_resource,
)
from edgebench.benches.scheduler import Scheduler, import_distributed
from edgebench.benches.task import DONE, INTERRUPTED, CellResult, CellTask, error_of, read_result
from edgebench.errors import BoardError, ConnectionFailed, ConnectionLost, DeviceError, EdgebenchError
from edgebench.events import LogMessage, OnEvent, ignore
from edgebench.request import WAIT_S
from edgebench.text import counted, duration_text, printable

if TYPE_CHECKING:
    from distributed import Client, Future

_CONNECT_S = 10.0
_POLL_S = 0.1
_LOOK_AT_BENCHES_S = 2.0
#: How often a cell is tried again after a failure that may pass, and how long after it.
_RETRIES, _RETRY_AFTER_S = 2, 5.0
#: How long cancelled sessions may take to give their boards back.
_RELEASE_S = 11.0


@dataclass(slots=True, kw_only=True)
class CellOutcome:
    """How a cell ended: `result` of the bench, or the error."""

    task: CellTask
    result: CellResult | None = None
    error: BaseException | None = None


@dataclass(slots=True, kw_only=True)
class _Pending:
    """A cell that is not measured yet. `key`: of its task; `again_s`: when it is submitted again, None: it is."""

    task: CellTask
    future: Future | None = None
    key: str = ""
    failures: int = 0
    tries: int = 0
    again_s: float | None = 0.0


@dataclass(slots=True, kw_only=True)
class BenchClient:
    """A connection to a scheduler."""

    scheduler: Scheduler
    client: Client
    on_event: OnEvent = ignore
    _warned: set[str] = field(default_factory=set)

    def offers(self) -> list[Offer]:
        """Return what benches offer now; benches of another version are reported, once each.

        Raises:
            ConnectionLost: the scheduler went away.
        """
        try:
            workers = self.client.sync(self.client.scheduler.identity, n_workers=-1)["workers"]
        except Exception as error:
            raise self._gone() from error
        found = read_offers(workers)
        for line in other_versions(found):
            if line not in self._warned:
                self._warned.add(line)
                self.on_event(LogMessage(line))
        return found

    def _gone(self) -> ConnectionLost:
        return ConnectionLost(
            f"the scheduler {self.scheduler.dask_address} went away",
            hint="what was measured is kept; run the study again when the scheduler is back",
        )

    def run_cells(
        self,
        tasks: Sequence[CellTask],
        *,
        bench_wait_s: float = WAIT_S,
        on_done: Callable[[CellOutcome], None] = lambda _: None,
    ) -> list[CellOutcome]:
        """Have cells measured; return how each ended, in the order of the tasks. An error ends no other cell.

        Args:
            bench_wait_s: how long a board may be offered by no bench before its cells are given up, seconds.
            on_done: called with each outcome as it comes.

        Raises:
            ConnectionLost: the scheduler went away. What was measured is in the store.
            KeyboardInterrupt: the tasks were cancelled, and their boards given back.
        """
        return _Follower(self, tasks, bench_wait_s, on_done).run()


@contextmanager
def connect_benches(scheduler: Scheduler, *, on_event: OnEvent = ignore) -> Iterator[BenchClient]:
    """Connect to a scheduler.

    Raises:
        ConnectionFailed: it can't be reached.
        ConfigError: its certificates can't be used.
        MissingExtra: dask.distributed is not installed.
    """
    import_distributed()
    from distributed import Client

    security = scheduler.security()
    try:
        client = Client(
            scheduler.dask_address, security=security, timeout=_CONNECT_S, set_as_default=False, name="edgebench"
        )
    except (OSError, TimeoutError, ValueError, RuntimeError, TypeError) as error:
        reason = printable(" ".join(str(error).split()) or type(error).__name__, 200)
        raise ConnectionFailed(
            f"can't reach the scheduler {scheduler.dask_address}: {reason}",
            hint="start one there: dask scheduler; or measure from this machine with `executor='local'`",
        ) from error
    try:
        yield BenchClient(scheduler=scheduler, client=client, on_event=on_event)
    finally:
        with suppress(Exception):
            client.close(timeout=2)


class _Follower:
    """Submits cells, and follows them to their end."""

    def __init__(
        self,
        benches: BenchClient,
        tasks: Sequence[CellTask],
        bench_wait_s: float,
        on_done: Callable[[CellOutcome], None],
    ) -> None:
        self._benches = benches
        self._client = benches.client
        self._outcomes = [CellOutcome(task=task) for task in tasks]
        self._pending = {at: _Pending(task=task) for at, task in enumerate(tasks)}
        self._bench_wait_s = bench_wait_s
        self._on_done = on_done
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._running: set[str] = set()
        self._tasks: dict[str, CellTask] = {}
        self._unoffered_since: dict[str, float] = {}
        self._looked_s = time.monotonic()

    def run(self) -> list[CellOutcome]:
        topics = {outcome.task.topic for outcome in self._outcomes}
        try:
            for topic in topics:
                self._client.subscribe_topic(topic, lambda event: self._events.put(event[1]))
            while self._pending:
                self._submit_due()
                ending.sleep(_POLL_S)
                self._report()
                if self._client.status != "running":
                    raise self._benches._gone()
                self._take_done()
                self._look_at_benches()
            self._report()
        except KeyboardInterrupt:
            ending.begin()
            self._cancel_all()
            raise
        finally:
            for topic in topics:
                with suppress(Exception):
                    self._client.unsubscribe_topic(topic)
        return self._outcomes

    # --- submitting ---------------------------------------------------------------------------------------------

    def _submit_due(self) -> None:
        import dask

        now_s = time.monotonic()
        for each in self._pending.values():
            if each.again_s is None or each.again_s > now_s:
                continue
            # The key of another try is another one: the scheduler may still know how the last one ended.
            each.key = each.task.key + (f" try {each.tries + 1}" if each.tries else "")
            each.tries += 1
            self._tasks[each.key] = each.task
            each.again_s = None
            named = {"study": each.task.study, "device": each.task.device, "session": each.task.session}
            with dask.annotate(**named, workload=each.task.workload):
                each.future = self._client.submit(
                    run_cell,
                    _with_key(each.task, each.key),
                    key=each.key,
                    resources={board_resource(each.task.device): 1, version_resource(__version__): 1},
                )
            if now_s + 1.0 < time.monotonic():
                return  # of a thousand, the first may have ended meanwhile

    # --- results ------------------------------------------------------------------------------------------------

    def _take_done(self) -> None:
        done = [(at, each) for at, each in self._pending.items() if each.future is not None and each.future.done()]
        good = [(at, each) for at, each in done if each.future is not None and each.future.status == "finished"]
        try:
            texts = self._client.gather([each.future for _, each in good], errors="raise") if good else []
        except Exception:  # noqa: BLE001 - a worker was lost with results that it held: dask computes them again
            return
        for (at, each), text in zip(good, texts, strict=True):
            try:
                self._judge(at, each, read_result(text))
            except EdgebenchError as error:
                self._end(at, error=error)
        for at, each in done:
            if at in self._pending and each.future is not None and each.future.status in ("error", "cancelled", "lost"):
                self._judge_failed_task(at, each)

    def _judge(self, at: int, each: _Pending, result: CellResult) -> None:
        if result.state == DONE:
            self._end(at, result=result)
        elif result.state == INTERRUPTED:
            self._again(each, f"bench {result.bench} was stopped")
        else:
            error = error_of(result, each.task.device)
            each.failures += 1
            if result.is_passing and each.failures <= _RETRIES:
                self._again(each, str(error))
            else:
                self._end(at, result=result, error=error)

    def _judge_failed_task(self, at: int, each: _Pending) -> None:
        assert each.future is not None  # noqa: S101 - only submitted tasks fail
        if each.future.status != "error":
            if self._client.status != "running":
                raise self._benches._gone()
            self._again(each, "its task was cancelled by somebody else")
            return
        error = each.future.exception()
        self._end(at, error=_translated(error, each.task, self._benches.scheduler))

    def _again(self, each: _Pending, why: str) -> None:
        each.future = None
        each.again_s = time.monotonic() + _RETRY_AFTER_S
        self._running.discard(each.key)
        self._log(f"{each.task.device}, {each.task.workload}: {why}; trying again in {duration_text(_RETRY_AFTER_S)}")

    def _end(self, at: int, *, result: CellResult | None = None, error: BaseException | None = None) -> None:
        outcome = self._outcomes[at]
        outcome.result, outcome.error = result, error
        each = self._pending.pop(at)
        self._running.discard(each.key)
        each.future = None
        self._on_done(outcome)

    # --- benches ------------------------------------------------------------------------------------------------

    def _look_at_benches(self) -> None:
        """Report boards that no bench offers any more; give up their cells after a while."""
        now_s = time.monotonic()
        if now_s < self._looked_s + _LOOK_AT_BENCHES_S or not self._pending:
            return
        self._looked_s = now_s
        offered = offered_boards(self._benches.offers())
        waiting = {each.task.device for each in self._pending.values()}
        for device in sorted(waiting):
            if device in offered:
                if self._unoffered_since.pop(device, None) is not None:
                    self._log(f"{device}: a bench offers it again")
                continue
            since_s = self._unoffered_since.setdefault(device, now_s)
            if since_s == now_s:
                left = duration_text(self._bench_wait_s)
                self._log(f"{device}: no bench offers it any more; waiting for at most {left}")
            if now_s - since_s >= self._bench_wait_s:
                self._give_up(device, sorted(offered))

    def _give_up(self, device: str, offered: Sequence[str]) -> None:
        known = f"offered: {', '.join(offered[:12])}" if offered else "no bench is left"
        error = BoardError(
            f"{device}: no bench has offered it for {duration_text(self._bench_wait_s)}; {known}",
            hint="start its bench again (edgebench bench start), and run the study again: it goes on",
        )
        mine = [(at, each) for at, each in self._pending.items() if each.task.device == device]
        with suppress(Exception):
            self._client.cancel([each.future for _, each in mine if each.future is not None])
        for at, _ in mine:
            self._end(at, error=error)

    # --- events -------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        while not self._events.empty():
            event = _read_event(self._events.get())
            key, kind = event.get("key"), event.get("kind")
            task = self._tasks.get(str(key))
            if kind == "began" and isinstance(key, str):
                self._running.add(key)
            elif kind == "ended" and isinstance(key, str):
                self._running.discard(key)
            if task is not None and (line := _words(event, task)):
                self._log(line)

    def _log(self, text: str) -> None:
        self._benches.on_event(LogMessage(text))

    # --- the end ------------------------------------------------------------------------------------------------

    def _cancel_all(self) -> None:
        """Cancel what is pending, and wait until the sessions that were in progress have given their boards back."""
        futures = [each.future for each in self._pending.values() if each.future is not None]
        with suppress(Exception):
            self._client.cancel(futures)
        until_s = time.monotonic() + ending.left_s(_RELEASE_S)
        if self._running:
            self._log(f"cancelled; waiting for {counted(len(self._running), 'session')} to give boards back")
        while self._running and time.monotonic() < until_s and self._client.status == "running":
            time.sleep(_POLL_S)
            while not self._events.empty():
                event = _read_event(self._events.get())
                if event.get("kind") == "ended":
                    self._running.discard(str(event.get("key")))


def _with_key(task: CellTask, key: str) -> str:
    from dataclasses import replace

    return replace(task, key=key).to_text()


def _read_event(text: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _words(event: Mapping[str, Any], task: CellTask) -> str | None:
    """Return an event as one line; None: it is not shown."""
    where = f"{task.device}, {task.workload} (bench {printable(event.get('bench'), 100)})"
    match event.get("kind"):
        case "began":
            return f"{where}: measuring"
        case "log":
            return f"{where}: {printable(event.get('text'), 1000)}"
        case "run" if not event.get("valid"):
            return f"{where}: a run that is not valid: {printable(event.get('text'), 300)}"
        case _:
            return None


def _translated(error: BaseException | None, task: CellTask, scheduler: Scheduler) -> EdgebenchError:
    """Return an error of dask in edgebench's words."""
    kind, text = type(error).__name__, printable(" ".join(str(error).split()), 300)
    if kind == "KilledWorker":
        return DeviceError(
            f"{task.device}, {task.workload}: benches died again and again while they measured it",
            hint="their output says why",
        )
    if "deserialization of the task graph" in text:
        return DeviceError(
            f"the scheduler {scheduler.dask_address} can't import edgebench {__version__}",
            hint="start it where the same edgebench[dask] is installed: dask scheduler",
        )
    return DeviceError(f"{task.device}, {task.workload}: the task failed: {kind}: {text}")
