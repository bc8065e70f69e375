"""Co-occurrence: items that other users have together with those of the history."""

import numpy as np

from llmrec_prompt.data import Dataset
from llmrec_prompt.scorers.base import Scores, recent
from llmrec_prompt.types import History


class CooccurrenceScorer:
    """Sum over history items i of n(i, j) / sqrt(n(i) n(j)): item-to-item cosine on binary logs.

    Sarwar et al. (2001). Counted from the logs at each call: no item-by-item matrix is held.
    """

    name = "co-occurrence"

    def __init__(self, dataset: Dataset, *, recent_items: int = 20) -> None:
        users, items = dataset.pairs()
        self._index, self._recent, self._size = dataset.index, recent_items, len(dataset.items)
        self._counts = np.maximum(dataset.popularity(), 1.0)
        self._items = items
        n_users = int(users.max()) + 1 if len(users) else 0
        self._user_starts = np.searchsorted(users, np.arange(n_users + 1))
        order = np.argsort(items, kind="stable")
        self._users = users[order]
        self._item_starts = np.searchsorted(items[order], np.arange(self._size + 1))

    def score(self, history: History) -> Scores:
        """Zeros where nobody has an item together with one of the history."""
        total: Scores = np.zeros(self._size)
        for item in recent(history, self._recent):
            row = self._index.get(item.item_id)
            if row is not None:
                total += self._together(row) / np.sqrt(self._counts[row] * self._counts)
        return total

    def _together(self, row: int) -> Scores:
        """How many users have each item beside item `row`."""
        users = self._users[self._item_starts[row] : self._item_starts[row + 1]]
        baskets = [self._items[self._user_starts[u] : self._user_starts[u + 1]] for u in users]
        if not baskets:
            return np.zeros(self._size)
        counts = np.bincount(np.concatenate(baskets), minlength=self._size).astype(np.float64)
        counts[row] = 0.0  # an item always stands beside itself; that says nothing
        return counts

    @property
    def settings(self) -> dict[str, object]:
        """How much of the history it looks at."""
        return {"recent_items": self._recent}
