"""Trying again: how often, how long, and after which errors."""

from __future__ import annotations

import pytest

from edgebench.board.retry import Retry


class Flaky:
    """An action that fails so many times."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "done"


def test_failed_attempts_are_counted_and_repeated() -> None:
    action, failed = Flaky(2, OSError("cut")), []
    retry = Retry(OSError, attempts=3, before_retry=lambda count, error: failed.append((count, str(error))))

    assert retry.call(action) == "done"
    assert failed == [(1, "cut"), (2, "cut")]


def test_the_last_error_is_raised_after_the_last_attempt() -> None:
    action = Flaky(9, OSError("cut"))

    with pytest.raises(OSError, match="cut"):
        Retry(OSError, attempts=3, before_retry=lambda *_: None).call(action)
    assert action.calls == 3


def test_no_attempt_begins_after_the_limit() -> None:
    action = Flaky(9, OSError("cut"))

    with pytest.raises(OSError, match="cut"):
        Retry(OSError, limit_s=0.0, before_retry=lambda *_: None).call(action)
    assert action.calls == 1


def test_another_error_is_raised_at_once() -> None:
    action = Flaky(1, ValueError("wrong"))

    with pytest.raises(ValueError, match="wrong"):
        Retry((OSError, KeyError), before_retry=lambda *_: None).call(action)
    assert action.calls == 1


def test_an_error_of_the_repair_ends_the_attempts() -> None:
    def repair(failed: int, error: Exception) -> None:
        raise PermissionError("refused")

    action = Flaky(9, TimeoutError("cut"))
    with pytest.raises(PermissionError, match="refused"):
        Retry(TimeoutError, before_retry=repair).call(action)
    assert action.calls == 1


def test_progress_restarts_the_count() -> None:
    retry = Retry(OSError, attempts=2, before_retry=lambda *_: None)

    assert retry.again(OSError())
    retry.restart()
    assert retry.again(OSError())
    assert not retry.again(OSError())
