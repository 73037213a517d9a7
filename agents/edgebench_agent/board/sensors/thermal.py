"""Temperatures of the kernel's thermal zones, millidegrees Celsius."""

from pathlib import Path
from typing import Callable, Dict, Optional

from ..kernel_files import read_int, read_text

#: A zone without power reports an impossible value: an Orin's idle GPU -256 degrees.
_MIN_MC, _MAX_MC = -60_000, 200_000


def find(root: Path, _: int) -> Optional[Callable[[], Dict[str, Optional[int]]]]:
    """Return the reader of all zones that have a temperature."""
    zones = thermal_zones(root)
    if not zones:
        return None
    return lambda: {f"temperature_mc/{name}": _temperature(path) for name, path in zones.items()}


def read_temperatures(root: Path) -> Dict[str, int]:
    """Return the temperature of each zone, by its name."""
    found = {name: _temperature(path) for name, path in thermal_zones(root).items()}
    return {name: value for name, value in found.items() if value is not None}


def thermal_zones(root: Path) -> Dict[str, Path]:
    """Return the file of each zone's temperature, by the zone's type; a further zone of a type gets its number."""
    zones: Dict[str, Path] = {}
    for folder in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        kind = read_text(folder / "type") or folder.name
        name = kind if kind not in zones else f"{kind}-{folder.name[len('thermal_zone') :]}"
        # Some zones (an unpowered GPU's) have a file that can't be read.
        if _temperature(folder / "temp") is not None:
            zones[name[:200]] = folder / "temp"
    return zones


def _temperature(path: Path) -> Optional[int]:
    value = read_int(path)
    return value if value is not None and _MIN_MC <= value <= _MAX_MC else None
