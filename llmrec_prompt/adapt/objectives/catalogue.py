"""Objective `catalogue`: adaptation to a domain that has item texts and no logs at all.

Pseudo-histories are walks from item to item among nearest neighbours by BM25 over the items' texts, and
`encode` is trained on them. Every item begins one walk, so nothing in them is popularity.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from llmrec_prompt.adapt.histories import Population, Texts, Window, window_of
from llmrec_prompt.errors import DataError
from llmrec_prompt.progress import track
from llmrec_prompt.scorers.bm25 import Bm25Scorer

NEIGHBOURS = 10


def pseudo_histories(
    population: Population, texts: Texts, *, size: int, most: int, seed: int
) -> list[Window]:
    """Walks as windows of at most `size` shown items, at most `most` of them.

    Raises:
        DataError: hardly any two items have a word in common.
    """
    near = Neighbours(population)
    starts = np.random.default_rng(seed).permutation(len(population.dataset.items))[:most]
    walks = [
        near.walk(int(start), size + 1, seed) for start in track(starts, "Walking the catalogue", len(starts))
    ]
    found = [window_of(texts, rows, near.around(rows)) for rows in walks if len(rows) > 1]
    if not found:
        raise DataError(
            f"The items of {population.dataset.name} have no words in common, so there is nothing to learn "
            "from their texts. Give them categories or descriptions."
        )
    texts.check(found[0].rows)
    return found


class Neighbours:
    """For each item the most similar others, by BM25 with the item's text as the query."""

    def __init__(self, population: Population) -> None:
        self._items = population.dataset.items
        self._scorer = Bm25Scorer(population.dataset, population.prompter, recent_items=1)
        self._known: dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]] = {}

    def of(self, row: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """At most `NEIGHBOURS` rows, the nearest first, and their scores, all above 0."""
        if row not in self._known:
            scores = self._scorer.score([self._items[row]])
            scores[row] = 0.0
            top = np.argsort(-scores, kind="stable")[:NEIGHBOURS]
            top = top[scores[top] > 0]
            self._known[row] = top, scores[top]
        return self._known[row]

    def walk(self, start: int, length: int, seed: int) -> list[int]:
        """From item to item, never back, the nearer the likelier; it ends early where nobody is left."""
        dice, rows = np.random.default_rng([seed, start]), [start]
        while len(rows) < length:
            near, scores = self.of(rows[-1])
            fresh = ~np.isin(near, rows)
            if not fresh.any():
                break
            rows.append(int(dice.choice(near[fresh], p=scores[fresh] / scores[fresh].sum())))
        return rows

    def around(self, rows: Sequence[int]) -> npt.NDArray[np.int64]:
        """A walk and all its neighbours: what might as well have come next is no fair negative."""
        return np.unique(np.concatenate([rows, *(self.of(row)[0] for row in rows)])).astype(np.int64)
