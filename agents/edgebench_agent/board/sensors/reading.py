"""Reading the sensors of SENSORS in turn, without waiting for any: a file or a command may block.

They are read in threads: one for files, one for commands, which take longer. A sensor that doesn't come back, or goes
on giving no answer, is left out from then on, with a note; the thread that hangs in it is left behind, and another one
goes on.
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
#: More values than any board needs; the host takes 256 of a run.
_MOST_NAMES = 224

Values = Dict[str, Optional[int]]


class _Sensor:
    """One row's state; `reader` is found, and read, by the thread alone."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.reader: Optional[Reader] = None
        self.sought = False
        self.due_ns = 0
        self.is_asked = False
        self.began_ns = 0  # of the reading that goes on; 0: none does
        self.last_answer_ns: Optional[int] = None


class _Answer(NamedTuple):
    sensor: _Sensor
    values: Values
    error: Optional[str]


class _Thread:
    """Reads what it is asked to, in order: `jobs` is a queue of sensors, ended by None."""

    def __init__(self, root: Path, pid: int, jobs: Any, answers: Deque[_Answer], wake: Any) -> None:
        self.jobs = jobs
        self._root, self._pid, self._answers, self._wake = root, pid, answers, wake
        self._is_left = False
        self.now: Optional[_Sensor] = None
        threading.Thread(target=self._work, daemon=True).start()

    def leave(self) -> None:
        """End once the reading that hangs is over, if ever; what it says is not heard any more."""
        self._is_left = True

    def _work(self) -> None:
        while not self._is_left:
            sensor = self.jobs.get()
            if sensor is None:
                return
            sensor.began_ns = time.monotonic_ns()
            self.now = sensor
            answer = self._read(sensor)
            if self._is_left:
                return
            self.now = None
            sensor.began_ns = 0
            self._answers.append(answer)
            try:
                self._wake.write(b".")
            except (OSError, ValueError):
                return  # nobody listens any more

    def _read(self, sensor: _Sensor) -> _Answer:
        try:
            if not sensor.sought:
                sensor.sought = True
                sensor.reader = sensor.row.find(self._root, self._pid)
            return _Answer(sensor, sensor.reader() if sensor.reader is not None else {}, None)
        except Exception as error:  # noqa: BLE001 - a sensor that is broken must not end a measurement
            return _Answer(sensor, {}, one_line(repr(error), 200))


class SensorSet:
    """The sensors that this board has, for the measuring process `pid`.

    `fileno()` becomes readable when there is something to `take`.
    """

    def __init__(self, pid: int, root: Path = Path("/"), rows: Sequence[Row] = SENSORS) -> None:
        self._root, self._pid = root, pid
        self._border = process.find_border(root, pid)
        self._rss = process.find(root, pid)
        self._sensors = [_Sensor(row) for row in rows]
        self._answers: Deque[_Answer] = deque()
        self._heard, wake = os.pipe()
        os.set_blocking(self._heard, False)
        self._wake = os.fdopen(wake, "wb", 0)
        self._threads = {is_command: self._new_thread(SimpleQueue()) for is_command in (False, True)}
        self._names: Dict[str, bool] = {}
        self._notes: List[str] = []

    def _new_thread(self, jobs: Any) -> _Thread:
        return _Thread(self._root, self._pid, jobs, self._answers, self._wake)

    def close(self) -> None:
        """End the reading; a reading that hangs is left behind."""
        for thread in self._threads.values():
            thread.leave()
            thread.jobs.put(None)
        self._wake.close()
        os.close(self._heard)

    def fileno(self) -> int:
        """Return the descriptor to wait at."""
        return self._heard

    def due_ns(self) -> int:
        """Return when the next sensor is to be read, on the monotonic clock."""
        return min((sensor.due_ns for sensor in self._sensors if not sensor.is_asked), default=MAX_INT)

    def ask_due(self, now_ns: int) -> None:
        """Have the sensors read whose time has come; return at once."""
        for sensor in self._sensors:
            if now_ns >= sensor.due_ns and not sensor.is_asked:
                self._ask(sensor, now_ns)

    def _ask(self, sensor: _Sensor, now_ns: int) -> None:
        sensor.is_asked = True
        sensor.due_ns = now_ns + sensor.row.every_ns
        self._threads[sensor.row.is_command].jobs.put(sensor)

    def take(self) -> Tuple[List[Values], List[str]]:
        """Return what the sensors have said since, a table for each reading, and notes for a person."""
        with suppress(BlockingIOError):
            os.read(self._heard, 4096)
        now = time.monotonic_ns()
        readings = []
        while self._answers:
            answer = self._answers.popleft()
            values = self._judge(answer, now)
            if values:
                readings.append(values)
        self._leave_what_hangs(now)
        notes, self._notes = self._notes, []
        return readings, notes

    def read_border(self) -> Values:
        """Read everything, also what would disturb a measuring process that isn't waiting; a second at most."""
        values = {**(self._rss() if self._rss is not None else {}), **self._border()}
        deadline = time.monotonic_ns() + _BORDER_WAIT_NS
        for sensor in self._sensors:
            if not sensor.is_asked:
                self._ask(sensor, time.monotonic_ns())
        while any(sensor.is_asked for sensor in self._sensors) and time.monotonic_ns() < deadline:
            select.select([self._heard], [], [], max(0.0, (deadline - time.monotonic_ns()) / 1e9))
            readings, notes = self.take()
            self._notes = notes  # told with the next readings
            for reading in readings:
                values.update(reading)
        return values

    def _judge(self, answer: _Answer, now_ns: int) -> Values:
        """Return what counts of an answer; the sensor goes where there is none for long."""
        sensor = answer.sensor
        if sensor not in self._sensors:
            return {}
        sensor.is_asked = False
        if answer.error is None and sensor.reader is None:
            self._sensors.remove(sensor)  # the board lacks it
            return {}
        is_failing = answer.error is not None or (answer.values and all(v is None for v in answer.values.values()))
        if sensor.last_answer_ns is None or not is_failing:
            sensor.last_answer_ns = now_ns
        elif now_ns - sensor.last_answer_ns > _FAILS_FOR_NS:
            self._leave_out(sensor, answer.error or "it gives no answer any more")
        return {name: value for name, value in answer.values.items() if self._counts(name, value)}

    def _counts(self, name: str, value: Optional[int]) -> bool:
        if name not in self._names:
            if len(self._names) == _MOST_NAMES:
                self._notes.append(f"more than {_MOST_NAMES} sensor values: {one_line(name, 200)} is left out")
            self._names[name] = len(self._names) < _MOST_NAMES
        return self._names[name] and (value is None or -MAX_INT <= value <= MAX_INT)

    def _leave_what_hangs(self, now_ns: int) -> None:
        for is_command, thread in self._threads.items():
            sensor = thread.now
            if sensor is not None and sensor.began_ns and now_ns - sensor.began_ns >= _HANGS_AFTER_NS:
                thread.leave()
                self._leave_out(sensor, f"reading it takes longer than {_HANGS_AFTER_NS / 1e9:g} s")
                self._threads[is_command] = self._new_thread(thread.jobs)

    def _leave_out(self, sensor: _Sensor, why: str) -> None:
        if sensor in self._sensors:
            self._sensors.remove(sensor)
            self._notes.append(f"sensor {sensor.row.name} is left out from now on: {why}")


def read_board(root: Path = Path("/"), within_s: float = 8.0) -> Dict[str, Dict[str, Any]]:
    """Return what each of the board's sensors says now, by the sensor's name: `every_ms`, `values`; absent ones not.

    It takes `within_s` at most; a sensor that has not answered by then counts as absent.
    """
    found: Dict[str, Dict[str, Any]] = {}
    names = 0
    sensors = [_Sensor(row) for row in BOARD_SENSORS]
    answers: Deque[_Answer] = deque()
    jobs: Any = SimpleQueue()
    heard, wake = os.pipe()
    told = os.fdopen(wake, "wb", 0)
    threads = [_Thread(root, 0, jobs, answers, told) for _ in sensors]  # none waits for another
    for sensor in sensors:
        jobs.put(sensor)
    deadline = time.monotonic() + within_s
    left = len(sensors)
    while left and time.monotonic() < deadline:
        if select.select([heard], [], [], max(0.0, deadline - time.monotonic()))[0]:
            os.read(heard, 1)
            left -= 1
            answer = answers.popleft()
            names += len(answer.values)
            if answer.sensor.reader is not None and answer.error is None and names <= _MOST_NAMES:
                row = answer.sensor.row
                found[row.name] = {"every_ms": row.every_ns // 1_000_000, "values": answer.values}
    for thread in threads:
        thread.leave()
        jobs.put(None)
    os.close(heard)
    return found
