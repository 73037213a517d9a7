"""Trees of boards whose clocks and power modes tests may set."""

from __future__ import annotations

from pathlib import Path

CPU = "sys/devices/system/cpu"
PI4_GOVERNORS = {
    f"{CPU}/cpu{core}/cpufreq/scaling_available_governors": "conservative ondemand performance powersave\n"
    for core in range(4)
}
#: Sets the mode as nvpmodel does; mode 2 needs the board to start again, and is not taken.
NVPMODEL = (
    'read answer; if [ "$2" = 2 ]; then echo "Reboot required for this power mode"; exit 1; fi\n'
    'printf "pmode:%04d\\n" "$2" > {root}/var/lib/nvpmodel/status\n'
)


def governors(root: Path) -> list[str]:
    """Return the governor of each core. A file of /sys is never empty; one of the tree is while it is written."""
    found = []
    for core in range(4):
        file = root / f"{CPU}/cpu{core}/cpufreq/scaling_governor"
        found.append(next(text for text in iter(file.read_text, None) if text).strip())
    return found


def mode(root: Path) -> str:
    return (root / "var/lib/nvpmodel/status").read_text().strip()
