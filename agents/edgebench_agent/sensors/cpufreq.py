"""The clock of every core, kHz."""

import re
from pathlib import Path
from typing import Callable, Dict, List, Optional

from ..kernel_files import read_int


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
