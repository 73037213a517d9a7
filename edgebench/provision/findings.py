"""What a board told of itself, as far as `device setup` has to say something of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgebench.board.pythons import BoardPython
from edgebench.provision.checkup import Finding, State
from edgebench.text import printable

_CLOCK_OFF_S = 3600
#: What a part of a name in L4T's versions means: https://developer.nvidia.com/embedded/jetpack-archive
_JETPACKS = {"32": "4", "35": "5", "36": "6", "38": "7"}


def board_findings(
    board: Mapping[str, Any], pythons: Sequence[BoardPython], *, now_s: float | None = None
) -> Iterator[Finding]:
    """Yield what a board told of itself, as far as it matters here; `now_s`: the time of this machine."""
    told = {name: printable(value) for name, value in board.items() if isinstance(value, (str, int))}
    system = [told.get("os"), _vendor(told.get("vendor_release"))]
    yield Finding("board", ", ".join(filter(None, (told.get("model"), told.get("arch"), *system))) or "not told")
    if pythons:
        yield Finding("Python", ", ".join(python.shown for python in pythons))
    yield Finding("libc", told.get("libc", "not told"))
    features = board.get("cpu_features")
    listed = [printable(name) for name in features] if isinstance(features, list) else []
    yield Finding("CPU features", printable(" ".join(listed), limit=120) or "not told")
    for what, name in (("memory", "memory_bytes"), ("free disk", "disk_free_bytes")):
        size = board.get(name)
        yield Finding(what, f"{size / 1e6:,.0f} MB" if type(size) is int else "not told")
    yield _clock(board.get("wall_clock_s"), time.time() if now_s is None else now_s)


def _vendor(release: str | None) -> str | None:
    if release is None or not release.startswith("L4T "):
        return release
    jetpack = _JETPACKS.get(release.removeprefix("L4T ").partition(".")[0])
    return f"{release} (JetPack {jetpack})" if jetpack else release


def _clock(told_s: Any, now_s: float) -> Finding:
    """Nothing here depends on the board's clock; whoever reads its logs should know."""
    if type(told_s) is not int:
        return Finding("clock", "not told")
    off_s = told_s - now_s
    if abs(off_s) < _CLOCK_OFF_S:
        return Finding("clock", "right")
    days = abs(off_s) / 86400
    seen = f"{days:,.1f} days {'ahead' if off_s > 0 else 'behind'}"
    mend = f"on the board: sudo timedatectl set-ntp true, or, without internet there: sudo date -s @{now_s:.0f}"
    return Finding("clock", seen, State.WARN, mend)
