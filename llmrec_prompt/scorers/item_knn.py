"""Item-based nearest neighbours: each item keeps the few most like it, and they vote for what is next."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from llmrec_prompt.data import Dataset
from llmrec_prompt.errors import ConfigError
from llmrec_prompt.progress import track
from llmrec_prompt.scorers.base import Scores, recent
from llmrec_prompt.types import History

Rows = npt.NDArray[np.int32]
Similarities = npt.NDArray[np.float32]


class ItemKnnScorer:
    """Sum over history items i of w(i) sim(i, j), where j is among the `neighbours` most similar to i.

    sim(i, j) = n(i, j) / (sqrt(n(i) n(j)) + shrinkage): cosine on binary logs (Sarwar et al. 2001), damped
    where few users stand behind it (Bell and Koren 2007), cut to each item's nearest (Deshpande and Karypis
    2004). w(i) = 0.5 ** (age / half_life), age 0 for the latest item (after Ding and Li 2005, with ranks in
    place of days); 1 without a half-life. Held are at most items x neighbours numbers. Defaults: the best
    compromise over the validation users of three data sets (see `eval/bench/networks.py`).

    Raises:
        ConfigError: neighbours or half_life not above 0, or shrinkage below 0.
    """

    name = "item-knn"

    def __init__(
        self,
        dataset: Dataset,
        *,
        neighbours: int = 500,
        shrinkage: float = 5.0,
        half_life: float | None = 5.0,
        recent_items: int = 100,
    ) -> None:
        if neighbours < 1 or shrinkage < 0 or (half_life is not None and half_life <= 0):
            raise ConfigError(
                f"item-knn with {neighbours} neighbours, shrinkage {shrinkage:g} and half-life {half_life} "
                "cannot be meant: give at least 1, 0 and something above 0."
            )
        self._neighbours, self._shrinkage, self._half_life = neighbours, shrinkage, half_life
        self._index, self._recent, self._size = dataset.index, recent_items, len(dataset.items)
        found = list(self._nearest(dataset)) if dataset.has_logs else [_NOBODY] * self._size
        self._starts = np.cumsum([0, *(len(rows) for rows, _ in found)])
        self._rows = np.concatenate([rows for rows, _ in found])
        self._similar = np.concatenate([similar for _, similar in found])

    def _nearest(self, dataset: Dataset) -> Iterator[tuple[Rows, Similarities]]:
        """Each item's neighbours and their similarity, in catalogue order."""
        users, items = dataset.pairs()
        user_starts = np.searchsorted(users, np.arange(len(dataset.users) + 1))
        baskets = np.split(items, user_starts[1:-1])
        owners = users[np.argsort(items, kind="stable")]
        counts = dataset.popularity()
        item_starts = np.concatenate([[0], np.cumsum(counts).astype(np.int64)])
        for row in track(range(self._size), "Comparing items", self._size):
            who = owners[item_starts[row] : item_starts[row + 1]]
            yield self._neighbours_of(row, [baskets[user] for user in who], counts) if len(who) else _NOBODY

    def _neighbours_of(self, row: int, baskets: list[Rows], counts: Scores) -> tuple[Rows, Similarities]:
        others, together = np.unique(np.concatenate(baskets), return_counts=True)
        other = others != row  # an item is always most like itself; that says nothing
        others, together = others[other], together[other]
        similar = together / (np.sqrt(counts[row] * counts[others]) + self._shrinkage)
        best = np.argsort(-similar, kind="stable")[: self._neighbours]
        return others[best].astype(np.int32), similar[best].astype(np.float32)

    def score(self, history: History) -> Scores:
        """Zeros where no history item has the item among its neighbours."""
        total: Scores = np.zeros(self._size)
        for age, item in enumerate(reversed(recent(history, self._recent))):
            row = self._index.get(item.item_id)
            if row is not None:
                part = slice(self._starts[row], self._starts[row + 1])
                weight = 0.5 ** (age / self._half_life) if self._half_life else 1.0
                total[self._rows[part]] += weight * self._similar[part]  # an item's neighbours are distinct
        return total

    @property
    def settings(self) -> dict[str, object]:
        """Neighbours kept, damping, and how much of the history counts."""
        return {
            "neighbours": self._neighbours,
            "shrinkage": self._shrinkage,
            "half_life": self._half_life,
            "recent_items": self._recent,
        }


_NOBODY = (np.zeros(0, np.int32), np.zeros(0, np.float32))
