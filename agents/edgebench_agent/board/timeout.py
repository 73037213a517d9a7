"""Asking for things that may not answer: in a thread, for so long and no longer."""

import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, Callable, Dict, List, Tuple

_EACH_S = 4.0
_ALL_S = 12.0


def ask_in_time(
    questions: Dict[str, Callable[[], Any]], *, each_s: float = _EACH_S, all_s: float = _ALL_S
) -> Dict[str, Any]:
    """Return the answer to each question; None where it can't be had, or takes longer than `each_s`.

    They are asked one after the other. What does not come back (a read that hangs in the kernel) is left behind in its
    thread, and another thread goes on with the next.
    """
    found: Dict[str, Any] = dict.fromkeys(questions)
    rest = list(questions.items())
    deadline = time.monotonic() + all_s
    while rest and time.monotonic() < deadline:
        answers: Any = SimpleQueue()
        is_left = threading.Event()
        threading.Thread(target=_ask, args=(list(rest), answers, is_left), daemon=True).start()
        try:
            while rest:
                name, answer = answers.get(timeout=max(0.0, min(each_s, deadline - time.monotonic())))
                found[name] = answer
                del rest[0]
        except Empty:
            is_left.set()
            del rest[0]
    return found


def _ask(questions: List[Tuple[str, Callable[[], Any]]], answers: Any, is_left: threading.Event) -> None:
    for name, question in questions:
        if is_left.is_set():
            return
        try:
            answer = question()
        except Exception:  # noqa: BLE001 - one fact that can't be had must cost nobody the others
            answer = None
        answers.put((name, answer))
