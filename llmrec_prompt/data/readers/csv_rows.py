"""CSV files as rows: forgiving of quotes within a line, not of a quote that swallows the lines after it."""

import contextlib
import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from llmrec_prompt.data.files import read_text
from llmrec_prompt.errors import DataError

SIGNS = (";", "\t")
"""What separates fields where commas do not: so spreadsheets write in many languages."""
KNOWN = frozenset({"item_id", "user_id", "title"})
"""Names by which a header is recognised."""
END = ","
"""A line after the last one: it is a record of its own unless a quote is still open before it."""


class CsvRows(NamedTuple):
    """Header and rows as they stand; `notes` counts rows that go over several lines, if there are any."""

    header: list[str]
    rows: list[list[str]]
    notes: dict[str, int]


def read_csv(path: Path, names: Iterable[str] = ()) -> CsvRows:
    """Read a CSV file, whose header may hold `names` that are known beside `KNOWN`.

    Commas separate fields, or else `SIGNS`. Within one line anything goes, such as the field `"Weird Al" X`.
    A record that goes over several lines has to be correct, for it may be a quote that nobody closed and the
    rows that it took for text.

    Raises:
        DataError: not UTF-8, not CSV, separated by something else, or a quote left open (names the line).
    """
    text = io.StringIO(read_text(path), newline="")
    first = text.readline()
    text.seek(0)
    sign = _sign_of(first, names)
    lines: list[str] = []  # of the record that is being read
    reader = csv.reader(_keeping(text, lines), delimiter=sign)
    rows: list[list[str]] = []
    several = 0
    try:
        for row in reader:
            if len(lines) > 1:
                _check_long(row, lines, sign, len(rows[0]) if rows else len(row))
                several += 1
            rows.append(row)
            lines.clear()
    except csv.Error as exc:
        raise DataError(_complaint(path, reader.line_num, len(lines), str(exc))) from exc
    header = [name.strip() for name in rows[0]] if len(rows) > 1 else []
    _check_separator(path, header)
    notes = {f"{path.name} rows that go over several lines": several} if several else {}
    return CsvRows(header, rows[1:-1], notes)


def _sign_of(header: str, names: Iterable[str] = ()) -> str:
    """What separates fields: that under which the header has a name we know, or else commas if there are any.

    >>> _sign_of('item_id;title;"Preis, EUR"'), _sign_of("Name, short"), _sign_of("sku;Name")
    (';', ',', ';')
    >>> _sign_of('sku;Name;"Price, EUR"', ["sku", "Name"])
    ';'
    """
    known = {*KNOWN, *(name.strip().lower() for name in names)}
    for sign in (",", *SIGNS):
        with contextlib.suppress(csv.Error):  # it is told of where the whole is read
            fields = next(csv.reader([header], delimiter=sign), [])
            if known.intersection(name.strip().lower() for name in fields):
                return sign
    return next((sign for sign in SIGNS if sign in header and "," not in header), ",")


def _check_separator(path: Path, header: list[str]) -> None:
    """Refuse a header that is one field to us and several to whoever wrote it.

    Raises:
        DataError: as said.
    """
    if len(header) == 1 and "|" in header[0]:
        raise DataError(f"{path} is separated by bars: its header is {header[0]!r}. Save it with commas.")


def _keeping(text: io.StringIO, lines: list[str]) -> Iterator[str]:
    for line in text:
        lines.append(line)
        yield line
    lines.append(END)
    yield END


def _check_long(row: list[str], lines: list[str], sign: str, width: int) -> None:
    """See that a record of several lines is one.

    Raises:
        csv.Error: the file ends in it, something follows a closing quote, or it has not `width` fields.
    """
    if lines[-1] == END:
        raise csv.Error("the file ends inside it")
    list(csv.reader(lines, strict=True, delimiter=sign))
    if len(row) != width:
        raise csv.Error(f"it has {len(row)} fields, the header {width}")


def _complaint(path: Path, last: int, lines: int, reason: str) -> str:
    first = last - lines + 1
    if lines == 1:
        return f"{path}, line {first}: not CSV ({reason}); correct the line."
    return (
        f"{path}, line {first}: a quote opens in this record that is not closed where it should be "
        f"({reason}). Close it, or double it where it is part of the text."
    )
