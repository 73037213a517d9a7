"""The facts of the board; an unknown one is None."""

import os
import platform
import re
import struct
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from ..home import Home
from .identity import machine_hash, serial_hash
from .kernel_files import boot_id, kilobytes, read_int, read_table, read_text
from .limits import memory_limit_bytes, usable_millicores
from .sensors.averaging import read_averaging_ms
from .sensors.cpufreq import allowed_clocks, cpu_folders
from .sensors.kernel import read_clocksource
from .sensors.nvpmodel import read_power_mode
from .sensors.raspberry_pi import read_throttled
from .sensors.thermal import read_temperatures
from .timeout import call_with_timeout
from .virtual import is_virtual

_ROOT = Path("/")


def board_facts(home: Home, root: Path = _ROOT) -> Dict[str, Any]:
    """Return the facts that a measurement depends on; `root` is where /proc and /sys are.

    A fact that does not arrive in time, e.g. because a driver hangs, is None.
    """
    return {**_own_facts(), **call_with_timeout(_facts(home, root))}


def _own_facts() -> Dict[str, Any]:
    """Return what this process knows itself, without waiting."""
    return {
        "arch": os.uname().machine,
        "python_bits": struct.calcsize("P") * 8,
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "usable_core_numbers": sorted(os.sched_getaffinity(0)),
        "kernel": os.uname().release,
        "python": platform.python_version(),
        "python_executable": sys.executable,
        "wall_clock_s": int(time.time()),
    }


def _facts(home: Home, root: Path) -> Dict[str, Callable[[], Any]]:
    """Return, for each fact, the function that reads it from a file or a command."""
    return {
        "model": lambda: _model(root),
        "cpu": lambda: _cpu(root),
        "cpu_features": lambda: _cpu_features(root),
        "memory_bytes": lambda: _memory(root, "MemTotal"),
        "memory_limit_bytes": lambda: memory_limit_bytes(root),
        "usable_millicores": lambda: usable_millicores(root),
        "memory_available_bytes": lambda: memory_available(root),
        "swap_bytes": lambda: _memory(root, "SwapTotal"),
        "disk_free_bytes": lambda: _disk_free(home),
        "os": lambda: _operating_system(root),
        "vendor_release": lambda: _vendor_release(root),
        "libc": lambda: _libc(root),
        "governor": lambda: _governor(root),
        "core_capacities": lambda: core_capacities(root),
        "clock_min_khz": lambda: _extreme(min, root, "scaling_min_freq"),
        "clock_max_khz": lambda: _extreme(max, root, "scaling_max_freq"),
        "clock_allowed_khz": lambda: allowed_clocks(root) or None,
        "clock_hardware_max_khz": lambda: _extreme(max, root, "cpuinfo_max_freq"),
        "temperature_mc": lambda: read_temperatures(root) or None,
        "throttled": lambda: read_throttled(root),
        "power_mode": lambda: read_power_mode(root),
        "memory_shared_with_gpu": lambda: True if _is_jetson(root) else None,
        "clocksource": lambda: read_clocksource(root),
        "boot_id": lambda: boot_id(root),
        "power_averaging_ms": lambda: read_averaging_ms(root) or None,
        "serial_hash": lambda: serial_hash(root),
        "machine_hash": lambda: machine_hash(root),
        "virtual": lambda: is_virtual(root),
    }


def core_capacities(root: Path) -> Optional[Dict[str, int]]:
    """Return the relative capacity of each usable core, by its number; None: unknown.

    It is the scheduler's value (cpu_capacity, at most 1024), else the core's highest clock.
    """
    usable = os.sched_getaffinity(0)
    folders = {folder.name[3:]: folder for folder in cpu_folders(root) if int(folder.name[3:]) in usable}
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        found = {number: read_int(folder / name) for number, folder in folders.items()}
        if found and None not in found.values():
            return {number: value for number, value in found.items() if value is not None}
    return None


def _is_jetson(root: Path) -> bool:
    """Return whether it has an NVIDIA Tegra chip, whose GPU has no memory of its own."""
    return "nvidia,tegra" in (read_text(root / "proc/device-tree/compatible") or "")


def memory_available(root: Path = _ROOT) -> Optional[int]:
    """Return the bytes that a new process can use without swapping, as the kernel estimates them."""
    return _memory(root, "MemAvailable")


def oom_kills(root: Path = _ROOT) -> Optional[int]:
    """Return how many processes the kernel has killed for memory since boot."""
    found = re.search(r"^oom_kill (\d+)$", read_text(root / "proc/vmstat") or "", re.MULTILINE)
    return int(found.group(1)) if found else None


def _cpuinfo(root: Path) -> Dict[str, str]:
    return read_table(root / "proc/cpuinfo")


def _memory(root: Path, name: str) -> Optional[int]:
    return kilobytes(read_table(root / "proc/meminfo").get(name))


def _cpu(root: Path) -> Optional[str]:
    cpuinfo = _cpuinfo(root)
    return cpuinfo.get("model name") or cpuinfo.get("Processor")


def _cpu_features(root: Path) -> Optional[List[str]]:
    cpuinfo = _cpuinfo(root)
    return sorted((cpuinfo.get("Features") or cpuinfo.get("flags") or "").split()) or None


def _governor(root: Path) -> Optional[str]:
    governors = {read_text(folder / "cpufreq/scaling_governor") for folder in cpu_folders(root)}
    return ", ".join(sorted(governor for governor in governors if governor)) or None


def _model(root: Path) -> Optional[str]:
    tree = read_text(root / "proc/device-tree/model") or read_text(root / "sys/firmware/devicetree/base/model")
    if tree:
        return tree
    cpuinfo = _cpuinfo(root)
    return cpuinfo.get("Model") or cpuinfo.get("model name") or cpuinfo.get("Hardware")


def _operating_system(root: Path) -> Optional[str]:
    release = read_table(root / "etc/os-release", "=")
    name = release.get("PRETTY_NAME") or release.get("NAME")
    return name.strip("\"'") if name else None


def _vendor_release(root: Path) -> Optional[str]:
    """Return the vendor's name of its system image: NVIDIA's L4T, Raspberry Pi's image."""
    tegra = re.match(r"# R(\d+) \(release\), REVISION: ([\d.]+)", read_text(root / "etc/nv_tegra_release") or "")
    if tegra:
        return f"L4T {tegra.group(1)}.{tegra.group(2)}"
    image = (read_text(root / "etc/rpi-issue") or "").splitlines()
    return image[0].strip() or None if image else None


def _libc(root: Path) -> Optional[str]:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return "musl" if any((root / "lib").glob("ld-musl-*")) else None


def _disk_free(home: Home) -> Optional[int]:
    folder = home.root.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def _extreme(choose: Any, root: Path, name: str) -> Optional[int]:
    found = [read_int(folder / "cpufreq" / name) for folder in cpu_folders(root)]
    values = [value for value in found if value is not None]
    return choose(values) if values else None
