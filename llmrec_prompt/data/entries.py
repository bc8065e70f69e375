"""From what a caller gives as history or candidates to items: titles, ids, or items themselves."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from numbers import Integral

from llmrec_prompt.cache import content_key
from llmrec_prompt.data.dataset import Dataset
from llmrec_prompt.data.titles import TitleIndex, TitleMatch
from llmrec_prompt.errors import DataError
from llmrec_prompt.types import Item

Entry = str | Item
"""One thing of a history or of candidates: a title, an id, or an item."""


class Entries:
    """Reads entries by the titles of a catalogue."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    @cached_property
    def _titles(self) -> TitleIndex:
        return TitleIndex(self._dataset.items)

    def match(self, texts: Sequence[str], *, near: bool = True) -> list[TitleMatch]:
        """What each text stands for; without `near`, only what is the id or the title of an item."""
        return [self._titles.match(text, near=near) for text in texts]

    def read(self, entries: Iterable[Entry], what: str, *, near: bool) -> tuple[list[Item], Counter[str]]:
        """The items, in order, and what was not plain about them.

        Events: `typed_as_is` (not in the catalogue, used as it is), `near_match` (taken for a like title).

        Args:
            entries: titles, ids or items; a whole number is taken for an id.
            what: what they are, for errors.
            near: whether a text may stand for a title that it is only like.

        Raises:
            DataError: a text in place of a list, an empty text, or an entry that is none of these.
        """
        if isinstance(entries, str):
            raise DataError(f"{what} is the text {entries!r}; give a list of titles, ids or items.")
        items, events = list[Item](), Counter[str]()
        for entry in entries:
            item = entry if isinstance(entry, Item) else self._item(entry, what, near, events)
            items.append(item)
            events["typed_as_is"] += item.item_id not in self._dataset.index
        return items, +events

    def _item(self, entry: object, what: str, near: bool, events: Counter[str]) -> Item:
        number = isinstance(entry, Integral) and not isinstance(entry, bool)
        text = str(entry) if number else entry
        if not isinstance(text, str):
            raise DataError(f"{what} has {entry!r}; give titles, ids as texts, or items.")
        if not text.strip():
            raise DataError("An empty text is no item. Give a title or an id.")
        match = self._titles.match(text, near=near)
        events["near_match"] += match.item is not None and match.near
        return match.item or typed_item(text)


def typed_item(text: str) -> Item:
    """An item for a text that is in no catalogue; its id tells so.

    >>> typed_item("A film nobody knows").item_id.startswith("typed:")
    True
    """
    return Item(item_id=f"typed:{content_key(text)[:12]}", title=text)
