"""runs: the runs whose journals are on this board, for a host that was away when they ended."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..home import Home
from ..protocol.wire import MAX_LINE_BYTES
from .journal_place import sweep
from .journal_tail import complete_lines, has_writer

_MOST = 2048  # a reply is bounded


def list_runs(home: Home, prefix: str = "") -> Dict[str, Any]:
    """Return the runs in the home whose id begins with `prefix`, the latest first.

    Returns:
        `runs`: of each, its `id`; `state`: running, finished (its journal says how it ended) or partial (it does not:
        the supervisor was killed, or the board lost power); `bytes`: of complete lines in its journal, which `follow`
        and `fetch` read from 0 on. `count`: of all of them, where `runs` is cut short. `lost`: the same of runs whose
        journals were in memory and are gone; their `state` is lost.
    """
    sweep(home)
    runs: List[Dict[str, Any]] = []
    lost: List[Dict[str, Any]] = []
    for path in _latest_first(home.runs):
        if not path.name.startswith(prefix):
            continue
        journal = path / "journal.ndjson"
        if not os.path.lexists(journal):
            continue  # it never began
        with suppress(FileNotFoundError):  # it is being removed
            found = _describe(journal)
            if found is None:
                lost.append({"id": path.name, "state": "lost", "bytes": 0})
            else:
                runs.append({"id": path.name, **found})
    return {"runs": runs[:_MOST], "lost": lost[:_MOST], "count": len(runs)}


def _latest_first(folder: Path) -> List[Path]:
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]


def _describe(journal: Path) -> Optional[Dict[str, Any]]:
    """Return the state of a journal and its size; None: it was in memory and is gone."""
    is_running = has_writer(journal)  # before reading, so that its last line is not missed
    try:
        size = journal.stat().st_size
    except FileNotFoundError:
        return None
    with journal.open("rb") as file:
        start = max(0, size - MAX_LINE_BYTES - 1)
        file.seek(start)
        lines = complete_lines(file.read(size - start))
    last = lines[:-1].rpartition(b"\n")[2]
    state = "running" if is_running else "finished" if _ends_run(last) else "partial"
    return {"state": state, "bytes": start + len(lines)}


def _ends_run(line: bytes) -> bool:
    try:
        message = json.loads(line)
        return isinstance(message, dict) and message.get("type") in ("done", "failed")
    except ValueError:
        return False
