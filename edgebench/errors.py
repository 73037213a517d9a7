"""Every error that edgebench raises on purpose.

    EdgebenchError                 exit code 1
    |-- UsageError                 exit code 2: the request itself is wrong
    |   |-- ConfigError            a value, a file of settings or a profile
    |   |-- UnknownName            a device, format, language ...; names the nearest
    |   `-- NotComparable          two measurements that differ in more than what is asked
    |-- MissingExtra               an optional dependency is not installed
    |-- ExportError                a checkpoint can't become an artifact
    |   |-- CheckpointError        ... because of the checkpoint
    |   `-- ParityError            ... because the exported file answers something else
    |-- DeviceError                the board, or the way to it
    |   |-- ConnectionFailed       no session with the board could be opened
    |   |   |-- HostKeyError       ... because its host key is unknown or changed
    |   |   `-- AuthenticationError
    |   |       `-- PasswordRefused
    |   |-- ConnectionLost         an open session ended or fell silent; may be tried again
    |   |-- BoardError             the board lacks something: Python, runtime, memory, disk
    |   |   |-- BoardBusy          ... for now: another run is measuring there, or somebody else holds it
    |   |   |-- LeaseLost          ... because it is somebody else's by now
    |   |   `-- NoWheelFits        ... and nobody has built what it lacks for such a board
    |   `-- AgentError             the agent failed, or what it sent is not valid
    |       `-- RunFailed          one run ended with a failure of its own
    |-- StoreError                 a result can't be written or read
    |-- ScoresError                a file of scores is not what it should be
    `-- NotValid                   exit code 4: what was measured can't be trusted
        `-- TooFewRuns             ... because there is too little of it

A message is one line: what happened, on which device or file. The hint, its last clause, says what to try.

Messages and hints speak of arguments, not of options of the command line: an argument stands in backticks, with its
value as Python writes it, and the command line shows it as the option (`edgebench.cli.hints`):

    ConfigError("the model does not fit into the memory", hint="try a smaller `format='onnx-int8'`")
    library:       the model does not fit into the memory; try a smaller `format='onnx-int8'`
    command line:  the model does not fit into the memory; try a smaller --format onnx-int8

A complete command, for a shell here or on the board, stands as it is typed: "try: edgebench device setup pi4".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class EdgebenchError(Exception):
    """Base of all of them. `exit_code` is what the command line ends with.

    Args:
        message: what happened, where.
        hint: what to try, as a clause that follows the message; None: there is no advice. `str` shows both.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.args[0]}; {self.hint}" if self.hint else str(self.args[0])


class UsageError(EdgebenchError):
    """The request itself is wrong; exit code 2."""

    exit_code = 2


class ConfigError(UsageError):
    """An argument, a settings file or a profile has a value that is not valid."""


class UnknownName(UsageError):
    """A name that nothing has; `hint`, in parentheses after the nearest name, says where it stands."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        known = sorted(str(name) for name in known)
        near = nearest(name, known)
        message = f"unknown {kind} {name!r}"
        if near:
            message += f"; did you mean {near!r}?"
        elif known:
            message += f"; known: {', '.join(known)}"
        super().__init__(message + (f" ({hint})" if hint else ""))


class NotComparable(UsageError):
    """Two results differ in more than the comparison is about."""


class MissingExtra(EdgebenchError):
    """An optional dependency is missing."""

    def __init__(self, module: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {module}, which is not installed; try: pip install 'edgebench[{extra}]'")


class ExportError(EdgebenchError):
    """A checkpoint can't become an artifact."""


class CheckpointError(ExportError):
    """The checkpoint is not what it should be."""


class ParityError(ExportError):
    """The exported file's outputs differ from the checkpoint's."""


class DeviceError(EdgebenchError):
    """The board, or the connection to it, is at fault."""


class ConnectionFailed(DeviceError):
    """No connection to the board could be opened."""


class HostKeyError(ConnectionFailed):
    """The board's host key is unknown or changed."""


class AuthenticationError(ConnectionFailed):
    """The board refused the login."""


class PasswordRefused(AuthenticationError):
    """The board takes passwords, and not this one."""


class ConnectionLost(DeviceError):
    """An open connection ended or fell silent; the command may be tried again."""


class BoardError(DeviceError):
    """The board lacks something; `kind` is the agent's word for what, empty where it was not the agent that said so."""

    def __init__(self, message: str, *, kind: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


class BoardBusy(BoardError):
    """Another run is measured on the board, or another user holds its lease."""


class NoWheelFits(BoardError):
    """There is no wheel for the board's machine, Python and C library."""


class LeaseLost(BoardError):
    """The board's lease belongs to another user by now."""


class AgentError(DeviceError):
    """The agent failed, or what it sent is not valid."""


class RunFailed(AgentError):
    """A run ended with a `failed` message; `kind` is the agent's word for why."""

    def __init__(self, message: str, *, kind: str, traceback: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.traceback = traceback


class StoreError(EdgebenchError):
    """A result can't be written or read."""


class ScoresError(EdgebenchError):
    """A file of scores, labels or examples is not valid."""

    exit_code = 2


class NotValid(EdgebenchError):
    """A measurement is not valid; exit code 4."""

    exit_code = 4


class TooFewRuns(NotValid):
    """There are too few valid runs for the question."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, or None where none is alike."""
    from difflib import get_close_matches  # only on the way to an error

    matches = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


_PRECEDENCE = (130, 2, 1, 4, 3)  # of exit codes, see docs/reference/exit-codes.md


def gravest_error(errors: Sequence[BaseException]) -> BaseException:
    """Return the error that a command with several of them ends with: the first one with the gravest exit code."""
    return min(errors, key=lambda error: _PRECEDENCE.index(_exit_code(error)))


def _exit_code(error: BaseException) -> int:
    if isinstance(error, EdgebenchError):
        return error.exit_code
    return 1 if isinstance(error, Exception) else 130
