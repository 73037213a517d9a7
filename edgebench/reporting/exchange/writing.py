"""Files of exports: complete, or as they were before."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edgebench.errors import StoreError


@contextmanager
def written_at_once(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file that becomes `target` if nothing goes wrong. What was there is replaced then.

    Raises:
        StoreError: the file can't be written.
    """
    if not target.parent.is_dir():
        raise StoreError(f"can't write {target}: {target.parent} is not a folder")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(target)
    except OSError as error:
        raise StoreError(f"can't write {target}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
