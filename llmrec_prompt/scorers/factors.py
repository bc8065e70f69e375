"""What the factor models share: logs as a matrix, histories folded in, threads kept to one.

They come from the library implicit. One thread: with more, the order of additions, and so the last digits of
a score, differ from run to run.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from llmrec_prompt.data import Dataset
from llmrec_prompt.progress import track
from llmrec_prompt.scorers.base import Scores
from llmrec_prompt.types import History

Factors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int32]


class FactorScorer(ABC):
    """Inner products of items' factors with a user's, which are found from the history alone.

    Every history is read alike, whether its user was trained on or not. History items that nobody in the
    logs has are skipped and counted (`unknown`, which becomes event `history_unknown` of a ranking); a
    history without any other says nothing, and all scores are zero: event `all_tied`. Catalogue items that
    nobody has score as low as the lowest.
    """

    name: str
    _settings: dict[str, Any]

    def __init__(self, dataset: Dataset) -> None:
        self._index, self._size = dataset.index, len(dataset.items)
        self._known = dataset.popularity() > 0

    def unknown(self, history: History) -> int:
        """How many items of a history the factors know nothing of."""
        return len(history) - len(self._rows(history, unique=False))

    def _rows(self, history: History, *, unique: bool = True) -> Rows:
        found = (self._index.get(item.item_id, -1) for item in history)
        rows = [row for row in found if row >= 0 and self._known[row]]
        return np.array(sorted(set(rows)) if unique else rows, np.int32)

    def score(self, history: History) -> Scores:
        """Higher is nearer to the history; all zero if it holds nothing that is known."""
        rows = self._rows(history)
        if not len(rows):
            return np.zeros(self._size)
        with threadpool_limits(1, "blas"):
            scores = self._fold_in(rows)
        scores[~self._known] = scores[self._known].min()
        return scores

    @abstractmethod
    def _fold_in(self, rows: Rows) -> Scores:
        """Scores (catalogue items,) for a user who has the items of these rows, each once, ascending."""

    @property
    def settings(self) -> dict[str, object]:
        """All that it was fitted with."""
        return dict(self._settings)


def fit(kind: Callable[..., Any], settings: Mapping[str, Any], dataset: Dataset, label: str) -> Any:
    """A model of implicit, fitted on binary logs (users, catalogue items) behind a progress bar."""
    users, items = dataset.pairs()
    ones = np.ones(len(users), np.float32)
    logs = csr_matrix((ones, (users, items)), shape=(len(dataset.users), len(dataset.items)))
    given = {key: value for key, value in settings.items() if key != "seed"}
    with threadpool_limits(1, "blas"):
        model = kind(**given, num_threads=1, random_state=settings["seed"])
        model.fit(logs, show_progress=False, callback=_teller(label, settings["iterations"]))
    return model


def _teller(label: str, iterations: int) -> Callable[..., None]:
    """A callback that makes one step of progress with each iteration, however it is called."""
    steps = track(range(iterations), label, iterations)
    next(steps)

    def tell(*_: object) -> None:
        next(steps, None)

    return tell
