"""Behaviour as training examples: whose histories, cut into windows, in tokens."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from llmrec_prompt.adapt.recipe import Source
from llmrec_prompt.data import Case, Dataset
from llmrec_prompt.data.splits import seeded_order
from llmrec_prompt.errors import DataError, TemplateError
from llmrec_prompt.templates import Prompter, load_domain

Tokenize = Callable[[str, bool], list[int]]
"""(text, whether the model's first token comes first) → token ids."""


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of one user's history as the prompt shows it.

    `ends[k]` is where the line of item k ends in `tokens`; `targets[k]` is the catalogue row of the item
    after it. `own` are the rows of all that the user has: none of them is a fair negative. `before` are the
    rows of what the user had before `rows`, the oldest first, as far back as nearness reaches.
    """

    tokens: tuple[int, ...]
    ends: tuple[int, ...]
    targets: tuple[int, ...]
    rows: tuple[int, ...]
    own: npt.NDArray[np.int64] = field(compare=False)
    before: tuple[int, ...] = ()


class Texts:
    """The prompts of one domain in tokens, each line and item once.

    Args:
        dataset: its catalogue.
        prompter: renders it; what trains is what ranks.
        tokenize: the model's.
    """

    def __init__(self, dataset: Dataset, prompter: Prompter, tokenize: Tokenize) -> None:
        self.dataset, self.prompter, self._tokenize = dataset, prompter, tokenize
        self._lines: dict[int, list[int]] = {}
        self._items: dict[int, tuple[int, ...]] = {}

    @cached_property
    def _head(self) -> list[int]:
        return self._tokenize(self.prompter.history(()).text, True)

    def line(self, row: int) -> list[int]:
        """An item's line with its line end."""
        if row not in self._lines:
            text = self.prompter.continuation(self.dataset.items[row])
            self._lines[row] = self._tokenize(text, False)
        return self._lines[row]

    def item(self, row: int) -> tuple[int, ...]:
        """An item alone, as the encoder reads it."""
        if row not in self._items:
            self._items[row] = tuple(self._tokenize(self.prompter.item(self.dataset.items[row]), True))
        return self._items[row]

    def history(self, rows: Sequence[int]) -> tuple[list[int], list[int]]:
        """The prompt that shows these items: its tokens, and where each item's line ends."""
        tokens, ends = list(self._head), []
        for row in rows:
            tokens += self.line(row)
            ends.append(len(tokens) - 1)
        return tokens, ends

    def tokens(self, text: str) -> list[int]:
        """Any text from the start."""
        return self._tokenize(text, True)

    def prompt(self, rows: Sequence[int]) -> list[int]:
        """The prompt that shows these items, rendered as a whole, whatever its template is."""
        items = [self.dataset.items[row] for row in rows]
        return self.tokens(self.prompter.history(items, show=len(items)).text)

    def check(self, rows: Sequence[int]) -> None:
        """Make sure that what is put together line by line is the very prompt that ranks.

        Raises:
            TemplateError: the domain's template is not a head and one line an item.
        """
        if self.prompt(rows) != self.history(rows)[0]:
            raise TemplateError(
                f"Domain {self.prompter.domain.name!r}: its history template is not a head and one line an "
                "item, so it cannot be trained on every position. Use the base template, or objective rank."
            )


class Population:
    """The users of one source, apart: those tested elsewhere, those for validation, those trained on.

    Args:
        source: where the data is, and how many users each part has.
        logs: False trains on nobody's history; then there may be no users at all.
        dataset: that of `source.data` for who has read it already.

    Raises:
        DataError: nobody is left to train on.
    """

    def __init__(self, source: Source, *, logs: bool = True, dataset: Dataset | None = None) -> None:
        self.source = source
        self.dataset = Dataset.load(source.data) if dataset is None else dataset
        self.domain = load_domain(source.domain or self.dataset.domain)
        self.prompter = Prompter(self.domain, catalogue=self.dataset.items)
        order = self._order(source.test, source.draw)
        cut = source.test + source.validation
        self.validation = order[source.test : cut]
        self.users = order[cut:][: source.users] if logs else []
        if logs and not self.users and source.users != 0:
            raise DataError(
                f"{self.dataset.name} has {len(order)} users with two liked items; {source.test} are for "
                f"tests and {source.validation} for validation: none is left. Lower test or validation."
            )

    def _order(self, test: int, draw: int) -> list[str]:
        eligible = [u for u in self.dataset.users if len(self.dataset.history(u)) > 1]
        order = seeded_order(eligible, 0)
        tested, rest = order[:test], order[test:]
        return [*tested, *(seeded_order(rest, draw) if draw else rest)]

    def judges(self, test: int, validation: int, draw: int) -> list[str]:
        """Who would be for validation if the source had these numbers."""
        return self._order(test, draw)[test : test + validation]

    def judged_by(self, users: Sequence[str]) -> "Population":
        """The same with these of its users for validation; those who were there are known like the rest."""
        other = copy.copy(self)
        other.__dict__.pop("train", None)
        other.users, other.validation = [*self.users, *self.validation], list(users)
        return other

    @cached_property
    def train(self) -> Dataset:
        """The logs of the users trained on."""
        return self.dataset.only(self.users)

    def rows(self, user: str) -> list[int]:
        """A user's liked items as catalogue rows, oldest first."""
        return [self.dataset.index[i.item_id] for i in self.dataset.history(user)]

    def cases(self, questions: int = 1) -> list[Case]:
        """The validation users' last items, to be predicted, each from what came before it.

        What came later is nothing that could be wrong.
        """
        found = []
        for user in self.validation:
            ids = tuple(i.item_id for i in self.dataset.history(user))
            for place in range(len(ids) - 1, max(0, len(ids) - 1 - questions), -1):
                found.append(Case(user, ids[:place], ids[place], also=ids[place + 1 :]))
        return found


def windows(
    population: Population, texts: Texts, size: int, reach: int = 0, *, users: Sequence[str] | None = None
) -> list[Window]:
    """Histories of `users`, by default all to train on, in pieces of at most `size` items, the latest full.

    Consecutive pieces share one item: the last target of a piece is the first item of the next. A piece with
    what came before it has at most `reach` items.
    """
    found = []
    for user in population.users if users is None else users:
        rows, own = population.rows(user), owned(population, user)
        end, left = len(rows) - 1, population.source.windows or len(rows)
        while end > 0 and left > 0:
            begin = max(0, end - size)
            before = tuple(rows[max(0, end - reach) : begin])
            found.append(replace(window_of(texts, rows[begin : end + 1], own), before=before))
            end, left = begin, left - 1
    if found:
        texts.check(found[0].rows)
        texts.check(found[-1].rows)
    return found


def positions(population: Population, texts: Texts, size: int) -> list[Window]:
    """Every item of all training users' histories but the first, each after at most `size` items before it.

    For objectives that ask about one item at a time: such a window has one target, and its `tokens` say how
    long it is rather than what a template makes of it.
    """
    found = []
    for user in population.users:
        rows, own = population.rows(user), owned(population, user)
        most = (population.source.windows or len(rows)) * size
        for end in range(max(1, len(rows) - most), len(rows)):
            tokens, ends = texts.history(rows[max(0, end - size) : end])
            shown = tuple(rows[max(0, end - size) : end])
            found.append(Window(tuple(tokens), tuple(ends[-1:]), (rows[end],), shown, own))
    return found


def owned(population: Population, user: str) -> npt.NDArray[np.int64]:
    """Catalogue rows of all that a user has, ascending."""
    known = population.dataset.consumed(user)
    return np.unique(population.dataset.item_rows(known)).astype(np.int64)


def window_of(texts: Texts, rows: Sequence[int], own: npt.NDArray[np.int64]) -> Window:
    """A window over consecutive items: each but the last is shown, each but the first is a target."""
    tokens, ends = texts.history(rows[:-1])
    return Window(tuple(tokens), tuple(ends), tuple(rows[1:]), tuple(rows[:-1]), own)


def shuffled(found: Sequence[Window], seed: int) -> list[Window]:
    """The same windows with targets permuted over all of them: what is left to learn is popularity."""
    parts = _permuted([w.targets for w in found], seed)
    return [replace(w, targets=part) for w, part in zip(found, parts, strict=True)]


def scrambled(found: Sequence[Window], texts: Texts, seed: int) -> list[Window]:
    """Windows of the same lengths with all their items permuted, shown ones too.

    The control for objectives whose targets stand in the history itself.
    """
    parts = _permuted([(*w.rows, w.targets[-1]) for w in found], seed)
    return [window_of(texts, part, np.unique(part).astype(np.int64)) for part in parts]


def _permuted(groups: Sequence[Sequence[int]], seed: int) -> list[tuple[int, ...]]:
    """All numbers of all groups permuted; the groups keep their sizes."""
    flat = np.concatenate(groups)
    np.random.default_rng(seed).shuffle(flat)
    cuts = np.cumsum([len(group) for group in groups])[:-1]
    return [tuple(int(row) for row in part) for part in np.split(flat, cuts)]
