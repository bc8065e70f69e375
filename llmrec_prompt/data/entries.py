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

        Events: `typed_as_is` (not in the catalogue, used as it is), `near_match` (taken for what it is only
        like: see `TitleIndex.match`), `ambiguous_text` (another item has that title, too; an id goes before
        titles, and else the first is taken), `catalogue_item` (an item that says other things than the
        catalogue's of its id and title, which is taken: rankers that know the catalogue cannot read another).

        Args:
            entries: titles, ids or items; a whole number is taken for an id.
            what: what they are, for errors.
            near: whether a text may stand for what it is only like.

        Raises:
            DataError: no list, an empty text or one with half a character, an entry that is none of these, or
                an item that has the id of another in the catalogue.
        """
        if isinstance(entries, str):
            raise DataError(f"{what} is the text {entries!r}; give a list of titles, ids or items.")
        if isinstance(entries, bytes | Item) or not isinstance(entries, Iterable):
            raise DataError(f"{what} is {entries!r:.60}; give a list of titles, ids or items.")
        items, events = list[Item](), Counter[str]()
        for entry in entries:
            item = self._meant(entry, what, near, events)
            items.append(item)
            events["typed_as_is"] += item.item_id not in self._dataset.index
        return items, +events

    def _own(self, item: Item, what: str, events: Counter[str]) -> Item:
        """The catalogue's item of the same id, or the item itself where there is none."""
        row = self._dataset.index.get(item.item_id)
        known = item if row is None else self._dataset.items[row]
        if known is item:
            return item
        if known.title != item.title.strip():
            raise DataError(
                f"{what} has an item {item.item_id!r} titled {item.title!r:.60}, but in the catalogue that "
                f"is {known.title!r:.60}. Give the id alone to mean that one, or another item_id."
            )
        events["catalogue_item"] += known != item
        return known

    def _meant(self, entry: object, what: str, near: bool, events: Counter[str]) -> Item:
        if isinstance(entry, Item):
            return self._own(entry, what, events)
        number = isinstance(entry, Integral) and not isinstance(entry, bool)
        text = str(entry) if number else check_text(entry, what)
        if number and text in self._dataset.index:
            return self._dataset.item(text)
        match = self._titles.match(text, near=near)
        events["near_match"] += match.item is not None and match.near
        events["ambiguous_text"] += match.ambiguous
        return match.item or typed_item(text)


def check_text(entry: object, what: str) -> str:
    """A text that can be matched and shown to a model.

    Raises:
        DataError: no text, an empty one, or half a character in it (a lone surrogate, which UTF-8 lacks).
    """
    if not isinstance(entry, str):
        raise DataError(f"{what} has {entry!r}; give titles, ids as texts, or items.")
    if not entry.strip():
        raise DataError("An empty text is no item. Give a title or an id.")
    if entry != entry.encode(errors="replace").decode():
        raise DataError(f"{what} has {entry!r} with half a character in it; read or cut it as UTF-8 text.")
    return entry


def typed_item(text: str) -> Item:
    """An item for a text that is in no catalogue; its id tells so.

    >>> typed_item("A film nobody knows").item_id.startswith("typed:")
    True
    """
    return Item(item_id=f"typed:{content_key(text)[:12]}", title=text)
