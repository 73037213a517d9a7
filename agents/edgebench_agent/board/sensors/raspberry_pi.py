"""The Raspberry Pi's firmware, asked with vcgencmd: throttle flags, voltage; temperature and clock where /sys has none.

Throttle flags: bits 0-3 are now, bits 16-19 the same since boot: 0 under-voltage, 1 clock capped, 2 throttled, 3 soft
temperature limit. Each question is a command to start, so nothing is asked more often than once a second.
https://www.raspberrypi.com/documentation/computers/os.html#vcgencmd
"""

import re
from pathlib import Path
from typing import Callable, Dict, Optional

from . import cpufreq, thermal
from .command import command_output, find_command

#: A shell that isn't a login shell may lack these in its PATH.
_PLACES = ("usr/bin/vcgencmd", "opt/vc/bin/vcgencmd")

Reader = Callable[[], Dict[str, Optional[int]]]


def find(root: Path, _: int) -> Optional[Reader]:
    """Return the reader of the throttle flags."""
    if read_throttled(root) is None:
        return None
    return lambda: {"throttled": read_throttled(root)}


def read_throttled(root: Path) -> Optional[int]:
    """Return the flags as they are; None on a board without them, or where this user may not ask."""
    found = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})\s*", ask(root, "get_throttled") or "")
    return int(found.group(1), 16) if found else None


def find_voltage(root: Path, _: int) -> Optional[Reader]:
    """Return the reader of the core's voltage, microvolts: what the clock is allowed to be depends on it."""
    if _voltage_uv(root) is None:
        return None
    return lambda: {"voltage_uv/core": _voltage_uv(root)}


def _voltage_uv(root: Path) -> Optional[int]:
    return scaled(r"volt=(\d{1,3}\.\d{1,8})V\s*", ask(root, "measure_volts", "core"), 1e6)


def find_temperature(root: Path, _: int) -> Optional[Reader]:
    """Return the reader of the chip's temperature, on a system whose /sys has none."""
    if thermal.thermal_zones(root) or _temperature_mc(root) is None:
        return None
    return lambda: {"temperature_mc/soc": _temperature_mc(root)}


def _temperature_mc(root: Path) -> Optional[int]:
    return scaled(r"temp=(-?\d{1,3}\.\d{1,4})'C\s*", ask(root, "measure_temp"), 1e3)


def find_clock(root: Path, pid: int) -> Optional[Reader]:
    """Return the reader of the processor's clock, on a system whose /sys has none."""
    if cpufreq.find(root, pid) is not None or _clock_khz(root) is None:
        return None
    return lambda: {"frequency_khz/arm": _clock_khz(root)}


def _clock_khz(root: Path) -> Optional[int]:
    return scaled(r"frequency\(\d+\)=(\d{1,11})\s*", ask(root, "measure_clock", "arm"), 1e-3)


def ask(root: Path, *question: str) -> Optional[str]:
    """Return the firmware's answer to one question."""
    command = find_command(root, _PLACES)
    return None if command is None else command_output(command, *question)


def scaled(pattern: str, answer: Optional[str], factor: float) -> Optional[int]:
    """Return the number in an answer of this form, times `factor`."""
    found = re.fullmatch(pattern, answer or "")
    return round(float(found.group(1)) * factor) if found else None
