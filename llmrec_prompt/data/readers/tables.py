"""Our own two-file form: items.jsonl|csv|parquet and, if there are logs, interactions.csv|parquet.

Items have item_id and title, and may have categories, description, creator, year, tags, price and
anything else; interactions have user_id and item_id, and may have rating and timestamp (epoch seconds; see
`data.rows.read_times` for other units). Columns may have other names; see `columns`.
In CSV the list fields are split on '|'. meta.json is optional, and so is impressions.jsonl, which says what
was shown to whom (see `data.impressions`). Knows nothing about cleaning.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from llmrec_prompt.data.catalogue import HALVES, LISTS
from llmrec_prompt.data.files import parse_json, read_lines
from llmrec_prompt.data.impressions import read_impressions
from llmrec_prompt.data.readers.columns import (
    ITEM_COLUMNS,
    LOG_COLUMNS,
    Names,
    check_mapping,
    mapping_of,
    read_as,
)
from llmrec_prompt.data.readers.csv_rows import read_csv
from llmrec_prompt.data.readers.meta import read_meta
from llmrec_prompt.data.readers.raw import RawData, pick_columns, split_rows, whole_ids
from llmrec_prompt.errors import DataError, MissingExtra, first_line

ITEM_FILES = ("items.jsonl", "items.csv", "items.parquet")
LOG_FILES = ("interactions.csv", "interactions.parquet")
IMPRESSIONS = "impressions.jsonl"


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
    mapping = mapping_of(raw.meta)
    found = fill_items(raw, items, mapping)
    if (folder / IMPRESSIONS).is_file():
        raw.impressions = partial(read_impressions, folder / IMPRESSIONS)
    log = find_one(folder, LOG_FILES)
    if log is not None:
        found = [*found, *fill_log(raw, log, mapping)]
    check_mapping(mapping, found, folder, with_log=log is not None)
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


def fill_items(raw: RawData, path: Path, mapping: Names) -> Sequence[str]:
    """Read the items file into `raw`, in file order; returns the names of its columns as they stand.

    Raises:
        DataError: a line cannot be read, item_id or title is missing as a column, or two columns are one.
    """
    if path.suffix == ".csv":
        return _fill_csv_items(raw, path, mapping)
    if path.suffix == ".jsonl":
        return _fill_jsonl_items(raw, path, mapping)
    found, columns = read_parquet(path)
    names = read_as(raw, path, found, mapping, ITEM_COLUMNS)
    raw.items = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return found


def _fill_jsonl_items(raw: RawData, path: Path, mapping: Names) -> Sequence[str]:
    rows = list(read_jsonl(path))
    found = list(dict.fromkeys(key for row in rows for key in row))
    names = read_as(raw, path, found, mapping, ITEM_COLUMNS) if rows else []
    new = dict(zip(found, names, strict=True))
    raw.items = rows if names == found else [{new[key]: row[key] for key in row} for row in rows]
    return found


def _fill_csv_items(raw: RawData, path: Path, mapping: Names) -> Sequence[str]:
    found, lines, raw.notes = read_csv(path, mapping)
    names = read_as(raw, path, found, mapping, ITEM_COLUMNS)
    rows, too_long = split_rows(lines, len(names))
    if too_long:
        raise DataError(f"{path}: {too_long} rows have more than {len(names)} fields; quote their commas.")
    raw.items = [_split_lists(dict(zip(names, row, strict=True))) for row in rows]
    return found


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
        value = parse_json(line)
    except ValueError as exc:
        raise DataError(f"{path}, line {number}: not JSON ({exc}); correct the line.") from exc
    if not isinstance(value, dict):
        raise DataError(f"{path}, line {number}: found a {type(value).__name__}; expected a JSON object.")
    if ("\\ud" in line or "\\uD" in line) and HALVES.search(json.dumps(value, ensure_ascii=False)):
        raise DataError(f"{path}, line {number}: half a character, such as \\ud83d alone; correct the line.")
    return value


def _split_lists(row: Mapping[str, str]) -> dict[str, Any]:
    return {key: value.split("|") if key in LISTS else value for key, value in row.items()}


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


def fill_log(raw: RawData, path: Path, mapping: Names) -> Sequence[str]:
    """Read the interactions file into the columns of `raw`; returns the names of its columns as they stand.

    Raises:
        DataError: user_id or item_id is missing as a column, two are one, or the file cannot be read.
    """
    if path.suffix == ".parquet":
        found, columns = read_parquet(path)
        nothing = [None] * len(columns[0]) if columns else []
        places = _log_places(raw, path, found, mapping)
        picked = [nothing if place is None else columns[place] for place in places]
        raw.users, raw.item_ids = (list(_texts(column)) for column in picked[:2])
        raw.ratings, raw.timestamps = picked[2:]
        return found
    found, lines, notes = read_csv(path, mapping)
    raw.notes |= notes
    places = _log_places(raw, path, found, mapping)
    cells, raw.malformed = split_rows(lines, len(found))
    users, item_ids, raw.ratings, raw.timestamps = pick_columns(cells, places)
    as_they_stand = not {str(row.get("item_id")) for row in raw.items}.isdisjoint(item_ids)
    raw.users, raw.item_ids = whole_ids(users), item_ids if as_they_stand else whole_ids(item_ids)
    return found


def _log_places(raw: RawData, path: Path, found: Sequence[str], mapping: Names) -> list[int | None]:
    """Where each of `LOG_COLUMNS` stands; `raw.unread` names the others."""
    names = read_as(raw, path, found, mapping, LOG_COLUMNS)
    both = zip(found, names, strict=True)
    raw.unread = [name for name, ours in both if name and ours not in LOG_COLUMNS]
    return [names.index(name) if name in names else None for name in LOG_COLUMNS]


def _texts(values: Sequence[Any]) -> Iterator[str]:
    # A nullable integer column comes back as floats: 12.0 has to meet the catalogue's "12".
    for value in values:
        whole = isinstance(value, float) and value.is_integer()
        yield "" if value is None else str(int(value) if whole else value)
