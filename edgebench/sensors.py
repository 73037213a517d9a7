"""Names of the series that a board's sensors fill: a prefix that carries the unit, then the sensor's own name."""

from __future__ import annotations

POWER = "power_uw/"  # microwatts, by rail
TEMPERATURE = "temperature_mc/"  # thousandths of a degree Celsius, by thermal zone
