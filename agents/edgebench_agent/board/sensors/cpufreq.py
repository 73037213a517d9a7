"""The clock of every core, kHz."""

import re
from pathlib import Path
from typing import Callable, Dict, List, Optional

from ..kernel_files import read_int, read_text


def find(root: Path, _: int) -> Optional[Callable[[], Dict[str, Optional[int]]]]:
    """Return the reader of all cores' clocks."""
    files = {folder.name: folder / "cpufreq/scaling_cur_freq" for folder in cpu_folders(root)}
    files = {name: file for name, file in files.items() if read_int(file) is not None}
    if not files:
        return None
    return lambda: {f"frequency_khz/{name}": read_int(file) for name, file in files.items()}


def cpu_folders(root: Path) -> List[Path]:
    """Return the folder of each core, in the order of their numbers."""
    folders = (root / "sys/devices/system/cpu").glob("cpu[0-9]*")
    found = [folder for folder in folders if re.fullmatch(r"cpu\d+", folder.name)]
    return sorted(found, key=lambda folder: int(folder.name[3:]))


def allowed_clocks(root: Path) -> Dict[str, int]:
    """Return the clock that each core can sustain under load, kHz, by the core's name; unknown ones are left out.

    Without turbo, that is the governor's maximum; with turbo, the base clock, because higher clocks depend on
    temperature and on the number of busy cores. A governor that fixes the clock allows that one.
    """
    found = {folder.name: _allowed(folder / "cpufreq", _has_turbo(root)) for folder in cpu_folders(root)}
    return {name: clock for name, clock in found.items() if clock is not None}


def _has_turbo(root: Path) -> bool:
    cpus = root / "sys/devices/system/cpu"
    return read_int(cpus / "cpufreq/boost") == 1 or read_int(cpus / "intel_pstate/no_turbo") == 0


def _allowed(policy: Path, has_turbo: bool) -> Optional[int]:
    governor = read_text(policy / "scaling_governor")
    # Intel's and AMD's P-state drivers call a governor that follows the load `powersave`.
    if governor == "powersave" and "pstate" not in (read_text(policy / "scaling_driver") or ""):
        return read_int(policy / "scaling_min_freq")
    if governor == "userspace":
        return read_int(policy / "scaling_setspeed")
    return read_int(policy / ("base_frequency" if has_turbo else "scaling_max_freq"))
