"""A GPU that is part of the chip: its clock, kHz, and how busy it is, in thousandths (NVIDIA's drivers only)."""

import re
from pathlib import Path
from typing import Callable, Dict, Optional

from ..kernel_files import read_int

#: Names of a GPU's device: its kind, or NVIDIA's name of the part of the chip.
_GPU = re.compile(r"gpu|gm20b|gp10b|gv11b|ga10b", re.IGNORECASE)
_OLD_LOAD = ("sys/devices/gpu.0/load", "sys/devices/platform/gpu.0/load")


def find(root: Path, _: int) -> Optional[Callable[[], Dict[str, Optional[int]]]]:
    """Return the reader of the first GPU."""
    folders = sorted((root / "sys/class/devfreq").glob("*"))
    gpu = next((folder for folder in folders if _GPU.search(folder.name)), None)
    loads = [root / name for name in _OLD_LOAD] + ([gpu / "device/load"] if gpu is not None else [])
    load = next((path for path in loads if read_int(path) is not None), None)
    clock = gpu / "cur_freq" if gpu is not None and read_int(gpu / "cur_freq") is not None else None
    if load is None and clock is None:
        return None

    def read() -> Dict[str, Optional[int]]:
        values = {} if load is None else {"gpu_load_permille": read_int(load)}
        if clock is not None:
            hertz = read_int(clock)
            values["gpu_frequency_khz"] = None if hertz is None else hertz // 1000
        return values

    return read
