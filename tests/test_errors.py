"""Of several errors, one ends the command."""

from __future__ import annotations

import pytest

from edgebench.errors import BoardError, ConfigError, NotValid, gravest_error


@pytest.mark.parametrize(
    ("errors", "gravest"),
    [
        ([NotValid("a"), BoardError("b")], BoardError),
        ([ZeroDivisionError("a defect"), ConfigError("b")], ConfigError),
        ([BoardError("a"), ZeroDivisionError("b")], BoardError),
        ([ConfigError("a"), KeyboardInterrupt(), NotValid("c")], KeyboardInterrupt),
    ],
)
def test_exit_codes_have_a_precedence(errors: list[BaseException], gravest: type[BaseException]) -> None:
    assert type(gravest_error(errors)) is gravest
