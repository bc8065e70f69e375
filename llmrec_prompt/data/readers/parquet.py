"""Parquet folders as HF `datasets` are stored: any number of shards, below the folder or two levels deep.

What a file holds is told by its columns: a user and an item are interactions, an item and a title without a
user are items. All splits (train, validation, test) are read: splitting is the business of `data.splits`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmrec_prompt.data.catalogue import text
from llmrec_prompt.data.readers.meta import read_meta
from llmrec_prompt.data.readers.raw import RawData
from llmrec_prompt.data.readers.recbole import COMMON
from llmrec_prompt.data.readers.tables import read_parquet
from llmrec_prompt.errors import DataError

USERS = ("user_id", "user", "userId", "reviewerID", "customer_id", "session_id")
ITEMS = ("item_id", "item", "itemId", "parent_asin", "asin", "product_id", "movie_id", "movieId", "book_id")
RATINGS = ("rating", "overall", "score", "stars")
TIMES = ("timestamp", "time", "unixReviewTime", "date", "datetime")
"""Columns that hold each, in the order they are looked for."""
LEVELS = ("*.parquet", "*/*.parquet", "*/*/*.parquet")

Table = dict[str, list[Any]]


def is_parquet(folder: Path) -> bool:
    """Whether there are Parquet files in the folder or below."""
    return any(next(folder.glob(level), None) is not None for level in LEVELS)


def read_parquet_folder(folder: Path) -> RawData:
    """Read all shards; without files of items, the items are those of the interactions' titles.

    Raises:
        DataError: a file that is no Parquet, no file with an item and a title, or titles that are not the
            items' (such as those of reviews).
        MissingExtra: pyarrow is not installed.
    """
    raw = RawData(name=folder.name, items=[], meta=read_meta(folder / "meta.json"))
    logs: list[Table] = []
    other = 0
    for path in sorted(path for level in LEVELS for path in folder.glob(level)):
        names, columns = read_parquet(path)
        table = dict(zip(names, columns, strict=True))
        if not _pick(table, ITEMS):
            other += 1
        elif _pick(table, USERS):
            logs.append(table)
        elif _pick(table, COMMON["title"]):
            raw.items += _items(table)
    raw.notes = {"Parquet files without a column of items, left out": other} if other else {}
    if not raw.items:
        raw.items = _items_of_logs(folder, logs)
    _fill_log(raw, logs)
    return raw


def _pick(table: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in table), None)


def _items(table: Table) -> list[dict[str, Any]]:
    """Rows as items; columns keep their names where we have none of our own."""
    renamed = {theirs: ours for ours, names in COMMON.items() if (theirs := _pick(table, names))}
    renamed |= {name: "item_id" for name in [_pick(table, ITEMS)] if name}
    ours = [renamed.get(name, name) for name in table]
    return [dict(zip(ours, cells, strict=True)) for cells in zip(*table.values(), strict=True)]


def _items_of_logs(folder: Path, logs: list[Table]) -> list[dict[str, Any]]:
    """The items that interactions carry with them.

    Raises:
        DataError: no titles, or most items that stand in several rows have several titles.
    """
    titles: defaultdict[str, dict[str, int]] = defaultdict(dict)
    found: dict[str, dict[str, Any]] = {}
    for table in logs:
        own = [*USERS, *RATINGS, *TIMES]
        for row in _items({name: cells for name, cells in table.items() if name not in own}):
            item_id, title = text(row["item_id"]), text(row.get("title"))
            found.setdefault(item_id, row)
            titles[item_id][title] = titles[item_id].get(title, 0) + 1
    if not any(title for seen in titles.values() for title in seen):
        raise DataError(
            f"{folder} has no Parquet file with an item ({', '.join(ITEMS)}) and a title "
            f"({', '.join(COMMON['title'])}). Rename the columns, or add a file of items."
        )
    often = [seen for seen in titles.values() if sum(seen.values()) > 1]
    if sum(len(seen) > 1 for seen in often) * 2 > len(often):
        raise DataError(
            f"{folder}: titles differ from row to row, so they are not the items'. Add a file of items."
        )
    return list(found.values())


def _fill_log(raw: RawData, logs: list[Table]) -> None:
    users: list[str] = []
    items: list[str] = []
    ratings: list[Any] = []
    times: list[Any] = []
    for table in logs:
        columns = [_column(table, names) for names in (USERS, ITEMS, RATINGS, TIMES)]
        users += map(text, columns[0])
        items += map(text, columns[1])
        ratings += columns[2]
        times += columns[3]
    raw.users, raw.item_ids, raw.ratings, raw.timestamps = users, items, ratings, times


def _column(table: Table, names: Sequence[str]) -> list[Any]:
    name = _pick(table, names)
    return table[name] if name else [None] * len(next(iter(table.values())))
