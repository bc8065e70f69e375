"""What every reader returns: rows as they stand in the files, nothing judged. Knows no file formats."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmrec_prompt.data.impressions import Impressions
from llmrec_prompt.errors import DataError

WHOLE = re.compile(r"\d+\.0|")
Value = str | float | None
"""A cell that should hold a number: text from a CSV, a number from Parquet, or nothing."""


@dataclass(slots=True)
class RawData:
    """A data set before cleaning; the four interaction columns have equal length, in file order.

    `malformed` counts interaction lines that could not be cut into columns; they are in no column.
    `notes` counts what the reader did to the items on the way (for instance tags of unknown items).
    `unread` names the columns of interactions that nothing is made of; `remarks` says what the reader
    guessed; `place` is what was asked to be read.
    """

    name: str
    items: list[dict[str, Any]]
    users: Sequence[str] = ()
    item_ids: Sequence[str] = ()
    ratings: Sequence[Value] = ()
    timestamps: Sequence[Value] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    malformed: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    unread: Sequence[str] = ()
    remarks: list[str] = field(default_factory=list)
    place: str = ""
    impressions: Impressions | None = None
    """Reads what was shown, where that is known; not held, for it may be much."""


def need_columns(path: Path, found: Iterable[str], needed: Iterable[str]) -> None:
    """Check that the columns are there, once each.

    Raises:
        DataError: one is missing (the message lists what was found), or there twice.
    """
    names = list(found)
    for column in needed:
        if column not in names:
            raise DataError(
                f"Column {column!r} is missing in {path}; found: {', '.join(names) or 'nothing'}."
            )
        if names.count(column) > 1:
            raise DataError(f"Column {column!r} is there twice in {path}; rename or remove one.")


def split_rows(lines: Iterable[Sequence[str]], width: int) -> tuple[list[Sequence[str]], int]:
    """Bring rows to `width` fields: short ones are padded with "", long ones are counted and left out.

    Empty lines are not rows.

    >>> split_rows([["a", "b"], ["a"], [], ["a", "b", "c"]], 2)
    ([['a', 'b'], ['a', '']], 1)
    """
    rows = [row for row in lines if row]
    if all(len(row) == width for row in rows):
        return rows, 0
    fitting = [[*row, *[""] * (width - len(row))] for row in rows if len(row) <= width]
    return list(fitting), len(rows) - len(fitting)


def whole_ids(column: Sequence[str]) -> Sequence[str]:
    """Ids without ".0" where all of a column have it: so pandas writes whole numbers where some are missing.

    >>> whole_ids(["11.0", "", "2.0"]), whole_ids(["11.0", "2"])
    (['11', '', '2'], ['11.0', '2'])
    """
    if any(cell and not WHOLE.fullmatch(cell.strip()) for cell in column):
        return column
    return [cell.strip().removesuffix(".0") for cell in column]


def pick_columns(rows: Sequence[Sequence[str]], places: Sequence[int | None]) -> list[Sequence[Any]]:
    """Turn rows into columns; a place of None gives a column of None.

    >>> pick_columns([["a", "b"], ["c", "d"]], [1, None])
    [('b', 'd'), (None, None)]
    """
    columns = list(zip(*rows, strict=True))
    empty = (None,) * len(rows)
    return [empty if place is None or not columns else columns[place] for place in places]
