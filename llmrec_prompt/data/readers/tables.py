"""Our own two-file form: items.jsonl|csv|parquet and, if there are logs, interactions.csv|parquet.

Items have item_id and title, and may have categories, description, creator, year, tags, price and
anything else; interactions have user_id and item_id, and may have rating and timestamp (epoch seconds; see
`data.rows.read_times` for other units).
In CSV the list fields are split on '|'. meta.json is optional, and so is impressions.jsonl, which says what
was shown to whom (see `data.impressions`). Knows nothing about cleaning.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from llmrec_prompt.data.catalogue import LISTS
from llmrec_prompt.data.files import read_lines
from llmrec_prompt.data.impressions import read_impressions
from llmrec_prompt.data.readers.csv_rows import read_csv
from llmrec_prompt.data.readers.meta import read_meta
from llmrec_prompt.data.readers.raw import RawData, need_columns, pick_columns, split_rows, whole_ids
from llmrec_prompt.errors import DataError, MissingExtra, first_line

ITEM_FILES = ("items.jsonl", "items.csv", "items.parquet")
LOG_FILES = ("interactions.csv", "interactions.parquet")
IMPRESSIONS = "impressions.jsonl"
HALVES = re.compile("[\\ud800-\\udfff]")
"""Surrogates that have no partner, as where a text was cut within an emoji: JSON may hold them, UTF-8 not."""


def read_tables(folder: Path) -> RawData:
    """Read a two-file folder.

    Raises:
        DataError: no items file, a missing column, or a line that cannot be read.
        MissingExtra: a Parquet file without pyarrow.
    """
    items = find_one(folder, ITEM_FILES)
    if items is None:
        raise DataError(f"No items file in {folder}; expected one of {', '.join(ITEM_FILES)}.")
    raw = RawData(name=folder.name, items=[], meta=read_meta(folder / "meta.json"))
    fill_items(raw, items)
    if (folder / IMPRESSIONS).is_file():
        raw.impressions = partial(read_impressions, folder / IMPRESSIONS)
    log = find_one(folder, LOG_FILES)
    if log is not None:
        fill_log(raw, log)
    return raw


def find_one(folder: Path, names: Sequence[str]) -> Path | None:
    """The one of the named files that is there, or None.

    Raises:
        DataError: several are there, so it is unclear which one is meant.
    """
    found = [name for name in names if (folder / name).is_file()]
    if len(found) > 1:
        raise DataError(f"{folder} holds {' and '.join(found)}; keep one of them.")
    return folder / found[0] if found else None


def fill_items(raw: RawData, path: Path) -> None:
    """Read the items file into `raw`, in file order.

    Raises:
        DataError: a line cannot be read, or item_id or title is missing as a column.
    """
    if path.suffix == ".csv":
        raw.items, raw.notes = _read_csv_items(path)
    else:
        raw.items = list(read_jsonl(path)) if path.suffix == ".jsonl" else _read_parquet_items(path)
    found = dict.fromkeys(key for row in raw.items for key in row)
    if raw.items:
        need_columns(path, found, ("item_id", "title"))


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """One JSON object per line; empty lines are skipped.

    Raises:
        DataError: a line is not a JSON object; names the file and the line.
    """
    return (parse_object(line, path, number) for number, line in read_lines(path))


def parse_object(line: str, path: Path, number: int) -> dict[str, Any]:
    """A line as a JSON object.

    Raises:
        DataError: it is none; names the file and the line.
    """
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as exc:
        reason = getattr(exc, "msg", "nested too deeply")
        raise DataError(f"{path}, line {number}: not JSON ({reason}); correct the line.") from exc
    if not isinstance(value, dict):
        raise DataError(f"{path}, line {number}: found a {type(value).__name__}; expected a JSON object.")
    if ("\\ud" in line or "\\uD" in line) and HALVES.search(json.dumps(value, ensure_ascii=False)):
        raise DataError(f"{path}, line {number}: half a character, such as \\ud83d alone; correct the line.")
    return value


def _read_csv_items(path: Path) -> tuple[list[dict[str, Any]], dict[str, int]]:
    header, lines, notes = read_csv(path)
    need_columns(path, header, ("item_id", "title"))
    rows, too_long = split_rows(lines, len(header))
    if too_long:
        raise DataError(f"{path}: {too_long} rows have more than {len(header)} fields; quote their commas.")
    return [_split_lists(dict(zip(header, row, strict=True))) for row in rows], notes


def _split_lists(row: Mapping[str, str]) -> dict[str, Any]:
    return {key: value.split("|") if key in LISTS else value for key, value in row.items()}


def _read_parquet_items(path: Path) -> list[dict[str, Any]]:
    names, columns = read_parquet(path)
    need_columns(path, names, ("item_id", "title"))
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def read_parquet(path: Path) -> tuple[list[str], list[list[Any]]]:
    """Names and cells of the columns of a Parquet file.

    Raises:
        DataError: it is none.
        MissingExtra: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as exc:
        raise MissingExtra("Parquet files", "parquet") from exc
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as exc:
        raise DataError(f"{path} cannot be read as Parquet: {first_line(exc)}.") from exc
    return list(table.column_names), [column.to_pylist() for column in table.columns]


def fill_log(raw: RawData, path: Path) -> None:
    """Read the interactions file into the columns of `raw`.

    Raises:
        DataError: user_id or item_id is missing as a column, or the file cannot be read.
    """
    if path.suffix == ".parquet":
        names, columns = read_parquet(path)
        need_columns(path, names, ("user_id", "item_id"))
        rows = len(columns[0])
        raw.unread = _others(names)
        picked = [columns[names.index(n)] if n in names else [None] * rows for n in _LOG_COLUMNS]
        raw.users, raw.item_ids = (list(_texts(column)) for column in picked[:2])
        raw.ratings, raw.timestamps = picked[2:]
        return
    header, lines, notes = read_csv(path)
    need_columns(path, header, ("user_id", "item_id"))
    raw.notes |= notes
    raw.unread = _others(header)
    cells, raw.malformed = split_rows(lines, len(header))
    places = [header.index(name) if name in header else None for name in _LOG_COLUMNS]
    users, item_ids, raw.ratings, raw.timestamps = pick_columns(cells, places)
    as_they_stand = not {str(row.get("item_id")) for row in raw.items}.isdisjoint(item_ids)
    raw.users, raw.item_ids = whole_ids(users), item_ids if as_they_stand else whole_ids(item_ids)


_LOG_COLUMNS = ("user_id", "item_id", "rating", "timestamp")


def _others(names: Sequence[str]) -> list[str]:
    return [name for name in names if name and name not in _LOG_COLUMNS]


def _texts(values: Sequence[Any]) -> Iterator[str]:
    # A nullable integer column comes back as floats: 12.0 has to meet the catalogue's "12".
    for value in values:
        whole = isinstance(value, float) and value.is_integer()
        yield "" if value is None else str(int(value) if whole else value)
