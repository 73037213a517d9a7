"""Power sensors that Linux supports on any board: monitor chips (hwmon), the processor's counters (RAPL), a battery.

Since CVE-2020-8694, only root may read RAPL's counters; for other users, the sensor is absent. An energy counter is
reported as the mean power since the last reading.
https://www.kernel.org/doc/html/latest/hwmon/sysfs-interface.html,
https://www.kernel.org/doc/html/latest/power/powercap/powercap.html
"""

import re
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

from ..kernel_files import read_int, read_text

Reader = Callable[[], Dict[str, Optional[int]]]


def find_hwmon(root: Path, _: int) -> Optional[Reader]:
    """Return the reader of all power monitors: `power_uw/hwmon/CHIP-CHANNEL`."""
    powers: Dict[str, Path] = {}
    counters: List[_Counter] = []
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        chip = _name(folder / "name") or folder.name
        for path in sorted(folder.glob("power*_input")) + sorted(folder.glob("energy*_input")):
            channel = path.name.rpartition("_")[0]
            name = f"power_uw/hwmon/{chip}-{_name(folder / f'{channel}_label') or channel}"
            if read_int(path) is None or name in powers:
                continue
            if channel.startswith("power"):
                powers[name] = path
            else:
                counters.append(_Counter(name, path, None))
    if not powers and not counters:
        return None
    return lambda: {**{name: read_int(path) for name, path in powers.items()}, **_mean_powers(counters)}


def find_rapl(root: Path, _: int) -> Optional[Reader]:
    """Return the reader of the processor's packages (not of their parts): `power_uw/rapl/NAME`."""
    zones = sorted((root / "sys/class/powercap").glob("*:*"))
    packages = [zone for zone in zones if re.fullmatch(r"[a-z-]+:\d+", zone.name)]
    counters = [
        _Counter(
            f"power_uw/rapl/{_name(zone / 'name') or zone.name}",
            zone / "energy_uj",
            read_int(zone / "max_energy_range_uj"),
        )
        for zone in packages
        if read_int(zone / "energy_uj") is not None
    ]
    return (lambda: _mean_powers(counters)) if counters else None


def find_battery(root: Path, _: int) -> Optional[Reader]:
    """Return the reader of the batteries: `power_uw/battery/NAME`, only while they feed the machine."""
    folders = [
        folder
        for folder in sorted((root / "sys/class/power_supply").glob("*"))
        if read_text(folder / "type") == "Battery" and _battery_uw(folder) is not None
    ]
    if not folders:
        return None

    def read() -> Dict[str, Optional[int]]:
        feeding = [folder for folder in folders if read_text(folder / "status") == "Discharging"]
        return {f"power_uw/battery/{folder.name}": _battery_uw(folder) for folder in feeding}

    return read


def _battery_uw(folder: Path) -> Optional[int]:
    power = read_int(folder / "power_now")
    if power is not None:
        return abs(power)  # some drivers report the outflow as negative
    volts, amperes = read_int(folder / "voltage_now"), read_int(folder / "current_now")
    return None if volts is None or amperes is None else abs(volts * amperes) // 1_000_000


class _Counter:
    """An energy counter in microjoules, which restarts from zero after `wraps_at`."""

    def __init__(self, name: str, path: Path, wraps_at: Optional[int]) -> None:
        self.name = name
        self._path = path
        self._wraps_at = wraps_at
        self._before = self._now()

    def _now(self) -> Tuple[int, Optional[int]]:
        return time.monotonic_ns(), read_int(self._path)

    def mean_power_uw(self) -> Optional[int]:
        """Return the mean power since the last call; None: no answer, or it wrapped at an unknown value."""
        (then_ns, then), (now_ns, now) = self._before, self._now()
        self._before = now_ns, now
        if then is None or now is None or now_ns <= then_ns:
            return None
        used = now - then
        if used < 0:
            if self._wraps_at is None:
                return None
            used += self._wraps_at
        return round(used * 1e9 / (now_ns - then_ns))


def _mean_powers(counters: List[_Counter]) -> Dict[str, Optional[int]]:
    return {counter.name: counter.mean_power_uw() for counter in counters}


def _name(path: Path) -> str:
    return (read_text(path, limit=64) or "").replace("/", "_")
