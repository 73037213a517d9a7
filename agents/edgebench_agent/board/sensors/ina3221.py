"""The Jetson's power monitors (TI INA3221): power and voltage of the rails that the board's maker named.

JetPack 5 and later have the kernel's hwmon driver (mV, mA); JetPack 4 has NVIDIA's own under iio (mW). VDD_IN and
POM_5V_IN are the input of the complete module; other rails are parts of it.
https://www.kernel.org/doc/html/latest/hwmon/ina3221.html
"""

from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

from ..kernel_files import read_int, read_text


class _Rail(NamedTuple):
    name: str
    power_mw: Optional[Path]  # JetPack 4: the driver reports power directly
    voltage_mv: Optional[Path]
    current_ma: Optional[Path]


def find(root: Path, _: int) -> Optional[Callable[[], Dict[str, Optional[int]]]]:
    """Return the reader of all rails: `power_uw/ina3221/RAIL`, `voltage_uv/RAIL`."""
    rails = _rails(root)
    if not rails:
        return None

    def read() -> Dict[str, Optional[int]]:
        values: Dict[str, Optional[int]] = {}
        for rail in rails:
            values.update(_read(rail))
        return values

    return read


def _read(rail: _Rail) -> Dict[str, Optional[int]]:
    name = f"power_uw/ina3221/{rail.name}"
    if rail.power_mw is not None:
        milliwatts = read_int(rail.power_mw)
        return {name: None if milliwatts is None else 1000 * milliwatts}
    volts, amperes = (None if file is None else read_int(file) for file in (rail.voltage_mv, rail.current_ma))
    power = None if volts is None or amperes is None else volts * amperes
    return {name: power, f"voltage_uv/{rail.name}": None if volts is None else 1000 * volts}


def _rails(root: Path) -> List[_Rail]:
    """Return the named channels of all monitors that answer; channels that measure nothing are called NC."""
    drivers = root / "sys/bus/i2c/drivers"
    found = []
    for label in sorted(drivers.glob("ina3221*/*/hwmon/hwmon*/in[123]_label")):
        number = label.name[2]
        files = (label.parent / f"in{number}_input", label.parent / f"curr{number}_input")
        found.append(_Rail(_name(label), None, *files))
    for label in sorted(drivers.glob("ina3221*/*/iio:device*/rail_name_[0-9]")):
        found.append(_Rail(_name(label), label.parent / f"in_power{label.name[-1]}_input", None, None))
    rails = {rail.name: rail for rail in found if rail.name not in ("", "NC")}
    return [rail for rail in rails.values() if any(value is not None for value in _read(rail).values())]


def _name(label: Path) -> str:
    return (read_text(label, limit=64) or "").replace("/", "_")
