"""Reads the sensors without waiting for any of them: a file or a command may block.

One thread reads files, another runs commands, which take longer. A sensor that does not return, or fails repeatedly, is
left out from then on, with a note; a thread that hangs in a sensor is abandoned and replaced.
"""

import os
import select
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ...protocol.wire import MAX_INT, one_line
from . import BOARD_SENSORS, SENSORS, Reader, Row, process

_HANGS_AFTER_NS = 5_000_000_000
_FAILS_FOR_NS = 5_000_000_000
_BORDER_WAIT_NS = 1_000_000_000
#: More values than any board has; the host accepts 256 in a run.
_MAX_NAMES = 224

Values = Dict[str, Optional[int]]


class _Sensor:
    """The state of one row; only the thread finds and calls `reader`."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.reader: Optional[Reader] = None
        self.is_sought = False
        self.due_ns = 0
        self.is_requested = False
        self.began_ns = 0  # of the reading in progress; 0: none is
        self.last_answer_ns: Optional[int] = None


class _Answer(NamedTuple):
    sensor: _Sensor
    values: Values
    error: Optional[str]


class _Thread:
    """Reads the sensors of the queue `jobs`, in order; None ends it."""

    def __init__(self, root: Path, pid: int, jobs: Any, answers: Deque[_Answer], wake: Any) -> None:
        self.jobs = jobs
        self._root, self._pid, self._answers, self._wake = root, pid, answers, wake
        self._is_abandoned = False
        self.current: Optional[_Sensor] = None
        threading.Thread(target=self._work, daemon=True).start()

    def abandon(self) -> None:
        """End once the current reading returns, if ever; its answer is dropped."""
        self._is_abandoned = True

    def _work(self) -> None:
        while not self._is_abandoned:
            sensor = self.jobs.get()
            if sensor is None:
                return
            sensor.began_ns = time.monotonic_ns()
            self.current = sensor
            answer = self._read(sensor)
            if self._is_abandoned:
                return
            self.current = None
            sensor.began_ns = 0
            self._answers.append(answer)
            try:
                self._wake.write(b".")
            except (OSError, ValueError):
                return  # the set was closed

    def _read(self, sensor: _Sensor) -> _Answer:
        try:
            if not sensor.is_sought:
                sensor.is_sought = True
                sensor.reader = sensor.row.find(self._root, self._pid)
            return _Answer(sensor, sensor.reader() if sensor.reader is not None else {}, None)
        except Exception as error:  # noqa: BLE001 - a sensor that is broken must not end a measurement
            return _Answer(sensor, {}, one_line(repr(error), 200))


class SensorSet:
    """The sensors of this board, for the worker `pid`.

    `fileno()` becomes readable when there is something to `collect`.
    """

    def __init__(self, pid: int, root: Path = Path("/"), rows: Sequence[Row] = SENSORS) -> None:
        self._root, self._pid = root, pid
        self._border = process.find_border(root, pid)
        self._rss = process.find(root, pid)
        self._sensors = [_Sensor(row) for row in rows]
        self._answers: Deque[_Answer] = deque()
        self._readable, wake = os.pipe()
        os.set_blocking(self._readable, False)
        self._wake = os.fdopen(wake, "wb", 0)
        self._threads = {is_command: self._new_thread(SimpleQueue()) for is_command in (False, True)}
        self._names: Dict[str, bool] = {}
        self._notes: List[str] = []

    def _new_thread(self, jobs: Any) -> _Thread:
        return _Thread(self._root, self._pid, jobs, self._answers, self._wake)

    def close(self) -> None:
        """Stop reading; a thread that hangs in a sensor is abandoned."""
        for thread in self._threads.values():
            thread.abandon()
            thread.jobs.put(None)
        self._wake.close()
        os.close(self._readable)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._readable

    def due_ns(self) -> int:
        """Return when the next sensor is to be read, on the monotonic clock."""
        return min((sensor.due_ns for sensor in self._sensors if not sensor.is_requested), default=MAX_INT)

    def request_due(self, now_ns: int) -> None:
        """Request readings of the sensors that are due; return at once."""
        for sensor in self._sensors:
            if now_ns >= sensor.due_ns and not sensor.is_requested:
                self._request(sensor, now_ns)

    def _request(self, sensor: _Sensor, now_ns: int) -> None:
        sensor.is_requested = True
        sensor.due_ns = now_ns + sensor.row.every_ns
        self._threads[sensor.row.is_command].jobs.put(sensor)

    def collect(self) -> Tuple[List[Values], List[str]]:
        """Return the readings since the last call, a table each, and notes for a person."""
        with suppress(BlockingIOError):
            os.read(self._readable, 4096)
        now = time.monotonic_ns()
        readings = []
        while self._answers:
            answer = self._answers.popleft()
            values = self._accept(answer, now)
            if values:
                readings.append(values)
        self._abandon_hanging(now)
        notes, self._notes = self._notes, []
        return readings, notes

    def read_border(self) -> Values:
        """Read everything between two phases, including what would disturb a running worker; takes a second at most."""
        values = {**(self._rss() if self._rss is not None else {}), **self._border()}
        deadline = time.monotonic_ns() + _BORDER_WAIT_NS
        for sensor in self._sensors:
            if not sensor.is_requested:
                self._request(sensor, time.monotonic_ns())
        while any(sensor.is_requested for sensor in self._sensors) and time.monotonic_ns() < deadline:
            select.select([self._readable], [], [], max(0.0, (deadline - time.monotonic_ns()) / 1e9))
            readings, notes = self.collect()
            self._notes = notes  # returned by the next collect()
            for reading in readings:
                values.update(reading)
        return values

    def _accept(self, answer: _Answer, now_ns: int) -> Values:
        """Return the valid values of an answer; leave the sensor out if it has failed for long."""
        sensor = answer.sensor
        if sensor not in self._sensors:
            return {}
        sensor.is_requested = False
        if answer.error is None and sensor.reader is None:
            self._sensors.remove(sensor)  # the board lacks it
            return {}
        is_failing = answer.error is not None or (answer.values and all(v is None for v in answer.values.values()))
        if sensor.last_answer_ns is None or not is_failing:
            sensor.last_answer_ns = now_ns
        elif now_ns - sensor.last_answer_ns > _FAILS_FOR_NS:
            self._leave_out(sensor, answer.error or "it does not answer any more")
        return {name: value for name, value in answer.values.items() if self._is_valid(name, value)}

    def _is_valid(self, name: str, value: Optional[int]) -> bool:
        if name not in self._names:
            if len(self._names) == _MAX_NAMES:
                self._notes.append(f"more than {_MAX_NAMES} sensor values: {one_line(name, 200)} is left out")
            self._names[name] = len(self._names) < _MAX_NAMES
        return self._names[name] and (value is None or -MAX_INT <= value <= MAX_INT)

    def _abandon_hanging(self, now_ns: int) -> None:
        for is_command, thread in self._threads.items():
            sensor = thread.current
            if sensor is not None and sensor.began_ns and now_ns - sensor.began_ns >= _HANGS_AFTER_NS:
                thread.abandon()
                self._leave_out(sensor, f"reading it takes longer than {_HANGS_AFTER_NS / 1e9:g} s")
                self._threads[is_command] = self._new_thread(thread.jobs)

    def _leave_out(self, sensor: _Sensor, why: str) -> None:
        if sensor in self._sensors:
            self._sensors.remove(sensor)
            self._notes.append(f"sensor {sensor.row.name} is left out from now on: {why}")


def read_board(root: Path = Path("/"), within_s: float = 8.0) -> Dict[str, Dict[str, Any]]:
    """Return `every_ms` and the current `values` of each of the board's sensors, by the sensor's name.

    It takes `within_s` at most; a sensor that has not answered by then is left out, as an absent one is.
    """
    found: Dict[str, Dict[str, Any]] = {}
    names = 0
    sensors = [_Sensor(row) for row in BOARD_SENSORS]
    answers: Deque[_Answer] = deque()
    jobs: Any = SimpleQueue()
    readable, wake = os.pipe()
    wake_file = os.fdopen(wake, "wb", 0)
    threads = [_Thread(root, 0, jobs, answers, wake_file) for _ in sensors]  # one each, so that none waits for another
    for sensor in sensors:
        jobs.put(sensor)
    deadline = time.monotonic() + within_s
    left = len(sensors)
    while left and time.monotonic() < deadline:
        if select.select([readable], [], [], max(0.0, deadline - time.monotonic()))[0]:
            os.read(readable, 1)
            left -= 1
            answer = answers.popleft()
            names += len(answer.values)
            if answer.sensor.reader is not None and answer.error is None and names <= _MAX_NAMES:
                row = answer.sensor.row
                found[row.name] = {"every_ms": row.every_ns // 1_000_000, "values": answer.values}
    for thread in threads:
        thread.abandon()
        jobs.put(None)
    os.close(readable)
    return found
