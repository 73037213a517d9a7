"""Trying again what failed: the one loop for connections that break and for boards that are busy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

from edgebench import ending

_T = TypeVar("_T")


class Retry:
    """Tries again what fails with one of some errors, until the attempts or the time are used up.

    Args:
        errors: the errors after which it is tried again; any other is raised at once.
        attempts: how many are made at most, the first included; None: any number.
        limit_s: no attempt begins later than so many seconds after the first one, or after `restart`.
        before_retry: called before each further attempt, with the number of those that failed and the last error.
            It waits, and repairs what is broken; what it raises ends the attempts.
    """

    def __init__(
        self,
        errors: type[Exception] | tuple[type[Exception], ...],
        *,
        attempts: int | None = None,
        limit_s: float = math.inf,
        before_retry: Callable[[int, Exception], None],
    ) -> None:
        self._errors = errors
        self._attempts = attempts
        self._limit_s = limit_s
        self._before_retry = before_retry
        self.restart()

    def restart(self) -> None:
        """Count attempts and time from here: something succeeded in between."""
        self._failed = 0
        self._deadline_s = time.monotonic() + self._limit_s

    def call(self, action: Callable[[], _T]) -> _T:
        """Return what `action` returns.

        Raises:
            The last error of `action`, once attempts or time are used up.
        """
        self.restart()
        while True:
            try:
                return action()
            except self._errors as error:
                if not self.again(error):
                    raise

    def again(self, error: Exception) -> bool:
        """Count a failed attempt and prepare the next one; return whether there is a next one.

        For what `call` can't call, such as a generator that goes on after a failure.
        """
        self._failed += 1
        is_over = time.monotonic() >= self._deadline_s or not ending.left_s(1.0)
        if self._failed == self._attempts or is_over:
            return False
        self._before_retry(self._failed, error)
        return True
