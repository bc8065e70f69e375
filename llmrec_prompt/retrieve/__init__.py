"""Retrieval: from a whole catalogue to the candidates worth ranking. Knows no prompts."""

from collections.abc import Collection, Sequence

import numpy as np

from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import DataError
from llmrec_prompt.scorers import Scorer
from llmrec_prompt.types import History, Item

__all__ = ["Retriever"]


class Retriever:
    """The union of the top of several scorers, minus what shall not be recommended.

    Scorers take turns, best first, until `size` different items are found; a scorer that says nothing
    (all its scores equal) has no turn. Equal scores are taken in catalogue order.
    """

    def __init__(self, dataset: Dataset, scorers: Sequence[Scorer], *, size: int = 60) -> None:
        self._dataset, self._scorers, self._size = dataset, list(scorers), size

    @property
    def finds_all(self) -> bool:
        """Whether it leaves nothing out."""
        return self._size >= len(self._dataset.items)

    def retrieve(self, history: History, exclude: Collection[str] = ()) -> list[Item]:
        """At most `size` items, in the order found.

        Raises:
            DataError: nothing is left of the catalogue, or no scorer tells its items apart.
        """
        allowed = np.ones(len(self._dataset.items), bool)
        allowed[self._rows(exclude)] = False
        return self._found(history, allowed)

    def among(self, history: History, ids: Collection[str]) -> list[Item]:
        """The same out of some of the catalogue's items alone.

        Raises:
            DataError: as `retrieve`.
        """
        allowed = np.zeros(len(self._dataset.items), bool)
        allowed[self._rows(ids)] = True
        return self._found(history, allowed)

    def _rows(self, ids: Collection[str]) -> list[int]:
        return [self._dataset.index[i] for i in ids if i in self._dataset.index]

    def _found(self, history: History, allowed: np.ndarray) -> list[Item]:
        items = self._dataset.items
        if not allowed.any():
            raise DataError(f"Nothing is left to recommend: all {len(items)} items are excluded or consumed.")
        if allowed.sum() <= self._size:  # nothing to choose: all are ranked
            return [items[row] for row in np.flatnonzero(allowed)]
        found: dict[int, None] = {}
        turns = [_best_first(s.score(history), allowed, self._size) for s in self._scorers]
        if not any(turns):
            names = ", ".join(s.name for s in self._scorers)
            raise DataError(f"Retrieval cannot tell the items apart: all scores of {names} are equal.")
        for place in range(self._size):
            for turn in turns:
                if place < len(turn) and len(found) < self._size:
                    found.setdefault(turn[place])
        return [items[row] for row in found]


def _best_first(scores: np.ndarray, allowed: np.ndarray, size: int) -> list[int]:
    rows = np.flatnonzero(allowed)
    values = scores[rows]
    if len(rows) > 1 and np.ptp(values) == 0:
        return []
    best = np.argsort(-values, kind="stable")[:size]
    return [int(row) for row in rows[best]]
