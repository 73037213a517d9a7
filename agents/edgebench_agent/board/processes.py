"""The processes that keep the board busy: they disturb measurements, and a person can end them by name and number.

Their processor time is read twice, and nothing is read in between: what ran meanwhile shows in the difference. In a
container with process ids of its own only its own processes are visible; `sensors.load` sees the work of all.
"""

import os
from pathlib import Path
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Set

from .kernel_files import read_text

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_MAX_COUNT = 8
_MAX_NAME = 40
_ARCHIVE_NAME = 64 + len(".pyz")  # the agent's file: its SHA-256
#: Interpreters by whose name nobody recognises a program: that of the script is added.
_INTERPRETERS = ("python", "java", "node", "ruby", "perl", "bash", "sh")


class Used(NamedTuple):
    """Processor time that a process used so far, of the processes that it waited for, too, in seconds."""

    name: str
    own_s: float
    children_s: float
    parent: int


class Busy(NamedTuple):
    """A process and its mean load, in thousandths of one core."""

    pid: int
    name: str
    cpu_millicores: int


def processor_times(root: Path) -> Optional[Dict[int, Used]]:
    """Return what each visible process has used so far, by its number; None: /proc does not say."""
    try:
        numbers = [int(entry.name) for entry in (root / "proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return None
    found = {}
    for number in numbers:
        text = read_text(root / "proc" / str(number) / "stat")
        # The command's name is in brackets and may hold anything.
        head, _, rest = (text or "").rpartition(")")
        words = rest.split()
        if len(words) > 14:
            own, children = (sum(int(word) for word in words[at : at + 2]) / _TICKS_PER_S for at in (11, 13))
            found[number] = Used(head.partition("(")[2], own, children, int(words[1]))
    return found or None


def busiest(
    root: Path,
    before: Dict[int, Used],
    seconds: float,
    *,
    without: Iterable[int] = (),
    least_millicores: int = 50,
    full_name: Callable[[int, str], str] = lambda _, name: name,
) -> List[Busy]:
    """Return the processes that used most since `before` was read, `seconds` ago, the busiest first.

    What a process did that ended meanwhile counts for the one that waited for it: a compiler's for `make`.

    `without`: processes that do not disturb, because they are ours. `full_name`: of a process by its number and the
    kernel's name, of which the kernel keeps 15 characters.
    """
    ours = set(without)
    after = processor_times(root) or {}
    # What those had used before that ended meanwhile; the kernel adds all of it to the one that waited for them.
    earlier: Dict[int, float] = {}
    for number, gone in before.items():
        if number not in after:
            earlier[gone.parent] = earlier.get(gone.parent, 0.0) + gone.own_s + gone.children_s
    found = []
    for number, now in after.items():
        if number in ours:
            continue
        then = before.get(number, Used("", 0.0, 0.0, 0))
        used = now.own_s - then.own_s
        if number != 1:  # init is given the orphans of all
            used += max(0.0, now.children_s - then.children_s - earlier.get(number, 0.0))
        millicores = round(1000 * used / seconds) if seconds > 0 else 0
        if millicores >= least_millicores:
            found.append((millicores, number, now.name))
    found.sort(reverse=True)
    return [
        Busy(number, _described(root, number, full_name(number, name)), amount)
        for amount, number, name in found[:_MAX_COUNT]
    ]


def with_ancestors(root: Path, pid: int) -> Set[int]:
    """Return the number of a process and those of the processes that started it."""
    found: Set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        words = (read_text(root / "proc" / str(pid) / "stat") or "").rpartition(")")[2].split()
        pid = int(words[1]) if len(words) > 1 else 0
    return found


def _described(root: Path, pid: int, name: str) -> str:
    """Return the name of a process; of an interpreter with its script."""
    if not name.rstrip("0123456789.").startswith(_INTERPRETERS):
        return name[:_MAX_NAME]
    words = (read_text(root / "proc" / str(pid) / "cmdline", limit=4096) or "").split("\0")[1:]
    if "-m" in words[:-1]:
        script = words[words.index("-m") + 1]
    else:
        script = next((Path(word).name for word in words if word and not word.startswith("-")), "")
        script = "" if "-c" in words else script
    if script.endswith(".pyz") and len(script) == _ARCHIVE_NAME:
        return "edgebench agent"
    return f"{name} {script}".strip()[:_MAX_NAME]
