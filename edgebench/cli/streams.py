"""Where text leaves the program: standard output and standard error, with nothing in it that acts on a terminal.

A board, a file, a path or a library's error may say anything. Whatever is written to these two streams (messages,
tracebacks, warnings, log records) goes through `SafeStream`; what rich lays out goes through
`edgebench.cli.safe_console`, which lets rich's own colours and movements of the cursor pass, and no others.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from edgebench.text import harmless


class SafeStream:
    """A text stream that writes harmless text to another; it has no `buffer` for bytes that would go round it."""

    def __init__(self, raw: IO[str]) -> None:
        self.raw = raw

    def write(self, text: str | bytes) -> int:
        """Write text without what acts on a terminal; return how many characters were given.

        Click writes completions as bytes.
        """
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        if not isinstance(text, str):
            raise TypeError(f"text expected, got {type(text).__name__}")
        self.raw.write(harmless(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each text."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError("bytes would go round what makes text harmless")
        return getattr(self.raw, name)


def raw_stream(stream: Any) -> IO[str]:
    """Return the stream behind a SafeStream, and behind rich's own stand-in while a live display runs."""
    stream = getattr(stream, "rich_proxied_file", stream)
    raw: IO[str] = stream.raw if isinstance(stream, SafeStream) else stream
    return raw


@contextmanager
def safe_streams() -> Iterator[None]:
    """Let everything that is written to standard output and standard error go through a SafeStream."""
    before = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    safe = {name: SafeStream(raw_stream(stream)) for name, stream in before.items() if stream is not None}
    for name, stream in safe.items():
        setattr(sys, name, stream)
    try:
        yield
    finally:
        for name, stream in safe.items():
            if getattr(sys, name) is stream:  # None where the reader of a pipe has ended
                setattr(sys, name, before[name])
