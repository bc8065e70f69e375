"""From what a user typed to an item of the catalogue: id, title, title without year or article, near miss.

Knows titles only; asks no model.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from llmrec_prompt.errors import DataError
from llmrec_prompt.types import Item

YEAR = re.compile(r"\s*\((\d{4})\)\s*$")
YEAR_ALONE = re.compile(r"\b\d{4}\b")
ARTICLES = (
    *("the", "a", "an", "le", "la", "les", "il", "lo", "el", "los", "las"),
    *("der", "die", "das", "ein", "eine"),
)
ARTICLE_LAST = re.compile(rf"^(.*), ({'|'.join(ARTICLES)}|l')$")
INVERTED = re.compile(rf"^([^()]+), ({'|'.join(a.capitalize() for a in ARTICLES)}|L')(\s*\(.*)?$")
SUBTITLE = re.compile(r":| - | \(")
REMARK = re.compile(r"\((?:a\.k\.a\. )?([^()]+)\)")
MAIN_SCORE = 95.0
PREFIX_SCORE = 90.0
CAPITALS_SCORE = 95.0
SEQUEL_PENALTY = 0.8
OTHER_YEAR_PENALTY = 0.9


@dataclass(frozen=True, slots=True)
class TitleMatch:
    """The answer for one text. `item` is None below the threshold; `nearest` is always there.

    `score` runs 0 to 100; 100 is an id or a title, apart from case, year, article and punctuation.
    """

    text: str
    item: Item | None
    score: float
    nearest: Item
    near: bool = False
    """Whether `nearest` is only like the text: its first words, a few letters apart, of another year, or an
    id in other capitals."""
    ambiguous: bool = False
    """Whether the text is as exactly another item's title; `item` is the one whose id it is, or the first."""


class TitleIndex:
    """Normalises a catalogue's titles once for many look-ups.

    Raises:
        DataError: no items.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        if not items:
            raise DataError("No items to match titles against; load a catalogue first.")
        self.items = items
        self._ids = {item.item_id: row for row, item in reversed(list(enumerate(items)))}
        self._capitals: dict[str, list[int]] = defaultdict(list)
        self._titles: dict[str, list[int]] = defaultdict(list)
        self._plain: dict[str, list[int]] = defaultdict(list)
        self._bare: dict[str, list[int]] = defaultdict(list)
        self._main: dict[str, list[int]] = defaultdict(list)
        for row, item in enumerate(items):
            self._capitals[item.item_id.casefold()].append(row)
            self._add(row, item.title)
        self._keys = list(dict.fromkeys([*self._bare, *self._main]))

    def _add(self, row: int, title: str) -> None:
        self._titles[title.casefold().strip()].append(row)
        self._plain[plain_title(title)].append(row)
        self._bare[without_article(plain_title(title))].append(row)
        names = (main_title(title), *REMARK.findall(YEAR.sub("", title)))
        for name in {without_article(plain_title(name)): None for name in names}:
            self._main[name].append(row)

    def match(self, text: str, *, threshold: float = 85, near: bool = True) -> TitleMatch:
        """The item that `text` means, the surest kind of match first; ties go to the catalogue's order.

        Order: id; title, in the same capitals before others; title without year and with its article in
        front; without any article; the part before a subtitle, or another name in brackets (95); an id in
        other capitals, if it is one item's (95); the first words of a title, two or more (90); the most
        similar title (its edit similarity, less for another number: a sequel is another film). The last three
        are a guess ("Aliens" is not "Alien", and ids may differ in capitals alone), not made without `near`.

        A title whose known years are all others than the text's is a guess, too, and scores less: "Titanic
        (1943)" is not the one of 1997.
        """
        rows, score = self._exact(text)
        guess = None if rows else self._guess(text)
        row, score = guess or (rows[0], score)
        item = self.items[row]
        meant = item if score >= threshold and (near or not guess) else None
        return TitleMatch(text, meant, score, item, near=guess is not None, ambiguous=len(rows) > 1)

    def _exact(self, text: str) -> tuple[list[int], float]:
        """The rows whose id or title the text is, an id's first; none, where it is nobody's."""
        rows, score = self._titled(text)
        own = self._ids.get(text.strip())
        if own is None:
            return rows, score
        return [own, *(row for row in rows if row != own and score == 100)], 100.0

    def _titled(self, text: str) -> tuple[list[int], float]:
        key = plain_title(text)
        for table, wanted, score in (
            (self._titles, text.casefold().strip(), 100.0),
            (self._plain, key, 100.0),
            (self._bare, without_article(key), 100.0),
            (self._main, without_article(key), MAIN_SCORE),
        ):
            rows = self._of_year(table.get(wanted, []), text) if wanted else []
            if rows:
                return [r for r in rows if self.items[r].title.strip() == text.strip()] or rows, score
        return [], 0.0

    def _of_year(self, rows: list[int], text: str) -> list[int]:
        """The rows of the year in the text, or else those of unknown year: remakes share a title."""
        year = title_year(text)
        if not year:
            return rows
        years = {row: item_years(self.items[row]) for row in rows}
        return [row for row in rows if year in years[row]] or [row for row in rows if not years[row]]

    def _guess(self, text: str) -> tuple[int, float]:
        found = (self._in_capitals(text), self._prefix(text), self._similar(text))
        return max(found, key=lambda pair: pair[1])

    def _in_capitals(self, text: str) -> tuple[int, float]:
        rows = self._capitals.get(text.casefold().strip(), [])
        return (rows[0], CAPITALS_SCORE) if len(rows) == 1 else (0, 0.0)

    def _prefix(self, text: str) -> tuple[int, float]:
        key = without_article(plain_title(text))
        if " " not in key:
            return 0, 0.0
        longer = sorted((name for name in self._bare if name.startswith(key + " ")), key=len)
        return self._first([row for name in longer for row in self._bare[name]], text, PREFIX_SCORE)

    def _similar(self, text: str) -> tuple[int, float]:
        # Plain edit distance: WRatio and the set ratios give 90 and more to any title that shares a word.
        from rapidfuzz import fuzz, process

        key = without_article(plain_title(text))
        found = process.extract(key, self._keys, scorer=fuzz.ratio, limit=10)
        numbers = _numbers(key)
        scored = [(s if _numbers(name) == numbers else s * SEQUEL_PENALTY, name) for name, s, _ in found]
        score, name = max(scored, key=lambda pair: pair[0], default=(0.0, ""))
        return self._first(self._bare.get(name) or self._main.get(name) or [], text, score if key else 0.0)

    def _first(self, rows: list[int], text: str, score: float) -> tuple[int, float]:
        """The first of alike rows, one of the text's year before others, which are worth less."""
        if not rows:
            return 0, 0.0
        of_year = self._of_year(rows, text)
        return (of_year[0], score) if of_year else (rows[0], score * OTHER_YEAR_PENALTY)


def plain_title(title: str) -> str:
    """Lower case, no trailing year, article in front, no punctuation; never empty if the title is not.

    >>> plain_title("Matrix, The (1999)")
    'the matrix'
    """
    name = YEAR.sub("", title.casefold().strip())
    name = ARTICLE_LAST.sub(r"\2 \1", name)
    return " ".join(re.findall(r"\w+", name.replace("'", "").replace("’", ""))) or title.casefold().strip()


def natural_title(title: str) -> str:
    """The title as people write it: an article that a catalogue put last comes first again.

    >>> natural_title("City of Lost Children, The (Cité des enfants perdus, La) (1995)")
    'The City of Lost Children (Cité des enfants perdus, La) (1995)'
    >>> natural_title("Crouching Tiger, Hidden Dragon"), natural_title("Auberge espagnole, L' (2002)")
    ('Crouching Tiger, Hidden Dragon', "L'Auberge espagnole (2002)")
    """
    found = INVERTED.match(title)
    if not found:
        return title
    name, article, rest = found.groups()
    return f"{article}{'' if article.endswith(chr(39)) else ' '}{name}{rest or ''}"


def main_title(title: str) -> str:
    """The part before a subtitle or a remark in brackets, without the year.

    >>> main_title("Lord of the Rings: The Two Towers, The (2002)")
    'lord of the rings'
    """
    return SUBTITLE.split(YEAR.sub("", title.casefold().strip()), maxsplit=1)[0].strip()


def without_article(name: str) -> str:
    """A plain title without its leading article; a title that is only an article stays."""
    first, _, rest = name.partition(" ")
    return rest if rest and first in ARTICLES else name


def title_year(title: str) -> str:
    """The year in brackets at the end of a title, or ""."""
    found = YEAR.search(title)
    return found.group(1) if found else ""


def item_years(item: Item) -> set[str]:
    """The years that an item says of itself, in its field or in its title; none where it says none."""
    return {*YEAR_ALONE.findall(item.year), title_year(item.title)} - {""}


def _numbers(name: str) -> list[str]:
    return sorted(word for word in name.split() if word.isdigit() or word in ("ii", "iii", "iv", "vi", "vii"))
