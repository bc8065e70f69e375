"""Rows in memory → `RawData`, as a reader returns it: objects or dicts. Knows no files."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llmrec_prompt.data.catalogue import HALVES, text
from llmrec_prompt.data.readers.raw import RawData
from llmrec_prompt.errors import DataError
from llmrec_prompt.types import Interaction, Item

RECORDS = "(of a pandas table: table.to_dict('records'))"


def raw_of(
    items: Iterable[Item | Mapping[str, Any]],
    interactions: Iterable[Interaction | Mapping[str, Any]],
    name: str,
) -> RawData:
    """The rows as they are; numbers that serve as ids become texts.

    Raises:
        DataError: a row of another type, without a user or an item, or with half a character.
    """
    rows = [_item_row(item, place) for place, item in enumerate(items)]
    logs = [_log_row(row, place) for place, row in enumerate(interactions)]
    users, item_ids, ratings, times = map(list, zip(*logs, strict=True)) if logs else ([], [], [], [])
    return RawData(name, rows, users, item_ids, ratings, times)


def _item_row(item: Item | Mapping[str, Any], place: int) -> dict[str, Any]:
    if isinstance(item, Item):
        return _whole(item.model_dump(), f"Item {place}")
    if isinstance(item, Mapping):
        return _whole(dict(item), f"Item {place}")
    kind = type(item).__name__
    raise DataError(f"Item {place} is a {kind}; give an Item, or a dict with item_id and title {RECORDS}.")


def _log_row(row: Interaction | Mapping[str, Any], place: int) -> tuple[str, str, Any, Any]:
    """User, item, rating, time of an interaction, of a dict, or of anything with a user_id and an item_id."""
    names = ("user_id", "item_id", "rating", "timestamp")
    taken = {name: getattr(row, name) for name in names if hasattr(row, name)}
    found = row if isinstance(row, Mapping) else taken
    if "user_id" not in found or "item_id" not in found:
        raise DataError(
            f"Interaction {place} is {row!r:.100}; give an Interaction, or a dict with user_id, item_id and, "
            f"where known, rating and timestamp {RECORDS}."
        )
    user, item = text(found["user_id"]), text(found["item_id"])
    if not (user.isascii() and item.isascii()):
        _whole({"user_id": user, "item_id": item}, f"Interaction {place}")
    return user, item, found.get("rating"), found.get("timestamp")


def _whole(row: dict[str, Any], what: str) -> dict[str, Any]:
    """The row, which has no half characters."""
    if HALVES.search(json.dumps(row, ensure_ascii=False, skipkeys=True, default=str)):
        raise DataError(
            f"{what} has half a character, such as \\ud83d alone: {row!r:.100}; correct its texts."
        )
    return row
