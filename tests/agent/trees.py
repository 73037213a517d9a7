"""What a Raspberry Pi 4 (Raspberry Pi OS 12, 64 bit) and a Jetson Nano answer in /proc and /sys, as files."""

from __future__ import annotations

from pathlib import Path

PI4 = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/cpuinfo": (
        "".join(
            f"processor\t: {core}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"
            f"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd08\n\n"
            for core in range(4)
        )
        + "Revision\t: c03114\nSerial\t\t: 10000000abcdef01\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"
    ),
    "proc/meminfo": "MemTotal:        3882236 kB\nMemFree:         1200000 kB\nMemAvailable:    3300000 kB\n"
    "SwapTotal:        102396 kB\n",
    "proc/stat": "cpu  1000 0 500 90000 20 0 30 0 0 0\ncpu0 250 0 125 22500 5 0 8 0 0 0\n",
    "proc/vmstat": "nr_free_pages 300000\noom_kill 3\nswap_ra 0\n",
    "proc/sys/kernel/random/boot_id": "0a1b2c3d-0000-4000-8000-123456789abc\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\n',
    "proc/77/statm": "60000 25000 8000 1 0 50000 0\n",
    "proc/77/stat": "77 (python3 (x) y) R 1 77 77 0 -1 4194304 100 0 0 0 200 50 0 0 20 0 5 0 1000 200000 25000\n",
    "proc/77/status": "Name:\tpython3\nVmPeak:\t  300000 kB\nVmHWM:\t  110000 kB\nVmRSS:\t  100000 kB\n",
    "proc/77/smaps_rollup": "00400000-7fff [rollup]\nRss:              100000 kB\nPss:               91234 kB\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48199\n",
    **{
        f"sys/devices/system/cpu/cpu{core}/cpufreq/{name}": f"{value}\n"
        for core in range(4)
        for name, value in {
            "scaling_cur_freq": 1500000 + core,
            "scaling_governor": "ondemand",
            "scaling_min_freq": 600000,
            "scaling_max_freq": 1500000,
            "cpuinfo_max_freq": 1800000,
        }.items()
    },
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1500000\n",
    "sys/devices/system/cpu/cpuidle/current_driver": "none\n",
}

JETSON_NANO = {
    "proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\0",
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\nFeatures\t: fp asimd aes\n",
    "sys/class/thermal/thermal_zone0/type": "AO-therm\n",
    "sys/class/thermal/thermal_zone0/temp": "43500\n",
    "sys/class/thermal/thermal_zone1/type": "CPU-therm\n",
    "sys/class/thermal/thermal_zone1/temp": "35000\n",
    "sys/class/thermal/thermal_zone2/type": "CPU-therm\n",  # a second one of that name
    "sys/class/thermal/thermal_zone2/temp": "36000\n",
    "sys/class/thermal/thermal_zone4/type": "PMIC-Die\n",
    "sys/class/thermal/thermal_zone4/temp": "\n",  # has no answer
}


def plant(tree: dict[str, str], root: Path) -> Path:
    """Write a tree of files below `root`; return it."""
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def plant_vcgencmd(root: Path, answer: str) -> None:
    """Let the board's vcgencmd answer so."""
    command = root / "usr/bin/vcgencmd"
    command.parent.mkdir(parents=True, exist_ok=True)
    command.write_text(f'#!/bin/sh\n[ "$1" = get_throttled ] && echo "{answer}"\n')
    command.chmod(0o755)
