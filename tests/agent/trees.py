"""What boards answer in /proc and /sys, as files, and in vcgencmd."""

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
    "proc/vmstat": "nr_free_pages 300000\noom_kill 3\npswpin 12\npswpout 30\nswap_ra 0\n",
    "proc/sys/kernel/random/boot_id": "0a1b2c3d-0000-4000-8000-123456789abc\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "arch_sys_counter\n",
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

#: JetPack 4's own driver of the power monitor: rails by name, milliwatts. Files and rails as in jetson_stats'
#: jtop/core/power.py and in scripts that read a Nano's /sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0.
JETSON_NANO_POWER = {
    **{
        f"sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/{name}": f"{value}\n"
        for name, value in {
            "name": "ina3221x",
            "rail_name_0": "POM_5V_IN",
            "rail_name_1": "POM_5V_GPU",
            "rail_name_2": "POM_5V_CPU",
            "in_power0_input": 2176,
            "in_power1_input": 0,
            "in_power2_input": 483,
        }.items()
    },
    "sys/devices/gpu.0/load": "37\n",
    "sys/class/devfreq/57000000.gpu/cur_freq": "76800000\n",
    "var/lib/nvpmodel/status": "pmode:0001\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=1 NAME=5W >\n",
    "proc/device-tree/compatible": "nvidia,p3449-0000-b00\0nvidia,jetson-nano\0nvidia,tegra210\0",
}

#: JetPack 6: the kernel's driver, as its documentation (hwmon/ina3221) describes and jetson_stats reads it. Channel 7
#: is the sum of the shunts' voltages and no rail. Modes as they are numbered on an Orin Nano Super.
ORIN_NANO = {
    **{
        f"sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/{name}": f"{value}\n"
        for name, value in {
            "name": "ina3221",
            "in1_label": "VDD_IN",
            "in1_input": 5040,
            "curr1_input": 984,
            "in2_label": "VDD_CPU_GPU_CV",
            "in2_input": 5032,
            "curr2_input": 152,
            "in3_label": "VDD_SOC",
            "in3_input": 5032,
            "curr3_input": 280,
            "in4_input": 4920,
            "in7_label": "sum of shunt voltages",
            "in7_input": 7080,
        }.items()
    },
    "sys/class/devfreq/17000000.gpu/cur_freq": "624750000\n",
    "sys/class/devfreq/17000000.gpu/device/load": "998\n",
    "sys/class/devfreq/15340000.vic/cur_freq": "435200000\n",  # no GPU
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48156\n",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "-256000\n",  # without power
    "var/lib/nvpmodel/status": "pmode:0002\n",
    "etc/nvpmodel.conf": "# comment\n< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n",
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
}

#: A notebook on its battery, with a processor whose counters are for root (plant it, then take the right to read away).
X86 = {
    "sys/class/powercap/intel-rapl:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl:0/energy_uj": "262143000000\n",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl:0:0/name": "core\n",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": "1\n",
    "sys/class/power_supply/BAT0/type": "Battery\n",
    "sys/class/power_supply/BAT0/status": "Discharging\n",
    "sys/class/power_supply/BAT0/voltage_now": "11400000\n",
    "sys/class/power_supply/BAT0/current_now": "800000\n",
    "sys/class/power_supply/AC/type": "Mains\n",
    "sys/class/hwmon/hwmon3/name": "ina226\n",
    "sys/class/hwmon/hwmon3/power1_input": "4525000\n",
}

#: `vcgencmd` of a Raspberry Pi 4 and a Raspberry Pi 5 (https://github.com/jfikar/RPi5-power: the Pi 5 at full load).
VCGENCMD_PI4 = {
    "get_throttled": "throttled=0x0",
    "measure_volts core": "volt=0.8500V",
    "measure_temp": "temp=42.8'C",
    "measure_clock arm": "frequency(48)=1800457088",
}
VCGENCMD_PI5 = {
    "get_throttled": "throttled=0x0",
    "measure_volts core": "volt=0.7200V",
    "pmic_read_adc": """\
 3V7_WL_SW_A current(0)=0.00000000A
   3V3_SYS_A current(1)=0.06245952A
   1V8_SYS_A current(2)=0.16102850A
  DDR_VDD2_A current(3)=0.00780744A
  DDR_VDDQ_A current(4)=0.00000000A
   1V1_SYS_A current(5)=0.17566740A
    0V8_SW_A current(6)=0.32791250A
  VDD_CORE_A current(7)=10.87674000A
   3V3_DAC_A current(17)=0.00036630A
   3V3_ADC_A current(18)=0.00042735A
   0V8_AON_A current(16)=0.00579975A
      HDMI_A current(22)=0.01367520A
 3V7_WL_SW_V volt(8)=3.79999600V
   3V3_SYS_V volt(9)=3.30632200V
   1V8_SYS_V volt(10)=1.79828900V
  DDR_VDD2_V volt(11)=1.10292900V
  DDR_VDDQ_V volt(12)=0.60476130V
   1V1_SYS_V volt(13)=1.10439400V
    0V8_SW_V volt(14)=0.80256330V
  VDD_CORE_V volt(15)=0.89745940V
   3V3_DAC_V volt(20)=3.30494200V
   3V3_ADC_V volt(21)=3.30219400V
   0V8_AON_V volt(19)=0.79736190V
      HDMI_V volt(23)=5.07056000V
     EXT5V_V volt(24)=5.06788000V
      BATT_V volt(25)=3.01110800V""",
}


def plant(tree: dict[str, str], root: Path) -> Path:
    """Write a tree of files below `root`; return it."""
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def plant_vcgencmd(root: Path, answer: str) -> None:
    """Let the board's vcgencmd tell these throttle flags, and nothing else."""
    plant_answers(root, {"get_throttled": answer})


def plant_answers(root: Path, answers: dict[str, str]) -> None:
    """Let the board's vcgencmd answer so; a question that it does not know is an error, as in the real one."""
    cases = "".join(f"'{question}') cat <<'END'\n{answer}\nEND\n;;\n" for question, answer in answers.items())
    plant_command(root / "usr/bin/vcgencmd", f'case "$*" in\n{cases}*) exit 255;;\nesac\n')


def plant_command(path: Path, script: str) -> None:
    """Write a command of the board."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)
