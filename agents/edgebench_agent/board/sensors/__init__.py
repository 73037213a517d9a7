"""Sensors: what the supervisor reads while the worker measures. To add one: a module here, and a row in a table below.

In: the kernel's files and the vendors' commands. Out: values by name; a name carries the unit.
"""

from pathlib import Path
from typing import Callable, Dict, NamedTuple, Optional

from . import (
    control_group,
    cpufreq,
    devfreq,
    ina3221,
    kernel,
    load,
    nvpmodel,
    pmic,
    power_supply,
    process,
    raspberry_pi,
    steal,
    thermal,
)

#: Reads a sensor: values by name, in the unit that the name carries; None: the sensor did not answer. An empty table:
#: there is no new value now.
Reader = Callable[[], Dict[str, Optional[int]]]


class Row(NamedTuple):
    """One sensor: `find(root, pid)` returns its reader (None: the board lacks it), which is called every `every_ns`.

    `pid` is the worker's. `name`: as device profiles list a board's sensors. `is_command`: it starts a command, which
    may take long.
    """

    name: str
    find: Callable[[Path, int], Optional[Reader]]
    every_ns: int
    is_command: bool = False


#: Of the worker, and of the board's other work.
PROCESS_SENSORS = (
    Row("process", process.find, 100_000_000),
    Row("load", load.find, 250_000_000),  # often enough to see a short burst
    Row("steal", steal.find, 250_000_000),
    Row("quota", control_group.find_quota, 250_000_000),
    Row("pressure", control_group.find_pressure, 250_000_000),
    Row("kernel", kernel.find, 1_000_000_000),
)

#: Of the board. Sensors that start a command are read rarely.
BOARD_SENSORS = (
    Row("thermal", thermal.find, 250_000_000),  # often enough to judge a run of a second
    Row("cpufreq", cpufreq.find, 250_000_000),
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
