"""States of items: encoded once, kept on disk and in memory, centred where that helps."""

import threading
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from llmrec_prompt.cache import content_key
from llmrec_prompt.data import Dataset
from llmrec_prompt.scorers.embedders import StateEmbedder, VectorIndex, Vectors, unit_rows
from llmrec_prompt.templates import Prompter
from llmrec_prompt.types import Candidates, Item

Counts = npt.NDArray[np.int64]
LABEL = "Encoding the catalogue"
SAMPLE = 512
"""Items behind a centre: enough for a mean, and what a first user of a cold start waits for."""


class ItemStates:
    """Unit states of a catalogue's items: from disk or computed, then kept in memory; others as they come.

    Args:
        embedder: the model.
        prompter: renders items.
        dataset: the catalogue.
        centred: give them less the catalogue's mean state, at unit length again. The states of a language
            model share a large component (Ethayarajh 2019, "anisotropy"); without it cosines tell items
            apart (Mu and Viswanath 2018, "All-but-the-top").
    """

    def __init__(
        self, embedder: StateEmbedder, prompter: Prompter, dataset: Dataset, *, centred: bool = False
    ) -> None:
        self.embedder, self._prompter, self._dataset = embedder, prompter, dataset
        self._centred = centred
        self._index = VectorIndex(embedder)
        self._states: Vectors = np.zeros((0, 0), np.float32)
        self._here = np.zeros(len(dataset.items), bool)
        self._cuts = np.zeros(len(dataset.items), np.int64)
        self._prints = np.zeros(len(dataset.items), np.int64)
        self._lock = threading.Lock()

    def rows(self, items: Candidates) -> npt.NDArray[np.int64]:
        """Catalogue rows, -1 for what is not in it."""
        return np.array([self._dataset.index.get(item.item_id, -1) for item in items], np.int64)

    def catalogue(self) -> Vectors:
        """States of the whole catalogue, shape (items, dimensions); not to be written into."""
        self._fetch(np.arange(len(self._here)))
        return self._states

    def of(self, items: Candidates, rows: npt.NDArray[np.int64]) -> Vectors:
        """States of any items, given with their rows, shape (len(items), dimensions)."""
        self._fetch(rows[rows >= 0])
        others = np.flatnonzero(rows < 0)
        if not len(others):
            return np.asarray(self._states[rows])
        fresh, _ = self._encode([items[i] for i in others.tolist()])
        states = (
            self._states[rows] if self._states.size else np.empty((len(rows), fresh.shape[1]), np.float32)
        )
        states[others] = fresh
        return np.asarray(states)

    def first_equals(self, states: Vectors, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """For each of the states that `of` gave for rows, the place of the first that equals it.

        A matrix product may give equal rows unequal last bits, and so part items that nothing tells apart.
        """
        prints = self._prints[rows] if len(self._prints) else np.zeros(len(rows), np.int64)
        others = np.flatnonzero(rows < 0)
        prints[others] = _prints(states[others])
        _, first, group = np.unique(prints, return_index=True, return_inverse=True)
        return np.asarray(first[group])

    def cut(self, items: Candidates, rows: npt.NDArray[np.int64]) -> int:
        """How many texts were cut to fit in the texts of items that `of` has read."""
        others = self._render([items[i] for i in np.flatnonzero(rows < 0).tolist()])[1]
        return int(self._cuts[rows[rows >= 0]].sum() + others.sum())

    def _fetch(self, rows: npt.NDArray[np.int64]) -> None:
        """Bring catalogue rows into memory that are not there; most of them means all.

        A recommendation asks for all but what the user has; for the next user that shall be there too.
        """
        with self._lock:
            missing = rows[~self._here[rows]]
            if 2 * len(missing) > len(self._here):
                missing = np.flatnonzero(~self._here)
            if len(missing):
                states, self._cuts[missing] = self._encode([self._dataset.items[row] for row in missing])
                if not self._states.size:
                    self._states = np.zeros((len(self._here), states.shape[1]), np.float32)
                self._prints[missing] = _prints(states)
                self._states[missing], self._here[missing] = states, True

    def _encode(self, items: Sequence[Item]) -> tuple[Vectors, Counts]:
        """States, and how often each item's text was cut."""
        texts, cuts = self._render(items)
        states = self._index.vectors(texts, label=LABEL)
        return (unit_rows(states - self._centre) if self._centred else states), cuts

    def _render(self, items: Sequence[Item]) -> tuple[list[str], Counts]:
        events: list[Counter[str]] = [Counter() for _ in items]
        texts = [self._prompter.item(item, each) for item, each in zip(items, events, strict=True)]
        return texts, np.array([each["text_cut"] for each in events], np.int64)

    @cached_property
    def _centre(self) -> Vectors:
        """The catalogue's mean state, from at most `SAMPLE` items that their ids choose."""
        items = self._dataset.items
        drawn = [self._prompter.item(items[row]) for row in centre_rows(items)]
        return np.asarray(self._index.vectors(drawn, label=LABEL).mean(axis=0))


def _prints(states: Vectors) -> npt.NDArray[np.int64]:
    """A hash of each state's bytes: keeping the bytes would hold all states twice."""
    return np.array([hash(state.tobytes()) for state in states], np.int64)


def centre_rows(items: Sequence[Item]) -> list[int]:
    """Rows of the items whose mean state is a catalogue's centre, at most `SAMPLE`."""
    return sorted(range(len(items)), key=lambda row: content_key(items[row].item_id))[:SAMPLE]
