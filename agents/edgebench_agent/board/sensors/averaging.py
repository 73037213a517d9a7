"""Over what time power monitors average what they report, where their driver says so."""

from pathlib import Path
from typing import Dict

from ..kernel_files import read_int, read_text

#: The longest conversion of an INA3221: three channels, 8.2 ms for the bus and the shunt each. Kernels differ in
#: whether `update_interval` counts one conversion or all `samples`; a longer one counts them.
_ONE_CONVERSION_MS = 50


def read_averaging_ms(root: Path) -> Dict[str, int]:
    """Return the averaging time of each power monitor, by what its rails begin with: `ina3221`, `hwmon/CHIP`.

    https://docs.kernel.org/hwmon/ina3221.html, https://docs.kernel.org/hwmon/ina2xx.html
    """
    found: Dict[str, int] = {}
    for folder in sorted((root / "sys/bus/i2c/drivers").glob("ina3221*/*/hwmon/hwmon*")):
        _add(found, "ina3221", folder)
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        chip = read_text(folder / "name", limit=64)
        if chip and any(folder.glob("power*_input")):
            _add(found, "hwmon/" + chip.replace("/", "_"), folder)
    return found


def _add(found: Dict[str, int], name: str, folder: Path) -> None:
    interval, samples = read_int(folder / "update_interval"), read_int(folder / "samples") or 1
    if interval is None or interval < 0:
        return
    if interval <= _ONE_CONVERSION_MS:
        interval *= max(1, samples)
    found[name] = max(found.get(name, 0), interval)
