"""Raw item rows → `Item`s: ids and years become strings, lists become tuples. Knows no files."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from llmrec_prompt.data.clean import Step
from llmrec_prompt.errors import DataError
from llmrec_prompt.types import Item

TEXTS = ("item_id", "title", "description", "creator", "year")
LISTS = ("categories", "tags")
BAD_PRICE = "price that is no number, emptied"
SIGNED = re.compile(r"[$€£¥]\s*(\d+(?:\.\d+)?|\d{1,3}(?:,\d{3})+(?:\.\d+)?)|(\d+(?:\.\d+)?)\s*[$€£¥]")
"""A price with its currency's sign; "3,50 €" could be two things and is none."""
HALVES = re.compile("[\\ud800-\\udfff]")
"""Surrogates without a partner, as where a text was cut within an emoji: Python has them, UTF-8 has not."""
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})
"""Unicode's categories of what nobody sees: control, format, surrogate, private, unassigned, white space."""
BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0").union(
    map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
"""Letters and signs that are drawn as nothing, selectors of variants among them."""


def build_items(
    rows: Iterable[Mapping[str, Any]], source: str
) -> tuple[tuple[Item, ...], Step, dict[str, int]]:
    """Items in file order, what was left out and why, and what was changed.

    Left out: no item_id, no title that can be seen, an item_id seen before (the first stays).

    Raises:
        DataError: no item is left.
    """
    items: dict[str, Item] = {}
    lost: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    for row in rows:
        fields = clean_fields(row)
        reason = _fault(fields, items)
        if reason:
            lost[reason] += 1
            continue
        if fields["price"] is None and text(row.get("price")):
            notes[BAD_PRICE] += 1
        items[fields["item_id"]] = Item.model_validate(fields)
    if not items:
        found = ", ".join(f"{count} rows with {why}" for why, count in lost.items()) or "no rows"
        raise DataError(f"The catalogue of {source} is empty: found {found}; add items with a title.")
    step = Step("items", len(items) + lost.total(), len(items), dict(lost))
    return tuple(items.values()), step, dict(notes)


def _fault(fields: Mapping[str, Any], items: Mapping[str, Item]) -> str:
    if not fields["item_id"]:
        return "no item_id"
    if not is_visible(fields["title"]):
        return "no title"
    return "duplicate item_id" if fields["item_id"] in items else ""


def is_visible(title: str) -> bool:
    r"""Whether anything of a text can be seen; a prompt would have an empty line where nothing can.

    >>> is_visible("\u200b "), is_visible("\u200bA")
    (False, True)
    """
    return any(c not in BLANKS and unicodedata.category(c) not in UNSEEN for c in title)


def clean_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with known fields in their types; unknown fields as they came.

    >>> clean_fields({"item_id": 7, "title": " A ", "categories": "Drama", "shelf": 2})["categories"]
    ('Drama',)
    """
    fields = {key: value for key, value in row.items() if isinstance(key, str) and key}
    fields |= {key: text(row.get(key)) for key in TEXTS}
    fields |= {key: text_list(row.get(key)) for key in LISTS}
    fields["price"] = price(row.get("price"))
    return fields


def text(value: object) -> str:
    """A cell as stripped text; nothing gives "", whole floats lose their ".0", lists are joined.

    >>> text(1999.0), text(None), text(["A", "B"])
    ('1999', '', 'A, B')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple):
        return ", ".join(part for part in map(text, value) if part)
    return str(value).strip()


def text_list(value: object) -> tuple[str, ...]:
    """A cell as a tuple of texts without empty ones and repeats; a lone text is a list of one."""
    parts = value if isinstance(value, list | tuple) else [value]
    return tuple(dict.fromkeys(part for part in map(text, parts) if part))


def number(value: object) -> float | None:
    """A finite number, or None.

    >>> number("2.50"), number("cheap"), number("nan")
    (2.5, None, None)
    """
    if value is None or isinstance(value, bool):
        return None
    try:
        found = float(str(value))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def price(value: object) -> float | None:
    """A number with or without a currency's sign, or None.

    >>> price("$1,234.50"), price("3.50 €"), price("3,50 €"), price("from $3")
    (1234.5, 3.5, None, None)
    """
    found = SIGNED.fullmatch(text(value))
    return number((found[1] or found[2]).replace(",", "") if found else value)
