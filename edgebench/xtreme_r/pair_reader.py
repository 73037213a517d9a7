"""Reader of XNLI's and PAWS-X's files: two texts a line, and a label where the scripts left it; tabs between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgebench.errors import ScoresError, UnknownName
from edgebench.xtreme_r.answer_files import read_text
from edgebench.xtreme_r.example_types import Examples, Pair, new_examples
from edgebench.xtreme_r.tasks import Task

_HEADER = {"premise", "hypothesis", "sentence1", "sentence2", "label", "gold_label", "language", "id"}
#: XNLI's own files have both spellings; XTREME's scripts make them one.
_ALIASES = {"contradictory": "contradiction"}
_SHOWN = 40  # characters of a wrong value in a message


def read_pairs_task(task: Task, lang: str, files: Sequence[Path]) -> Examples:
    """Return the pairs of a file; labels in any case.

    Raises:
        ScoresError: a line is blank or has another number of cells; the file has a header, or its columns in another
            order; a label is unknown; or some lines have a label and some none.
    """
    path = files[0]
    rows = [[_unquoted(cell) for cell in line.split("\t")] for line in read_text(path).rstrip("\n").split("\n")]
    if rows == [[""]]:
        return new_examples(task, lang, [], [])
    known = {label.lower(): label for label in task.labels} | {a: b for a, b in _ALIASES.items() if b in task.labels}
    _refuse_header(path, rows[0])
    for number, cells in enumerate(rows, start=1):
        if len(cells) not in (2, 3):
            what = "a blank line" if cells == [""] else f"{len(cells)} cells"
            raise ScoresError(f"{path}:{number}: {what}; it takes two texts (and a label), with tabs between")
    _refuse_columns(path, rows, set(known))
    labels = [cells[2] for cells in rows if len(cells) == 3]
    if labels and len(labels) < len(rows):
        raise ScoresError(f"{path}: {len(rows) - len(labels)} of {len(rows)} lines lack a label")
    unknown = {label for label in labels if label.lower() not in known}
    if unknown:
        raise ScoresError(f"{path}: {UnknownName(f'label of {task.name}', min(unknown)[:_SHOWN], task.labels)}")
    empty = sum(not cell for cells in rows for cell in cells[:2])
    if empty > len(rows) / 2:
        raise ScoresError(f"{path}: {empty} of the texts of {len(rows)} lines are empty")
    pairs = [Pair(cells[0], cells[1]) for cells in rows]
    return new_examples(task, lang, pairs, [known[label.lower()] for label in labels])


def _refuse_header(path: Path, first: Sequence[str]) -> None:
    names = {cell.lower() for cell in first}
    if len(names & _HEADER) >= 2:
        raise ScoresError(
            f"{path}:1: a header with {len(first)} columns ({', '.join(first)[:_SHOWN]} ...), the data set's layout",
            hint="XTREME's scripts make files of two texts and a label, without a header",
        )


def _refuse_columns(path: Path, rows: Sequence[Sequence[str]], labels: set[str]) -> None:
    """Refuse files whose label is where a text belongs."""
    for column in (0, 1):
        if all(cells[column].lower() in labels for cells in rows):
            has_three = all(len(cells) == 3 for cells in rows)
            raise ScoresError(
                f"{path}: column {column + 1} has labels; it takes two texts, then the label"
                if has_three
                else f"{path}: one text and a label a line; it takes two texts, then the label"
            )


def _unquoted(cell: str) -> str:
    """Return a cell without the quotes that Python's csv writer puts around one with a quote in it."""
    cell = cell.strip()
    inner = cell[1:-1]
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell
