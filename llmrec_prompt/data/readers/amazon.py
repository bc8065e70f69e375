"""Amazon reviews of 2018 (Ni et al., EMNLP 2019) and 2023 (Hou et al., arXiv 2403.03952), one category.

A folder holds meta_CATEGORY.json(l)(.gz) and CATEGORY.json(l)(.gz), as they are downloaded. Of the metadata
only what was there before anybody reviewed is read: average_rating, rating_number and sales ranks are made
of the very reviews that an evaluation holds out.
"""

import html
import re
from pathlib import Path
from typing import Any

from llmrec_prompt.data.readers.meta import read_meta
from llmrec_prompt.data.readers.raw import RawData, need_columns
from llmrec_prompt.data.readers.tables import read_jsonl
from llmrec_prompt.errors import DataError

SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz")
DOMAINS = {
    "Books": "books",
    "CDs_and_Vinyl": "music",
    "Digital_Music": "music",
    "Kindle_Store": "books",
    "Movies_and_TV": "movies",
    "Video_Games": "games",
}
"""Category → our domain; all others are shopping."""
REVIEW_2018 = ("reviewerID", "asin", "overall", "unixReviewTime")
REVIEW_2023 = ("user_id", "parent_asin", "rating", "timestamp")
SCRIPT = "getTime"
"""Some titles of 2018 are the page's script; the publishers' own notebook drops titles with this word."""
PRICE = re.compile(r"\$?\s*([\d,]+(?:\.\d+)?)")


def is_amazon(folder: Path) -> bool:
    """Whether the folder holds metadata of Amazon reviews."""
    return bool(_named(folder, meta=True))


def read_amazon(folder: Path) -> RawData:
    """Read the metadata of one category and, if there, its reviews; the year is told by the field names.

    Raises:
        DataError: several categories, a line that is no JSON object, or fields of neither year.
    """
    path = _only(folder, _named(folder, meta=True))
    category = path.name.removeprefix("meta_").split(".")[0]
    meta = {"domain": DOMAINS.get(category, "shopping"), **read_meta(folder / "meta.json")}
    raw = RawData(name=category, items=[_item(path, row) for row in read_jsonl(path)], meta=meta)
    reviews = _named(folder, meta=False)
    if reviews:
        _fill_log(raw, _only(folder, reviews))
    return raw


def _named(folder: Path, *, meta: bool) -> list[Path]:
    paths = [path for path in sorted(folder.iterdir()) if path.name.endswith(SUFFIXES)]
    return [path for path in paths if path.name.startswith("meta_") == meta and path.name != "meta.json"]


def _only(folder: Path, paths: list[Path]) -> Path:
    if len(paths) != 1:
        names = ", ".join(path.name for path in paths)
        raise DataError(f"{folder} needs one meta_CATEGORY and one CATEGORY file; found: {names}. Keep one.")
    return paths[0]


def _item(path: Path, row: dict[str, Any]) -> dict[str, Any]:
    """An item of either year: parent_asin, main_category, store in 2023; asin, main_cat, brand in 2018."""
    if "parent_asin" not in row:
        need_columns(path, row, ("asin",))
    title = html.unescape(str(row.get("title") or ""))
    categories = (
        row.get("categories") or row.get("category") or row.get("main_category") or row.get("main_cat")
    )
    return {
        "item_id": row.get("parent_asin") or row.get("asin"),
        "title": "" if SCRIPT in title else title,
        "categories": _texts(categories),
        "description": " ".join(_texts(row.get("description"))),
        "creator": html.unescape(str(row.get("store") or row.get("brand") or "")),
        "price": _price(row.get("price")),
        "features": _texts(row.get("features") or row.get("feature")),
    }


def _texts(value: object) -> list[str]:
    parts = value if isinstance(value, list) else [value]
    return [html.unescape(str(part)) for part in parts if part]


def _price(value: object) -> object:
    """The number in "$1,234.50"; anything else as it is, for cleaning to judge."""
    if value == "None":
        return None
    found = PRICE.fullmatch(value.strip()) if isinstance(value, str) else None
    return found[1].replace(",", "") if found else value


def _fill_log(raw: RawData, path: Path) -> None:
    """Ratings and times: seconds in 2018, milliseconds in 2023, which `data.rows` tells apart."""
    rows: list[tuple[str, str, Any, Any]] = []
    for review in read_jsonl(path):
        fields = REVIEW_2023 if "parent_asin" in review else REVIEW_2018
        need_columns(path, review, fields[:2])
        user, item, rating, time = (review.get(name) for name in fields)
        rows.append((str(user or ""), str(item or ""), rating, time))
    if rows:
        raw.users, raw.item_ids, raw.ratings, raw.timestamps = zip(*rows, strict=True)
