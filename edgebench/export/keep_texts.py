"""Keep texts: the files of texts that a vocabulary is trimmed to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgebench.export.piece_selection import Keep
from edgebench.input_texts import read_input_texts


def keep_of(languages: Sequence[str], files: Sequence[str | Path]) -> Keep | None:
    """Return what languages and files of texts name together; None: they name nothing, and nothing is trimmed.

    A file with one text a line is known by its name; it stands for no language.

    Raises:
        ConfigError: a file can't be read or has no text, or nothing is known of a language.
    """
    texts: dict[str, tuple[str, ...]] = {}
    for file in files:
        found = read_input_texts(Path(file))
        by_name = found.parallel if found.parallel is not None else {Path(file).name: found.lines or ()}
        for name, lines in by_name.items():
            texts[name] = (*texts.get(name, ()), *lines)
    languages = tuple(dict.fromkeys(languages))
    return Keep(languages=languages, texts=texts) if languages or texts else None
