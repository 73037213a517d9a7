"""Sensors: what the supervisor reads while the measuring process works.

One file each, with a function that looks for the sensor and returns its reader; one row each in SENSORS.
"""

from pathlib import Path
from typing import Callable, Dict, NamedTuple, Optional

from . import cpufreq, devfreq, ina3221, kernel, load, nvpmodel, pmic, power_supply, process, raspberry_pi, thermal

#: Reads a sensor: values by name, in the units that the names say; None for one that gives no answer. Nothing at all:
#: there is nothing to say just now.
Reader = Callable[[], Dict[str, Optional[int]]]


class Row(NamedTuple):
    """One sensor: looks below `root` for what it needs (None: the board lacks it); read every `every_ns`.

    `name`: as the profiles of devices call what a board can tell. `is_command`: it starts one, and may take long.
    """

    name: str
    find: Callable[[Path, int], Optional[Reader]]
    every_ns: int
    is_command: bool = False


#: Of the measuring process and of this board's other work.
PROCESS_SENSORS = (
    Row("process", process.find, 100_000_000),
    Row("load", load.find, 250_000_000),  # a short burst is told from the seconds around it
    Row("kernel", kernel.find, 1_000_000_000),
)

#: Of the board. What starts a command is read rarely.
BOARD_SENSORS = (
    Row("thermal", thermal.find, 500_000_000),
    Row("cpufreq", cpufreq.find, 500_000_000),
    Row("ina3221", ina3221.find, 125_000_000),
    Row("hwmon", power_supply.find_hwmon, 125_000_000),
    Row("rapl", power_supply.find_rapl, 125_000_000),
    Row("battery", power_supply.find_battery, 1_000_000_000),
    Row("devfreq", devfreq.find, 500_000_000),
    Row("nvpmodel", nvpmodel.find, 5_000_000_000),
    Row("vcgencmd", raspberry_pi.find, 1_000_000_000, is_command=True),
    Row("pmic", pmic.find, 1_000_000_000, is_command=True),
    Row("vcgencmd voltage", raspberry_pi.find_voltage, 5_000_000_000, is_command=True),
    Row("vcgencmd temperature", raspberry_pi.find_temperature, 1_000_000_000, is_command=True),
    Row("vcgencmd clock", raspberry_pi.find_clock, 1_000_000_000, is_command=True),
)

SENSORS = PROCESS_SENSORS + BOARD_SENSORS
