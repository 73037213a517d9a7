"""Sensors: what the supervisor reads while the measuring process works.

One file each, with a function that looks for the sensor and returns its reader; one row each in SENSORS.
"""

from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

from ..wire import MAX_INT
from . import cpufreq, load, process, raspberry_pi, thermal

#: Reads a sensor: values by name, in the units that the names say; None for one that gives no answer.
Reader = Callable[[], Dict[str, Optional[int]]]


class Row(NamedTuple):
    """One sensor: looks below `root` for what it needs (None: the board lacks it); read every `every_ns`."""

    find: Callable[[Path, int], Optional[Reader]]
    every_ns: int


SENSORS = (
    Row(process.find, 100_000_000),
    Row(thermal.find, 500_000_000),
    Row(cpufreq.find, 500_000_000),
    Row(load.find, 1_000_000_000),
    Row(raspberry_pi.find, 1_000_000_000),
)


class SensorSet:
    """The sensors that this board has, for the measuring process `pid`."""

    def __init__(self, pid: int, root: Path = Path("/")) -> None:
        self._border = process.find_border(root, pid)
        found = [(row.find(root, pid), row.every_ns) for row in SENSORS]
        self._readers: List[Reader] = [reader for reader, _ in found if reader is not None]
        self._every_ns = [every_ns for reader, every_ns in found if reader is not None]
        self._due_ns = [0] * len(self._readers)

    def due_ns(self) -> int:
        """Return when the next sensor is to be read, on the monotonic clock."""
        return min(self._due_ns, default=MAX_INT)

    def read_due(self, now_ns: int) -> Dict[str, Optional[int]]:
        """Read the sensors whose time has come."""
        values: Dict[str, Optional[int]] = {}
        for position, reader in enumerate(self._readers):
            if now_ns >= self._due_ns[position]:
                self._due_ns[position] = now_ns + self._every_ns[position]
                values.update(reader())
        return values

    def read_border(self) -> Dict[str, Optional[int]]:
        """Read everything, also what would disturb a measuring process that isn't waiting."""
        values: Dict[str, Optional[int]] = {}
        for reader in self._readers:
            values.update(reader())
        values.update(self._border())
        return values
