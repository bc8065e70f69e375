"""MIND folders (Wu et al., ACL 2020): news.tsv and behaviors.tsv, tabs, no header, no quotes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from llmrec_prompt.data.files import read_lines
from llmrec_prompt.data.impressions import Impression
from llmrec_prompt.data.readers.meta import read_meta
from llmrec_prompt.data.readers.raw import RawData, split_rows

NEWS = (
    "item_id",
    "category",
    "subcategory",
    "title",
    "abstract",
    "url",
    "title_entities",
    "abstract_entities",
)
BEHAVIORS = ("impression_id", "user_id", "time", "history", "impressions")
TIME = "%m/%d/%Y %I:%M:%S %p"
"""Such as 11/15/2019 8:55:22 AM; no time zone is given, UTC is taken."""


def is_mind(folder: Path) -> bool:
    """Whether the folder holds MIND's news."""
    return (folder / "news.tsv").is_file()


def read_mind(folder: Path) -> RawData:
    """News as items; the stated histories, undated, and then the clicks as interactions; and the impressions.

    Raises:
        DataError: a file that is not UTF-8.
    """
    meta = {"domain": "news", **read_meta(folder / "meta.json")}
    raw = RawData(name=folder.name, items=[], meta=meta)
    rows, lost = split_rows((line.split("\t") for _, line in read_lines(folder / "news.tsv")), len(NEWS))
    raw.notes = {"news.tsv rows with too many fields, left out": lost} if lost else {}
    raw.items = [_news(dict(zip(NEWS, row, strict=True))) for row in rows]
    path = folder / "behaviors.tsv"
    if path.is_file():
        raw.malformed = sum(len(line.split("\t")) != len(BEHAVIORS) for _, line in read_lines(path))
        raw.impressions = partial(read_behaviors, path)
        _fill_log(raw, path)
    return raw


def _news(row: dict[str, str]) -> dict[str, object]:
    return {
        "item_id": row["item_id"],
        "title": row["title"],
        "categories": [row["category"], row["subcategory"]],
        "description": row["abstract"],
        "url": row["url"],
    }


def read_behaviors(path: Path) -> Iterator[Impression]:
    """The impressions in file order, one at a time; lines without five fields are passed over.

    An item without a label (`N12` for `N12-0`), as in the test part, is shown and not clicked.

    Raises:
        DataError: the file cannot be read as UTF-8.
    """
    for _, line in read_lines(path):
        cells = line.split("\t")
        if len(cells) == len(BEHAVIORS):
            _, user, time, history, shown = cells
            items = [_shown(cell) for cell in shown.split()]
            yield Impression(
                user_id=user.strip(),
                shown=tuple(item_id for item_id, _ in items),
                clicked=tuple(item_id for item_id, clicked in items if clicked),
                history=tuple(history.split()),
                timestamp=_seconds(time),
            )


def _shown(cell: str) -> tuple[str, bool]:
    item_id, dash, label = cell.rpartition("-")
    return (item_id, label == "1") if dash and label in ("0", "1") else (cell, False)


def _seconds(time: str) -> float | None:
    try:
        return datetime.strptime(time.strip(), TIME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _fill_log(raw: RawData, path: Path) -> None:
    """A history item once for each user; a click at its time."""
    stated: dict[tuple[str, str], None] = {}
    clicks: list[tuple[str, str, float | None]] = []
    undated = 0
    for impression in read_behaviors(path):
        user = impression.user_id
        stated |= dict.fromkeys((user, item_id) for item_id in impression.history or ())
        clicks += [(user, item_id, impression.timestamp) for item_id in impression.clicked]
        undated += impression.timestamp is None
    rows = [*((user, item_id, None) for user, item_id in stated), *clicks]
    raw.users, raw.item_ids = [row[0] for row in rows], [row[1] for row in rows]
    raw.ratings, raw.timestamps = [None] * len(rows), [row[2] for row in rows]
    if undated:
        raw.notes["impressions whose time cannot be read"] = undated
