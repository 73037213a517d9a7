"""The Raspberry Pi 5's power chip: the power of each of its rails, and the input voltage.

The rails do not include USB and HAT devices, nor the losses of the converters. Compared with a USB meter, the sum is
some 12 % and 0.6 W too low: https://github.com/jfikar/RPi5-power
"""

import re
from pathlib import Path
from typing import Callable, Dict, Optional

from .raspberry_pi import query

_LINE = re.compile(r"\s*([A-Z0-9_]{1,32})_([AV]) (?:current|volt)\(\d+\)=(\d{1,3}\.\d{1,8})[AV]\s*")


def find(root: Path, _: int) -> Optional[Callable[[], Dict[str, Optional[int]]]]:
    """Return the reader of all rails: `power_uw/pmic/RAIL`, and `voltage_uv/EXT5V`."""
    if _read(root) is None:
        return None
    return lambda: _read(root) or {"voltage_uv/EXT5V": None}


def _read(root: Path) -> Optional[Dict[str, Optional[int]]]:
    """Return the power of each rail that reports both current and voltage; None: there is no rail."""
    reported: Dict[str, Dict[str, float]] = {"A": {}, "V": {}}
    for line in (query(root, "pmic_read_adc") or "").splitlines():
        found = _LINE.fullmatch(line)
        if found:
            rail, unit, value = found.groups()
            reported[unit][rail] = float(value)
    amperes, volts = reported["A"], reported["V"]
    values: Dict[str, Optional[int]] = {
        f"power_uw/pmic/{rail}": round(1e6 * amperes[rail] * volts[rail]) for rail in amperes if rail in volts
    }
    if not values:
        return None
    if "EXT5V" in volts:
        values["voltage_uv/EXT5V"] = round(1e6 * volts["EXT5V"])
    return values
