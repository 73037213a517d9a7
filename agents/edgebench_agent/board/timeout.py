"""Calls that may never return, such as reads that hang in the kernel: in a thread, with a timeout."""

import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, Callable, Dict, List, Tuple

_EACH_S = 4.0
_ALL_S = 12.0


def call_with_timeout(
    functions: Dict[str, Callable[[], Any]], *, each_s: float = _EACH_S, all_s: float = _ALL_S
) -> Dict[str, Any]:
    """Return what each function returns; None where it fails or takes longer than `each_s`.

    The functions are called one after the other, `all_s` in total at most. A call that does not return is left behind
    in its thread, and another thread continues with the next function.
    """
    found: Dict[str, Any] = dict.fromkeys(functions)
    rest = list(functions.items())
    deadline = time.monotonic() + all_s
    while rest and time.monotonic() < deadline:
        answers: Any = SimpleQueue()
        is_abandoned = threading.Event()
        threading.Thread(target=_call, args=(list(rest), answers, is_abandoned), daemon=True).start()
        try:
            while rest:
                name, answer = answers.get(timeout=max(0.0, min(each_s, deadline - time.monotonic())))
                found[name] = answer
                del rest[0]
        except Empty:
            is_abandoned.set()
            del rest[0]
    return found


def _call(functions: List[Tuple[str, Callable[[], Any]]], answers: Any, is_abandoned: threading.Event) -> None:
    for name, function in functions:
        if is_abandoned.is_set():
            return
        try:
            answer = function()
        except Exception:  # noqa: BLE001 - one that fails must not prevent the others
            answer = None
        answers.put((name, answer))
