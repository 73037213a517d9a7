"""What control groups leave of the board to this process."""

import os
from pathlib import Path
from typing import Iterator, List, Optional

from .kernel_files import read_int, read_text

#: Of a limit that version 1 of control groups does not set: the largest multiple of a page.
_NO_LIMIT = 1 << 60


def usable_millicores(root: Path) -> int:
    """Return the processor time that this process may use, in thousandths of a core: its cores, or its quota."""
    quotas = [_quota_millicores(read_text(folder / "cpu.max")) for folder in groups(root, "")]
    for folder in groups(root, "cpu"):
        quota, period = (read_int(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        quotas.append(_quota_millicores(f"{quota} {period}"))
    return min([1000 * len(os.sched_getaffinity(0)), *(quota for quota in quotas if quota is not None)])


def memory_limit_bytes(root: Path) -> Optional[int]:
    """Return the memory that a control group allows this process; None: no limit."""
    limits = [read_int(folder / "memory.max") for folder in groups(root, "")]
    limits += [read_int(folder / "memory.limit_in_bytes") for folder in groups(root, "memory")]
    return min((limit for limit in limits if limit is not None and limit < _NO_LIMIT), default=None)


def groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folder of this process's control group and those above it; `controller`: of version 1, empty: 2."""
    mounted = root / "sys/fs/cgroup"
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if controller in names.split(","):
            parts: List[str] = [part for part in path.split("/") if part not in ("", "..")]
            for count in range(len(parts), -1, -1):
                yield (mounted / controller).joinpath(*parts[:count])


def _quota_millicores(text: Optional[str]) -> Optional[int]:
    """Return the quota in a text like `150000 100000` (of time, of each such period); None: there is none."""
    words = (text or "").split()
    if len(words) != 2 or not all(word.isdigit() for word in words) or int(words[1]) == 0:
        return None
    return 1000 * int(words[0]) // int(words[1])
