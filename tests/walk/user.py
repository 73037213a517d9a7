"""A new user at a terminal: types a command, reads what it shows, and looks for what matters to them."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence

import pytest

from edgebench.cli import main
from edgebench.errors import TooFewRuns

#: On a machine that does other work, runs may not count; the walk goes on as a user would.
DONE_OR_NOT_VALID = (0, TooFewRuns.exit_code)


class User:
    """Types commands in the working folder.

    `shown`: what the last command wrote to standard output, `told`: to standard error; both with runs of white space
    as one space, because a terminal may break lines anywhere.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.shown = self.told = self.text = ""

    def types(self, line: str, *, password: str = "", ends_with: Sequence[int] = (0,)) -> None:
        """Run `edgebench ...` to its end.

        Raises:
            AssertionError: its exit code is none of `ends_with`.
        """
        name, *words = shlex.split(line)
        assert name == "edgebench"
        self._monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(words)
        shown, told = self._capsys.readouterr()
        self.text, self.shown, self.told = shown, " ".join(shown.split()), " ".join(told.split())
        assert ended.value.code in ends_with, f"{line}: exit code {ended.value.code}\n{shown}\n{told}"
        assert "Traceback" not in told

    def sees(self, *what: str) -> None:
        """Look for texts in what was shown."""
        for text in what:
            assert text in self.shown, f"not shown: {text!r}\n{self.text}"

    def is_told(self, *what: str) -> None:
        """Look for texts in the messages on the way."""
        for text in what:
            assert text in self.told, f"not told: {text!r}\n{self.told}"
