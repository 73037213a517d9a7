"""What control groups leave to the agent, and which board it is, from recorded trees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgebench_agent.board.facts import board_facts
from edgebench_agent.board.identity import machine_hash, serial_hash
from edgebench_agent.board.limits import memory_limit_bytes, usable_millicores
from edgebench_agent.home import Home

CORES = len(os.sched_getaffinity(0))


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "millicores", "memory"),
    [
        ({}, 1000 * CORES, None),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/memory.max": "536870912\n",
            },
            500,
            536_870_912,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "25000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            250,
            None,
        ),
        ({"proc/self/cgroup": "0::/../..\n", "sys/fs/cgroup/cpu.max": "nonsense\n"}, 1000 * CORES, None),
    ],
)
def test_the_smallest_limit_counts(tmp_path: Path, files: dict[str, str], millicores: int, memory: int | None) -> None:
    root = write(tmp_path, files)
    assert (usable_millicores(root), memory_limit_bytes(root)) == (millicores, memory)


def test_a_board_is_known_by_hashes_and_not_by_its_numbers(tmp_path: Path) -> None:
    one = write(tmp_path / "1", {"proc/device-tree/serial-number": "10000000abcdef01\0", "etc/machine-id": "ab" * 16})
    other = write(tmp_path / "2", {"proc/cpuinfo": "Serial : 10000000abcdef01\n", "etc/machine-id": "cd" * 16})
    assert serial_hash(one) == serial_hash(other)
    assert machine_hash(one) != machine_hash(other)
    assert "abcdef01" not in str(serial_hash(one))
    assert serial_hash(write(tmp_path / "3", {"proc/cpuinfo": "Serial : 0000000000000000\n"})) is None
    assert machine_hash(tmp_path) is None


def test_they_are_among_the_facts(tmp_path: Path) -> None:
    facts = board_facts(Home(tmp_path / "home"), write(tmp_path / "root", {"etc/machine-id": "ab" * 16}))
    assert facts["usable_core_numbers"] == sorted(os.sched_getaffinity(0))
    assert facts["usable_millicores"] == 1000 * CORES
    assert facts["machine_hash"]
    assert facts["serial_hash"] is facts["memory_limit_bytes"] is None
