"""The Raspberry Pi's firmware, by vcgencmd: throttle flags, voltage; temperature and clock where /sys has none.

Throttle flags: bits 0-3 are now, bits 16-19 the same since boot: 0 under-voltage, 1 clock capped, 2 throttled, 3 soft
temperature limit. Each query starts a command, so there is at most one per second of each kind.
https://www.raspberrypi.com/documentation/computers/os.html#vcgencmd
"""

import re
from pathlib import Path
from typing import Callable, Dict, Optional

from . import cpufreq, thermal
from .command import command_output, find_command

#: These may be missing from the PATH of a shell that is not a login shell.
_PLACES = ("usr/bin/vcgencmd", "opt/vc/bin/vcgencmd")

Reader = Callable[[], Dict[str, Optional[int]]]


def find(root: Path, _: int) -> Optional[Reader]:
    """Return the reader of the throttle flags."""
    if read_throttled(root) is None:
        return None
    return lambda: {"throttled": read_throttled(root)}


def read_throttled(root: Path) -> Optional[int]:
    """Return the flags as they are; None: the board has none, or this user may not query them."""
    found = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})\s*", query(root, "get_throttled") or "")
    return int(found.group(1), 16) if found else None


def find_voltage(root: Path, _: int) -> Optional[Reader]:
    """Return the reader of the core's voltage, microvolts, which limits the clock."""
    if _voltage_uv(root) is None:
        return None
    return lambda: {"voltage_uv/core": _voltage_uv(root)}


def _voltage_uv(root: Path) -> Optional[int]:
    return scaled(r"volt=(\d{1,3}\.\d{1,8})V\s*", query(root, "measure_volts", "core"), 1e6)


def find_temperature(root: Path, _: int) -> Optional[Reader]:
    """Return the reader of the chip's temperature, on a system whose /sys has none."""
    if thermal.thermal_zones(root) or _temperature_mc(root) is None:
        return None
    return lambda: {"temperature_mc/soc": _temperature_mc(root)}


def _temperature_mc(root: Path) -> Optional[int]:
    return scaled(r"temp=(-?\d{1,3}\.\d{1,4})'C\s*", query(root, "measure_temp"), 1e3)


def find_clock(root: Path, pid: int) -> Optional[Reader]:
    """Return the reader of the processor's clock, on a system whose /sys has none."""
    if cpufreq.find(root, pid) is not None or _clock_khz(root) is None:
        return None
    return lambda: {"frequency_khz/arm": _clock_khz(root)}


def _clock_khz(root: Path) -> Optional[int]:
    return scaled(r"frequency\(\d+\)=(\d{1,11})\s*", query(root, "measure_clock", "arm"), 1e-3)


def query(root: Path, *arguments: str) -> Optional[str]:
    """Return the firmware's answer to one vcgencmd query."""
    command = find_command(root, _PLACES)
    return None if command is None else command_output(command, *arguments)


def scaled(pattern: str, answer: Optional[str], factor: float) -> Optional[int]:
    """Return the number in an answer of this form, times `factor`."""
    found = re.fullmatch(pattern, answer or "")
    return round(float(found.group(1)) * factor) if found else None
